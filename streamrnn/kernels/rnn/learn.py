"""The entries of training: a part of a batch forwards and backwards, and Adam."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from streamrnn.kernels.jit import apart, intrinsic, kernel
from streamrnn.kernels.rnn import job as at
from streamrnn.kernels.rnn.backward import layer_backward
from streamrnn.kernels.rnn.loss import weigh
from streamrnn.kernels.rnn.simd import lanes, load, offset, pointer_like, store
from streamrnn.kernels.rnn.taped import (
    clear,
    copy,
    emit_logits,
    forward_layer,
    load_inputs,
    move_state,
    set_limits,
)

__all__ = ["adam_moves", "add_parts", "pack", "run_part", "unpack", "weigh"]

R = at.SLICE_ROWS
#: Adam's constants, in the order of `training.adam_constants`.
(SCALE, BETA1, BETA2, REST1, REST2, RATE, ROOT, EPS, SHRINK) = range(9)


@intrinsic
def square_root(typing_context: Any, x: Any) -> Any:
    """Return the root of a float: an instruction, where `math.sqrt` may call a library."""
    if not isinstance(x, types.Float):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        name, declared = f"llvm.sqrt.f{x.bitwidth}", ir.FunctionType(kind, [kind])
        declare = cast(Any, cgutils.get_or_insert_function)
        return builder.call(declare(builder.module, declared, name), arguments)

    return x(x), codegen


@kernel
def run_part(
    job: Any, what: int, slice_from: int, slice_to: int, tape: Any, tape_stride: int, work: Any,
    limits: Any, grads: Any, n_grads: int, spec: Any,
) -> float:  # fmt: skip
    """Run some slices forwards, backwards or both, one after the other.

    Parameters
    ----------
    job : int64 (N_SLOTS,)
    what : int
        `FORWARD`, `BACKWARD` or their sum.
    slice_from, slice_to : int
    tape, tape_stride
        The tape of the first slice, and the way to the next one's; 0 if they may share it.
    work, limits
        Scratch, and int64 (`SLICE_ROWS`,).
    grads, n_grads
        Gradients of the weights, laid out like them; overwritten, unless `n_grads` is 0.
    spec : float64 (2,)
        See loss.py.

    Returns
    -------
    float
        The slices' part of the loss.
    """
    layers = pointer_like(job, job[at.LAYERS])
    loss = 0.0
    clear(grads, n_grads)
    for s in range(slice_from, slice_to):
        row0 = s * R
        n_given = min(R, job[at.N_ROWS] - row0)
        n_steps = set_limits(job, limits, row0, n_given)
        here = offset(tape, (s - slice_from) * tape_stride)
        if what & at.FORWARD:
            load_inputs(job, here, limits, row0, n_given, n_steps)
            for n in range(job[at.N_LAYERS]):
                layer = offset(layers, n * at.N_COLUMNS)
                h, c = offset(here, layer[at.H_AT]), offset(here, layer[at.C_AT])
                move_state(layer, at.STATE_H, h, limits, n_steps, row0, True)
                move_state(layer, at.STATE_C, c, limits, n_steps, row0, True)
                forward_layer(layer, pointer_like(tape, job[at.ARENA]), here, n_steps)
                move_state(layer, at.STATE_H, h, limits, n_steps, row0, False)
                move_state(layer, at.STATE_C, c, limits, n_steps, row0, False)
            if job[at.LOGITS] != 0:
                emit_logits(
                    job, pointer_like(tape, job[at.ARENA]), here, work, limits, row0, n_given,
                    n_steps,
                )  # fmt: skip
        if what & at.BACKWARD:
            for below in range(job[at.N_LAYERS]):
                n = job[at.N_LAYERS] - 1 - below
                loss += layer_backward(
                    job, n, here, work, grads, limits, row0, n_given, n_steps, spec
                )
            if job[at.D_X] != 0:
                _emit_inputs_gradient(job, work, limits, row0, n_given)
    return loss


@kernel
def _emit_inputs_gradient(job: Any, work: Any, limits: Any, row0: int, n_given: int) -> None:
    n_in = pointer_like(job, job[at.LAYERS])[at.N_IN]
    d_x = pointer_like(work, job[at.D_X])
    for r in range(n_given):
        for t in range(limits[r]):
            source = job[at.D_ABOVE_AT] + t * job[at.D_ABOVE_STEP] + r * job[at.D_ABOVE_ROW]
            to = (t * job[at.N_ROWS] + row0 + r) * n_in
            copy(offset(d_x, to), 1, offset(work, source), 1, n_in)


@kernel
def add_parts(grads: Any, n: int, n_parts: int, stride: int) -> None:
    """Add the gradients of all parts, `stride` apart, to those of the first, in order."""
    v = lanes(grads)
    for part in range(1, n_parts):
        for k in range(0, n, v):
            store(grads, k, load(grads, k) + load(grads, part * stride + k))


@apart
def square_sum(a: Any, n: int) -> float:
    """Return the sum of squares in float64: eight sums of every eighth element, then their sum."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    whole = n - n % 8
    for k in range(0, whole, 8):
        s0 += np.float64(a[k]) * np.float64(a[k])
        s1 += np.float64(a[k + 1]) * np.float64(a[k + 1])
        s2 += np.float64(a[k + 2]) * np.float64(a[k + 2])
        s3 += np.float64(a[k + 3]) * np.float64(a[k + 3])
        s4 += np.float64(a[k + 4]) * np.float64(a[k + 4])
        s5 += np.float64(a[k + 5]) * np.float64(a[k + 5])
        s6 += np.float64(a[k + 6]) * np.float64(a[k + 6])
        s7 += np.float64(a[k + 7]) * np.float64(a[k + 7])
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for k in range(whole, n):
        total += np.float64(a[k]) * np.float64(a[k])
    return float(total)


