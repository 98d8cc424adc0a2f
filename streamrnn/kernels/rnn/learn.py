"""The entries of training: back-propagation from given gradients, a whole batch, Adam."""

from __future__ import annotations

import math

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.jit import kernel
from streamrnn.kernels.rnn.backward import head_backward, layer_backward
from streamrnn.kernels.rnn.forward import is_live
from streamrnn.kernels.rnn.infer import (
    TAPE_ROWS,
    gather_inputs,
    head_rows,
    head_scratch,
    layers_forward,
    load_state,
    store_state,
)
from streamrnn.kernels.rnn.layout import N_IN, N_PADDED, N_UNITS, layer_at
from streamrnn.kernels.rnn.simd import lanes


@kernel
def _widest(plan: I64, v: int) -> int:
    """Return the widest padded vector that goes between layers."""
    width = -(-plan[0, N_IN] // v) * v
    for n in range(plan.shape[0] - 1):
        width = max(width, plan[n, N_PADDED])
    return width


@kernel
def work_size(plan: I64, v: int, n_steps: int) -> int:
    """Return the size of the work space: d_h of all steps, end states of all layers, a head row."""
    total = n_steps * TAPE_ROWS * _widest(plan, v) + TAPE_ROWS * head_scratch(plan)
    for n in range(plan.shape[0] - 1):
        total += 2 * TAPE_ROWS * plan[n, N_PADDED]
    return total


@kernel
def _slice_backward(
    plan: I64,
    turned: Floats,
    buffer: Floats,
    work: Floats,
    ends_at: int,
    ends: I64,
    row0: int,
    n_given: int,
    n_steps: int,
    keep: bool,
    grads: Floats,
    want_x: bool,
) -> None:
    """Go back through all layers of one slice, whose d_h and end gradients stand in `work`."""
    last = plan.shape[0] - 1
    for below in range(last):
        n = last - 1 - below
        end_at = ends_at
        for lower in range(n):
            end_at += 2 * TAPE_ROWS * plan[lower, N_PADDED]
        layer_backward(
            plan, n, turned, buffer, work, end_at, ends, row0, TAPE_ROWS, n_given, n_steps,
            keep, grads, want_x or n > 0,
        )  # fmt: skip


@kernel
def _move_ends(
    plan: I64, work: Floats, ends_at: int, d_state: Floats, n_rows: int, row0: int, n_given: int,
    outwards: bool,
) -> None:  # fmt: skip
    """Copy the gradients at a state from `d_state` to the work space of a slice, or back."""
    zero = work.dtype.type(0)
    at, state_at = ends_at, 0
    for n in range(plan.shape[0] - 1):
        n_units, n_padded = plan[n, N_UNITS], plan[n, N_PADDED]
        for half in range(2):
            for r in range(TAPE_ROWS):
                from_at = state_at + (half * n_rows + row0 + r) * n_units
                to = at + (half * TAPE_ROWS + r) * n_padded
                for k in range(n_padded):
                    if outwards:
                        if r < n_given and k < n_units:
                            d_state[from_at + k] = work[to + k]
                    else:
                        given = r < n_given and k < n_units
                        work[to + k] = d_state[from_at + k] if given else zero
        at += 2 * TAPE_ROWS * n_padded
        state_at += 2 * n_rows * n_units


@kernel
def backward_entry(
    plan: I64,
    turned: Floats,
    tape: Floats,
    work: Floats,
    ends: I64,
    mask: Floats,
    d_logits: Floats,
    d_state: Floats,
    grads: Floats,
    d_x: Floats,
    n_steps: int,
    keep: bool,
) -> None:
    """Go back through time over a whole tape (see `Backend.backward`).

    Parameters
    ----------
    plan, turned
        The network.
    tape
        What `run_entry` wrote; overwritten.
    work : 1-D, `work_size`
        Scratch.
    ends, mask
        As in the forward run.
    d_logits : (T * B, C)
    d_state : 1-D
        Gradient at the end state; becomes that at the start state.
    grads : 1-D, like the weights
        Must be 0; overwritten.
    d_x : (T * B, I)
        Must be 0; overwritten.
    n_steps, keep
        T, True.
    """
    last = plan.shape[0] - 1
    n_rows = d_logits.shape[0] // max(n_steps, 1)
    h_padded, c_padded, n_classes = plan[last - 1, N_PADDED], plan[last, N_PADDED], plan[last, N_UNITS]
    v = lanes(work)
    i_padded = -(-plan[0, N_IN] // v) * v
    head_at = n_steps * TAPE_ROWS * _widest(plan, v)
    ends_at = head_at + TAPE_ROWS * head_scratch(plan)
    for row0 in range(0, n_rows, TAPE_ROWS):
        n_given = min(TAPE_ROWS, n_rows - row0)
        buffer = tape[row0 // TAPE_ROWS]
        h_at = layer_at(plan, last - 1, TAPE_ROWS, n_steps, keep) + TAPE_ROWS * h_padded
        for t in range(n_steps):
            for r in range(TAPE_ROWS):
                d_at = head_at + h_padded
                live = r < n_given and is_live(ends, row0 + r, t)
                for k in range(c_padded):
                    used = live and k < n_classes
                    work[d_at + k] = d_logits[t * n_rows + row0 + r, k] if used else 0
                row = t * TAPE_ROWS + r
                for k in range(h_padded):
                    work[head_at + k] = buffer[h_at + row * h_padded + k]
                if mask.size > 0 and live:
                    for k in range(plan[last, N_IN]):
                        work[head_at + k] *= mask[row0 + r, k]
                head_backward(
                    plan, turned, work, d_at, work, head_at, mask, min(row0 + r, n_rows - 1),
                    work, row * h_padded, grads,
                )  # fmt: skip
        _move_ends(plan, work, ends_at, d_state, n_rows, row0, n_given, False)
        _slice_backward(
            plan, turned, buffer, work, ends_at, ends, row0, n_given, n_steps, keep, grads, True
        )
        _move_ends(plan, work, ends_at, d_state, n_rows, row0, n_given, True)
        for t in range(n_steps):
            for r in range(n_given):
                for k in range(plan[0, N_IN]):
                    d_x[t * n_rows + row0 + r, k] = work[(t * TAPE_ROWS + r) * i_padded + k]


@kernel
def _loss_row(
    logits: Floats, at: int, n_classes: int, y: int, weight: float, smoothing: float
) -> float:
    """Turn one row's logits into gradients; return its loss. Both are times `weight`."""
    top = logits[at]
    for k in range(1, n_classes):
        top = max(top, logits[at + k])
    total = 0.0
    for k in range(n_classes):
        total += math.exp(np.float64(logits[at + k] - top))
    log_total = math.log(total)
    loss = 0.0
    for k in range(n_classes):
        wanted = smoothing / n_classes
        if k == y:
            wanted += 1.0 - smoothing
        log_p = np.float64(logits[at + k] - top) - log_total
        loss -= wanted * log_p
        logits[at + k] = weight * (math.exp(log_p) - wanted)
    return weight * loss


@kernel
def batch_entry(
    plan: I64,
    arena: Floats,
    turned: Floats,
    x: Floats,
    n_steps: int,
    state: Floats,
    ends: I64,
    mask: Floats,
    targets: I64,
    weights: Floats,
    class_weights: Floats,
    smoothing: float,
    buffer: Floats,
    work: Floats,
    grads: Floats,
    keep: bool,
) -> float:
    """Run a batch forwards and backwards, slice by slice through the same buffers.

    Parameters
    ----------
    plan, arena, turned
        The network.
    x, n_steps, state, ends, mask
        As in `run_entry`; `ends` is not empty.
    targets, weights : (T, B)
    class_weights : (C,)
    smoothing : float
        Label smoothing.
    buffer : 1-D, `layer_at` (L + 1)
    work : 1-D, `work_size`
    grads : 1-D
        Overwritten.
    keep
        True.

    Returns
    -------
    loss : float
    """
    last = plan.shape[0] - 1
    n_rows = targets.shape[1]
    n_in, n_classes = plan[0, N_IN], plan[last, N_UNITS]
    h_padded, c_padded = plan[last - 1, N_PADDED], plan[last, N_PADDED]
    head_at = n_steps * TAPE_ROWS * _widest(plan, lanes(work))
    ends_at = head_at + TAPE_ROWS * head_scratch(plan)
    grads[:] = 0
    total = 0.0
    for t in range(n_steps):
        for row in range(n_rows):
            if weights[t, row] != 0 and is_live(ends, row, t):
                total += np.float64(weights[t, row]) * np.float64(class_weights[targets[t, row]])
    loss = 0.0
    flat = x.reshape(-1)
    for row0 in range(0, n_rows, TAPE_ROWS):
        n_given = min(TAPE_ROWS, n_rows - row0)
        gather_inputs(plan, flat, n_rows, row0, n_given, ends, buffer, TAPE_ROWS, n_steps)
        load_state(plan, state, n_rows, row0, n_given, ends, buffer, TAPE_ROWS, n_steps, keep)
        h_at = layers_forward(
            plan, arena, buffer, layer_at(plan, last, TAPE_ROWS, n_steps, keep), n_in,
            TAPE_ROWS * n_in, buffer, n_steps, ends, row0, TAPE_ROWS, n_given, 0, n_steps, keep,
        )  # fmt: skip
        store_state(
            plan, state, n_rows, row0, n_given, ends, buffer, TAPE_ROWS, n_steps, keep, n_steps
        )
        if total == 0.0:
            continue
        work[:] = 0
        for t in range(n_steps):
            h_at += TAPE_ROWS * h_padded
            used = False
            for r in range(n_given):
                used |= weights[t, row0 + r] != 0 and is_live(ends, row0 + r, t)
            if not used:
                continue
            scratch = work[head_at:ends_at]
            out = head_rows(plan, arena, buffer, h_at, row0, n_given, mask, scratch)
            for r in range(n_given):
                weight = np.float64(weights[t, row0 + r])
                if weight != 0 and is_live(ends, row0 + r, t):
                    y = targets[t, row0 + r]
                    weight *= np.float64(class_weights[y]) / total
                    at = out + r * c_padded
                    loss += _loss_row(scratch, at, n_classes, y, weight, smoothing)
                    head_backward(
                        plan, turned, scratch, at, scratch, r * h_padded, mask, row0 + r,
                        work, (t * TAPE_ROWS + r) * h_padded, grads,
                    )  # fmt: skip
        _slice_backward(
            plan, turned, buffer, work, ends_at, ends, row0, n_given, n_steps, keep, grads, False
        )
    return loss


@kernel
def square_sum_entry(a: Floats) -> float:
    """Return the sum of squares, in float64 and ascending order."""
    total = 0.0
    for k in range(a.size):
        total += np.float64(a[k]) * np.float64(a[k])
    return total


@kernel
def adam_entry(
    p: Floats,
    g: Floats,
    m: Floats,
    v: Floats,
    scale: float,
    beta1: float,
    beta2: float,
    rate: float,
    root: float,
    eps: float,
    shrink: float,
) -> None:
    """Move one array by Adam.

    ``g *= scale; m, v = moments; p = shrink * p - rate * m / (sqrt(v) / root + eps)``
    """
    kind = p.dtype.type
    f_scale, b1, b2 = kind(scale), kind(beta1), kind(beta2)
    c1, c2 = kind(1.0 - beta1), kind(1.0 - beta2)
    f_rate, f_root, f_eps, f_shrink = kind(rate), kind(root), kind(eps), kind(shrink)
    for k in range(p.size):
        d = g[k] * f_scale
        m[k] = b1 * m[k] + c1 * d
        v[k] = b2 * v[k] + c2 * d * d
        p[k] = f_shrink * p[k] - f_rate * m[k] / (np.sqrt(v[k]) / f_root + f_eps)
