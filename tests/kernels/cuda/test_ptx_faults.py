"""Faults planted in kernels that are right: the interpreter must find each."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ptx_memory import Fault
from ptx_run import run
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


# Small pieces of PTX for what our compiler would not write by itself.


def test_a_barrier_that_some_threads_pass_by_is_found():
    body = "setp.gt.u32 %p1, %r0, 40;\n@%p1 bra over;\nbar.sync 0;\nover:\n"
    with pytest.raises(Fault, match=r"bar\.sync.*wait at a barrier that others"):
        run(body, n_threads=64)


def test_different_barriers_are_not_one():
    body = """
    setp.gt.u32 %p1, %r0, 31;
    @%p1 bra other;
    bar.sync 0;
    bra over;
other:
    bar.sync 0;
over:"""
    with pytest.raises(Fault, match=r"divergent barrier"):
        run(body, n_threads=64)


def test_a_shuffle_without_all_that_it_names_is_found():
    body = (
        "setp.gt.u32 %p1, %r0, 7;\n@%p1 bra over;\nshfl.sync.idx.b32 %r10, %r0, 1, 31, -1;\nover:\n"
    )
    with pytest.raises(Fault, match="lanes 0x000000ff of a warp are here, 0xffffffff are named"):
        run(body)
    with pytest.raises(Fault, match="does not take part"):
        run(body.replace("1, 31, -1", "9, 31, 255"))


def test_lanes_that_store_different_values_to_one_place_are_found():
    for value in ("%r0", "%r1", "%r2"):
        body = f"shr.u32 %r2, %r0, 5;\nst.global.u32 [%rd1], {value};"
        with pytest.raises(Fault, match="lanes store different values"):
            run(body, np.zeros(1, np.uint32), n_threads=64, grid=(2, 1))
    body = """
    setp.lt.u32 %p1, %r0, 32;
    @%p1 st.global.u32 [%rd1], 1;
    @!%p1 st.global.u32 [%rd1], 2;"""
    with pytest.raises(Fault, match="race: threads write different values"):
        run(body, np.zeros(1, np.uint32), n_threads=64)
    run("st.global.u32 [%rd1], 5;", np.zeros(1, np.uint32), n_threads=64)


def test_a_block_that_reads_what_another_writes_is_found():
    body = """
    setp.eq.u32 %p1, %r1, 0;
    setp.eq.u32 %p2, %r1, {reader};
    @%p1 st.global.u32 [%rd11], 1;
    @%p2 ld.global.u32 %r10, [%rd11];"""
    with pytest.raises(Fault, match=r"race: (threads|warps) read and write"):
        run(body.format(reader=1), np.zeros(32, np.uint32), grid=(2, 1))
    # These two do not even run at the same time here.
    with pytest.raises(Fault, match="race: blocks read and write"):
        run(body.format(reader=11), np.zeros(1024, np.uint32), n_threads=1024, grid=(12, 1))


def test_warps_that_share_global_memory_need_a_barrier():
    body = """
    st.global.u32 [%rd11], %r0;
    {barrier}
    xor.b32 %r10, %r0, 32;
    mad.wide.u32 %rd20, %r10, 4, %rd1;
    ld.global.u32 %r11, [%rd20];"""
    run(body.format(barrier="bar.sync 0;"), np.zeros(64, np.uint32), n_threads=64)
    with pytest.raises(Fault, match=r"race: (threads|warps) read and write"):
        run(body.format(barrier=""), np.zeros(64, np.uint32), n_threads=64)


def test_an_atomic_operation_races_with_a_plain_one():
    body = "setp.eq.u32 %p1, %r0, 40;\n{plain}\nred.global.add.u32 [%rd1], 1;"
    run(body.format(plain=""), np.zeros(1, np.uint32), n_threads=64)
    for plain in ("@%p1 st.global.u32 [%rd1], 0;", "@%p1 ld.global.u32 %r10, [%rd1];"):
        with pytest.raises(Fault, match="race"):
            run(body.format(plain=plain), np.zeros(1, np.uint32), n_threads=64)


def test_a_null_pointer_is_found():
    with pytest.raises(Fault, match=r"0x0, which belongs to no allocation"):
        run("mov.u64 %rd20, 0;\nld.global.u32 %r10, [%rd20];")
