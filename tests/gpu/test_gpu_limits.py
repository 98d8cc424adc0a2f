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
WORDS = r"(?s)^(?!.*\n).*MiB.*(smaller|shorter|fewer|less)"


@pytest.fixture
def n_bytes(backend):
    """All of the device's memory, and the laws hold after what was done to it."""
    total = getattr(getattr(backend, "device", None), "n_bytes", None)
    if total is None:
        pytest.skip("what stands in for the GPU has no memory of its own")
    yield total
    laws.forward_and_backward_equal_the_oracle(backend, F32, laws.ODD, True, True)


def long_run(total, share):
    """Return one-input sequences whose tape takes `share` of the memory, at 24 bytes a unit."""
    n_hidden = 8 if gpu_sizes.SMALL else 512
    n_rows = 4 if gpu_sizes.SMALL else 1024
    n_steps = int(share * total / (24 * n_hidden * n_rows)) + 1
    shape = Shape(1, (n_hidden,), 1, n_steps, n_rows, weight=0.05)
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
    handle = backend.upload(make_params(Shape(1, (8,), 1, 1, 1), F32))
    with pytest.raises(BackendUnavailable, match=WORDS):
        backend.streams(handle, n_bytes // 16)


def test_a_run_longer_than_the_memory_goes_on_in_pieces(backend, n_bytes):
    """Without a tape any length fits, and it has the bits of its beginning run alone."""
    n_hidden, n_rows = (64, 4) if gpu_sizes.SMALL else (512, 4096)
    n_steps = int(min(n_bytes, 100 << 30) * 1.1 / (4 * n_hidden * n_rows))
    if n_steps * n_rows > 20e6:
        pytest.skip("the host would be busy for long")
    shape = Shape(1, (n_hidden,), 1, 3, n_rows, weight=0.05)
    handle = backend.upload(make_params(shape, F32))
    x = np.tile(draw(shape, F32, 1, n_rows, 1), (n_steps, 1, 1))
    whole, begin = (backend.zero_state(handle, n_rows) for _ in range(2))
    logits, _ = backend.forward(handle, x, whole)
    some, _ = backend.forward(handle, x[:50], begin)
    assert np.array_equal(logits[:50], some)
    assert np.isfinite(whole.arena).all()


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
    free = backend.device.n_free_bytes
    before = free()
    for _ in range(2 if gpu_sizes.SMALL else 30):
        use()
    assert free() >= before - n_bytes // 50


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
