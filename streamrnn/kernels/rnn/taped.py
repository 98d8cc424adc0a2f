"""Forwards with a tape: the layers of a slice of rows, for training (see job.py).

Sums and cells are those of inference (forward.py), in other tiles: the same bits. A row that has
ended goes on with inputs of 0; nobody reads what becomes of it.
"""

from __future__ import annotations

from typing import Any

from streamrnn.kernels.jit import apart, kernel
from streamrnn.kernels.rnn import job as at
from streamrnn.kernels.rnn.gates import cell_of_exponentials, exponentials
from streamrnn.kernels.rnn.simd import lanes, load, offset, pointer_like, store
from streamrnn.kernels.rnn.tiles import TALL_ROWS, slim_on, tall_add, tall_on

R = at.SLICE_ROWS


@kernel
def set_limits(job: Any, limits: Any, row0: int, n_given: int) -> int:
    """Write how many steps each row of a slice does; return the largest.

    Rows of the slice from `n_given` on are not given; for them stands -1.
    """
    ends = pointer_like(job, job[at.ENDS])
    longest = 0
    for r in range(R):
        n = -1
        if r < n_given:
            n = job[at.N_STEPS] if job[at.ENDS] == 0 else ends[row0 + r]
        limits[r] = n
        longest = max(longest, n)
    return int(longest)


@apart
def copy(to: Any, to_step: int, source: Any, step: int, n: int) -> None:
    """Copy n numbers; each stands some step behind the last."""
    for k in range(n):
        to[k * to_step] = source[k * step]


@apart
def clear(to: Any, n: int) -> None:
    """Set n numbers to 0."""
    for k in range(n):
        to[k] = 0


@kernel
def load_inputs(job: Any, tape: Any, limits: Any, row0: int, n_given: int, n_steps: int) -> None:
    """Copy the inputs of a slice to its tape, with 0 behind a row's end."""
    n_in, n_rows = pointer_like(job, job[at.LAYERS])[at.N_IN], job[at.N_ROWS]
    for t in range(n_steps):
        source = offset(pointer_like(tape, job[at.X]), (t * n_rows + row0) * n_in)
        to = offset(tape, job[at.INPUTS_AT] + t * R * n_in)
        copy(to, 1, source, 1, n_given * n_in)
        for r in range(R):
            if t >= limits[r]:
                clear(offset(to, r * n_in), n_in)


@apart
def move_state(
    layer: Any, column: int, rows: Any, limits: Any, last: int, row0: int, inwards: bool
) -> None:
    """Copy one array of a batch's states to the rows of a slice, or back.

    Parameters
    ----------
    layer, column
        The array: `STATE_H`, `STATE_C` or a gradient, whose address may be 0: there is none.
    rows
        [R][H padded]; cleared first on the way inwards.
    limits, last
        Rows whose limit is below 0 are left out, and if ``last > 0`` those of limit 0 too; on the
        way outwards a row is taken from step `limit` of `last` steps, if there are any.
    row0
        The slice's first row in the batch.
    """
    n_padded = layer[at.N_PADDED]
    if inwards:
        clear(rows, R * n_padded)
    if layer[column] != 0:
        for r in range(R):
            state = offset(pointer_like(rows, layer[column]), (row0 + r) * layer[column + 1])
            if limits[r] > 0 or (limits[r] == 0 and last == 0):
                if inwards:
                    copy(offset(rows, r * n_padded), 1, state, 1, layer[at.N_UNITS])
                else:
                    here = (limits[r] * R if last > 0 else 0) + r
                    copy(state, 1, offset(rows, here * n_padded), 1, layer[at.N_UNITS])


