"""How the way back is cut for a device. As in tiling.py, nothing of this changes a result.

`bptt` reads 16 bytes of weights and 4 of dz a row for each source unit, and does 4 multiply-adds a
row, as `lstm` does for each k, so the counts of `tiling.cycles` are its own too. Its dz take four
times the shared memory of h, though, for which weights have to leave: groups and rows are weighed
together. To take a row's cell back costs a thread some `CELL` instructions, and a step some
`WAIT_CYCLES` that only other groups can fill.

`outer` has partial sums, whose number is part of the result: the sizes of the layer decide it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from streamrnn.kernels.cuda.exact.layout import WARP, LayerLayout, fours
from streamrnn.kernels.cuda.exact.tiling import N_BARRIERS, Tiling, cycles

_FLOAT_BYTES = 4
#: Most threads a block of `bptt`, by its rows a thread: what its registers leave room for.
BPTT_THREADS = {2: 512, 4: 512, 8: 256}
#: Instructions a row, step and thread beside the sums (as compiled), and what a step waits for.
CELL, WAIT_CYCLES = 130, 500
_PARTS = 4
#: `outer`: columns a thread of the right operand, rows of a slice, and the left operand's tile.
OUTER_COLUMNS, HEAD_COLUMNS = (1, 3, 5, 7, 9), (1, 3)
OUTER_ROWS, OUTER_LEFT = 16, 128
#: Blocks of `outer` that are enough for any device, and most partial sums.
MOST_TILES, MOST_PARTIALS = 256, 128


def dz_stride(rows: int) -> int:
    """Return how many floats units are apart in shared dz.

    With the padding, 8 lanes that store 16 bytes each reach all 32 banks: stores do not collide.
    """
    return 4 * rows + 4


@lru_cache(maxsize=64)
def make_back_tiling(
    layer: LayerLayout, n_rows: int, *, n_multiprocessors: int, shared_bytes: int
) -> Tiling:
    """Return how `bptt` is launched for B rows: what takes the fewest cycles by counting.

    Parameters
    ----------
    layer : LayerLayout
    n_rows : int
        B, at least 1.
    n_multiprocessors, shared_bytes : int
        The device's.
    """
    line_bytes, n_sources = layer.w_stride * _FLOAT_BYTES, fours(layer.n_units)
    n_warps = layer.n_padded // WARP

    def made(rows: int, groups: int) -> Tiling:
        held = groups * 2 * layer.n_padded * dz_stride(rows) * _FLOAT_BYTES
        n_kept = max(0, min(n_sources, (shared_bytes - held) // line_bytes // 4 * 4))
        n_blocks = min(-(-n_rows // (rows * groups)), n_multiprocessors)
        return Tiling(rows, groups, n_blocks, 0, n_kept, n_kept * line_bytes + held)

    def cost(tiling: Tiling) -> float:
        n_turns = -(-n_rows // (tiling.rows * tiling.groups * tiling.n_blocks))
        far = 1.0 - tiling.n_h_shared / n_sources
        sums = n_sources * cycles(tiling.rows, tiling.groups, n_warps, far)
        cells = -(-tiling.groups * n_warps // _PARTS) * CELL * tiling.rows
        return n_turns * (sums + cells + WAIT_CYCLES)

    tilings = (
        made(rows, groups)
        for rows, most in BPTT_THREADS.items()
        for groups in range(1, min(most // layer.n_padded, N_BARRIERS) + 1)
    )
    return min((t for t in tilings if t.shared_bytes <= shared_bytes), key=cost)


@dataclass(frozen=True)
class OuterTiling:
    """How the gradients of a layer's or the head's weights are summed.

    Attributes
    ----------
    columns : int
        Of the right operand, a thread.
    n_tiles : int
    n_partials : int
        P; depends on the layer's sizes alone.
    n_segment : int
        Weights and biases.
    """

    columns: int
    n_tiles: int
    n_partials: int
    n_segment: int

    def n_used(self, n_all: int) -> int:
        """Return how many partial sums N rows have; the others are 0, and never made."""
        return min(self.n_partials, -(-n_all // OUTER_ROWS))


def make_outer_tiling(n_left: int, n_right: int, *, head: bool) -> OuterTiling:
    """Return how products of `n_left` times `n_right` are summed.

    For one row, a thread has ``8 * columns`` multiply-adds and about as much else to do as three
    columns more would take: few wide tiles are best, if they are full.
    """

    def cost(columns: int) -> int:
        return -(-n_right // (16 * columns)) * (columns + 3)

    columns = min(HEAD_COLUMNS if head else OUTER_COLUMNS, key=cost)
    n_tiles = -(-n_left // OUTER_LEFT) * -(-n_right // (16 * columns))
    n_partials = max(1, min(MOST_PARTIALS, MOST_TILES // n_tiles))
    n_segment = n_left * n_right + (n_right if head else n_left)
    return OuterTiling(columns, n_tiles, n_partials, n_segment)
