from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.types import Frames, Gap
from streamrnn.runtime import gaps

value = st.floats(-1e6, 1e6, width=32)


def frame(x: float, seq: int, t_us: int) -> Frames:
    return Frames(np.array([[x]], np.float32), np.array([seq]), np.array([t_us]))


@given(value, value, st.integers(1, 50), st.integers(0, 10**6))
def test_filled_frames_lie_between_their_neighbours(
    a: float, b: float, n: int, span_us: int
) -> None:
    filled = gaps.fill(frame(a, 10, 100), frame(b, 11 + n, 100 + span_us))
    assert filled.seq.tolist() == list(range(11, 11 + n))
    assert filled.x.dtype == np.float32
    # One rounding of the difference, one of the share, one of the product, one of the sum.
    slack = 4 * np.finfo(np.float32).eps * (abs(a) + abs(b))
    assert (filled.x >= min(a, b) - slack).all()
    assert (filled.x <= max(a, b) + slack).all()
    times = [100, *filled.t_us.tolist(), 100 + span_us]
    assert times == sorted(times)


@given(st.sets(st.integers(0, 40), min_size=1))
def test_stretches_are_the_runs_of_a_sequence(chosen: set[int]) -> None:
    seq = np.array(sorted(chosen))
    parts = [seq[a:b].tolist() for a, b in gaps.stretches(seq)]
    assert [s for part in parts for s in part] == seq.tolist()
    assert all(part == list(range(part[0], part[0] + len(part))) for part in parts)
    assert all(b[0] > a[-1] + 1 for a, b in itertools.pairwise(parts))


def test_short_is_by_time_and_includes_the_limit() -> None:
    assert gaps.is_short(5, 100.0, 50.0)
    assert not gaps.is_short(6, 100.0, 50.0)
    assert gaps.is_short(0, 100.0, 0.0)


def test_the_first_break_is_the_cause() -> None:
    assert gaps.merge(None, Gap("overrun")) == Gap("overrun")
    assert gaps.merge(Gap("unplug"), Gap("reboot", True)) == Gap("unplug", True)
