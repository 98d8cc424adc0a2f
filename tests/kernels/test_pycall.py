"""Built-in methods made of kernels: right, picky about their argument, and free of leaks."""

from __future__ import annotations

import gc
import sys
import weakref

import numpy as np
import pytest

from streamrnn.kernels import native, pycall
from streamrnn.kernels.native import Unit

UNIT = Unit("tiny-method", "tiny_kernels", {"add_method": "i8 i8 -> i8"}, sources=("params.py",))


class Adder:
    """A counter and its method; what the kernel could not take is in `odd`."""

    def __init__(self):
        self.sum = np.zeros(1)
        self.odd = []
        slots = pycall.context(1)
        slots[pycall.N_HEAD] = native.address(self.sum)
        code = native.load(UNIT).address("add_method")
        self.add = pycall.method(
            "add", code, slots, self._fallback, dtype=np.float64, n_elements=3, n_columns=3
        )

    def _fallback(self, argument):
        if isinstance(argument, str):
            raise TypeError("no text")
        self.odd.append(argument)
        return len(self.odd)


@pytest.fixture(scope="module")
def adder():
    return Adder()


def test_arrays_of_the_right_last_axis_and_bytes_are_taken_natively(adder):
    adder.sum[0] = 0.0
    adder.odd.clear()
    assert adder.add(np.array([1.0, 2.0, 3.0])) is None
    assert adder.add(np.ones((1, 1, 3))) is None
    frozen = np.ones(3)
    frozen.flags.writeable = False
    assert adder.add(frozen) is None
    assert adder.add(b"four") == 16
    assert not adder.odd


@pytest.mark.parametrize(
    "argument",
    [
        np.ones(3, np.float32),
        np.ones(4),
        np.ones((3, 1)),
        np.ones(0),
        np.ones(6)[::2],
        np.ones(3).astype(">f8"),
        np.ones(3).view(np.recarray),
        np.frombuffer(bytearray(25), np.uint8)[1:].view(np.float64),
        [1.0, 2.0, 3.0],
        None,
        bytearray(b"abc"),
        3.0,
    ],
    ids=str,
)
def test_anything_else_goes_to_the_fallback(adder, argument):
    before = adder.sum.copy()
    n = len(adder.odd)
    assert adder.add(argument) == n + 1
    assert adder.odd[-1] is argument
    assert adder.sum == before


def test_what_the_fallback_raises_is_raised(adder):
    with pytest.raises(TypeError, match="no text"):
        adder.add("1 2 3")
    with pytest.raises(TypeError):
        adder.add()


def test_no_reference_is_lost_or_kept_over_many_calls(adder):
    a, text, odd = np.ones(3), b"7 bytes", [1.0]
    adder.odd.clear()
    watched = (a, text, adder._fallback, np.dtype(np.float64), odd)
    adder.add(a)
    gc.collect()
    before = [sys.getrefcount(x) for x in watched]
    nones = sys.getrefcount(None)
    for _ in range(100_000):
        adder.add(a)
        adder.add(text)
    for _ in range(1000):
        adder.add(odd)
        adder.odd.clear()
    assert [sys.getrefcount(x) for x in watched] == before
    assert abs(sys.getrefcount(None) - nones) < 1000  # immortal, or changed by others a little


def test_a_method_keeps_alive_what_it_points_to():
    def make():
        slots = pycall.context(1)
        total = np.zeros(1)
        slots[pycall.N_HEAD] = native.address(total)
        code = native.load(UNIT).address("add_method")
        made = pycall.method(
            "add", code, slots, lambda argument: "odd", dtype=np.float64, n_elements=3, n_columns=3
        )
        return made, total

    add, total = make()
    gc.collect()
    junk = [np.arange(k) for k in range(1, 200)]
    assert add(np.ones(3)) is None
    assert add(None) == "odd"
    assert total == 3.0
    assert len(junk) == 199


def test_what_the_interpreter_reads_of_a_method_outlives_it_in_a_cycle(monkeypatch):
    # CPython reads the definition once more when a method ends; where the garbage collector breaks
    # a cycle, the context has lost what it kept by then.
    ended = []

    class Watched(pycall._MethodDef):
        def __init__(self, *fields):
            super().__init__(*fields)
            weakref.finalize(self, ended.append, "definition")

    monkeypatch.setattr(pycall, "_MethodDef", Watched)
    code = native.load(UNIT).address("add_method")
    made = pycall.method("in_a_cycle", code, pycall.context(1), str)
    weakref.finalize(made, ended.append, "method")
    cycle = [made]
    cycle.append(cycle)
    del made, cycle
    gc.collect()
    assert ended[:1] == ["method"]


def test_an_unknown_layout_leaves_everything_to_the_fallback(monkeypatch):
    monkeypatch.setattr(pycall, "_layout_is_known", lambda: False)

    def fallback(argument):
        return "slow"

    assert pycall.method("f", 0, pycall.context(0), fallback) is fallback
