"""The kernels of the way back and of an update, and how each is launched.

Addresses are plain integers, 0 none. Nothing here chooses bits: sums have an order of their own
whatever the launch looks like, which the sizes of a network alone decide.
"""

from __future__ import annotations

from streamrnn.kernels.cuda.device import Device
from streamrnn.kernels.cuda.exact.back_tiling import (
    BPTT_THREADS,
    HEAD_COLUMNS,
    OUTER_COLUMNS,
    OUTER_LEFT,
    OUTER_ROWS,
    OuterTiling,
    dz_stride,
)
from streamrnn.kernels.cuda.exact.layout import LayerLayout
from streamrnn.kernels.cuda.exact.tiling import Tiling
from streamrnn.kernels.cuda.kernel import Kernel

_CODE = "streamrnn.kernels.cuda.code"
_FLOAT_BYTES = 4
_OUTER_THREADS = 256
_THREADS = 256
#: Blocks of `norm`.
NORM_BLOCKS = 64


def bptt_kernel(rows: int) -> Kernel:
    """Return the kernel that takes a layer back, for 2, 4 or 8 rows a thread."""
    return Kernel(
        "bptt",
        f"{_CODE}.bptt",
        "make_bptt",
        "f4* f4* f4* f4* f4* i4* f4* f4* f4* u4 u4 u4 u4 u4 u4",
        (("rows", rows), ("stride", dz_stride(rows))),
        max_threads=BPTT_THREADS[rows],
    )


def outer_kernel(columns: int, *, head: bool) -> Kernel:
    """Return the kernel of weights' gradients, for so many columns of the right operand a thread.

    Parameters
    ----------
    columns : int
    head : bool
        For the head; else for a layer.
    """
    return Kernel(
        "outer",
        f"{_CODE}.outer",
        "make_outer",
        "f4* f4* f4* f4* i4* f4* u4 u4 u4 u4 u4 u4",
        (("columns", columns), ("rows", OUTER_ROWS), ("head", int(head))),
        max_threads=_OUTER_THREADS,
        min_blocks=2 if columns <= 5 else 1,
    )


REDUCE = Kernel("reduce", f"{_CODE}.outer", "make_reduce", "f4* f4* u4 u4", (("batch", 4),))
LOSS = Kernel(
    "loss",
    f"{_CODE}.update",
    "make_loss",
    "f4* i8* f4* f4* i4* f4* f4* u4 u4 u4 f4 f4 f4",
    (("threads", _THREADS),),
)
NORM = Kernel(
    "norm",
    f"{_CODE}.update",
    "make_norm",
    "f4* f4* u4",
    (("threads", _THREADS), ("blocks", NORM_BLOCKS)),
)
ADAM = Kernel(
    "adam",
    f"{_CODE}.update",
    "make_adam",
    "f4* f4* f4* f4* i4* f4* f4* u4 f4 f4 f4 f4 f4 f4 f4 f4 f4",
    (("threads", _THREADS), ("blocks", NORM_BLOCKS)),
)


def kernels() -> list[Kernel]:
    """Return every kernel of the way back and of an update, in every form."""
    return [
        *(bptt_kernel(rows) for rows in BPTT_THREADS),
        *(outer_kernel(columns, head=False) for columns in OUTER_COLUMNS),
        *(outer_kernel(columns, head=True) for columns in HEAD_COLUMNS),
        REDUCE,
        LOSS,
        NORM,
        ADAM,
    ]


# ---- back through time


def bptt(
    device: Device,
    tiling: Tiling,
    layer: LayerLayout,
    *,
    n_steps: int,
    n_rows: int,
    es: int,
    cs: int,
    hs: int,
    d_y: int,
    w_back: int,
    d_h: int,
    d_c: int,
    state_stride: int,
    dz: int,
    ends: int = 0,
) -> None:
    """Take one layer back through all steps.

    Parameters
    ----------
    device, tiling, layer
        See `make_back_tiling`.
    n_steps, n_rows : int
        T and B.
    es : (T, B, H, 4)
    cs, hs : (T + 1, B, H)
        See `network.LayerTape`.
    d_y : (T, B, H)
        Gradients at the hidden vectors from above; not read behind a row's end.
    w_back
        Of the layer, packed.
    d_h, d_c : (B, state_stride)
        Gradients at the end state; overwritten by those at the start state.
    dz : (T, B, H, 4)
        Gradients at the pre-activations, gates i, f, g, o; written up to each row's end. May be
        `es`.
    ends : int32 (B,), or 0
        Steps of each row.
    """
    device.launch(
        bptt_kernel(tiling.rows),
        (tiling.n_blocks, 1),
        tiling.groups * layer.n_padded,
        (
            es, cs, hs, d_y, w_back, ends, d_h, d_c, dz, state_stride, n_steps, n_rows,
            layer.n_units, layer.n_padded, tiling.n_h_shared,
        ),
        tiling.shared_bytes,
    )  # fmt: skip


