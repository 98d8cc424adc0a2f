"""One stream, one frame: the step of a live run, for Python and for fused kernels.

The interface for a caller in compiled code is::

    step_row(plan, state, x, logits)

with pointers of one float type but for `plan`, which is the int64 header of a `Stepper` (its
`header`): a network's header (layout.py) with a scratch of its own. `state` is the memory of a
state of one row (`Stepper.memory`)::

    h [H padded], c [H padded] of the first layer, then of the next, ...

`x` holds the first layer's I inputs and `logits` gets C numbers; neither is read or written beyond.
`ahead_row(plan, state)` may be called between two steps. It does the part of the next one that
needs no input: ``0 + w_hh h`` of every layer, for which the order of summation has a place of its
own, so the bits are the same. The hidden vectors are kept with these sums, and a step takes the
sums only if the vectors have not changed since.

The scratch holds pre-activations [4 x widest H padded], then for each layer the sums ahead
[4 H padded] and the hidden vector that they belong to [H padded], then the head's room.
"""

from __future__ import annotations

from typing import Any

from streamrnn.kernels.jit import apart, kernel
from streamrnn.kernels.objects import (
    array_data,
    f4_pointer,
    fall_back,
    i8_pointer,
    none,
    slots_of,
)
from streamrnn.kernels.rnn import layout as at
from streamrnn.kernels.rnn.layers import column, head, row_cells, row_hidden, row_inputs, width
from streamrnn.kernels.rnn.simd import lanes, load, offset, pointer_like, store
from streamrnn.kernels.rnn.stepper import LOGITS, MEMORY, PLAN


@kernel
def _is_of(sums: Any, h: Any, n_padded: int, n_units: int) -> bool:
    """Return whether sums ahead belong to the hidden vector `h`."""
    kept = offset(sums, 4 * n_padded)
    differs = 0
    for k in range(n_units):
        differs += 1 if kept[k] != h[k] else 0
    return differs == 0


@apart
def step_row(plan: Any, state: Any, x: Any, logits: Any) -> None:
    """Advance one stream by one frame."""
    z = pointer_like(x, plan[at.SCRATCH])
    ahead = offset(z, 4 * width(plan))
    zeros = pointer_like(x, plan[at.ARENA])
    backwards = plan[at.BACKWARDS]
    h, signal = state, x
    for n in range(plan[at.N_LAYERS]):
        n_padded = column(plan, n, at.N_PADDED)
        if plan[at.AHEAD] and _is_of(ahead, h, n_padded, column(plan, n, at.N_UNITS)):
            row_inputs(plan, n, signal, ahead, z, backwards)
        else:
            row_inputs(plan, n, signal, zeros, z, backwards)
            row_hidden(plan, n, h, z, z, backwards)
        row_cells(z, offset(h, n_padded), h, n_padded)
        signal, h = h, offset(h, 2 * n_padded)
        ahead = offset(ahead, 5 * n_padded)
    plan[at.AHEAD] = 0
    plan[at.BACKWARDS] = 1 - backwards
    head(plan, signal, 0, 1, ahead, logits)


@apart
def ahead_row(plan: Any, state: Any) -> None:
    """Compute the hidden sums of the next step."""
    h = state
    ahead = offset(pointer_like(state, plan[at.SCRATCH]), 4 * width(plan))
    zeros = pointer_like(state, plan[at.ARENA])
    for n in range(plan[at.N_LAYERS]):
        n_padded = column(plan, n, at.N_PADDED)
        row_hidden(plan, n, h, zeros, ahead, plan[at.BACKWARDS])
        for k in range(0, n_padded, lanes(h)):
            store(ahead, 4 * n_padded + k, load(h, k))
        h, ahead = offset(h, 2 * n_padded), offset(ahead, 5 * n_padded)
    plan[at.AHEAD] = 1


@kernel
def step(plan: Any, state: Any, x: Any, logits: Any) -> None:
    """Entry: `step_row`."""
    step_row(plan, state, x, logits)


@kernel
def ahead(plan: Any, state: Any) -> None:
    """Entry: `ahead_row`."""
    ahead_row(plan, state)


@kernel
def step_call(context: int, argument: int) -> int:
    """Entry: `step_row` as a built-in method on float32; its context is a `Stepper`'s."""
    slots = slots_of(context)
    data = array_data(slots, argument)
    if data == 0:
        return fall_back(slots, argument)
    own = i8_pointer(slots)
    plan, state = i8_pointer(own[PLAN]), f4_pointer(own[MEMORY])
    step_row(plan, state, f4_pointer(data), f4_pointer(own[LOGITS]))
    return none(slots)
