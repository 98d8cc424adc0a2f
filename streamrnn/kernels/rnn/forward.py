"""Layers and head, forwards: one routine for a step, a sequence and training, so the same bits.

Rows are worked on four at a time and the rest one at a time; neither changes a row's arithmetic.
Sums follow docs/adr/0001-order-of-summation.md.
"""

from __future__ import annotations

from typing import Any

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.jit import fma, kernel
from streamrnn.kernels.rnn.gates import cell, gates
from streamrnn.kernels.rnn.layout import (
    B_AT,
    N_IN,
    N_PADDED,
    N_UNITS,
    T_AT,
    W_AT,
)
from streamrnn.kernels.rnn.simd import broadcast, lanes, load, store, zeros


@kernel
def load4(a: Floats, at: int, stride: int) -> Any:
    """Return four vectors, `stride` apart."""
    return load(a, at), load(a, at + stride), load(a, at + 2 * stride), load(a, at + 3 * stride)


@kernel
def fma4(w: Any, x: Any, total: Any) -> Any:
    """Return ``total + w * x`` for four vectors."""
    return (
        fma(w[0], x, total[0]),
        fma(w[1], x, total[1]),
        fma(w[2], x, total[2]),
        fma(w[3], x, total[3]),
    )


@kernel
def zeros4(a: Floats) -> Any:
    """Return four vectors of zeros."""
    return zeros(a), zeros(a), zeros(a), zeros(a)


@kernel
def _sum1(w: Floats, at: int, x: Floats, x_at: int, n: int, total: Any) -> Any:
    """Add ``w x`` for the four gates of one block and one row, k ascending."""
    v = lanes(w)
    for k in range(n):
        total = fma4(load4(w, at + k * 4 * v, v), broadcast(x, x_at + k), total)
    return total


@kernel
def _sum4(w: Floats, at: int, x: Floats, x_at: int, stride: int, n: int, start: Any) -> Any:
    """Do what `_sum1` does for four rows, `stride` apart in x."""
    v = lanes(w)
    total0 = total1 = total2 = total3 = start
    for k in range(x_at, x_at + n):
        w4 = load4(w, at, v)
        at += 4 * v
        total0 = fma4(w4, broadcast(x, k), total0)
        total1 = fma4(w4, broadcast(x, k + stride), total1)
        total2 = fma4(w4, broadcast(x, k + 2 * stride), total2)
        total3 = fma4(w4, broadcast(x, k + 3 * stride), total3)
    return total0, total1, total2, total3


@kernel
def _update(
    from_x: Any,
    from_h: Any,
    live: bool,
    buffer: Floats,
    at: int,
    h_at: int,
    to_next: int,
    to_c: int,
    keep: bool,
) -> None:
    """Update one block of one row, and store its gates if `keep`; a row that has ended stays.

    `h_at` is where its h lies before the step, `at` where the layer begins; `to_next` leads to the
    next step's and `to_c` from h to c.
    """
    v = lanes(buffer)
    c_at = h_at + to_c
    if not live:
        store(buffer, h_at + to_next, load(buffer, h_at))
        store(buffer, c_at + to_next, load(buffer, c_at))
        return
    z_i, z_f = from_x[0] + from_h[0], from_x[1] + from_h[1]
    z_g, z_o = from_x[2] + from_h[2], from_x[3] + from_h[3]
    c, h = cell(z_i, z_f, z_g, z_o, load(buffer, c_at))
    store(buffer, h_at + to_next, h)
    store(buffer, c_at + to_next, c)
    if keep:
        i, f, g, o = gates(z_i, z_f, z_g, z_o)
        g_at = at + 2 * to_c + 4 * (h_at - at)
        store(buffer, g_at, i)
        store(buffer, g_at + v, f)
        store(buffer, g_at + 2 * v, g)
        store(buffer, g_at + 3 * v, o)


@kernel
def is_live(ends: I64, row: int, t: int) -> bool:
    """Return whether step `t` is one of the row's; empty `ends` means that no row ends."""
    return ends.size == 0 or t < ends[row]


