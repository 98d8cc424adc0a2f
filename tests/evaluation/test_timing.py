"""Delays, earliness, and the score before a deadline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.evaluation.events import Score, Segment, macro_f1, match, scores
from streamrnn.evaluation.metrics.timing import (
    AtDeadline,
    deadlines_for,
    delay_curve,
    f1_by,
    percentiles,
    timing,
)

TRUE = Segment(1_000_000, 1_500_000, "a")


@pytest.mark.parametrize(
    ("decided", "delay_us", "earliness"),
    [(1_000_000, 0, 0.0), (1_250_000, 250_000, 0.5), (1_500_000, 500_000, 1.0),
     (2_000_000, 1_000_000, 2.0), (900_000, -100_000, -0.2)],
)  # fmt: skip
def test_when_an_event_was_out(decided, delay_us, earliness):
    got = timing(TRUE, Segment(1_100_000, 1_400_000, "a", decided), 20_000)
    assert (got.delay_us, got.delay_frames) == (delay_us, delay_us / 20_000)
    assert got.earliness == pytest.approx(earliness)


def test_a_late_event_is_a_miss_and_a_false_event():
    by_class = {"a": Score(2, 2, 2), "b": Score(1, 2, 1)}
    curve = delay_curve(by_class, [("a", 100.0), ("a", 300.0), ("b", 200.0)], [0, 100, 200, 1000])
    assert curve == [
        AtDeadline(0, 0.0, 0.0, 0.0),
        AtDeadline(100, 1 / 3, 2 / 7, 0.25),
        AtDeadline(200, 2 / 3, 4 / 7, (0.5 + 2 / 3) / 2),
        AtDeadline(1000, 1.0, 6 / 7, (1.0 + 2 / 3) / 2),
    ]


segments = st.lists(
    st.builds(
        lambda start, length, label, late: Segment(
            start, start + length, label, start + length + late
        ),
        st.integers(0, 40), st.integers(1, 9), st.sampled_from("ab"), st.integers(0, 20),
    ),
    max_size=6,
)  # fmt: skip


@given(segments, segments)
def test_without_haste_it_is_the_score_and_it_only_rises(truth, found):
    pairs = match(truth, found)
    by_deadline = [f1_by(truth, found, pairs, deadline) for deadline in range(-40, 80, 8)]
    assert by_deadline == sorted(by_deadline)
    assert f1_by(truth, found, pairs, 1000) == macro_f1(scores(truth, found, pairs))


@given(st.lists(st.floats(-100, 1e6), max_size=30))
def test_deadlines_are_few_and_reach_the_last_event(delays):
    deadlines = deadlines_for(delays)
    assert deadlines[0] == 0
    assert len(deadlines) <= 41
    assert deadlines[-1] >= max(delays, default=0)


def test_percentiles_of_nothing_are_none():
    assert percentiles([]) is None
    assert percentiles([1, 2, 3]) == {"p50": 2.0, "p95": 2.9}
