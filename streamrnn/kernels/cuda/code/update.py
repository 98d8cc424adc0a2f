"""The ends of an update: the loss and its gradient, the gradients' norm, and Adam.

All sums have an order that the sizes of the network and the batch alone decide: a block adds up by
halves, and what the blocks leave is added up by whoever comes next.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from streamrnn.kernels.cuda.code.words import is_there, offset, shared_floats
from streamrnn.kernels.jit import fma, kernel
from streamrnn.kernels.rnn.gates import LOG2_E, exp2

f32, u32, i64 = np.float32, np.uint32, np.int64
#: Gradients beyond `LARGE` or below `SMALL` are squared after scaling, so that no square is lost.
LARGE, SMALL = 2.0**40, 2.0**-40
DOWN, UP = 2.0**-80, 2.0**80


@kernel
def block_sum(shared: Any, thread: Any, n: int, value: Any) -> Any:
    """Return to all threads the sum of the values of the first n, a power of two, by halves."""
    cuda.syncthreads()
    if thread < u32(n):
        shared[thread] = value
    cuda.syncthreads()
    half = u32(n // 2)
    while half > u32(0):
        if thread < half:
            shared[thread] += shared[u32(thread + half)]
        cuda.syncthreads()
        half = u32(half >> u32(1))
    return shared[0]


@kernel
def row_loss(
    z: Any, d_z: Any, n_classes: Any, target: Any, weight: Any, rest: Any, smooth: Any
) -> Any:
    """Write the gradient at one row's logits, and return the row's part of the loss.

    The largest term of the sum of exponentials, 1, is left out and put back by ``log1p``: a loss
    near 0 keeps its digits.
    """
    best, top = u32(0), z[0]
    for k in range(u32(1), n_classes):
        if z[k] > top:
            best, top = u32(k), z[k]
    others = shift = f32(0)
    for k in range(n_classes):
        x = z[k] - top
        e = exp2(x, LOG2_E)
        d_z[k] = e
        shift += x
        if k != best:
            others += e
    factor = weight / (f32(1) + others)
    for k in range(n_classes):
        d_z[k] = fma(d_z[k], factor, -(weight * smooth))
    d_z[target] -= weight * rest
    return weight * (math.log1p(others) - rest * (z[target] - top) - smooth * shift)


def make_loss(threads: int) -> Callable[..., Any]:
    """Return the kernel behind `back_launches.loss`; it has as many shared floats as threads."""

    def loss(
        logits: Any, targets: Any, weights: Any, class_weights: Any, ends: Any, d_logits: Any,
        sums: Any, n_all: Any, n_rows: Any, n_classes: Any, scale: Any, rest: Any, smooth: Any,
    ) -> None:  # fmt: skip
        thread = u32(cuda.threadIdx.x)
        n = u32(u32(cuda.blockIdx.x) * u32(threads) + thread)
        value = f32(0)
        if n < n_all:
            t = u32(n // n_rows)
            given = weights[n]
            used = given != f32(0) and scale != f32(0)
            if is_there(ends):
                used = used and t < u32(ends[u32(n - t * n_rows)])
            at = i64(n) * i64(n_classes)
            if used:
                target = u32(targets[n])
                weight = given * class_weights[target] * scale
                value = row_loss(
                    offset(logits, at), offset(d_logits, at), n_classes, target, weight, rest,
                    smooth,
                )  # fmt: skip
            else:
                for k in range(n_classes):
                    d_logits[at + i64(k)] = f32(0)
        total = block_sum(shared_floats(), thread, threads, value)
        if thread == u32(0):
            sums[u32(cuda.blockIdx.x)] = total

    return loss


def make_norm(threads: int, blocks: int) -> Callable[..., Any]:
    """Return the kernel behind `back_launches.norm`; it has as many shared floats as threads."""

    def norm(grads: Any, sums: Any, n: Any) -> None:
        """Write three sums of squares for each block: of small, other and large gradients."""
        thread = u32(cuda.threadIdx.x)
        k = u32(u32(cuda.blockIdx.x) * u32(threads) + thread)
        small = middle = large = f32(0)
        while k < n:
            g = grads[k]
            size = abs(g)
            is_small, is_large = size < f32(SMALL), size > f32(LARGE)
            up, down = g * f32(UP), g * f32(DOWN)
            small += up * up if is_small else f32(0)
            large += down * down if is_large else f32(0)
            middle += f32(0) if is_small or is_large else g * g
            k = u32(k + u32(threads * blocks))
        shared, at = shared_floats(), u32(u32(3) * u32(cuda.blockIdx.x))
        small = block_sum(shared, thread, threads, small)
        middle = block_sum(shared, thread, threads, middle)
        large = block_sum(shared, thread, threads, large)
        if thread == u32(0):
            sums[at], sums[u32(at + u32(1))], sums[u32(at + u32(2))] = small, middle, large

    return norm


@kernel
def norm_of(sums: Any, blocks: int, thread: Any, shared: Any) -> Any:
    """Return the norm, from what the blocks of `norm` left, to all threads."""
    small = middle = large = f32(0)
    if thread < u32(blocks):
        at = u32(u32(3) * thread)
        small, middle, large = sums[at], sums[u32(at + u32(1))], sums[u32(at + u32(2))]
    small = block_sum(shared, thread, blocks, small)
    middle = block_sum(shared, thread, blocks, middle)
    large = block_sum(shared, thread, blocks, large)
    if large > f32(0):
        return math.sqrt(large + middle * f32(DOWN) * f32(DOWN)) * f32(UP)
    if middle == f32(0):
        return math.sqrt(small) * f32(DOWN)
    return math.sqrt(middle + small * f32(DOWN) * f32(DOWN))


def make_adam(threads: int, blocks: int) -> Callable[..., Any]:
    """Return the kernel behind `back_launches.adam`; it has as many shared floats as threads."""

    def adam(
        p: Any, g: Any, m: Any, v: Any, is_matrix: Any, sums: Any, norm: Any, n: Any,
        clip: Any, beta1: Any, beta2: Any, rest1: Any, rest2: Any, rate: Any, root: Any, eps: Any,
        shrink: Any,
    ) -> None:  # fmt: skip
        thread = u32(cuda.threadIdx.x)
        k = u32(u32(cuda.blockIdx.x) * u32(threads) + thread)
        length = norm_of(sums, blocks, thread, shared_floats())
        if k == u32(0):
            norm[0] = length
        if k < n and length < f32(math.inf):
            scale = f32(1)
            if f32(0) < clip < length:
                scale = clip / length
            d = g[k] * scale
            m_new = beta1 * m[k] + rest1 * d
            v_new = beta2 * v[k] + rest2 * d * d
            m[k], v[k] = m_new, v_new
            kept = shrink if is_matrix[k] != 0 else f32(1)
            p[k] = kept * p[k] - rate * m_new / (math.sqrt(v_new) / root + eps)

    return adam
