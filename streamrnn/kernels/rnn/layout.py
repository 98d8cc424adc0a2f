"""Where everything lies: the packed weights of a network, and what kernels know of it.

A network's weights are one 1-D *arena*. Units stand in blocks of V, the lanes of a vector, and the
four gates of a block lie together, so that the kernels read weights as one linear stream::

    zeros:  [gate][V]
    layer:  weights [block][k][gate][V], k over inputs, then hidden units;  bias [block][gate][V]
    head:   weights [block][k][V], k over hidden units;                     bias [block][V]

Units are padded to 64 bytes on every machine. Places behind the last unit hold 0 and stay 0: a cell
with no weights gives h = 0, c = 0 and no gradient. Gradients lie like the weights.

`plan` is an int64 (L + 1, 6) array: a row a layer, and one for the head, of the columns below. It
stands in the *header*, an int64 array that begins with the slots below and tells a kernel all it
must know.

Weights may lie in a second place as bfloat16 pairs (`pack_pairs`), in the same order with half as
many k, rounded up for the inputs and for the hidden units. Head and biases stay floats.

The second arena, `turned`, is for going backwards; it is made anew from the weights::

    layer:  w_hh turned [block of units][4 H padded][2 V]; w_ih turned, the same over inputs
    head:   [class][H padded]

A last block may be of one vector; inputs are padded to whole vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.params import Params, padded
from streamrnn.kernels.rnn.machine import HEAD_ROWS, TILE_ROWS, VECTOR_BYTES

#: Slots of a header: the number of layers; addresses of the layers' weights and of the arena;
#: whether those weights are bfloat16 pairs; address of a stream's scratch; whether the next step
#: goes through the blocks of units backwards; whether the scratch holds the next hidden sums.
N_LAYERS, WEIGHTS, ARENA, IS_PAIRS, SCRATCH, BACKWARDS, AHEAD = range(7)
#: Where in a header the plan begins, and the length of its rows.
PLAN_AT, N_COLUMNS = 8, 6
#: Columns of `plan`: inputs, units (of the head: classes), units padded, and where in the arenas
#: the weights, the bias and the turned weights begin.
N_IN, N_UNITS, N_PADDED, W_AT, B_AT, T_AT = range(N_COLUMNS)


#: Rows that are worked on together, and steps that they go through one layer before the next.
SLAB_ROWS, CHUNK_STEPS = 16, 16
#: Steps that one row goes through one layer before the next.
ROW_STEPS = 64


def make_plan(params: Params) -> tuple[I64, int, int]:
    """Return the plan of a network, and the sizes of the two arenas."""
    dtype = params.dtype
    plan = np.zeros((len(params.layers) + 1, N_COLUMNS), np.int64)
    at, turned_at = 4 * VECTOR_BYTES // dtype.itemsize, 0
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
    bias_at = at + c_padded * n_in
    plan[-1] = n_in, n_classes, c_padded, at, bias_at, turned_at
    return plan, bias_at + c_padded, turned_at + n_classes * n_padded


def make_header(plan: I64, weights: int, arena: int, *, is_pairs: bool = False) -> I64:
    """Return the header of a network.

    Parameters
    ----------
    plan : int64 (L + 1, 6)
    weights, arena : int
        Addresses of what the layers' weights are read from, and of the arena.
    is_pairs : bool
        `weights` are bfloat16 pairs.
    """
    header = np.zeros(PLAN_AT + plan.size, np.int64)
    header[[N_LAYERS, WEIGHTS, ARENA, IS_PAIRS]] = len(plan) - 1, weights, arena, is_pairs
    header[PLAN_AT:] = plan.reshape(-1)
    return header


def n_pairs(n: int) -> int:
    """Return how many pairs hold n weights."""
    return (n + 1) // 2


def plan_pairs(plan: I64) -> tuple[I64, int]:
    """Return the plan of a network whose weights are pairs, and their number."""
    paired, at = plan.copy(), 0
    for row in paired[:-1]:
        row[W_AT] = at
        at += (n_pairs(int(row[N_IN])) + n_pairs(int(row[N_UNITS]))) * 4 * int(row[N_PADDED])
    return paired, at


def pack_pairs(plan: I64, arena: Floats, paired: I64, words: npt.NDArray[np.uint32]) -> None:
    """Write the layers' weights as bfloat16 pairs.

    The weight of an even k is rounded to the nearest bfloat16. That of the next k is the upper half
    of a word that is read as one float, lower half and all: it is the bfloat16 for which the whole
    word comes nearest, so it is off by as little, half a unit in the eighth place.

    Parameters
    ----------
    plan, arena
        The weights.
    paired, words
        Where they go (see `plan_pairs`); `words` is overwritten.
    """
    v = VECTOR_BYTES // arena.itemsize
    for row, to in zip(plan[:-1].tolist(), paired[:-1].tolist(), strict=True):
        n_in, n_units, n_padded, w_at, b_at, _ = row
        blocks = n_padded // v
        weights = arena[w_at:b_at].reshape(blocks, n_in + n_units, 4 * v)
        out_at, out_n = to[W_AT], n_pairs(n_in) + n_pairs(n_units)
        out = words[out_at : out_at + out_n * 4 * n_padded].reshape(blocks, out_n, 4 * v)
        out[:, : n_pairs(n_in)] = _pairs(weights[:, :n_in])
        out[:, n_pairs(n_in) :] = _pairs(weights[:, n_in:])


def _pairs(weights: Floats) -> npt.NDArray[np.uint32]:
    """Return (blocks, k, 4 V) weights as (blocks, pairs, 4 V) words."""
    n = weights.shape[1]
    single = np.zeros((weights.shape[0], 2 * n_pairs(n), weights.shape[2]), np.float32)
    single[:, :n] = weights
    even, odd = (np.ascontiguousarray(single[:, k::2]).view(np.uint32) for k in (0, 1))
    one, low = np.uint32(1), np.uint32(0xFFFF)
    tail = (even + np.uint32(0x7FFF) + ((even >> np.uint32(16)) & one)) >> np.uint32(16)
    # Of the words with this tail, those around the weight lie 2**16 apart: add half, cut off.
    head = (odd - tail + np.uint32(0x8000)) & ~low
    head = np.where(odd & np.uint32(0x7FFFFFFF) < np.uint32(0x8000), odd & ~low, head)
    return np.asarray(head | tail, np.uint32)


def _width(plan: I64) -> int:
    return int(plan[:-1, N_PADDED].max())


def scratch_size(plan: I64, dtype: np.dtype[Any]) -> int:
    """Return the size of the scratch of one stream (see live.py)."""
    v = VECTOR_BYTES // dtype.itemsize
    return 4 * _width(plan) + 5 * int(plan[:-1, N_PADDED].sum()) + HEAD_ROWS * v


def work_size(plan: I64, dtype: np.dtype[Any], n_steps: int) -> int:
    """Return the size of the scratch of a run of `n_steps` steps (see rows.py)."""
    v, width = VECTOR_BYTES // dtype.itemsize, _width(plan)
    slab = TILE_ROWS * 4 * v + HEAD_ROWS * v
    slab += (1 + 2 * min(n_steps, CHUNK_STEPS)) * SLAB_ROWS * width
    chunk = HEAD_ROWS * v + (4 + 7 * min(n_steps, ROW_STEPS)) * width
    return max(slab, chunk)


class Views:
    """The parts of an arena of weights, as arrays that NumPy can fill.

    Parameters
    ----------
    plan : int64 (L + 1, 6)
    arena : 1-D
        Viewed, not copied.
    """

    def __init__(self, plan: I64, arena: Floats) -> None:
        v = VECTOR_BYTES // arena.itemsize
        self.weights: list[Floats] = []
        self.biases: list[Floats] = []
        for n_in, n_units, n_padded, w_at, b_at, _ in plan[:-1].tolist():
            n_k, blocks = n_in + n_units, n_padded // v
            self.weights.append(arena[w_at:b_at].reshape(blocks, n_k, 4, v))
            self.biases.append(arena[b_at : b_at + 4 * n_padded].reshape(blocks, 4, v))
        self.head: Floats
        n_in, n_classes, c_padded, w_at, b_at, _ = plan[-1].tolist()
        self.head = arena[w_at : w_at + c_padded * n_in].reshape(c_padded // v, n_in, v)
        self.head_bias = arena[b_at : b_at + n_classes]

    def write(self, params: Params) -> None:
        """Fill the arena."""
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
