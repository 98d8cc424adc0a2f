"""The laws of updates that every backend keeps; see laws.py."""

from __future__ import annotations

import numpy as np
import pytest
from laws import ODD, ORACLE, run
from rnn_make import Shape, assert_close, draw, make_lengths, make_params, make_state

from streamrnn.kernels.params import AdamSpec, Batch, LossSpec, OptState


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


def train(backend, shape, dtype, *, n=3, batch=None, **options):
    params = make_params(shape, dtype)
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


def updates_equal_the_oracle(backend, dtype, shape, clip_norm):
    results, params, opt = train(backend, shape, dtype, clip_norm=clip_norm)
    results0, params0, opt0 = train(ORACLE, shape, dtype, clip_norm=clip_norm)
    tolerance = 2e-5 if dtype == "float32" else 1e-11
    for r, r0 in zip(results, results0, strict=True):
        assert r.loss == pytest.approx(r0.loss, rel=tolerance, abs=tolerance)
        assert r.grad_norm == pytest.approx(r0.grad_norm, rel=tolerance, abs=tolerance)
    assert opt.n_updates == opt0.n_updates == 3
    for form, form0 in ((params, params0), (opt.m, opt0.m), (opt.v, opt0.v)):
        for a, a0 in zip(form.arrays(), form0.arrays(), strict=True):
            assert_close(a, a0)


def an_update_carries_the_state_and_repeats_to_the_bit(backend, dtype, shape=ODD):
    batch, again = make_batch(shape, dtype), make_batch(shape, dtype)
    end = make_state(shape, dtype)
    run(backend, make_params(shape, dtype), batch.x, end, batch.lengths)
    results, params, _ = train(backend, shape, dtype, n=1, batch=batch)
    assert np.array_equal(batch.state.arena, end.arena)
    results2, params2, _ = train(backend, shape, dtype, n=1, batch=again)
    assert results == results2
    for a, b in zip(params.arrays(), params2.arrays(), strict=True):
        assert np.array_equal(a, b)


def updates_lower_the_loss(backend, dtype, shape=ODD, *, n=30):
    results, _, _ = train(backend, shape, dtype, n=n, weight_decay=0.0)
    assert results[-1].loss < 0.7 * results[0].loss


def a_gradient_that_is_not_finite_moves_nothing(backend, dtype, where, shape=ODD):
    batch = make_batch(shape, dtype)
    if where == "x":
        batch.x[0, 5, 1] = np.nan
    else:
        batch.state.c[0][5, 1] = np.inf
    with np.errstate(invalid="ignore"):  # the oracle's own arithmetic says so, and goes on
        results, params, opt = train(backend, shape, dtype, n=1, batch=batch)
    assert not np.isfinite(results[0].grad_norm)
    assert opt.n_updates == 0
    assert not any(a.any() for form in (opt.m, opt.v) for a in form.arrays())
    for a, b in zip(params.arrays(), make_params(shape, dtype).arrays(), strict=True):
        assert np.array_equal(a, b)


def a_batch_without_weight_has_no_gradient(backend, dtype, shape=ODD):
    batch = make_batch(shape, dtype)
    batch.weights[:] = 0
    batch.targets[:] = -1
    results, params, _ = train(backend, shape, dtype, n=1, batch=batch, weight_decay=0.0)
    assert results[0].loss == results[0].grad_norm == 0.0
    for a, b in zip(params.arrays(), make_params(shape, dtype).arrays(), strict=True):
        assert np.array_equal(a, b)
