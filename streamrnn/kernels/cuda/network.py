"""A network on a device, and what a forward pass leaves there for the way back."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.cuda.device import Device
from streamrnn.kernels.cuda.exact import launches
from streamrnn.kernels.cuda.exact.layout import make_layout, make_map, state_places
from streamrnn.kernels.cuda.memory import Buffer, Places, Workspace
from streamrnn.kernels.cuda.tensor.layers import TensorLayer, tensor_layers
from streamrnn.kernels.cuda.tensor.layout import bf16_bits
from streamrnn.kernels.params import Params, State

PRECISIONS = ("exact", "bf16")
#: The widest layer: a thread is a unit, and a block has room for this many.
MOST_UNITS = 512


class Network:
    """The handle: a network's weights on a device; the memory is given back when it dies.

    Parameters
    ----------
    device : Device
    params : Params
        float32; copied.
    precision : {"exact", "bf16"}
        See `Backend.upload`.

    Attributes
    ----------
    device, precision
        As given.
    layout : Layout
    params : Params
        The weights as they were given; `plain` holds those that training moved.
    plain, packed : int
        Addresses of the weights in plain form and packed.
    workspace : Workspace
        What runs use that keep nothing.
    tensor_layers : tuple of TensorLayer or None, one a layer
        What runs on tensor cores; the others run in the exact kernels, with weights rounded where
        `precision` says so.
    ticker : stepper.Ticker or None
        What stepped last.
    """

    def __init__(self, device: Device, params: Params, precision: str) -> None:
        self.device, self.precision = device, precision
        self.layout = make_layout(params)
        self.params = params.copy()
        places = Places()
        plain, packed = places.add(self.layout.n_plain), places.add(self.layout.n_packed)
        self._memory = Buffer(device, places.n_bytes)
        self.plain, self.packed = self._memory.address + plain, self._memory.address + packed
        self._map: Buffer | None = None
        self.workspace = Workspace(device)
        self.ticker: Any = None
        self._trainer: Any = None
        self._write(_rounded(params) if precision == "bf16" else params)
        self.tensor_layers: tuple[TensorLayer | None, ...] = (
            tensor_layers(device, params) if precision == "bf16" else (None,) * len(params.layers)
        )

    def _write(self, params: Params) -> None:
        gather, numbers = make_map(self.layout), flat(params)
        self.device.write(self.plain, numbers)
        self.device.write(self.packed, np.where(gather < 0, np.float32(0), numbers[gather]))

    def pack(self) -> None:
        """Bring the packed weights to where the plain ones were moved on the device."""
        if self._map is None:
            gather = make_map(self.layout)
            self._map = Buffer(self.device, gather.nbytes)
            self.device.write(self._map.address, gather)
        n = self.layout.n_packed
        launches.gather(self.device, self.packed, self.plain, self._map.address, n)

    def read(self) -> Params:
        """Return a copy of the weights."""
        if self.precision == "bf16":
            return self.params.copy()
        numbers = np.empty(self.layout.n_plain, np.float32)
        self.device.read(self.plain, numbers)
        return unflat(self.params, numbers)

    def check_exact(self) -> None:
        """Raise ValueError if the weights are rounded."""
        if self.precision != "exact":
            raise ValueError(f"weights in {self.precision} are for inference only")

    def write_moments(self) -> None:
        """Bring the optimiser's moments back into the `OptState` that training used last."""
        if self._trainer is not None:
            self._trainer.write_moments()

    @property
    def trainer(self) -> Any:
        """What going backwards needs besides, a `training.Trainer`; errors as `check_exact`."""
        self.check_exact()
        if self._trainer is None:
            from streamrnn.kernels.cuda.exact.training import Trainer

            self._trainer = Trainer(weakref.proxy(self))  # it must not keep its owner alive
        return self._trainer


@dataclass(frozen=True, slots=True)
class LayerTape:
    """What one layer left behind; addresses of float32 arrays.

    What stands behind a row's end is undefined, NaN perhaps; so it must be left out, not
    multiplied by 0.

    Attributes
    ----------
    hs : (T + 1, B, H)
        Hidden vectors: ``hs[0]`` is the start state, ``hs[t]`` what step t began with and
        ``hs[t + 1]`` what it gave.
    cs : (T + 1, B, H)
        Cell states in the same way.
    es : (T, B, H, 4)
        Exponentials of the gates i, f, g, o (`gates.exponentials`).
    """

    hs: int
    cs: int
    es: int


class Tape:
    """What a forward pass leaves on the device; all of it is given back when this object dies.

    Attributes
    ----------
    layout : Layout
        Of the network.
    n_steps, n_rows : int
        T and B.
    x : int
        Address of the inputs, (T, B, I).
    logits : int
        Address of the logits, (T, B, C).
    layers : tuple of LayerTape
    ends : int
        Address of the rows' lengths, int32 (B,); always there.
    mask : int
        Address of the factors on the last hidden vectors, (B, H_last); see `has_mask`.
    has_mask : bool
    state : int
        Address of the start state and, behind the pass, of the end state, in the form of
        `State.arena`.
    """

    def __init__(self, network: Network, n_steps: int, n_rows: int) -> None:
        self.layout = layout = network.layout
        self.n_steps, self.n_rows, self.has_mask = n_steps, n_rows, False
        n_steps_rows = n_steps * n_rows
        places = Places()
        x = places.add(n_steps_rows * layout.n_inputs)
        logits = places.add(n_steps_rows * layout.n_classes)
        state = places.add(state_places(layout.hidden_sizes, n_rows)[1])
        ends = places.add(n_rows)
        mask = places.add(n_rows * layout.n_last)
        kept = [
            (
                places.add((n_steps + 1) * n_rows * n),
                places.add((n_steps + 1) * n_rows * n),
                places.add(n_steps_rows * n * 4),
            )
            for n in layout.hidden_sizes
        ]
        self.n_bytes = places.n_bytes
        self._memory = Buffer(network.device, places.n_bytes)
        base = self._memory.address
        self.x, self.logits, self.state = base + x, base + logits, base + state
        self.ends, self.mask = base + ends, base + mask
        self.layers = tuple(LayerTape(*(base + at for at in layer)) for layer in kept)

    def fill(
        self, device: Device, x: Floats, state: State, ends: I64 | None, mask: Floats | None
    ) -> None:
        """Write what a pass begins with; checked arrays."""
        lengths = np.full(self.n_rows, self.n_steps) if ends is None else ends
        device.write(self.x, x)
        device.write(self.state, state.arena)
        device.write(self.ends, lengths.astype(np.int32))
        self.has_mask = mask is not None
        if mask is not None:
            device.write(self.mask, mask)


def flat(params: Params) -> npt.NDArray[np.float32]:
    """Return the weights in plain form."""
    return np.concatenate([np.ascontiguousarray(a).ravel() for a in params.arrays()])


def unflat(like: Params, numbers: Floats) -> Params:
    """Return weights in plain form as `Params`, with memory of their own."""
    arrays, at = [], 0
    for a in like.arrays():
        arrays.append(numbers[at : at + a.size].reshape(a.shape).copy())
        at += a.size
    return like.with_arrays(arrays)


def _rounded(params: Params) -> Params:
    """Return a copy with the layers' weights, not their biases, rounded to bfloat16."""
    copy = params.copy()
    for layer in copy.layers:
        for weights in (layer.w_ih, layer.w_hh):
            weights.view(np.uint32)[:] = bf16_bits(weights).astype(np.uint32) << np.uint32(16)
    return copy
