"""Back through time on a device: gradients, and that no launch and no device changes a bit."""

from __future__ import annotations

import re

import golden_laws
import numpy as np
import pytest
from device_arrays import get, put
from hypothesis import given
from hypothesis import strategies as st
from ptx_memory import Fault
from rnn_make import Shape, assert_close, draw, make_lengths, make_params, make_state
from simulated import SimulatedDevice, tell_arrays_apart

from streamrnn.kernels.cuda.exact import back_launches, back_tiling
from streamrnn.kernels.cuda.exact.layout import WARP, LayerLayout, fours

F32 = "float32"
#: A unit more than a warp; rows for all forms of the kernel.
SHAPE = Shape(n_in=5, hidden=(33,), n_classes=3, n_steps=3, n_rows=37, seed=4)

pytestmark = pytest.mark.usefixtures("cuda_compiler")


def make_backend(**options):
    from streamrnn.kernels.cuda.backend import CudaBackend

    return CudaBackend(SimulatedDevice(**options))


def gradients(backend, shape=SHAPE, *, times=1):
    """Return all that a way back gives, in one list of arrays, after going back so often."""
    handle, state = backend.upload(make_params(shape, F32)), make_state(shape, F32)
    x = draw(shape, F32, shape.n_steps, shape.n_rows, shape.n_in)
    d_logits = draw(shape, F32, shape.n_steps, shape.n_rows, shape.n_classes)
    mask = draw(shape, F32, shape.n_rows, shape.hidden[-1], salt=9)
    _, tape = backend.forward(handle, x, state, make_lengths(shape), mask, keep_tape=True)
    for _ in range(times):
        d_end = make_state(shape, F32, salt=7)
        grads, d_x, d_start = backend.backward(handle, tape, d_logits, d_end)
        assert np.array_equal(d_end.arena, make_state(shape, F32, salt=7).arena)
    return [*grads.arrays(), d_x, d_start.arena]


def same(got, expected):
    return all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("case", ["c0", "c1", "c2"])
def test_gradients_are_those_of_torch(monkeypatch, case):
    tell_arrays_apart(monkeypatch)
    backend = make_backend(n_multiprocessors=2)
    golden_laws.lstm_and_its_gradients(backend, golden_laws.load(), F32, case)


def test_bits_depend_neither_on_the_device_nor_on_the_launch():
    found, forms = [], set()
    for options in (
        {},
        {"n_multiprocessors": 1},
        {"n_multiprocessors": 4, "shared_bytes": 48 << 10},
        {"n_multiprocessors": 9, "architecture": "sm_120"},
    ):
        backend = make_backend(**options)
        found.append(gradients(backend))
        forms |= {c.kernel.options for c in backend.device.counts if c.kernel.name == "bptt"}
    assert {dict(form)["rows"] for form in forms} == {2, 4, 8}
    assert all(same(got, found[0]) for got in found)


def test_a_tape_can_be_gone_back_over_again():
    backend = make_backend()
    assert same(gradients(backend, times=2), gradients(backend))


@pytest.mark.parametrize("hidden", [(32,), (34,), (33, 33)])
def test_the_tape_of_another_network_is_refused(hidden):
    backend = make_backend()
    ours, other = (
        backend.upload(make_params(Shape(5, sizes, 3, 1, 1), F32)) for sizes in ((33,), hidden)
    )
    x = draw(SHAPE, F32, 2, 3, 5)
    _, tape = backend.forward(ours, x, backend.zero_state(ours, 3), keep_tape=True)
    with pytest.raises(ValueError, match="another network's tape"):
        backend.backward(other, tape, np.zeros((2, 3, 3), np.float32))