@kernel
def adam_moves(table: Any, n_arrays: int, grads: Any, n: int, clip: float, constants: Any) -> float:
    """Move arrays by clipped Adam, unless the norm is not finite; return the norm.

    Parameters
    ----------
    table : int64 (n_arrays, 5)
        Of each array the addresses of its values and of both moments, its size, and whether it
        decays.
    grads : (n,)
        All gradients, in the order of the arrays.
    clip : float
        Largest norm; 0: none.
    constants : (9,)
        See the names above; the first is overwritten.
    """
    norm = float(square_root(square_sum(grads, n)))
    if not math.isfinite(norm):
        return norm
    constants[SCALE] = clip / norm if 0.0 < clip < norm else 1.0
    at_grad = 0
    for a in range(n_arrays):
        row = offset(table, 5 * a)
        _adam(
            pointer_like(grads, row[0]), offset(grads, at_grad), pointer_like(grads, row[1]),
            pointer_like(grads, row[2]), row[3], row[4] != 0, constants,
        )  # fmt: skip
        at_grad += row[3]
    return norm


@apart
def _adam(p: Any, g: Any, m: Any, v: Any, n: int, decays: bool, constants: Any) -> None:
    """Move one array.

    ``g *= scale; m, v = moments; p = shrink * p - rate * m / (sqrt(v) / root + eps)``
    """
    scale, beta1, beta2 = constants[SCALE], constants[BETA1], constants[BETA2]
    rest1, rest2, rate = constants[REST1], constants[REST2], constants[RATE]
    root, eps = constants[ROOT], constants[EPS]
    shrink = constants[SHRINK] if decays else scale / scale
    for k in range(n):
        d = g[k] * scale
        m_new = beta1 * m[k] + rest1 * d
        v_new = beta2 * v[k] + rest2 * d * d
        m[k] = m_new
        v[k] = v_new
        p[k] = shrink * p[k] - rate * m_new / (square_root(v_new) / root + eps)


