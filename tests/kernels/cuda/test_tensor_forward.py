"""A layer on tensor cores, executed from its PTX: its arithmetic, its laws, and planted faults."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest
from ptx_memory import Fault
from simulated import SimulatedDevice
from tensor_oracle import exact_and_bound, rounded, same_arithmetic

from streamrnn.kernels.cuda.kernel import ARCHITECTURES, capability_of
from streamrnn.kernels.cuda.tensor.layers import TensorLayer, kernels, supports
from streamrnn.kernels.cuda.tensor.layout import RING
from streamrnn.kernels.params import LayerParams

pytestmark = pytest.mark.usefixtures("cuda_compiler")
F32 = np.float32
#: tanh.approx.f32, PTX ISA 9.0, chapter 9.7.3.22.
TANH_OFF = 2.0**-10.987


@dataclass
class Case:
    """A random layer, inputs and a state; weights as trained networks have them."""

    n_in: int
    n_units: int
    n_rows: int
    n_steps: int
    seed: int = 0

    def __post_init__(self):
        rng = np.random.default_rng([self.seed, self.n_in, self.n_units])
        size = 2 / np.sqrt(self.n_in + self.n_units)

        def draw(*shape):
            return rng.uniform(-size, size, shape).astype(F32)

        rows = 4 * self.n_units
        self.layer = LayerParams(draw(rows, self.n_in), draw(rows, self.n_units), draw(rows))
        self.x = rng.standard_normal((self.n_steps, self.n_rows, self.n_in)).astype(F32)
        shape = (self.n_rows, self.n_units)
        self.h = np.tanh(rng.standard_normal(shape)).astype(F32)
        self.c = rng.standard_normal(shape).astype(F32)


def put(device, a):
    address = device.allocate(max(a.nbytes, 4))
    device.write(address, np.ascontiguousarray(a))
    return address


def run(layer, x, h, c, ends=None, *, t_from=0, index=None, stride=None):
    """Return hs and the states that the kernel leaves."""
    device = layer.device
    n_steps, n_rows = x.shape[:2]
    n_units = h.shape[1]
    stride = n_units if stride is None else stride
    states = [np.zeros((len(h), stride), F32) for _ in range(2)]
    states[0][:, :n_units], states[1][:, :n_units] = h, c
    at_h, at_c = (put(device, state) for state in states)
    hs = np.zeros((n_steps, n_rows, n_units), F32)
    at_x, at_hs = put(device, x), put(device, hs)
    layer.run(
        x=at_x, h=at_h, c=at_c, state_stride=stride, hs=at_hs, n_steps=n_steps, n_rows=n_rows,
        ends=0 if ends is None else put(device, np.asarray(ends, np.int32)),
        index=0 if index is None else put(device, np.asarray(index, np.int32)),
        t_from=t_from,
    )  # fmt: skip
    device.read(at_hs, hs)
    for address, state in zip((at_h, at_c), states, strict=True):
        device.read(address, state)
        assert not state[:, n_units:].any()
    return hs, states[0][:, :n_units], states[1][:, :n_units]


def same(a, b):
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))


#: One for each number of units that a warp's registers are laid out for; the last has fewer inputs
#: than a copy of 16 bytes takes. More steps than inputs are held for.
CASES = [
    Case(6, 64, 11, RING + 4),
    Case(64, 34, 8, 4),
    Case(20, 128, 3, 3),
    Case(33, 96, 9, 3),
    Case(1, 2, 1, 3),
]
cases = pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.n_in}-{c.n_units}")


@cases
def test_the_arithmetic_is_what_it_says_to_the_bit(case):
    """The interpreter's tanh is exact; so units, gates, indices and rows stand in their places."""
    layer = TensorLayer(SimulatedDevice(), case.layer)
    got = run(layer, case.x, case.h, case.c, stride=case.n_units + 2)
    assert same(got, same_arithmetic(case.layer, case.x, case.h, case.c))
    (done,) = layer.device.counts
    n_tiles = (layer.units + layer.inputs) // 16
    n_warps = layer.units // 16 * -(-case.n_rows // 8)
    per_step = {op: n / n_warps / case.n_steps for op, n in done.executed.items()}
    assert per_step["tanh.approx.f32"] == 20
    first = 4 * layer.inputs / 16 / case.n_steps  # a step ahead
    mma = "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
    assert per_step[mma] == 4 * n_tiles + first
    # Threads that copy inputs one by one may meet in a bank, in the background.
    assert all(op.startswith("cp.async") for op in done.conflicts)


