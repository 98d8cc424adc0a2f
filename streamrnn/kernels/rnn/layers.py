"""The parts of a network's step that all ways of running it share.

`plan` is a pointer to a header (layout.py), from which everything else is found. Sums follow
docs/adr/0001-order-of-summation.md; the vectors here are those of layout.py.
"""

from __future__ import annotations

from typing import Any

from streamrnn.kernels.jit import apart, kernel
from streamrnn.kernels.rnn import layout as at
from streamrnn.kernels.rnn.gates import cell
from streamrnn.kernels.rnn.machine import HEAD_ROWS, ROW_BLOCKS, TILE_ROWS
from streamrnn.kernels.rnn.simd import (
    address_of,
    lanes,
    load,
    load_wide,
    offset,
    pointer_like,
    store,
    store_wide,
    words_at,
)
from streamrnn.kernels.rnn.sums import head_row_sums, head_sums, row_sums


@kernel
def column(plan: Any, n: int, which: int) -> int:
    """Return an entry of the plan's row `n`."""
    return int(plan[at.PLAN_AT + n * at.N_COLUMNS + which])


@kernel
def n_stored(plan: Any, n: int) -> int:
    """Return how many words hold n weights: n, or half of them."""
    return (n + 1) >> 1 if plan[at.IS_PAIRS] else n


@kernel
def to_hidden(plan: Any, n: int, v: int) -> int:
    """Return the way from a block's weights of inputs to those of hidden units."""
    return n_stored(plan, column(plan, n, at.N_IN)) * 4 * v


@kernel
def block_stride(plan: Any, n: int, v: int) -> int:
    """Return the way from one block's weights to the next one's."""
    return to_hidden(plan, n, v) + n_stored(plan, column(plan, n, at.N_UNITS)) * 4 * v


@apart
def cells(z: Any, z_stride: int, c: Any, c_stride: int, h: Any, h_stride: int, n: int) -> None:
    """Update up to `TILE_ROWS` vectors of cells: those of several rows, or of several blocks.

    Parameters
    ----------
    z, z_stride
        Pre-activations of the first, and the way to the next.
    c, c_stride
        Cell states, overwritten.
    h, h_stride
        Where the hidden values go.
    n : int
        How many there are.
    """
    v = lanes(z)
    z_i, z_f = load_wide(z, z_stride, n), load_wide(offset(z, v), z_stride, n)
    z_g, z_o = load_wide(offset(z, 2 * v), z_stride, n), load_wide(offset(z, 3 * v), z_stride, n)
    c_new, h_new = cell(z_i, z_f, z_g, z_o, load_wide(c, c_stride, n))
    store_wide(c, c_stride, n, c_new)
    store_wide(h, h_stride, n, h_new)


@apart
def _row_groups(
    w: Any, w_block: int, start: Any, start_block: int, x: Any, n_k: int, plus: Any,
    plus_block: int, out: Any, n_blocks: int, backwards: int,
) -> None:  # fmt: skip
    """Write ``plus + (start + w x)`` for one row, some blocks after the others."""
    out_block = 4 * lanes(x)
    n_groups = (n_blocks + ROW_BLOCKS - 1) // ROW_BLOCKS
    block, step = 0, ROW_BLOCKS
    if backwards:
        block, step = (n_groups - 1) * ROW_BLOCKS, -ROW_BLOCKS
    for _ in range(n_groups):
        row_sums(
            offset(w, block * w_block), w_block, offset(start, block * start_block), start_block,
            x, 0, n_k, offset(plus, block * plus_block), 0, plus_block,
            offset(out, block * out_block), 0, min(ROW_BLOCKS, n_blocks - block),
        )  # fmt: skip
        block += step


@apart
def row_inputs(plan: Any, n: int, x: Any, plus: Any, out: Any, backwards: int) -> None:
    """Write ``plus + (b + w_ih x)`` of layer `n` for one row.

    Parameters
    ----------
    plan, n
        The network, and which layer.
    x
        (I,)
    plus
        What is added, [block][gate][V], or the network's zeros.
    out
        [block][gate][V]; may be `plus`.
    backwards : int
        Take the blocks in descending order. What was read last is still in the cache, and a run
        that turns round each time reads it first. It changes no sum.
    """
    v = lanes(x)
    bias = offset(pointer_like(x, plan[at.ARENA]), column(plan, n, at.B_AT))
    w_at, n_in = column(plan, n, at.W_AT), column(plan, n, at.N_IN)
    _row_sums(plan, n, w_at, bias, 4 * v, x, n_in, plus, out, backwards)