def back_of_units(w_hh, e, cs, hs, d_y, state, ends):
    """Return dz and the gradient at the start state, in float64."""
    e, cs, hs, d_y, w_hh = (a.astype(np.float64) for a in (e, cs, hs, d_y, w_hh))
    d_h, d_c = (a.astype(np.float64) for a in state)
    n_units, dz = w_hh.shape[1], np.zeros(e.shape)
    for t in reversed(range(len(e))):
        i, f, o = (1 / (1 + e[t, ..., gate]) for gate in (0, 1, 3))
        g = (1 - e[t, ..., 2]) / (1 + e[t, ..., 2])
        above, tanh_c = d_y[t] + d_h, hs[t + 1] / o
        at_c = d_c + above * o * (1 - tanh_c**2)
        parts = (
            at_c * g * i * (1 - i),
            at_c * cs[t] * f * (1 - f),
            at_c * i * (1 - g**2),
            above * tanh_c * o * (1 - o),
        )
        live = (t < ends)[:, None]
        dz[t] = np.where(live[..., None], np.stack(parts, -1), 0)
        before = np.einsum("bkg,gkj->bj", dz[t], w_hh.reshape(4, n_units, n_units))
        d_h, d_c = np.where(live, before, d_h), np.where(live, at_c * f, d_c)
    return dz, d_h, d_c


@pytest.mark.parametrize("rows", list(back_tiling.BPTT_THREADS))
@pytest.mark.parametrize(("groups", "n_blocks", "n_kept"), [(1, 2, 0), (2, 1, 20), (4, 1, 36)])
def test_every_form_of_bptt(rows, groups, n_blocks, n_kept):
    shape = Shape(3, (33,), 2, 4, 27, seed=rows)
    device, sizes, n_units = SimulatedDevice(), (shape.n_steps, shape.n_rows), 33
    params, ends = make_params(shape, F32), make_lengths(shape)
    e = np.exp(draw(shape, F32, *sizes, n_units, 4))
    cs, d_y = draw(shape, F32, 5, 27, n_units), draw(shape, F32, *sizes, n_units, salt=2)
    hs = (np.tanh(cs) / (1 + np.concatenate([e[:1], e])[..., 3])).astype(F32)
    state = make_state(shape, F32)
    dz, d_h, d_c = back_of_units(
        params.layers[0].w_hh, e, cs, hs, d_y, (state.h[0], state.c[0]), ends
    )
    live = np.arange(shape.n_steps)[:, None] < ends
    for a in (e, d_y):  # what is behind ends must not matter
        a[~live] = np.nan

    back = np.zeros((36, 4, 64), np.float32)
    back[:33, :, :33] = params.layers[0].w_hh.reshape(4, 33, 33).transpose(1, 0, 2)
    w_back = back.reshape(36, 4, 16, 4).transpose(0, 2, 1, 3)
    layer = LayerLayout(3, 33, 64, 0, 0, 0, 0, (0, 0, 0))
    held = groups * 2 * 64 * back_tiling.dz_stride(rows) * 4
    tiling = back_tiling.Tiling(rows, groups, n_blocks, 0, n_kept, 1024 * n_kept + held)
    stride = state.arena.size // (2 * shape.n_rows)
    at_state = put(device, state.arena)
    at_e = put(device, e)
    back_launches.bptt(
        device, tiling, layer, n_steps=4, n_rows=27, es=at_e, cs=put(device, cs),
        hs=put(device, hs), d_y=put(device, d_y), w_back=put(device, w_back), d_h=at_state,
        d_c=at_state + 4 * 27 * stride, state_stride=stride, dz=at_e,
        ends=put(device, ends.astype(np.int32)),
    )  # fmt: skip
    assert_close(get(device, at_e, *e.shape)[live], dz[live].astype(F32))
    device.read(at_state, state.arena)
    assert_close(state.h[0], d_h.astype(F32))
    assert_close(state.c[0], d_c.astype(F32))
    assert not device.counts[-1].conflicts


FORMS = [(c, False) for c in back_tiling.OUTER_COLUMNS]
FORMS += [(c, True) for c in back_tiling.HEAD_COLUMNS]


