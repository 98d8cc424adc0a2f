"""A layer's whole sequence backwards, in one launch.

As in `lstm`, a *group* of threads takes a *tile* of R rows at a time, one thread a hidden unit, and
one tile after the other; the groups of a block share weights in shared memory and nothing else. In
a step a thread takes the cells of its unit back, which gives the gradients at their
pre-activations, dz. For the gradient at the hidden values before,

    carried[j] = sum over gates of (sum over k, ascending, of w_hh[gate, k, j] dz[k, gate])

four neighbouring threads share their four units j: each sums *one gate* for all four, a chain of
fused multiply-adds for each unit and row. So a source unit k costs a thread 16 bytes of weights,
4 R bytes of dz and 4 R multiply-adds. If each thread summed all gates of its own unit instead, it
would be 16 R bytes of dz: a unit has four sums in the forward pass, but one here. With 8 rows a
warp passes through shared memory 4 times for weights and twice for dz (what all lanes read alike
takes one pass), beside the 8 cycles of its multiply-adds; the other way it would be 4 and 8 times.
The four threads then trade sums by shuffles, in the order (i + f) + (g + o), and each is left with
the unit that it owns.

One barrier a step is enough: dz stands in shared memory twice, for steps in turn. What the next
step needs of the tape is asked for before the sums, and arrives meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from streamrnn.kernels.cuda.code.words import (
    barrier,
    is_there,
    load4,
    offset,
    shared_floats,
    store4,
)
from streamrnn.kernels.jit import fma, kernel
from streamrnn.kernels.rnn.gates import cell_backward

f32, u32, u64, i64 = np.float32, np.uint32, np.uint64, np.int64
ALL_LANES = 0xFFFFFFFF


@kernel
def _trade(first: Any, second: Any, keeps_second: Any, apart: int) -> Any:
    """Give one of two sums to the lane `apart`, get one for the other, and return their sum."""
    given = first if keeps_second else second
    kept = second if keeps_second else first
    return kept + cuda.shfl_xor_sync(ALL_LANES, given, apart)


@kernel
def _own(s0: Any, s1: Any, s2: Any, s3: Any, gate: Any) -> Any:
    """Return (i + f) + (g + o) for the lane's own unit; it has one gate's sums of four units."""
    odd, high = (gate & u32(1)) != 0, (gate & u32(2)) != 0
    low, top = _trade(s0, s1, odd, 1), _trade(s2, s3, odd, 1)
    return _trade(low, top, high, 2)


def _on_shared_dz(rows: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return what adds a source unit's part to sums, and what writes a unit's dz.

    Both take shared dz from the unit on, ``[gate][row]``.
    """
    quads = rows // 4

    @kernel
    def add_unit(weights: Any, dz: Any, sums: Any) -> None:
        w = load4(weights, 0)
        for q in range(quads):
            z = load4(dz, 4 * q)
            for r in range(4):
                for n in range(4):
                    sums[4 * q + r, n] = fma(w[n], z[r], sums[4 * q + r, n])

    @kernel
    def write_unit(dz: Any, own: Any) -> None:
        for gate in range(4):
            for q in range(quads):
                store4(
                    dz, gate * rows + 4 * q,
                    own[4 * q, gate], own[4 * q + 1, gate], own[4 * q + 2, gate],
                    own[4 * q + 3, gate],
                )  # fmt: skip

    @kernel
    def add_unit_of_two(weights: Any, dz: Any, sums: Any) -> None:
        w = load4(weights, 0)
        for r in range(2):
            z = dz[r]
            for n in range(4):
                sums[r, n] = fma(w[n], z, sums[r, n])

    @kernel
    def write_unit_of_two(dz: Any, own: Any) -> None:
        store4(dz, 0, own[0, 0], own[1, 0], own[0, 1], own[1, 1])
        store4(dz, 4, own[0, 2], own[1, 2], own[0, 3], own[1, 3])

    return (add_unit_of_two, write_unit_of_two) if rows == 2 else (add_unit, write_unit)


