"""Laws of the decision."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError
from streamrnn.core.records import Event
from streamrnn.decision import DecisionConfig, DecisionMachine

RATE_HZ = 50.0
PERIOD_US = 20_000
LABELS = ("none", "left", "right", "up")
RUN = {
    "onset_us": 0,
    "rising": [1.0] * 4,
    "sums": [0.0, 1.0, 0.0, 0.0],
    "n_frames": 1,
    "leader": 1,
    "fired": False,
}


@st.composite
def streams(draw: st.DrawFn) -> np.ndarray:
    """Probabilities (N, 4) with runs of activity, some of them near the thresholds."""
    rows = []
    for _ in range(draw(st.integers(0, 8))):
        level = draw(st.sampled_from([0.02, 0.3, 0.4, 0.45, 0.55, 0.9, 1.0]))
        shares = draw(st.lists(st.integers(0, 5), min_size=3, max_size=3))
        share = np.array(shares, float) + (sum(shares) == 0)
        p = np.concatenate([[1 - level], level * share / share.sum()])
        rows += [p] * draw(st.integers(1, 16))
    return np.array(rows, np.float32).reshape(-1, 4)


configs = st.builds(
    lambda enter, exit_, **rest: DecisionConfig(enter, min(enter, exit_), **rest),
    st.sampled_from([0.4, 0.5, 0.8]),
    st.sampled_from([0.2, 0.4, 0.5]),
    min_ms=st.sampled_from([0.0, 50.0, 210.0]),
    refractory_ms=st.sampled_from([0.0, 100.0, 400.0]),
    smooth_ms=st.sampled_from([0.0, 40.0]),
    fire=st.sampled_from(["end", "start"]),
    per_class=st.sampled_from(
        [{}, {"left": {"enter": 0.9, "min_ms": 100.0}}, {"up": {"exit": 0.1, "refractory_ms": 0.0}}]
    ),
)


def run(config: DecisionConfig, probs: np.ndarray, *, cuts=(), shift_us=0) -> list[Event]:
    machine = DecisionMachine(config, LABELS, RATE_HZ)
    return feed(machine, probs, cuts=cuts, shift_us=shift_us)


def feed(
    machine: DecisionMachine, probs: np.ndarray, *, cuts=(), shift_us=0, first=0, close=True
) -> list[Event]:
    seq = np.arange(first, first + len(probs))
    t_us = seq * PERIOD_US + shift_us
    edges = [0, *sorted(min(c, len(probs)) for c in cuts), len(probs)]
    events = []
    for a, b in itertools.pairwise(edges):
        events += machine.push(probs[a:b], seq[a:b], t_us[a:b])
    return events + (machine.finish() if close else [])


def authors_rule_1(probs: np.ndarray) -> list[tuple[int, int, int]]:
    """Maximal runs above 0.4, those of 10 frames or fewer dropped; later frames count more."""
    active = [1.0 - float(p[0]) > 0.4 for p in probs]
    segments, start = [], None
    for i, on in enumerate([*active, False]):
        if on and start is None:
            start = i
        elif not on and start is not None:
            if i - start > 10:
                sums = [
                    sum(n * float(p[k]) for n, p in enumerate(probs[start:i], 1))
                    for k in range(1, 4)
                ]
                segments.append((start, i, 1 + sums.index(max(sums))))
            start = None
    return segments


@given(streams())
def test_with_their_settings_the_segments_of_the_uhh_authors_come_out(probs):
    config = DecisionConfig(enter=0.4, exit=0.4, min_ms=10.5 * PERIOD_US / 1000)
    got = [
        (e.onset_us // PERIOD_US, e.end_us // PERIOD_US, LABELS.index(e.gesture))
        for e in run(config, probs)
    ]
    assert got == authors_rule_1(probs)


@given(configs, streams(), st.lists(st.integers(0, 130), max_size=5))
def test_chunking_never_changes_events(config, probs, cuts):
    assert run(config, probs, cuts=cuts) == run(config, probs)


@given(configs, streams(), streams())
def test_reset_is_fresh(config, before, probs):
    machine = DecisionMachine(config, LABELS, RATE_HZ)
    feed(machine, before)
    assert feed(machine, probs) == run(config, probs)


@given(configs, streams(), st.integers(0, 130))
def test_a_snapshot_goes_on_with_the_same_events(config, probs, cut):
    one = DecisionMachine(config, LABELS, RATE_HZ)
    events = feed(one, probs[:cut], close=False)
    other = DecisionMachine(config, LABELS, RATE_HZ)
    other.restore(json.loads(json.dumps(one.snapshot())))
    other.smoother = one.smoother
    assert other.is_idle == one.is_idle
    assert [*events, *feed(other, probs[cut:], first=cut)] == run(config, probs)


@given(configs, streams())
def test_an_idle_machine_need_not_see_quiet_frames_nor_be_kept(config, probs):
    machine = DecisionMachine(config, LABELS, RATE_HZ)
    events: list[Event] = []
    smoothed = machine.smoother.push(probs).tolist()
    for n, p in enumerate(smoothed):
        if not machine.is_idle or 1.0 - p[0] > machine.idle_up_to:
            machine.decide(p, n, n * PERIOD_US, events)
        if machine.is_fresh:
            machine = DecisionMachine(config, LABELS, RATE_HZ)
    assert [*events, *machine.finish()] == run(config, probs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"last_sec": 0}, "unknown option 'last_sec' .did you mean 'last_seq'"),
        ({"last_seq": 1.5}, "last_seq must be int"),
        ({"run": {"leader": 1}}, "run: option 'onset_us' is missing"),
        ({"run": {**RUN, "leader": 0}}, "not over 4 classes"),
        ({"run": {**RUN, "n_frames": 0}}, "not over 4 classes"),
        ({"run": {**RUN, "sums": [1.0] * 3}}, "not over 4 classes"),
        ({"run": {**RUN, "sums": [1.0, 1.0, 1.0, float("inf")]}}, "not finite"),
    ],
)
def test_a_senseless_snapshot_is_refused(change, message):
    machine = DecisionMachine(DecisionConfig(), LABELS, RATE_HZ)
    before = machine.snapshot()
    with pytest.raises(ConfigError, match=message):
        machine.restore({**before, **change})
    assert machine.snapshot() == before


@given(configs, streams(), st.integers(-(10**12), 10**12))
def test_a_shift_in_time_shifts_the_events(config, probs, shift_us):
    shifted = [
        dataclasses.replace(
            e,
            t_us=e.t_us + shift_us,
            onset_us=e.onset_us + shift_us,
            end_us=None if e.end_us is None else e.end_us + shift_us,
        )
        for e in run(config, probs)
    ]
    assert run(config, probs, shift_us=shift_us) == shifted


@given(configs, streams())
def test_events_are_in_order_never_overlap_and_keep_their_pause(config, probs):
    free_from_us = -(10**9)
    open_onset = None
    for e in run(config, probs):
        assert 0.0 <= e.score <= 1.0
        if e.phase == "start":
            assert open_onset is None
            open_onset = (e.gesture, e.onset_us)
        else:
            assert e.phase == ("end" if config.fire == "start" else "discrete")
            assert config.fire == "end" or open_onset == (e.gesture, e.onset_us)
            open_onset = None
        assert free_from_us <= e.onset_us <= e.t_us
        if e.end_us is not None:
            pause = config.rule(e.gesture).refractory_ms * 1000
            assert e.end_us - e.onset_us >= config.rule(e.gesture).min_ms * 1000
            free_from_us = e.end_us + pause
    assert open_onset is None, "every start gets its end"


@given(configs, streams())
def test_firing_early_or_late_finds_the_same_gestures(config, probs):
    if config.per_class:
        config = dataclasses.replace(config, per_class={})
    late = run(dataclasses.replace(config, fire="end"), probs)
    early = run(dataclasses.replace(config, fire="start"), probs)
    ends = [e for e in early if e.phase == "end"]
    assert [(e.onset_us, e.end_us) for e in ends] == [(e.onset_us, e.end_us) for e in late]
    starts = [e for e in early if e.phase == "start"]
    assert all(s.t_us <= e.t_us for s, e in zip(starts, ends, strict=True))


def active(n: int, k: int, level: float = 0.9) -> list[list[float]]:
    p = [1 - level, 0.0, 0.0, 0.0]
    p[k] = level
    return [p] * n


def test_onset_end_and_times_are_those_of_the_frames():
    probs = np.array(active(5, 1, 0.0) + active(20, 2) + active(5, 1, 0.0), np.float32)
    (event,) = run(DecisionConfig(min_ms=200), probs)
    assert (event.gesture, event.phase) == ("right", "discrete")
    assert (event.onset_us, event.end_us) == (5 * PERIOD_US, 25 * PERIOD_US)
    assert (event.seq, event.t_us) == (25, 25 * PERIOD_US)
    assert event.score == pytest.approx(0.9, abs=1e-6)
    start, end = run(DecisionConfig(min_ms=200, fire="start"), probs)
    assert (start.seq, start.end_us, end.seq) == (14, None, 25)


def test_the_leader_can_change_until_the_start_is_given():
    probs = np.array(active(5, 1) + active(15, 2), np.float32)
    (late,) = run(DecisionConfig(min_ms=60), probs)
    start, end = run(DecisionConfig(min_ms=60, fire="start"), probs)
    assert late.gesture == "right"
    assert start.gesture == end.gesture == "left"


def test_a_class_can_have_its_own_thresholds():
    probs = np.array(active(20, 1, 0.6) + active(5, 1, 0.0) + active(20, 2, 0.6), np.float32)
    config = DecisionConfig(per_class={"left": {"enter": 0.7}})
    assert [e.gesture for e in run(config, probs)] == ["right"]


def test_a_break_closes_an_open_gesture_at_the_last_frame():
    machine = DecisionMachine(DecisionConfig(fire="start"), LABELS, RATE_HZ)
    n = 10
    seq = np.arange(n)
    started = machine.push(np.array(active(n, 3), np.float32), seq, seq * PERIOD_US)
    assert [e.phase for e in started] == ["start"]
    (end,) = machine.reset(t_us=9 * PERIOD_US + 5)
    assert (end.phase, end.seq, end.t_us) == ("end", 9, 9 * PERIOD_US)
    assert end.end_us == 9 * PERIOD_US + 5
    assert machine.reset() == []
    machine.push(np.array(active(n, 3), np.float32), seq, seq * PERIOD_US)
    (end,) = machine.reset(t_us=0)  # the device booted: its clock began again
    assert end.end_us == n * PERIOD_US


def test_a_configuration_survives_json():
    config = DecisionConfig(0.6, 0.3, per_class={"up": {"enter": 0.8}})
    document = json.loads(json.dumps(dataclasses.asdict(config)))
    assert from_mapping(DecisionConfig, document, "model") == config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fire": "now"}, "fire must be"),
        ({"enter": 0.3, "exit": 0.4}, "0 <= exit <= enter < 1"),
        ({"enter": 1.0}, "0 <= exit <= enter < 1"),
        ({"min_ms": -1.0}, "min_ms must be"),
        ({"refractory_ms": float("inf")}, "refractory_ms must be"),
        ({"smooth_ms": float("nan")}, "smooth_ms must be"),
        ({"per_class": {"left": {"entr": 0.5}}}, r"per_class.left: unknown option 'entr'"),
        ({"per_class": {"left": {"exit": 0.9}}}, r"per_class.left: thresholds"),
    ],
)
def test_senseless_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        DecisionConfig(**options)


@pytest.mark.parametrize(
    ("config", "labels", "rate_hz", "message"),
    [
        (DecisionConfig(per_class={"lef": {}}), LABELS, 50, r"no gesture 'lef' .*'left'"),
        (DecisionConfig(per_class={"none": {}}), LABELS, 50, "no gesture 'none'"),
        (DecisionConfig(), ("none",), 50, "at least one gesture"),
        (DecisionConfig(), LABELS, 0.0, "frame rate above 0"),
    ],
)
def test_a_machine_that_cannot_work_is_refused(config, labels, rate_hz, message):
    with pytest.raises(ConfigError, match=message):
        DecisionMachine(config, labels, rate_hz)
