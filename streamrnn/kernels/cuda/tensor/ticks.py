"""The kernels of ticks on tensor cores, and how each is launched. Addresses are plain integers."""

from __future__ import annotations

from streamrnn.kernels.cuda.device import Device
from streamrnn.kernels.cuda.kernel import Kernel
from streamrnn.kernels.cuda.tensor.layers import INPUTS, MOST_WEIGHTS, UNITS, TensorLayer
from streamrnn.kernels.cuda.tensor.layout import OCTET, TILE, padded_units, tick_shared_bytes

_CODE = "streamrnn.kernels.cuda.code.tensor_tick"
_THREADS = 128
#: Each quarter of a multiprocessor has so many registers for a lane of all its warps.
_LANE_REGISTERS = 512
#: Registers of a thread that hold no weights.
_OTHER_REGISTERS = 80


def tick_kernel(units: int, inputs: int, *, stacked: bool, chosen: bool) -> Kernel:
    """Return the kernel of one layer.

    Parameters
    ----------
    units, inputs : int
        H and I, rounded up.
    stacked : bool
        The inputs are the states h of the layer below, else rows of float32.
    chosen : bool
        Only some of the streams, else all.
    """
    options = {
        "units": units,
        "inputs": inputs,
        "stacked": int(stacked),
        "chosen": int(chosen),
    }
    n_warps = units // TILE
    n_fitting = 4 * (_LANE_REGISTERS // (units + inputs + _OTHER_REGISTERS))
    return Kernel(
        "tensor_tick",
        _CODE,
        "make_tick",
        f"{'u4' if stacked else 'f4'}* u4* f4* u4* f4* i4* i4* i4 i4 i4",
        tuple(options.items()),
        max_threads=2 * units,
        min_blocks=max(1, n_fitting // n_warps),
    )


def head_kernel(n_classes: int) -> Kernel:
    """Return the kernel of the head for so many classes."""
    return Kernel(
        "stream_head",
        _CODE,
        "make_head",
        "u4* f4* f4* f4* i4* i4 i4 i4 i4 i4",
        (("classes", 4 if n_classes <= 4 else 8),),
        max_threads=_THREADS,
    )


def move_kernel(*, back: bool) -> Kernel:
    """Return the kernel that moves states into rows, or back."""
    return Kernel(
        "stream_move",
        _CODE,
        "make_move",
        "u4* f4* f4* f4* i4* i4 i4 i4 i4 i4",
        (("back", int(back)),),
        max_threads=_THREADS,
    )


def kernels() -> list[Kernel]:
    """Return every kernel of ticks."""
    return [
        *(
            tick_kernel(units, inputs, stacked=stacked, chosen=chosen)
            for stacked in (False, True)
            for units in UNITS
            for inputs in (UNITS if stacked else INPUTS)
            if units + inputs <= MOST_WEIGHTS and inputs <= INPUTS[-1]
            for chosen in (False, True)
        ),
        head_kernel(4),
        head_kernel(8),
        move_kernel(back=False),
        move_kernel(back=True),
    ]


def kernels_for(layers: list[TensorLayer], n_classes: int) -> list[Kernel]:
    """Return the kernels that streams of a network ask for."""
    return [
        *(
            _tick_kernel_of(layer, stacked=number > 0, chosen=chosen)
            for number, layer in enumerate(layers)
            for chosen in (False, True)
        ),
        head_kernel(n_classes),
        move_kernel(back=False),
        move_kernel(back=True),
    ]


def _tick_kernel_of(layer: TensorLayer, *, stacked: bool, chosen: bool) -> Kernel:
    inputs = padded_units(layer.n_in) if stacked else layer.inputs
    return tick_kernel(layer.units, inputs, stacked=stacked, chosen=chosen)


def tick(
    layer: TensorLayer,
    *,
    x: int,
    stacked: bool,
    h: int,
    c: int,
    n_streams: int,
    octets: int = 0,
    places: int = 0,
    n_octets: int = 0,
) -> None:
    """Advance streams by one frame, in place.

    Parameters
    ----------
    layer : TensorLayer
    x : (n, I) float32, or states h of the layer below if `stacked`
    h, c
        States, see layout.py.
    n_streams : int
        N.
    octets : int32 (n_octets,), or 0
        Which octets there is something to do in, each once; 0 for all streams.
    places : int32 (n_octets, 8), or 0
        For each stream of these octets its row of `x`, or -1 where it keeps its state.
    n_octets : int
    """
    device, kernel = layer.device, _tick_kernel_of(layer, stacked=stacked, chosen=octets != 0)
    n = n_octets if octets else -(-n_streams // OCTET)
    device.launch(
        kernel,
        (min(n, kernel.min_blocks * device.n_multiprocessors), 1),
        kernel.max_threads,
        (x, layer.weights, layer.biases, h, c, octets, places, n, n_streams, layer.n_in),
        tick_shared_bytes(layer.units, dict(kernel.options)["inputs"], stacked=stacked),
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
        States, see layout.py.
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
        (
            h,
            w_out,
            b_out,
            logits,
            streams,
            n,
            n_units,
            n_classes,
            padded_units(n_units),
            w_stride,
        ),
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
    stride: int,
    streams: int = 0,
    first: int = 0,
) -> None:
    """Move states of n streams into rows, or back.

    Parameters
    ----------
    device : Device
    back : bool
    h, c
        States, see layout.py.
    h_rows, c_rows : (n, stride) float32
        0 to move zeros back.
    n, n_units, stride : int
        `stride` is even, and at most H rounded up to 32.
    streams : int32 (n,), or 0
        Which streams; 0 for those from `first` on.
    first : int
    """
    units = padded_units(n_units)
    device.launch(
        move_kernel(back=back),
        (-(-n * (units // 2) // _THREADS), 1),
        _THREADS,
        (h, c, h_rows, c_rows, streams, first, n, n_units, units, stride),
    )
