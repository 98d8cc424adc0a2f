"""One layer, forward, over a whole sequence.

A *group* of threads takes a few rows at a time, a *tile*: thread j is hidden unit j and holds the
sums of its four gates and the cell state of each row in registers. h goes from step to step through
shared memory, in two buffers, so one barrier a step is enough. The groups of a block share the
weights there and nothing else, and each has a barrier of its own, so one group's sums run while
another's cells do. A group takes one tile after the other, so a grid that fills the device once
works on any number of rows.

The sums are those of docs/adr/0001-order-of-summation.md, one chain over the inputs and one over h.
What a step reads of its inputs is asked for a whole step before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from streamrnn.kernels.cuda.code.batch_rows import set_state_rows, state_rows, where_live
from streamrnn.kernels.cuda.code.row_sums import add_far_products, add_products
from streamrnn.kernels.cuda.code.rows import (
    gather_gates,
    gather_rows,
    load_rows,
    scatter_gates,
    scatter_rows,
    store_rows,
    store_turned,
    zeros,
)
from streamrnn.kernels.cuda.code.words import (
    barrier,
    copy_fours,
    fresh,
    is_there,
    load4,
    offset,
    shared_floats,
)
from streamrnn.kernels.jit import kernel
from streamrnn.kernels.rnn.gates import cell_of_exponentials, exponentials
from streamrnn.kernels.rnn.simd import like

u32, u64, i32 = np.uint32, np.uint64, np.int32


@kernel
def _copy(to: Any, source: Any, n_fours: Any, thread: Any, n_threads: Any) -> None:
    at = u32(thread)
    while at < n_fours:
        copy_fours(to, source, at, n_threads, n_fours)
        at = u32(at + 8 * n_threads)


@kernel
def _end(ends: Any, row: Any, n: Any, t_from: Any, n_steps: Any, last: Any) -> Any:
    """Return the step behind which the last (or the first) of n rows has ended, at most T."""
    found = i32(0) if last else i32(n_steps)
    for r in range(n):
        end = i32(min(max(ends[u32(row + r)] - t_from, 0), n_steps))
        found = max(found, end) if last else min(found, end)
    return i32(found)


def make(rows: int, projected: int, taped: int) -> Callable[..., Any]:
    """Return the kernel of one form; see `launches.lstm_kernel` and `launches.lstm`."""
    n_slots = min(rows, 4)

    def lstm(
        x: Any, w: Any, bias: Any, h: Any, c: Any, state_stride: Any, hs: Any, cs: Any, es: Any,
        ends: Any, index: Any, n_steps: Any, n_rows: Any, t_from: Any, n_in: Any, n_units: Any,
        n_padded: Any, n_x_shared: Any, n_h_shared: Any,
    ) -> None:  # fmt: skip
        thread, n_threads = u32(cuda.threadIdx.x), u32(cuda.blockDim.x)
        group, unit = u32(thread // n_padded), u32(thread % n_padded)
        n_groups = u32(n_threads // n_padded)
        w_stride = u32(4 * n_padded)
        zero, no_slots = zeros(rows), zeros(n_slots)

        kept = shared_floats()
        w_h = offset(w, u64(n_in * w_stride))
        _copy(kept, w, u32(n_x_shared * n_padded), thread, n_threads)
        kept_h = offset(kept, u32(n_x_shared * w_stride))
        _copy(kept_h, w_h, u32(n_h_shared * n_padded), thread, n_threads)
        n_kept = u32((n_x_shared + n_h_shared) * w_stride)
        h_size = u32(rows * n_padded)
        x_size = u32(0) if projected else u32(rows * ((n_in + 3) // 4 * 4))
        held_h = offset(kept, u32(n_kept + group * u32(2 * (h_size + x_size))))
        held_x = offset(held_h, u32(2 * h_size))
        cuda.syncthreads()

        kept, kept_h = offset(kept, u32(4 * unit)), offset(kept_h, u32(4 * unit))
        far = offset(w, u64(n_x_shared * w_stride + 4 * unit))
        far_h = offset(w_h, u64(n_h_shared * w_stride + 4 * unit))
        b_i, b_f, b_g, b_o = load4(bias, u32(4 * unit))
        n_h_far, n_x_far = u32(n_units - n_h_shared), u32(n_in - n_x_shared)

        tile = u32(u32(cuda.blockIdx.x) * n_groups + group)
        while u64(tile) * u64(rows) < u64(n_rows):
            row = u32(tile * rows)
            n_tile = u32(min(u32(n_rows - row), u32(rows)))
            # A thread of the padding has no rows, and weights of 0.
            n = n_tile if unit < n_units else u32(0)
            n_here, all_live = i32(n_steps), i32(n_steps)
            if is_there(ends):
                n_here = _end(ends, row, n_tile, i32(t_from), i32(n_steps), True)
                all_live = _end(ends, row, n_tile, i32(t_from), i32(n_steps), False)
            c_here = state_rows(zero, c, unit, state_stride, index, row, n)
            h_here = state_rows(zero, h, unit, state_stride, index, row, n)
            store_rows(held_h, u32(unit * rows), h_here)
            at = u64(u64(row) * u64(n_units) + u64(unit))
            if taped:
                before = u64(at - u64(n_rows) * u64(n_units))
                scatter_rows(hs, before, n_units, n, h_here)
                scatter_rows(cs, before, n_units, n, c_here)
            n_behind = n_here - 1
            if projected:
                x_i, x_f, x_g, x_o = gather_gates(zero, x, u64(4) * at, u32(4 * n_units), n)
            else:
                # The rows' inputs are next to one another: each thread brings some numbers of them.
                n_numbers = u32(n_tile * n_in)
                place = u32(min(unit, n_numbers - 1))
                n_own = u32((n_numbers - place + n_padded - 1) // n_padded)
                x_at = u64(row) * u64(n_in) + u64(place)
                slots = no_slots
                if n_here > 0:
                    slots = gather_rows(no_slots, x, x_at, n_padded, n_own)
                    store_turned(held_x, unit, n_padded, n_in, u32(rows), slots)
                if n_here > 1:
                    x_at = u64(x_at + u64(n_rows) * u64(n_in))
                    slots = gather_rows(no_slots, x, x_at, n_padded, n_own)
            barrier(group, n_padded)

            for step in range(n_here):
                t, units = i32(step), fresh(n_units)
                h_step = u64(u64(n_rows) * u64(units))
                now, then = u32(t & 1), u32((t & 1) ^ 1)
                h_now = offset(held_h, u32(now * h_size))
                s_i, s_f, s_g, s_o = add_products(
                    zero, zero, zero, zero, kept_h, w_stride, h_now, u32(rows), n_h_shared
                )
                s_i, s_f, s_g, s_o = add_far_products(
                    s_i, s_f, s_g, s_o, far_h, w_stride,
                    offset(h_now, u32(n_h_shared * rows)), u32(rows), n_h_far,
                )  # fmt: skip
                if projected:
                    z_i, z_f, z_g, z_o = x_i + s_i, x_f + s_f, x_g + s_g, x_o + s_o
                    if t < n_behind:
                        then_at = u64(u64(4) * (at + h_step))
                        x_i, x_f, x_g, x_o = gather_gates(zero, x, then_at, u32(4 * units), n)
                else:
                    x_now = offset(held_x, u32(now * x_size))
                    z_i, z_f, z_g, z_o = add_products(
                        like(zero, b_i), like(zero, b_f), like(zero, b_g), like(zero, b_o),
                        kept, w_stride, x_now, u32(rows), n_x_shared,
                    )  # fmt: skip
                    z_i, z_f, z_g, z_o = add_far_products(
                        z_i, z_f, z_g, z_o, far, w_stride,
                        offset(x_now, u32(n_x_shared * rows)), u32(rows), n_x_far,
                    )  # fmt: skip
                    z_i, z_f, z_g, z_o = z_i + s_i, z_f + s_f, z_g + s_g, z_o + s_o
                    if t < n_behind:
                        x_then = offset(held_x, u32(then * x_size))
                        store_turned(x_then, unit, n_padded, n_in, u32(rows), slots)
                    if t < n_behind - 1:
                        x_at = u64(x_at + u64(n_rows) * u64(n_in))
                        slots = gather_rows(no_slots, x, x_at, n_padded, n_own)
                e_i, e_f, e_g, e_o = exponentials(z_i, z_f, z_g, z_o)
                c_new, h_new = cell_of_exponentials(e_i, e_f, e_g, e_o, c_here)
                if t >= all_live:
                    h_old = load_rows(zero, h_now, u32(unit * rows))
                    h_new = where_live(i32(t + t_from), ends, row, n, h_new, h_old)
                    c_new = where_live(i32(t + t_from), ends, row, n, c_new, c_here)
                c_here = c_new
                store_rows(held_h, u32(then * h_size + unit * rows), h_new)
                scatter_rows(hs, at, units, n, h_new)
                if taped:
                    scatter_rows(cs, at, units, n, c_new)
                    scatter_gates(es, u64(4) * at, u32(4 * units), n, e_i, e_f, e_g, e_o)
                at = u64(at + h_step)
                barrier(group, n_padded)

            for _ in range(n_here, n_steps):  # so that whoever reads it reads numbers
                scatter_rows(hs, at, n_units, n, zero)
                at = u64(at + u64(n_rows) * u64(n_units))
            h_here = load_rows(zero, held_h, u32(u32(n_here & 1) * h_size + unit * rows))
            set_state_rows(h, unit, state_stride, index, row, n, h_here)
            set_state_rows(c, unit, state_stride, index, row, n, c_here)
            tile = u32(tile + u32(cuda.gridDim.x) * n_groups)

    return lstm
