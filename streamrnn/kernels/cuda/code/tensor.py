"""One LSTM layer on tensor cores: a whole sequence in one launch, weights in registers throughout.

A block takes 8 rows (the columns of an `mma`) and a warp 16 units, so that a lane has all four
gates of its units and the cell update needs no other lane. Lane ``4 g + q`` holds units ``u`` and
``u + 1`` of the warp's 16, u = 4 (g mod 4) + 2 (g div 4), of rows 2 q and 2 q + 1.

`[w_hh | w_ih]` is cut into tiles of 4 gates x 16 units x 16 indices; lane ``4 g + q`` multiplies
the indices 4 q .. 4 q + 3 of each tile. With this order of units and indices the two hidden values
that a lane has of a row are one word that lies where the next step reads it, and what a lane stores
of `hs` is 8 bytes in one piece: no lane ever asks another.

Sums start at the bias; then come the tiles of the inputs, then those of h, ascending. The inputs'
part is summed a step ahead, while the gates are worked out. Weights and biases of the gates i, f, o
are halved when they are packed, which is exact: sigmoid(z) = tanh(z / 2) / 2 + 1 / 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from numba import cuda, float32, int32, int64, uint32

from streamrnn.kernels.cuda.code.tensor_words import (
    choose,
    close_copies,
    high_bf16,
    load_matrices,
    load_shared4,
    low_bf16,
    multiply_add,
    pack_bf16,
    shared_place,
    start_copy,
    start_copy4,
    store2,
    store_shared,
    tanh_approx,
    wait_for_copies,
)
from streamrnn.kernels.cuda.code.words import is_there, load4, shared_floats
from streamrnn.kernels.cuda.tensor.layout import RING, TILE, h_row_bytes, x_row_bytes
from streamrnn.kernels.jit import fma, kernel

_device = cast(Callable[..., Any], cuda.jit(device=True))


@kernel
def multiply_tile(weights: Any, tile: Any, b0: Any, b1: Any, sums: Any) -> None:
    """Add to the sums of the four gates what one tile of weights contributes.

    Parameters
    ----------
    weights : uint32 (16 * tiles,), in registers
        Fragments of all tiles, by tile and gate.
    tile : int
        A constant, as soon as the loop around is unrolled.
    b0, b1 : uint32
        Column g: the tile's indices 4 q and 4 q + 1, and 4 q + 2 and 4 q + 3.
    sums : float32 (16,), in registers
        By gate; of each the lane's first unit in both rows, then its second.
    """
    for gate in range(4):
        a, d = 16 * tile + 4 * gate, 4 * gate
        d0, d1, d2, d3 = multiply_add(
            weights[a], weights[a + 1], weights[a + 2], weights[a + 3],
            b0, b1, sums[d], sums[d + 1], sums[d + 2], sums[d + 3],
        )  # fmt: skip
        sums[d], sums[d + 1], sums[d + 2], sums[d + 3] = d0, d1, d2, d3


@kernel
def start_sums(bias: Any, sums: Any) -> None:
    """Set the sums to the biases: ``bias`` has the gates of the first unit, then of the second."""
    for gate in range(4):
        sums[4 * gate] = sums[4 * gate + 1] = bias[gate]
        sums[4 * gate + 2] = sums[4 * gate + 3] = bias[4 + gate]


@kernel
def load_weights(packed: Any, thread: Any, n_threads: Any, n: Any, to: Any) -> None:
    """Load ``n`` pieces of 16 bytes of this thread, which those of the others lie between."""
    for k in range(n):
        v0, v1, v2, v3 = load4(packed, 4 * (k * n_threads + int64(thread)))
        to[4 * k], to[4 * k + 1], to[4 * k + 2], to[4 * k + 3] = v0, v1, v2, v3


@kernel
def _sigmoid_of_twice(z: Any) -> Any:
    half = float32(0.5)
    return fma(half, tanh_approx(z), half)


@kernel
def update_cell(sums: Any, n: Any, c: Any) -> Any:
    """Return c and h after a step: the cell of gates.py with the device's own tanh.

    Parameters
    ----------
    sums : float32 (16,)
        Pre-activations; halves of those of i, f and o.
    n : int
        Which of the lane's four cells, as they stand in `sums`.
    c : float32
        Cell state before.
    """
    i, f, o = (
        _sigmoid_of_twice(sums[n]),
        _sigmoid_of_twice(sums[4 + n]),
        _sigmoid_of_twice(sums[12 + n]),
    )
    c = fma(f, c, i * tanh_approx(sums[8 + n]))
    return c, o * tanh_approx(c)


@kernel
def unit_of_lane(thread: Any) -> Any:
    """Return the first of the two units of a lane: see the module."""
    g = (thread >> 2) & 7
    return int64(16 * (thread >> 5) + 4 * (g & 3) + 2 * (g >> 2))


def make_forward(units: int, inputs: int, wide: int) -> Callable[..., Any]:
    """Return the kernel for a layer of up to so many units and inputs.

    Parameters
    ----------
    units, inputs : int
        Multiples of 32 and of 16.
    wide : {1, 4}
        Inputs that are copied at once; 4 needs I to be a multiple of 4.

    Returns
    -------
    kernel
        See `kernels.cuda.tensor.layers.TensorLayer.run` for the arguments. One block for 8 rows,
        2 threads for a unit.
    """
    n_threads, hidden_tiles, input_tiles = 2 * units, units // TILE, inputs // TILE
    n_weights = 16 * (hidden_tiles + input_tiles)
    h_row, x_row = h_row_bytes(units), x_row_bytes(inputs)
    h_bytes, x_bytes = 8 * h_row, 8 * x_row
    # A row of inputs is copied by an eighth of the threads, each every so many inputs.
    per_row = n_threads // 8
    stride = per_row * wide
    n_copies = -(-inputs // stride)
    copy = start_copy4 if wide == 4 else start_copy
    # What is summed a step ahead must have arrived at the end of the step before.
    wait = wait_for_copies(RING - 3)

    @_device
    def copy_inputs(x: Any, at: Any, to: Any, column: Any, n_in: Any) -> None:
        for k in range(n_copies):
            if column + k * stride < n_in:
                copy(uint32(to + 4 * k * stride), x, at + k * stride)

    @_device
    def sum_inputs(place: Any, bias: Any, weights: Any, sums: Any) -> None:
        start_sums(bias, sums)
        for k in range(input_tiles):
            x0, x1, x2, x3 = load_shared4(uint32(place + 64 * k))
            multiply_tile(weights, hidden_tiles + k, pack_bf16(x0, x1), pack_bf16(x2, x3), sums)

    @_device
    def add_hidden(place: Any, weights: Any, sums: Any) -> None:
        for k in range(hidden_tiles // 2):
            b0, b1, b2, b3 = load_matrices(uint32(place + 64 * k))
            multiply_tile(weights, 2 * k, b0, b1, sums)
            multiply_tile(weights, 2 * k + 1, b2, b3, sums)

    @_device
    def end_of(row: Any, n_rows: Any, ends: Any, n_steps: Any, t_from: Any) -> Any:
        """Return how many of these steps a row has."""
        if row >= n_rows:
            return int32(0)
        if is_there(ends):
            return int32(min(n_steps, ends[row] - t_from))
        return int32(n_steps)

    @_device
    def state_of(row: Any, index: Any, stride: Any) -> Any:
        """Return where the state of a row begins."""
        return (int64(index[row]) if is_there(index) else row) * stride

    def tensor_forward(
        x: Any, weights: Any, biases: Any, h: Any, c: Any, hs: Any, ends: Any, index: Any,
        n_steps: Any, n_rows: Any, t_from: Any, n_in: Any, n_units: Any, state_stride: Any,
    ) -> None:  # fmt: skip
        thread = uint32(cuda.threadIdx.x)
        warp, g, q = thread >> 5, (thread >> 2) & 7, thread & 3
        first = 8 * int64(cuda.blockIdx.x)
        unit = unit_of_lane(thread)
        row0, row1 = first + 2 * q, first + 2 * q + 1
        hs_at0, hs_at1 = row0 * n_units + unit, row1 * n_units + unit

        held = cuda.local.array(n_weights, uint32)
        load_weights(weights, thread, n_threads, n_weights // 4, held)
        bias = cuda.local.array(8, float32)
        load_weights(biases, thread, n_threads, 2, bias)

        memory = shared_place(shared_floats())
        ring = memory + 2 * h_bytes
        # Inputs behind I are 0, and so are at first those of rows that are not there or have ended.
        for at in range(4 * thread, RING * x_bytes, 4 * n_threads):
            store_shared(uint32(ring + at), uint32(0))

        c00, c10, c01, c11 = float32(0), float32(0), float32(0), float32(0)
        word0, word1, end0, end1 = uint32(0), uint32(0), int32(0), int32(0)
        state0, state1 = int64(0), int64(0)
        if unit < n_units:
            end0 = end_of(row0, n_rows, ends, n_steps, t_from)
            end1 = end_of(row1, n_rows, ends, n_steps, t_from)
        if end0 > 0:
            state0 = state_of(row0, index, state_stride) + unit
            c00, c10 = c[state0], c[state0 + 1]
            word0 = pack_bf16(h[state0], h[state0 + 1])
        if end1 > 0:
            state1 = state_of(row1, index, state_stride) + unit
            c01, c11 = c[state1], c[state1 + 1]
            word1 = pack_bf16(h[state1], h[state1 + 1])
        h_to = memory + 2 * q * h_row + 4 * (8 * warp + g)
        store_shared(uint32(h_to), word0)
        store_shared(uint32(h_to + h_row), word1)

        # Lane 8 m + r names row r of matrix m, which is a quarter of two tiles.
        h_from = uint32(memory + (thread & 7) * h_row + 16 * ((thread >> 3) & 3))
        x_from = uint32(ring + g * x_row + 16 * q)
        x_row_mine = thread // per_row
        x_column = uint32(thread % per_row * wide)
        x_to = uint32(ring + x_row_mine * x_row + 4 * x_column)
        x_end = end_of(first + x_row_mine, n_rows, ends, n_steps, t_from)
        x_at = (first + x_row_mine) * n_in + x_column
        x_step, hs_step = int64(n_rows) * n_in, int64(n_rows) * n_units
        cuda.syncthreads()

        for t in range(RING - 1):
            if t < x_end:
                copy_inputs(x, x_at, x_to + t * x_bytes, x_column, n_in)
            x_at += x_step
            close_copies()
        wait()
        cuda.syncthreads()

        ahead, sums = cuda.local.array(16, float32), cuda.local.array(16, float32)
        sum_inputs(x_from, bias, held, ahead)
        buffer = uint32(0)
        for t in range(n_steps):
            for k in range(16):
                sums[k] = ahead[k]
            add_hidden(h_from + buffer, held, sums)
            if int32(t + (RING - 1)) < x_end:
                slot = int32((t + (RING - 1)) & (RING - 1)) * x_bytes
                copy_inputs(x, x_at, x_to + slot, x_column, n_in)
            x_at += x_step
            close_copies()
            slot = int32((t + 1) & (RING - 1)) * x_bytes
            sum_inputs(x_from + slot, bias, held, ahead)
            new00, h00 = update_cell(sums, 0, c00)
            new01, h01 = update_cell(sums, 1, c01)
            new10, h10 = update_cell(sums, 2, c10)
            new11, h11 = update_cell(sums, 3, c11)
            is_on0, is_on1 = int32(t) < end0, int32(t) < end1
            c00, c10 = choose(is_on0, new00, c00), choose(is_on0, new10, c10)
            c01, c11 = choose(is_on1, new01, c01), choose(is_on1, new11, c11)
            word0 = choose(is_on0, pack_bf16(h00, h10), word0)
            word1 = choose(is_on1, pack_bf16(h01, h11), word1)
            if is_on0:
                store2(hs, hs_at0, low_bf16(word0), high_bf16(word0))
            if is_on1:
                store2(hs, hs_at1, low_bf16(word1), high_bf16(word1))
            # The other buffer: this one is still being read.
            buffer = uint32(h_bytes - buffer)
            store_shared(uint32(h_to + buffer), word0)
            store_shared(uint32(h_to + buffer + h_row), word1)
            hs_at0 += hs_step
            hs_at1 += hs_step
            wait()
            cuda.syncthreads()

        # A row of no steps keeps its state as it was, rounded or not.
        if end0 > 0:
            store2(h, state0, low_bf16(word0), high_bf16(word0))
            store2(c, state0, c00, c10)
        if end1 > 0:
            store2(h, state1, low_bf16(word1), high_bf16(word1))
            store2(c, state1, c01, c11)

    return tensor_forward
