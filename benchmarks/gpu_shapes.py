"""What is run on a GPU, from which numbers, and the least work that it can be done with.

Letters: T steps, B rows, I inputs, H units, L layers, C classes, N streams.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from streamrnn.kernels.params import LayerParams, Params

N_CLASSES = 5
LEARNING_RATE = 1e-3
CLIP_NORM = 1.0
_FLOAT32 = 4


@dataclass(frozen=True)
class Sequences:
    """Sequences side by side through one network; random data, the same in every process."""

    n_rows: int
    n_steps: int
    n_in: int
    n_hidden: int
    n_layers: int = 1

    def __str__(self) -> str:
        return f"({self.n_rows},{self.n_steps}) {_network(self)}"

    @property
    def n_row_steps(self) -> int:
        """T B."""
        return self.n_rows * self.n_steps

    @cached_property
    def params(self) -> Params:
        """Weights as PyTorch draws them."""
        return weights(self.n_in, self.n_hidden, self.n_layers)

    def inputs(self, n_sets: int) -> list[npt.NDArray[np.float32]]:
        """Return sets of features, each (T, B, I)."""
        rng = np.random.default_rng(2)
        size = (self.n_steps, self.n_rows, self.n_in)
        return [rng.standard_normal(size, np.float32) for _ in range(n_sets)]

    @cached_property
    def targets(self) -> npt.NDArray[np.int64]:
        """A class of each step, (T, B)."""
        return np.random.default_rng(3).integers(0, N_CLASSES, (self.n_steps, self.n_rows))

    def flops(self, *, training: bool) -> float:
        """Return the operations of all matrix products; in training also those of the way back.

        The way back multiplies by the weights once more, and makes the weights' gradients; nobody
        asks for the gradient of the first layer's inputs.
        """
        forward = 2.0 * sum(4 * self.n_hidden * (width + self.n_hidden) for width in self._widths)
        forward += 2.0 * N_CLASSES * self.n_hidden
        back = 2 * forward - 2.0 * 4 * self.n_hidden * self.n_in
        return self.n_row_steps * (forward + (back if training else 0.0))

    def n_bytes(self, *, training: bool, item_bytes: int = _FLOAT32) -> float:
        """Return the least bytes to and from memory: inputs once, logits once, weights once.

        In training no logits leave; what is kept for the way back (four gates, c and h of each unit
        and step, in the precision of the sums) is written once and read once.
        """
        n_weights = sum(a.size for a in self.params.arrays())
        if not training:
            return self.n_row_steps * item_bytes * (self.n_in + N_CLASSES) + item_bytes * n_weights
        kept = 2 * 6 * self.n_hidden * self.n_layers * item_bytes
        # Weights, gradients and both moments: read and written by the update.
        return self.n_row_steps * (kept + 2 * item_bytes * self.n_in) + 8 * _FLOAT32 * n_weights

    @property
    def _widths(self) -> tuple[int, ...]:
        return (self.n_in, *((self.n_hidden,) * (self.n_layers - 1)))


@dataclass(frozen=True)
class Streams:
    """Streams of one network, all ticked at once."""

    n_streams: int
    n_in: int
    n_hidden: int
    n_layers: int = 1

    def __str__(self) -> str:
        return f"{self.n_streams:.0e} of {_network(self)}".replace("e+0", "e")

    @cached_property
    def params(self) -> Params:
        """Weights as PyTorch draws them."""
        return weights(self.n_in, self.n_hidden, self.n_layers)

    def frames(self) -> npt.NDArray[np.float32]:
        """Return one frame of each stream, (N, I)."""
        return np.random.default_rng(4).standard_normal((self.n_streams, self.n_in), np.float32)

    def flops(self) -> float:
        """Return the operations of the matrix products of a tick."""
        width, total = self.n_in, 0.0
        for _ in range(self.n_layers):
            total += 2.0 * 4 * self.n_hidden * (width + self.n_hidden)
            width = self.n_hidden
        return self.n_streams * (total + 2.0 * N_CLASSES * self.n_hidden)

    def n_bytes(self, *, h_bytes: int = _FLOAT32) -> float:
        """Return the least bytes of a tick: states in and out, frames in, logits out."""
        state = 2 * self.n_hidden * self.n_layers * (h_bytes + _FLOAT32)
        return self.n_streams * (state + _FLOAT32 * (self.n_in + N_CLASSES))


#: Those that something is asked of come first: a run that is cut short has them.
SEQUENCES = (
    Sequences(64, 1000, 6, 64), Sequences(64, 1000, 6, 128), Sequences(1024, 200, 6, 64),
    Sequences(4096, 200, 6, 64), Sequences(1024, 200, 6, 128), Sequences(4096, 200, 6, 128),
    Sequences(256, 200, 6, 128, 2), Sequences(256, 200, 6, 256), Sequences(64, 200, 64, 512),
)  # fmt: skip
FLEETS = (
    Streams(1_000_000, 6, 64), Streams(100_000, 6, 64), Streams(10_000, 6, 64),
    Streams(1_000_000, 6, 32), Streams(1_000_000, 6, 128), Streams(100_000, 6, 128),
    Streams(4_000_000, 6, 64),
)  # fmt: skip
#: What runs where something stands in for the GPU.
SMALL_SEQUENCES = (Sequences(3, 4, 3, 8), Sequences(2, 3, 3, 5, 2))
SMALL_FLEETS = (Streams(9, 3, 8),)


def weights(n_in: int, n_hidden: int, n_layers: int) -> Params:
    """Return weights that are uniform within one over the root of H."""
    rng, reach = np.random.default_rng(1), n_hidden**-0.5

    def draw(*size: int) -> npt.NDArray[np.float32]:
        return rng.uniform(-reach, reach, size).astype(np.float32)

    layers, width = [], n_in
    for _ in range(n_layers):
        gates = 4 * n_hidden
        layers.append(LayerParams(draw(gates, width), draw(gates, n_hidden), draw(gates)))
        width = n_hidden
    return Params(tuple(layers), draw(N_CLASSES, n_hidden), draw(N_CLASSES))


def _network(shape: Any) -> str:
    layers = f" x{shape.n_layers}" if shape.n_layers > 1 else ""
    return f"{shape.n_in}->{shape.n_hidden}{layers}"
