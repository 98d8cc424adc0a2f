"""The laws of streams whose state stays on the device (`Streams` in streamrnn/kernels/backend.py).

Each law takes a backend, a dtype and the sizes of a network, of which `n_rows` is the number of
streams and `n_steps` that of ticks. They need NumPy and pytest alone, so any device can be asked.
"""

from __future__ import annotations

import numpy as np
import pytest
from rnn_make import Shape, draw, make_params, make_state, row_of

from streamrnn.kernels.params import State

#: Two layers of odd sizes, and more streams than one slab of rows.
ODD = Shape(n_in=3, hidden=(17, 6), n_classes=3, n_steps=6, n_rows=19)


def _choose(rng, n_streams):
    """Return some streams in any order, or None for all of them."""
    if rng.random() < 0.2:
        return None
    return rng.permutation(n_streams)[: rng.integers(0, n_streams + 1)].astype(np.int64)


def _same(a: State, b: State) -> bool:
    return np.array_equal(a.arena, b.arena, equal_nan=True)


def _started(backend, dtype, shape, precision="exact"):
    """Return a handle, streams that are not at zero, and what they hold.

    Rounded streams may hold a rounded state.
    """
    handle = backend.upload(make_params(shape, dtype), precision=precision)
    streams, state = backend.streams(handle, shape.n_rows), make_state(shape, dtype)
    streams.restore(state)
    if precision != "exact":
        return handle, streams, streams.snapshot()
    assert _same(streams.snapshot(), state)
    return handle, streams, state


