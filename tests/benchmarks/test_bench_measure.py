"""The statistics of the benchmarks: medians, intervals, ratios, turns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import measure
from benchmarks.measure import Interval

times = st.lists(st.floats(1e-9, 1e3), min_size=measure.MIN_ROUNDS, max_size=40)


@given(times)
def test_the_median_lies_in_its_interval_and_the_interval_in_the_samples(samples):
    figure = measure.median(samples)
    assert figure.value == np.median(samples)
    assert min(samples) <= figure.low <= figure.value <= figure.high <= max(samples)


@given(times, st.sampled_from([0.25, 2.0, 8.0]))
def test_noise_that_hits_a_round_leaves_a_ratio_alone(samples, factor):
    figure = measure.ratio([factor * s for s in samples], samples)
    assert (figure.low, figure.value, figure.high) == (factor, factor, factor)


def test_the_interval_covers_the_true_median_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    n_covered = 0
    for _ in range(200):
        figure = measure.median(rng.lognormal(0.0, 0.2, 25))
        n_covered += figure.low <= 1.0 <= figure.high
    assert 0.88 <= n_covered / 200 <= 1.0


def test_a_ratio_of_independent_samples_has_an_interval_around_it():
    rng = np.random.default_rng(1)
    a, b = rng.normal(3.0, 0.1, 50), rng.normal(1.0, 0.05, 50)
    figure = measure.ratio(list(a), list(b))
    assert figure.low < 3.0 < figure.high
    assert figure.high - figure.low < 0.2


@pytest.mark.parametrize("samples", [[1.0] * 4, [1.0, 1.0, 1.0, 1.0, 0.0], [1.0] * 4 + [-1.0]])
def test_too_few_rounds_and_senseless_times_are_refused(samples):
    with pytest.raises(ValueError, match=r"rounds|positive"):
        measure.median(samples)


def test_a_ratio_needs_the_same_rounds():
    with pytest.raises(ValueError, match="same rounds"):
        measure.ratio([1.0] * 6, [1.0] * 5)


def test_each_round_takes_one_sample_of_everyone_and_begins_with_another():
    taken = []

    def sampler(name):
        return lambda: taken.append(name) or float(len(taken))

    samples = measure.round_robin({name: sampler(name) for name in "abc"}, 6)
    rounds = [taken[n : n + 3] for n in range(0, 18, 3)]
    assert all(sorted(some) == ["a", "b", "c"] for some in rounds)
    assert [some[0] for some in rounds] == ["a", "b", "c", "a", "b", "c"]
    assert {name: len(some) for name, some in samples.items()} == {"a": 6, "b": 6, "c": 6}


def test_a_target_is_reached_when_the_interval_reaches_it():
    figure = Interval(1.9, 1.8, 2.0)
    assert figure.reaches(2.0, at_least=True)
    assert not figure.reaches(2.01, at_least=True)
    assert figure.reaches(1.8, at_least=False)
    assert not figure.reaches(1.79, at_least=False)


def test_every_call_is_timed():
    seen = []
    seconds = measure.latencies(seen.append, [1, 2, 3], n_passes=4)
    assert len(seconds) == 12
    assert (seconds > 0).all()
    assert seen == [1, 2, 3] * 5  # the first pass only warms up
