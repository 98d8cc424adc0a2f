"""Backwards through time: the layers and the head of a slice of rows, on its tape (see job.py).

The order of sums follows docs/adr/0001-order-of-summation.md. Behind a row's end the gradients at
the gates are 0, so padding adds exact zeros.
"""

from __future__ import annotations

from typing import Any

from streamrnn.kernels.jit import apart, kernel
from streamrnn.kernels.rnn import job as at
from streamrnn.kernels.rnn.gates import cell_backward
from streamrnn.kernels.rnn.loss import loss_row
from streamrnn.kernels.rnn.simd import lanes, load, offset, pointer_like, store
from streamrnn.kernels.rnn.simd import zeros as zero_vector
from streamrnn.kernels.rnn.taped import (
    clear,
    copy,
    head_forward_rows,
    head_inputs,
    move_state,
    times_mask,
)
from streamrnn.kernels.rnn.tiles import (
    BROAD_ROWS,
    TALL_ROWS,
    broad1_on,
    broad2_on,
    broad_on,
    broad_rest,
    slim1_on,
    slim_add,
    slim_on,
    tall_add,
    tall_on,
    tall_rest,
)

R = at.SLICE_ROWS


@apart
def add_rows(out: Any, out_row: Any, a: Any, a_row: Any, n: Any, w: Any, width: Any) -> None:
    """Add ``a w`` to the rows of a slice, k ascending from 0.

    `w` is turned: blocks of two vectors, then perhaps of one, [n][2 V or V]. `width` is a whole
    number of vectors.
    """
    v = lanes(out)
    pairs = width - width % (2 * v)
    for r in range(0, R, TALL_ROWS):
        here, rows = offset(out, r * out_row), offset(a, r * a_row)
        for k in range(0, pairs, 2 * v):
            to = offset(here, k)
            tall_add(to, out_row, to, out_row, rows, a_row, 1, offset(w, k * n), 2 * v, n)
        if pairs < width:
            to = offset(here, pairs)
            slim_add(to, out_row, to, out_row, rows, a_row, 1, offset(w, pairs * n), v, n)


@apart
def write_rows(
    out: Any, out_row: Any, zeros: Any, a: Any, a_row: Any, n: Any, w: Any, width: Any, w_row: Any
) -> None:
    """Write ``a w`` to the rows of a slice, k ascending from 0.

    `w` is turned as in `add_rows` if `w_row` is 0; else its rows are `w_row` apart.
    """
    v = lanes(out)
    pairs = width - width % (2 * v)
    for r in range(0, R, TALL_ROWS):
        here, rows = offset(out, r * out_row), offset(a, r * a_row)
        for k in range(0, pairs, 2 * v):
            to, w_here = offset(here, k), offset(w, k if w_row else k * n)
            w_k = w_row if w_row else 2 * v
            tall_on(to, out_row, zeros, 0, rows, a_row, 1, w_here, w_k, n)
        if pairs < width:
            to, w_here = offset(here, pairs), offset(w, pairs if w_row else pairs * n)
            slim_on(to, out_row, zeros, 0, rows, a_row, 1, w_here, w_row if w_row else v, n)


@apart
def add_outer(grads: Any, x: Any, x_row: Any, n_x: Any, d_z: Any, d_row: Any, n: Any) -> None:
    """Add ``x^T d_z``, summed over n rows in ascending order, to gradients that lie like weights.

    Done are the four vectors of a block, and of x whole tiles.
    """
    v = lanes(grads)
    for k in range(0, n_x - n_x % TALL_ROWS, TALL_ROWS):
        for half in range(0, 4 * v, 2 * v):
            here, d = offset(grads, k * 4 * v + half), offset(d_z, half)
            tall_on(here, 4 * v, here, 4 * v, offset(x, k), 1, x_row, d, d_row, n)


@apart
def add_outer_rest(grads: Any, x: Any, x_row: Any, n_x: Any, d_z: Any, d_row: Any, n: Any) -> None:
    """Add what `add_outer` leaves over of x."""
    v = lanes(grads)
    k = n_x - n_x % TALL_ROWS
    if BROAD_ROWS > 2 and n_x - k >= BROAD_ROWS:
        here = offset(grads, k * 4 * v)
        broad_on(here, 4 * v, here, 4 * v, offset(x, k), 1, x_row, d_z, d_row, n)
        k += BROAD_ROWS
    if n_x - k >= 2:
        here = offset(grads, k * 4 * v)
        broad2_on(here, 4 * v, here, 4 * v, offset(x, k), 1, x_row, d_z, d_row, n)
        k += 2
    if n_x > k:
        here = offset(grads, k * 4 * v)
        broad1_on(here, 4 * v, here, 4 * v, offset(x, k), 1, x_row, d_z, d_row, n)


