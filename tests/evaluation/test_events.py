"""Matching and counting, against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.records import Event, GapRecord
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.evaluation.events import (
    Score,
    Segment,
    macro_f1,
    match,
    overlap,
    scores,
    segments_from_labels,
    segments_from_records,
)
from streamrnn.sessions.session import Session

segments = st.builds(
    lambda start, length, label: Segment(start, start + length, label),
    st.integers(0, 20),
    st.integers(1, 8),
    st.sampled_from("ab"),
)
few = st.lists(segments, max_size=5)


def may_pair(a: Segment, b: Segment, min_iou: float) -> bool:
    shared = overlap(a, b)
    union = (a.end - a.start) + (b.end - b.start) - shared
    return a.label == b.label and shared > 0 and shared >= min_iou * union


def best_by_brute_force(truth, found, min_iou) -> tuple[int, int]:
    """The most pairs, and the most overlap that so many pairs can have."""
    best = (0, 0)
    slots = [*range(len(found)), *[None] * len(truth)]
    for choice in set(itertools.permutations(slots, len(truth))):
        pairs = [(t, found[j]) for t, j in zip(truth, choice, strict=True) if j is not None]
        if all(may_pair(t, f, min_iou) for t, f in pairs):
            best = max(best, (len(pairs), sum(overlap(t, f) for t, f in pairs)))
    return best


@given(
    st.lists(segments, max_size=3), st.lists(segments, max_size=4), st.sampled_from([0, 0.3, 0.5])
)
def test_matching_equals_brute_force(truth, found, min_iou):
    pairs = match(truth, found, min_iou=min_iou)
    assert all(may_pair(truth[i], found[j], min_iou) for i, j in pairs)
    got = (len(pairs), sum(overlap(truth[i], found[j]) for i, j in pairs))
    assert got == best_by_brute_force(truth, found, min_iou)


@given(few, few)
def test_matching_is_one_to_one(truth, found):
    pairs = match(truth, found)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)


@given(few)
def test_truth_matches_itself_perfectly(truth):
    by_class = scores(truth, truth, match(truth, truth, min_iou=1.0))
    assert all(s.f1 == s.precision == s.recall == 1.0 for s in by_class.values())
    assert macro_f1(by_class) == (1.0 if truth else 0.0)


@given(few, few)
def test_counts_add_up(truth, found):
    by_class = scores(truth, found, match(truth, found))
    total = sum(by_class.values(), Score(0, 0, 0))
    assert (total.n_true, total.n_found) == (len(truth), len(found))
    assert total.n_hit + total.n_missed == len(truth)
    assert total.n_hit + total.n_false == len(found)


def test_a_class_that_is_only_found_counts_in_the_mean():
    by_class = {"a": Score(2, 2, 2), "b": Score(0, 1, 0)}
    assert macro_f1(by_class) == 0.5
    assert by_class["b"].precision == by_class["b"].recall == by_class["b"].f1 == 0.0
    assert Score(0, 0, 0).f1 == 0.0


def test_records_become_segments_decided_when_they_were_given():
    records = [
        Event("a", "start", 9, 90, 50, None, 0.9),
        GapRecord("lost", 10, 100, 3, "filled"),
        Event("a", "end", 15, 150, 50, 140, 0.9),
        Event("b", "discrete", 30, 300, 200, 290, 0.9),
    ]
    assert segments_from_records(records) == [
        Segment(50, 140, "a", 90),
        Segment(200, 290, "b", 300),
    ]


def test_labels_become_segments_in_order_without_the_null_class():
    frames = Frames(np.zeros((1, 1), np.float32), np.zeros(1, np.int64), np.zeros(1, np.int64))
    labels = [Label("b", 50, 60), Label("none", 20, 50), Label("a", 0, 20)]
    session = Session(StreamInfo((Channel("x"),), 50.0), frames, frames.t_us, labels)
    assert segments_from_labels(session) == [Segment(0, 20, "a"), Segment(50, 60, "b")]


@pytest.mark.parametrize(("min_iou", "expected"), [(0.0, 1), (0.5, 1), (0.51, 0)])
def test_the_least_overlap_is_inclusive(min_iou, expected):
    assert len(match([Segment(0, 10, "a")], [Segment(0, 5, "a")], min_iou=min_iou)) == expected
