"""The report over sessions."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streamrnn.core.records import Event, GapRecord
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.events import Rule
from streamrnn.evaluation.report import Report, evaluate
from streamrnn.features.chain import FeatureChain
from streamrnn.kernels.backend import get_backend
from streamrnn.kernels.params import LayerParams, Params
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions.session import Session


def session_of(labels: list[Label], n: int = 100, **metadata: str) -> Session:
    seq = np.arange(n, dtype=np.int64)
    x = np.full((n, 1), -1.0, np.float32)
    frames = Frames(x, seq, seq * 20_000)
    for label in labels:
        x[label.start_us // 20_000 : label.end_us // 20_000] = 1.0
    info = StreamInfo((Channel("level"),), 50.0, "bench")
    return Session(info, frames, frames.t_us, labels, metadata=metadata)


def event(name: str, onset_ms: int, end_ms: int, late_ms: int = 0) -> Event:
    end_us = end_ms * 1000
    return Event(name, "discrete", 0, end_us + late_ms * 1000, onset_ms * 1000, end_us, 0.9)


LABELS = [Label("up", 200_000, 600_000), Label("down", 1_000_000, 1_400_000)]


def test_hits_misses_false_events_and_delays_are_counted():
    report = Report(("down", "up"))
    records = [
        event("up", 300, 640),
        event("up", 1100, 1300),
        event("up", 1600, 1700),
        GapRecord("lost", 3, 4, 1, "filled"),
    ]
    report.add(session_of(LABELS), records)
    document = report.to_dict()
    assert document["classes"]["up"] == {
        "n_true": 1, "n_found": 3, "n_hit": 1, "n_missed": 0, "n_false": 2,
        "precision": 0.3333, "recall": 1.0, "f1": 0.5,
    }  # fmt: skip
    assert document["classes"]["down"]["n_missed"] == 1
    assert document["confusions"] == [{"true": "down", "found": "up", "n": 1}]
    assert document["delay_ms"] == {"p50": 440.0, "p95": 440.0}
    assert document["delay_frames"] == {"p50": 22.0, "p95": 22.0}
    assert (document["n_gaps"], document["n_frames"], document["duration_s"]) == (1, 100, 2.0)
    assert document["macro_f1"] == 0.25
    json.dumps(document, allow_nan=False)


def test_sessions_add_up():
    report = Report(("down", "up"))
    for _ in range(2):
        report.add(session_of(LABELS), [event("up", 300, 640), event("down", 1000, 1400)])
    assert report.total.n_hit == 4
    assert report.macro_f1 == 1.0
    assert list(report.by_class) == ["down", "up"]


def test_nominal_time_is_never_given_in_milliseconds():
    report = Report(("up",))
    report.add(session_of(LABELS[:1], rate="nominal"), [event("up", 300, 640)])
    document = report.to_dict()
    assert document["delay_ms"] is None
    assert document["duration_s"] is None
    assert document["delay_frames"]["p50"] == 22.0


def test_a_label_that_the_model_does_not_know_is_missed_and_named():
    report = Report(("up",))
    report.add(session_of(LABELS), [])
    assert report.unknown_labels == ["down"]
    assert report.total.n_missed == 2
    assert report.to_dict()["delay_ms"] is None


@pytest.fixture
def follower() -> Bundle:
    """A model without memory: class ``up`` while the channel is above 0."""
    one = np.ones((1, 1), np.float32)
    zero = np.zeros((1, 1), np.float32)
    w_ih = np.concatenate([0 * one, 0 * one, 5 * one, 0 * one])
    b = np.array([10, -10, 0, 10], np.float32)
    layer = LayerParams(w_ih, np.concatenate([zero] * 4), b)
    params = Params((layer,), np.array([[-9], [9]], np.float32), np.zeros(2, np.float32))
    channels = (Channel("level"),)
    chain = FeatureChain.plain(channels)
    return Bundle(params, chain, ("none", "up"), 50.0, channels, DecisionConfig(min_ms=100))


def test_evaluation_runs_the_pipeline_and_hands_out_its_records(follower):
    sessions = [session_of(LABELS[:1]), session_of([])]
    seen = []
    report = evaluate(
        follower,
        sessions,
        get_backend("numpy"),
        report=Report(("up",), Rule("overlap", 0.9)),
        on_records=lambda *a: seen.append(a),
    )
    assert report.total == report.by_class["up"]
    assert (report.total.n_hit, report.total.n_false, report.total.n_missed) == (1, 0, 0)
    assert report.n_sessions == 2
    assert [(n, len(records)) for n, records in seen] == [(0, 1), (1, 0)]
    assert report.delays_us == [400_000]