@apart
def row_hidden(plan: Any, n: int, h: Any, plus: Any, out: Any, backwards: int) -> None:
    """Write ``plus + (0 + w_hh h)`` of layer `n` for one row; see `row_inputs`."""
    v = lanes(h)
    w_at, n_units = column(plan, n, at.W_AT) + to_hidden(plan, n, v), column(plan, n, at.N_UNITS)
    zeros = pointer_like(h, plan[at.ARENA])
    _row_sums(plan, n, w_at, zeros, v - v, h, n_units, plus, out, backwards)


@kernel
def _row_sums(
    plan: Any, n: int, w_at: int, start: Any, start_block: int, x: Any, n_k: int, plus: Any,
    out: Any, backwards: int,
) -> None:  # fmt: skip
    v = lanes(x)
    plus_block = 4 * v if address_of(plus) != plan[at.ARENA] else 0
    w_block, n_blocks = block_stride(plan, n, v), column(plan, n, at.N_PADDED) // v
    if plan[at.IS_PAIRS]:
        _row_groups(
            offset(words_at(plan[at.WEIGHTS]), w_at), w_block, start, start_block, x, n_k,
            plus, plus_block, out, n_blocks, backwards,
        )  # fmt: skip
    else:
        _row_groups(
            offset(pointer_like(x, plan[at.WEIGHTS]), w_at), w_block, start, start_block, x, n_k,
            plus, plus_block, out, n_blocks, backwards,
        )  # fmt: skip


@kernel
def row_cells(z: Any, c: Any, h: Any, n_padded: int) -> None:
    """Update one row of cells; `h` gets the hidden vector."""
    v = lanes(z)
    n_blocks = n_padded // v
    for block in range(0, n_blocks, TILE_ROWS):
        given = min(TILE_ROWS, n_blocks - block)
        at_z, at_c = offset(z, block * 4 * v), offset(c, block * v)
        cells(at_z, 4 * v, at_c, v, offset(h, block * v), v, given)


@kernel
def width(plan: Any) -> int:
    """Return the size of the widest padded hidden vector."""
    widest = 0
    for n in range(plan[at.N_LAYERS]):
        widest = max(widest, column(plan, n, at.N_PADDED))
    return widest


@apart
def head(plan: Any, h: Any, h_row: int, n_rows: int, scratch: Any, logits: Any) -> None:
    """Write ``b_out + w_out h`` for some rows.

    Parameters
    ----------
    h, h_row
        The last hidden vector of the first row, and the way to the next.
    scratch
        ``HEAD_ROWS * V`` numbers, overwritten.
    logits
        (n_rows, C)
    """
    last, v = plan[at.N_LAYERS], lanes(h)
    arena = pointer_like(h, plan[at.ARENA])
    n_units, n_classes = column(plan, last, at.N_IN), column(plan, last, at.N_UNITS)
    for r in range(0, n_rows, HEAD_ROWS):
        given = min(HEAD_ROWS, n_rows - r)
        for c in range(0, n_classes, v):
            w = offset(arena, column(plan, last, at.W_AT) + c * n_units)
            bias, x = offset(arena, column(plan, last, at.B_AT) + c), offset(h, r * h_row)
            if given == 1:
                head_row_sums(w, 0, bias, 0, x, h_row, n_units, 0, 0, 0, scratch, v, given)
            else:
                head_sums(w, 0, bias, 0, x, h_row, n_units, 0, 0, 0, scratch, v, given)
            for row in range(given):
                to = (r + row) * n_classes + c
                # A whole vector may reach into the next row, which is written after this one.
                spills = n_classes < v and to + v <= n_rows * n_classes
                if c + v <= n_classes or spills:
                    store(logits, to, load(scratch, row * v))
                else:
                    for k in range(n_classes - c):
                        logits[to + k] = scratch[row * v + k]
