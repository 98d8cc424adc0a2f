"""Every event is explained, once, and so is what nearly was one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from decision_make import LABELS, Stream, configs, explained, frames, run, streams
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.core.records import to_json_line
from streamrnn.decision import DecisionConfig, DecisionMachine
from streamrnn.decision.explain import NEAR_MARGIN, REASONS, Explanation
from streamrnn.decision.watcher import ExplainingMachine, open_machine

EARLY = DecisionConfig(min_ms=100, fire="sure", sure=0.8, deadline_ms=300.0)


@given(configs(), streams(), st.lists(st.integers(0, 126), max_size=4))
@settings(max_examples=100)
def test_every_event_is_explained_once_and_none_is_changed(
    config: DecisionConfig, stream: Stream, cuts: list[int]
):
    events, told = explained(config, stream, cuts=cuts)
    assert events == run(config, stream)
    about = [e for e in told if e.kind == "event"]
    assert [(e.gesture, e.phase, e.seq, e.t_us, e.from_us) for e in about] == [
        (e.gesture, e.phase, e.seq, e.t_us, e.onset_us) for e in events
    ]
    assert told == explained(config, stream)[1]


@given(configs(), streams())
@settings(max_examples=100)
def test_an_explanation_is_consistent(config: DecisionConfig, stream: Stream):
    for e in explained(config, stream)[1]:
        assert e.reason in REASONS
        assert e.from_seq <= e.to_seq <= e.seq
        assert 1 <= e.n_frames <= e.to_seq - e.from_seq + 1
        assert 0.0 <= e.mean_activity <= e.peak_activity + 1e-9 <= 1.0 + 2e-9
        assert e.gesture in LABELS[1:]
        assert e.runner_up in LABELS[1:]
        assert e.runner_up != e.gesture
        assert (e.phase is not None) == (e.kind == "event")
        rule = config.rule(e.gesture)
        if e.reason == "below_enter" and not config.per_class:
            assert e.limit - NEAR_MARGIN < e.value <= e.limit  # type: ignore[operator]
        if e.reason in ("lasted", "too_short"):
            assert e.limit == rule.min_ms
            assert (e.value >= e.limit) == (e.reason == "lasted")  # type: ignore[operator]
        if e.reason == "sure":
            assert e.value == e.share >= rule.sure == e.limit
        if e.reason == "strange":
            assert e.value < config.ood == e.limit  # type: ignore[operator]
        if e.reason == "break":
            assert e.threshold is e.limit is e.value is None
        line = json.loads(to_json_line(e, stream="s"))
        assert line["type"] == "explain"
        said = e.sentence()
        assert said.isprintable()
        assert not set("{}") & set(said)
        if e.threshold in ("min_ms", "refractory_ms") and e.value is not None:
            assert f"{e.value:.4g} ms" in said
            assert f"({e.threshold} {e.limit:g})" in said


def only(config: DecisionConfig, stream: Stream) -> Explanation:
    (one,) = explained(config, stream)[1]
    return one


def test_what_is_told_of_an_event():
    start, end = explained(EARLY, frames((3, 0, 0), (9, 2, 0.9), (2, 0, 0)))[1]
    assert (start.reason, start.threshold, start.limit) == ("sure", "sure", 0.8)
    assert start.value == pytest.approx(0.9, abs=1e-6)
    assert (start.from_seq, start.to_seq, start.n_frames) == (3, 7, 5)
    assert (end.reason, end.threshold, end.limit, end.value) == ("exit", "exit", 0.4, 0.0)
    assert (end.from_seq, end.to_seq, end.seq, end.n_frames) == (3, 11, 12, 9)
    assert end.peak_activity == pytest.approx(0.9, abs=1e-6)
    assert start.sentence() == (
        "0.140 s: start right: its share of 0.9 is sure enough (sure 0.8); frames 3..7; "
        "activity 0.90 on average, 0.90 at most; share 0.90, then left 0.00"
    )


def test_a_deadline_and_a_break_are_named():
    start, end = explained(EARLY, frames((20, 2, 0.6)))[1]
    assert (start.reason, start.limit, start.value) == ("deadline", 300.0, 300.0)
    assert (end.reason, end.threshold, end.seq) == ("break", None, 19)


@pytest.mark.parametrize(
    ("options", "stream", "expected"),
    [
        ({}, frames((4, 1, 0.9), (2, 0, 0)), ("too_short", "min_ms", 100.0, 80.0)),
        ({}, frames((4, 1, 0.9)), ("too_short", "min_ms", 100.0, 80.0)),
        ({}, frames((4, 1, 0.45), (2, 0, 0)), ("below_enter", "enter", 0.5, 0.45)),
        ({"ood": 1.0}, frames((9, 1, 0.9), energy=0.5), ("strange", "ood", 1.0, 0.5)),
    ],
)
def test_what_is_told_of_a_near_miss(options: Any, stream: Stream, expected: Any):
    one = only(DecisionConfig(**options), stream)
    assert (one.kind, one.phase, one.gesture) == ("near_miss", None, "left")
    assert (one.reason, one.threshold, one.limit) == expected[:3]
    assert one.value == pytest.approx(expected[3], abs=1e-6)


def test_strange_frames_that_cut_a_gesture_are_named():
    stream = frames((3, 1, 0.9), (2, 1, 0.9), (3, 0, 0))
    stream.energy[3:5] = 0.5
    near, idle = explained(DecisionConfig(ood=1.0), stream)[1]
    assert (near.reason, near.to_seq, near.seq) == ("strange", 2, 3)
    assert (idle.reason, idle.from_seq, idle.to_seq) == ("strange", 4, 4)


def test_pauses_are_named():
    stream = frames((9, 1, 0.9), (2, 0, 0), (9, 1, 0.9), (2, 0, 0))
    config = DecisionConfig(refractory_ms=400.0)
    _, near = explained(config, stream)[1]
    assert (near.reason, near.threshold, near.limit) == ("refractory", "refractory_ms", 400.0)
    assert (near.value, near.from_seq, near.to_seq) == (40.0, 11, 19)
    _, near = explained(replace(config, refractory_all_ms=100.0), stream)[1][:2]
    assert (near.threshold, near.limit) == ("refractory_all_ms", 100.0)
    _, near = explained(replace(config, refractory_all_ms=20.0), stream)[1]
    assert (near.threshold, near.limit, near.value) == ("refractory_ms", 400.0, 40.0)
    config = DecisionConfig(refractory_ms=100.0, require_null_between=True)
    _, near = explained(config, stream)[1]
    assert (near.reason, near.threshold) == ("no_null", "exit")


def test_activity_on_its_way_up_or_down_is_no_near_miss():
    stream = frames((3, 1, 0.45), (9, 1, 0.9), (1, 1, 0.4), (3, 1, 0.45), (3, 0, 0))
    assert [e.kind for e in explained(DecisionConfig(), stream)[1]] == ["event"]


def test_one_gesture_has_no_runner_up():
    stream = frames((9, 1, 0.9), (2, 0, 0))
    told: list[Explanation] = []
    machine = ExplainingMachine(DecisionConfig(), LABELS[:2], 50.0, told.append)
    events: list[Any] = []
    for n, p in enumerate(stream.p[:, :2].tolist()):
        machine.decide(p, n, n * 20_000, events)
    (one,) = told
    assert (one.runner_up, one.runner_up_share, one.energy) == (None, None, None)


def test_who_asks_for_no_reasons_has_a_plain_machine():
    assert type(open_machine(EARLY, LABELS, 50.0)) is DecisionMachine
