"""Networks run forward on a device that interprets PTX: the CPU's bits, in every form of a kernel.

The laws that all backends keep are asked in test_cuda_contract.py.
"""

from __future__ import annotations

import gc
import platform
import re
from collections import Counter

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ptx_memory import Fault
from rnn_make import Shape, assert_close, draw, make_lengths, make_params, make_state
from rnn_shapes import wide_shapes
from simulated import SimulatedDevice, compiled

from streamrnn.core.errors import BackendUnavailable
from streamrnn.kernels import get_backend
from streamrnn.kernels.cuda import backend as backends
from streamrnn.kernels.cuda.backend import CudaBackend
from streamrnn.kernels.cuda.exact import forward, launches, tiling
from streamrnn.kernels.cuda.exact.tiling import ROWS

pytestmark = pytest.mark.usefixtures("cuda_compiler")
F32 = "float32"
CPU = get_backend("cpu")


def fuses() -> bool:
    """Return whether the CPU rounds a product and its sum once."""
    if platform.machine() in ("aarch64", "arm64"):
        return True
    return bool(llvm.get_host_cpu_features().get("fma"))


class Run:
    """A random network and batch, with NaN behind the rows' ends."""

    def __init__(self, shape, *, ends=True, masked=True):
        self.shape = shape
        self.params = make_params(shape, F32)
        self.x = draw(shape, F32, shape.n_steps, shape.n_rows, shape.n_in)
        self.lengths = make_lengths(shape) if ends else None
        self.mask = draw(shape, F32, shape.n_rows, shape.hidden[-1], salt=9) if masked else None
        if ends:
            for row, end in enumerate(self.lengths):
                self.x[end:, row] = np.nan

    def on(self, backend, *, keep_tape=False):
        """Return the logits and the end state."""
        state = make_state(self.shape, F32)
        handle = backend.upload(self.params)
        given = (self.x, state, self.lengths, self.mask)
        return backend.forward(handle, *given, keep_tape=keep_tape)[0], state.arena


def assert_same(got, expected):
    for a, b in zip(got, expected, strict=True):
        assert np.array_equal(a, b)


@pytest.fixture
def forced(monkeypatch):
    """Let layers be cut in one way: rows a thread, and whether weights stay in shared memory."""
    make = tiling.make_tiling.__wrapped__

    def force(rows, *, keeps_weights):
        def made(layer, n_steps, n_rows, **given):
            monkeypatch.setattr(tiling, "ROWS", (rows,))
            shared = given["shared_bytes"] if keeps_weights else 3 * rows * 8 * layer.n_padded
            return make(layer, n_steps, n_rows, **given | {"shared_bytes": shared})

        monkeypatch.setattr(forward, "make_tiling", made)

    return force


