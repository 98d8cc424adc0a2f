"""Layers on tensor cores: bfloat16 weights, inputs and hidden values, float32 sums and cell states.

What this arithmetic gives away, with u = 2**-9, half a unit in the last place of bfloat16:

- Weights, inputs and h are rounded to bfloat16, each by at most u of itself; the product of two is
  exact in float32. So a pre-activation is off by at most ``(2 u + u**2) sum |w_ih x| + u sum |w_hh
  h| + (1 + u) sum |w_hh d_h|``, where d_h is by how much h is off, its own rounding included; and
  by 2**-21 of the magnitudes for float32 sums, whose order within 16 products is the device's own.
- tanh is the device's instruction, off by at most a = 2**-10.987 of its value; a sigmoid,
  ``tanh(z / 2) / 2 + 1 / 2``, by a / 2. They pass on at most all, and a quarter, of what z is off.
- c is float32, and what it is off by decays as c does, with the forget gate.

tests/kernels/cuda/tensor_oracle.py adds this up step by step. On random layers of 2 to 128 units,
with weights of about 1 / sqrt(I + H), h is off by at most 0.0033 after a few steps: 0.06 to 0.15 of
the bound after one step, less later, as rounding goes either way. With 64 units, over 150 steps, it
is 0.0023 at most and 0.0002 on average, at the end as at the beginning. These are figures of an
interpreter whose tanh is exact; a device's may add up to a.

A row's bits depend neither on the rows beside it nor on how a sequence is cut, since h is handed on
as it was rounded. They depend on the device: what adds 16 products may round differently on each.
"""

from __future__ import annotations

import numpy as np

from streamrnn.kernels.cuda.device import Device
from streamrnn.kernels.cuda.kernel import Kernel
from streamrnn.kernels.cuda.memory import Buffer, Places
from streamrnn.kernels.cuda.tensor.layout import (
    OCTET,
    TILE,
    forward_shared_bytes,
    pack_bias,
    pack_weights,
    padded_units,
)
from streamrnn.kernels.params import LayerParams, Params

_CODE = "streamrnn.kernels.cuda.code.tensor"
#: Tensor cores take bfloat16 from here on.
OLDEST = (8, 0)
#: Numbers of units and of inputs that kernels are made for.
UNITS, INPUTS = (32, 64, 96, 128), (16, 32, 64)
#: Both together: a thread holds a word of weights for each, and more do not fit in its registers.
MOST_WEIGHTS = 10 * TILE


def padded_inputs(n_in: int) -> int:
    """Return I rounded up to what kernels are made for; 0 if it is too large."""
    return next((n for n in INPUTS if n >= n_in), 0)


def supports(n_in: int, n_units: int, capability: tuple[int, int]) -> bool:
    """Return whether a layer can run on tensor cores.

    H must be even (two units of a lane are one word), at most 128 and, where I is above 32, 96; I
    at most 64.
    """
    inputs, units = padded_inputs(n_in), padded_units(n_units)
    return (
        capability >= OLDEST
        and n_units % 2 == 0
        and units in UNITS
        and inputs in INPUTS
        and units + inputs <= MOST_WEIGHTS
    )


def forward_kernel(units: int, inputs: int, wide: int) -> Kernel:
    """Return the kernel of a forward pass.

    Parameters
    ----------
    units, inputs : int
        H and I, rounded up.
    wide : {1, 4}
        Inputs that are copied at once; 4 needs I to be a multiple of 4.
    """
    return Kernel(
        "tensor_forward",
        _CODE,
        "make_forward",
        "f4* u4* f4* f4* f4* f4* i4* i4* i4 i4 i4 i4 i4 i4",
        (("units", units), ("inputs", inputs), ("wide", wide)),
        max_threads=2 * units,
    )


def kernels() -> list[Kernel]:
    """Return every kernel of a forward pass."""
    return [
        forward_kernel(units, inputs, wide)
        for units in UNITS
        for inputs in INPUTS
        if units + inputs <= MOST_WEIGHTS
        for wide in ((1,) if inputs == TILE else (1, 4))
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
    n_in, n_units : int
        I and H.
    inputs, units : int
        I and H, rounded up.
    weights, biases : int
        Addresses, for the kernels.
    """

    def __init__(self, device: Device, layer: LayerParams) -> None:
        self.device = device
        self.n_in, self.n_units = int(layer.w_ih.shape[1]), int(layer.w_hh.shape[1])
        self.units, self.inputs = padded_units(self.n_units), padded_inputs(self.n_in)
        weights = pack_weights(layer, max(INPUTS[1], self.inputs))  # as much as a layer below has
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
        wide = 4 if self.inputs > TILE and self.n_in % 4 == 0 else 1
        return forward_kernel(self.units, self.inputs, wide)

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
        self.device.launch(
            self.kernel,
            (-(-n_rows // OCTET), 1),
            2 * self.units,
            (
                x, self.weights, self.biases, h, c, hs, ends, index,
                n_steps, n_rows, t_from, self.n_in, self.n_units, state_stride,
            ),
            forward_shared_bytes(self.units, self.inputs),
        )  # fmt: skip
