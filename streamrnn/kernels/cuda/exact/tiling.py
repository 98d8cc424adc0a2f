"""How a layer's work is cut for a device: rows a thread, groups a block, weights in shared memory.

Nothing of this changes a result: each row's sums are the same whatever stands beside it.

For each k, a group of threads (one a hidden unit, so ``n_padded / 32`` warps) reads 16 bytes of
weights a thread, which take a warp 4 passes through shared memory, and 4 bytes of h a row, which
all threads share: a pass for 4 rows. Then it does 4 multiply-adds a row. A multiprocessor does one
pass a cycle, and an instruction a cycle in each of its four parts. So with one row a thread the
passes take 4 times as long as the multiply-adds, with 4 rows 5/4, with 8 rows 3/4: the more rows
the better. But rows are shared out between all multiprocessors first, one group of few warps does
not fill all parts of one, and a step takes the longer the more rows a thread has. `make_tiling`
counts the cycles of each way, and takes the one with the fewest.

Weights stay in shared memory for all steps, as many as fit; the rest is read again at each step
from the second-level cache, which is some 3 times slower. That is why there is one block a
multiprocessor, with as many groups as there are rows for: several blocks would each have a copy of
the weights (70 KB for H = 64 and I = 6), so fewer would fit, and nothing would be gained, for
groups do not wait for one another: while one is at its barrier or its cells, others sum. A block
has 512 threads at most, each with 128 registers, or 384 with 168 where 8 rows ask for that; more
tiles than groups are done one after the other. Weights that would be used once only are not copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from streamrnn.kernels.cuda.exact.layout import WARP, LayerLayout, fours

#: Rows that a thread can have.
ROWS = (1, 2, 4, 8)
#: Inputs of the next step that a thread can hold: one for each row that it has, and at most this.
MOST_SLOTS = 4
#: Most threads a block by the rows of each, and barriers that it has for its groups.
MOST_THREADS = {1: 512, 2: 512, 4: 512, 8: 384}
N_BARRIERS = 16
_FLOAT_BYTES = 4
_PARTS = 4
#: Bytes a cycle that a multiprocessor gets from the second-level cache when all ask for them.
_FAR_BYTES = 40
#: Instructions of a thread for each row's cell, as compiled, and cycles that a step waits for
#: loads, divisions and its barrier.
CELL, WAIT_CYCLES = 120, 500
#: Inputs up to here are summed together with h, in one kernel; see `is_fused`.
MOST_FUSED = 32


@dataclass(frozen=True)
class Tiling:
    """How a layer is launched.

    Attributes
    ----------
    rows : int
        Rows a thread.
    groups : int
        Groups a block, each of as many threads as the layer has units, padding included.
    n_blocks : int
    n_x_shared, n_h_shared : int
        k of the input and of the recurrent weights that stay in shared memory: all, or a multiple
        of 4.
    shared_bytes : int
        Shared memory a block.
    """

    rows: int
    groups: int
    n_blocks: int
    n_x_shared: int
    n_h_shared: int
    shared_bytes: int


def is_fused(layer: LayerLayout, n_steps: int) -> bool:
    """Return whether the layer's kernel sums the inputs itself.

    Else `product` does before, for all steps at once, which costs writing and reading 16 bytes a
    unit and step. For one step it is one launch less.
    """
    return layer.n_in <= (layer.n_padded if n_steps == 1 else MOST_FUSED)


def cycles(rows: int, n_groups: int, n_warps: int, far: float) -> float:
    """Return how many cycles one k takes a multiprocessor, about.

    Parameters
    ----------
    rows : int
        Rows a thread.
    n_groups : int
        Groups on the multiprocessor.
    n_warps : int
        Warps a group.
    far : float
        Share of the weights that is not in shared memory.
    """
    all_warps = n_groups * n_warps
    instructions = -(-all_warps // _PARTS) * (4 * rows + 1 + rows / 4)
    passes = all_warps * (4 * (1 - far) + rows / 4)
    far_reads = all_warps * far * WARP * 16 / _FAR_BYTES
    return max(instructions, passes, far_reads)


def step_cycles(rows: int, n_groups: int, n_warps: int, n_k: int, far: float) -> float:
    """Return how many cycles a step of all groups takes, about.

    While one group waits, others work: the more there are, the less time is lost.

    Parameters
    ----------
    rows, n_groups, n_warps, far
        As of `cycles`.
    n_k : int
        Inputs and hidden units whose products are summed.
    """
    cells = -(-n_groups * n_warps // _PARTS) * CELL * rows
    together = n_k * cycles(rows, n_groups, n_warps, far) + cells + WAIT_CYCLES / n_groups
    alone = n_k * (4 * rows + 1 + rows / 4) + CELL * rows + WAIT_CYCLES
    return max(together, alone)


@lru_cache(maxsize=64)
def make_tiling(
    layer: LayerLayout,
    n_steps: int,
    n_rows: int,
    *,
    fused: bool,
    n_multiprocessors: int,
    shared_bytes: int,
) -> Tiling:
    """Return how a layer is launched for T steps of B rows.

    Parameters
    ----------
    layer : LayerLayout
    n_steps, n_rows : int
        T and B, at least 1.
    fused : bool
        See `is_fused`.
    n_multiprocessors, shared_bytes : int
        The device's.
    """
    n_in = layer.n_in if fused else 0
    w_bytes, n_warps = layer.w_stride * _FLOAT_BYTES, layer.n_padded // WARP
    n_k = n_in + layer.n_units

    def made(rows: int, groups: int, *, keep: bool) -> Tiling:
        held = groups * 2 * rows * (layer.n_padded + fours(n_in)) * _FLOAT_BYTES
        room = (shared_bytes - held) // w_bytes if keep else 0
        n_x_shared = n_in if room >= n_in else max(0, room) // 4 * 4
        room = room - n_in if n_x_shared == n_in else 0
        n_h_shared = layer.n_units if room >= layer.n_units else max(0, room) // 4 * 4
        n_blocks = min(n_multiprocessors, -(-n_rows // (rows * groups)))
        size = (n_x_shared + n_h_shared) * w_bytes + held
        return Tiling(rows, groups, n_blocks, n_x_shared, n_h_shared, size)

    def cost(tiling: Tiling) -> float:
        n_rounds = -(-n_rows // (tiling.rows * tiling.groups * n_multiprocessors))
        n_kept = tiling.n_x_shared + tiling.n_h_shared
        far = 1.0 - n_kept / n_k
        step = step_cycles(tiling.rows, tiling.groups, n_warps, n_k, far)
        return n_rounds * n_steps * step + n_kept * w_bytes / _FAR_BYTES

    ways = [
        made(rows, groups, keep=keep)
        for rows in ROWS
        if rows * n_in <= min(rows, MOST_SLOTS) * layer.n_padded
        for groups in range(1, min(MOST_THREADS[rows] // layer.n_padded, N_BARRIERS) + 1)
        for keep in (True, False)
    ]
    return min((way for way in ways if way.shared_bytes <= shared_bytes), key=cost)
