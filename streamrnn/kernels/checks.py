"""What each compiled backend checks of a call before a kernel sees it: states, lengths, batches."""

from __future__ import annotations

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.arguments import as_argument
from streamrnn.kernels.params import Batch, LossSpec, Params, State


def check_state(params: Params, state: State, n_rows: int) -> None:
    """Check that a state is that of `n_rows` streams of a network.

    Raises
    ------
    ValueError
        Other sizes, another dtype, or another number of rows.
    """
    sizes = tuple(a.shape[1] for a in state.h)
    if sizes != params.hidden_sizes or state.arena.dtype != params.dtype or state.n_rows != n_rows:
        raise ValueError(
            f"state is {state.arena.dtype} of hidden sizes {sizes} and {state.n_rows} rows,"
            f" expected {params.dtype} of {params.hidden_sizes} and {n_rows} rows"
        )


def checked_ends(lengths: I64, n_steps: int, n_rows: int) -> I64:
    """Return the rows' lengths.

    Raises
    ------
    ValueError
        Another dtype or number of them, or one that is not in 0..T.
    """
    ends = as_argument("lengths", lengths, np.int64, (n_rows,))
    if n_rows and (ends.min() < 0 or ends.max() > n_steps):
        raise ValueError(f"lengths are {ends}, expected {n_rows} numbers in 0..{n_steps}")
    return ends


def checked_mask(params: Params, out_mask: Floats | None, n_rows: int) -> Floats | None:
    """Return the factors on the last hidden vectors; ValueError if their shape or dtype is off."""
    if out_mask is None:
        return None
    return as_argument("out_mask", out_mask, params.dtype, (n_rows, params.hidden_sizes[-1]))


def no_classes(targets: I64, n_classes: int) -> ValueError:
    """Return the error for targets of which one that has a weight is no class."""
    return ValueError(
        f"batch.targets reach from {targets.min()} to {targets.max()},"
        f" expected 0..{n_classes - 1} where the weight is not 0"
    )


def checked_batch(params: Params, batch: Batch, loss: LossSpec) -> tuple[Batch, LossSpec]:
    """Return a batch and a loss whose arrays kernels can read; the state is the batch's own.

    Raises
    ------
    ValueError
        An array of another shape or dtype than the network and the others ask for.
    """
    n_rows, dtype = batch.state.n_rows, params.dtype
    check_state(params, batch.state, n_rows)
    x = as_argument("batch.x", batch.x, dtype, (None, n_rows, params.n_inputs))
    shape = (len(x), n_rows)
    checked = Batch(
        x=x,
        targets=as_argument("batch.targets", batch.targets, np.int64, shape),
        weights=as_argument("batch.weights", batch.weights, dtype, shape),
        lengths=checked_ends(batch.lengths, *shape),
        state=batch.state,
        out_mask=checked_mask(params, batch.out_mask, n_rows),
    )
    classes = as_argument("class_weights", loss.class_weights, dtype, (params.n_classes,))
    return checked, LossSpec(classes, loss.label_smoothing)
