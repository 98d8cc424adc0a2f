from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from runtime_make import CHANNELS, INFO, make_frames

from streamrnn.core.errors import SessionError
from streamrnn.core.records import Event, GapRecord, Stats
from streamrnn.core.types import Channel, End, Gap, Label, Marker, StreamInfo
from streamrnn.runtime.recorder import MAX_NAMES, MAX_OPEN, Recorder
from streamrnn.sessions.describe import describe
from streamrnn.sessions.reader import read_session
from streamrnn.sources.timing import Spread, TimingReport


class Clock:
    """Host time that is moved by hand."""

    def __init__(self) -> None:
        self.now_ns = 10**18

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.mcap"


def recorder(path: Path, clock: Clock | None = None) -> Recorder:
    return Recorder(path, INFO, {"subject": "anna"}, clock_ns=clock or Clock())


def test_what_comes_is_what_is_read(path: Path) -> None:
    r = recorder(path)
    frames = make_frames(100)
    for item in (
        INFO,
        frames[:30],
        Marker("left", "start", 300_000),
        frames[30:60],
        Marker("left", "end", 600_000),
        frames[62:],
        make_frames(0),
        End(),
    ):
        r.push(item)
    event = Event("left", "discrete", 70, 700_000, 300_000, 600_000, 0.9)
    r.open("dev", "sha256:0")
    r.write(event)
    r.write(GapRecord("lost", 62, 620_000, 2, "filled"))
    assert (r.n_frames, r.n_labels, r.n_missing) == (98, 1, 2)
    r.close()
    session = read_session(path)
    assert session.info == INFO
    assert session.subject == "anna"
    assert session.frames.seq.tolist() == [*range(60), *range(62, 100)]
    assert np.array_equal(session.frames.x[:60], frames.x[:60])
    assert session.labels == [Label("left", 300_000, 600_000, "board")]
    assert [e["gesture"] for e in session.events] == ["left"]


def test_a_reboot_moves_the_rest_behind(path: Path) -> None:
    clock = Clock()
    r = recorder(path, clock)
    r.push(Gap("unplug", restart=True))  # before the first frame it changes nothing
    r.push(make_frames(100, first=700))
    r.push(Gap("unplug"))
    r.push(Gap("reboot", restart=True))
    r.push(Marker("left", "start", 0))
    clock.now_ns += 5_000_000_000
    r.push(make_frames(50, seed=3))
    r.push(Marker("left", "end", 250_000))
    r.close()
    assert r.n_missing == 0  # nobody knows how many
    session = read_session(path)
    seq, t_us = session.frames.seq, session.frames.t_us
    assert seq.tolist() == [*range(700, 800), *range(1300, 1350)]
    assert (np.diff(t_us) > 0).all()
    assert t_us[100] - t_us[99] == 5_000_000
    assert session.labels == [Label("left", t_us[100], t_us[100] + 250_000, "board")]


def test_events_are_moved_with_the_frames_that_they_tell_of(path: Path) -> None:
    r = recorder(path)
    boot = Gap("reboot", restart=True)
    for first in (700, 0, 0):  # three boots; the model sees each item behind the recorder
        r.push(make_frames(100, first=first))
        if first == 0:
            r.write(Event("left", "end", 99, 990_000, 500_000, 995_000, 0.9))  # before the boot
            r.write(GapRecord("reboot", 0, 0, None, "reset"))
        r.write(GapRecord("lost", 40, 400_000, 2, "filled"))
        r.write(Event("right", "start", first + 50, first * 10_000 + 500_000, 480_000, None, 0.8))
        r.push(boot)
    r.close()
    session = read_session(path)
    seq, t_us = session.frames.seq, session.frames.t_us
    found = [
        (event["gesture"], event["seq"] - start_seq, event["t_us"] - start_us)
        for event, start_seq, start_us in zip(
            session.events,
            (0, 0, seq[100], seq[100], seq[200]),
            (0, 0, t_us[100], t_us[100], t_us[200]),
            strict=True,
        )
    ]
    assert found == [
        ("right", 750, 7_500_000),
        ("left", 99, 990_000),
        ("right", 50, 500_000),
        ("left", 99, 990_000),
        ("right", 50, 500_000),
    ]
    start_us = int(t_us[200])
    assert session.events[4]["onset_us"] == start_us + 480_000
    assert session.events[4]["end_us"] is None
    assert session.events[3]["end_us"] == int(t_us[100]) + 995_000


