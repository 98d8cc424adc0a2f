"""Where weights and states lie for the tensor-core kernels, and how much memory they take.

Weights are bfloat16 pairs in the order in which lanes hold them (code/tensor.py): for each tile of
16 indices (first those of h, then those of the inputs), gate and thread, 16 bytes. Biases: for the
first and the second unit of a thread the four gates. Units and inputs are padded with zeros to
whole tiles; a unit of zeros stays 0.

States of streams lie by tiles of 8 streams: h as bfloat16 ``[tile][H / 16][8 streams][16 units]``,
c as float32 ``[tile][thread][4]``, of each thread its first unit in both streams, then its second.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamrnn.core.types import Floats
from streamrnn.kernels.params import LayerParams

#: Units and indices of a tile, and rows (streams) that a block takes at once.
TILE, ROWS = 16, 8
#: Steps whose inputs stand in shared memory in a forward pass; a power of 2.
RING = 8
#: Tiles of streams that stand in shared memory in a tick.
POOL = 4
#: Threads for 16 units.
WARP = 32
#: Biases and weights of these gates are halved: sigmoid(z) = tanh(z / 2) / 2 + 1 / 2.
_HALVED = [0, 1, 3]


def n_tiles(n: int) -> int:
    """Return how many tiles of 16 are needed for n."""
    return -(-n // TILE)


def h_row_bytes(hidden_tiles: int) -> int:
    """Return the bytes of a row of h in shared memory.

    The 16 behind it put the rows that are stored or loaded at once into banks of their own.
    """
    return 2 * TILE * hidden_tiles + 16


def x_row_bytes(input_tiles: int) -> int:
    """Return the bytes of a row of inputs in shared memory, an odd multiple of half the banks."""
    return 4 * TILE * (input_tiles | 1)


def forward_shared_bytes(hidden_tiles: int, input_tiles: int) -> int:
    """Return the shared memory of a block of a forward pass: two h, and inputs of some steps."""
    return ROWS * (2 * h_row_bytes(hidden_tiles) + RING * x_row_bytes(input_tiles))


def tick_shared_bytes(hidden_tiles: int, input_tiles: int, *, stacked: bool) -> int:
    """Return the shared memory of a block of a tick: h, c and inputs of some tiles."""
    x_bytes = 2 * TILE * input_tiles if stacked else x_row_bytes(input_tiles)
    return POOL * ROWS * (6 * TILE * hidden_tiles + x_bytes)


def h_words(n_streams: int, n_units: int) -> int:
    """Return how many 4-byte words the states h of streams take."""
    return -(-n_streams // ROWS) * ROWS * n_tiles(n_units) * TILE // 2


def c_words(n_streams: int, n_units: int) -> int:
    """Return how many floats the states c of streams take."""
    return 2 * h_words(n_streams, n_units)


def bf16_bits(a: Floats) -> npt.NDArray[np.uint16]:
    """Return the bits of the nearest bfloat16 numbers, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(a, np.float32).view(np.uint32)
    up = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    rounded = ((bits + up) >> np.uint32(16)).astype(np.uint16)
    return np.where(np.isnan(a), np.uint16(0x7FC0), rounded)


def pack_weights(layer: LayerParams, input_tiles: int) -> npt.NDArray[np.uint32]:
    """Return the weights as lanes hold them, ``[tile][gate][thread][4]``."""
    n_units, n_in = layer.w_hh.shape[1], layer.w_ih.shape[1]
    hidden_tiles = n_tiles(n_units)
    width = TILE * hidden_tiles
    whole = np.zeros((4, width, width + TILE * input_tiles), np.float32)
    whole[:, :n_units, :n_units] = layer.w_hh.reshape(4, n_units, n_units)
    whole[:, :n_units, width : width + n_in] = layer.w_ih.reshape(4, n_units, n_in)
    whole[_HALVED, :, :] *= np.float32(0.5)
    # Unit 16 w + 4 (g mod 4) + 2 (g div 4) + e, index 16 k + 4 q + 2 half + low.
    parts = bf16_bits(whole).reshape(4, hidden_tiles, 4, 2, 2, -1, 4, 2, 2)
    # To tile, gate, w, g div 4, g mod 4, q, half, e, low: a lane's words by half, then e.
    ordered = np.ascontiguousarray(parts.transpose(5, 0, 1, 3, 2, 6, 7, 4, 8))
    return ordered.view("<u4").reshape(-1, 4, WARP * hidden_tiles, 4)


def pack_bias(layer: LayerParams) -> npt.NDArray[np.float32]:
    """Return the biases as lanes hold them, ``[first or second unit][thread][gate]``."""
    n_units = layer.w_hh.shape[1]
    hidden_tiles = n_tiles(n_units)
    whole = np.zeros((4, TILE * hidden_tiles), np.float32)
    whole[:, :n_units] = layer.b.reshape(4, n_units)
    whole[_HALVED, :] *= np.float32(0.5)
    parts = whole.reshape(4, hidden_tiles, 4, 2, 2).transpose(4, 1, 3, 2, 0)
    return np.repeat(parts.reshape(2, -1, 4), 4, axis=1)