@pytest.mark.parametrize(("columns", "head"), FORMS)
def test_every_form_of_outer(columns, head):
    """Several tiles each way, the last of them not full, and more slices than partial sums."""
    rng, device = np.random.default_rng(columns), SimulatedDevice()
    n_steps, n_rows, n_units = 9, 7, 35
    n_all, n_left = n_steps * n_rows, 4 * n_units
    n_first, n_second = (16 * columns + 3, 0) if head else (16 * columns, n_units)
    left, first, second = (
        rng.standard_normal((n_all, n)).astype(F32) for n in (n_left, n_first, n_second)
    )
    mask = rng.standard_normal((n_rows, n_left)).astype(F32)
    ends = rng.integers(0, n_steps + 1, n_rows)
    live = (np.arange(n_steps)[:, None] < ends).ravel()
    wide = left.astype(np.float64) * (np.tile(mask, (n_steps, 1)) if head else 1)
    right = np.concatenate([first, second], axis=1).astype(np.float64)
    weights = wide[live].T @ right[live]
    if head:
        expected = [weights.T, right[live].sum(axis=0)]
    else:
        plain = weights.reshape(n_units, 4, -1).swapaxes(0, 1).reshape(n_left, -1)
        biases = wide[live].sum(axis=0).reshape(n_units, 4).T
        expected = [plain[:, :n_first], plain[:, n_first:], biases]
    for a in (left, first, second):
        a[~live] = np.nan

    n_segment = weights.size + (n_first if head else n_left)
    across = -(-n_left // back_tiling.OUTER_LEFT)
    n_tiles = across * -(-(n_first + n_second) // (16 * columns))
    tiling = back_tiling.OuterTiling(columns, n_tiles, 2, n_segment)
    partials, sums = device.allocate(8 * n_segment), device.allocate(4 * n_segment)
    back_launches.outer(
        device, tiling, head=head, left=put(device, left), first=put(device, first),
        second=0 if head else put(device, second), mask=put(device, mask) if head else 0,
        ends=put(device, ends.astype(np.int32)), partials=partials, n_all=n_all, n_rows=n_rows,
        n_left=n_left, n_first=n_first, n_second=n_second,
    )  # fmt: skip
    back_launches.reduce(device, partials, sums, 2, n_segment)
    flat = np.concatenate([a.ravel() for a in expected]).astype(F32)
    assert_close(get(device, sums, n_segment), flat)
    assert not device.counts[0].conflicts


@pytest.mark.parametrize("name", ["bptt", "outer"])
def test_a_missing_barrier_is_noticed(name):
    def edit(text):
        if f".entry {name}(" not in text:
            return text
        return re.sub(r"bar\.sync\s+(%r\d+, %r\d+|0);", "", text)

    with pytest.raises(Fault, match="race"):
        gradients(make_backend(edit=edit), Shape(3, (64,), 2, 4, 9))


layers = st.integers(1, 512).map(
    lambda n: LayerLayout(1, n, -(-n // WARP) * WARP, 0, 0, 0, 0, (0, 0, 0))
)


@given(
    layer=layers,
    n_rows=st.integers(1, 10**6),
    n_multiprocessors=st.integers(1, 200),
    shared_bytes=st.sampled_from([48 << 10, 64 << 10, 99 << 10, 163 << 10, 227 << 10]),
)
def test_tilings_fit(layer, n_rows, n_multiprocessors, shared_bytes):
    tiling = back_tiling.make_back_tiling(
        layer, n_rows, n_multiprocessors=n_multiprocessors, shared_bytes=shared_bytes
    )
    assert tiling.groups * layer.n_padded <= back_tiling.BPTT_THREADS[tiling.rows]
    assert tiling.shared_bytes <= shared_bytes
    assert 1 <= tiling.n_blocks <= n_multiprocessors
    assert (tiling.n_blocks - 1) * tiling.groups * tiling.rows < n_rows, "a block has nothing to do"
    assert tiling.n_h_shared % 4 == 0
    assert tiling.n_h_shared <= fours(layer.n_units)


@given(n_left=st.integers(1, 2048), n_right=st.integers(1, 1024), head=st.booleans())
def test_partial_sums_fill_a_device_and_no_more(n_left, n_right, head):
    tiling = back_tiling.make_outer_tiling(n_left, n_right, head=head)
    across = -(-n_left // back_tiling.OUTER_LEFT)
    assert tiling.n_tiles == across * -(-n_right // (16 * tiling.columns))
    n_blocks = tiling.n_tiles * tiling.n_used(10**6)
    assert tiling.n_partials in (1, back_tiling.MOST_PARTIALS) or (
        back_tiling.MOST_TILES - tiling.n_tiles < n_blocks <= back_tiling.MOST_TILES
    )
    assert tiling.n_used(0) == 0
