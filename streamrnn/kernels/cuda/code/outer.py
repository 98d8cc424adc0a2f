"""Gradients of weights: sums over all steps and rows of products of two vectors.

Flat rows ``n = t * B + b`` are cut into slices of 16, and slice s goes to partial sum ``s mod P``,
a chain of fused multiply-adds for each weight, slices and rows ascending; `reduce` adds the partial
sums in order. P depends on the network alone, so steps added behind all ends change no bit: they
add exact zeros, to partial sums or as new ones.

A block makes one tile of one partial sum: 128 columns of the left operand times 16 `columns` of the
right, 8 times `columns` sums a thread. For one row a thread reads 8 + `columns` floats in
2 + `columns` passes of the warp through shared memory, for 8 `columns` multiply-adds: with 5
columns 7 passes beside 10 cycles. 16 rows are staged at once, twice, in turn; what comes next is
asked for before the sums. Right operands are as wide as the tile where they can be, because each
tile to the right reads the left operand, the larger one, again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from streamrnn.kernels.cuda.code.words import is_there, load4, offset, shared_floats, store4
from streamrnn.kernels.jit import fma, kernel
from streamrnn.kernels.rnn.simd import address_of

f32, u32, i64 = np.float32, np.uint32, np.int64
#: Columns of the left operand in a tile: 4 a lane.
LEFT = 128


def make_outer(columns: int, rows: int, head: int) -> Callable[..., Any]:
    """Return the kernel behind `back_launches.outer`, for blocks of 8 warps.

    Parameters
    ----------
    columns : int
        Columns of the right operand a thread; a tile has 16 times as many.
    rows : int
        Rows of a slice, a multiple of 8.
    head : int
        1 for the head: left are hidden values, right are the gradients at the logits, and their
        sums are the gradients of the biases. 0 for a layer: left is dz, whose sums are the
        gradients of the biases, and right are the inputs and the hidden values before.
    """
    width, chunks = 16 * columns, -(-columns // 2)
    each, n_stage = rows // 8, rows * (LEFT + width)

    @kernel
    def fetch_left(left: Any, factors: Any, n_here: Any, got: Any, part: int) -> None:
        """Load four columns of a row, of the head as far as there are so many from the first on."""
        if head:
            for k in range(4):
                if u32(32 * k) < n_here:
                    got[part, k] = left[32 * k]
            if is_there(factors):
                for k in range(4):
                    if u32(32 * k) < n_here:
                        got[part, k] *= factors[32 * k]
        else:
            v = load4(left, 0)
            got[part, 0], got[part, 1], got[part, 2], got[part, 3] = v

    @kernel
    def next_rows(ends: Any, n_rows: Any, places: Any) -> None:
        """Ask how many steps the rows have whose turn is next; `ts` and `bs` are their t and b."""
        ts, bs, limits = places
        for part in range(each):
            if bs[part] >= n_rows:
                ts[part], bs[part] = u32(ts[part] + u32(1)), u32(bs[part] - n_rows)
            limits[part] = u32(ends[bs[part]]) if is_there(ends) else u32(0xFFFFFFFF)

    @kernel
    def fetch(
        operands: Any, sizes: Any, n: Any, places: Any, columns_at: Any, lefts: Any, rights: Any
    ) -> None:
        """Load the thread's part of every 8th row from n on; 0 of what is behind an end."""
        left, mask, first = operands
        n_all, n_left, more_t, more_b = sizes
        ts, bs, limits = places
        m, n_here, right_at, strides = columns_at
        for part in range(each):
            for k in range(4):
                lefts[part, k] = f32(0)
            for k in range(chunks):
                rights[part, k] = f32(0)
            row = u32(n + u32(8 * part))
            if row < n_all and ts[part] < limits[part]:
                factors = mask
                if is_there(mask):
                    factors = offset(mask, i64(bs[part]) * i64(n_left) + i64(m))
                own = offset(left, i64(row) * i64(n_left) + i64(m))
                fetch_left(own, factors, n_here, lefts, part)
                for k in range(chunks):
                    rights[part, k] = first[right_at[k] + i64(row) * i64(strides[k])]
            ts[part], bs[part] = u32(ts[part] + more_t), u32(bs[part] + more_b)

    @kernel
    def put(stage: Any, row: Any, lane: Any, lefts: Any, rights: Any, part: int) -> None:
        """Write to shared memory what `fetch` loaded of a row."""
        at = u32(row * u32(LEFT))
        if head:
            for k in range(4):
                stage[u32(at + lane + u32(32 * k))] = lefts[part, k]
        else:
            store4(
                stage, u32(at + u32(4) * lane),
                lefts[part, 0], lefts[part, 1], lefts[part, 2], lefts[part, 3],
            )  # fmt: skip
        at = u32(u32(rows * LEFT) + row * u32(width) + lane)
        for k in range(chunks):
            if lane + u32(32 * k) < u32(width):
                stage[u32(at + u32(32 * k))] = rights[part, k]

    @kernel
    def add_row(left: Any, right: Any, sums: Any) -> None:
        """Add one row's products."""
        low, high = load4(left, 0), load4(left, 64)
        for c in range(columns):
            factor = right[16 * c]
            for k in range(4):
                sums[c, k] = fma(low[k], factor, sums[c, k])
                sums[c, 4 + k] = fma(high[k], factor, sums[c, 4 + k])

    @kernel
    def write_line(to: Any, shape: Any, m: Any, j: Any, sums: Any, k: int) -> None:
        """Write the sums of column m of the left operand to their places in plain order."""
        n_left, n_first, n_second = shape
        # A layer's row of weights: packed column 4 * unit + gate is row gate * H + unit.
        line = m if head else u32((m & u32(3)) * n_second + (m >> u32(2)))
        if m < n_left:
            for c in range(columns):
                column = u32(j + u32(16 * c))
                if column < n_first:
                    place = i64(line) * i64(n_first) + i64(column)
                    if head:
                        place = i64(column) * i64(n_left) + i64(line)
                    to[place] = sums[c, k]
                elif column < n_first + n_second:
                    place = i64(n_left) * i64(n_first) + i64(line) * i64(n_second)
                    to[place + i64(column - n_first)] = sums[c, k]

    def outer(
        left: Any, mask: Any, first: Any, second: Any, ends: Any, partials: Any,
        n_all: Any, n_rows: Any, n_left: Any, n_first: Any, n_second: Any, n_partials: Any,
    ) -> None:  # fmt: skip
        thread = u32(cuda.threadIdx.x)
        lane, warp = u32(thread & u32(31)), u32(thread >> u32(5))
        n_right = u32(n_first + n_second)
        left_tiles = u32(u32(n_left + u32(LEFT - 1)) // u32(LEFT))
        tile, begin = u32(cuda.blockIdx.x), u32(u32(cuda.blockIdx.y) * u32(rows))
        m0 = u32(u32(tile % left_tiles) * u32(LEFT))
        j0 = u32(u32(tile // left_tiles) * u32(width))

        # The thread loads from every 8th row of a slice.
        advance, n = u32(u32(rows) * n_partials), u32(begin + warp)
        operands = left, mask, first
        sizes = n_all, n_left, u32(advance // n_rows), u32(advance % n_rows)
        ts, bs = cuda.local.array(each, np.uint32), cuda.local.array(each, np.uint32)
        places = ts, bs, cuda.local.array(each, np.uint32)
        for part in range(each):
            row = u32(n + u32(8 * part))
            ts[part], bs[part] = u32(row // n_rows), u32(row % n_rows)
        # The thread's columns; for those that do not exist another one, whose sums go nowhere.
        m = u32(m0 + (lane if head else u32(4) * lane))
        m, n_here = (m, u32(n_left - m)) if m < n_left else (u32(0), u32(0))
        right_at = cuda.local.array(chunks, np.int64)
        strides = cuda.local.array(chunks, np.uint32)
        for k in range(chunks):
            j = u32(j0 + lane + u32(32 * k))
            is_second = j >= n_first and j < n_right
            right_at[k], strides[k] = i64(j if j < n_first else u32(0)), n_first
            if is_second:
                right_at[k] = ((address_of(second) - address_of(first)) >> 2) + i64(j - n_first)
                strides[k] = n_second
        columns_at = m, n_here, right_at, strides
        lefts = cuda.local.array((each, 4), np.float32)
        rights = cuda.local.array((each, chunks), np.float32)
        sums, bias = cuda.local.array((columns, 8), np.float32), f32(0)
        for c in range(columns):
            for k in range(8):
                sums[c, k] = f32(0)

        stage, other = shared_floats(), offset(shared_floats(), n_stage)
        at_left, at_right = u32(u32(4) * (thread >> u32(4))), u32(thread & u32(15))
        if head:
            adds_bias, at_bias = thread < u32(width) and m0 == 0, u32(rows * LEFT) + thread
        else:
            adds_bias, at_bias = thread < u32(LEFT) and j0 == 0, thread
        next_rows(ends, n_rows, places)
        fetch(operands, sizes, n, places, columns_at, lefts, rights)
        next_rows(ends, n_rows, places)
        while begin < n_all:
            for part in range(each):
                put(stage, u32(warp + u32(8 * part)), lane, lefts, rights, part)
            cuda.syncthreads()
            begin, n = u32(begin + advance), u32(n + advance)
            fetch(operands, sizes, n, places, columns_at, lefts, rights)
            next_rows(ends, n_rows, places)
            if adds_bias:
                for k in range(rows):
                    bias += stage[u32(at_bias + u32(k * (width if head else LEFT)))]
            a, b = offset(stage, at_left), offset(stage, u32(at_right + u32(rows * LEFT)))
            for _ in range(rows // 4):
                add_row(a, b, sums)
                add_row(offset(a, LEFT), offset(b, width), sums)
                add_row(offset(a, 2 * LEFT), offset(b, 2 * width), sums)
                add_row(offset(a, 3 * LEFT), offset(b, 3 * width), sums)
                a, b = offset(a, 4 * LEFT), offset(b, 4 * width)
            stage, other = other, stage

        n_weights = i64(n_left) * i64(n_right)
        n_biases = n_first if head else n_left
        to = offset(partials, i64(cuda.blockIdx.y) * (n_weights + i64(n_biases)))
        shape = n_left, n_first, n_second
        m, j = u32(m0 + at_left), u32(j0 + at_right)
        # By hand: eight are too many for the compiler to unroll.
        write_line(to, shape, m, j, sums, 0)
        write_line(to, shape, u32(m + u32(1)), j, sums, 1)
        write_line(to, shape, u32(m + u32(2)), j, sums, 2)
        write_line(to, shape, u32(m + u32(3)), j, sums, 3)
        write_line(to, shape, u32(m + u32(64)), j, sums, 4)
        write_line(to, shape, u32(m + u32(65)), j, sums, 5)
        write_line(to, shape, u32(m + u32(66)), j, sums, 6)
        write_line(to, shape, u32(m + u32(67)), j, sums, 7)
        if adds_bias:
            at = u32(j0 + thread) if head else u32(m0 + thread)
            line = at if head else u32((at & u32(3)) * n_second + (at >> u32(2)))
            if at < n_biases:
                to[n_weights + i64(line)] = bias

    return outer


def make_reduce(batch: int) -> Callable[..., Any]:
    """Return the kernel behind `back_launches.reduce`; it loads `batch` numbers at once."""

    def reduce(partials: Any, sums: Any, n_partials: Any, n: Any) -> None:
        k = u32(u32(cuda.blockIdx.x) * u32(cuda.blockDim.x) + u32(cuda.threadIdx.x))
        if k < n:
            total, partial, left = f32(0), offset(partials, k), n_partials
            loaded = cuda.local.array(batch, np.float32)
            while left >= u32(batch):
                for p in range(batch):
                    loaded[p] = partial[i64(p) * i64(n)]
                for p in range(batch):
                    total += loaded[p]
                partial, left = offset(partial, i64(batch) * i64(n)), u32(left - u32(batch))
            while left > u32(0):
                total += partial[0]
                partial, left = offset(partial, n), u32(left - u32(1))
            sums[k] = total

    return reduce
