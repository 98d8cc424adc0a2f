"""The kernels of a forward pass, and how each is launched. Addresses are plain integers, 0 none."""

from __future__ import annotations

from functools import cache

from streamrnn.kernels.cuda.device import Device
from streamrnn.kernels.cuda.exact.tiling import MOST_THREADS, ROWS, Tiling
from streamrnn.kernels.cuda.kernel import Kernel

_CODE = "streamrnn.kernels.cuda.code"
_PRODUCT_THREADS, _SIMPLE_THREADS = 256, 256
#: Rows and k of a tile of `product`, by its columns.
PRODUCT_TILES = {64: (128, 16), 16: (256, 8)}
_MOST_SIMPLE_BLOCKS = 4096


@cache
def lstm_kernel(rows: int, *, projected: bool, taped: bool) -> Kernel:
    """Return the kernel of one layer.

    Parameters
    ----------
    rows : {1, 2, 4, 8}
        Rows a thread.
    projected : bool
        The inputs' sums are given, biases included; else the inputs.
    taped : bool
        Write what the way back needs.
    """
    return Kernel(
        "lstm",
        f"{_CODE}.lstm",
        "make",
        "f4* f4* f4* f4* f4* u4 f4* f4* f4* i4* i4* i4 u4 i4 u4 u4 u4 u4 u4",
        (("rows", rows), ("projected", int(projected)), ("taped", int(taped))),
        max_threads=MOST_THREADS[rows],
    )


@cache
def product_kernel(columns: int) -> Kernel:
    """Return the kernel of a product of matrices, in tiles of so many columns."""
    rows, depth = PRODUCT_TILES[columns]
    return Kernel(
        "product",
        f"{_CODE}.products",
        "make_product",
        "f4* f4* f4* f4* f4* f4* i4* i4 u4 u4 u4 u4 u4 u4 u4",
        (("columns", columns), ("rows", rows), ("depth", depth)),
        max_threads=_PRODUCT_THREADS,
        min_blocks=2,
    )


GATHER = Kernel("gather", f"{_CODE}.products", "make_gather", "f4* f4* i4* u4")
MOVE_ROWS = Kernel(
    "move_rows", f"{_CODE}.products", "make_move_rows", "f4* f4* i4* i4* u4 u4 u4 u4"
)


def kernels(*, training: bool = False) -> list[Kernel]:
    """Return every kernel of a forward pass, in every form that can be asked for."""
    tapes = (False, True) if training else (False,)
    return [
        *(
            lstm_kernel(rows, projected=projected, taped=taped)
            for rows in ROWS
            for projected in (False, True)
            for taped in tapes
        ),
        *(product_kernel(columns) for columns in PRODUCT_TILES),
        GATHER,
        MOVE_ROWS,
    ]


def lstm(
    device: Device,
    tiling: Tiling,
    *,
    projected: bool,
    taped: bool,
    n_steps: int,
    n_rows: int,
    n_in: int,
    n_units: int,
    n_padded: int,
    x: int,
    w: int,
    bias: int,
    h: int,
    c: int,
    state_stride: int,
    hs: int,
    cs: int = 0,
    es: int = 0,
    ends: int = 0,
    index: int = 0,
    t_from: int = 0,
) -> None:
    """Run one layer.

    Parameters
    ----------
    device, tiling
        See `make_tiling`.
    projected, taped
        See `lstm_kernel`.
    n_steps, n_rows, n_in, n_units, n_padded : int
        T, B, I, H, and H in whole warps.
    x : (T, B, I), or (T, B, 4 H) packed columns if `projected`
    w, bias
        Of the layer, packed.
    h, c : (any, state_stride)
        State; overwritten with that at each row's end.
    hs : (T, B, H), or (T + 1, B, H) if `taped`
        Hidden vectors, behind the start state if `taped`; undefined behind a row's end.
    cs, es : (T + 1, B, H), (T, B, H, 4)
        See `LayerTape`; only if `taped`. May lie where `x` does if `projected`.
    ends : int32 (B,), or 0
        Each row's number of steps, counted from `t_from` steps before the first.
    index : int32 (B,), or 0
        Which row of `h` and `c` each row is; no two the same.
    """
    behind = 4 * n_rows * n_units if taped else 0  # what the first step gives stands there
    device.launch(
        lstm_kernel(tiling.rows, projected=projected, taped=taped),
        (tiling.n_blocks, 1),
        tiling.groups * n_padded,
        (
            x, w, bias, h, c, state_stride, hs + behind, cs + behind, es, ends, index, n_steps,
            n_rows, t_from, n_in, n_units, n_padded, tiling.n_x_shared, tiling.n_h_shared,
        ),
        tiling.shared_bytes,
    )  # fmt: skip


