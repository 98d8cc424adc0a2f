"""Copies are known by how signals move, wherever they begin and however they are scaled."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from inspect_make import CHANNELS, good

from streamrnn.core.types import Channel
from streamrnn.evaluation.inspection import copies
from streamrnn.evaluation.inspection.copies import find_copies, marks


@given(
    seed=st.integers(0, 1000),
    start=st.integers(0, 2000),
    length=st.integers(400, 1000),
    scale=st.floats(0.01, 100),
    shift=st.floats(-5, 5),
)
@settings(max_examples=25)
def test_any_part_is_found_at_its_place_whatever_its_unit(seed, start, length, scale, shift):
    x = good(seed).frames.x.astype(np.float64)
    part = (x[start : start + length] * scale + shift * scale).astype(np.float32)
    (copy,) = find_copies([marks(x.astype(np.float32), CHANNELS), marks(part, CHANNELS)])
    assert (copy.a, copy.b, copy.n_pieces, copy.n_left_out) == (1, 0, 1, 0)
    assert copy.first_b - copy.first_a == start
    assert copy.share > 0.9


@given(seed=st.integers(0, 1000))
@settings(max_examples=15)
def test_recordings_of_their_own_share_nothing(seed):
    found = find_copies([marks(good(5 * seed + n).frames.x, CHANNELS) for n in range(5)])
    assert found == []


def test_one_sensor_that_was_filtered_does_not_hide_a_copy():
    x = good(3).frames.x
    other = x.copy()
    other[1:, 3:] = (x[1:, 3:] + x[:-1, 3:]) / 2
    (copy,) = find_copies([marks(x, CHANNELS), marks(other, CHANNELS)])
    assert copy.share > 0.9


def test_other_names_do_not_hide_a_copy_and_rest_is_none():
    x = good(4).frames.x
    names = [Channel(f"s{k // 3}{'XYZ'[k % 3]}") for k in range(6)]
    assert len(find_copies([marks(x, CHANNELS), marks(x[500:1500], names)])) == 1
    still = np.zeros((2000, 6), np.float32)
    slow = np.tile(np.sin(np.arange(2000) / 100)[:, None], (1, 6)).astype(np.float32)
    for quiet in (still, slow):
        assert find_copies([marks(quiet, CHANNELS), marks(quiet[100:], CHANNELS)]) == []


def test_what_many_share_is_a_habit_and_what_is_short_is_nothing():
    x = good(5).frames.x
    assert len(marks(x[:10], CHANNELS).value) == 0
    assert find_copies([]) == []
    assert find_copies([marks(x[:10], CHANNELS)] * 3) == []


def test_long_recordings_keep_fewer_marks_and_are_still_known(monkeypatch):
    x = good(7).frames.x
    monkeypatch.setattr(copies, "MAX_MARKS", 200)
    few, part = marks(x, CHANNELS), marks(x[500:1500], CHANNELS)
    assert 50 < len(few.value) <= 200
    assert len(find_copies([few, part])) == 1


def test_marks_are_few():
    n = len(marks(good(6).frames.x, CHANNELS).value)
    assert 0 < n < 2 * 3000 / 6
