"""The kernels of ticks on tensor cores, and how each is launched. Addresses are plain integers."""

from __future__ import annotations

from streamrnn.kernels.cuda.device import Device
from streamrnn.kernels.cuda.kernel import Kernel
from streamrnn.kernels.cuda.tensor import INPUT_TILES, MOST_TILES, MOST_UNITS, TensorLayer
from streamrnn.kernels.cuda.tensor_layout import ROWS, TILE, WARP, n_tiles, tick_shared_bytes

_CODE = "streamrnn.kernels.cuda.code.tensor_tick"
_THREADS = 128
#: Registers of a multiprocessor; those of a thread that are no weights; most blocks.
_REGISTERS, _OTHER_REGISTERS, _MOST_BLOCKS = 65536, 80, 16


def tick_kernel(hidden_tiles: int, input_tiles: int, *, stacked: bool, chosen: bool) -> Kernel:
    """Return the kernel of one layer.

    Parameters
    ----------
    hidden_tiles, input_tiles : int
        H / 16 and I / 16, rounded up.
    stacked : bool
        The inputs are the states h of the layer below, else rows of float32.
    chosen : bool
        Only some of the streams, else all.
    """
    options = {
        "hidden_tiles": hidden_tiles,
        "input_tiles": input_tiles,
        "stacked": int(stacked),
        "chosen": int(chosen),
    }
    n_threads = WARP * hidden_tiles
    registers = 16 * (hidden_tiles + input_tiles) + _OTHER_REGISTERS
    return Kernel(
        "tensor_tick",
        _CODE,
        "make_tick",
        f"{'u4' if stacked else 'f4'}* u4* f4* u4* f4* i4* i4* i4 i4 i4",
        tuple(options.items()),
        max_threads=n_threads,
        min_blocks=max(1, min(_MOST_BLOCKS, _REGISTERS // (n_threads * registers))),
    )


def head_kernel(n_classes: int) -> Kernel:
    """Return the kernel of the head for so many classes."""
    return Kernel(
        "tensor_head",
        _CODE,
        "make_head",
        "u4* f4* f4* f4* i4* i4 i4 i4 i4",
        (("classes", 4 if n_classes <= 4 else 8),),
        max_threads=_THREADS,
    )


def move_kernel(*, back: bool) -> Kernel:
    """Return the kernel that moves states into rows, or back."""
    return Kernel(
        "tensor_move",
        _CODE,
        "make_move",
        "u4* f4* f4* f4* i4* i4 i4 i4",
        (("back", int(back)),),
        max_threads=_THREADS,
    )


def kernels() -> list[Kernel]:
    """Return every kernel of ticks of one layer, or of some of one size, of over 16 units."""
    sizes = range(2, n_tiles(MOST_UNITS) + 1)
    forms = [(n, k, False) for n in sizes for k in INPUT_TILES] + [(n, n, True) for n in sizes]
    return [
        *(
            tick_kernel(hidden, inputs, stacked=stacked, chosen=chosen)
            for hidden, inputs, stacked in forms
            if hidden + inputs <= MOST_TILES
            for chosen in (False, True)
        ),
        head_kernel(4),
        head_kernel(8),
        move_kernel(back=False),
        move_kernel(back=True),
    ]


def tick(
    layer: TensorLayer,
    *,
    x: int,
    stacked: bool,
    h: int,
    c: int,
    n_streams: int,
    tiles: int = 0,
    places: int = 0,
    n_chosen: int = 0,
) -> None:
    """Advance streams by one frame, in place.

    Parameters
    ----------
    layer : TensorLayer
    x : (n, I) float32, or states h of the layer below if `stacked`
    h, c
        States, see tensor_layout.py.
    n_streams : int
        N.
    tiles : int32 (n_chosen,), or 0
        Which tiles of 8 streams there is something to do in, each once; 0 for all streams.
    places : int32 (n_chosen, 8), or 0
        For each stream of these tiles its row of `x`, or -1 where it keeps its state.
    n_chosen : int
    """
    device, hidden_tiles = layer.device, n_tiles(layer.n_units)
    input_tiles = n_tiles(layer.n_in) if stacked else layer.input_tiles
    kernel = tick_kernel(hidden_tiles, input_tiles, stacked=stacked, chosen=tiles != 0)
    n = n_chosen if tiles else -(-n_streams // ROWS)
    device.launch(
        kernel,
        (min(n, kernel.min_blocks * device.n_multiprocessors), 1),
        WARP * hidden_tiles,
        (x, layer.weights, layer.biases, h, c, tiles, places, n, n_streams, layer.n_in),
        tick_shared_bytes(hidden_tiles, input_tiles, stacked=stacked),
    )


def head(
    device: Device,
    *,
    h: int,
    w_out: int,
    b_out: int,
    logits: int,
    n: int,
    n_units: int,
    n_classes: int,
    w_stride: int,
    streams: int = 0,
) -> None:
    """Make logits (n, C) of states h.

    Parameters
    ----------
    device : Device
    h
        States, see tensor_layout.py.
    w_out : (H, w_stride) float32
        `w_stride` is a multiple of 4, and begins at 16 bytes.
    b_out : (w_stride,) float32
    logits : (n, C) float32
    n, n_units, n_classes, w_stride : int
    streams : int32 (n,), or 0
        Which streams; 0 for the first n.
    """
    kernel = head_kernel(n_classes)
    n_blocks = -(-n // _THREADS)
    device.launch(
        kernel,
        (n_blocks, -(-n_classes // dict(kernel.options)["classes"])),
        _THREADS,
        (h, w_out, b_out, logits, streams, n, n_units, n_classes, w_stride),
    )


def move(
    device: Device,
    *,
    back: bool,
    h: int,
    c: int,
    h_rows: int,
    c_rows: int,
    n: int,
    n_units: int,
    streams: int = 0,
    first: int = 0,
) -> None:
    """Move states of n streams into rows of whole tiles of units, or back.

    Parameters
    ----------
    device : Device
    back : bool
    h, c
        States, see tensor_layout.py.
    h_rows, c_rows : (n, H padded to 16) float32
        0 to move zeros back.
    n, n_units : int
    streams : int32 (n,), or 0
        Which streams; 0 for those from `first` on.
    first : int
    """
    n_pairs = n * n_tiles(n_units) * (TILE // 2)
    device.launch(
        move_kernel(back=back),
        (-(-n_pairs // _THREADS), 1),
        _THREADS,
        (h, c, h_rows, c_rows, streams, first, n, n_units),
    )
