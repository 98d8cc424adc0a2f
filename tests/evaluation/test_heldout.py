"""A held-out run keeps what a pipeline saw: any decision on it gives the pipeline's events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_make import PERIOD_US, follower, session_of
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.core.records import Event
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.rerun import Rerun
from streamrnn.evaluation.heldout import run_held_out
from streamrnn.kernels import get_backend
from streamrnn.runtime.offline import run_session
from streamrnn.sessions.digest import frames_digest
from streamrnn.sessions.session import Session


def wandering(seed: int, lost: set[int], n: int = 300) -> Session:
    """Return a session whose level wanders about 0, without some of its frames."""
    rng = np.random.default_rng(seed)
    x = 0.04 * np.cumsum(rng.normal(size=n)) + 0.1 * rng.normal(size=n)
    keep = np.array([k for k in range(n) if k not in lost])
    frames = Frames(x[keep, None].astype(np.float32), keep, keep * PERIOD_US)
    return replace(session_of([Label("up", 400_000, 800_000)]), frames=frames, host_ns=keep)


decisions = st.builds(
    DecisionConfig,
    enter=st.sampled_from([0.55, 0.7, 0.9]),
    exit=st.sampled_from([0.3, 0.5]),
    min_ms=st.sampled_from([0.0, 60.0]),
    refractory_ms=st.sampled_from([0.0, 200.0]),
    smooth_ms=st.sampled_from([0.0, 50.0]),
    ood=st.sampled_from([None, 0.8]),
    fire=st.sampled_from(["end", "start", "sure"]),
)


@settings(max_examples=25)
@given(
    config=decisions,
    seed=st.integers(0, 99),
    lost=st.sets(st.integers(1, 298), max_size=6),
    hole=st.sampled_from([set(), set(range(90, 120)), set(range(150, 290))]),
)
def test_the_events_are_those_of_a_pipeline(config, seed, lost, hole):
    recorded, backend = wandering(seed, lost | hole), get_backend("numpy")
    bundle = replace(follower(), decision=config)
    run = run_held_out(bundle, recorded, backend)
    (events,) = Rerun([run], bundle.labels, bundle.rate_hz).events(config)
    records = run_session(bundle, recorded, backend)
    assert events == [record for record in records if isinstance(record, Event)]


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_at_another_temperature_they_are_the_same_but_for_rounding(temperature):
    config = DecisionConfig(enter=0.6, exit=0.4, temperature=temperature)
    bundle, backend = replace(follower(), decision=config), get_backend("numpy")
    for seed in range(5):
        run = run_held_out(bundle, wandering(seed, set()), backend)
        (events,) = Rerun([run], bundle.labels, bundle.rate_hz).events(config)
        wanted = [r for r in run_session(bundle, wandering(seed, set()), backend)]
        # Probabilities come through a float32 logarithm: an error of 2e-7 over the temperature.
        assert [e.score for e in events] == pytest.approx([e.score for e in wanted], abs=2e-6)
        assert [replace(e, score=0) for e in events] == [replace(e, score=0) for e in wanted]


def test_a_run_tells_truth_null_time_and_breaks():
    labels = [Label("up", 400_000, 800_000), Label("wave", 900_000, 1_000_000)]
    recorded = replace(wandering(1, {5, *range(100, 200)}), labels=labels)
    recorded.metadata["subject"] = "ann"
    run = run_held_out(follower(), recorded, get_backend("numpy"), name="a.mcap")
    assert (run.name, run.subject, run.labels, run.rate_hz) == ("a.mcap", "ann", ("none", "up"), 50)
    assert len(run) == 200  # the lone lost frame is filled in
    assert run.breaks.tolist() == [[100, 200 * PERIOD_US]]
    assert [(s.label, s.start) for s in run.truth] == [("up", 400_000)]
    assert run.duration_s == 4.0
    assert run.null_s == pytest.approx(3.6), "what the model was never taught counts as null"
    assert np.flatnonzero(run.y).tolist() == list(range(20, 40))
    assert np.isfinite(run.energy).all()


def test_an_empty_recording_gives_an_empty_run():
    run = run_held_out(follower(), session_of([], n=0), get_backend("numpy"))
    assert (len(run), run.null_s, run.truth) == (0, 0.0, [])
    assert Rerun([run], run.labels, run.rate_hz).found(DecisionConfig()) == [[]]


def test_a_recording_keeps_its_digest_whatever_it_is_called():
    rng = np.random.default_rng(0)
    seq = np.arange(20, dtype=np.int64)
    x = rng.normal(size=(20, 3)).astype(np.float32)
    info = StreamInfo(tuple(map(Channel, "abc")), 50.0)
    session = Session(info, Frames(x, seq, seq * 20_000), seq)
    digest = frames_digest(session)
    assert len(digest) == 64
    turned = StreamInfo(tuple(map(Channel, "cab")), 100.0, "other")
    again = Session(turned, Frames(x[:, [2, 0, 1]], seq + 7, seq * 10_000), seq,
                    [Label("x", 0, 9)], metadata={"subject": "ben"})  # fmt: skip
    assert frames_digest(again) == digest
    for other in (x[:-1], x[::-1].copy(), np.nextafter(x, 9).astype(np.float32)):
        n = len(other)
        assert frames_digest(Session(info, Frames(other, seq[:n], seq[:n]), seq[:n])) != digest