def make_bptt(rows: int, stride: int) -> Callable[..., Any]:
    """Return the kernel behind `back_launches.bptt`.

    Parameters
    ----------
    rows : {2, 4, 8}
        Rows a thread.
    stride : int
        Floats from one unit to the next in shared dz.
    """
    add_unit, write_unit = _on_shared_dz(rows)

    @kernel
    def add_units(weights: Any, line: Any, dz: Any, n: Any, sums: Any) -> None:
        """Add n units, a multiple of 4: four at a time by hand, or they would not be unrolled."""
        while n > u32(0):
            add_unit(weights, dz, sums)
            weights = offset(weights, line)
            add_unit(weights, offset(dz, stride), sums)
            weights = offset(weights, line)
            add_unit(weights, offset(dz, 2 * stride), sums)
            weights = offset(weights, line)
            add_unit(weights, offset(dz, 3 * stride), sums)
            weights = offset(weights, line)
            dz = offset(dz, 4 * stride)
            n = u32(n - u32(4))

    @kernel
    def load_step(arrays: Any, n_units: Any, limit: Any, t: Any, got: Any) -> None:
        """Load what step t - 1 needs of the rows that have it."""
        e, c_before, h, d_y = arrays
        for r in range(rows):
            if t <= limit[r] and t > u32(0):
                at = u32(r * n_units)
                got[r, 0], got[r, 1], got[r, 2], got[r, 3] = load4(e, u32(4 * at))
                got[r, 4], got[r, 5], got[r, 6] = c_before[at], h[at], d_y[at]

    def bptt(
        e: Any, cs: Any, hs: Any, d_y: Any, w_back: Any, ends: Any, d_h: Any, d_c: Any, dz: Any,
        state_stride: Any, n_steps: Any, n_rows: Any, n_units: Any, n_padded: Any, n_kept: Any,
    ) -> None:  # fmt: skip
        thread, n_threads = u32(cuda.threadIdx.x), u32(cuda.blockDim.x)
        group, unit = u32(thread // n_padded), u32(thread % n_padded)
        gate, n_groups = u32(unit & u32(3)), u32(n_threads // n_padded)
        is_unit = unit < n_units
        w_stride, n_sources = u32(4 * n_padded), u32((n_units + 3) // 4 * 4)

        kept = shared_floats()
        at = u32(4 * thread)
        while at < u32(n_kept * w_stride):
            a, b, c, d = load4(w_back, at)
            store4(kept, at, a, b, c, d)
            at = u32(at + u32(4 * n_threads))
        dz_size = u32(n_padded * u32(stride))
        dz_now = offset(kept, u32(n_kept * w_stride + group * u32(2 * dz_size)))
        dz_then = offset(dz_now, dz_size)
        cuda.syncthreads()
        kept, far = offset(kept, u32(4 * unit)), offset(w_back, u32(n_kept * w_stride + 4 * unit))

        limit = cuda.local.array(rows, np.uint32)
        carried, d_cell = cuda.local.array(rows, np.float32), cuda.local.array(rows, np.float32)
        tape, sums = (
            cuda.local.array((rows, 7), np.float32),
            cuda.local.array((rows, 4), np.float32),
        )
        step = i64(n_rows) * i64(n_units)
        tile = u32(u32(cuda.blockIdx.x) * n_groups + group)
        while u64(tile) * u64(rows) < u64(n_rows):
            row, longest = u32(tile * u32(rows)), u32(0)
            for r in range(rows):
                n = u32(row + r)
                limit[r], carried[r], d_cell[r] = u32(0), f32(0), f32(0)
                if n < n_rows:
                    end = u32(ends[n]) if is_there(ends) else n_steps
                    longest = max(longest, end)
                    if is_unit:
                        limit[r], at_state = end, u64(n) * u64(state_stride) + u64(unit)
                        carried[r], d_cell[r] = d_h[at_state], d_c[at_state]

            last = step * (i64(longest) - 1) + i64(row) * i64(n_units) + i64(unit)
            e_t, dz_t = offset(e, 4 * last), offset(dz, 4 * last)
            c_t, h_t, y_t = offset(cs, last), offset(hs, last + step), offset(d_y, last)
            load_step((e_t, c_t, h_t, y_t), n_units, limit, longest, tape)
            t = longest
            while t > u32(0):
                for r in range(rows):
                    for g in range(4):
                        sums[r, g] = f32(0)
                    if t <= limit[r]:
                        d_i, d_f, d_g, d_o, d_cell[r] = cell_backward(
                            tape[r, 0], tape[r, 1], tape[r, 2], tape[r, 3], tape[r, 4], tape[r, 5],
                            tape[r, 6] + carried[r], d_cell[r],
                        )  # fmt: skip
                        store4(dz_t, u32(u32(4 * r) * n_units), d_i, d_f, d_g, d_o)
                        sums[r, 0], sums[r, 1], sums[r, 2], sums[r, 3] = d_i, d_f, d_g, d_o
                write_unit(offset(dz_now, u32(unit * u32(stride))), sums)
                t = u32(t - u32(1))
                e_t, dz_t = offset(e_t, -4 * step), offset(dz_t, -4 * step)
                c_t, h_t, y_t = offset(c_t, -step), offset(h_t, -step), offset(y_t, -step)
                load_step((e_t, c_t, h_t, y_t), n_units, limit, t, tape)
                barrier(group, n_padded)

                for r in range(rows):
                    for g in range(4):
                        sums[r, g] = f32(0)
                z = offset(dz_now, u32(gate * u32(rows)))
                add_units(kept, w_stride, z, n_kept, sums)
                z = offset(z, u32(n_kept * u32(stride)))
                add_units(far, w_stride, z, u32(n_sources - n_kept), sums)
                for r in range(rows):
                    total = _own(sums[r, 0], sums[r, 1], sums[r, 2], sums[r, 3], gate)
                    if t < limit[r]:
                        carried[r] = total
                dz_now, dz_then = dz_then, dz_now

            for r in range(rows):
                if row + r < n_rows and is_unit:
                    at_state = u64(row + r) * u64(state_stride) + u64(unit)
                    d_h[at_state], d_c[at_state] = carried[r], d_cell[r]
            tile = u32(tile + u32(cuda.gridDim.x) * n_groups)

    return bptt
