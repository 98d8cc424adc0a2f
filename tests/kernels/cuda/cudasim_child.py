"""Runs plain scalar kernels as Python, in Numba's CUDA simulator, against NumPy.

The simulator is chosen when numba.cuda is imported: set NUMBA_ENABLE_CUDASIM=1 and run this as a
program. It types nothing and knows no intrinsics, so plain functions stand for the few that these
kernels use; those of the network's layers have too many.
"""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, cuda

import streamrnn.kernels.cuda.code.words as words
import streamrnn.kernels.rnn.gates as gates
from streamrnn.kernels import jit
from streamrnn.kernels.params import (
    AdamSpec,
    Batch,
    Grads,
    LayerParams,
    LossSpec,
    OptState,
    Params,
    State,
)
from streamrnn.kernels.rnn import reference

f32 = np.float32


def _shared_floats() -> Any:
    return cuda.shared.array(0, np.dtype(np.float32))


# Before the kernels' modules take them.
jit.kernel = lambda function: function  # type: ignore[assignment]
jit.fma = lambda a, b, c: f32(float(a) * float(b) + float(c))
words.is_there = lambda pointer: pointer is not None
words.offset = lambda pointer, n: pointer[int(n) :]
gates.exp2 = lambda z, scale: f32(np.exp2(float(z) * scale))

from streamrnn.kernels.cuda.code import outer, products, update  # noqa: E402
from streamrnn.kernels.cuda.exact.back_launches import NORM_BLOCKS, REDUCE  # noqa: E402

# The simulator changes `cuda` in the module of the kernel alone, so this one must live there.
update.shared_floats = types.FunctionType(_shared_floats.__code__, vars(update))

THREADS, BLOCKS = 32, 4
RNG = np.random.default_rng(11)


def start(kernel: Callable[..., Any], n_blocks: int, *arguments: Any) -> None:
    """Run a kernel, with as many shared floats as threads."""
    cuda.jit(kernel)[n_blocks, THREADS, 0, 4 * THREADS](*arguments)


def normal(*size: int) -> Any:
    return RNG.standard_normal(size).astype(f32)