@apart
def cells_backward(
    layer: Any, tape: Any, above: Any, above_row: int, d_h: Any, d_c: Any, limits: Any, t: int
) -> None:
    """Turn the exponentials of a step into gradients at the pre-activations.

    The gradient at h is that from above plus that from the next step, `d_h`, which is used up.
    """
    v = lanes(tape)
    n_padded = layer[at.N_PADDED]
    for r in range(R):
        row = t * R + r
        gates = offset(tape, layer[at.GATES_AT] + row * layer[at.GATES_ROW])
        c = offset(tape, layer[at.C_AT] + row * n_padded)
        h = offset(tape, layer[at.H_AT] + (row + R) * n_padded)
        live = t < limits[r]
        for k in range(0, n_padded, v):
            p, q = 4 * k, r * n_padded + k
            nothing = zero_vector(tape)
            d_i = d_f = d_g = d_o = nothing
            if live:
                d_i, d_f, d_g, d_o, d_before = cell_backward(
                    load(gates, p), load(gates, p + v), load(gates, p + 2 * v),
                    load(gates, p + 3 * v), load(c, k), load(h, k),
                    load(above, r * above_row + k) + load(d_h, q), load(d_c, q),
                )  # fmt: skip
                store(d_c, q, d_before)
                store(d_h, q, nothing)
            store(gates, p, d_i)
            store(gates, p + v, d_f)
            store(gates, p + 2 * v, d_g)
            store(gates, p + 3 * v, d_o)


