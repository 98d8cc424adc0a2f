"""Many streams, or many frames, at once: ticks, sequences, and chunks of one stream.

Rows go through the network in slabs that fit into the cache together with a block's weights, a
chunk of steps in one layer before the next layer. One row alone cannot share weights between rows;
it goes through them as in a live step, and shares those of the inputs between frames.

Neither tiles nor slabs nor chunks change a row's arithmetic.
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
from streamrnn.kernels.rnn.layers import (
    block_stride,
    cells,
    column,
    head,
    row_cells,
    row_hidden,
    to_hidden,
    width,
)
from streamrnn.kernels.rnn.layout import CHUNK_STEPS, ROW_STEPS, SLAB_ROWS
from streamrnn.kernels.rnn.machine import HEAD_ROWS, TILE_ROWS
from streamrnn.kernels.rnn.simd import (
    address_of,
    lanes,
    load,
    offset,
    pointer_like,
    prefetch,
    store,
    words_at,
)
from streamrnn.kernels.rnn.stepper import LOGITS, MEMORY, N_ROWS, PLAN, WORK
from streamrnn.kernels.rnn.sums import tile_sums


@apart
def _panel(
    w: Any, w_hidden: Any, bias: Any, zeros: Any, x: Any, x_row: int, n_in: int, h: Any,
    n_units: int, n_padded: int, c: Any, h_to: Any, z: Any, n_rows: int, from_h: int,
) -> None:  # fmt: skip
    """Do one block's step for some rows.

    Parameters
    ----------
    w, w_hidden, bias
        The block's weights.
    x, x_row, n_in
        Inputs.
    h, n_units, n_padded
        Hidden vectors before the step, `n_padded` apart; so are the rows of `c` and `h_to`.
    c, h_to
        The block's cell states, overwritten, and where its hidden values go.
    z
        Scratch, ``TILE_ROWS * 4 V``.
    from_h : int
        If not 0, have the next `SLAB_ROWS` rows of c brought into the cache, and those of h, which
        lie so far before.
    """
    v = lanes(x)
    for r in range(0, n_rows, TILE_ROWS):
        given = min(TILE_ROWS, n_rows - r)
        tile_sums(
            w, 0, bias, 0, offset(x, r * x_row), x_row, n_in, 0, 0, 0, z, 4 * v, given
        )  # fmt: skip
        tile_sums(
            w_hidden, 0, zeros, 0, offset(h, r * n_padded), n_padded, n_units,
            z, 4 * v, 0, z, 4 * v, given,
        )  # fmt: skip
        if from_h != 0:
            for k in range(r + SLAB_ROWS, r + SLAB_ROWS + TILE_ROWS):
                prefetch(c, k * n_padded)
                prefetch(c, k * n_padded - from_h)
        cells(z, 4 * v, offset(c, r * n_padded), n_padded, offset(h_to, r * n_padded), n_padded,
              given)  # fmt: skip


@kernel
def _layer_step(
    plan: Any, n: int, x: Any, x_row: int, h: Any, c: Any, h_to: Any, z: Any, n_rows: int,
    from_h: int,
) -> None:  # fmt: skip
    """Do one step of one layer for a slab."""
    v = lanes(x)
    zeros = pointer_like(x, plan[at.ARENA])
    n_in, n_units = column(plan, n, at.N_IN), column(plan, n, at.N_UNITS)
    n_padded = column(plan, n, at.N_PADDED)
    bias, w_block = offset(zeros, column(plan, n, at.B_AT)), block_stride(plan, n, v)
    w_at, way = column(plan, n, at.W_AT), to_hidden(plan, n, v)
    for block in range(n_padded // v):
        b, here = offset(bias, block * 4 * v), w_at + block * w_block
        c_at, to = offset(c, block * v), offset(h_to, block * v)
        if plan[at.IS_PAIRS]:
            w = offset(words_at(plan[at.WEIGHTS]), here)
            _panel(
                w, offset(w, way), b, zeros, x, x_row, n_in, h, n_units, n_padded,
                c_at, to, z, n_rows, from_h,
            )  # fmt: skip
        else:
            u = offset(pointer_like(x, plan[at.WEIGHTS]), here)
            _panel(
                u, offset(u, way), b, zeros, x, x_row, n_in, h, n_units, n_padded,
                c_at, to, z, n_rows, from_h,
            )  # fmt: skip


@kernel
def _is_live(ends: Any, row: int, t: int) -> bool:
    """Return whether step `t` is one of the row's; no `ends` means that no row ends."""
    return bool(address_of(ends) == 0 or t < ends[row])


@kernel
def _n_live(ends: Any, row0: int, n_rows: int, t: int) -> int:
    n = 0
    for r in range(n_rows):
        n += 1 if _is_live(ends, row0 + r, t) else 0
    return n


