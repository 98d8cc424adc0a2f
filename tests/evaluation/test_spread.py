"""The spread of people's scores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.evaluation.metrics.spread import spread


def test_the_interval_is_students():
    # Table of t: 4.303 for two degrees of freedom; the standard deviation of these is 0.1.
    found = spread([0.6, 0.7, 0.8])
    assert found is not None
    assert (found.n, found.min, found.median, found.max) == (3, 0.6, 0.7, 0.8)
    assert found.mean == pytest.approx(0.7)
    assert found.low == pytest.approx(0.7 - 4.303 * 0.1 / 3**0.5, abs=1e-4)
    assert found.high == pytest.approx(0.7 + 4.303 * 0.1 / 3**0.5, abs=1e-4)


def test_one_person_has_no_interval():
    found = spread([0.9])
    assert found is not None
    assert (found.mean, found.low, found.high) == (0.9, None, None)
    assert spread([]) is None


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_the_interval_holds_the_mean_and_stays_within_what_can_be(values):
    found = spread(values)
    assert found is not None
    assert 0.0 <= found.low <= found.mean + 1e-12
    assert found.mean - 1e-12 <= found.high <= 1.0
