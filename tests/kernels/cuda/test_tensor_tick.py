"""Streams on tensor cores, executed from their PTX: the bits of sequences, and planted faults."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import streams_laws
from ptx_memory import Fault
from rnn_make import Shape, draw, make_params, make_state
from simulated import SimulatedDevice
from tensor_oracle import rounded
from test_tensor_forward import planted

from streamrnn.kernels.cuda.backend import CudaBackend
from streamrnn.kernels.cuda.tensor.layout import POOL
from streamrnn.kernels.cuda.tensor.streams import TensorStreams, octets_of
from streamrnn.kernels.params import State

pytestmark = pytest.mark.usefixtures("cuda_compiler")
F32 = "float32"
#: One multiprocessor holds three blocks of the first: each has more octets than stand in its pool.
ONE = Shape(n_in=6, hidden=(64,), n_classes=5, n_steps=3, n_rows=8 * 3 * (POOL + 2) + 3, weight=0.2)
#: Layers above one another, fewer units than a warp's, more classes than a thread takes at once.
STACKED = Shape(n_in=18, hidden=(34, 6), n_classes=9, n_steps=3, n_rows=21, weight=0.2)
shapes = pytest.mark.parametrize("shape", [ONE, STACKED], ids=["one", "stacked"])


def make(shape, edit=None):
    """Return a backend, a handle, streams that have begun, and their state."""
    device = SimulatedDevice(n_multiprocessors=1, edit=edit)
    backend = CudaBackend(device)
    handle = backend.upload(make_params(shape, F32), precision="bf16")
    streams = backend.streams(handle, shape.n_rows)
    assert isinstance(streams, TensorStreams)
    start = make_state(shape, F32)
    start = State(tuple(rounded(h) for h in start.h), start.c)
    streams.restore(start)
    return backend, handle, streams, start


def frames(shape, n, t):
    return draw(shape, F32, n, shape.n_in, salt=30 + t), np.full((n, shape.n_classes), np.nan, F32)


@shapes
def test_ticks_have_the_bits_of_sequences(shape):
    backend, handle, streams, state = make(shape)
    assert np.array_equal(streams.snapshot().arena, state.arena)
    for t in range(shape.n_steps):
        x, logits = frames(shape, shape.n_rows, t)
        streams.tick(x, logits)
        expected, _ = backend.forward(handle, x[None], state)
        assert np.array_equal(logits, expected[0])
        assert np.array_equal(streams.snapshot().arena, state.arena)
    ticks = [d for d in backend.device.counts if d.kernel.name == "tensor_tick"]
    assert len(ticks) == shape.n_steps * len(shape.hidden)
    for done in ticks:
        assert done.grid[0] == min(-(-shape.n_rows // 8), done.kernel.min_blocks)
        assert all(op.startswith("cp.async") for op in done.conflicts)


@shapes
def test_some_streams_in_any_order(shape):
    backend, handle, streams, state = make(shape)
    rng = np.random.default_rng(3)
    for t, n in enumerate((1, shape.n_rows // 3, shape.n_rows - 1)):
        rows = rng.permutation(shape.n_rows)[:n]
        x, logits = frames(shape, n, t)
        streams.tick(x, logits, rows)
        some = State(tuple(a[rows] for a in state.h), tuple(a[rows] for a in state.c))
        expected, _ = backend.forward(handle, x[None], some)
        assert np.array_equal(logits, expected[0])
        for whole, part in zip(state.h + state.c, some.h + some.c, strict=True):
            whole[rows] = part
        assert np.array_equal(streams.snapshot().arena, state.arena)
        there = streams.snapshot(rows)
        assert np.array_equal(there.arena, some.arena)
    fresh = rows[:3]
    streams.reset(fresh)
    for a in state.h + state.c:
        a[fresh] = 0
    assert np.array_equal(streams.snapshot().arena, state.arena)
    streams.restore(there, rows)
    for whole, part in zip(state.h + state.c, there.h + there.c, strict=True):
        whole[rows] = part
    assert np.array_equal(streams.snapshot().arena, state.arena)
    streams.reset()
    assert not streams.snapshot().arena.any()


def test_the_laws_of_streams():
    backend = CudaBackend(SimulatedDevice(n_multiprocessors=1))
    shape = Shape(n_in=3, hidden=(18, 6), n_classes=3, n_steps=3, n_rows=19)
    streams_laws.a_stream_is_the_same_stepped_alone(backend, F32, shape, "bf16")


def test_states_are_moved_in_pieces(monkeypatch):
    from streamrnn.kernels.cuda.tensor import streams as tensor_streams

    monkeypatch.setattr(tensor_streams, "PIECE_BYTES", 5 * 2 * 48 * 4)
    _, _, streams, state = make(STACKED)
    assert np.array_equal(streams.snapshot().arena, state.arena)
    rows = np.arange(20, 3, -1)
    assert np.array_equal(streams.snapshot(rows).h[1], state.h[1][rows])
    streams.restore(streams.snapshot(rows), rows)
    assert np.array_equal(streams.snapshot().arena, state.arena)


def test_nan_stays_in_its_stream_until_it_is_reset():
    """Also in units that are only padding, which a reset must clear too."""
    shape = STACKED
    _, _, streams, _ = make(shape)
    _, _, others, _ = make(shape)
    for t in range(2):
        x, logits = frames(shape, shape.n_rows, t)
        expected = logits.copy()
        others.tick(x, expected)
        x[4] = np.nan
        streams.tick(x, logits)
        keep = np.arange(shape.n_rows) != 4
        assert np.array_equal(logits[keep], expected[keep])
        assert np.isnan(logits[4]).all()
    for one in (streams, others):
        one.reset(np.array([4]))
    x, logits = frames(shape, shape.n_rows, 2)
    streams.tick(x, logits)
    others.tick(x, expected)
    assert np.array_equal(logits, expected)


def test_octets_of_streams():
    octets, positions = octets_of(np.array([17, 3, 16, 0]))
    assert octets.tolist() == [0, 2]
    assert positions.reshape(2, 8).tolist() == [[3, -1, -1, 1] + 4 * [-1], [2, 0] + 6 * [-1]]
    assert [len(a) for a in octets_of(np.empty(0, np.int64))] == [0, 0]


@pytest.mark.parametrize(("n", "n_streams"), [(1, 1), (1, 900), (3, 20), (60, 70), (60, 9000)])
def test_each_stream_is_found_in_its_octet(n, n_streams):
    rows = np.random.default_rng(n).permutation(n_streams)[:n]
    octets, positions = octets_of(rows)
    places = positions.reshape(-1, 8)
    which, inside = np.nonzero(places >= 0)
    assert np.array_equal(octets, np.unique(octets))
    assert np.array_equal(np.sort(8 * octets[which] + inside), np.sort(rows))
    assert np.array_equal(rows[places[which, inside]], 8 * octets[which] + inside)
    assert (places >= 0).any(axis=1).all()


def test_other_networks_are_ticked_otherwise():
    """An odd number of units, or states of two layers that do not fit together into registers."""
    for hidden in ((33,), (130,), (64, 128)):
        backend = CudaBackend(SimulatedDevice())
        params = make_params(Shape(6, hidden, 3, 1, 1), F32)
        handle = backend.upload(params, precision="bf16")
        assert not isinstance(backend.streams(handle, 9), TensorStreams)


def caught(edit, match=None):
    """The interpreter finds the fault; without a `match` it may show in the numbers alone."""

    def only_ticks(text):
        return edit(text) if ".entry tensor_tick" in text else text

    _, _, right, _ = make(ONE)
    _, _, streams, _ = make(ONE, only_ticks)
    x, logits = frames(ONE, ONE.n_rows, 0)
    expected = logits.copy()
    right.tick(x, expected)
    if match:
        with pytest.raises(Fault, match=match):
            streams.tick(x, logits)
        return
    with suppress(Fault):
        streams.tick(x, logits)
    assert not np.array_equal(logits, expected)


def test_a_missing_barrier_is_caught():
    caught(planted(r"bar\.sync\s+0;", "", -1), "race")


def test_states_that_are_not_waited_for_are_caught():
    caught(planted(r"cp\.async\.wait_group 2;", "", -1), "never written")
    caught(planted(r"cp\.async\.wait_group 2;", "cp.async.wait_group 3;", -1), "never written")


def test_a_wrong_order_of_weights_or_states_is_caught():
    four = r"{(%r\d+),(%r\d+),(%r\d+),(%r\d+)}(?=, {%r\d+,%r\d+}, {)"
    caught(planted(four, r"{\1,\3,\2,\4}", 6))
    caught(planted(r", {(%r\d+),(%r\d+)}, {", r", {\2,\1}, {", 6))


def test_a_stray_store_is_caught():
    store = r"st\.global\.u32\s+\[(%rd\d+)\]"
    caught(planted(store, r"st.global.u32 [\1+262144]"), "out of bounds")
    caught(planted(store, r"st.global.u32 [\1+4]"))