@pytest.mark.skipif(not fuses(), reason="this CPU has no fused multiply-add, so other bits")
@given(
    shape=wide_shapes.filter(lambda shape: shape.n_steps < 20),
    ends=st.booleans(),
    masked=st.booleans(),
    n_multiprocessors=st.sampled_from([1, 3, 132]),
    shared_kib=st.sampled_from([48, 227]),
    keep_tape=st.booleans(),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
def test_a_run_has_the_bits_of_the_cpu(
    shape, ends, masked, n_multiprocessors, shared_kib, keep_tape
):
    run = Run(shape, ends=ends, masked=masked)
    device = SimulatedDevice(n_multiprocessors=n_multiprocessors, shared_bytes=shared_kib << 10)
    assert_same(run.on(CudaBackend(device), keep_tape=keep_tape), run.on(CPU))


@pytest.mark.skipif(not fuses(), reason="this CPU has no fused multiply-add, so other bits")
@pytest.mark.parametrize("keeps_weights", [True, False], ids=["near", "far"])
@pytest.mark.parametrize("rows", ROWS)
def test_every_form_of_the_kernel_has_the_same_bits(forced, rows, keeps_weights):
    """Of 9 rows the last tile has one; of 13 and 37 units, 7 and 41 inputs are no whole sets."""
    for n_in in (7, 41):
        run = Run(Shape(n_in, (13, 37), 5, 3, 9, seed=rows))
        expected = run.on(CPU)
        forced(rows, keeps_weights=keeps_weights)
        device = SimulatedDevice(n_multiprocessors=1)
        assert_same(run.on(CudaBackend(device)), expected)
        assert_same(run.on(CudaBackend(device), keep_tape=True), expected)
        forms = {launched.kernel.options for launched in device.counts}
        assert {
            (("rows", rows), ("projected", int(n_in > 32)), ("taped", taped)) for taped in (0, 1)
        } <= forms


def test_the_largest_layer_runs():
    run = Run(Shape(256, (512,), 3, 1, 2, weight=0.1), ends=False)
    got = run.on(CudaBackend(SimulatedDevice()))
    for a, b in zip(got, run.on(CPU), strict=True):
        assert_close(a, b)


def test_what_a_device_does_not_take_is_refused():
    backend = CudaBackend(SimulatedDevice())
    wide = make_params(Shape(2, (513,), 1, 1, 1), F32)
    with pytest.raises(ValueError, match=r"513 hidden units.*up to 512"):
        backend.upload(wide)
    shape = Shape(2, (3,), 2, 2, 2)
    with pytest.raises(ValueError, match=r"float64.*cuda backend takes float32"):
        backend.upload(make_params(shape, "float64"))
    with pytest.raises(ValueError, match="precision is 'half'"):
        backend.upload(make_params(shape, F32), precision="half")
    handle = backend.upload(make_params(shape, F32), precision="bf16")
    x, state = draw(shape, F32, 2, 2, 2), make_state(shape, F32)
    with pytest.raises(ValueError, match="bf16 are for inference only"):
        backend.forward(handle, x, state, keep_tape=True)


@pytest.mark.parametrize("piece_bytes", [1, 5000])
def test_pieces_of_a_long_run_are_the_run(monkeypatch, piece_bytes):
    run = Run(Shape(40, (17, 33), 3, 11, 5))
    whole = run.on(CudaBackend(SimulatedDevice()))
    monkeypatch.setattr(backends, "PIECE_BYTES", piece_bytes)
    device = SimulatedDevice()
    assert_same(run.on(CudaBackend(device)), whole)
    assert sum(launched.kernel.name == "lstm" for launched in device.counts) > 2 * 2


def test_memory_of_a_long_run_is_bounded(monkeypatch):
    monkeypatch.setattr(backends, "PIECE_BYTES", 1 << 14)
    shape = Shape(6, (32,), 3, 120, 7)
    run, device = Run(shape), SimulatedDevice(memory_bytes=1 << 17)
    run.on(CudaBackend(device))
    with pytest.raises(BackendUnavailable):
        run.on(CudaBackend(device), keep_tape=True)
    gc.collect()
    run.on(CudaBackend(device))  # nothing of the failed run is left


def test_everything_is_given_back():
    device = SimulatedDevice()
    backend, shape = CudaBackend(device), Shape(5, (17, 6), 3, 4, 3)
    run, state = Run(shape), make_state(shape, F32)
    handle = backend.upload(run.params)
    logits = np.empty((3, 3), np.float32)
    stepper, streams = backend.stepper(handle, state, logits), backend.streams(handle, 9)
    stepper.step(run.x[0])
    backend.step(handle, run.x[0], state, logits)
    _, tape = backend.forward(handle, run.x, state, run.lengths, run.mask, keep_tape=True)
    backend.backward(handle, tape, np.zeros((4, 3, 3), np.float32))
    held = device.n_allocations
    del tape, streams
    assert device.n_allocations == held - 2
    del handle
    assert device.n_allocations == held - 2  # the stepper steps on
    stepper.step(run.x[0])
    del stepper
    assert device.n_allocations == 0


def test_streams_are_ticked_in_pieces_of_rows(monkeypatch):
    from streamrnn.kernels.cuda.exact import streams as modules

    shape = Shape(6, (40, 9), 4, 3, 13)
    params, x = make_params(shape, F32), draw(shape, F32, 3, 13, 6)
    rows = np.random.default_rng(1).permutation(20)[:13]

    def ticked():
        backend = CudaBackend(SimulatedDevice(n_multiprocessors=2))
        streams, logits = backend.streams(backend.upload(params), 20), np.empty((3, 13, 4), "f4")
        streams.restore(make_state(shape, F32), rows)
        for t in range(3):
            streams.tick(x[t], logits[t], rows)
        streams.tick(np.resize(x[0], (20, 6)), all_logits := np.empty((20, 4), np.float32))
        return logits, all_logits, streams.snapshot().arena

    whole = ticked()
    monkeypatch.setattr(modules, "PIECE_BYTES", 1000)
    assert_same(ticked(), whole)


def test_a_step_is_one_copy_there_and_one_back():
    shape = Shape(6, (32, 64), 4, 1, 3)
    device = SimulatedDevice()
    backend, moved = CudaBackend(device), Counter()

    def count(name, real):
        def counted(*given):
            moved[name] += 1
            return real(*given)

        setattr(device, name, counted)

    for name in ("write", "read", "launch", "allocate"):
        count(name, getattr(device, name))
    state, logits = make_state(shape, F32), np.empty((3, 4), np.float32)
    stepper = backend.stepper(backend.upload(make_params(shape, F32)), state, logits)
    moved.clear()
    stepper.step(draw(shape, F32, 3, 6))
    assert moved == {"write": 1, "read": 1, "launch": 3}  # two layers and the head


def test_a_group_without_its_barrier_is_caught():
    """What the interpreter would find if groups did not wait for their hidden vectors."""
    run = Run(Shape(5, (40,), 3, 4, 6), ends=False)
    dropped = []

    def edit(text):
        left, n = re.subn(r"\n\s*bar\.sync\s+%r\d+,\s*%r\d+;", "\n", text)
        dropped.append(n)
        return left

    with pytest.raises(Fault, match="race"):
        run.on(CudaBackend(SimulatedDevice(n_multiprocessors=1, edit=edit)))
    assert sum(dropped) >= 2


@pytest.mark.parametrize("rows", ROWS)
def test_the_loop_over_k_does_no_more_than_it_must(rows):
    """For each k: 16 bytes of weights, 16 for four rows, 4 multiply-adds a row, and addresses."""
    text = compiled(launches.lstm_kernel(rows, projected=False, taped=True), "sm_90a")
    loops = []
    for label, body in re.findall(r"\n(\$L__BB\w+):\n((?:(?!\n\$L).)*)", text, re.DOTALL):
        if re.search(rf"bra\s+{re.escape(label)};", body):
            words = re.findall(r"\n\s*(?:@!?%p\d+ )?([a-z]\w*)[.\w]*", "\n" + body)
            loops.append(Counter(words))
    loops = [found for found in loops if found["fma"] >= 32]
    assert len(loops) == 4  # inputs and h, with weights in shared memory and not
    for found in loops:
        n_k = found["fma"] // (4 * rows)
        assert found["fma"] == 4 * rows * n_k
        assert found["ld"] == n_k + -(-n_k * rows // 4)
        assert set(found) <= {"fma", "ld", "add", "cvt", "setp", "bra", "mul", "shl", "mov"}
        rest = sum(found.values()) - found["fma"] - found["ld"]
        assert rest <= 6 * n_k + 6 + found["mov"]