def a_stream_is_the_same_stepped_alone(backend, dtype, shape, precision="exact"):
    """Ticks of any streams in any order, resets and restores between them: the same bits."""
    handle, streams, start = _started(backend, dtype, shape, precision)
    assert streams.n_streams == shape.n_rows
    alone = [row_of(start, n) for n in range(shape.n_rows)]
    rng = np.random.default_rng([shape.seed, 21])
    expected = np.empty((1, shape.n_classes), dtype)
    for t in range(shape.n_steps):
        rows = _choose(rng, shape.n_rows)
        named = range(shape.n_rows) if rows is None else rows.tolist()
        x = draw(shape, dtype, len(named), shape.n_in, salt=30 + t)
        logits = np.full((len(named), shape.n_classes), np.nan, dtype)
        streams.tick(x, logits, rows)
        for r, n in enumerate(named):
            backend.step(handle, x[r : r + 1], alone[n], expected)
            assert np.array_equal(logits[r], expected[0])
        fresh = rng.permutation(shape.n_rows)[: shape.n_rows // 4]
        streams.reset(fresh)
        for n in fresh:
            alone[n].arena[:] = 0
    for n in range(shape.n_rows):
        assert _same(streams.snapshot(np.array([n])), alone[n])
    streams.reset()
    assert not streams.snapshot().arena.any()


def a_snapshot_goes_on_anywhere(backend, elsewhere, dtype, shape):
    """Streams that moved to other places, by way of another backend, continue with the same bits.

    `elsewhere` only keeps the state; it may be `backend`.
    """
    handle, streams, _ = _started(backend, dtype, shape)
    rng = np.random.default_rng([shape.seed, 22])
    rows = rng.permutation(shape.n_rows)
    moved = streams.snapshot(rows)
    for r, n in enumerate(rows):
        assert _same(row_of(moved, r), streams.snapshot(np.array([n])))
    there = elsewhere.streams(elsewhere.upload(make_params(shape, dtype)), shape.n_rows + 2)
    places = rng.permutation(shape.n_rows + 2)[: shape.n_rows]
    there.restore(moved, places)
    back = backend.streams(handle, shape.n_rows + 5)
    others = rng.permutation(shape.n_rows + 5)[: shape.n_rows]
    back.restore(there.snapshot(places), others)
    for t in range(shape.n_steps):
        x = draw(shape, dtype, shape.n_rows, shape.n_in, salt=60 + t)
        here, far = (np.empty((shape.n_rows, shape.n_classes), dtype) for _ in range(2))
        streams.tick(x, here, rows)
        back.tick(x, far, others)
        assert np.array_equal(here, far)
    assert _same(streams.snapshot(rows), back.snapshot(others))


def a_snapshot_is_a_copy(backend, dtype, shape):
    """What is done to a snapshot, or to the state that was restored, changes no stream."""
    _, streams, state = _started(backend, dtype, shape)
    kept = streams.snapshot()
    state.arena[:] = 7
    streams.snapshot().arena[:] = 8
    assert _same(streams.snapshot(), kept)
    x = draw(shape, dtype, shape.n_rows, shape.n_in)
    copy = kept.copy()
    streams.tick(x, np.empty((shape.n_rows, shape.n_classes), dtype))
    assert _same(kept, copy)


def nan_stays_in_its_stream(backend, dtype, shape):
    """A stream that was given NaN is lost until it is reset; the others do not notice."""
    handle, streams, state = _started(backend, dtype, shape)
    x = draw(shape, dtype, shape.n_rows, shape.n_in)
    logits = np.empty((shape.n_rows, shape.n_classes), dtype)
    expected = logits.copy()
    backend.step(handle, x, state, expected)
    x[1] = np.nan
    streams.tick(x, logits)
    others = np.arange(shape.n_rows) != 1
    assert np.array_equal(logits[others], expected[others])
    assert np.isnan(logits[1]).all()
    streams.reset(np.array([1]))
    assert np.isfinite(streams.snapshot().arena).all()


def wrong_ticks_are_named(backend, dtype, shape):
    """The message says what is wrong, and no state has changed."""
    handle, streams, _ = _started(backend, dtype, shape)
    before = streams.snapshot()
    n, n_in, n_classes = shape.n_rows, shape.n_in, shape.n_classes
    x, logits = np.zeros((n, n_in), dtype), np.zeros((n, n_classes), dtype)
    other = np.float64 if dtype == "float32" else np.float32
    one, two = np.array([0]), np.array([0, 1])
    for arguments, words in (
        ((x[:2], logits), "x is"),
        ((x[:, :-1], logits), "x is"),
        ((x.astype(other), logits), "x is"),
        ((x, logits[:, :-1]), "logits is"),
        ((x, logits[::-1]), "logits is overwritten"),
        ((x, logits.astype(other)), "logits is"),
        ((x[:2], logits[:2], one), "x is"),
        ((x[:2], logits[:1], two), "logits is"),
        ((x[:1], logits[:1], np.array([n])), f"rows name stream {n}, expected 0..{n - 1}"),
        ((x[:2], logits[:2], np.array([0, -1])), "rows name stream -1, expected"),
        ((x[:2], logits[:2], np.array([1, 1])), "rows name stream 1 more than once"),
        ((x[:1], logits[:1], np.array([0.0])), "rows is float64"),
        ((x[:1], logits[:1], np.array([0], np.int32)), "rows is int32"),
        ((x[:1], logits[:1], one[None]), "rows is int64"),
    ):
        with pytest.raises(ValueError, match=words):
            streams.tick(*arguments)
    for call in (streams.reset, streams.snapshot):
        with pytest.raises(ValueError, match="rows name stream 0 more than once"):
            call(np.array([0, 0]))
    sizes = shape.hidden
    for state, rows in (
        (State.zeros(sizes, n + 1, np.dtype(dtype)), None),
        (State.zeros(sizes, 1, np.dtype(dtype)), two),
        (State.zeros((*sizes, 2), n, np.dtype(dtype)), None),
        (State.zeros(sizes, n, np.dtype(other)), None),
    ):
        with pytest.raises(ValueError, match="state is"):
            streams.restore(state, rows)
    assert _same(streams.snapshot(), before)
    streams.tick(x[:0], logits[:0], np.empty(0, np.int64))
    streams.reset(np.empty(0, np.int64))
    assert _same(streams.snapshot(), before)
    with pytest.raises(ValueError, match="n_streams is 0, expected 1 or more"):
        backend.streams(handle, 0)
