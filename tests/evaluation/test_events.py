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
    Rule,
    Score,
    Segment,
    macro_f1,
    match,
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


def closeness(rule: Rule, a: Segment, b: Segment) -> int | None:
    """The rule's definition, written down a second time."""
    if a.label != b.label:
        return None
    shared = min(a.end, b.end) - max(a.start, b.start)
    near = rule.tolerance - abs(a.start - b.start)
    if rule.kind == "onset":
        return near if near >= 0 else None
    union = (a.end - a.start) + (b.end - b.start) - max(shared, 0)
    if shared > 0 and shared >= rule.min_iou * union:
        return shared
    return max(shared, 0) if rule.kind == "either" and near >= 0 else None


def best_by_brute_force(truth, found, rule) -> tuple[int, int]:
    """The most pairs, and the most closeness that so many pairs can have."""
    best = (0, 0)
    slots = [*range(len(found)), *[None] * len(truth)]
    for choice in set(itertools.permutations(slots, len(truth))):
        pairs = [(t, found[j]) for t, j in zip(truth, choice, strict=True) if j is not None]
        close = [closeness(rule, t, f) for t, f in pairs]
        if None not in close:
            best = max(best, (len(pairs), sum(close)))
    return best


RULES = [
    Rule("overlap"), Rule("overlap", 0.3), Rule("overlap", 0.5),
    Rule("onset", tolerance=0), Rule("onset", tolerance=3),
    Rule("either", tolerance=4), Rule("either", 0.5, tolerance=2),
]  # fmt: skip


@given(st.lists(segments, max_size=3), st.lists(segments, max_size=4), st.sampled_from(RULES))
def test_matching_equals_brute_force(truth, found, rule):
    pairs = match(truth, found, rule)
    close = [closeness(rule, truth[i], found[j]) for i, j in pairs]
    assert None not in close
    assert (len(pairs), sum(close)) == best_by_brute_force(truth, found, rule)


def test_a_stream_of_thousands_is_matched_in_no_time():
    truth = [Segment(k * 100, k * 100 + 50, "ab"[k % 2]) for k in range(5000)]
    found = [Segment(s.start + 10, s.end + 20, s.label) for s in truth if s.start % 300]
    assert len(match(truth, found, Rule("either", tolerance=30))) == len(found)


@pytest.mark.parametrize(
    ("found", "n_hits"),
    [
        (Segment(1_150_000, 1_250_000, "a"), 1),  # the gesture was shorter than the tolerance
        (Segment(820_000, 900_000, "a"), 1),  # over before a label that was set late
        (Segment(1_250_000, 1_300_000, "a"), 0),
        (Segment(700_000, 790_000, "a"), 0),
        (Segment(1_050_000, 1_060_000, "b"), 0),
    ],
)
def test_the_usual_rule_forgives_labels_that_are_not_sharp(found, n_hits):
    assert len(match([Segment(1_000_000, 1_100_000, "a")], [found], Rule())) == n_hits


@pytest.mark.parametrize("wrong", [{"kind": "any"}, {"min_iou": 1.5}, {"tolerance": -1}])
def test_senseless_rules_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Rule(**wrong)


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
