from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.runtime.latency import Histogram, StageTimer


@given(st.lists(st.integers(0, 2**40), min_size=1), st.integers(1, 100))
def test_percentiles_are_upper_bounds_within_an_eighth(durations: list[int], percent: int) -> None:
    histogram = Histogram()
    for ns in durations:
        histogram.add(ns)
    true = int(np.percentile(durations, percent, method="inverted_cdf"))
    assert true <= histogram.percentile_ns(percent) <= true * 1.125
    assert histogram.percentile_ns(100) == max(durations) == histogram.max_ns
    assert histogram.n == len(durations)


def test_an_empty_histogram_and_a_clock_that_went_back() -> None:
    histogram = Histogram()
    assert histogram.percentile_ns(50) == 0
    histogram.add(-5)
    assert histogram.percentile_ns(50) == 0
    histogram.add(2**80)
    assert histogram.max_ns == 2**80


def test_laps_follow_one_another() -> None:
    timer = StageTimer()
    mark = timer.lap("a", timer.start())
    assert timer.lap("b", mark) >= mark
    timer.add("c", 2000)
    summary = timer.summary()
    assert list(summary) == ["a", "b", "c"]
    assert summary["c"] == {"n": 1, "p50_us": 2.0, "p95_us": 2.0, "p99_us": 2.0, "max_us": 2.0}