def product(
    device: Device,
    *,
    out: int,
    a: int,
    w: int,
    shape: tuple[int, int, int],
    strides: tuple[int, int, int],
    start: int = 0,
    mask: int = 0,
    out_mask: int = 0,
    ends: int = 0,
    n_batch: int = 1,
    t_from: int = 0,
) -> None:
    """Set ``out[n, m] = start[m] + sum over k, ascending, of a[n, k] * w[k, m]``.

    Each is one chain of fused multiply-adds, whatever the shape.

    Parameters
    ----------
    device : Device
    out : (N, M)
    a : (N, K)
    w : (K, M)
        Packed: `strides[2]` a multiple of 4 and at least M.
    shape : (int, int, int)
        N, M, K.
    strides : (int, int, int)
        From row to row of `out`, `a` and `w`.
    start : (M,), or 0 for zeros
        Padded to a multiple of 4.
    mask : (B, K), or 0
        Factors on the numbers of `a`; row n has those of ``n % B``.
    out_mask : (B, M), or 0
        Factors on the results, in the same way.
    ends : int32 (B,), or 0
        Rows with ``n // B + t_from >= ends[n % B]`` give 0, whatever stands in `a`.
    n_batch : int
        B.
    t_from : int
    """
    n, m, k = shape
    columns = min((c for c in PRODUCT_TILES if c >= m), default=max(PRODUCT_TILES))
    rows, depth = PRODUCT_TILES[columns]
    floats = 2 * depth * (rows + 4 + columns)
    device.launch(
        product_kernel(columns),
        (-(-n // rows), -(-m // columns)),
        _PRODUCT_THREADS,
        (out, a, w, start, mask, out_mask, ends, t_from, n_batch, n, m, k, *strides),
        4 * floats,
    )


def gather(device: Device, to: int, source: int, which: int, n: int) -> None:
    """Set ``to[i] = source[which[i]]`` for n numbers, and 0 where ``which[i]`` is negative."""
    device.launch(GATHER, (_blocks(n), 1), _SIMPLE_THREADS, (to, source, which, n))


def move_rows(
    device: Device,
    to: int,
    source: int,
    *,
    n_rows: int,
    width: int,
    strides: tuple[int, int],
    to_rows: int = 0,
    source_rows: int = 0,
) -> None:
    """Copy rows of `width` numbers from `source`, or zeros if that is 0, to `to`.

    Parameters
    ----------
    device : Device
    to, source : float32 arrays
    n_rows, width : int
    strides : (int, int)
        From row to row of `to` and of `source`.
    to_rows, source_rows : int32 (n_rows,), or 0
        Which rows; 0 for the first ones. No row of `to` is named twice.
    """
    n_blocks = _blocks(n_rows * width)
    arguments = (to, source, to_rows, source_rows, n_rows, width, *strides)
    device.launch(MOVE_ROWS, (n_blocks, 1), _SIMPLE_THREADS, arguments)


def _blocks(n: int) -> int:
    return min(-(-n // _SIMPLE_THREADS), _MOST_SIMPLE_BLOCKS)