@cases
def test_errors_are_within_their_bound(case):
    """Against float64 and weights that are not rounded. The interpreter's tanh adds nothing."""
    x = case.x[:6]  # the bound grows with each step, until it says nothing
    hs, _, _ = run(TensorLayer(SimulatedDevice(), case.layer), x, case.h, case.c)
    exact, bound = exact_and_bound(case.layer, x, case.h, case.c, tanh_off=0.0)
    assert (np.abs(hs - exact) <= bound).all()
    _, wider = exact_and_bound(case.layer, x, case.h, case.c, tanh_off=TANH_OFF)
    assert (bound <= wider).all()


def test_errors_do_not_pile_up():
    """What is rounded off goes either way, and gates forget: some thousandths, at any time."""
    case = Case(6, 64, 8, 150)
    hs, _, _ = run(TensorLayer(SimulatedDevice(), case.layer), case.x, case.h, case.c)
    exact, _ = exact_and_bound(case.layer, case.x, case.h, case.c, tanh_off=0.0)
    error = np.abs(hs - exact)
    assert error.max() < 0.03
    assert error[-50:].mean() < 2 * error[:50].mean()


def test_a_sequence_is_repeated_steps_and_a_row_is_the_row_alone():
    case = Case(6, 64, 11, RING + 4)
    layer = TensorLayer(SimulatedDevice(), case.layer)
    hs, h, c = run(layer, case.x, case.h, case.c)
    state = (case.h, case.c)
    for t in range(case.n_steps):
        step, *state = run(layer, case.x[t : t + 1], *state)
        assert np.array_equal(step[0], hs[t])
    assert same(state, (h, c))
    assert np.array_equal(rounded(h), h)
    for row in (0, 7, 10):
        alone = slice(row, row + 1)
        got = run(layer, case.x[:, alone], case.h[alone], case.c[alone])
        assert same(got, (hs[:, alone], h[alone], c[alone]))


def test_rows_end_where_they_end():
    """Behind a row's end there may be NaN, and nothing is written; a row of no steps is left."""
    case = Case(6, 64, 11, 13)
    layer = TensorLayer(SimulatedDevice(), case.layer)
    ends = np.array([13, 0, 5, 1, 12, 9, 13, 3, 8, 0, 2])
    expected = same_arithmetic(case.layer, case.x, case.h, case.c, ends)
    x = case.x.copy()
    for row, end in enumerate(ends):
        x[end:, row] = np.nan
    started = [
        np.where(ends[:, None] > 0, a, b)
        for a, b in zip(expected[1:], (case.h, case.c), strict=True)
    ]
    hs, h, c = run(layer, x, case.h, case.c, ends)
    assert same((h, c), started)
    for row, end in enumerate(ends):
        assert np.array_equal(hs[:end, row], expected[0][:end, row])
        assert not hs[end:, row].any()
    # In pieces, with lengths counted from before each.
    state = (case.h, case.c)
    for t in range(0, 13, 4):
        _, *state = run(layer, x[t : t + 4], *state, ends, t_from=t)
    assert same(state, started)


def test_rows_may_have_their_state_anywhere():
    case = Case(6, 64, 11, 3)
    layer = TensorLayer(SimulatedDevice(), case.layer)
    index = np.array([10, 3, 7, 1])
    hs, h, c = run(layer, case.x[:, :4], case.h, case.c, index=index)
    expected = run(layer, case.x[:, :4], case.h[index], case.c[index])
    others = np.setdiff1d(np.arange(11), index)
    assert same((hs, h[index], c[index]), expected)
    assert same((h[others], c[others]), (case.h[others], case.c[others]))


