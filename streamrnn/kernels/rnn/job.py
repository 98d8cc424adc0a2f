"""What the training kernels are told: two tables of int64, filled by training.py.

A batch is worked on in slices of `SLICE_ROWS` rows. What a slice leaves on its way forwards is its
*tape*, of T steps and R rows::

    layer:  h [T + 1][R][H padded], the start state first;  c, the same;
            gates [T][R][4 H padded + V]
    below:  x [T][R][I]

The gates stand as four exponentials (see `gates.cell`) and become, on the way back, the gradients
at the pre-activations. A row has one vector more than it needs: rows that are a power of two apart
would have but a few places of the cache. Besides there is some scratch, for which see the job's
slots.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.native import address, aligned
from streamrnn.kernels.params import State
from streamrnn.kernels.rnn import layout
from streamrnn.kernels.threads import Pace

#: Rows that go through the network together. More of them would not fit into the cache.
SLICE_ROWS = 8
#: A batch has at most so many parts, some slices each, with gradients of their own, which are
#: added in order: threads share the parts.
MAX_PARTS = 8
#: Steps between two additions to the weight gradients, counted from step 0.
CHUNK_STEPS = 16

#: Columns of the table of layers; its last row is the head, of which only the first six are used
#: (units are classes there). Sizes; where in the weights, and in the turned weights, it begins;
(
    N_IN,
    N_UNITS,
    N_PADDED,
    WEIGHTS_AT,
    BIAS_AT,
    TURNED_AT,
    TURNED_INPUTS_AT,
    #: where on the tape its h, c, gates and inputs stand, and the ways from row to row of the
    #: last two;
    H_AT,
    C_AT,
    GATES_AT,
    GATES_ROW,
    X_AT,
    X_ROW,
    #: addresses of a batch's h and c, and the way from row to row;
    STATE_H,
    STATE_H_ROW,
    STATE_C,
    STATE_C_ROW,
    #: the same of the gradients at them, in and out; 0 where the end state has no gradient.
    D_STATE_H,
    D_STATE_H_ROW,
    D_STATE_C,
    D_STATE_C_ROW,
    N_COLUMNS,
) = range(22)

#: The job's slots: sizes, addresses (0: there is none), and places in the scratch.
(
    N_LAYERS,
    N_STEPS,
    N_ROWS,
    LAYERS,
    ARENA,
    TURNED,
    #: (T, B, I)
    X,
    #: int64 (B,)
    ENDS,
    #: (B, H)
    MASK,
    #: int64 (T, B); and (T, B); (C,)
    TARGETS,
    WEIGHTS,
    CLASS_WEIGHTS,
    #: (T, B, C), written forwards
    LOGITS,
    #: (T, B, C), read backwards; 0: it comes from the loss
    D_LOGITS,
    #: (T, B, I), written backwards
    D_X,
    #: Gradient at the outputs of a layer, [T or 1][R][widest], and the ways from step to step (0
    #: where one step is kept only) and from row to row
    D_ABOVE_AT,
    D_ABOVE_STEP,
    D_ABOVE_ROW,
    #: Gradients at h and c that go from step to step, [R][H padded]
    D_H_AT,
    D_C_AT,
    #: What the head reads, [R][H padded]; logits and their gradients [R][C padded]
    MASKED_AT,
    OUT_AT,
    #: Zeros; a one
    ZEROS_AT,
    ONE_AT,
    #: Where on the tape its inputs begin.
    INPUTS_AT,
    N_SLOTS,
) = range(26)

#: What a run over a part does.
FORWARD, BACKWARD = 1, 2


def whole(n: int, v: int) -> int:
    """Return n rounded up to whole vectors of v."""
    return -(-int(n) // v) * v


class Job:
    """What the kernels know of work of one shape: the tables of job.py.

    Parameters
    ----------
    plan : int64 (L + 1, 6)
        See layout.py.
    n_steps, n_rows : int
        T and B.
    v : int
        Lanes of a vector.
    with_inputs : bool
        Room for the gradients at the inputs of all steps.
    """

    def __init__(self, plan: I64, n_steps: int, n_rows: int, v: int, *, with_inputs: bool) -> None:
        last = len(plan) - 1
        self.slots: I64 = np.zeros(N_SLOTS, np.int64)
        self.layers: I64 = np.zeros((last + 1, N_COLUMNS), np.int64)
        self.layers[:, : TURNED_AT + 1] = plan[:, : layout.T_AT + 1]
        top, inputs_row = 0, int(plan[0, layout.N_IN])
        for layer in self.layers[:last]:
            n_padded = int(layer[N_PADDED])
            layer[TURNED_INPUTS_AT] = layer[TURNED_AT] + 4 * n_padded * n_padded
            layer[H_AT] = top
            layer[C_AT] = top + (n_steps + 1) * SLICE_ROWS * n_padded
            layer[GATES_AT] = layer[C_AT] + (n_steps + 1) * SLICE_ROWS * n_padded
            layer[GATES_ROW] = 4 * n_padded + v
            top = int(layer[GATES_AT] + n_steps * SLICE_ROWS * layer[GATES_ROW])
        self.layers[0, [X_AT, X_ROW]] = top, inputs_row
        for below, layer in zip(self.layers, self.layers[1:last], strict=False):
            layer[X_ROW] = below[N_PADDED]
            layer[X_AT] = below[H_AT] + SLICE_ROWS * below[N_PADDED]
        self.tape_size = whole(top + n_steps * SLICE_ROWS * inputs_row, v)
        self.slots[INPUTS_AT] = top
        self.slots[[N_LAYERS, N_STEPS, N_ROWS]] = last, n_steps, n_rows
        self.layers_address = address(self.layers)
        self.slots[LAYERS] = self.layers_address
        self._place_scratch(last, n_steps, v, with_inputs)
        self.address = address(self.slots)
        self.pace = Pace()

    def _place_scratch(self, last: int, n_steps: int, v: int, with_inputs: bool) -> None:
        width = max(int(self.layers[:last, N_PADDED].max()), whole(self.layers[0, N_IN], v))
        many = last > 1 or with_inputs
        self.slots[[D_ABOVE_STEP, D_ABOVE_ROW]] = SLICE_ROWS * width if many else 0, width
        top = 0
        for slot, size in (
            (ZEROS_AT, 2 * v),
            (ONE_AT, v),
            (D_ABOVE_AT, (n_steps if many else 1) * SLICE_ROWS * width),
            (D_H_AT, SLICE_ROWS * width),
            (D_C_AT, SLICE_ROWS * width),
            (MASKED_AT, SLICE_ROWS * width),
            (OUT_AT, SLICE_ROWS * int(self.layers[last, N_PADDED])),
        ):
            self.slots[slot] = top
            top += size
        self._scratch_size = top

    def scratch(self, dtype: np.dtype[Any]) -> Floats:
        """Return scratch for one thread."""
        scratch = aligned(self._scratch_size, dtype)
        scratch[self.slots[ONE_AT]] = 1
        return scratch

    def set(self, slot: int, a: Floats | I64 | None) -> None:
        """Name an array that is read or written; None: there is none."""
        self.slots[slot] = 0 if a is None else a.ctypes.data

    def set_state(self, column: int, state: State) -> None:
        """Name a state, `STATE_H` or `D_STATE_H`."""
        for layer, h, c in zip(self.layers, state.h, state.c, strict=False):
            row, item = h.strides[0], h.itemsize
            layer[column : column + 4] = h.ctypes.data, row // item, c.ctypes.data, row // item
