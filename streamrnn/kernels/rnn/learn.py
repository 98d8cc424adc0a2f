"""The entries of training: back-propagation, the loss, Adam."""

from __future__ import annotations

import math

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.jit import kernel
from streamrnn.kernels.rnn.backward import head_backward, layer_backward
from streamrnn.kernels.rnn.forward import is_live, layer_at
from streamrnn.kernels.rnn.infer import TAPE_ROWS, head_scratch
from streamrnn.kernels.rnn.layout import N_IN, N_PADDED, N_UNITS
from streamrnn.kernels.rnn.simd import lanes


@kernel
def _widest(plan: I64, v: int) -> int:
    """Return the widest padded vector that goes between layers."""
    width = -(-plan[0, N_IN] // v) * v
    for n in range(plan.shape[0] - 1):
        width = max(width, plan[n, N_PADDED])
    return int(width)


@kernel
def work_size(plan: I64, v: int, n_steps: int) -> int:
    """Return the size of the work space: d_h of all steps, end states of all layers, a head row."""
    total = n_steps * TAPE_ROWS * _widest(plan, v) + TAPE_ROWS * head_scratch(plan)
    for n in range(plan.shape[0] - 1):
        total += 2 * TAPE_ROWS * plan[n, N_PADDED]
    return int(total)


@kernel
def _move_ends(
    plan: I64, work: Floats, ends_at: int, d_state: Floats, n_rows: int, row0: int, n_given: int,
    outwards: int,
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
    row_from: int,
    row_to: int,
    keep: bool,
    want_x: bool,
) -> None:
    """Go back through time over the slices of a tape (see `Backend.backward`).

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
        Added to.
    d_x : (T * B, I), or empty
        Overwritten, if `want_x`.
    n_steps : int
        T.
    row_from, row_to : int
        The rows of the tape, as in `run_entry`.
    keep : bool
        True: tapes are kept.
    want_x : bool
        Whether to go back through the first layer to the inputs.
    """
    last = plan.shape[0] - 1
    n_rows = d_logits.shape[0] // max(n_steps, 1)
    h_padded, c_padded, n_classes = (
        plan[last - 1, N_PADDED],
        plan[last, N_PADDED],
        plan[last, N_UNITS],
    )
    v = lanes(work)
    i_padded = -(-plan[0, N_IN] // v) * v
    head_at = n_steps * TAPE_ROWS * _widest(plan, v)
    ends_at = head_at + TAPE_ROWS * head_scratch(plan)
    for row0 in range(row_from, row_to, TAPE_ROWS):
        n_given = min(TAPE_ROWS, row_to - row0)
        buffer = tape[(row0 - row_from) // TAPE_ROWS]
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
        for outwards in range(2):
            _move_ends(plan, work, ends_at, d_state, n_rows, row0, n_given, outwards)
            end_at = ends_at
            for n in range(last):
                end_at += 2 * TAPE_ROWS * plan[n, N_PADDED]
            for above in range(0 if outwards else last):
                n = last - 1 - above
                end_at -= 2 * TAPE_ROWS * plan[n, N_PADDED]
                layer_backward(
                    plan, n, turned, buffer, work, end_at, ends, row0, TAPE_ROWS, n_given,
                    n_steps, keep, grads, want_x or n > 0,
                )  # fmt: skip
        for t in range(n_steps if want_x else 0):
            for r in range(n_given):
                for k in range(plan[0, N_IN]):
                    d_x[t * n_rows + row0 + r, k] = work[(t * TAPE_ROWS + r) * i_padded + k]


@kernel
def _loss_row(logits: Floats, y: int, weight: float, smoothing: float, d_logits: Floats) -> float:
    """Write the gradient of one row of logits; return its loss. Both are times `weight`."""
    n_classes = logits.size
    top = logits[0]
    for k in range(1, n_classes):
        top = max(top, logits[k])
    total = 0.0
    for k in range(n_classes):
        total += math.exp(np.float64(logits[k] - top))
    log_total = math.log(total)
    loss = 0.0
    for k in range(n_classes):
        wanted = smoothing / n_classes
        if k == y:
            wanted += 1.0 - smoothing
        log_p = np.float64(logits[k] - top) - log_total
        loss -= wanted * log_p
        d_logits[k] = weight * (math.exp(log_p) - wanted)
    return weight * loss


@kernel
def loss_entry(
    logits: Floats,
    targets: I64,
    weights: Floats,
    class_weights: Floats,
    smoothing: float,
    ends: I64,
    d_logits: Floats,
    row_from: int,
    row_to: int,
) -> float:
    """Return some rows' part of the loss that `LossSpec` defines, and write its gradient.

    Parameters
    ----------
    logits, d_logits : (T * B, C)
        d_logits may be logits.
    targets, weights : (T, B)
    class_weights : (C,)
    smoothing : float
    ends : int64 (B,)
        Lengths.
    row_from, row_to : int
        Which rows.
    """
    n_steps, n_rows = targets.shape
    total = 0.0
    for t in range(n_steps):
        for row in range(n_rows):
            if weights[t, row] != 0 and t < ends[row]:
                total += np.float64(weights[t, row]) * np.float64(class_weights[targets[t, row]])
    loss = 0.0
    for t in range(n_steps):
        for row in range(row_from, row_to):
            at = t * n_rows + row
            if total != 0.0 and weights[t, row] != 0 and t < ends[row]:
                y = targets[t, row]
                weight = np.float64(weights[t, row]) * np.float64(class_weights[y]) / total
                loss += _loss_row(logits[at], y, weight, smoothing, d_logits[at])
            else:
                d_logits[at] = 0
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
