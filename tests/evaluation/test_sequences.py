"""Edit distance, against a definition that nobody doubts."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.evaluation.metrics.sequences import edit_distance

words = st.text("abc", max_size=8)


def naive(a: str, b: str) -> int:
    @cache
    def of(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(of(i - 1, j) + 1, of(i, j - 1) + 1, of(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return of(len(a), len(b))


@given(words, words)
def test_it_is_the_least_number_of_edits(a, b):
    assert edit_distance(a, b) == naive(a, b)


@given(words, words)
def test_it_is_symmetric_and_zero_only_for_equals(a, b):
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)


@pytest.mark.parametrize(
    ("true", "found", "expected"),
    [(["up", "down"], ["up", "up", "down"], 1), (["up", "down"], [], 2), (["up"], ["down"], 1)],
)
def test_names_are_whole(true, found, expected):
    assert edit_distance(true, found) == expected
