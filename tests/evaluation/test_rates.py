"""Exact Poisson bounds, against sums of the distribution itself."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from streamrnn.evaluation.metrics.rates import (
    hours_needed,
    hours_needed_at,
    poisson_interval,
    poisson_upper,
    rate,
)

counts = st.integers(0, 500)
confidences = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])


@given(counts, confidences)
def test_the_bounds_are_where_the_tails_have_what_is_left(n, confidence):
    low, high = poisson_interval(n, confidence)
    tail = (1 - confidence) / 2
    assert poisson.cdf(n, high) == pytest.approx(tail, rel=1e-9)
    if n:
        assert poisson.sf(n - 1, low) == pytest.approx(tail, rel=1e-9)
    else:
        assert low == 0.0
    assert poisson.cdf(n, poisson_upper(n, confidence)) == pytest.approx(1 - confidence, rel=1e-9)


@given(counts, st.floats(0.01, 1e4), confidences)
def test_a_rate_lies_within_its_bounds(n, hours, confidence):
    found = rate(n, hours, confidence)
    assert found.low <= found.per_hour < found.upper < found.high
    assert found.per_hour == n / hours


def test_without_time_nothing_is_known():
    nothing = rate(0, 0.0)
    assert math.isnan(nothing.per_hour)
    assert (nothing.low, nothing.high, nothing.upper) == (0.0, math.inf, math.inf)


def test_none_seen_is_the_rule_of_three():
    assert hours_needed(0.5) == pytest.approx(-math.log(0.05) / 0.5)
    assert hours_needed(0.5) == pytest.approx(6, abs=0.01)


@given(st.floats(0.01, 100), counts, confidences)
def test_in_the_hours_needed_the_bound_is_the_claim(claim, n, confidence):
    hours = hours_needed(claim, n, confidence)
    assert rate(n, hours, confidence).upper == pytest.approx(claim, rel=1e-9)


@given(st.integers(0, 60), st.floats(0.1, 100), st.floats(0.05, 20))
def test_at_the_rate_that_was_seen_the_claim_holds_in_time_or_never(n, hours, claim):
    needed = hours_needed_at(claim, n, hours)
    if needed is None:
        assert n / hours >= 0.99 * claim
        return
    assert needed >= hours
    then = math.floor(n / hours * needed * (1 + 1e-12))
    assert rate(then, needed).upper <= claim * (1 + 1e-9)


@pytest.mark.parametrize("wrong", [(-1, 0.95), (0, 0.0), (0, 1.0)])
def test_senseless_counts_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        poisson_interval(*wrong)