@kernel
def layer_forward(
    plan: I64,
    n: int,
    arena: Floats,
    x: Floats,
    x_at: int,
    x_row: int,
    x_step: int,
    buffer: Floats,
    at: int,
    room: int,
    ends: I64,
    row0: int,
    n_rows: int,
    n_given: int,
    t0: int,
    n_steps: int,
    keep: bool,
) -> None:
    """Run layer `n` over the steps t0 .. t0 + n_steps of a slice of rows.

    Parameters
    ----------
    plan, n, arena
        The network, and which layer.
    x, x_at, x_row, x_step
        The layer's inputs: where those of the first row and step begin, and the ways to the next
        row and to the next step.
    buffer, at, room
        The slice's buffer, where in it this layer's part begins, and for how many steps it is made
        (see `layer_at`). Its h and c at step 0 are the start state.
    ends, row0, n_given
        Length of each row; row `r` of the slice is row ``row0 + r`` there. Rows of the slice from
        `n_given` on are not given, and do nothing.
    keep : bool
        Store the gates.
    """
    n_in, n_units, n_padded = plan[n, N_IN], plan[n, N_UNITS], plan[n, N_PADDED]
    v = lanes(arena)
    fours = n_rows - n_rows % 4
    to_next = n_rows * n_padded
    to_c = (room + 1) * to_next
    for s in range(n_steps):
        for r in range(0, fours, 4):
            live0 = r < n_given and is_live(ends, row0 + r, t0 + s)
            live1 = r + 1 < n_given and is_live(ends, row0 + r + 1, t0 + s)
            live2 = r + 2 < n_given and is_live(ends, row0 + r + 2, t0 + s)
            live3 = r + 3 < n_given and is_live(ends, row0 + r + 3, t0 + s)
            work = live0 or live1 or live2 or live3
            x_here = x_at + s * x_step + r * x_row
            h_here = at + (s * n_rows + r) * n_padded
            for block in range(n_padded // v):
                w_at = plan[n, W_AT] + block * (n_in + n_units) * 4 * v
                b = load4(arena, plan[n, B_AT] + block * 4 * v, v)
                x0, x1, x2, x3 = _sum4(arena, w_at, x, x_here, x_row, n_in if work else 0, b)
                w_at += n_in * 4 * v
                b = zeros4(arena)
                h0, h1, h2, h3 = _sum4(
                    arena, w_at, buffer, h_here, n_padded, n_units if work else 0, b
                )
                h_at = h_here + block * v
                _update(x0, h0, live0, buffer, at, h_at, to_next, to_c, keep)
                h_at += n_padded
                _update(x1, h1, live1, buffer, at, h_at, to_next, to_c, keep)
                h_at += n_padded
                _update(x2, h2, live2, buffer, at, h_at, to_next, to_c, keep)
                h_at += n_padded
                _update(x3, h3, live3, buffer, at, h_at, to_next, to_c, keep)
        for r in range(fours, n_rows):
            live = is_live(ends, row0 + r, t0 + s)
            x_here = x_at + s * x_step + r * x_row
            h_here = at + (s * n_rows + r) * n_padded
            for block in range(n_padded // v):
                w_at = plan[n, W_AT] + block * (n_in + n_units) * 4 * v
                b = load4(arena, plan[n, B_AT] + block * 4 * v, v)
                x0 = _sum1(arena, w_at, x, x_here, n_in, b)
                h0 = _sum1(arena, w_at + n_in * 4 * v, buffer, h_here, n_units, zeros4(arena))
                _update(x0, h0, live, buffer, at, h_here + block * v, to_next, to_c, keep)


@kernel
def head_forward(
    plan: I64, arena: Floats, h: Floats, h_at: int, h_row: int, n_rows: int, out: Floats, at: int
) -> None:
    """Write ``b_out + w_out h``, k ascending, for some rows; a row of `out` is whole vectors."""
    n = plan.shape[0] - 1
    n_in, n_padded = plan[n, N_IN], plan[n, N_PADDED]
    v = lanes(arena)
    fours = n_rows - n_rows % 4
    for block in range(n_padded // v):
        bias = load(arena, plan[n, B_AT] + block * v)
        for r in range(0, fours, 4):
            w_at = plan[n, W_AT] + block * n_in * v
            s0 = s1 = s2 = s3 = bias
            for k in range(h_at + r * h_row, h_at + r * h_row + n_in):
                w = load(arena, w_at)
                w_at += v
                s0 = fma(w, broadcast(h, k), s0)
                s1 = fma(w, broadcast(h, k + h_row), s1)
                s2 = fma(w, broadcast(h, k + 2 * h_row), s2)
                s3 = fma(w, broadcast(h, k + 3 * h_row), s3)
            to = at + r * n_padded + block * v
            store(out, to, s0)
            store(out, to + n_padded, s1)
            store(out, to + 2 * n_padded, s2)
            store(out, to + 3 * n_padded, s3)
        for r in range(fours, n_rows):
            w_at = plan[n, W_AT] + block * n_in * v
            s0 = bias
            for k in range(h_at + r * h_row, h_at + r * h_row + n_in):
                s0 = fma(load(arena, w_at), broadcast(h, k), s0)
                w_at += v
            store(out, at + r * n_padded + block * v, s0)


@kernel
def turn_entry(plan: I64, arena: Floats, turned: Floats) -> None:
    """Write every layer's and the head's weights, turned, into `turned`."""
    v = lanes(arena)
    last = plan.shape[0] - 1
    for n in range(last):
        n_in, n_units, n_padded = plan[n, N_IN], plan[n, N_UNITS], plan[n, N_PADDED]
        n_k, g = n_in + n_units, 4 * n_padded
        hidden_at = plan[n, T_AT]
        inputs_at = hidden_at + n_padded * g
        for block in range(n_padded // v):
            for k in range(n_k):
                unit = k if k < n_in else k - n_in
                to = inputs_at if k < n_in else hidden_at
                to += ((unit // v) * g + block * 4 * v) * v + unit % v
                at = plan[n, W_AT] + (block * n_k + k) * 4 * v
                for j in range(4 * v):
                    turned[to + j * v] = arena[at + j]
    n_padded = plan[last - 1, N_PADDED]
    for unit in range(plan[last, N_UNITS]):
        at = plan[last, W_AT] + (unit // v) * plan[last, N_IN] * v + unit % v
        for k in range(plan[last, N_IN]):
            turned[plan[last, T_AT] + unit * n_padded + k] = arena[at + k * v]


@kernel
def layer_at(plan: I64, n: int, n_rows: int, room: int, keep: bool) -> int:
    """Return where layer `n` begins in the buffer of a slice of R rows with room for T steps.

    A layer holds h [T + 1][R][H padded], then c of the same form (the start state comes first),
    then, if `keep`, the gates [T][R][block][gate][V]. Behind the last layer stand, if `keep`, the
    inputs [T][R][I]; so ``n = L`` gives where these begin, ``n = L + 1`` the size of the buffer.
    """
    at = 0
    for below in range(min(n, plan.shape[0] - 1)):
        per_step = n_rows * plan[below, N_PADDED]
        at += (room + 1) * per_step * 2
        if keep:
            at += room * per_step * 4
    if keep and n >= plan.shape[0]:
        at += room * n_rows * plan[0, N_IN]
    return int(at)
