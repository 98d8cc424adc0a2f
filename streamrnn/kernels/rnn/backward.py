"""Layers and head, backwards through time, on the buffers that a forward run with `keep` filled.

Slices of rows are worked on one after the other, each adding to the same gradients; inside a slice
the sums over steps and rows run in the order of `CHUNK_STEPS` blocks from the last to the first, in
a block forwards. That order is fixed by the shape of the batch alone. Steps behind a row's end have
zero gradients at the gates, so padding adds exact zeros.
"""

from __future__ import annotations

from typing import Any

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.jit import fma, kernel
from streamrnn.kernels.rnn.forward import fma4, is_live, layer_at, load4
from streamrnn.kernels.rnn.gates import cell_backward
from streamrnn.kernels.rnn.layout import B_AT, N_IN, N_PADDED, N_UNITS, T_AT, W_AT
from streamrnn.kernels.rnn.simd import broadcast, lanes, load, store, zeros

#: Steps between two additions to the weight gradients.
CHUNK_STEPS = 32


@kernel
def _store4(a: Floats, at: int, stride: int, values: Any) -> None:
    store(a, at, values[0])
    store(a, at + stride, values[1])
    store(a, at + 2 * stride, values[2])
    store(a, at + 3 * stride, values[3])


@kernel
def multiply_rows(
    a: Floats, a_at: int, n: int, turned: Floats, t_at: int, out: Floats, at: int, n_padded: int
) -> None:
    """Add ``a @ turned`` to four rows of `out`, k ascending.

    Rows of `a` have `n` elements and follow one another; so do rows of `out`, of `n_padded`.
    """
    v = lanes(turned)
    n_blocks = n_padded // v
    fours = n_blocks - n_blocks % 4
    for block in range(0, fours, 4):
        w_at = t_at + block * n * v
        to = at + block * v
        s0 = load4(out, to, v)
        s1 = load4(out, to + n_padded, v)
        s2 = load4(out, to + 2 * n_padded, v)
        s3 = load4(out, to + 3 * n_padded, v)
        for k in range(a_at, a_at + n):
            w4 = load4(turned, w_at, n * v)
            w_at += v
            s0 = fma4(w4, broadcast(a, k), s0)
            s1 = fma4(w4, broadcast(a, k + n), s1)
            s2 = fma4(w4, broadcast(a, k + 2 * n), s2)
            s3 = fma4(w4, broadcast(a, k + 3 * n), s3)
        _store4(out, to, v, s0)
        _store4(out, to + n_padded, v, s1)
        _store4(out, to + 2 * n_padded, v, s2)
        _store4(out, to + 3 * n_padded, v, s3)
    for block in range(fours, n_blocks):
        w_at = t_at + block * n * v
        to = at + block * v
        s = load4(out, to, n_padded)
        for k in range(a_at, a_at + n):
            w = load(turned, w_at)
            w_at += v
            s = (
                fma(w, broadcast(a, k), s[0]),
                fma(w, broadcast(a, k + n), s[1]),
                fma(w, broadcast(a, k + 2 * n), s[2]),
                fma(w, broadcast(a, k + 3 * n), s[3]),
            )
        _store4(out, to, n_padded, s)


