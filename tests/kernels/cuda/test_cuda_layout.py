"""Where a network's numbers lie on a device, and how a layer is cut for one; nothing is run."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rnn_make import Shape, make_params, make_state
from rnn_shapes import wide_shapes

from streamrnn.kernels.cuda.exact.layout import fours, make_layout, make_map, state_places
from streamrnn.kernels.cuda.exact.tiling import (
    MOST_SLOTS,
    MOST_THREADS,
    N_BARRIERS,
    is_fused,
    make_tiling,
)
from streamrnn.kernels.cuda.memory import ALIGNMENT_BYTES, Buffer, Places, Workspace
from streamrnn.kernels.cuda.network import flat, unflat

#: Multiprocessors and shared memory of a block: a T4, an A100, a small GeForce, an H100.
DEVICES = [(40, 64 << 10), (108, 163 << 10), (20, 99 << 10), (132, 227 << 10)]


def packed_of(params):
    layout = make_layout(params)
    gather, plain = make_map(layout), flat(params)
    return layout, np.where(gather < 0, np.float32(0), plain[gather])


@given(shape=wide_shapes)
@settings(max_examples=30)
def test_packed_weights_are_the_plain_ones_in_the_kernels_order(shape):
    params = make_params(shape, "float32")
    layout, packed = packed_of(params)

    def part(at, *size):
        assert at % 64 == 0
        return packed[at : at + int(np.prod(size))].reshape(size)

    for layer, p in zip(layout.layers, params.layers, strict=True):
        n_in, n, wide = layer.n_in, layer.n_units, layer.n_padded
        w_ih, w_hh = p.w_ih.reshape(4, n, n_in), p.w_hh.reshape(4, n, n)
        w, bias = part(layer.w, n_in + n, wide, 4), part(layer.bias, wide, 4)
        w_back = part(layer.w_back, fours(n), wide // 4, 4, 4)
        w_down = part(layer.w_down, n, 4, layer.down_stride)
        for gate in range(4):
            assert np.array_equal(w[:n_in, :n, gate], w_ih[gate].T)
            assert np.array_equal(w[n_in:, :n, gate], w_hh[gate].T)
            assert np.array_equal(bias[:n, gate], p.b.reshape(4, n)[gate])
            back = w_back[:, :, gate].reshape(fours(n), wide)
            assert np.array_equal(back[:n, :n], w_hh[gate])
            assert not back[n:].any()
            assert not back[:, n:].any()
            assert np.array_equal(w_down[:, gate, :n_in], w_ih[gate])
        assert not w[:, n:].any()
        assert not bias[n:].any()
        assert not w_down[:, :, n_in:].any()
        assert wide % 32 == 0
        assert 0 <= wide - n < 32
    n_classes, n_last = params.w_out.shape
    w_out_t = part(layout.w_out_t, n_last, layout.out_t_stride)
    assert np.array_equal(w_out_t[:, :n_classes], params.w_out.T)
    assert not w_out_t[:, n_classes:].any()
    assert np.array_equal(part(layout.b_out, fours(n_classes))[:n_classes], params.b_out)
    w_out = part(layout.w_out, n_classes, layout.out_stride)
    assert np.array_equal(w_out[:, :n_last], params.w_out)
    assert not w_out[:, n_last:].any()


@given(shape=wide_shapes)
@settings(max_examples=10)
def test_plain_weights_are_the_arrays_end_to_end(shape):
    params = make_params(shape, "float32")
    layout, numbers = make_layout(params), flat(params)
    assert numbers.size == layout.n_plain
    for a, b in zip(unflat(params, numbers).arrays(), params.arrays(), strict=True):
        assert np.array_equal(a, b)
        a[...] = 0  # memory of its own
    assert np.array_equal(numbers, flat(params))


@given(shape=wide_shapes)
@settings(max_examples=10)
def test_a_state_lies_on_a_device_as_it_does_here(shape):
    state = make_state(shape, "float32")
    places, size = state_places(shape.hidden, shape.n_rows)
    assert size == state.arena.size
    for place, h, c in zip(places, state.h, state.c, strict=True):
        for at, rows in ((place.h, h), (place.c, c)):
            there = state.arena[at : at + len(rows) * place.stride].reshape(len(rows), -1)
            assert np.array_equal(there[:, : rows.shape[1]], rows)


@given(
    n_in=st.integers(1, 256),
    n_units=st.integers(1, 512),
    n_steps=st.sampled_from([1, 2, 1000]),
    n_rows=st.one_of(st.integers(1, 300), st.sampled_from([4096, 10**6])),
    device=st.sampled_from(DEVICES),
)
@settings(max_examples=150)
def test_a_layer_of_any_size_fits_any_device(n_in, n_units, n_steps, n_rows, device):
    n_multiprocessors, shared_bytes = device
    layer = make_layout(make_params(Shape(n_in, (n_units,), 1, 1, 1), "float32")).layers[0]
    fused = is_fused(layer, n_steps)
    tiling = make_tiling(
        layer,
        n_steps,
        n_rows,
        fused=fused,
        n_multiprocessors=n_multiprocessors,
        shared_bytes=shared_bytes,
    )
    assert 1 <= tiling.n_blocks <= n_multiprocessors
    assert 1 <= tiling.groups <= N_BARRIERS
    assert tiling.groups * layer.n_padded <= MOST_THREADS[tiling.rows]
    assert tiling.shared_bytes <= shared_bytes
    for n_shared, n_all in (
        (tiling.n_x_shared, n_in if fused else 0),
        (tiling.n_h_shared, n_units),
    ):
        assert n_shared == n_all or (n_shared % 4 == 0 and 0 <= n_shared < n_all)
    if fused:  # a thread has room for its share of the next step's inputs
        assert tiling.rows * n_in <= min(tiling.rows, MOST_SLOTS) * layer.n_padded
    n_tiles = -(-n_rows // tiling.rows)
    assert tiling.n_blocks == min(n_multiprocessors, -(-n_tiles // tiling.groups))


def tiling_of(n_units, n_rows, n_steps=100):
    layer = make_layout(make_params(Shape(6, (n_units,), 3, 1, 1), "float32")).layers[0]
    return make_tiling(
        layer, n_steps, n_rows, fused=True, n_multiprocessors=132, shared_bytes=227 << 10
    )


def test_few_rows_are_spread_and_many_share_the_weights():
    for n_units in (32, 64, 128, 256):
        few, many = tiling_of(n_units, 64), tiling_of(n_units, 10**6)
        assert (few.rows, few.groups, few.n_blocks) == (1, 1, 64)
        assert (many.rows, many.n_blocks) == (8, 132)
        assert many.groups * n_units >= 256
        rows = [tiling_of(n_units, n).rows for n in (1, 64, 132, 1024, 10**6)]
        assert rows == sorted(rows)


def test_weights_stay_in_shared_memory_unless_they_are_used_once():
    every_step = tiling_of(64, 10)
    assert (every_step.n_x_shared, every_step.n_h_shared) == (6, 64)
    once = tiling_of(64, 10, n_steps=1)
    assert (once.n_x_shared, once.n_h_shared) == (0, 0)
    many_tiles = tiling_of(64, 10**6, n_steps=1)
    assert (many_tiles.n_x_shared, many_tiles.n_h_shared) == (6, 64)
    wide = tiling_of(512, 10)  # 4 MiB
    assert wide.n_x_shared == 6
    assert 0 < wide.n_h_shared < 32


@given(sizes=st.lists(st.integers(0, 1000), min_size=1, max_size=8))
@settings(max_examples=20)
def test_arrays_of_one_buffer_do_not_overlap(sizes):
    places = Places()
    begins = [places.add(n) for n in sizes]
    ends = [begin + 4 * n for begin, n in zip(begins, sizes, strict=True)]
    assert all(begin % ALIGNMENT_BYTES == 0 for begin in begins)
    assert all(end <= begin for end, begin in zip(ends, [*begins[1:], places.n_bytes], strict=True))


class Ledger:
    """The part of a device that has memory."""

    def __init__(self):
        self.taken, self.n_given = {}, 0

    def allocate(self, n_bytes):
        self.n_given += 1
        self.taken[256 * self.n_given] = n_bytes
        return 256 * self.n_given

    def free(self, address):
        del self.taken[address]


def test_memory_is_given_back_once_when_nothing_holds_it():
    device = Ledger()
    first, none = Buffer(device, 100), Buffer(device, 0)
    assert device.taken == {first.address: 100}
    assert none.address == 0
    del first, none
    gc.collect()
    assert not device.taken


def test_a_workspace_grows_and_never_holds_two_pieces():
    device = Ledger()
    workspace = Workspace(device)
    small = workspace.take(100)
    assert workspace.take(50) == small
    large = workspace.take(200)
    assert large != small
    assert device.taken == {large: 200}
    del workspace
    assert not device.taken


def test_a_workspace_that_could_not_grow_is_empty_and_works_on():
    device = Ledger()
    workspace = Workspace(device)
    workspace.take(100)
    device.allocate = lambda n_bytes: 1 / 0
    with pytest.raises(ZeroDivisionError):
        workspace.take(200)
    assert not device.taken
    del device.allocate
    assert workspace.take(10) in device.taken