@apart
def forward_layer(layer: Any, arena: Any, tape: Any, n_steps: int) -> None:
    """Run a layer over all steps of a slice."""
    v = lanes(tape)
    n_in, n_units, n_padded = layer[at.N_IN], layer[at.N_UNITS], layer[at.N_PADDED]
    n_gates, x_row = layer[at.GATES_ROW], layer[at.X_ROW]
    for t in range(n_steps):
        x = offset(tape, layer[at.X_AT] + t * R * x_row)
        h = offset(tape, layer[at.H_AT] + t * R * n_padded)
        c = offset(tape, layer[at.C_AT] + t * R * n_padded)
        gates = offset(tape, layer[at.GATES_AT] + t * R * n_gates)
        for block in range(n_padded // v):
            w_x = offset(arena, layer[at.WEIGHTS_AT] + block * (n_in + n_units) * 4 * v)
            w_h = offset(w_x, n_in * 4 * v)
            bias = offset(arena, layer[at.BIAS_AT] + block * 4 * v)
            z = offset(gates, block * 4 * v)
            for r in range(0, R, TALL_ROWS):
                for half in range(0, 4 * v, 2 * v):
                    to = offset(z, r * n_gates + half)
                    tall_on(
                        to, n_gates, offset(bias, half), 0, offset(x, r * x_row), x_row, 1,
                        offset(w_x, half), 4 * v, n_in,
                    )  # fmt: skip
                    tall_add(
                        to, n_gates, to, n_gates, offset(h, r * n_padded), n_padded, 1,
                        offset(w_h, half), 4 * v, n_units,
                    )  # fmt: skip
            _cells(z, n_gates, offset(h, block * v), offset(c, block * v), n_padded)


@kernel
def _cells(z: Any, n_gates: int, h: Any, c: Any, n_padded: int) -> None:
    """Turn the pre-activations of a block into exponentials, and do the cells' step.

    Two loops: the chain of operations through a whole cell is too long for the processor to work
    on enough cells at once.
    """
    v = lanes(z)
    for r in range(R):
        p = r * n_gates
        e = exponentials(load(z, p), load(z, p + v), load(z, p + 2 * v), load(z, p + 3 * v))
        store(z, p, e[0])
        store(z, p + v, e[1])
        store(z, p + 2 * v, e[2])
        store(z, p + 3 * v, e[3])
    for r in range(R):
        p, to_next = r * n_gates, (R + r) * n_padded
        c_new, h_new = cell_of_exponentials(
            load(z, p), load(z, p + v), load(z, p + 2 * v), load(z, p + 3 * v),
            load(c, r * n_padded),
        )  # fmt: skip
        store(c, to_next, c_new)
        store(h, to_next, h_new)


@kernel
def head_inputs(job: Any, tape: Any, work: Any, t: int, row0: int, n_given: int) -> Any:
    """Return what the head reads at a step: the last hidden vectors, or their masked copy."""
    layer = offset(pointer_like(job, job[at.LAYERS]), (job[at.N_LAYERS] - 1) * at.N_COLUMNS)
    n_padded = layer[at.N_PADDED]
    h = offset(tape, layer[at.H_AT] + (t + 1) * R * n_padded)
    if job[at.MASK] == 0:
        return h
    masked = offset(work, job[at.MASKED_AT])
    copy(masked, 1, h, 1, R * n_padded)
    times_mask(job, masked, n_padded, row0, n_given)
    return masked


@kernel
def times_mask(job: Any, rows: Any, row: int, row0: int, n_given: int) -> None:
    """Multiply the rows of a slice, `row` apart, by the mask."""
    layers = pointer_like(job, job[at.LAYERS])
    n_units = layers[(job[at.N_LAYERS] - 1) * at.N_COLUMNS + at.N_UNITS]
    mask = offset(pointer_like(rows, job[at.MASK]), row0 * n_units)
    for r in range(n_given):
        for k in range(n_units):
            rows[r * row + k] *= mask[r * n_units + k]


@apart
def head_forward_rows(job: Any, arena: Any, h: Any, out: Any) -> None:
    """Write the logits of a slice at one step, [R][C padded]."""
    v = lanes(h)
    last = offset(pointer_like(job, job[at.LAYERS]), job[at.N_LAYERS] * at.N_COLUMNS)
    n_units, c_padded = last[at.N_IN], last[at.N_PADDED]
    n_padded = offset(last, -at.N_COLUMNS)[at.N_PADDED]
    for block in range(c_padded // v):
        w = offset(arena, last[at.WEIGHTS_AT] + block * n_units * v)
        bias = offset(arena, last[at.BIAS_AT] + block * v)
        for r in range(0, R, TALL_ROWS):
            to = offset(out, r * c_padded + block * v)
            slim_on(to, c_padded, bias, 0, offset(h, r * n_padded), n_padded, 1, w, v, n_units)


@apart
def emit_logits(
    job: Any, arena: Any, tape: Any, work: Any, limits: Any, row0: int, n_given: int, n_steps: int
) -> None:
    """Write the logits of all steps of a slice; those behind a row's end stay."""
    last = offset(pointer_like(job, job[at.LAYERS]), job[at.N_LAYERS] * at.N_COLUMNS)
    logits = pointer_like(tape, job[at.LOGITS])
    n_classes = last[at.N_UNITS]
    out = offset(work, job[at.OUT_AT])
    for t in range(n_steps):
        head_forward_rows(job, arena, head_inputs(job, tape, work, t, row0, n_given), out)
        for r in range(n_given):
            if t < limits[r]:
                to = offset(logits, (t * job[at.N_ROWS] + row0 + r) * n_classes)
                copy(to, 1, offset(out, r * last[at.N_PADDED]), 1, n_classes)
