from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from streamrnn.core.errors import SessionError
from streamrnn.core.types import Channel, End, Frames, Item, Label, Marker, StreamInfo
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import write_session
from streamrnn.sources.file import FileSource


def session(n: int = 600) -> Session:
    seq = np.arange(n, dtype=np.int64)
    seq[n // 2 :] += 7
    frames = Frames(seq[:, None].astype(np.float32), seq, seq * 10_000)
    labels = [Label("b", 1_000_000, 2_000_000), Label("a", 2_000_000, 2_500_000)]
    info = StreamInfo((Channel("x", "g"),), 100.0, "dev")
    return Session(info, frames, np.zeros(n, np.int64), labels)


def test_where_times_come_from_is_passed_on(tmp_path: Path) -> None:
    given = session()
    given.metadata.update(clock="counted", rate="nominal", subject="ann")
    write_session(tmp_path / "s.mcap", given)
    source = FileSource(str(tmp_path / "s.mcap"))
    source.open()
    assert source.metadata == {"clock": "counted", "rate": "nominal"}


def test_timing_is_that_of_the_recording(tmp_path: Path) -> None:
    given = session(6000)
    given.host_ns = given.frames.t_us * 1010 + 2_000_000  # the device is 1 % fast
    imported = session(6000)
    imported.host_ns = imported.frames.t_us * 1000
    for number, (one, drift_ppm) in enumerate([(given, -9901), (imported, None)]):
        path = tmp_path / f"{number}.mcap"
        write_session(path, one)
        source = FileSource(str(path))
        source.open()
        report = source.timing
        assert report is not None
        assert report.device_hz == pytest.approx(100.0)
        assert report.drift_ppm == (None if drift_ppm is None else pytest.approx(drift_ppm, abs=1))
        assert (report.n_frames, report.n_gaps, report.n_missing) == (6000, 1, 7)
        assert report.is_settled


def read_all(source: FileSource) -> list[Item]:
    items: list[Item] = []
    while not items or not isinstance(items[-1], End):
        items += source.read(1.0)
    return items


def test_frames_and_labels_come_in_time_order(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    write_session(path, session())
    source = FileSource(str(path))
    source.open()
    assert source.info.name == "dev"
    items = read_all(source)
    assert isinstance(items[0], StreamInfo)
    frames = [item for item in items if isinstance(item, Frames)]
    assert np.array_equal(np.concatenate([f.seq for f in frames]), session().frames.seq)
    assert np.array_equal(np.concatenate([f.x for f in frames]), session().frames.x)
    assert [item for item in items if isinstance(item, Marker)] == [
        Marker("b", "start", 1_000_000),
        Marker("b", "end", 2_000_000),
        Marker("a", "start", 2_000_000),
        Marker("a", "end", 2_500_000),
    ]
    newest = -1
    for item in items:
        if isinstance(item, Frames):
            newest = int(item.t_us[-1])
        elif isinstance(item, Marker):
            assert newest < item.t_us  # before the first frame at its time
    assert source.counters.n_frames == 600
    assert source.read(0.0) == []
    source.close()
    with pytest.raises(ValueError, match="not open"):
        source.read(0.0)


def test_damage_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.mcap"
    write_session(path, session())
    path.write_bytes(path.read_bytes()[:-300])
    source = FileSource(str(path))
    with caplog.at_level(logging.WARNING):
        source.open()
    assert str(path) in caplog.text
    assert len(read_all(source)) > 0


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises((SessionError, FileNotFoundError)):
        FileSource(str(tmp_path / "none.mcap")).open()