def check_loss() -> None:
    n_rows, n_steps, n_classes = 5, 9, 4
    n = n_rows * n_steps
    logits, d_logits = normal(n, n_classes), np.full((n, n_classes), np.nan, f32)
    targets = RNG.integers(0, n_classes, n)
    weights = (RNG.random(n) * (RNG.random(n) > 0.3)).astype(f32)
    ends = RNG.integers(1, n_steps + 1, n_rows).astype(np.int32)
    behind = np.arange(n) // n_rows >= ends[np.arange(n) % n_rows]
    logits[behind] = np.nan
    spec = LossSpec(np.arange(1, n_classes + 1).astype(f32), 0.1)
    clean = np.where(behind[:, None], f32(0), logits).reshape(n_steps, n_rows, n_classes)
    given = np.where(behind, f32(0), weights).reshape(n_steps, n_rows)
    total = float((given * spec.class_weights[targets].reshape(given.shape)).sum())
    n_blocks = -(-n // THREADS)
    sums = np.full(n_blocks, np.nan, f32)
    start(
        update.make_loss(THREADS), n_blocks, logits.reshape(-1), targets, weights,
        spec.class_weights, ends, d_logits.reshape(-1), sums, np.uint32(n), np.uint32(n_rows),
        np.uint32(n_classes), f32(1 / total), f32(0.9), f32(0.1 / n_classes),
    )  # fmt: skip
    batch = Batch(
        x=clean, targets=targets.reshape(given.shape), weights=given, lengths=ends.astype(np.int64),
        state=State.zeros((1,), n_rows, np.dtype(f32)),
    )  # fmt: skip
    value, expected = reference.cross_entropy(clean, batch, spec)
    np.testing.assert_allclose(sums.sum(dtype=float), value, rtol=1e-6)
    np.testing.assert_allclose(d_logits, expected.reshape(d_logits.shape), rtol=1e-5, atol=1e-7)


def check_norm_and_adam() -> None:
    shapes = [(12, 3), (12, 3), (12,), (2, 3), (2,)]

    def network(scale: float) -> Params:
        w_ih, w_hh, b, w_out, b_out = (scale * normal(*shape) for shape in shapes)
        return Params((LayerParams(w_ih, w_hh, b),), w_out, b_out)

    for scale, clip in ((1.0, 0.0), (1.0, 0.5), (1e25, 1.0), (1e-30, 0.0), (np.inf, 0.0)):
        params, grads = network(1.0), network(1.0)
        grads = grads.with_arrays([f32(scale) * g for g in grads.arrays()])
        _check_update(params, grads, AdamSpec(lr=0.02, weight_decay=0.1, clip_norm=clip))


def _check_update(params: Params, grads: Grads, adam: AdamSpec) -> None:
    flat = [np.concatenate([a.ravel() for a in form.arrays()]) for form in (params, grads)]
    p, g = flat
    m, v = np.abs(normal(len(p))), np.abs(normal(len(p)))
    opt = OptState.zeros(params)
    begin = 0
    for a, b in zip(opt.m.arrays(), opt.v.arrays(), strict=True):
        a[...] = m[begin : begin + a.size].reshape(a.shape)
        b[...] = v[begin : begin + a.size].reshape(a.shape)
        begin += a.size
    matrix = np.concatenate([np.full(a.size, a.ndim == 2, np.int32) for a in params.arrays()])
    sums, norm = np.full(3 * BLOCKS, np.nan, f32), np.full(1, np.nan, f32)
    n = np.uint32(len(p))
    start(update.make_norm(THREADS, BLOCKS), BLOCKS, g, sums, n)
    rate = adam.lr / (1 - adam.beta1)
    root, shrink = np.sqrt(1 - adam.beta2), 1 - adam.lr * adam.weight_decay
    constants = (
        adam.clip_norm, adam.beta1, adam.beta2, 1 - adam.beta1, 1 - adam.beta2, rate, root,
        adam.eps, shrink,
    )  # fmt: skip
    start(
        update.make_adam(THREADS, BLOCKS), -(-len(p) // THREADS), p, g, m, v, matrix, sums, norm,
        n, *(f32(x) for x in constants),
    )  # fmt: skip
    expected = reference.adam_update(params, grads, adam, opt)
    if not np.isfinite(expected):
        assert not np.isfinite(norm[0])
    else:
        np.testing.assert_allclose(norm[0], expected, rtol=1e-6)
    for got, form in ((p, params), (m, opt.m), (v, opt.v)):
        wanted = np.concatenate([a.ravel() for a in form.arrays()])
        np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=1e-7)


def check_reduce() -> None:
    partials, sums = normal(37, 50), np.full(50, np.nan, f32)
    kernel = outer.make_reduce(**dict(REDUCE.options))
    start(kernel, 2, partials.reshape(-1), sums, np.uint32(37), np.uint32(50))
    expected = np.zeros(50, f32)
    for row in partials:
        expected += row
    assert np.array_equal(sums, expected)


def check_gather() -> None:
    source, to = normal(20), np.full(100, np.nan, f32)
    which = RNG.integers(-1, 20, 100).astype(np.int32)
    start(products.make_gather(), 2, to, source, which, 100)
    assert np.array_equal(to, np.where(which < 0, f32(0), source[which]))


if __name__ == "__main__":
    assert config.ENABLE_CUDASIM, "set NUMBA_ENABLE_CUDASIM=1"
    assert NORM_BLOCKS >= BLOCKS
    warnings.simplefilter("ignore", RuntimeWarning)  # the kernels' own arithmetic overflows
    for check in (check_loss, check_norm_and_adam, check_reduce, check_gather):
        check()
        print(check.__name__, "holds", flush=True)  # noqa: T201
