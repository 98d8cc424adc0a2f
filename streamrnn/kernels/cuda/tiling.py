"""How a layer's work is cut for a device: rows a thread, groups a block, weights in shared memory.

Nothing of this changes a result: each row's sums are the same whatever stands beside it.

For each k, a group of threads (one a hidden unit, so ``n_padded / 32`` warps) reads 16 bytes of
weights a thread, which take a warp 4 passes through shared memory, 4 bytes a row of h, which all
threads share (one pass for 4 rows), and does 4 multiply-adds a row. A multiprocessor does one pass
a cycle, and in each of its four parts one instruction a cycle. So a cycle's work of one row at a
time is done at a quarter of the speed, of 4 rows at 4/5, of 8 rows at the full one: the more rows
a thread has the better, once there is at least one group for every multiprocessor. But few groups
with many rows leave parts of the multiprocessor idle, and each step takes longer. `choose_rows`
weighs that by counting.

Weights stay in shared memory for all steps and all groups of a block, as many as fit, and the rest
is read from the second-level cache at every step, at about 40 bytes a cycle. One block with many
groups is better than many blocks, as each would have its own copy of the weights: with
H = 64 they take 70 KB. So a block gets as many groups as there are for its multiprocessor, up to
512 threads, which is enough to hide what a group waits for (its barrier, its cells): then
another one's sums are run. Where each weight is used once only, one step of one tile, copying it
first would only cost time.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamrnn.kernels.cuda.layout import WARP, LayerLayout, fours

#: Rows that a thread can have.
ROWS = (1, 2, 4, 8)
#: Inputs of the next step that a thread can hold for each row that it has, and at most.
MOST_SLOTS = 4
#: Most threads a block, and barriers that it has for its groups.
MOST_THREADS = {1: 512, 2: 512, 4: 512, 8: 384}
N_BARRIERS = 16
_FLOAT_BYTES = 4
_PARTS = 4
#: Bytes a cycle that a multiprocessor gets from the second-level cache when all ask for them.
_FAR_BYTES = 40
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


def choose_rows(n_rows: int, n_in: int, n_padded: int, n_multiprocessors: int, far: float) -> int:
    """Return how many rows a thread shall have: what takes the fewest cycles, then the fewest.

    Parameters
    ----------
    n_rows : int
        B.
    n_in : int
        Inputs that the kernel sums itself; at most `n_padded`.
    n_padded : int
        H in whole warps.
    n_multiprocessors : int
    far : float
        See `cycles`.
    """

    def cost(rows: int) -> float:
        n_groups = -(-n_rows // (rows * n_multiprocessors))
        return cycles(rows, n_groups, n_padded // WARP, far)

    fitting = [r for r in ROWS if r * n_in <= min(r, MOST_SLOTS) * n_padded]
    return min(fitting, key=cost)


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
    w_bytes = layer.w_stride * _FLOAT_BYTES
    n_k = n_in + layer.n_units
    far = 1.0 - min(1.0, shared_bytes / (n_k * w_bytes))
    rows = choose_rows(n_rows, n_in, layer.n_padded, n_multiprocessors, far)
    n_tiles = -(-n_rows // rows)
    most = min(MOST_THREADS[rows] // layer.n_padded, N_BARRIERS)
    held = 2 * rows * (layer.n_padded + fours(n_in)) * _FLOAT_BYTES
    groups = max(1, min(most, -(-n_tiles // n_multiprocessors), shared_bytes // held))
    n_blocks = min(-(-n_tiles // groups), n_multiprocessors)
    room = (shared_bytes - groups * held) // w_bytes
    if n_steps * -(-n_tiles // n_blocks) == 1:
        room = 0
    n_x_shared = n_in if room >= n_in else room // 4 * 4
    left = room - n_x_shared if n_x_shared == n_in else 0
    n_h_shared = layer.n_units if left >= layer.n_units else left // 4 * 4
    size = (n_x_shared + n_h_shared) * w_bytes + groups * held
    return Tiling(rows, groups, n_blocks, n_x_shared, n_h_shared, size)
