"""One step of one LSTM layer for many streams on tensor cores, and what belongs to it.

A block takes one octet of streams after another, with its weights in registers throughout, as
tensor.py takes one step after another; sums and cells are those of tensor.py, to the bit. States
are read and written where they lie (`tensor/layout.py`), 16 bytes a lane and each once for all
warps: they are copied to shared memory some octets ahead, so the only barrier for an octet says
both that it has arrived and that all have read what it will be overwritten by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from numba import cuda, float32, int32, int64, uint32

from streamrnn.kernels.cuda.code.tensor import (
    load_weights,
    multiply_tile,
    start_sums,
    update_cell,
)
from streamrnn.kernels.cuda.code.tensor_words import (
    choose,
    close_copies,
    high_bf16,
    load_shared2,
    load_shared4,
    low_bf16,
    pack_bf16,
    shared_place,
    start_copy,
    start_copy4,
    store_shared,
    wait_for_copies,
)
from streamrnn.kernels.cuda.code.words import is_there, load4, shared_floats, store4
from streamrnn.kernels.cuda.tensor.layout import POOL, TILE, x_row_bytes
from streamrnn.kernels.jit import fma

_device = cast(Callable[..., Any], cuda.jit(device=True))


def make_tick(units: int, inputs: int, stacked: int, chosen: int) -> Callable[..., Any]:
    """Return the kernel for a layer of up to so many units and inputs.

    Parameters
    ----------
    units, inputs : int
        Multiples of 32 and of 16.
    stacked : {0, 1}
        Whether the inputs are the states h of the layer below, else rows of float32.
    chosen : {0, 1}
        Whether only some of the streams are meant.

    Returns
    -------
    kernel
        See `streamrnn.kernels.cuda.tensor.ticks.tick` for the arguments. Any number of blocks, 2
        threads for a unit.
    """
    n_threads, hidden_tiles, input_tiles = 2 * units, units // TILE, inputs // TILE
    n_weights = units + inputs
    x_row = x_row_bytes(inputs)
    h_bytes, c_bytes = 16 * units, 32 * units
    x_bytes = 16 * inputs if stacked else 8 * x_row
    octet_bytes = h_bytes + c_bytes + x_bytes
    # Inputs of float32 are copied one by one, a row by an eighth of the threads; states in fours.
    per_row = n_threads // 8
    n_copies = -(-inputs // (n_threads if stacked else per_row))
    wait = wait_for_copies(POOL - 2)

    @_device
    def octet_of(i: Any, octets: Any) -> Any:
        return int64(octets[i]) if chosen else int64(i)

    @_device
    def row_of(i: Any, n: Any, places: Any, n_streams: Any) -> Any:
        """Return which row of x is that of stream n of the i-th octet; -1 for none."""
        at = int32(8 * i + n)
        if chosen:
            return places[at]
        return at if at < int32(n_streams) else int32(-1)

    @_device
    def copy_octet(
        x: Any, h: Any, c: Any, octet: Any, row: Any, n_in: Any, thread: Any, to: Any
    ) -> None:
        if thread < units:
            start_copy4(uint32(to + 16 * thread), h, octet * (4 * units) + 4 * thread)
        start_copy4(uint32(to + h_bytes + 16 * thread), c, 4 * (octet * n_threads + thread))
        x_to = to + (h_bytes + c_bytes)
        for k in range(n_copies):
            if stacked:
                at = thread + k * n_threads
                if at < inputs:
                    start_copy4(uint32(x_to + 16 * at), x, octet * (4 * inputs) + 4 * at)
            else:
                column = int32(thread % per_row + k * per_row)
                if row >= 0 and column < n_in:
                    place = uint32(x_to + thread // per_row * x_row + 4 * column)
                    start_copy(place, x, int64(row) * n_in + column)

    @_device
    def sum_up(place: Any, g: Any, q: Any, bias: Any, weights: Any, sums: Any) -> None:
        start_sums(bias, sums)
        x_place = place + (h_bytes + c_bytes)
        for k in range(input_tiles):
            if stacked:
                b0, b1 = load_shared2(uint32(x_place + 256 * k + 32 * g + 8 * q))
            else:
                v0, v1, v2, v3 = load_shared4(uint32(x_place + 64 * k + g * x_row + 16 * q))
                b0, b1 = pack_bf16(v0, v1), pack_bf16(v2, v3)
            multiply_tile(weights, hidden_tiles + k, b0, b1, sums)
        for k in range(hidden_tiles):
            b0, b1 = load_shared2(uint32(place + 256 * k + 32 * g + 8 * q))
            multiply_tile(weights, k, b0, b1, sums)

    def tensor_tick(
        x: Any, weights: Any, biases: Any, h: Any, c: Any, octets: Any, places: Any,
        n_octets: Any, n_streams: Any, n_in: Any,
    ) -> None:  # fmt: skip
        thread = uint32(cuda.threadIdx.x)
        warp, g, q = thread >> 5, (thread >> 2) & 7, thread & 3
        mine = thread // per_row
        held = cuda.local.array(n_weights, uint32)
        load_weights(weights, thread, n_threads, n_weights // 4, held)
        bias = cuda.local.array(8, float32)
        load_weights(biases, thread, n_threads, 2, bias)
        sums = cuda.local.array(16, float32)
        memory = shared_place(shared_floats())
        # Inputs that are not there, behind I or of a stream that is not meant, are 0 at first.
        for at in range(4 * thread, POOL * octet_bytes, 4 * n_threads):
            store_shared(uint32(memory + at), uint32(0))
        cuda.syncthreads()

        step, ahead = int32(cuda.gridDim.x), int32(cuda.blockIdx.x)
        for k in range(POOL - 1):
            if ahead < n_octets:
                row = row_of(ahead, mine, places, n_streams)
                octet = octet_of(ahead, octets)
                copy_octet(x, h, c, octet, row, n_in, thread, memory + k * octet_bytes)
            close_copies()
            ahead = int32(ahead + step)
        slot, slot_ahead = uint32(0), uint32((POOL - 1) * octet_bytes)
        octet_ahead, row_ahead = int64(0), int32(-1)
        if ahead < n_octets:
            octet_ahead = octet_of(ahead, octets)
            row_ahead = row_of(ahead, mine, places, n_streams)
        for i in range(int32(cuda.blockIdx.x), n_octets, step):
            wait()
            cuda.syncthreads()
            if ahead < n_octets:
                copy_octet(x, h, c, octet_ahead, row_ahead, n_in, thread, memory + slot_ahead)
            close_copies()
            ahead = int32(ahead + step)
            if ahead < n_octets:
                octet_ahead = octet_of(ahead, octets)
                row_ahead = row_of(ahead, mine, places, n_streams)
            octet = octet_of(i, octets)
            is_on0 = row_of(i, 2 * q, places, n_streams) >= 0
            is_on1 = row_of(i, 2 * q + 1, places, n_streams) >= 0
            place = uint32(memory + slot)
            sum_up(place, g, q, bias, held, sums)
            c00, c01, c10, c11 = load_shared4(uint32(place + h_bytes + 16 * thread))
            new00, h00 = update_cell(sums, 0, c00)
            new01, h01 = update_cell(sums, 1, c01)
            new10, h10 = update_cell(sums, 2, c10)
            new11, h11 = update_cell(sums, 3, c11)
            c00, c10 = choose(is_on0, new00, c00), choose(is_on0, new10, c10)
            c01, c11 = choose(is_on1, new01, c01), choose(is_on1, new11, c11)
            word0, word1 = pack_bf16(h00, h10), pack_bf16(h01, h11)
            at = octet * (4 * units) + (64 * warp + 16 * q + 2 * (g & 3) + (g >> 2))
            if is_on0:
                h[at] = word0
            if is_on1:
                h[at + 8] = word1
            store4(c, 4 * (octet * n_threads + thread), c00, c01, c10, c11)
            slot_ahead = slot
            slot = uint32(slot + octet_bytes) if slot < (POOL - 1) * octet_bytes else uint32(0)

    return tensor_tick


def make_head(classes: int) -> Callable[..., Any]:
    """Return the kernel that makes logits of the streams' states.

    A thread takes one stream and `classes` classes, 4 or 8: for each one chain of fused
    multiply-adds that starts at the bias, units ascending, as everywhere
    (docs/adr/0001-order-of-summation.md).
    """
    n_fours = classes // 4

    @_device
    def add_unit(value: Any, w_out: Any, at: Any, first: Any, w_stride: Any, sums: Any) -> None:
        for k in range(n_fours):
            if first + 4 * k < w_stride:
                v0, v1, v2, v3 = load4(w_out, at + 4 * k)
                sums[4 * k] = fma(v0, value, sums[4 * k])
                sums[4 * k + 1] = fma(v1, value, sums[4 * k + 1])
                sums[4 * k + 2] = fma(v2, value, sums[4 * k + 2])
                sums[4 * k + 3] = fma(v3, value, sums[4 * k + 3])

    def stream_head(
        h: Any, w_out: Any, b_out: Any, logits: Any, streams: Any,
        n: Any, n_units: Any, n_classes: Any, units: Any, w_stride: Any,
    ) -> None:  # fmt: skip
        row = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        first = int32(cuda.blockIdx.y) * classes
        if row >= n:
            return
        stream = int64(streams[row]) if is_there(streams) else row
        sums = cuda.local.array(classes, float32)
        for k in range(n_fours):
            if first + 4 * k < w_stride:
                v0, v1, v2, v3 = load4(b_out, int64(first + 4 * k))
                sums[4 * k], sums[4 * k + 1], sums[4 * k + 2], sums[4 * k + 3] = v0, v1, v2, v3
        at = (stream >> 3) * (4 * units) + 8 * (stream & 7)
        w_at, n_left = int64(first), n_units
        while n_left > 0:
            for part in range(2):
                words = load4(h, at + 4 * part)
                for k in range(4):
                    if n_left > 8 * part + 2 * k:
                        add_unit(low_bf16(words[k]), w_out, w_at, first, w_stride, sums)
                        w_at += w_stride
                        add_unit(high_bf16(words[k]), w_out, w_at, first, w_stride, sums)
                        w_at += w_stride
            at += 64
            n_left -= 16
        for k in range(classes):
            if first + k < n_classes:
                logits[row * n_classes + (first + k)] = sums[k]

    return stream_head


def make_move(back: int) -> Callable[..., Any]:
    """Return the kernel that moves states from their own order into rows, or back.

    A thread moves two units of one stream. What there is no unit for is 0, and so is everything if
    there are no rows to move back.
    """

    def stream_move(
        h: Any, c: Any, h_rows: Any, c_rows: Any, streams: Any,
        first: Any, n: Any, n_units: Any, units: Any, stride: Any,
    ) -> None:  # fmt: skip
        index = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        row, unit = index // (units // 2), int32(index % (units // 2)) * 2
        if row >= n:
            return
        stream = int64(streams[row]) if is_there(streams) else first + row
        octet, column, pair = stream >> 3, int32(stream & 7), (unit & 15) >> 1
        h_at = octet * (4 * units) + ((unit >> 4) * 64 + 8 * column + pair)
        # See `unit_of_lane`: pair 2 (g mod 4) + g div 4 of the warp, columns 2 q and 2 q + 1.
        thread = 2 * (unit & ~15) + 4 * (pair >> 1) + 16 * (pair & 1) + (column >> 1)
        c_at = 4 * (octet * (2 * units) + thread) + (column & 1)
        at = row * stride + unit
        if back:
            word, c0, c1 = uint32(0), float32(0), float32(0)
            if is_there(h_rows) and unit < n_units:
                word = pack_bf16(h_rows[at], h_rows[at + 1])
                c0, c1 = c_rows[at], c_rows[at + 1]
            h[h_at] = word
            c[c_at], c[c_at + 2] = c0, c1
        elif unit < stride:
            word, c0, c1 = uint32(0), float32(0), float32(0)
            if unit < n_units:
                word, c0, c1 = h[h_at], c[c_at], c[c_at + 2]
            h_rows[at], h_rows[at + 1] = low_bf16(word), high_bf16(word)
            c_rows[at], c_rows[at + 1] = c0, c1

    return stream_move
