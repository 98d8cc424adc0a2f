"""The UHH recordings are scored as their authors do, by worked examples."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.uhh_rules import authors_pairs, authors_segments, pair_f1
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.evaluation.events import Segment
from streamrnn.sessions.join import join_sessions
from streamrnn.sessions.labels import frame_labels
from streamrnn.sessions.session import Session

TRUTH = [Segment(10, 20, "a"), Segment(30, 40, "b"), Segment(42, 50, "b"), Segment(60, 70, "c")]


@pytest.mark.parametrize(
    ("found", "pair"),
    [
        (Segment(19, 25, "a"), ("a", "a")),
        (Segment(20, 25, "a"), ("none", "a")),
        (Segment(31, 35, "a"), ("b", "a")),
        (Segment(15, 50, "c"), ("b", "c")),
    ],
)
def test_one_segment_is_a_hit_a_confusion_or_a_false_alarm(found, pair):
    pairs = authors_pairs([found], TRUTH, 0)
    assert pairs[0] == pair
    missed = {"a", "b", "c"} - ({"a"} if pair == ("a", "a") else set())
    assert {true for true, predicted in pairs[1:] if predicted == "none"} == missed


def test_a_second_segment_on_a_matched_event_is_a_false_alarm():
    found = [Segment(10, 13, "a"), Segment(15, 19, "a")]
    assert authors_pairs(found, TRUTH[:1], 2) == [
        ("none", "none"), ("none", "none"), ("a", "a"), ("none", "a"),
    ]  # fmt: skip


def test_a_hit_that_comes_too_late_is_a_miss_and_a_false_alarm():
    found = [Segment(10, 20, "a", decided=14), Segment(31, 40, "b", decided=36)]
    assert authors_pairs(found, TRUTH[:2], 0, within=5) == [
        ("a", "a"), ("b", "none"), ("none", "b"),
    ]  # fmt: skip
    assert authors_pairs(found, TRUTH[:2], 0, within=6) == [("a", "a"), ("b", "b")]


def test_macro_f1_counts_none_as_a_class():
    pairs = [("none", "none")] * 2 + [("a", "a"), ("none", "a"), ("b", "none")]
    assert pair_f1(pairs) == pytest.approx((2 * 2 / 6 + 2 / 3 + 0) / 3)


def test_rule_1_drops_runs_of_ten_frames_and_takes_the_largest_sum():
    p = np.zeros((60, 3), np.float32)
    p[:, 0] = 1
    p[5:15] = (0.5, 0.5, 0)
    p[20:31] = (0.5, 0.2, 0.3)
    p[49:60] = (0.5, 0.5, 0)
    t_us = np.arange(60) * 10
    assert authors_segments(p, t_us, ("none", "x", "y")) == [
        Segment(200, 310, "y"),
        Segment(490, 600, "x"),
    ]


def test_joined_sessions_follow_each_other_without_a_gap():
    def part(n: int, name: str) -> Session:
        seq = np.arange(n, dtype=np.int64)
        frames = Frames(np.full((n, 1), n, np.float32), seq, seq * 20_000)
        info = StreamInfo((Channel("x"),), 50.0)
        labels = [Label(name, 20_000, 60_000)]
        return Session(info, frames, frames.t_us, labels)

    whole = join_sessions([part(5, "a"), part(7, "b")])
    assert whole.frames.seq.tolist() == list(range(12))
    assert np.diff(whole.frames.t_us).tolist() == [20_000] * 11
    assert frame_labels(whole, ("none", "a", "b")).tolist() == [0, 1, 1, 0, 0, 0, 2, 2, 0, 0, 0, 0]
