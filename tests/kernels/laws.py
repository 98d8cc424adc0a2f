"""The laws that every backend keeps (streamrnn/kernels/backend.py): running and gradients.

Each law takes a backend, a dtype and the sizes of what is run, and needs NumPy and pytest alone: so
it can be asked of any device, here or where nothing else is installed. The laws of updates are in
update_laws.py, those of the ways to run a network in ways_laws.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rnn_make import Shape, assert_close, draw, make_lengths, make_params, make_state, row_of

from streamrnn.kernels import get_backend
from streamrnn.kernels.params import State

#: What the others are held to.
ORACLE = get_backend("numpy")
#: Two layers of different, odd sizes, and more rows than one slice. Laws that touch single rows ask
#: for 6 rows or more.
ODD = Shape(n_in=5, hidden=(17, 6), n_classes=3, n_steps=7, n_rows=11)


def run(backend, params, x, state, lengths=None, mask=None):
    """Forward on a fresh handle; the state is overwritten."""
    return backend.forward(backend.upload(params), x, state, lengths, mask)[0]


def run_back(backend, params, x, state, d_logits, lengths=None, mask=None, d_state=None):
    handle = backend.upload(params)
    _, tape = backend.forward(handle, x, state.copy(), lengths, mask, keep_tape=True)
    return backend.backward(handle, tape, d_logits, d_state)


def forward_and_backward_equal_the_oracle(backend, dtype, shape, ends, masked):
    params = make_params(shape, dtype)
    x = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_in)
    d_logits = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_classes)
    lengths = make_lengths(shape) if ends else None
    mask = draw(shape, dtype, shape.n_rows, shape.hidden[-1], salt=9) if masked else None
    got, expected = make_state(shape, dtype), make_state(shape, dtype)
    assert_close(
        run(backend, params, x, got, lengths, mask), run(ORACLE, params, x, expected, lengths, mask)
    )
    assert_close(got.arena, expected.arena)
    back = [
        run_back(
            which,
            params,
            x,
            make_state(shape, dtype),
            d_logits,
            lengths,
            mask,
            make_state(shape, dtype, salt=7),
        )
        for which in (backend, ORACLE)
    ]
    (grads, d_x, d_start), (grads0, d_x0, d_start0) = back
    for g, g0 in zip(grads.arrays(), grads0.arrays(), strict=True):
        assert_close(g, g0)
    assert_close(d_x, d_x0)
    assert_close(d_start.arena, d_start0.arena)


def forward_is_repeated_steps_to_the_bit(backend, dtype, shape):
    params = make_params(shape, dtype)
    x = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_in)
    whole = make_state(shape, dtype)
    expected = run(backend, params, x, whole)
    handle, state = backend.upload(params), make_state(shape, dtype)
    logits = np.empty((shape.n_rows, shape.n_classes), dtype)
    for t in range(shape.n_steps):
        backend.step(handle, x[t], state, logits)
        assert np.array_equal(logits, expected[t])
    assert np.array_equal(state.arena, whole.arena)


def a_row_of_a_batch_is_the_row_alone_to_the_bit(backend, dtype, shape):
    params = make_params(shape, dtype)
    x = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_in)
    d_logits = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_classes)
    lengths, state = make_lengths(shape), make_state(shape, dtype)
    after = state.copy()
    logits = run(backend, params, x, after, lengths)
    _, d_x, d_start = run_back(backend, params, x, state, d_logits, lengths)
    row = shape.seed % shape.n_rows
    rows, alone = slice(row, row + 1), row_of(state, row)
    _, d_x_alone, d_start_alone = run_back(
        backend, params, x[:, rows], alone, d_logits[:, rows], lengths[rows]
    )
    assert np.array_equal(run(backend, params, x[:, rows], alone, lengths[rows]), logits[:, rows])
    assert np.array_equal(alone.arena, row_of(after, row).arena)
    assert np.array_equal(d_x_alone, d_x[:, rows])
    assert np.array_equal(d_start_alone.arena, row_of(d_start, row).arena)


def padding_changes_nothing(backend, dtype, shape, n_more):
    params, lengths = make_params(shape, dtype), make_lengths(shape)
    x = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_in)
    d_logits = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_classes)
    junk_x = np.full((shape.n_steps + n_more, shape.n_rows, shape.n_in), np.nan, dtype)
    junk_d = np.full((shape.n_steps + n_more, shape.n_rows, shape.n_classes), np.nan, dtype)
    for row, end in enumerate(lengths):
        junk_x[:end, row], junk_d[:end, row] = x[:end, row], d_logits[:end, row]
    clean, padded = make_state(shape, dtype), make_state(shape, dtype)
    expected = run(backend, params, x, clean, lengths)
    got = run(backend, params, junk_x, padded, lengths)
    assert np.array_equal(got[: shape.n_steps], expected)
    assert not got[shape.n_steps :].any()
    assert np.array_equal(padded.arena, clean.arena)
    start = make_state(shape, dtype)
    grads0, d_x0, d_start0 = run_back(backend, params, x, start, d_logits, lengths)
    grads, d_x, d_start = run_back(backend, params, junk_x, start, junk_d, lengths)
    for g, g0 in zip(grads.arrays(), grads0.arrays(), strict=True):
        assert np.array_equal(g, g0)
    assert np.array_equal(d_x[: shape.n_steps], d_x0)
    assert not d_x[shape.n_steps :].any()
    assert np.array_equal(d_start.arena, d_start0.arena)


def slices_with_the_state_carried_are_one_long_run(
    backend, dtype, shape=ODD, *, n_steps=50, n_slice=13
):
    params = make_params(shape, dtype)
    x = draw(shape, dtype, n_steps, shape.n_rows, shape.n_in)
    d_logits = draw(shape, dtype, n_steps, shape.n_rows, shape.n_classes)
    whole = make_state(shape, dtype)
    expected = run(backend, params, x, whole)
    grads0, d_x0, d_start0 = run_back(backend, params, x, make_state(shape, dtype), d_logits)
    handle, state, tapes = backend.upload(params), make_state(shape, dtype), []
    for t in range(0, n_steps, n_slice):
        logits, tape = backend.forward(handle, x[t : t + n_slice], state, keep_tape=True)
        assert np.array_equal(logits, expected[t : t + n_slice])
        tapes.append((t, tape))
    assert np.array_equal(state.arena, whole.arena)
    d_state, total = None, params.zeros_like()
    for t, tape in reversed(tapes):
        grads, d_x, d_state = backend.backward(handle, tape, d_logits[t : t + n_slice], d_state)
        assert np.array_equal(d_x, d_x0[t : t + n_slice])
        for g, part in zip(total.arrays(), grads.arrays(), strict=True):
            g[...] = g + part
    assert np.array_equal(d_state.arena, d_start0.arena)
    for g, g0 in zip(total.arrays(), grads0.arrays(), strict=True):
        assert_close(g, g0)


def gradients_are_finite_differences(backend, dtype, hidden, wide_backend):
    """`wide_backend` takes the differences; it is the oracle where `backend` has no float64."""
    shape = replace(ODD, hidden=hidden, n_steps=6, n_rows=6)
    params, state = make_params(shape, dtype), make_state(shape, dtype)
    x = draw(shape, dtype, 6, 6, shape.n_in)
    d_logits = draw(shape, dtype, 6, 6, shape.n_classes)
    d_end, lengths = make_state(shape, dtype, salt=7), np.arange(1, 7)
    mask = draw(shape, dtype, 6, hidden[-1], salt=9)
    grads, d_x, d_start = run_back(backend, params, x, state, d_logits, lengths, mask, d_end)

    # Differences are taken in float64, where they show a gradient; float32 sums 100 roundings.
    tolerance = {"rel": 1e-6, "abs": 1e-7} if dtype == "float64" else {"rel": 1e-4, "abs": 1e-4}
    wide = params.with_arrays([a.astype("float64") for a in params.arrays()])
    x, d_logits, mask = (a.astype("float64") for a in (x, d_logits, mask))
    state, d_end = (
        State(tuple(a.astype("f8") for a in s.h), tuple(a.astype("f8") for a in s.c))
        for s in (state, d_end)
    )

    def value() -> float:
        end = state.copy()
        logits = run(wide_backend, wide, x, end, lengths, mask)
        return float((logits * d_logits).sum() + (end.arena * d_end.arena).sum())

    def check(array: np.ndarray, gradient: np.ndarray) -> None:
        way = np.random.default_rng(array.size).standard_normal(array.shape)
        kept, eps = array.copy(), 1e-5
        array += eps * way
        up = value()
        array[...] = kept - eps * way
        down = value()
        array[...] = kept
        # The error of a central difference: eps^2 of curvature, and 1e-16 / eps of rounding.
        assert (up - down) / (2 * eps) == pytest.approx((gradient * way).sum(), **tolerance)

    for array, gradient in zip(wide.arrays(), grads.arrays(), strict=True):
        check(array, gradient)
    check(x, d_x)
    for array, gradient in zip(state.h + state.c, d_start.h + d_start.c, strict=True):
        check(array, gradient)


def nan_stays_in_its_row(backend, dtype, shape=ODD):
    params, state = make_params(shape, dtype), make_state(shape, dtype)
    x = draw(shape, dtype, 20, shape.n_rows, shape.n_in)
    expected = run(backend, params, x, state.copy())
    x[3, 4, 0] = np.nan
    got = run(backend, params, x, state)
    assert np.array_equal(np.delete(got, 4, axis=1), np.delete(expected, 4, axis=1))
    assert np.array_equal(got[:3, 4], expected[:3, 4])
    assert np.isnan(got[3:, 4]).all()
    assert all(np.isnan(a[4]).all() for a in state.h)


def huge_inputs_saturate(backend, dtype, size, shape=ODD):
    params, state = make_params(shape, dtype), make_state(shape, dtype)
    x = (size * draw(shape, dtype, 9, shape.n_rows, shape.n_in)).astype(dtype)
    expected_state = state.copy()
    expected = run(ORACLE, params, x, expected_state)
    got = run(backend, params, x, state)
    assert np.isfinite(got).all()
    if dtype == "float64" or size < 1e10:  # else x itself overflows single cells' sums in any order
        assert_close(got, expected)


def rows_of_no_steps_keep_their_state(backend, dtype, shape=ODD):
    params, state = make_params(shape, dtype), make_state(shape, dtype)
    state.h[0][2], state.c[-1][2] = np.nan, np.nan
    before = state.copy()
    lengths = np.zeros(shape.n_rows, np.int64)
    x = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_in)
    d_logits = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_classes)
    d_end = make_state(shape, dtype, salt=7)
    grads, d_x, d_start = run_back(backend, params, x, state, d_logits, lengths, None, d_end)
    assert not run(backend, params, x, state, lengths).any()
    assert np.array_equal(state.arena, before.arena, equal_nan=True)
    assert not any(g.any() for g in grads.arrays())
    assert not d_x.any()
    assert np.array_equal(d_start.arena, d_end.arena)


def reset_rows_and_download(backend, dtype, shape=ODD):
    params = make_params(shape, dtype)
    handle, state = backend.upload(params), make_state(shape, dtype)
    before = state.copy()
    backend.reset_rows(state, np.array([1, 3]))
    for a, b in zip(state.h + state.c, before.h + before.c, strict=True):
        assert not a[[1, 3]].any()
        assert np.array_equal(np.delete(a, [1, 3], 0), np.delete(b, [1, 3], 0))
    assert not backend.zero_state(handle, 3).arena.any()
    copy = backend.download(handle)
    for a, b in zip(copy.arrays(), params.arrays(), strict=True):
        assert np.array_equal(a, b)
        a[...] = 0
    assert np.array_equal(backend.download(handle).w_out, params.w_out)


def wrong_arguments_are_named(backend, dtype):
    params = make_params(ODD, dtype)
    handle, state = backend.upload(params), make_state(ODD, dtype)
    x, logits = np.zeros((ODD.n_rows, ODD.n_in), dtype), np.zeros((ODD.n_rows, 3), dtype)
    with pytest.raises(ValueError, match=r"x is .*\(11, 4\), expected .*\(11, 5\)"):
        backend.step(handle, x[:, 1:], state, logits)
    with pytest.raises(ValueError, match=r"logits .*\(11, 2\), expected .*\(11, 3\)"):
        backend.step(handle, x, state, logits[:, 1:])
    with pytest.raises(ValueError, match=r"x is float16"):
        backend.step(handle, x.astype(np.float16), state, logits)
    with pytest.raises(ValueError, match=r"x is .*, expected .*\(.*11, 5\)"):
        backend.forward(handle, np.zeros((2, 3, 5), dtype), state)
    with pytest.raises(ValueError, match=r"lengths are \[3.*, expected 11 numbers in 0\.\.2"):
        backend.forward(handle, np.zeros((2, 11, 5), dtype), state, np.full(11, 3))


def inputs_of_any_layout_are_read(backend, dtype, shape=ODD):
    params = make_params(shape, dtype)
    handle = backend.upload(params)
    x = draw(shape, dtype, shape.n_rows, shape.n_in)
    frozen = x.copy()
    frozen.flags.writeable = False
    expected, state = np.empty((shape.n_rows, shape.n_classes), dtype), make_state(shape, dtype)
    backend.step(handle, x, state, expected)
    for odd in (frozen, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        logits = np.empty_like(expected)
        backend.step(handle, odd, make_state(shape, dtype), logits)
        assert np.array_equal(logits, expected)
        out = run(backend, params, odd[None], make_state(shape, dtype))
        assert np.array_equal(out[0], expected)


def no_rows_and_no_steps(backend, dtype, shape=ODD):
    params = make_params(shape, dtype)
    n_rows, n_in, n_classes = shape.n_rows, shape.n_in, shape.n_classes
    none = State.zeros(shape.hidden, 0, np.dtype(dtype))
    assert run(backend, params, np.zeros((4, 0, n_in), dtype), none).shape == (4, 0, n_classes)
    state = make_state(shape, dtype)
    before = state.copy()
    no_steps = np.zeros((0, n_rows, n_in), dtype)
    assert run(backend, params, no_steps, state).shape == (0, n_rows, n_classes)
    assert np.array_equal(state.arena, before.arena)
