"""Where everything lies: the packed weights of a network, and the buffers of a slice of rows.

A network's weights are one 1-D *arena*. Units stand in blocks of V, the lanes of a vector, and the
four gates of a block lie together, so that the kernels read weights as one linear stream::

    layer:  weights [block][k][gate][V], k over inputs, then hidden units;  bias [block][gate][V]
    head:   weights [block][k][V], k over hidden units;                     bias [block][V]

Places behind the last unit hold 0 and stay 0: a cell with no weights gives h = 0, c = 0 and no
gradient. Gradients lie like the weights, except the head's: [class][H padded].

`plan` is an int64 (L + 1, 6) array: a row a layer, and one for the head, of the columns below.

The second arena, `turned`, is for going backwards; it is made anew from the weights::

    layer:  w_hh turned [block of units][4 H padded][V]; w_ih turned, the same over inputs
    head:   [class][H padded]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.jit import kernel
from streamrnn.kernels.params import Params
from streamrnn.kernels.rnn.machine import VECTOR_BYTES
from streamrnn.kernels.rnn.simd import lanes

#: Columns of `plan`: inputs, units (of the head: classes), units padded, and where in the arenas
#: the weights, the bias and the turned weights begin.
N_IN, N_UNITS, N_PADDED, W_AT, B_AT, T_AT = range(6)


def padded(n: int, dtype: np.dtype[Any]) -> int:
    """Return `n` rounded up to whole vectors."""
    v = VECTOR_BYTES // dtype.itemsize
    return -(-n // v) * v


def make_plan(params: Params) -> tuple[I64, int, int]:
    """Return the plan of a network, and the sizes of the two arenas."""
    dtype = params.dtype
    plan = np.zeros((len(params.layers) + 1, 6), np.int64)
    at = turned_at = 0
    n_in = params.n_inputs
    for row, n_units in zip(plan, params.hidden_sizes, strict=False):
        n_padded = padded(n_units, dtype)
        bias_at = at + (n_in + n_units) * 4 * n_padded
        row[:] = n_in, n_units, n_padded, at, bias_at, turned_at
        at = bias_at + 4 * n_padded
        turned_at += 4 * n_padded * (n_padded + padded(n_in, dtype))
        n_in = n_units
    n_classes = params.n_classes
    c_padded, n_padded = padded(n_classes, dtype), padded(n_in, dtype)
    bias_at = at + max(c_padded * n_in, n_classes * n_padded)
    plan[-1] = n_in, n_classes, c_padded, at, bias_at, turned_at
    return plan, bias_at + c_padded, turned_at + n_classes * n_padded


class Views:
    """The parts of an arena of weights or gradients, as arrays that NumPy can fill and read.

    Parameters
    ----------
    plan : int64 (L + 1, 6)
    arena : 1-D
        Viewed, not copied.
    head_by_class : bool
        The head lies class by class, as in gradients; else as in weights.
    """

    def __init__(self, plan: I64, arena: Floats, *, head_by_class: bool) -> None:
        v = VECTOR_BYTES // arena.itemsize
        self.weights: list[Floats] = []
        self.biases: list[Floats] = []
        for n_in, n_units, n_padded, w_at, b_at, _ in plan[:-1].tolist():
            n_k, blocks = n_in + n_units, n_padded // v
            self.weights.append(arena[w_at:b_at].reshape(blocks, n_k, 4, v))
            self.biases.append(arena[b_at : b_at + 4 * n_padded].reshape(blocks, 4, v))
        self.head: Floats
        n_in, n_classes, c_padded, w_at, b_at, _ = plan[-1].tolist()
        if head_by_class:
            n_padded = int(plan[-2, N_PADDED])
            head = arena[w_at : w_at + n_classes * n_padded].reshape(n_classes, n_padded)
            self.head = head[:, :n_in]
        else:
            self.head = arena[w_at : w_at + c_padded * n_in].reshape(c_padded // v, n_in, v)
        self.head_bias = arena[b_at : b_at + n_classes]

    def write(self, params: Params) -> None:
        """Fill the arena with weights; the head lies as in weights."""
        for packed, bias, layer in zip(self.weights, self.biases, params.layers, strict=True):
            n_in = layer.w_ih.shape[1]
            _scatter(layer.w_ih, packed[:, :n_in])
            _scatter(layer.w_hh, packed[:, n_in:])
            _scatter(layer.b[:, None], bias[:, None])
        blocks, _, v = self.head.shape
        whole = len(params.w_out) // v
        by_block = params.w_out[: whole * v].reshape(whole, v, params.w_out.shape[1])
        self.head[:whole] = by_block.transpose(0, 2, 1)
        if whole < blocks:
            rest = params.w_out[whole * v :]
            self.head[whole, :, : len(rest)] = rest.T
        self.head_bias[:] = params.b_out

    def read(self, params: Params) -> None:
        """Fill `params` with gradients; the head lies as in gradients."""
        for packed, bias, layer in zip(self.weights, self.biases, params.layers, strict=True):
            n_in = layer.w_ih.shape[1]
            _gather(packed[:, :n_in], layer.w_ih)
            _gather(packed[:, n_in:], layer.w_hh)
            _gather(bias[:, None], layer.b[:, None])
        params.w_out[:] = self.head
        params.b_out[:] = self.head_bias


def _scatter(rows: Floats, packed: Floats) -> None:
    """Write (4 H, K) gate rows into ``packed[block][k][gate][V]``."""
    by_gate = rows.reshape(4, -1, rows.shape[1])
    v = packed.shape[-1]
    whole = by_gate.shape[1] // v
    blocks = by_gate[:, : whole * v].reshape(4, whole, v, rows.shape[1])
    packed[:whole] = blocks.transpose(1, 3, 0, 2)
    rest = by_gate[:, whole * v :]
    if rest.shape[1]:
        packed[whole, :, :, : rest.shape[1]] = rest.transpose(2, 0, 1)


def _gather(packed: Floats, rows: Floats) -> None:
    """Do the reverse of `_scatter`."""
    by_gate = rows.reshape(4, -1, rows.shape[1])
    v = packed.shape[-1]
    whole = by_gate.shape[1] // v
    for gate in range(4):
        blocks = by_gate[gate, : whole * v].reshape(whole, v, rows.shape[1])
        blocks[:] = packed[:whole, :, gate].transpose(0, 2, 1)
    rest = by_gate[:, whole * v :]
    if rest.shape[1]:
        rest[:] = packed[whole, :, :, : rest.shape[1]].transpose(1, 2, 0)


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
