"""Inference: the entry for one step or a whole sequence, with or without a tape."""

from __future__ import annotations

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.jit import kernel
from streamrnn.kernels.rnn.forward import head_forward, is_live, layer_at, layer_forward
from streamrnn.kernels.rnn.layout import N_IN, N_PADDED, N_UNITS

#: Rows that share the buffers, and so the cache; a tape's slices are made for `TAPE_ROWS`.
SLICE_ROWS = 16
TAPE_ROWS = 8
#: Steps that a slice goes through one layer before the next, when no tape is kept.
CHUNK_STEPS = 16


@kernel
def run_entry(
    plan: I64,
    arena: Floats,
    x: Floats,
    n_steps: int,
    state: Floats,
    ends: I64,
    mask: Floats,
    logits: Floats,
    tape: Floats,
    row_from: int,
    row_to: int,
) -> bool:
    """Run some steps; return False, doing nothing, when the shapes do not fit together.

    Parameters
    ----------
    plan, arena
        The network (see layout.py).
    x : (T * B, I)
    n_steps : int
        T.
    state : 1-D
        A `State`'s arena; overwritten.
    ends : int64 (B,), or empty
        Lengths, which the caller has checked for 0..T; empty means T.
    mask : (B, H_last), or empty
        Factors before the head.
    logits : (T * B, C)
        Overwritten.
    tape : (slices, `layer_at` (L + 1)), or empty
        Overwritten: the buffers of every slice of `TAPE_ROWS` of the rows that are run. The inputs
        must stand there (see `fill_inputs`), and x is not read.
    row_from, row_to : int
        Which rows to run; a multiple of `TAPE_ROWS`, and B or less.
    """
    last = plan.shape[0] - 1
    n_rows = x.shape[0] // max(n_steps, 1)
    n_state = 0
    for n in range(last):
        n_state += 2 * n_rows * plan[n, N_UNITS]
    if not (
        x.shape[1] == plan[0, N_IN]
        and x.shape[0] == n_steps * n_rows == logits.shape[0]
        and logits.shape[1] == plan[last, N_UNITS]
        and state.size == n_state
        and row_to <= n_rows
    ):
        return False
    keep = tape.shape[0] > 0
    rows = TAPE_ROWS if keep else min(SLICE_ROWS, row_to - row_from)
    room = n_steps if keep else min(CHUNK_STEPS, n_steps)
    buffer = np.empty(
        0 if keep or row_to <= row_from else layer_at(plan, last, rows, room, keep), arena.dtype
    )
    scratch = np.empty(rows * head_scratch(plan), arena.dtype)
    flat = x.reshape(-1)
    for row0 in range(row_from, row_to, rows):
        n_given = min(rows, row_to - row0)
        n_slice = rows if keep else n_given
        if keep:
            buffer = tape[(row0 - row_from) // rows]
        load_state(plan, state, n_rows, row0, n_given, ends, buffer, n_slice, room, keep)
        for t0 in range(0, n_steps, room):
            t_n = min(room, n_steps - t0)
            source, x_at, x_row = flat, (t0 * n_rows + row0) * plan[0, N_IN], plan[0, N_IN]
            x_step = n_rows * x_row
            if keep:
                source, x_at = buffer, layer_at(plan, last, n_slice, room, keep)
                x_step = n_slice * x_row
            at = x_at
            for n in range(last):
                at = layer_at(plan, n, n_slice, room, keep)
                layer_forward(
                    plan, n, arena, source, x_at, x_row, x_step, buffer, at, room,
                    ends, row0, n_slice, n_given, t0, t_n, keep,
                )  # fmt: skip
                x_row = plan[n, N_PADDED]
                x_step = n_slice * x_row
                source, x_at = buffer, at + x_step
            for s in range(t_n):
                at += x_step
                out = head_rows(plan, arena, buffer, at, row0, n_given, mask, scratch)
                _emit(
                    scratch, out, plan[last, N_PADDED], ends, row0, n_given, t0 + s, n_rows, logits
                )
            if t0 + t_n < n_steps:
                _carry(plan, buffer, n_slice, room, t_n)
        s = (n_steps - 1) % room + 1 if n_steps > 0 else 0
        store_state(plan, state, n_rows, row0, n_given, ends, buffer, n_slice, room, keep, s)
    return True


def fill_inputs(x: Floats, ends: I64, tape: Floats, row_from: int, row_to: int) -> None:
    """Copy the inputs of some rows into their tape, with 0 behind a row's end.

    Parameters
    ----------
    x : (T, B, I)
    ends : int64 (B,), or empty
    tape, row_from, row_to
        As in `run_entry`.
    """
    n_steps, _, n_in = x.shape
    for buffer, row in zip(tape, range(row_from, row_to, TAPE_ROWS), strict=True):
        behind = min(row + TAPE_ROWS, row_to)
        inputs = buffer[len(buffer) - n_steps * TAPE_ROWS * n_in :].reshape(
            n_steps, TAPE_ROWS, n_in
        )
        inputs[:, : behind - row] = x[:, row:behind]
        inputs[:, behind - row :] = 0
        if ends.size:
            inputs[:, : behind - row][np.arange(n_steps)[:, None] >= ends[row:behind]] = 0


@kernel
def head_scratch(plan: I64) -> int:
    """Return how much scratch `head_rows` takes for one row."""
    last = plan.shape[0] - 1
    return int(plan[last - 1, N_PADDED] + plan[last, N_PADDED])


@kernel
def head_rows(
    plan: I64,
    arena: Floats,
    h: Floats,
    h_at: int,
    row0: int,
    n_rows: int,
    mask: Floats,
    scratch: Floats,
) -> int:
    """Run the head on some rows of the last layer; return where in `scratch` the logits begin.

    The masked hidden vectors, which the head read, stand at the begin of `scratch`, padded; so are
    the logits. An empty `mask` masks nothing.
    """
    last = plan.shape[0] - 1
    n_units, n_padded = plan[last, N_IN], plan[last - 1, N_PADDED]
    zero = h.dtype.type(0)
    for r in range(n_rows):
        for k in range(n_units):
            scratch[r * n_padded + k] = h[h_at + r * n_padded + k]
        if mask.size > 0:
            for k in range(n_units):
                scratch[r * n_padded + k] *= mask[row0 + r, k]
        for k in range(n_units, n_padded):
            scratch[r * n_padded + k] = zero
    out_at = n_rows * n_padded
    head_forward(plan, arena, scratch, 0, n_padded, n_rows, scratch, out_at)
    return int(out_at)


@kernel
def _emit(
    scratch: Floats,
    at: int,
    c_padded: int,
    ends: I64,
    row0: int,
    n_given: int,
    t: int,
    n_rows: int,
    logits: Floats,
) -> None:
    """Write the logits of one step; 0 behind a row's end."""
    zero = logits.dtype.type(0)
    for r in range(n_given):
        live = is_live(ends, row0 + r, t)
        for k in range(logits.shape[1]):
            value = scratch[at + r * c_padded + k]
            logits[t * n_rows + row0 + r, k] = value if live else zero


@kernel
def load_state(
    plan: I64,
    state: Floats,
    n_all_rows: int,
    row0: int,
    n_given: int,
    ends: I64,
    buffer: Floats,
    n_rows: int,
    room: int,
    keep: bool,
) -> None:
    """Fill step 0 of a slice's buffer; rows that do no step at all, or are not given, become 0."""
    zero = state.dtype.type(0)
    state_at = 0
    for n in range(plan.shape[0] - 1):
        n_units, n_padded = plan[n, N_UNITS], plan[n, N_PADDED]
        h_at = layer_at(plan, n, n_rows, room, keep)
        for half in range(2):
            for r in range(n_rows):
                used = r < n_given and is_live(ends, row0 + r, 0)
                from_at = state_at + (half * n_all_rows + row0 + r) * n_units
                to = h_at + (half * (room + 1) * n_rows + r) * n_padded
                for k in range(n_units):
                    buffer[to + k] = state[from_at + k] if used else zero
                for k in range(n_units, n_padded):
                    buffer[to + k] = zero
        state_at += 2 * n_all_rows * n_units


@kernel
def store_state(
    plan: I64,
    state: Floats,
    n_all_rows: int,
    row0: int,
    n_given: int,
    ends: I64,
    buffer: Floats,
    n_rows: int,
    room: int,
    keep: bool,
    s: int,
) -> None:
    """Write step `s` of a slice's buffer to the state of the rows that did any step."""
    state_at = 0
    for n in range(plan.shape[0] - 1):
        n_units, n_padded = plan[n, N_UNITS], plan[n, N_PADDED]
        h_at = layer_at(plan, n, n_rows, room, keep) + s * n_rows * n_padded
        for half in range(2):
            for r in range(n_given):
                from_at = h_at + (half * (room + 1) * n_rows + r) * n_padded
                to = state_at + (half * n_all_rows + row0 + r) * n_units
                if is_live(ends, row0 + r, 0):
                    for k in range(n_units):
                        state[to + k] = buffer[from_at + k]
        state_at += 2 * n_all_rows * n_units


@kernel
def _carry(plan: I64, buffer: Floats, n_rows: int, room: int, s: int) -> None:
    """Make the state behind step `s` of every layer the start state of the next chunk."""
    keep = n_rows < 0
    for n in range(plan.shape[0] - 1):
        h_at = layer_at(plan, n, n_rows, room, keep)
        row = n_rows * plan[n, N_PADDED]
        for at in range(h_at, h_at + 2 * (room + 1) * row, (room + 1) * row):
            for k in range(at, at + row):
                buffer[k] = buffer[k + s * row]
