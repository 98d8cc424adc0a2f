"""A simulated device finds faults planted in compiled kernels that are right, and misuse."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ptx_memory import Fault
from simulated import SimulatedDevice

from streamrnn.core.errors import BackendUnavailable
from streamrnn.kernels.cuda.kernel import Kernel

CHAIN = Kernel("chain", "small_kernels", "chain", "f4* f4* f4*", (("n_steps", 3),), 128)
QUADS = Kernel("quads", "small_kernels", "quads", "f4* f4*", (), 128)
N = 128


def put(device, array):
    address = device.allocate(array.nbytes)
    device.write(address, array)
    return address


def chain(device, *, n_blocks=2, shared_bytes=4 * N, n_out=None):
    x = np.linspace(-1, 1, n_blocks * N, dtype=np.float32).reshape(n_blocks, N)
    w = np.array([0.7], np.float32)
    out = device.allocate(x.nbytes if n_out is None else 4 * n_out)
    device.launch(CHAIN, (n_blocks, 1), N, (put(device, w), put(device, x), out), shared_bytes)
    got, h = np.empty_like(x), np.zeros_like(x)
    device.read(out, got)
    for _ in range(3):
        h = (w.astype(np.float64) * h[:, ::-1] + x).astype(np.float32)
    return got, h


def planted(old: str, new: str, count: int = 1, skip: int = 0):
    """Return an edit of PTX, which must find what it changes."""

    def edit(text: str) -> str:
        found = list(re.finditer(old, text))[skip : skip + count]
        assert len(found) == count, f"{old} was not found in\n{text}"
        for match in reversed(found):
            text = text[: match.start()] + match.expand(new) + text[match.end() :]
        return text

    return edit


pytestmark = pytest.mark.usefixtures("cuda_compiler")


def test_the_kernel_is_right():
    device = SimulatedDevice()
    got, expected = chain(device)
    assert np.allclose(got, expected, rtol=1e-6)
    (done,) = device.counts
    assert done.executed["bar.sync"] == 7 * 2 * N // 32
    assert done.executed["fma.rn.f32"] == 3 * 2 * N // 32
    assert not done.conflicts
    assert done.n_instructions == sum(done.executed.values())


@pytest.mark.parametrize("which", range(6))
def test_a_missing_barrier_is_a_race(which):
    device = SimulatedDevice(edit=planted(r"bar\.sync\s+0;", "", skip=which))
    with pytest.raises(Fault, match=r"race: (threads|warps) read and write"):
        chain(device)


def test_a_store_behind_the_end_is_found():
    with pytest.raises(
        Fault, match=r"st\.global.*out of bounds.* 508 of allocation \d \(508 bytes\)"
    ):
        chain(SimulatedDevice(), n_blocks=1, n_out=N - 1)
    device = SimulatedDevice(edit=planted(r"(st\.global\.f32\s+\[%rd\d+)\]", r"\1+-4]"))
    with pytest.raises(Fault, match=r"out of bounds.*4 bytes before allocation"):
        chain(device)


def test_a_store_into_a_neighbour_is_found():
    # Far enough behind the end that it would meet the next allocation, wherever that was.
    for distance in (1 << 10, 1 << 20, 1 << 30):
        edit = planted(r"(st\.global\.f32\s+\[%rd\d+)\]", rf"\1+{distance}]")
        with pytest.raises(Fault, match="out of bounds"):
            chain(SimulatedDevice(edit=edit))


def test_too_little_shared_memory_is_found():
    with pytest.raises(
        Fault, match=r"st\.shared.*out of bounds: 508 of shared memory \(508 bytes\)"
    ):
        chain(SimulatedDevice(), shared_bytes=4 * N - 4)


def test_a_read_of_shared_memory_that_nobody_wrote_is_found():
    device = SimulatedDevice(edit=planted(r"st\.shared\.u32\s[^;]*;", ""))
    with pytest.raises(
        Fault, match=r"thread 0 of block 0 reads \d+ of shared memory: never written"
    ):
        chain(device)


def test_a_read_of_memory_that_nobody_wrote_is_found():
    device = SimulatedDevice()
    a, out = device.allocate(16 * N), device.allocate(16 * N)
    with pytest.raises(Fault, match=r"ld\.global.*thread 0 of block 0 reads 0 of .*never written"):
        device.launch(QUADS, (1, 1), N, (a, out))
    device.zero(a, 16 * N)
    device.launch(QUADS, (1, 1), N - 1, (a, out))
    with pytest.raises(Fault, match=f"the host reads {16 * (N - 1)} of allocation"):
        device.read(out, np.empty(4 * N, np.float32))


def test_a_misaligned_vector_is_found():
    device = SimulatedDevice()
    a, out = put(device, np.ones(4 * N + 4, np.float32)), device.allocate(16 * N)
    device.launch(QUADS, (1, 1), N, (a + 16, out))
    with pytest.raises(Fault, match="misaligned: 16 bytes"):
        device.launch(QUADS, (1, 1), N, (a + 4, out))


def test_blocks_that_take_one_place_for_theirs_are_found():
    device = SimulatedDevice(edit=planted(r"mov\.u32\s+(%r\d+), %ctaid\.x;", r"mov.u32 \1, 0;"))
    a = put(device, np.ones(4 * N, np.float32))
    # Both write the same values, which does no harm; but not over what the other reads.
    device.launch(QUADS, (2, 1), N, (a, device.allocate(16 * N)))
    with pytest.raises(Fault, match=r"race: \w+ read and write"):
        device.launch(QUADS, (2, 1), N, (a, a))


def test_freed_memory_is_not_touched_and_not_freed_twice():
    device = SimulatedDevice()
    a, out = put(device, np.ones(4 * N, np.float32)), device.allocate(16 * N)
    device.free(a)
    with pytest.raises(Fault, match="was freed"):
        device.launch(QUADS, (1, 1), N, (a, out))
    with pytest.raises(Fault, match="was freed before"):
        device.free(a)
    with pytest.raises(Fault, match="the host touches"):
        device.write(a, np.ones(4, np.float32))
    assert device.n_allocations == 1


def test_a_full_device_says_how_much_is_left():
    device = SimulatedDevice(memory_bytes=1000)
    device.allocate(600)
    with pytest.raises(BackendUnavailable, match="400 bytes left, 500 were asked for"):
        device.allocate(500)


def test_a_launch_that_no_device_would_take_is_refused():
    device = SimulatedDevice(shared_bytes=1024)
    for arguments, message in (
        (((1, 1), 256, (0, 0), 0), "256 threads"),
        (((1, 1), N, (0, 0), 2048), "2048 bytes of shared"),
        (((1, 70000), N, (0, 0), 0), "grid"),
        (((1, 1), N, (0,), 0), "takes 2 arguments"),
    ):
        with pytest.raises(Fault, match=message):
            device.launch(QUADS, *arguments)
    device.launch(QUADS, (0, 1), N, (0, 0))
    assert not device.counts