def test_a_reboot_is_a_gap_that_no_model_bridges(path: Path) -> None:
    r = recorder(path)
    r.push(make_frames(10))
    r.push(Gap("reboot", restart=True))
    r.push(make_frames(10))
    r.close()
    assert np.diff(read_session(path).frames.t_us).max() == 2_000_000


def test_keys_begin_and_end_labels(path: Path) -> None:
    r = recorder(path)
    frames = make_frames(100)
    for first, key in ((0, "left"), (20, "left"), (40, "right"), (60, "left"), (80, "")):
        r.push(frames[first : first + 20])
        if key:
            r.toggle(key)
    assert r.open_label == "left"
    r.close()
    assert read_session(path).labels == [
        Label("left", 200_000, 400_000, "keys"),
        Label("right", 600_000, 800_000, "keys"),
        Label("left", 800_000, 1_000_000, "keys"),
    ]
    assert r.n_labels == 3


def test_an_end_without_its_start_is_let_go(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    r = recorder(path)
    with caplog.at_level(logging.WARNING):
        r.push(Marker("left", "end", 5))
    r.close()
    assert "its start was not seen" in caplog.text
    assert read_session(path).labels == []


def test_other_channels_need_another_session(path: Path) -> None:
    r = recorder(path)
    r.push(make_frames(5))
    with pytest.raises(SessionError, match="changed its channels"):
        r.push(StreamInfo((*CHANNELS, Channel("t")), 100.0))
    r.close()
    assert len(read_session(path)) == 5


def test_an_existing_file_is_not_replaced_unasked(path: Path) -> None:
    recorder(path).close()
    with pytest.raises(SessionError, match="exists"):
        recorder(path)
    Recorder(path, INFO, {}, overwrite=True).close()


def test_counted_frames_that_had_waited_are_set_back(path: Path) -> None:
    clock = Clock()
    r = Recorder(path, INFO, {"clock": "counted"}, clock_ns=clock)
    r.push(make_frames(500))  # five seconds, waiting while the rate was measured
    for k in range(50):
        clock.now_ns += 100_000_000
        r.push(make_frames(10, first=500 + 10 * k))
    r.close()
    session = read_session(path)
    assert (np.diff(session.host_ns) >= 0).all()
    assert session.host_ns[-1] - session.host_ns[0] == pytest.approx(9.99e9, rel=1e-3)
    assert describe(session)["arrival_rate_hz"] == pytest.approx(100, rel=0.02)


def test_a_device_that_makes_up_labels_costs_no_memory(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    r = recorder(path)
    r.push(make_frames(10))
    for n in range(MAX_OPEN + 5):
        r.push(Marker(f"open {n}", "start", n))
    for n in range(MAX_NAMES + 50):
        r.undo(r.begin(f"name {n}", n, "board"))
    last = r.begin("one more", 9, "board")
    assert len(r.labels) <= MAX_NAMES + 1
    assert r.n_labels == MAX_OPEN + 1
    assert r.undo(last) is not None
    assert r.n_labels == MAX_OPEN
    r.close()
    assert caplog.text.count("left out") == 5
    assert len(read_session(path).labels) == MAX_OPEN


def settled() -> TimingReport:
    return TimingReport(
        100.0,
        span_s=60.0,
        device_hz=99.981,
        host_hz=99.9845,
        error_ppm=1.0,
        drift_ppm=35.2,
        drift_error_ppm=0.4,
        n_duplicates=3,
        arrival_jitter=Spread(100.0, 1200.0, 8000.0),
    )


def test_what_the_times_told_is_kept_when_a_recording_ends(path: Path) -> None:
    r = recorder(path)
    r.push(make_frames(10))
    r.remember(None)
    r.remember(settled())
    r.close()
    metadata = read_session(path).metadata
    assert metadata == {
        "subject": "anna",
        "timing": "99.981 Hz by its clock (+-1 ppm), clock +35.2 ppm (+-0.4), "
        "late by 1.2 ms (95 %), 8.0 ms at most, 3 duplicate frames",
    }


def test_the_statistics_of_a_run_tell_a_recorder_the_timing(path: Path) -> None:
    r = recorder(path)
    r.push(make_frames(10))
    r.write(Stats({"n_frames": 10, "timing": settled().to_dict()}))
    r.close()
    assert read_session(path).metadata["timing"].startswith("99.981 Hz by its clock")


def test_a_timing_that_tells_nothing_is_not_kept(path: Path) -> None:
    r = recorder(path)
    r.push(make_frames(10))
    r.remember(TimingReport(100.0))
    r.write(Stats({"n_frames": 10}))
    r.close()
    assert "timing" not in read_session(path).metadata
