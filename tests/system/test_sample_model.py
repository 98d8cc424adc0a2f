"""The model that ships with the package finds the gestures of people whom it never saw."""

from __future__ import annotations

from pathlib import Path

from system_make import Command, events_of

from streamrnn.core.records import Event
from streamrnn.evaluation.report import Report
from streamrnn.sessions.reader import read_session

GESTURES = ("circle", "double-tap", "in-out", "out-in", "twist")


def test_the_sample_model_finds_the_gestures_of_strangers(
    streamrnn: Command, tmp_path: Path
) -> None:
    report = Report(GESTURES)
    for person in (100, 101, 102):
        live = tmp_path / f"{person}.mcap"
        url = f"sim:signals?person={person}&seed={person}&seconds=90&speed=0"
        code, out, _ = streamrnn("run", "--source", url, "--record", live)
        assert code == 0
        events = [Event.from_dict(event) for event in events_of(out)]
        report.add(read_session(live), events)
    assert report.total.n_true > 60
    assert report.total.f1 > 0.9


def test_the_default_stream_begins_with_a_gesture(streamrnn: Command) -> None:
    code, out, _ = streamrnn("run", "--source", "sim:?speed=0", "--duration", "1.5")
    assert code == 0
    first = events_of(out)[0]
    assert first["seq"] < 120
