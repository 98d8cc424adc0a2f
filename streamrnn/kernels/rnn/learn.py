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
from streamrnn.kernels.rnn.backward import layer_backward, move_ends
from streamrnn.kernels.rnn.loss import total_weight
from streamrnn.kernels.rnn.simd import lanes, load, offset, pointer_like, store
from streamrnn.kernels.rnn.taped import (
    emit_logits,
    forward_layer,
    load_inputs,
    load_state,
    set_limits,
    store_state,
)

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
def weigh(job: Any, spec: Any, like_weights: Any) -> int:
    """See `loss.total_weight`."""
    return int(total_weight(job, spec, like_weights))


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
    for k in range(n_grads):
        grads[k] = 0
    for s in range(slice_from, slice_to):
        row0 = s * R
        n_given = min(R, job[at.N_ROWS] - row0)
        n_steps = set_limits(job, limits, row0, n_given)
        here = offset(tape, (s - slice_from) * tape_stride)
        if what & at.FORWARD:
            load_inputs(job, here, limits, row0, n_given, n_steps)
            load_state(job, here, limits, row0)
            for n in range(job[at.N_LAYERS]):
                layer = offset(layers, n * at.N_COLUMNS)
                forward_layer(layer, pointer_like(tape, job[at.ARENA]), here, n_steps)
            store_state(job, here, limits, row0)
            if job[at.LOGITS] != 0:
                emit_logits(
                    job, pointer_like(tape, job[at.ARENA]), here, work, limits, row0, n_given,
                    n_steps,
                )  # fmt: skip
        if what & at.BACKWARD:
            for below in range(job[at.N_LAYERS]):
                n = job[at.N_LAYERS] - 1 - below
                move_ends(job, n, work, limits, row0, n_given, False)
                loss += layer_backward(
                    job, n, here, work, grads, limits, row0, n_given, n_steps, spec
                )
                move_ends(job, n, work, limits, row0, n_given, True)
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
            for k in range(n_in):
                d_x[to + k] = work[source + k]


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
    return total


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
    norm = square_root(square_sum(grads, n))
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
    to = 0
    for n in range(n_layers):
        layer = offset(layers, n * at.N_COLUMNS)
        n_in, n_units = layer[at.N_IN], layer[at.N_UNITS]
        for gate in range(4):
            for unit in range(n_units):
                row = gate * n_units + unit
                here = _row_of(layer, unit, gate, v)
                for k in range(n_in):
                    plain[to + row * n_in + k] = packed[here + k * 4 * v]
                here += n_in * 4 * v
                w_hh = to + 4 * n_units * n_in + row * n_units
                for k in range(n_units):
                    plain[w_hh + k] = packed[here + k * 4 * v]
                bias = to + 4 * n_units * (n_in + n_units) + row
                plain[bias] = packed[layer[at.BIAS_AT] + (unit // v * 4 + gate) * v + unit % v]
        to += 4 * n_units * (n_in + n_units + 1)
    head = offset(layers, n_layers * at.N_COLUMNS)
    n_units, n_classes = head[at.N_IN], head[at.N_UNITS]
    for unit in range(n_classes):
        here = head[at.WEIGHTS_AT] + unit // v * n_units * v + unit % v
        for k in range(n_units):
            plain[to + unit * n_units + k] = packed[here + k * v]
        plain[to + n_classes * n_units + unit] = packed[head[at.BIAS_AT] + unit]


@kernel
def pack(layers: Any, n_layers: int, table: Any, arena: Any, turned: Any, what: int) -> None:
    """Write weights packed into `arena` if ``what & 1``, and turned into `turned` if ``what & 2``.

    `table` is that of `adam_moves`.
    """
    v = lanes(arena)
    for n in range(n_layers):
        layer = offset(layers, n * at.N_COLUMNS)
        n_in, n_units, n_padded = layer[at.N_IN], layer[at.N_UNITS], layer[at.N_PADDED]
        w_ih = pointer_like(arena, table[15 * n])
        w_hh = pointer_like(arena, table[15 * n + 5])
        bias = pointer_like(arena, table[15 * n + 10])
        for gate in range(4):
            for unit in range(n_units):
                row = gate * n_units + unit
                if what & 1:
                    here = _row_of(layer, unit, gate, v)
                    for k in range(n_in):
                        arena[here + k * 4 * v] = w_ih[row * n_in + k]
                    here += n_in * 4 * v
                    for k in range(n_units):
                        arena[here + k * 4 * v] = w_hh[row * n_units + k]
                    here = layer[at.BIAS_AT] + (unit // v * 4 + gate) * v + unit % v
                    arena[here] = bias[row]
                if what & 2:
                    j = (unit // v * 4 + gate) * v + unit % v
                    to = offset(turned, layer[at.TURNED_AT])
                    _turn_row(offset(w_hh, row * n_units), n_units, to, j, 4 * n_padded)
                    to = offset(turned, layer[at.TURNED_INPUTS_AT])
                    _turn_row(offset(w_ih, row * n_in), n_in, to, j, 4 * n_padded)
    head = offset(layers, n_layers * at.N_COLUMNS)
    n_units, n_padded = head[at.N_IN], offset(head, -at.N_COLUMNS)[at.N_PADDED]
    w_out = pointer_like(arena, table[15 * n_layers])
    bias = pointer_like(arena, table[15 * n_layers + 5])
    for unit in range(head[at.N_UNITS]):
        if what & 1:
            here = head[at.WEIGHTS_AT] + unit // v * n_units * v + unit % v
            for k in range(n_units):
                arena[here + k * v] = w_out[unit * n_units + k]
            arena[head[at.BIAS_AT] + unit] = bias[unit]
        if what & 2:
            for k in range(n_units):
                turned[head[at.TURNED_AT] + unit * n_padded + k] = w_out[unit * n_units + k]


@kernel
def _row_of(layer: Any, unit: int, gate: int, v: int) -> int:
    """Return where in a packed layer the weights of a unit's gate begin, 4 V apart."""
    n_k = layer[at.N_IN] + layer[at.N_UNITS]
    return int(layer[at.WEIGHTS_AT] + (unit // v * n_k * 4 + gate) * v + unit % v)


@kernel
def _turn_row(row: Any, n: int, turned: Any, j: int, n_gates: int) -> None:
    """Write one row of weights into turned blocks, as row j of n_gates (see `backward.add_rows`)."""
    v = lanes(row)
    width = -(-n // v) * v
    pairs = width - width % (2 * v)
    for k0 in range(0, width, 2 * v):
        block = 2 * v if k0 < pairs else v
        to = k0 * n_gates + j * block
        for k in range(min(block, n - k0)):
            turned[to + k] = row[k0 + k]
