"""Counters that wrap around come out endless."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.wire.unwrap import Unwrapper, signed_step


@given(st.data(), st.sampled_from([8, 16, 32]), st.integers(0, 2**40))
def test_steps_of_less_than_half_the_range_are_restored(
    data: st.DataObject, bits: int, start: int
) -> None:
    half = 1 << (bits - 1)
    steps = data.draw(st.lists(st.integers(1 - half, half - 1), max_size=50))
    true = np.cumsum([start, *steps])
    sent = true % (1 << bits)
    unwrapper, blocks = Unwrapper(bits), Unwrapper(bits)
    endless = [unwrapper.unwrap(int(value)) for value in sent]
    assert (np.array(endless) - endless[0] == true - start).all()
    assert endless[0] == sent[0]
    cut = data.draw(st.integers(0, len(sent)))
    whole = [*blocks.unwrap_all(sent[:cut]), *blocks.unwrap_all(sent[cut:])]
    assert whole == endless


def test_a_counter_that_fell_back_comes_out_smaller_and_restarts() -> None:
    unwrapper = Unwrapper(32)
    assert unwrapper.unwrap(5000) == 5000
    assert unwrapper.unwrap(0) == 0
    unwrapper.unwrap(2**32 - 1)
    unwrapper.restart()
    assert unwrapper.unwrap(7) == 7


def test_the_step_across_the_end_is_short() -> None:
    assert signed_step(3, 250, 8) == 9
    assert signed_step(250, 3, 8) == -9


@pytest.mark.parametrize("bits", [0, 63])
def test_widths_that_cannot_be(bits: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.62"):
        Unwrapper(bits)