@kernel
def unpack(layers: Any, n_layers: int, packed: Any, plain: Any) -> None:
    """Write packed gradients in plain layout, the arrays in the order of `Params.arrays`."""
    v = lanes(packed)
    for n in range(n_layers):
        layer = offset(layers, n * at.N_COLUMNS)
        n_in, n_units = layer[at.N_IN], layer[at.N_UNITS]
        w_hh = offset(plain, 4 * n_units * n_in)
        bias = offset(w_hh, 4 * n_units * n_units)
        for row in range(4 * n_units):
            here = offset(packed, _row_of(layer, row, v))
            copy(offset(plain, row * n_in), 1, here, 4 * v, n_in)
            copy(offset(w_hh, row * n_units), 1, offset(here, n_in * 4 * v), 4 * v, n_units)
            bias[row] = packed[layer[at.BIAS_AT] + _place_of(row, n_units, v)]
        plain = offset(bias, 4 * n_units)
    head = offset(layers, n_layers * at.N_COLUMNS)
    n_units, n_classes = head[at.N_IN], head[at.N_UNITS]
    for unit in range(n_classes):
        here = offset(packed, head[at.WEIGHTS_AT] + unit // v * n_units * v + unit % v)
        copy(offset(plain, unit * n_units), 1, here, v, n_units)
    copy(offset(plain, n_classes * n_units), 1, offset(packed, head[at.BIAS_AT]), 1, n_classes)


@kernel
def pack(layers: Any, n_layers: int, table: Any, arena: Any, turned: Any, what: int) -> None:
    """Write weights packed into `arena` if ``what & 1``, and turned into `turned` if ``what & 2``.

    `table` is that of `adam_moves`.
    """
    v = lanes(arena)
    for n in range(n_layers):
        layer = offset(layers, n * at.N_COLUMNS)
        n_in, n_units, n_gates = layer[at.N_IN], layer[at.N_UNITS], 4 * layer[at.N_PADDED]
        bias = pointer_like(arena, table[15 * n + 10])
        for row in range(4 * n_units):
            w_ih = offset(pointer_like(arena, table[15 * n]), row * n_in)
            w_hh = offset(pointer_like(arena, table[15 * n + 5]), row * n_units)
            place = _place_of(row, n_units, v)
            if what & 1:
                here = offset(arena, _row_of(layer, row, v))
                copy(here, 4 * v, w_ih, 1, n_in)
                copy(offset(here, n_in * 4 * v), 4 * v, w_hh, 1, n_units)
                arena[layer[at.BIAS_AT] + place] = bias[row]
            if what & 2:
                to = offset(turned, layer[at.TURNED_AT])
                _turn_row(w_hh, n_units, to, layer[at.N_PADDED], place, n_gates)
                to = offset(turned, layer[at.TURNED_INPUTS_AT])
                _turn_row(w_ih, n_in, to, -(-n_in // v) * v, place, n_gates)
    head = offset(layers, n_layers * at.N_COLUMNS)
    n_units, n_padded = head[at.N_IN], offset(head, -at.N_COLUMNS)[at.N_PADDED]
    for unit in range(head[at.N_UNITS]):
        row = offset(pointer_like(arena, table[15 * n_layers]), unit * n_units)
        if what & 1:
            to = offset(arena, head[at.WEIGHTS_AT] + unit // v * n_units * v + unit % v)
            copy(to, v, row, 1, n_units)
            bias = pointer_like(arena, table[15 * n_layers + 5])
            arena[head[at.BIAS_AT] + unit] = bias[unit]
        if what & 2:
            copy(offset(turned, head[at.TURNED_AT] + unit * n_padded), 1, row, 1, n_units)


@kernel
def _place_of(row: int, n_units: int, v: int) -> int:
    """Return where among the padded gate rows of a layer one of the plain rows stands."""
    unit = row % n_units
    return int((unit // v * 4 + row // n_units) * v + unit % v)


@kernel
def _row_of(layer: Any, row: int, v: int) -> int:
    """Return where in a packed layer the weights of a gate row begin, 4 V apart."""
    n_k, place = layer[at.N_IN] + layer[at.N_UNITS], _place_of(row, layer[at.N_UNITS], v)
    return int(layer[at.WEIGHTS_AT] + place // (4 * v) * n_k * 4 * v + place % (4 * v))


@apart
def _turn_row(row: Any, n: int, turned: Any, width: int, j: int, n_gates: int) -> None:
    """Write a row of n weights into turned blocks as row j (see `backward.add_rows`)."""
    v = lanes(row)
    pairs = width - width % (2 * v)
    for k in range(0, width, 2 * v):
        block = 2 * v if k < pairs else v
        copy(offset(turned, k * n_gates + j * block), 1, offset(row, k), 1, min(block, n - k))
