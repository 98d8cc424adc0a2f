"""Where weights and states lie for the tensor-core kernels, and how much memory they take.

Units are padded to multiples of 32 and inputs to multiples of 16, with zeros; a unit of zeros stays
0. *Tiles* are 16 indices of a sum, first those of h, then those of the inputs.

Weights are pairs of bfloat16 in the order in which lanes hold them (code/tensor.py): for each tile,
gate and thread, 16 bytes. Biases: for the first and the second unit of a thread the four gates.

Streams lie by *octets*, 8 next to one another: h as bfloat16 ``[octet][H / 16][8 streams][16]``, c
as float32 ``[octet][thread][4]``, of each thread its first unit in both streams, then its second.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamrnn.core.types import Floats
from streamrnn.kernels.params import LayerParams

#: Units that a warp has, and indices of a tile.
TILE = 16
#: Rows, or streams, that a block takes at once.
OCTET = 8
#: Steps whose inputs stand in shared memory in a forward pass; a power of 2.
RING = 8
#: Octets that stand in shared memory in a tick.
POOL = 4
#: Biases and weights of these gates are halved: sigmoid(z) = tanh(z / 2) / 2 + 1 / 2.
_HALVED = [0, 1, 3]


def padded_units(n_units: int) -> int:
    """Return H rounded up to what kernels are made for."""
    return -(-n_units // 32) * 32


def h_row_bytes(units: int) -> int:
    """Return the bytes of a row of h in shared memory.

    The 16 behind it put the rows that are stored or loaded at once into banks of their own.
    """
    return 2 * units + 16


def x_row_bytes(inputs: int) -> int:
    """Return the bytes of a row of inputs in shared memory, an odd multiple of half the banks."""
    return 4 * TILE * (inputs // TILE | 1)


def forward_shared_bytes(units: int, inputs: int) -> int:
    """Return the shared memory of a block of a forward pass: two h, and inputs of some steps."""
    return OCTET * (2 * h_row_bytes(units) + RING * x_row_bytes(inputs))


def tick_shared_bytes(units: int, inputs: int, *, stacked: bool) -> int:
    """Return the shared memory of a block of a tick: h, c and inputs of some octets."""
    return POOL * OCTET * (6 * units + (2 * inputs if stacked else x_row_bytes(inputs)))


def h_words(n_streams: int, n_units: int) -> int:
    """Return how many 4-byte words the states h of streams take."""
    return -(-n_streams // OCTET) * OCTET * padded_units(n_units) // 2


def c_words(n_streams: int, n_units: int) -> int:
    """Return how many floats the states c of streams take."""
    return 2 * h_words(n_streams, n_units)


def bf16_bits(a: Floats) -> npt.NDArray[np.uint16]:
    """Return the bits of the nearest bfloat16 numbers, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(a, np.float32).view(np.uint32)
    up = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    rounded = ((bits + up) >> np.uint32(16)).astype(np.uint16)
    return np.where(np.isnan(a), np.uint16(0x7FC0), rounded)


def pack_weights(layer: LayerParams, inputs: int) -> npt.NDArray[np.uint32]:
    """Return the weights as lanes hold them, ``[tile][gate][thread][4]``.

    Parameters
    ----------
    layer : LayerParams
    inputs : int
        I rounded up; a kernel may be made for less, as long as it is I or more.
    """
    n_units, n_in = layer.w_hh.shape[1], layer.w_ih.shape[1]
    units = padded_units(n_units)
    whole = np.zeros((4, units, units + inputs), np.float32)
    whole[:, :n_units, :n_units] = layer.w_hh.reshape(4, n_units, n_units)
    whole[:, :n_units, units : units + n_in] = layer.w_ih.reshape(4, n_units, n_in)
    whole[_HALVED] *= np.float32(0.5)
    # Unit 16 w + 4 (g mod 4) + 2 (g div 4) + e, index 16 k + 4 q + 2 half + low.
    parts = bf16_bits(whole).reshape(4, units // TILE, 4, 2, 2, -1, 4, 2, 2)
    # To tile, gate, w, g div 4, g mod 4, q, half, e, low: a lane's words by half, then e.
    ordered = np.ascontiguousarray(parts.transpose(5, 0, 1, 3, 2, 6, 7, 4, 8))
    return ordered.view("<u4").reshape(-1, 4, 2 * units, 4)


def pack_bias(layer: LayerParams) -> npt.NDArray[np.float32]:
    """Return the biases as lanes hold them, ``[first or second unit][thread][gate]``."""
    n_units = layer.w_hh.shape[1]
    units = padded_units(n_units)
    whole = np.zeros((4, units), np.float32)
    whole[:, :n_units] = layer.b.reshape(4, n_units)
    whole[_HALVED] *= np.float32(0.5)
    parts = whole.reshape(4, units // TILE, 4, 2, 2).transpose(4, 1, 3, 2, 0)
    return np.repeat(parts.reshape(2, -1, 4), 4, axis=1)
