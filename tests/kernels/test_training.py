"""What only the compiled training promises: the bits of inference, and none that depend on chance.

The laws that all backends share are in test_contract.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rnn_make import Shape, draw, make_lengths, make_params, make_state
from rnn_shapes import shapes

from streamrnn.kernels.params import AdamSpec, Batch, LossSpec, OptState, State
from streamrnn.kernels.rnn import training
from streamrnn.kernels.rnn.cpu import CpuBackend

pytestmark = pytest.mark.parametrize("dtype", ["float32", "float64"])
#: More steps than are added at once, and more slices than parts.
LARGE = Shape(n_in=7, hidden=(33, 17), n_classes=5, n_steps=37, n_rows=75)
ADAM = AdamSpec(0.02, weight_decay=0.1)


@pytest.fixture
def sharing(monkeypatch):
    """Let small updates be shared by threads too."""
    monkeypatch.setattr(training, "MIN_SHARED", 0)


def make_batch(shape, dtype):
    rng = np.random.default_rng([shape.seed, 6])
    size = (shape.n_steps, shape.n_rows)
    return Batch(
        x=draw(shape, dtype, *size, shape.n_in),
        targets=rng.integers(0, shape.n_classes, size),
        weights=(rng.random(size) * (rng.random(size) > 0.4)).astype(dtype),
        lengths=make_lengths(shape),
        state=make_state(shape, dtype),
        out_mask=draw(shape, dtype, shape.n_rows, shape.hidden[-1], salt=9),
    )


def loss_of(shape, dtype):
    return LossSpec(np.arange(1, shape.n_classes + 1).astype(dtype), 0.1)


def update(shape, dtype, batch, *, n=2, n_threads=1):
    """Do some updates; return what they report, the weights and the optimiser's memory."""
    backend, params = CpuBackend(n_threads), make_params(shape, dtype)
    handle, opt = backend.upload(params), OptState.zeros(params)
    results = [
        backend.train_step(handle, batch, loss_of(shape, dtype), ADAM, opt) for _ in range(n)
    ]
    weights = backend.download(handle)
    return results, [a for form in (weights, opt.m, opt.v) for a in form.arrays()]


def assert_same_bits(got, expected):
    assert got[0] == expected[0]
    for a, b in zip(got[1], expected[1], strict=True):
        assert np.array_equal(a, b)


@given(shape=shapes, masked=st.booleans())
@settings(max_examples=25)
def test_forward_with_a_tape_is_inference_to_the_bit(dtype, shape, masked):
    backend = CpuBackend()
    handle = backend.upload(make_params(shape, dtype))
    x, lengths = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_in), make_lengths(shape)
    mask = draw(shape, dtype, shape.n_rows, shape.hidden[-1], salt=9) if masked else None
    state, taped = make_state(shape, dtype), make_state(shape, dtype)
    logits, _ = backend.forward(handle, x, state, lengths, mask)
    with_tape, _ = backend.forward(handle, x, taped, lengths, mask, keep_tape=True)
    assert np.array_equal(with_tape, logits)
    assert np.array_equal(taped.arena, state.arena)


@pytest.mark.usefixtures("sharing")
@pytest.mark.parametrize("n_threads", [2, 3, 16])
def test_any_number_of_threads_gives_the_same_bits(dtype, n_threads):
    batches = [make_batch(LARGE, dtype) for _ in range(2)]
    alone = update(LARGE, dtype, batches[0])
    assert_same_bits(update(LARGE, dtype, batches[1], n_threads=n_threads), alone)
    assert np.array_equal(batches[0].state.arena, batches[1].state.arena)


@given(shape=shapes, more_steps=st.integers(0, 40), more_rows=st.integers(0, 3))
@settings(max_examples=15)
def test_padding_changes_no_bit(dtype, shape, more_steps, more_rows):
    """Steps behind all ends, and rows of no steps that still fit into the last slice."""
    more_rows = min(more_rows, -shape.n_rows % 8)
    batch = make_batch(shape, dtype)
    expected = update(shape, dtype, replace(batch, state=batch.state.copy()))

    def pad(a, *widths):
        return np.pad(a, [(0, n) for n in (*widths, *([0] * (a.ndim - len(widths))))], mode="edge")

    padded = Batch(
        x=pad(batch.x, more_steps, more_rows),
        targets=pad(batch.targets, more_steps, more_rows),
        weights=pad(batch.weights, more_steps, more_rows),
        lengths=np.pad(batch.lengths, (0, more_rows)),
        state=State(
            tuple(pad(a, more_rows) for a in batch.state.h),
            tuple(pad(a, more_rows) for a in batch.state.c),
        ),
        out_mask=pad(batch.out_mask, more_rows),
    )
    assert_same_bits(update(shape, dtype, padded), expected)


def test_weights_that_moved_are_those_that_run(dtype):
    backend, batch = CpuBackend(), make_batch(LARGE, dtype)
    params = make_params(LARGE, dtype)
    handle, opt = backend.upload(params), OptState.zeros(params)
    for _ in range(3):
        backend.train_step(handle, batch, loss_of(LARGE, dtype), ADAM, opt)
    fresh = backend.upload(backend.download(handle))
    end, end0 = make_state(LARGE, dtype), make_state(LARGE, dtype)
    logits, logits0 = (backend.forward(h, batch.x, s)[0] for h, s in ((handle, end), (fresh, end0)))
    assert np.array_equal(logits, logits0)
    assert np.array_equal(end.arena, end0.arena)


def test_a_run_that_is_resumed_cannot_differ(dtype):
    """From copies of weights, moments and state, in other buffers, with batches of other shapes."""
    small = replace(LARGE, n_steps=9, n_rows=4)
    backend, spec = CpuBackend(), loss_of(LARGE, dtype)
    params = make_params(LARGE, dtype)
    handle, opt = backend.upload(params), OptState.zeros(params)
    batches = [make_batch(LARGE, dtype), make_batch(small, dtype)] * 3
    states = [batch.state.copy() for batch in batches]
    for k, batch in enumerate(batches):
        if k == 3:
            kept = backend.download(handle), OptState(opt.m.copy(), opt.v.copy(), opt.n_updates)
        now = replace(batch, state=states[k].copy())
        backend.train_step(handle, now, spec, ADAM, opt)
    again, opt_again = backend.upload(kept[0]), kept[1]
    for k in range(3, 6):
        now = replace(batches[k], state=states[k].copy())
        backend.train_step(again, now, spec, ADAM, opt_again)
    for form, form0 in (
        (backend.download(again), backend.download(handle)),
        (opt_again.m, opt.m),
        (opt_again.v, opt.v),
    ):
        for a, b in zip(form.arrays(), form0.arrays(), strict=True):
            assert np.array_equal(a, b)


def test_a_new_memory_of_the_optimiser_is_taken(dtype):
    backend, batch = CpuBackend(), make_batch(LARGE, dtype)
    params = make_params(LARGE, dtype)
    handle, opt = backend.upload(params), OptState.zeros(params)
    backend.train_step(handle, batch, loss_of(LARGE, dtype), ADAM, opt)
    old = opt.m.copy()
    opt.m = opt.m.zeros_like()
    kept = opt.m
    backend.train_step(handle, batch, loss_of(LARGE, dtype), ADAM, opt)
    assert opt.m is kept
    assert not any(np.array_equal(a, b) for a, b in zip(kept.arrays(), old.arrays(), strict=True))
    assert all(a.any() for a in kept.arrays())