# ---- gradients of weights


def outer(
    device: Device,
    tiling: OuterTiling,
    *,
    head: bool,
    left: int,
    first: int,
    partials: int,
    n_all: int,
    n_rows: int,
    n_left: int,
    n_first: int,
    second: int = 0,
    n_second: int = 0,
    mask: int = 0,
    ends: int = 0,
) -> None:
    """Write partial sums of gradients.

    Parameters
    ----------
    device, tiling
        See `make_outer_tiling`.
    head : bool
        For the head: left are hidden vectors, right the gradients at the logits. Else for a layer:
        left is dz, right are its inputs and the hidden vectors before.
    left : (N, n_left)
    first : (N, n_first)
        The right operand, or its first columns.
    second : (N, n_second), or 0
        Its other columns, of a layer.
    mask : (B, n_left), or 0
        Factors on hidden vectors, for the head.
    ends : int32 (B,), or 0
        Rows behind are left out, whatever stands there.
    partials : (P, n_segment)
        Gradients of the weights, then of the biases, in plain order; the first `tiling.n_used(N)`
        are written.
    n_all, n_rows : int
        N = T B, and B.
    """
    device.launch(
        outer_kernel(tiling.columns, head=head),
        (tiling.n_tiles, tiling.n_used(n_all)),
        _OUTER_THREADS,
        (
            left, mask, first, second, ends, partials, n_all, n_rows, n_left, n_first, n_second,
            tiling.n_partials,
        ),
        2 * OUTER_ROWS * (OUTER_LEFT + 16 * tiling.columns) * _FLOAT_BYTES,
    )  # fmt: skip


def reduce(device: Device, partials: int, sums: int, n_partials: int, n: int) -> None:
    """Add `n_partials` rows of n numbers, in order, to `sums`."""
    device.launch(REDUCE, (-(-n // _THREADS), 1), _THREADS, (partials, sums, n_partials, n))


# ---- an update's ends


def loss_blocks(n_all: int) -> int:
    """Return how many sums `loss` leaves for N rows."""
    return -(-n_all // _THREADS)


def loss(
    device: Device,
    *,
    logits: int,
    targets: int,
    weights: int,
    class_weights: int,
    d_logits: int,
    sums: int,
    n_all: int,
    n_rows: int,
    n_classes: int,
    scale: float,
    smoothing: float,
    ends: int = 0,
) -> None:
    """Write the gradient at the logits, 0 where there is no weight, and the loss in parts.

    Parameters
    ----------
    device : Device
    logits, d_logits : (N, C)
    targets : int64 (N,)
    weights : (N,)
    class_weights : (C,)
    sums : (loss_blocks(N),)
    n_all, n_rows, n_classes : int
        N = T B, B and C.
    scale : float
        1 / the sum of all weights; 0 if they are none.
    smoothing : float
    ends : int32 (B,), or 0
    """
    device.launch(
        LOSS,
        (loss_blocks(n_all), 1),
        _THREADS,
        (
            logits, targets, weights, class_weights, ends, d_logits, sums, n_all, n_rows,
            n_classes, scale, 1.0 - smoothing, smoothing / n_classes,
        ),
        _THREADS * _FLOAT_BYTES,
    )  # fmt: skip


def norm(device: Device, grads: int, sums: int, n: int) -> None:
    """Write sums of squares, (NORM_BLOCKS, 3), of n gradients: of small, other and large ones."""
    device.launch(NORM, (NORM_BLOCKS, 1), _THREADS, (grads, sums, n), _THREADS * _FLOAT_BYTES)


def adam(
    device: Device,
    *,
    p: int,
    g: int,
    m: int,
    v: int,
    is_matrix: int,
    sums: int,
    norm: int,
    n: int,
    clip: float,
    constants: tuple[float, ...],
) -> None:
    """Move n weights by clipped Adam, unless the norm is not finite.

    Parameters
    ----------
    device : Device
    p, g, m, v : (n,)
        Weights, gradients and both moments.
    is_matrix : int32 (n,)
        1 where a weight decays.
    sums : (NORM_BLOCKS, 3)
        What `norm` left.
    norm : (1,)
        Overwritten by the gradients' norm.
    n : int
    clip : float
        Largest norm; 0: none.
    constants : tuple
        beta1, beta2, 1 - beta1, 1 - beta2, rate, root, eps and shrink (see `rnn.learn`).
    """
    device.launch(
        ADAM,
        (-(-n // _THREADS), 1),
        _THREADS,
        (p, g, m, v, is_matrix, sums, norm, n, clip, *constants),
        _THREADS * _FLOAT_BYTES,
    )
