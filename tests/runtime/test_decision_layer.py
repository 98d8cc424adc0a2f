"""The whole decision layer, live, offline and in a fleet: the same bits and the same reasons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_make import INFO, RATE_HZ, backend, bundle, lines, make_frames, without

from streamrnn.core.records import Event
from streamrnn.core.types import Frames
from streamrnn.decision import DecisionConfig
from streamrnn.decision.explain import Explanation
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.fleet import Fleet
from streamrnn.runtime.fleet_snapshot import FleetSnapshot
from streamrnn.runtime.offline import run_session, run_session_with_probabilities
from streamrnn.runtime.pipeline import Block, Pipeline
from streamrnn.sessions.session import Session

LAYER = DecisionConfig(
    enter=0.6, exit=0.5, min_ms=40.0, hold=0.7, refractory_ms=60.0, refractory_all_ms=20.0,
    require_null_between=True, smooth_ms=30.0, smoothing="mean", temperature=1.5, ood=1.0,
    fire="sure", sure=0.6, deadline_ms=120.0, evidence_ms=80.0,
    per_class={"left": {"min_ms": 20.0, "sure": 0.7}},
)  # fmt: skip
N, LENGTH = 5, 160


def layered(**changes: object) -> Bundle:
    return replace(bundle(), decision=replace(LAYER, **changes))  # type: ignore[arg-type]


def session(frames: Frames) -> Session:
    return Session(INFO, frames, np.zeros(len(frames), np.int64))


def live(model: Bundle, frames: Frames, kernel: str = "cpu") -> tuple[list[str], list[Explanation]]:
    """Return lines and reasons of a run that gets one frame after the other."""
    told: list[Explanation] = []
    pipeline = Pipeline(model, backend(kernel), explain=told.append)
    pipeline.start(INFO)
    records = [r for n in range(len(frames)) for r in pipeline.push(frames[n : n + 1])]
    return lines([*records, *pipeline.finish()]), told


@given(
    lost=st.sets(st.integers(0, 299), max_size=60),
    fire=st.sampled_from(["end", "start", "sure"]),
    smoothing=st.sampled_from(["ema", "mean"]),
)
@settings(max_examples=25)
def test_live_and_offline_give_the_same_events_and_reasons(lost, fire, smoothing):
    model = layered(fire=fire, smoothing=smoothing)
    frames = without(make_frames(300), lost)
    expected, told = live(model, frames)
    for mode in ("batch", "frames"):
        again: list[Explanation] = []
        records = run_session(model, session(frames), backend(), mode=mode, explain=again.append)
        assert lines(records) == expected
        assert again == told
    assert lines(run_session(model, session(frames), backend())) == expected
    n_events = sum('"type":"event"' in line for line in expected)
    assert sum(e.kind == "event" for e in told) == n_events


def test_the_test_has_something_to_look_at():
    records, told = live(layered(), make_frames(600))
    assert sum('"type":"event"' in line for line in records) > 10
    assert {"sure", "exit", "too_short", "strange"} <= {e.reason for e in told}
    energy = run_session_with_probabilities(layered(), session(make_frames(600)), backend()).energy
    assert 10 < (energy < LAYER.ood).sum() < 300  # type: ignore[operator]


@pytest.mark.parametrize("smoothing", ["ema", "mean"])
@given(seed=st.integers(0, 999), cut=st.integers(0, LENGTH))
@settings(max_examples=10)
def test_a_stream_of_a_fleet_decides_as_alone_wherever_it_moves(smoothing, seed, cut):
    model = layered(smoothing=smoothing)
    rng = np.random.default_rng(seed)
    frames = [make_frames(LENGTH, seed + k) for k in range(N)]
    fleet = Fleet(model, N + 1)
    ids = fleet.join(N)
    events: list[list[Event]] = [[] for _ in range(N)]

    def play(first: int, behind: int) -> None:
        for t in range(first, behind):
            order = rng.permutation(N)
            x = np.stack([frames[k].x[t] for k in order])
            at = np.full(N, t, np.int64)
            for stream, event in fleet.decide(x, ids[order], seq=at, t_us=at * 10_000)[1]:
                events[int(np.flatnonzero(ids == stream)[0])].append(event)

    play(0, cut)
    data = fleet.snapshot(ids).to_bytes()
    fleet = Fleet(model, N + 2, backend=backend("numpy"))
    fleet.join(1)
    ids = fleet.restore(FleetSnapshot.from_bytes(data))
    assert fleet.snapshot(ids).to_bytes() == data
    data = fleet.snapshot(ids).to_bytes()
    fleet = Fleet(model, N)
    ids = fleet.restore(FleetSnapshot.from_bytes(data))
    play(cut, LENGTH)
    for stream, event in fleet.leave(ids):
        events[int(np.flatnonzero(ids == stream)[0])].append(event)
    for k in range(N):
        assert lines(events[k]) == live(model, frames[k])[0]


def test_a_place_of_a_plain_mean_is_fresh_for_the_next_stream():
    model = layered()
    fleet = Fleet(model, 1)
    for seed, length in ((1, 2), (2, 33), (3, LENGTH)):
        ids = fleet.join()
        frames = make_frames(length, seed)
        events = [e for x in frames.x for _, e in fleet.decide(x[None], ids)[1]]
        moved = fleet.snapshot()
        fleet.reset()
        assert not fleet.snapshot().recent.any()
        fleet.restore(moved, ids)
        events += [e for _, e in fleet.leave(ids)]
        assert lines(events) == live(model, frames)[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [(2.0, "recent probabilities"), (0.3, "recent probabilities"), (np.nan, "recent probab"),
     (1e300, "recent probabilities")],
)  # fmt: skip
def test_recent_probabilities_that_are_none_are_refused(change, words):
    fleet = Fleet(layered(), 2)
    snapshot = fleet.snapshot(fleet.join(2))
    recent = snapshot.recent.copy()
    assert recent.shape == (2, round(0.03 * RATE_HZ), 3)
    recent[1, 2, 0] = change
    with pytest.raises(ValueError, match=words):
        replace(snapshot, recent=recent)
    with pytest.raises(ValueError, match="do not fit"):
        Fleet(layered(smoothing="ema"), 2).restore(snapshot)


@pytest.mark.parametrize("kernel", ["cpu", "numpy"])
def test_energy_and_temperature_reach_whoever_watches(kernel):
    frames = make_frames(120)
    cool = run_session_with_probabilities(layered(), session(frames), backend(kernel))
    warm = layered(temperature=1.0)
    plain = run_session_with_probabilities(warm, session(frames), backend(kernel))
    assert cool.energy.dtype == np.float32
    assert cool.energy.tobytes() == plain.energy.tobytes()
    expected = plain.probabilities.astype(np.float64) ** (1 / 1.5)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(cool.probabilities, expected, rtol=1e-5, atol=1e-7)
    blocks: list[Block] = []
    pipeline = Pipeline(warm, backend(kernel), observer=blocks.append)
    pipeline.start(INFO)
    for n in range(len(frames)):
        pipeline.push(frames[n : n + 1])
    for name in Block._fields:
        single = np.concatenate([getattr(block, name) for block in blocks])
        assert single.tobytes() == getattr(plain, name).tobytes(), name
