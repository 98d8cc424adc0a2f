"""Products of matrices over all steps at once, and the small kernels that move numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from streamrnn.kernels.cuda.code.batch_rows import factors, gather_some, live_rows, where_bits
from streamrnn.kernels.cuda.code.row_sums import add_products
from streamrnn.kernels.cuda.code.rows import scatter_gates, scatter_rows, zeros
from streamrnn.kernels.cuda.code.words import is_there, load4, offset, shared_floats, store4
from streamrnn.kernels.jit import kernel
from streamrnn.kernels.rnn.simd import like

u32, u64, i32 = np.uint32, np.uint64, np.int32
#: Threads a block.
N_THREADS = 256


@kernel
def _store(
    out: Any, first: Any, stride: Any, n: Any, n_left: Any, v0: Any, v1: Any, v2: Any, v3: Any
) -> None:
    """Write up to four columns of some rows."""
    if n_left >= 4 and stride & u32(3) == 0:
        scatter_gates(out, first, stride, n, v0, v1, v2, v3)
        return
    scatter_rows(out, first, stride, n, v0)
    if n_left > 1:
        scatter_rows(out, u64(first + u64(1)), stride, n, v1)
    if n_left > 2:
        scatter_rows(out, u64(first + u64(2)), stride, n, v2)
    if n_left > 3:
        scatter_rows(out, u64(first + u64(3)), stride, n, v3)


def make_product(columns: int, rows: int, depth: int) -> Callable[..., Any]:
    """Return the kernel behind `launches.product`, for tiles of `rows` x `columns` and `depth` k.

    A thread has four columns of some rows. Tiles of both operands pass through shared memory, in
    two buffers; the next ones are read while the products of these are added.
    """
    n_across = columns // 4
    n_rows = rows * n_across // N_THREADS
    n_brought = rows * depth // N_THREADS
    apart = N_THREADS // depth
    a_stride, w_size = rows + 4, depth * columns  # padded, so that stores do not collide
    a_size = depth * a_stride

    def product(
        out: Any, a: Any, w: Any, start: Any, mask: Any, out_mask: Any, ends: Any, t_from: Any,
        n_batch: Any, n_all: Any, m_all: Any, k_all: Any, out_step: Any, a_step: Any, w_step: Any,
    ) -> None:  # fmt: skip
        thread = u32(cuda.threadIdx.x)
        row0, column0 = u32(cuda.blockIdx.x * rows), u32(cuda.blockIdx.y * columns)
        across, down = u32(thread % n_across), u32(thread // n_across)
        held_a = shared_floats()
        held_w = offset(held_a, u32(2 * a_size))
        # What a thread brings of `a`: one k of rows some way apart.
        none = zeros(n_brought)
        own_k, own_row = u32(thread % depth), u32(thread // depth)
        a_row = u32(min(u32(row0 + own_row), u32(n_all - 1)))
        n_own = u32((n_all - a_row + apart - 1) // apart)
        wanted = live_rows(none, ends, t_from, a_row, u32(apart), n_own, n_batch)
        # And of `w`: four columns of one k.
        w_column = u32(column0 + 4 * across)
        holds_w = down < depth
        w_0, w_1, w_2, w_3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)

        zero = zeros(n_rows)
        v_0, v_1, v_2, v_3 = zero, zero, zero, zero
        if is_there(start) and w_column < m_all:
            b_0, b_1, b_2, b_3 = load4(start, w_column)
            v_0, v_1, v_2, v_3 = like(zero, b_0), like(zero, b_1), like(zero, b_2), like(zero, b_3)

        n_tiles = u32((k_all + depth - 1) // depth)
        for step in range(n_tiles + 1):
            tile = u32(step)
            k, now = u32(tile * depth), u32(tile & u32(1))
            brought = none
            if tile < n_tiles:
                k_here = u32(min(u32(k + own_k), u32(k_all - 1)))
                at = u64(a_row) * u64(a_step) + u64(k_here)
                brought = gather_some(none, a, at, u32(apart * a_step), wanted)
                if is_there(mask):
                    brought = brought * factors(
                        none, mask, k_here, k_all, a_row, u32(apart), n_own, n_batch
                    )
                if holds_w and w_column < w_step and k + down < k_all:
                    at = u64(k + down) * u64(w_step) + u64(w_column)
                    w_0, w_1, w_2, w_3 = load4(w, at)
            if tile > 0:
                before = u32(now ^ u32(1))
                v_0, v_1, v_2, v_3 = add_products(
                    v_0, v_1, v_2, v_3,
                    offset(held_w, u32(before * w_size + 4 * across)), u32(columns),
                    offset(held_a, u32(before * a_size + n_rows * down)), u32(a_stride),
                    u32(min(u32(depth), u32(k_all - k + depth))),
                )  # fmt: skip
            if tile < n_tiles:
                place = u32(now * a_size + own_k * a_stride + own_row)
                scatter_rows(held_a, u64(place), u32(apart), u32(n_brought), brought)
                if holds_w:
                    store4(held_w, u32(now * w_size + 4 * thread), w_0, w_1, w_2, w_3)
            cuda.syncthreads()

        row = u32(row0 + n_rows * down)
        if row < n_all and w_column < m_all:
            n, n_left = u32(min(u32(n_all - row), u32(n_rows))), u32(m_all - w_column)
            if is_there(out_mask):
                one, last = u32(1), u32(m_all - 1)
                v_0 = v_0 * factors(zero, out_mask, w_column, m_all, row, one, n, n_batch)
                j = u32(min(u32(w_column + 1), last))
                v_1 = v_1 * factors(zero, out_mask, j, m_all, row, one, n, n_batch)
                j = u32(min(u32(w_column + 2), last))
                v_2 = v_2 * factors(zero, out_mask, j, m_all, row, one, n, n_batch)
                j = u32(min(u32(w_column + 3), last))
                v_3 = v_3 * factors(zero, out_mask, j, m_all, row, one, n, n_batch)
            if is_there(ends):
                bits = live_rows(zero, ends, t_from, row, u32(1), n, n_batch)
                v_0, v_1 = where_bits(v_0, bits), where_bits(v_1, bits)
                v_2, v_3 = where_bits(v_2, bits), where_bits(v_3, bits)
            first = u64(row) * u64(out_step) + u64(w_column)
            _store(out, first, out_step, n, n_left, v_0, v_1, v_2, v_3)

    return product


def make_gather() -> Callable[..., Any]:
    """Return the kernel behind `launches.gather`."""

    def gather(to: Any, source: Any, which: Any, n: Any) -> None:
        at, step = _own_number(), _n_numbers()
        while at < n:
            found = which[at]
            to[at] = source[u32(found)] if found >= 0 else np.float32(0)
            at = u64(at + step)

    return gather


def make_move_rows() -> Callable[..., Any]:
    """Return the kernel behind `launches.move_rows`."""

    def move_rows(
        to: Any, source: Any, to_rows: Any, source_rows: Any, n_rows: Any, width: Any,
        to_step: Any, source_step: Any,
    ) -> None:  # fmt: skip
        at, step = _own_number(), _n_numbers()
        while at < u64(n_rows) * u64(width):
            row = u32(at // u64(width))
            column = u64(at - u64(row) * u64(width))
            value = np.float32(0)
            if is_there(source):
                source_row = u32(source_rows[row]) if is_there(source_rows) else row
                value = source[u64(u64(source_row) * u64(source_step) + column)]
            to_row = u32(to_rows[row]) if is_there(to_rows) else row
            to[u64(u64(to_row) * u64(to_step) + column)] = value
            at = u64(at + step)

    return move_rows


@kernel
def _own_number() -> Any:
    return u64(u64(cuda.blockIdx.x) * u64(cuda.blockDim.x) + u64(cuda.threadIdx.x))


@kernel
def _n_numbers() -> Any:
    return u64(u64(cuda.gridDim.x) * u64(cuda.blockDim.x))