@kernel
def add_outer(
    grads: Floats,
    to: int,
    block_stride: int,
    x: Floats,
    x_at: int,
    x_row: int,
    n_x: int,
    d_z: Floats,
    d_at: int,
    n_padded: int,
    n_rows: int,
) -> None:
    """Add ``x^T d_z``, summed over rows in ascending order, to a layer's weight gradients."""
    v = lanes(grads)
    fours = n_x - n_x % 4
    for block in range(n_padded // v):
        g_at = d_at + block * 4 * v
        for k in range(0, fours, 4):
            at = to + block * block_stride + k * 4 * v
            s0 = load4(grads, at, v)
            s1 = load4(grads, at + 4 * v, v)
            s2 = load4(grads, at + 8 * v, v)
            s3 = load4(grads, at + 12 * v, v)
            here, g = x_at + k, g_at
            for _ in range(n_rows):
                d4 = load4(d_z, g, v)
                s0 = fma4(d4, broadcast(x, here), s0)
                s1 = fma4(d4, broadcast(x, here + 1), s1)
                s2 = fma4(d4, broadcast(x, here + 2), s2)
                s3 = fma4(d4, broadcast(x, here + 3), s3)
                here += x_row
                g += 4 * n_padded
            _store4(grads, at, v, s0)
            _store4(grads, at + 4 * v, v, s1)
            _store4(grads, at + 8 * v, v, s2)
            _store4(grads, at + 12 * v, v, s3)
        for k in range(fours, n_x):
            at = to + block * block_stride + k * 4 * v
            s0 = load4(grads, at, v)
            here, g = x_at + k, g_at
            for _ in range(n_rows):
                s0 = fma4(load4(d_z, g, v), broadcast(x, here), s0)
                here += x_row
                g += 4 * n_padded
            _store4(grads, at, v, s0)


@kernel
def _add_bias(grads: Floats, to: int, d_z: Floats, d_at: int, n_padded: int, n_rows: int) -> None:
    """Add the sum over rows of d_z to the gradient of a bias."""
    v = lanes(grads)
    for j in range(0, 4 * n_padded, v):
        total = load(grads, to + j)
        for r in range(n_rows):
            total = total + load(d_z, d_at + r * 4 * n_padded + j)
        store(grads, to + j, total)


@kernel
def _gates_backward(
    buffer: Floats,
    h_at: int,
    to_next: int,
    to_c: int,
    g_at: int,
    n_padded: int,
    work: Floats,
    d_h_at: int,
    d_c_at: int,
    from_next: int,
    live: bool,
) -> None:
    """Turn the stored gates of one row and step into gradients at the pre-activations.

    The gradient at h is that from above plus that from the next step, which begins at `from_next`.
    Behind the row's end all is 0.
    """
    v = lanes(buffer)
    for k in range(0, n_padded, v):
        g = g_at + 4 * k
        if not live:
            nothing = zeros(buffer)
            _store4(buffer, g, v, (nothing, nothing, nothing, nothing))
            continue
        d_h = load(work, d_h_at + k) + load(work, from_next + k)
        i4 = load4(buffer, g, v)
        c_at = h_at + to_c + k
        d_i, d_f, d_g, d_o, d_c = cell_backward(
            i4[0],
            i4[1],
            i4[2],
            i4[3],
            load(buffer, c_at),
            load(buffer, c_at + to_next),
            d_h,
            load(work, d_c_at + k),
        )
        _store4(buffer, g, v, (d_i, d_f, d_g, d_o))
        store(work, d_c_at + k, d_c)


@kernel
def layer_backward(
    plan: I64,
    n: int,
    turned: Floats,
    buffer: Floats,
    work: Floats,
    end_at: int,
    ends: I64,
    row0: int,
    n_rows: int,
    n_given: int,
    n_steps: int,
    keep: bool,
    grads: Floats,
    want_x: bool,
) -> None:
    """Go back through layer `n` for a slice of rows.

    Parameters
    ----------
    plan, n, turned
        The network, which layer, and its turned weights.
    buffer
        What the forward run left; the gates become gradients at the pre-activations.
    work
        Begins with d_h [T][R][H padded], the gradient from above at each step, which becomes that
        at the layer's inputs, [T][R][inputs padded], if `want_x`.
    end_at
        Where in `work` the gradients at the end state begin, h [R][H padded] and c; they become
        those at the start state.
    ends, row0, n_rows, n_given, n_steps, keep
        As in the forward run.
    grads
        The layer's gradients are added.
    """
    n_in, n_units, n_padded = plan[n, N_IN], plan[n, N_UNITS], plan[n, N_PADDED]
    v = lanes(buffer)
    at = layer_at(plan, n, n_rows, n_steps, keep)
    to_next = n_rows * n_padded
    to_c = (n_steps + 1) * to_next
    gates_at = at + 2 * to_c
    d_c_at = end_at + to_next
    if n == 0:
        x_at, x_row = layer_at(plan, plan.shape[0] - 1, n_rows, n_steps, keep), n_in
    else:
        x_row = plan[n - 1, N_PADDED]
        x_at = layer_at(plan, n - 1, n_rows, n_steps, keep) + n_rows * x_row
    done = n_steps
    for t in range(n_steps - 1, -2, -1):
        for r in range(0, n_rows, 4):
            if t + 1 < n_steps:
                _through_cell(
                    buffer, gates_at, turned, plan[n, T_AT], work, end_at, ends, row0, n_rows,
                    n_given, n_padded, t + 1, r,
                )  # fmt: skip
            row = t * n_rows + r
            for m in range(4 if t >= 0 else 0):
                live = r + m < n_given and is_live(ends, row0 + r + m, t)
                _gates_backward(
                    buffer, at + (row + m) * n_padded, to_next, to_c,
                    gates_at + (row + m) * 4 * n_padded, n_padded, work, (row + m) * n_padded,
                    d_c_at + (r + m) * n_padded, end_at + (r + m) * n_padded, live,
                )  # fmt: skip
        if t >= 0 and t % CHUNK_STEPS == 0:
            n_sum, d_at = (done - t) * n_rows, gates_at + t * n_rows * 4 * n_padded
            stride = (n_in + n_units) * 4 * v
            to = plan[n, W_AT]
            add_outer(
                grads, to, stride, buffer, x_at + t * n_rows * x_row, x_row, n_in,
                buffer, d_at, n_padded, n_sum,
            )  # fmt: skip
            add_outer(
                grads, to + n_in * 4 * v, stride, buffer, at + t * n_rows * n_padded, n_padded,
                n_units, buffer, d_at, n_padded, n_sum,
            )  # fmt: skip
            _add_bias(grads, plan[n, B_AT], buffer, d_at, n_padded, n_sum)
            done = t
    if want_x:
        _inputs_gradient(
            buffer, gates_at, turned, plan[n, T_AT] + 4 * n_padded * n_padded, work,
            n_rows * n_steps, n_padded, -(-n_in // v) * v,
        )  # fmt: skip


@kernel
def _through_cell(
    buffer: Floats,
    gates_at: int,
    turned: Floats,
    t_at: int,
    work: Floats,
    end_at: int,
    ends: I64,
    row0: int,
    n_rows: int,
    n_given: int,
    n_padded: int,
    t: int,
    r: int,
) -> None:
    """Take the gradient at h of four rows from behind step `t` to before it.

    A row that had ended before `t` keeps what it has: the gradient at its end state.
    """
    zero = work.dtype.type(0)
    for m in range(r, r + 4):
        if m < n_given and is_live(ends, row0 + m, t):
            for k in range(n_padded):
                work[end_at + m * n_padded + k] = zero
    multiply_rows(
        buffer, gates_at + (t * n_rows + r) * 4 * n_padded, 4 * n_padded, turned, t_at,
        work, end_at + r * n_padded, n_padded,
    )  # fmt: skip


@kernel
def _inputs_gradient(
    buffer: Floats,
    gates_at: int,
    turned: Floats,
    t_at: int,
    work: Floats,
    n_rows: int,
    n_padded: int,
    i_padded: int,
) -> None:
    """Write the gradient at a layer's inputs over the one at its outputs."""
    for k in range(n_rows * i_padded):
        work[k] = 0
    for r in range(0, n_rows, 4):
        multiply_rows(
            buffer, gates_at + r * 4 * n_padded, 4 * n_padded, turned, t_at,
            work, r * i_padded, i_padded,
        )  # fmt: skip


@kernel
def head_backward(
    plan: I64,
    turned: Floats,
    d_logits: Floats,
    d_at: int,
    h: Floats,
    h_at: int,
    mask: Floats,
    row: int,
    work: Floats,
    to: int,
    grads: Floats,
) -> None:
    """Go back through the head for one row and step.

    `h` holds the vector that the head read. The gradient at the hidden vector is written to
    `work` at `to`, those at the weights are added to `grads`. A class whose gradient is 0 adds
    nothing, so a step that the loss ignores adds nothing even where its logits are not finite.
    """
    last = plan.shape[0] - 1
    n_padded, n_classes = plan[last - 1, N_PADDED], plan[last, N_UNITS]
    v = lanes(work)
    for k in range(0, n_padded, v):
        store(work, to + k, zeros(work))
    for c in range(n_classes):
        d = d_logits[d_at + c]
        if d != 0:
            w_at, g_at = plan[last, T_AT] + c * n_padded, plan[last, W_AT] + c * n_padded
            grads[plan[last, B_AT] + c] += d
            d_c = broadcast(d_logits, d_at + c)
            for k in range(0, n_padded, v):
                store(work, to + k, fma(d_c, load(turned, w_at + k), load(work, to + k)))
                store(grads, g_at + k, fma(d_c, load(h, h_at + k), load(grads, g_at + k)))
    if mask.size > 0:
        for k in range(plan[last, N_IN]):
            work[to + k] *= mask[row, k]