@pytest.mark.parametrize("where", ["x", "h", "c"])
def test_nan_stays_in_its_row(where):
    case = Case(6, 64, 9, 3)
    layer = TensorLayer(SimulatedDevice(), case.layer)
    expected = run(layer, case.x, case.h, case.c)
    {"x": case.x[1], "h": case.h, "c": case.c}[where][4, 5] = np.nan
    got = run(layer, case.x, case.h, case.c)
    others = np.arange(9) != 4
    assert same([a[..., others, :] for a in got], [a[..., others, :] for a in expected])
    assert np.isnan(got[1][4]).any()
    assert np.isnan(got[1][4]).all() or where == "c"


def test_huge_inputs_saturate():
    case = Case(6, 64, 8, 3)
    layer = TensorLayer(SimulatedDevice(), case.layer)
    hs, _, _ = run(layer, case.x * F32(1e30), case.h, case.c)
    assert np.isfinite(hs).all()
    assert np.abs(hs).max() <= 1


def test_sizes_and_devices_that_it_is_for():
    assert not supports(6, 64, (7, 5))
    assert all(supports(n_in, n, (8, 0)) for n in (2, 32, 46, 64, 96) for n_in in (1, 16, 33, 64))
    assert supports(32, 128, (12, 0))
    refused = [(33, 128), (65, 32), (6, 130), (6, 63), (6, 512)]
    assert not any(supports(n_in, n, (9, 0)) for n_in, n in refused)
    assert len({kernel.full_name for kernel in kernels()}) == 18
    assert [name for name in ARCHITECTURES if supports(6, 64, capability_of(name))] == list(
        ARCHITECTURES[1:]
    )


def planted(old: str, new: str, which: int = 0):
    """Return an edit of PTX; `which` of the places is changed."""

    def edit(text: str) -> str:
        places = list(re.finditer(old, text))
        assert places, f"{old} was not found"
        place = places[which]
        return text[: place.start()] + place.expand(new) + text[place.end() :]

    return edit


def caught(edit, match=None, case=CASES[0]):
    """The interpreter finds the fault; without a `match` it shows in the numbers."""
    layer = TensorLayer(SimulatedDevice(edit=edit), case.layer)
    if match:
        with pytest.raises(Fault, match=match):
            run(layer, case.x, case.h, case.c)
        return
    got = run(layer, case.x, case.h, case.c)
    assert not same(got, same_arithmetic(case.layer, case.x, case.h, case.c))


@pytest.mark.parametrize("which", [0, 1, 2], ids=["clear", "inputs", "step"])
def test_a_missing_barrier_is_caught(which):
    # Where a thread clears just what it copies later, nothing hangs on the first.
    caught(planted(r"bar\.sync\s+0;", "", which), "race", CASES[0 if which else 2])


@pytest.mark.parametrize("which", [0, 1], ids=["before", "step"])
def test_inputs_that_are_not_waited_for_are_caught(which):
    caught(planted(r"cp\.async\.wait_group 5;", "", which), "never written")
    caught(planted(r"cp\.async\.wait_group 5;", "cp.async.wait_group 7;", which), "never written")


def test_one_buffer_for_h_is_caught():
    """8 rows of 144 bytes: the place is flipped by ``1152 - place``."""
    caught(planted(r"mov\.(?:u|b)32\s+(%r\d+), 1152;", r"mov.u32 \1, 0;"), "race")


@pytest.mark.parametrize(
    "order",
    [r"{\2,\1,\3,\4}", r"{\1,\3,\2,\4}", r"{\1,\2,\4,\3}"],
    ids=["rows", "indices", "last"],
)
def test_a_wrong_order_of_weights_is_caught(order):
    four = r"{(%r\d+),(%r\d+),(%r\d+),(%r\d+)}(?=, {%r\d+,%r\d+}, {)"
    caught(planted(four, order, 5))


def test_a_wrong_order_of_inputs_is_caught():
    caught(planted(r", {(%r\d+),(%r\d+)}, {", r", {\2,\1}, {", 7))


def test_a_stray_store_is_caught():
    far = planted(r"st\.global\.v2\.f32\s+\[(%rd\d+)\]", r"st.global.v2.f32 [\1+65536]")
    caught(far, "out of bounds")
    near = planted(r"st\.shared\.u32\s+\[(%rd\d+)\]", r"st.shared.u32 [\1+4]", -1)
    caught(near, "race|never written")
