"""The laws that every backend keeps (streamrnn/kernels/backend.py), in each dtype."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rnn_make import (
    Shape,
    assert_close,
    draw,
    make_lengths,
    make_params,
    make_state,
    row_of,
    shapes,
)

from streamrnn.core.errors import ConfigError
from streamrnn.kernels import get_backend
from streamrnn.kernels.params import AdamSpec, Batch, LossSpec, OptState, State

pytestmark = [
    pytest.mark.parametrize("name", ["numpy", "cpu"]),
    pytest.mark.parametrize("dtype", ["float32", "float64"]),
]
ODD = Shape(n_in=5, hidden=(17, 6), n_classes=3, n_steps=7, n_rows=11)


def run(name, params, x, state, lengths=None, mask=None):
    """Forward on a fresh handle; the state is overwritten."""
    backend = get_backend(name)
    return backend.forward(backend.upload(params), x, state, lengths, mask)[0]


def run_back(name, params, x, state, d_logits, lengths=None, mask=None, d_state=None):
    backend = get_backend(name)
    handle = backend.upload(params)
    _, tape = backend.forward(handle, x, state.copy(), lengths, mask, keep_tape=True)
    return backend.backward(handle, tape, d_logits, d_state)


@given(shape=shapes, ends=st.booleans(), masked=st.booleans())
@settings(max_examples=25)
def test_forward_and_backward_equal_the_oracle(name, dtype, shape, ends, masked):
    params = make_params(shape, dtype)
    x = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_in)
    d_logits = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_classes)
    lengths = make_lengths(shape) if ends else None
    mask = draw(shape, dtype, shape.n_rows, shape.hidden[-1], salt=9) if masked else None
    got, expected = make_state(shape, dtype), make_state(shape, dtype)
    assert_close(
        run(name, params, x, got, lengths, mask), run("numpy", params, x, expected, lengths, mask)
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
        for which in (name, "numpy")
    ]
    (grads, d_x, d_start), (grads0, d_x0, d_start0) = back
    for g, g0 in zip(grads.arrays(), grads0.arrays(), strict=True):
        assert_close(g, g0)
    assert_close(d_x, d_x0)
    assert_close(d_start.arena, d_start0.arena)


@given(shape=shapes)
@settings(max_examples=25)
def test_forward_is_repeated_steps_to_the_bit(name, dtype, shape):
    params = make_params(shape, dtype)
    x = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_in)
    whole = make_state(shape, dtype)
    expected = run(name, params, x, whole)
    backend = get_backend(name)
    handle, state = backend.upload(params), make_state(shape, dtype)
    logits = np.empty((shape.n_rows, shape.n_classes), dtype)
    for t in range(shape.n_steps):
        backend.step(handle, x[t], state, logits)
        assert np.array_equal(logits, expected[t])
    assert np.array_equal(state.arena, whole.arena)


@given(shape=shapes)
@settings(max_examples=25)
def test_a_row_of_a_batch_is_the_row_alone_to_the_bit(name, dtype, shape):
    params = make_params(shape, dtype)
    x = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_in)
    d_logits = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_classes)
    lengths, state = make_lengths(shape), make_state(shape, dtype)
    after = state.copy()
    logits = run(name, params, x, after, lengths)
    _, d_x, d_start = run_back(name, params, x, state, d_logits, lengths)
    row = shape.seed % shape.n_rows
    rows, alone = slice(row, row + 1), row_of(state, row)
    _, d_x_alone, d_start_alone = run_back(
        name, params, x[:, rows], alone, d_logits[:, rows], lengths[rows]
    )
    assert np.array_equal(run(name, params, x[:, rows], alone, lengths[rows]), logits[:, rows])
    assert np.array_equal(alone.arena, row_of(after, row).arena)
    assert np.array_equal(d_x_alone, d_x[:, rows])
    assert np.array_equal(d_start_alone.arena, row_of(d_start, row).arena)


@given(shape=shapes, n_more=st.integers(1, 40))
@settings(max_examples=25)
def test_padding_changes_nothing(name, dtype, shape, n_more):
    params, lengths = make_params(shape, dtype), make_lengths(shape)
    x = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_in)
    d_logits = draw(shape, dtype, shape.n_steps, shape.n_rows, shape.n_classes)
    junk_x = np.full((shape.n_steps + n_more, shape.n_rows, shape.n_in), np.nan, dtype)
    junk_d = np.full((shape.n_steps + n_more, shape.n_rows, shape.n_classes), np.nan, dtype)
    for row, end in enumerate(lengths):
        junk_x[:end, row], junk_d[:end, row] = x[:end, row], d_logits[:end, row]
    clean, padded = make_state(shape, dtype), make_state(shape, dtype)
    expected = run(name, params, x, clean, lengths)
    got = run(name, params, junk_x, padded, lengths)
    assert np.array_equal(got[: shape.n_steps], expected)
    assert not got[shape.n_steps :].any()
    assert np.array_equal(padded.arena, clean.arena)
    start = make_state(shape, dtype)
    grads0, d_x0, d_start0 = run_back(name, params, x, start, d_logits, lengths)
    grads, d_x, d_start = run_back(name, params, junk_x, start, junk_d, lengths)
    for g, g0 in zip(grads.arrays(), grads0.arrays(), strict=True):
        assert np.array_equal(g, g0)
    assert np.array_equal(d_x[: shape.n_steps], d_x0)
    assert not d_x[shape.n_steps :].any()
    assert np.array_equal(d_start.arena, d_start0.arena)


def test_slices_with_the_state_carried_are_one_long_run(name, dtype):
    params = make_params(ODD, dtype)
    x = draw(ODD, dtype, 50, ODD.n_rows, ODD.n_in)
    d_logits = draw(ODD, dtype, 50, ODD.n_rows, ODD.n_classes)
    whole = make_state(ODD, dtype)
    expected = run(name, params, x, whole)
    grads0, d_x0, d_start0 = run_back(name, params, x, make_state(ODD, dtype), d_logits)
    backend = get_backend(name)
    handle, state, tapes = backend.upload(params), make_state(ODD, dtype), []
    for t in range(0, 50, 13):
        logits, tape = backend.forward(handle, x[t : t + 13], state, keep_tape=True)
        assert np.array_equal(logits, expected[t : t + 13])
        tapes.append((t, tape))
    assert np.array_equal(state.arena, whole.arena)
    d_state, total = None, params.zeros_like()
    for t, tape in reversed(tapes):
        grads, d_x, d_state = backend.backward(handle, tape, d_logits[t : t + 13], d_state)
        assert np.array_equal(d_x, d_x0[t : t + 13])
        for g, part in zip(total.arrays(), grads.arrays(), strict=True):
            g[...] = g + part
    assert np.array_equal(d_state.arena, d_start0.arena)
    for g, g0 in zip(total.arrays(), grads0.arrays(), strict=True):
        assert_close(g, g0)


@pytest.mark.parametrize("hidden", [(17,), (5, 3), (3, 4, 2)])
def test_gradients_are_finite_differences(name, dtype, hidden):
    shape = replace(ODD, hidden=hidden, n_steps=6, n_rows=6)
    params, state = make_params(shape, dtype), make_state(shape, dtype)
    x = draw(shape, dtype, 6, 6, shape.n_in)
    d_logits = draw(shape, dtype, 6, 6, shape.n_classes)
    d_end, lengths = make_state(shape, dtype, salt=7), np.arange(1, 7)
    mask = draw(shape, dtype, 6, hidden[-1], salt=9)
    grads, d_x, d_start = run_back(name, params, x, state, d_logits, lengths, mask, d_end)

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
        logits = run(name, wide, x, end, lengths, mask)
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


def test_nan_stays_in_its_row(name, dtype):
    params, state = make_params(ODD, dtype), make_state(ODD, dtype)
    x = draw(ODD, dtype, 20, ODD.n_rows, ODD.n_in)
    expected = run(name, params, x, state.copy())
    x[3, 4, 0] = np.nan
    got = run(name, params, x, state)
    assert np.array_equal(np.delete(got, 4, axis=1), np.delete(expected, 4, axis=1))
    assert np.array_equal(got[:3, 4], expected[:3, 4])
    assert np.isnan(got[3:, 4]).all()
    assert all(np.isnan(a[4]).all() for a in state.h)


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_huge_inputs_saturate(name, dtype, size):
    params, state = make_params(ODD, dtype), make_state(ODD, dtype)
    x = (size * draw(ODD, dtype, 9, ODD.n_rows, ODD.n_in)).astype(dtype)
    expected_state = state.copy()
    expected = run("numpy", params, x, expected_state)
    got = run(name, params, x, state)
    assert np.isfinite(got).all()
    if dtype == "float64" or size < 1e10:  # else x itself overflows single cells' sums in any order
        assert_close(got, expected)


def test_rows_of_no_steps_keep_their_state(name, dtype):
    params, state = make_params(ODD, dtype), make_state(ODD, dtype)
    state.h[0][2], state.c[1][2] = np.nan, np.nan
    before = state.copy()
    lengths = np.zeros(ODD.n_rows, np.int64)
    x = draw(ODD, dtype, ODD.n_steps, ODD.n_rows, ODD.n_in)
    d_logits = draw(ODD, dtype, ODD.n_steps, ODD.n_rows, ODD.n_classes)
    d_end = make_state(ODD, dtype, salt=7)
    grads, d_x, d_start = run_back(name, params, x, state, d_logits, lengths, None, d_end)
    assert not run(name, params, x, state, lengths).any()
    assert np.array_equal(state.arena, before.arena, equal_nan=True)
    assert not any(g.any() for g in grads.arrays())
    assert not d_x.any()
    assert np.array_equal(d_start.arena, d_end.arena)


def test_reset_rows_and_download(name, dtype):
    backend, params = get_backend(name), make_params(ODD, dtype)
    handle, state = backend.upload(params), make_state(ODD, dtype)
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


def make_batch(shape: Shape, dtype: str) -> Batch:
    rng = np.random.default_rng([shape.seed, 6])
    size = (shape.n_steps, shape.n_rows)
    weights = (rng.random(size) * (rng.random(size) > 0.4)).astype(dtype)
    weights[0] = 1
    return Batch(
        x=draw(shape, dtype, *size, shape.n_in),
        targets=rng.integers(0, shape.n_classes, size),
        weights=weights,
        lengths=np.maximum(make_lengths(shape), 1),
        state=make_state(shape, dtype),
        out_mask=draw(shape, dtype, shape.n_rows, shape.hidden[-1], salt=9),
    )


def train(name, shape, dtype, *, n=3, batch=None, **options):
    backend, params = get_backend(name), make_params(shape, dtype)
    # A large eps: Adam divides tiny gradients by their own size, which would magnify rounding.
    adam = AdamSpec(**{"lr": 0.02, "weight_decay": 0.1, "eps": 1e-2} | options)
    loss = LossSpec(np.arange(1, shape.n_classes + 1).astype(dtype), 0.1)
    handle, opt = backend.upload(params), OptState.zeros(params)
    results = []
    for _ in range(n):
        results.append(
            backend.train_step(handle, batch or make_batch(shape, dtype), loss, adam, opt)
        )
    return results, backend.download(handle), opt


@given(shape=shapes, clip_norm=st.sampled_from([0.0, 0.05, 100.0]))
@settings(max_examples=12)
def test_updates_equal_the_oracle(name, dtype, shape, clip_norm):
    results, params, opt = train(name, shape, dtype, clip_norm=clip_norm)
    results0, params0, opt0 = train("numpy", shape, dtype, clip_norm=clip_norm)
    tolerance = 2e-5 if dtype == "float32" else 1e-11
    for r, r0 in zip(results, results0, strict=True):
        assert r.loss == pytest.approx(r0.loss, rel=tolerance, abs=tolerance)
        assert r.grad_norm == pytest.approx(r0.grad_norm, rel=tolerance, abs=tolerance)
    assert opt.n_updates == opt0.n_updates == 3
    for form, form0 in ((params, params0), (opt.m, opt0.m), (opt.v, opt0.v)):
        for a, a0 in zip(form.arrays(), form0.arrays(), strict=True):
            assert_close(a, a0)


def test_an_update_carries_the_state_and_repeats_to_the_bit(name, dtype):
    batch, again = make_batch(ODD, dtype), make_batch(ODD, dtype)
    end = make_state(ODD, dtype)
    run(name, make_params(ODD, dtype), batch.x, end, batch.lengths)
    results, params, _ = train(name, ODD, dtype, n=1, batch=batch)
    assert np.array_equal(batch.state.arena, end.arena)
    results2, params2, _ = train(name, ODD, dtype, n=1, batch=again)
    assert results == results2
    for a, b in zip(params.arrays(), params2.arrays(), strict=True):
        assert np.array_equal(a, b)


def test_updates_lower_the_loss(name, dtype):
    results, _, _ = train(name, ODD, dtype, n=30, weight_decay=0.0)
    assert results[-1].loss < 0.7 * results[0].loss


@pytest.mark.parametrize("where", ["x", "state"])
def test_a_gradient_that_is_not_finite_moves_nothing(name, dtype, where):
    batch = make_batch(ODD, dtype)
    if where == "x":
        batch.x[0, 5, 1] = np.nan
    else:
        batch.state.c[0][5, 1] = np.inf
    with np.errstate(invalid="ignore"):  # the oracle's own arithmetic says so, and goes on
        results, params, opt = train(name, ODD, dtype, n=1, batch=batch)
    assert not np.isfinite(results[0].grad_norm)
    assert opt.n_updates == 0
    assert not any(a.any() for form in (opt.m, opt.v) for a in form.arrays())
    for a, b in zip(params.arrays(), make_params(ODD, dtype).arrays(), strict=True):
        assert np.array_equal(a, b)


def test_a_batch_without_weight_has_no_gradient(name, dtype):
    batch = make_batch(ODD, dtype)
    batch.weights[:] = 0
    batch.targets[:] = -1
    results, params, _ = train(name, ODD, dtype, n=1, batch=batch, weight_decay=0.0)
    assert results[0].loss == results[0].grad_norm == 0.0
    for a, b in zip(params.arrays(), make_params(ODD, dtype).arrays(), strict=True):
        assert np.array_equal(a, b)


def test_wrong_arguments_are_named(name, dtype):
    backend, params = get_backend(name), make_params(ODD, dtype)
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
    with pytest.raises(ConfigError, match="did you mean 'cpu'"):
        get_backend("cpus")


def test_inputs_of_any_layout_are_read(name, dtype):
    backend, params = get_backend(name), make_params(ODD, dtype)
    handle = backend.upload(params)
    x = draw(ODD, dtype, ODD.n_rows, ODD.n_in)
    frozen = x.copy()
    frozen.flags.writeable = False
    expected, state = np.empty((ODD.n_rows, 3), dtype), make_state(ODD, dtype)
    backend.step(handle, x, state, expected)
    for odd in (frozen, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        logits = np.empty_like(expected)
        backend.step(handle, odd, make_state(ODD, dtype), logits)
        assert np.array_equal(logits, expected)
        out = run(name, params, odd[None], make_state(ODD, dtype))
        assert np.array_equal(out[0], expected)


def test_no_rows_and_no_steps(name, dtype):
    params = make_params(ODD, dtype)
    none = State.zeros(ODD.hidden, 0, np.dtype(dtype))
    assert run(name, params, np.zeros((4, 0, 5), dtype), none).shape == (4, 0, 3)
    state = make_state(ODD, dtype)
    before = state.copy()
    assert run(name, params, np.zeros((0, 11, 5), dtype), state).shape == (0, 11, 3)
    assert np.array_equal(state.arena, before.arena)
