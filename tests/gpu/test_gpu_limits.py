"""Demands that are too large are refused in one clear line, and the GPU goes on working."""

from __future__ import annotations

import gpu_sizes
import laws
import numpy as np
import pytest
from rnn_make import Shape, draw, make_params

from streamrnn.core.errors import BackendUnavailable
from streamrnn.kernels.params import AdamSpec, Batch, LossSpec, OptState, State

F32 = "float32"
#: One line, with figures and what to do.
WORDS = (
    r"\A.*\d+ bytes.*\Z" if gpu_sizes.SMALL else r"\A.*\d+ MiB.*(smaller|shorter|fewer|less).*\Z"
)
#: How many hidden units make up a unit of memory.
N_HIDDEN = 8 if gpu_sizes.SMALL else 512


@pytest.fixture
def n_bytes(backend):
    """All of the device's memory, and the laws hold after what was done to it."""
    device = getattr(backend, "device", None)
    if device is None:
        pytest.skip("what stands in for the GPU has no memory of its own")
    yield device.memory_bytes if gpu_sizes.SMALL else device.n_bytes
    laws.forward_and_backward_equal_the_oracle(backend, F32, laws.ODD, True, True)


def n_free(device):
    """Return how many bytes of a device are free."""
    return device.n_free_bytes


def long_run(total, share):
    """Return one-input sequences whose tape takes `share` of the memory, at 24 bytes a unit."""
    n_rows = 4 if gpu_sizes.SMALL else 1024
    n_steps = int(share * total / (24 * N_HIDDEN * n_rows)) + 1
    shape = Shape(1, (N_HIDDEN,), 1, n_steps, n_rows, weight=0.05)
    return shape, np.zeros((n_steps, n_rows, 1), F32)


def test_a_tape_that_does_not_fit_is_refused(backend, n_bytes):
    shape, x = long_run(n_bytes, 1.3)
    handle = backend.upload(make_params(shape, F32))
    state = backend.zero_state(handle, shape.n_rows)
    with pytest.raises(BackendUnavailable, match=WORDS):
        backend.forward(handle, x, state, keep_tape=True)
    assert not state.arena.any()


def test_an_update_that_does_not_fit_is_refused(backend, n_bytes):
    shape, x = long_run(n_bytes, 1.3)
    params = make_params(shape, F32)
    handle, opt = backend.upload(params), OptState.zeros(params)
    size = x.shape[:2]
    batch = Batch(
        x, np.zeros(size, np.int64), np.ones(size, F32), np.full(size[1], size[0]),
        State.zeros(shape.hidden, size[1], np.dtype(F32)),
    )  # fmt: skip
    with pytest.raises(BackendUnavailable, match=WORDS):
        backend.train_step(handle, batch, LossSpec(np.ones(1, F32)), AdamSpec(1e-3), opt)
    assert opt.n_updates == 0
    for a, b in zip(backend.download(handle).arrays(), params.arrays(), strict=True):
        assert np.array_equal(a, b)


def test_too_many_streams_are_refused(backend, n_bytes):
    handle = backend.upload(make_params(Shape(1, (N_HIDDEN,), 1, 1, 1), F32))
    with pytest.raises(BackendUnavailable, match=WORDS):
        backend.streams(handle, int(1.3 * n_bytes / (8 * N_HIDDEN)))


def test_a_long_run_takes_no_more_memory_than_a_piece_of_it(backend, n_bytes, monkeypatch):
    """In pieces it has the bits of slices with the state carried, and leaves no memory behind."""
    n_rows, n_steps, n_slice = (3, 12, 5) if gpu_sizes.SMALL else (1024, 3000, 700)
    if gpu_sizes.SMALL:
        monkeypatch.setattr("streamrnn.kernels.cuda.backend.PIECE_BYTES", 1024)
    shape = Shape(1, (N_HIDDEN,), 1, n_steps, n_rows, weight=0.05)
    handle = backend.upload(make_params(shape, F32))
    x = draw(shape, F32, n_steps, n_rows, 1)
    before = n_free(backend.device)
    whole, carried = (backend.zero_state(handle, n_rows) for _ in range(2))
    logits, _ = backend.forward(handle, x, whole)
    assert before - n_free(backend.device) < 1 << 30  # all at once would be 6 GB
    for begin in range(0, n_steps, n_slice):
        some, _ = backend.forward(handle, x[begin : begin + n_slice], carried)
        assert np.array_equal(logits[begin : begin + n_slice], some)
    assert np.array_equal(whole.arena, carried.arena)


def test_memory_comes_back(backend, n_bytes):
    """Many uploads, tapes and streams, one after the other, do not fill the device."""
    shape = laws.ODD if gpu_sizes.SMALL else Shape(6, (256,), 5, 200, 1024, weight=0.06)
    params = make_params(shape, F32)
    x = draw(shape, F32, shape.n_steps, shape.n_rows, shape.n_in)

    def use():
        handle = backend.upload(params)
        backend.forward(handle, x, backend.zero_state(handle, shape.n_rows), keep_tape=True)
        backend.streams(handle, 10 * shape.n_rows).reset()

    use()
    before = n_free(backend.device)
    for _ in range(2 if gpu_sizes.SMALL else 30):
        use()
    assert n_free(backend.device) >= before - n_bytes // 50


@pytest.mark.parametrize("hidden", [(513,), (4, 700)])
def test_layers_that_are_too_wide_are_refused(backend, hidden):
    if not hasattr(backend, "device"):
        pytest.skip("what stands in for the GPU takes any width")
    with pytest.raises((BackendUnavailable, ValueError), match="512"):
        backend.upload(make_params(Shape(2, hidden, 2, 1, 1), F32))


def test_weights_in_float64_are_refused(backend):
    if not hasattr(backend, "device"):
        pytest.skip("what stands in for the GPU takes float64")
    with pytest.raises(ValueError, match="float32"):
        backend.upload(make_params(laws.ODD, "float64"))


def test_rows_far_beyond_32_bits_of_memory_are_those_run_alone(backend, n_bytes):
    """A tape of more than 2**32 numbers: the last rows have the bits of a small batch."""
    n_rows, n_steps = (5, 3) if gpu_sizes.SMALL else (2048, 1100)
    if not gpu_sizes.SMALL and n_bytes < 48 << 30:
        pytest.skip("the device has too little memory for so long a tape")
    shape = Shape(1, (N_HIDDEN,), 1, n_steps, n_rows, weight=0.05)
    handle = backend.upload(make_params(shape, F32))
    x, d_logits = draw(shape, F32, n_steps, n_rows, 1), draw(shape, F32, n_steps, n_rows, 1, salt=3)
    found = []
    for rows in (slice(None), slice(n_rows - 2, None)):
        part = np.ascontiguousarray(x[:, rows])
        state = backend.zero_state(handle, part.shape[1])
        logits, tape = backend.forward(handle, part, state, keep_tape=True)
        _, d_x, _ = backend.backward(handle, tape, np.ascontiguousarray(d_logits[:, rows]))
        found.append((logits[:, -2:], d_x[:, -2:], state.h[0][-2:]))
        del tape
    for got, expected in zip(*found, strict=True):
        assert np.array_equal(got, expected)