@apart
def _copy(source: Any, to: Any, n: int) -> None:
    """Copy whole vectors."""
    for k in range(0, n, lanes(source)):
        store(to, k, load(source, k))


@kernel
def _copy_ended(
    source: Any, to: Any, n_padded: int, ends: Any, row0: int, n_rows: int, t: int
) -> None:
    """Copy the rows that have ended before step `t`."""
    for r in range(n_rows):
        if not _is_live(ends, row0 + r, t):
            _copy(offset(source, r * n_padded), offset(to, r * n_padded), n_padded)


@kernel
def _masked(
    h: Any, h_row: int, mask: Any, mask_row: int, n_rows: int, n_units: int, to: Any
) -> Any:
    """Return the hidden vectors times the mask, written to `to`; with a null `mask` as they are."""
    if address_of(mask) == 0:
        return h
    for r in range(n_rows):
        for k in range(n_units):
            to[r * h_row + k] = h[r * h_row + k] * mask[r * mask_row + k]
    return to


@kernel
def _emit(
    plan: Any, h: Any, h_row: int, mask: Any, ends: Any, row0: int, n_rows: int, t: int,
    scratch: Any, logits: Any,
) -> None:  # fmt: skip
    """Write the logits of one step of some rows; 0 behind a row's end."""
    last = plan[at.N_LAYERS]
    n_units, n_classes = column(plan, last, at.N_IN), column(plan, last, at.N_UNITS)
    own = offset(mask, row0 * n_units) if address_of(mask) != 0 else mask
    room = offset(scratch, HEAD_ROWS * lanes(h))
    head(plan, _masked(h, h_row, own, n_units, n_rows, n_units, room), h_row, n_rows, scratch,
         logits)  # fmt: skip
    for r in range(n_rows):
        if not _is_live(ends, row0 + r, t):
            for k in range(n_classes):
                logits[r * n_classes + k] = 0


@apart
def _slab(
    plan: Any, state: Any, x: Any, ends: Any, mask: Any, logits: Any, n_all_rows: int, row0: int,
    n_rows: int, t0: int, n_steps: int, ahead: bool, work: Any,
) -> None:  # fmt: skip
    """Run some steps, `CHUNK_STEPS` at most, of some rows, `SLAB_ROWS` at most."""
    v, last = lanes(x), plan[at.N_LAYERS]
    room = n_steps * SLAB_ROWS * width(plan)
    z, scratch = work, offset(work, TILE_ROWS * 4 * v)
    out = offset(scratch, HEAD_ROWS * v + SLAB_ROWS * width(plan))
    spare = offset(out, room)
    x_row = column(plan, 0, at.N_IN)
    x_step, h = n_all_rows * x_row, state
    signal = offset(x, (t0 * n_all_rows + row0) * x_row)
    for n in range(last):
        n_padded = column(plan, n, at.N_PADDED)
        h_now = offset(h, row0 * n_padded)
        c = offset(h_now, n_all_rows * n_padded)
        for t in range(n_steps):
            to = offset(out, t * n_rows * n_padded)
            n_live = _n_live(ends, row0, n_rows, t0 + t)
            if n_live < n_rows:
                _copy(c, scratch, n_rows * n_padded)
            if n_live > 0:
                _layer_step(
                    plan, n, offset(signal, t * x_step), x_row, h_now, c, to, z, n_rows,
                    n_all_rows * n_padded if ahead else 0,
                )  # fmt: skip
            if n_live < n_rows:
                _copy_ended(scratch, c, n_padded, ends, row0, n_rows, t0 + t)
                _copy_ended(h_now, to, n_padded, ends, row0, n_rows, t0 + t)
            h_now = to
        _copy(h_now, offset(h, row0 * n_padded), n_rows * n_padded)
        signal, x_row, x_step = out, n_padded, n_rows * n_padded
        h = offset(h, 2 * n_all_rows * n_padded)
        out, spare = spare, out
    n_classes = column(plan, last, at.N_UNITS)
    for t in range(n_steps):
        _emit(
            plan, offset(signal, t * x_step), x_row, mask, ends, row0, n_rows, t0 + t, scratch,
            offset(logits, ((t0 + t) * n_all_rows + row0) * n_classes),
        )  # fmt: skip


