"""Laws of the whole decision layer, whatever the options."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from decision_make import LABELS, PERIOD_US, RATE_HZ, Stream, configs, feed, frames, run, streams
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError
from streamrnn.core.records import Event
from streamrnn.decision import DecisionConfig, DecisionMachine


@given(configs(), streams())
@settings(max_examples=100)
def test_one_event_a_run_and_every_start_has_its_end(config: DecisionConfig, stream: Stream):
    is_open: Event | None = None
    before_us = -1
    for e in run(config, stream):
        assert 0.0 <= e.score <= 1.0
        assert e.onset_us <= e.t_us
        if e.phase == "end":
            assert is_open is not None
            assert (is_open.gesture, is_open.onset_us) == (e.gesture, e.onset_us)
            assert is_open.seq <= e.seq
            is_open = None
        else:
            assert is_open is None
            assert e.onset_us >= before_us, "one run, one event"
            assert (e.phase == "start") <= (config.fire != "end")
            is_open = e if e.phase == "start" else None
        before_us = e.end_us or before_us
    assert is_open is None


@given(configs(), streams())
@settings(max_examples=100)
def test_shortest_duration_and_pauses_hold(config: DecisionConfig, stream: Stream):
    free_us = -1.0
    free_of_class_us = dict.fromkeys(LABELS, -1.0)
    for e in run(config, stream):
        if e.end_us is None:
            continue
        rule = config.rule(e.gesture)
        assert e.end_us - e.onset_us >= rule.min_ms * 1000
        assert e.onset_us >= free_us
        assert e.onset_us >= free_of_class_us[e.gesture]
        if config.refractory_all_ms:
            free_us = e.end_us + config.refractory_all_ms * 1000
            free_of_class_us[e.gesture] = e.end_us + rule.refractory_ms * 1000
        else:
            free_us = e.end_us + rule.refractory_ms * 1000


@given(configs(), streams(), st.lists(st.integers(0, 126), max_size=4))
def test_any_blocks_give_the_same_events(config: DecisionConfig, stream: Stream, cuts: list[int]):
    assert run(config, stream, cuts=cuts) == run(config, stream)


@given(configs(), streams(), st.integers(0, 126))
def test_a_snapshot_anywhere_changes_nothing(config: DecisionConfig, stream: Stream, cut: int):
    one = DecisionMachine(config, LABELS, RATE_HZ)
    events = feed(one, Stream(stream.p[:cut], stream.energy[:cut]), close=False)
    other = DecisionMachine(config, LABELS, RATE_HZ)
    other.restore(json.loads(json.dumps(one.snapshot())))
    other.smoother = one.smoother
    rest = Stream(stream.p[cut:], stream.energy[cut:])
    assert [*events, *feed(other, rest, first=cut)] == run(config, stream)


@given(configs(), streams())
def test_an_idle_machine_need_not_see_quiet_frames(config: DecisionConfig, stream: Stream):
    machine = DecisionMachine(config, LABELS, RATE_HZ)
    events: list[Event] = []
    smoothed = machine.smoother.push(stream.p).tolist()
    for n, (p, energy) in enumerate(zip(smoothed, stream.energy.tolist(), strict=True)):
        if not machine.is_idle or 1.0 - p[0] > machine.idle_up_to:
            machine.decide(p, n, n * PERIOD_US, events, energy)
        if machine.is_fresh:
            machine = DecisionMachine(config, LABELS, RATE_HZ)
    assert [*events, *machine.finish()] == run(config, stream)


TIMES = ("min_ms", "refractory_ms", "refractory_all_ms", "smooth_ms", "deadline_ms", "evidence_ms")


@given(configs(), streams(), st.sampled_from([2, 4]))
def test_slower_time_gives_the_same_events(config: DecisionConfig, stream: Stream, factor: int):
    own = {
        name: {k: v * factor if k.endswith("_ms") else v for k, v in rule.items()}
        for name, rule in config.per_class.items()
    }
    slower = replace(config, per_class=own, **{k: getattr(config, k) * factor for k in TIMES})
    machine = DecisionMachine(slower, LABELS, RATE_HZ / factor)
    expected = [
        replace(
            e,
            t_us=e.t_us * factor,
            onset_us=e.onset_us * factor,
            end_us=None if e.end_us is None else e.end_us * factor,
        )
        for e in run(config, stream)
    ]
    assert feed(machine, stream, period_us=PERIOD_US * factor) == expected


@given(configs(fire="end", smooth_ms=0.0, evidence_ms=0.0, hold=1.0, per_class={}), streams(),
       st.sampled_from([2, 4]))  # fmt: skip
def test_a_faster_sensor_gives_the_same_gestures(
    config: DecisionConfig, stream: Stream, factor: int
):
    """The same milliseconds hold at any rate: each frame comes `factor` times as often.

    (A class of its own thresholds may come to lead between two frames, and end a run there.)
    """
    faster = DecisionMachine(config, LABELS, RATE_HZ * factor)
    dense = Stream(np.repeat(stream.p, factor, axis=0), np.repeat(stream.energy, factor))
    found = feed(faster, dense, period_us=PERIOD_US // factor)
    key = [(e.gesture, e.onset_us, e.end_us, e.score) for e in found]
    assert key == [(e.gesture, e.onset_us, e.end_us, e.score) for e in run(config, stream)]


@given(configs(ood=None), streams())
def test_without_a_threshold_energy_changes_nothing(config: DecisionConfig, stream: Stream):
    never = replace(config, ood=-float("inf"))
    assert never == config
    ample = Stream(stream.p, np.full_like(stream.energy, 9.0))
    assert run(never, stream) == run(config, ample) == run(replace(config, ood=-1e30), stream)


@given(configs(ood=0.0, smooth_ms=0.0), streams())
def test_a_strange_frame_counts_as_null(config: DecisionConfig, stream: Stream):
    p = stream.p.copy()
    p[stream.energy < 0.0] = [1.0, 0.0, 0.0, 0.0]
    assert run(config, stream) == run(replace(config, ood=None), Stream(p, stream.energy))


@given(configs(), streams())
def test_sure_lies_between_start_and_end(config: DecisionConfig, stream: Stream):
    """It waits for nothing, or for ever: then it is one of the others."""
    config = replace(config, per_class={}, fire="sure", deadline_ms=0.0)
    start, end = replace(config, fire="start"), replace(config, fire="end")
    assert run(replace(config, sure=0.0), stream) == run(start, stream)
    forced = replace(config, sure=1.0, deadline_ms=max(config.min_ms, 1.0))
    assert run(forced, stream) == run(start, stream)
    p = np.maximum(stream.p * np.float32(0.99), np.float32(0.001))  # never quite sure
    stream = Stream(p, stream.energy)
    assert run(replace(config, sure=1.0), stream) == run(end, stream)


@given(configs(fire="sure"), streams())
def test_what_fires_early_is_sure_or_late(config: DecisionConfig, stream: Stream):
    for e in run(config, stream):
        if e.phase == "start" and config.evidence_ms == 0.0:
            is_sure = e.score >= config.rule(e.gesture).sure
            lasted_us = e.t_us + PERIOD_US - e.onset_us
            is_late = config.deadline_ms > 0 and lasted_us >= config.deadline_ms * 1000
            assert is_sure or is_late


def test_an_early_event_is_final_and_comes_before_the_late_one():
    stream = frames((5, 0, 0), (10, 1, 0.9), (30, 2, 0.9), (5, 0, 0))
    config = DecisionConfig(min_ms=100, fire="sure", sure=0.8)
    start, end = run(config, stream)
    assert (start.gesture, start.phase, start.seq) == ("left", "start", 9)
    assert (end.gesture, end.phase, end.seq) == ("left", "end", 45)
    (late,) = run(replace(config, fire="end"), stream)
    assert (late.gesture, late.onset_us, late.end_us) == ("right", start.onset_us, end.end_us)


def test_a_run_that_is_never_sure_is_one_record_at_its_end():
    stream = frames((20, 1, 0.6), (5, 0, 0))
    config = DecisionConfig(min_ms=100, fire="sure", sure=0.8)
    assert [(e.phase, e.seq) for e in run(config, stream)] == [("discrete", 20)]
    found = run(replace(config, deadline_ms=300.0), stream)
    assert [(e.phase, e.seq) for e in found] == [("start", 14), ("end", 20)]


def test_an_early_decision_can_forget_the_first_frames_and_the_last_one_does_not():
    stream = frames((17, 1, 0.9), (6, 2, 0.9), (3, 0, 0))
    at_end = DecisionConfig(evidence_ms=20.0)
    assert [e.gesture for e in run(at_end, stream)] == ["left"]
    early = replace(at_end, fire="sure", sure=0.85, min_ms=420.0)  # 21 frames
    start, end = run(early, stream)
    assert (start.gesture, start.seq, end.gesture) == ("right", 20, "right")
    assert end.score == pytest.approx(6 * 0.9 / 23, abs=1e-6)  # of the whole gesture
    start, _ = run(replace(early, evidence_ms=0.0, sure=0.5), stream)
    assert start.gesture == "left"


def test_short_drops_are_outlived_and_long_ones_are_not():
    def found(n_drop: int, hold: float) -> list[tuple[int, int | None]]:
        stream = frames((15, 1, 0.9), (n_drop, 0, 0), (15, 1, 0.9), (9, 0, 0))
        config = DecisionConfig(min_ms=200.0, hold=hold)  # 10 frames
        events = run(config, stream)
        return [(e.onset_us // PERIOD_US, e.end_us and e.end_us // PERIOD_US) for e in events]

    assert found(3, 0.7) == [(0, 33)]
    assert found(4, 0.7) == found(4, 1.0) == [(0, 15), (19, 34)]
    assert found(3, 1.0) == [(0, 15), (18, 33)]


def test_an_end_is_given_when_it_is_known_and_lies_where_it_was():
    stream = frames((15, 1, 0.9), (9, 0, 0))
    (event,) = run(DecisionConfig(min_ms=200.0, hold=0.7), stream)
    assert (event.seq, event.end_us) == (18, 15 * PERIOD_US)
    cut = Stream(stream.p[:17], stream.energy[:17])  # a break before it is known
    (event,) = run(DecisionConfig(min_ms=200.0, hold=0.7), cut)
    assert (event.seq, event.end_us) == (16, 15 * PERIOD_US)


def test_pauses_of_one_class_and_of_all():
    stream = frames((9, 1, 0.9), (2, 0, 0), (9, 1, 0.9), (2, 0, 0), (9, 2, 0.9), (2, 0, 0))

    def found(**options: float) -> list[str]:
        return [e.gesture for e in run(DecisionConfig(**options), stream)]

    assert found() == ["left", "left", "right"]
    assert found(refractory_ms=200.0) == ["left", "right"]
    assert found(refractory_ms=900.0) == ["left"]
    assert found(refractory_ms=900.0, refractory_all_ms=20.0) == ["left", "right"]
    assert found(refractory_all_ms=200.0) == ["left", "right"]


def test_null_between_drops_what_began_in_the_pause():
    stream = frames((9, 1, 0.9), (1, 0, 0), (30, 1, 0.9), (1, 0, 0), (9, 2, 0.9), (1, 0, 0))
    config = DecisionConfig(refractory_ms=200.0)
    assert [e.gesture for e in run(config, stream)] == ["left", "left"]
    config = replace(config, require_null_between=True)
    assert [e.gesture for e in run(config, stream)] == ["left", "right"]


@given(configs())
def test_every_option_survives_json(config: DecisionConfig):
    document = json.loads(json.dumps(asdict(config), allow_nan=False))
    assert from_mapping(DecisionConfig, document, "model") == config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hold": 0.0}, "hold must be above 0"),
        ({"hold": 1.1}, "hold must be"),
        ({"temperature": 0.0}, "temperature must be within"),
        ({"temperature": float("nan")}, "temperature must be within"),
        ({"ood": float("nan")}, "ood must be a finite energy"),
        ({"ood": float("inf")}, "ood must be"),
        ({"smoothing": "median"}, "smoothing must be 'ema' or 'mean'"),
        ({"sure": 1.5}, "sure must be within 0..1"),
        ({"deadline_ms": -1.0}, "deadline_ms must be 0 or more"),
        ({"evidence_ms": float("inf")}, "evidence_ms must be"),
        ({"refractory_all_ms": -5.0}, "refractory_all_ms must be"),
        ({"per_class": {"up": {"sure": 2.0}}}, "per_class.up: sure must be"),
        ({"per_class": {"up": {"hold": 0.5}}}, "per_class.up: unknown option 'hold'"),
    ],
)
def test_senseless_layers_are_refused(options: dict[str, float], message: str):
    with pytest.raises(ConfigError, match=message):
        DecisionConfig(**options)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DecisionConfig(smoothing="mean", smooth_ms=82_000.0), "at most one of 4096 frames"),
        (DecisionConfig(hold=0.9, min_ms=82_000.0), "min_ms is at most 4096 frames"),
    ],
)
def test_what_would_take_too_much_memory_is_refused(config: DecisionConfig, message: str):
    with pytest.raises(ConfigError, match=message):
        DecisionMachine(config, LABELS, RATE_HZ)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paused_until_us": {"none": 3}}, "a pause of 'none', which is no gesture"),
        ({"run": {"evidence": [1.0]}}, "not over 4 classes"),
        ({"run": {"evidence": [1.0] * 4, "weight": 0.0}}, "evidence has no weight"),
        ({"run": {"weight": float("nan")}}, "not finite"),
        ({"run": {"drops": -1}}, "not over 4 classes"),
    ],
)
def test_senseless_snapshots_of_the_layer_are_refused(change: dict[str, object], message: str):
    machine = DecisionMachine(DecisionConfig(hold=0.5, evidence_ms=50.0), LABELS, RATE_HZ)
    feed(machine, frames((3, 1, 0.9)), close=False)
    before = machine.snapshot()
    run_of = {"run": {**before["run"], **change["run"]}} if "run" in change else change  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match=message):
        machine.restore({**before, **run_of})
    assert machine.snapshot() == before