@apart
def weights_backward(layer: Any, tape: Any, one: Any, grads: Any, t: int, n_steps: int) -> None:
    """Add the steps from t on to a layer's weight gradients.

    Block by block, whose gradients at the gates stay in the cache meanwhile.
    """
    v = lanes(tape)
    n_in, n_units, n_padded = layer[at.N_IN], layer[at.N_UNITS], layer[at.N_PADDED]
    n, x_row, d_row = n_steps * R, layer[at.X_ROW], layer[at.GATES_ROW]
    x = offset(tape, layer[at.X_AT] + t * R * x_row)
    h = offset(tape, layer[at.H_AT] + t * R * n_padded)
    rest = n_in % TALL_ROWS
    for block in range(n_padded // v):
        d_z = offset(tape, layer[at.GATES_AT] + t * R * d_row + block * 4 * v)
        to = offset(grads, layer[at.WEIGHTS_AT] + block * (n_in + n_units) * 4 * v)
        to_h = offset(to, n_in * 4 * v)
        bias = offset(grads, layer[at.BIAS_AT] + block * 4 * v)
        if rest >= BROAD_ROWS:
            for half in range(0, 4 * v, 2 * v):
                tall_rest(
                    offset(to_h, half - rest * 4 * v), 4 * v, offset(bias, half),
                    offset(x, n_in - rest), x_row, offset(d_z, half), d_row, n, rest,
                )  # fmt: skip
        elif rest > 0:
            broad_rest(
                offset(to_h, -rest * 4 * v), 4 * v, bias, offset(x, n_in - rest), x_row, d_z,
                d_row, n, rest,
            )  # fmt: skip
        else:
            broad1_on(bias, 4 * v, bias, 4 * v, one, 0, 0, d_z, d_row, n)
        add_outer(to, x, x_row, n_in, d_z, d_row, n)
        add_outer(to_h, h, n_padded, n_units, d_z, d_row, n)
        add_outer_rest(to_h, h, n_padded, n_units, d_z, d_row, n)


@kernel
def layer_backward(
    job: Any, n: int, tape: Any, work: Any, grads: Any, limits: Any, row0: int, n_given: int,
    n_steps: int, spec: Any,
) -> float:  # fmt: skip
    """Go back through layer `n` of a slice, and first through the head if it is the last.

    Returns
    -------
    float
        The slice's part of the loss.
    """
    layer = offset(pointer_like(job, job[at.LAYERS]), n * at.N_COLUMNS)
    turned = pointer_like(tape, job[at.TURNED])
    n_padded, above_row = layer[at.N_PADDED], job[at.D_ABOVE_ROW]
    v = lanes(tape)
    d_h, d_c = offset(work, job[at.D_H_AT]), offset(work, job[at.D_C_AT])
    move_state(layer, at.D_STATE_H, d_h, limits, 0, row0, True)
    move_state(layer, at.D_STATE_C, d_c, limits, 0, row0, True)
    below = 0
    if n > 0 or job[at.D_X] != 0:
        below = -(-layer[at.N_IN] // v) * v
    loss, done = 0.0, n_steps
    for t in range(n_steps - 1, -1, -1):
        above = offset(work, job[at.D_ABOVE_AT] + t * job[at.D_ABOVE_STEP])
        if n == job[at.N_LAYERS] - 1:
            loss += head_backward(job, tape, work, above, grads, limits, row0, n_given, t, spec)
        cells_backward(layer, tape, above, above_row, d_h, d_c, limits, t)
        d_z = offset(tape, layer[at.GATES_AT] + t * R * layer[at.GATES_ROW])
        if t > 0 or layer[at.D_STATE_H] != 0:
            w = offset(turned, layer[at.TURNED_AT])
            add_rows(d_h, n_padded, d_z, layer[at.GATES_ROW], 4 * n_padded, w, n_padded)
        if below > 0:
            w = offset(turned, layer[at.TURNED_INPUTS_AT])
            write_rows(
                above, above_row, offset(work, job[at.ZEROS_AT]), d_z, layer[at.GATES_ROW],
                4 * n_padded, w, below, 0,
            )  # fmt: skip
        if t % at.CHUNK_STEPS == 0:
            weights_backward(layer, tape, offset(work, job[at.ONE_AT]), grads, t, done - t)
            done = t
    move_state(layer, at.D_STATE_H, d_h, limits, 0, row0, False)
    move_state(layer, at.D_STATE_C, d_c, limits, 0, row0, False)
    return loss


@apart
def head_backward(
    job: Any, tape: Any, work: Any, above: Any, grads: Any, limits: Any, row0: int, n_given: int,
    t: int, spec: Any,
) -> float:  # fmt: skip
    """Go back through the head at one step: write the gradient at the hidden vectors to `above`.

    That at the logits is given, or comes from the loss, whose part is returned.
    """
    v = lanes(tape)
    last = offset(pointer_like(job, job[at.LAYERS]), job[at.N_LAYERS] * at.N_COLUMNS)
    n_units, n_classes, c_padded = last[at.N_IN], last[at.N_UNITS], last[at.N_PADDED]
    n_padded, row = offset(last, -at.N_COLUMNS)[at.N_PADDED], job[at.D_ABOVE_ROW]
    out = offset(work, job[at.OUT_AT])
    if not _is_used(job, tape, limits, row0, n_given, t):
        clear(above, R * row)
        return 0.0
    h = head_inputs(job, tape, work, t, row0, n_given)
    loss = 0.0
    if job[at.D_LOGITS] != 0:
        _given_gradients(job, tape, out, limits, row0, t)
    else:
        head_forward_rows(job, pointer_like(tape, job[at.ARENA]), h, out)
        for r in range(R):
            loss += loss_row(job, offset(out, r * c_padded), limits[r], row0 + r, t, spec)
    w = offset(pointer_like(tape, job[at.TURNED]), last[at.TURNED_AT])
    write_rows(
        above, row, offset(work, job[at.ZEROS_AT]), out, c_padded, n_classes, w, n_padded, n_padded
    )
    if job[at.MASK] != 0:
        times_mask(job, above, row, row0, n_given)
    for block in range(c_padded // v):
        d = offset(out, block * v)
        to = offset(grads, last[at.WEIGHTS_AT] + block * n_units * v)
        tall = n_units - n_units % TALL_ROWS
        for k in range(0, tall, TALL_ROWS):
            here = offset(to, k * v)
            slim_on(here, v, here, v, offset(h, k), 1, n_padded, d, c_padded, R)
        for k in range(tall, n_units):
            here = offset(to, k * v)
            slim1_on(here, v, here, v, offset(h, k), 1, n_padded, d, c_padded, R)
        here = offset(grads, last[at.BIAS_AT] + block * v)
        slim1_on(here, v, here, v, offset(work, job[at.ONE_AT]), 0, 0, d, c_padded, R)
    return loss


@kernel
def _is_used(job: Any, tape: Any, limits: Any, row0: int, n_given: int, t: int) -> bool:
    """Return whether any logit of the step has a gradient."""
    if job[at.D_LOGITS] != 0:
        return True
    weights = offset(pointer_like(tape, job[at.WEIGHTS]), t * job[at.N_ROWS] + row0)
    for r in range(n_given):
        if weights[r] != 0 and t < limits[r]:
            return True
    return False


@kernel
def _given_gradients(job: Any, tape: Any, out: Any, limits: Any, row0: int, t: int) -> None:
    """Copy the given gradients at the logits of a step, with 0 behind a row's end."""
    last = offset(pointer_like(job, job[at.LAYERS]), job[at.N_LAYERS] * at.N_COLUMNS)
    n_classes, c_padded = last[at.N_UNITS], last[at.N_PADDED]
    d_logits = pointer_like(tape, job[at.D_LOGITS])
    clear(out, R * c_padded)
    for r in range(R):
        if t < limits[r]:
            source = offset(d_logits, (t * job[at.N_ROWS] + row0 + r) * n_classes)
            copy(offset(out, r * c_padded), 1, source, 1, n_classes)