@apart
def _input_sums(plan: Any, n: int, x: Any, x_row: int, n_steps: int, out: Any) -> None:
    """Write ``b + w_ih x`` of a layer, [step][block][gate][V], for some steps of one row."""
    v = lanes(x)
    zeros = pointer_like(x, plan[at.ARENA])
    n_in, n_padded = column(plan, n, at.N_IN), column(plan, n, at.N_PADDED)
    bias = offset(zeros, column(plan, n, at.B_AT))
    for block in range(n_padded // v):
        w_at = column(plan, n, at.W_AT) + block * block_stride(plan, n, v)
        b = offset(bias, block * 4 * v)
        for t in range(0, n_steps, TILE_ROWS):
            rows, given = offset(x, t * x_row), min(TILE_ROWS, n_steps - t)
            to = offset(out, (t * n_padded + block * v) * 4)
            if plan[at.IS_PAIRS]:
                tile_sums(
                    offset(words_at(plan[at.WEIGHTS]), w_at), 0, b, 0, rows, x_row, n_in,
                    0, 0, 0, to, 4 * n_padded, given,
                )  # fmt: skip
            else:
                tile_sums(
                    offset(pointer_like(x, plan[at.WEIGHTS]), w_at), 0, b, 0, rows, x_row, n_in,
                    0, 0, 0, to, 4 * n_padded, given,
                )  # fmt: skip


@apart
def _chunk(plan: Any, state: Any, x: Any, mask: Any, logits: Any, n_steps: int, work: Any) -> None:
    """Run some steps, `ROW_STEPS` at most, of a batch of one row."""
    v, last = lanes(x), plan[at.N_LAYERS]
    z = offset(work, HEAD_ROWS * v + n_steps * width(plan))
    sums = offset(z, 4 * width(plan))
    out = offset(sums, n_steps * 4 * width(plan))
    spare = offset(out, n_steps * width(plan))
    signal, x_row, h = x, column(plan, 0, at.N_IN), state
    backwards = plan[at.BACKWARDS]
    for n in range(last):
        n_padded = column(plan, n, at.N_PADDED)
        _input_sums(plan, n, signal, x_row, n_steps, sums)
        h_now = h
        for t in range(n_steps):
            row_hidden(plan, n, h_now, offset(sums, t * 4 * n_padded), z, backwards)
            h_now = offset(out, t * n_padded)
            row_cells(z, offset(h, n_padded), h_now, n_padded)
            backwards = 1 - backwards
        _copy(h_now, h, n_padded)
        signal, x_row, h = out, n_padded, offset(h, 2 * n_padded)
        out, spare = spare, out
    n_units = column(plan, last, at.N_IN)
    room = offset(work, HEAD_ROWS * v)
    head(plan, _masked(signal, x_row, mask, 0, n_steps, n_units, room), x_row, n_steps, work,
         logits)  # fmt: skip


@kernel
def run(
    plan: Any, state: Any, x: Any, ends: Any, mask: Any, logits: Any, n_steps: int, n_rows: int,
    row_from: int, row_to: int, work: Any,
) -> None:  # fmt: skip
    """Entry: run some steps of some rows.

    Parameters
    ----------
    plan
        A network's header.
    state
        A `State`'s arena; overwritten.
    x
        (T, B, I)
    ends
        int64 (B,), lengths in 0..T, or null, which means T.
    mask
        (B, H_last), factors before the head, or null.
    logits
        (T, B, C), overwritten; where B is 1, not behind the row's end.
    n_steps, n_rows : int
        T and B.
    row_from, row_to : int
        Which rows to run.
    work
        Scratch, ``layout.work_size`` numbers.
    """
    if n_rows == 1:
        n_live = n_steps if address_of(ends) == 0 else ends[0]
        n_in, n_classes = column(plan, 0, at.N_IN), column(plan, plan[at.N_LAYERS], at.N_UNITS)
        for t0 in range(0, n_live, ROW_STEPS):
            _chunk(
                plan, state, offset(x, t0 * n_in), mask, offset(logits, t0 * n_classes),
                min(ROW_STEPS, n_live - t0), work,
            )  # fmt: skip
        return
    for row0 in range(row_from, row_to, SLAB_ROWS):
        n = min(SLAB_ROWS, row_to - row0)
        for t0 in range(0, n_steps, CHUNK_STEPS):
            _slab(
                plan, state, x, ends, mask, logits, n_rows, row0, n, t0,
                min(CHUNK_STEPS, n_steps - t0), n_steps == 1, work,
            )  # fmt: skip


@kernel
def tick_call(context: int, argument: int) -> int:
    """Entry: one step of all rows, as a built-in method on float32; see `Stepper`."""
    slots = slots_of(context)
    data = array_data(slots, argument)
    if data == 0:
        return fall_back(slots, argument)
    own = i8_pointer(slots)
    n_rows = own[N_ROWS]
    run(
        i8_pointer(own[PLAN]), f4_pointer(own[MEMORY]), f4_pointer(data), i8_pointer(0),
        f4_pointer(0), f4_pointer(own[LOGITS]), 1, n_rows, 0, n_rows, f4_pointer(own[WORK]),
    )  # fmt: skip
    return none(slots)
