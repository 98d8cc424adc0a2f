"""Layers on tensor cores: bfloat16 weights, inputs and hidden values, float32 sums and cell states.

What this arithmetic gives away, per step (u = 2**-9, half a unit in the last place of bfloat16):

- Weights, inputs and h are rounded to bfloat16, each by at most u of itself; products of two are
  exact in float32, and sums are float32 (a device adds the 16 products of a tile in an order, and
  with a rounding, of its own). So a pre-activation is off by at most
  ``(2 u + u**2) (sum |w_ih x| + sum |w_hh h|)`` and some 2**-22 of that sum.
- tanh is the device's own instruction, off by at most a = 2**-10.987 of its value; then a sigmoid,
  ``tanh(z / 2) / 2 + 1 / 2``, is off by a / 2. Their slopes are at most 1 and 1 / 4.
- c is float32 and keeps its own error, multiplied by the forget gate from step to step.

`error_bound` adds this up over a sequence. On random networks the figures are far below it, for
rounding errors have either sign; tests/kernels/cuda/test_tensor_forward.py holds both.

A row's bits depend neither on the rows beside it nor on how a sequence is cut, since h is handed on
as it was rounded. They depend on the device: what sums 16 products may round differently on each.
"""

from __future__ import annotations

import numpy as np

from streamrnn.kernels.cuda.device import Device
from streamrnn.kernels.cuda.kernel import Kernel
from streamrnn.kernels.cuda.memory import Buffer, Places
from streamrnn.kernels.cuda.tensor_layout import (
    ROWS,
    TILE,
    WARP,
    forward_shared_bytes,
    n_tiles,
    pack_bias,
    pack_weights,
)
from streamrnn.kernels.params import LayerParams, Params

_CODE = "streamrnn.kernels.cuda.code.tensor"
#: Tensor cores take bfloat16 from here on.
OLDEST = (8, 0)
MOST_UNITS = 128
#: Tiles of inputs that kernels are made for: up to 16, 32, 64 inputs.
INPUT_TILES = (1, 2, 4)
#: A thread holds 16 words of weights for each tile; more do not fit in registers beside the rest.
MOST_TILES = 10


def input_tiles(n_in: int) -> int:
    """Return the tiles of inputs of the kernel for so many inputs; 0 if there is none."""
    return next((n for n in INPUT_TILES if n * TILE >= n_in), 0)


def supports(n_in: int, n_units: int, capability: tuple[int, int]) -> bool:
    """Return whether a layer can run on tensor cores.

    H must be even (two units of a lane are one word), at most 128 and, where I is above 32, 96; I
    at most 64.
    """
    n_input = input_tiles(n_in)
    return (
        capability >= OLDEST
        and n_units % 2 == 0
        and n_units <= MOST_UNITS
        and n_input > 0
        and n_tiles(n_units) + n_input <= MOST_TILES
    )


def forward_kernel(hidden_tiles: int, n_input_tiles: int, wide: int) -> Kernel:
    """Return the kernel of a forward pass.

    Parameters
    ----------
    hidden_tiles, n_input_tiles : int
        H / 16 and I / 16, rounded up.
    wide : {1, 4}
        Inputs that are copied at once; 4 needs I to be a multiple of 4.
    """
    return Kernel(
        "tensor_forward",
        _CODE,
        "make_forward",
        "f4* u4* f4* f4* f4* f4* i4* i4* i4 i4 i4 i4 i4 i4",
        (("hidden_tiles", hidden_tiles), ("input_tiles", n_input_tiles), ("wide", wide)),
        max_threads=WARP * hidden_tiles,
    )


def kernels() -> list[Kernel]:
    """Return every kernel of a forward pass that a layer with more than 16 units can ask for."""
    return [
        forward_kernel(hidden, n_input, wide)
        for hidden in range(2, n_tiles(MOST_UNITS) + 1)
        for n_input in INPUT_TILES
        if hidden + n_input <= MOST_TILES
        for wide in ((1,) if n_input == 1 else (1, 4))
    ]


def tensor_layers(device: Device, params: Params) -> tuple[TensorLayer | None, ...]:
    """Return the layers of a network that run on tensor cores, ready to; None for the others."""
    layers = tuple(
        TensorLayer(device, layer)
        if supports(layer.w_ih.shape[1], layer.w_hh.shape[1], device.capability)
        else None
        for layer in params.layers
    )
    device.prepare([layer.kernel for layer in layers if layer])
    return layers


class TensorLayer:
    """One layer's weights on a device, as tensor cores take them.

    Parameters
    ----------
    device : Device
    layer : LayerParams
        float32; copied. `supports` says which sizes there are.

    Attributes
    ----------
    weights, biases : int
        Addresses, for the kernels.
    """

    def __init__(self, device: Device, layer: LayerParams) -> None:
        self.device = device
        self.n_in, self.n_units = int(layer.w_ih.shape[1]), int(layer.w_hh.shape[1])
        self.input_tiles = input_tiles(self.n_in)
        weights = pack_weights(layer, self.input_tiles)
        biases = pack_bias(layer)
        places = Places()
        weights_at, biases_at = places.add(weights.size), places.add(biases.size)
        self._memory = Buffer(device, places.n_bytes)
        self.weights = self._memory.address + weights_at
        self.biases = self._memory.address + biases_at
        device.write(self.weights, weights)
        device.write(self.biases, np.ascontiguousarray(biases))

    @property
    def kernel(self) -> Kernel:
        """What `run` launches."""
        wide = 4 if self.input_tiles > 1 and self.n_in % 4 == 0 else 1
        return forward_kernel(n_tiles(self.n_units), self.input_tiles, wide)

    def run(
        self,
        *,
        x: int,
        h: int,
        c: int,
        state_stride: int,
        hs: int,
        n_steps: int,
        n_rows: int,
        ends: int = 0,
        index: int = 0,
        t_from: int = 0,
    ) -> None:
        """Run the layer over a sequence. Arguments are as of `launches.lstm`.

        Parameters
        ----------
        x : (T, B, I) float32
            Begins at a multiple of 16 bytes.
        h, c : (any, state_stride) float32
            State; overwritten with that at each row's end. `state_stride` is even. h comes out as
            bfloat16 numbers, and is rounded to such when it goes in; a row of no steps keeps its
            own.
        hs : (T, B, H) float32
            Hidden vectors; undefined behind a row's end.
        n_steps, n_rows : int
            T and B.
        ends : int32 (B,), or 0
            Each row's number of steps, counted from `t_from` steps before the first; 0 for T.
        index : int32 (B,), or 0
            Which row of `h` and `c` each row is; no two the same.
        """
        hidden_tiles = n_tiles(self.n_units)
        self.device.launch(
            self.kernel,
            (-(-n_rows // ROWS), 1),
            WARP * hidden_tiles,
            (
                x, self.weights, self.biases, h, c, hs, ends, index,
                n_steps, n_rows, t_from, self.n_in, self.n_units, state_stride,
            ),
            forward_shared_bytes(hidden_tiles, self.input_tiles),
        )  # fmt: skip
