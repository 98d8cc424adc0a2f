"""What is written is read back, bit for bit."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcap.reader import make_reader
from session_make import INFO, assert_same, frames_of, session_of

from streamrnn.core.errors import SessionError
from streamrnn.core.types import Channel, Frames, Label, Marker, StreamInfo
from streamrnn.sessions.form import ros_field_names
from streamrnn.sessions.raw import read_raw
from streamrnn.sessions.reader import read_session, read_sessions
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import SessionWriter, write_session


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    n = draw(st.integers(0, 40))
    n_channels = draw(st.integers(1, 5))
    jumps = draw(
        st.lists(st.sampled_from([1, 1, 1, 2, 7, 2**31, 2**33 + 5]), min_size=n, max_size=n)
    )
    steps = draw(st.lists(st.integers(0, 20_000), min_size=n, max_size=n))
    seq = draw(st.integers(0, 2**40)) + np.cumsum(np.array(jumps, np.int64))
    t_us = draw(st.integers(0, 2**50)) + np.cumsum(np.array(steps, np.int64))
    bits = draw(st.binary(min_size=4 * n * n_channels, max_size=4 * n * n_channels))
    x = np.frombuffer(bits, np.float32).reshape(n, n_channels).copy()
    host = draw(st.integers(0, 2**60)) + np.arange(n, dtype=np.int64) * 1000
    names = draw(
        st.lists(st.text(min_size=1, max_size=8), min_size=n_channels, max_size=n_channels,
                 unique=True)
    )  # fmt: skip
    bounds = st.integers(0, 2**50)
    pairs = draw(st.lists(st.tuples(st.text(max_size=5), bounds, bounds), max_size=5))
    labels = sorted(
        (Label(name, min(a, b), max(a, b), "keys", 0.5) for name, a, b in pairs),
        key=lambda label: label.start_us,
    )
    info = StreamInfo(tuple(Channel(name, "m/s^2") for name in names), 104.5, "b", "1", "x")
    return Session(info, Frames(x, seq, t_us), host, labels, [{"type": "gap", "t_us": 5}],
                   {"subject": "é\n"})  # fmt: skip


@given(session=sessions())
def test_write_then_read_is_identity(
    session: Session, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("s") / "a.mcap"
    write_session(path, session)
    assert_same(read_session(path), session)
    assert [p.name for p in path.parent.iterdir()] == ["a.mcap"]


@given(cuts=st.lists(st.integers(0, 300), max_size=6))
def test_the_size_of_the_blocks_does_not_matter(
    cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    session = session_of(300)
    path = tmp_path_factory.mktemp("s") / "a.mcap"
    edges = [0, *sorted(cuts), 300]
    with SessionWriter(path, INFO) as writer:
        for a, b in itertools.pairwise(edges):
            writer.write(session.frames[a:b], session.host_ns[a:b])
    assert_same(read_session(path), session)


@pytest.mark.parametrize("rotate_bytes", [2**40, 2000])
def test_what_is_known_at_the_end_only_is_metadata_too(tmp_path: Path, rotate_bytes: int) -> None:
    session = session_of(900)
    path = tmp_path / "a.mcap"
    with SessionWriter(path, INFO, {"subject": "ann"}, rotate_bytes=rotate_bytes) as writer:
        for n in range(0, 900, 100):
            writer.write(session.frames[n : n + 100], session.host_ns[n : n + 100])
            writer.flush()
        writer.remember({"timing": "unknown", "subject": "not who it was"})
        writer.remember({"timing": "99.98 Hz"})
    read = read_session(path)
    assert read.metadata == {"subject": "ann", "timing": "99.98 Hz"}
    assert read.problems == []
    assert (rotate_bytes == 2000) == (len(list(tmp_path.iterdir())) > 1)


def test_an_independent_reader_reads_a_finished_file(tmp_path: Path) -> None:
    session = session_of(250)
    session.labels.append(Label("left", 500_000, 900_000, "keys"))
    path = tmp_path / "a.mcap"
    write_session(path, session)
    with open(path, "rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        assert summary.statistics.channel_message_counts[2] == 250
        schema = next(iter(summary.schemas.values()))
        assert (schema.name, schema.encoding) == ("streamrnn/Frame", "ros2msg")
        assert schema.data == b"float32 acc_x  # m/s^2\nfloat32 acc_y  # m/s^2\nfloat32 ch_3d\n"
        rows: list[Any] = []
        labels: list[Any] = []
        for _, channel, message in reader.iter_messages():
            if channel.topic == "/frames":
                assert channel.message_encoding == "cdr"
                assert message.data[:4] == b"\0\1\0\0"
                rows.append((message, struct.unpack("<3f", message.data[4:])))
            elif channel.topic == "/labels":
                labels.append(json.loads(message.data))
        records = {record.name: record.metadata for record in reader.iter_metadata()}
    assert [row for _, row in rows] == [tuple(row) for row in session.frames.x.tolist()]
    assert [m.publish_time for m, _ in rows] == [t * 1000 for t in session.frames.t_us.tolist()]
    assert [m.log_time for m, _ in rows] == session.host_ns.tolist()
    assert [m.sequence for m, _ in rows] == session.frames.seq.tolist()
    assert [label["phase"] for label in labels] == ["start", "end"]
    stream = json.loads(records["streamrnn"]["document"])["stream"]
    assert stream["channels"][2] == {"name": "3D-Ä!", "unit": "", "field": "ch_3d"}


def test_labels_from_marks_and_the_open_one(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with SessionWriter(path, INFO) as writer:
        writer.mark("before", "start")
        writer.write(frames_of(10))
        writer.mark("before", "end")
        writer.mark(Marker("left", "start", 40_000), source="board")
        writer.mark("right", "start", 50_000, "keys", 0.25)
        writer.mark("left", "end", 60_000)
        writer.write(frames_of(10, first=10))
        with pytest.raises(SessionError, match="'left' ends but did not start"):
            writer.mark("left", "end")
        with pytest.raises(SessionError, match="'start' or 'end', got 'x'"):
            writer.mark("left", "x")
    got = read_session(path)
    assert got.labels == [
        Label("before", 0, 100_000, ""),
        Label("left", 40_000, 60_000, "board"),
        Label("right", 50_000, 200_000, "keys", 0.25),
    ]
    assert got.problems == []


def test_without_a_known_rate_the_period_comes_from_the_frames(tmp_path: Path) -> None:
    info = StreamInfo(INFO.channels, 0.0)
    with SessionWriter(tmp_path / "a.mcap", info) as writer:
        writer.write(frames_of(10))
        writer.mark("a", "start", 0)
    got = read_session(tmp_path / "a.mcap")
    assert got.labels[0].end_us == got.end_us == 100_000
    assert got.duration_s == 0.1


def test_raw_reads_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with SessionWriter(path, INFO) as writer:
        writer.raw(b"\x00\x01", 5)
        writer.write(frames_of(3))
        writer.raw(b"", 6)
        writer.raw(b"xyz")
    got = list(read_raw(path))
    assert got[:2] == [(5, b"\x00\x01"), (6, b"")]
    assert got[2][1] == b"xyz"
    assert len(read_session(path)) == 3


def test_events_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with SessionWriter(path, INFO, {"notes": "n"}) as writer:
        writer.event({"type": "event", "t_us": 7})
        writer.event({"type": "stats"})
    got = read_session(path)
    assert got.events == [{"type": "event", "t_us": 7}, {"type": "stats"}]
    assert (got.metadata, got.subject, got.duration_s) == ({"notes": "n"}, "", 0.0)


def test_a_long_session_is_rotated_and_read_as_one(tmp_path: Path) -> None:
    now = [0]
    path = tmp_path / "a.mcap"
    with SessionWriter(path, INFO, {"subject": "s"}, clock=lambda: now[0], rotate_ns=10**9) as w:
        w.mark("left", "start", 0)
        for k in range(3):
            w.write(frames_of(100, first=100 * k), np.int64(k))
            now[0] += 10**9
        w.mark("left", "end", 2_000_000)
        assert w.n_parts == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a-002.mcap", "a-003.mcap", "a-004.mcap", "a.mcap",
    ]  # fmt: skip
    (got,) = read_sessions([tmp_path])
    assert got.problems == []
    assert got.frames.seq.tolist() == list(range(300))
    assert got.labels == [Label("left", 0, 2_000_000)]
    alone = read_session(tmp_path / "a-002.mcap")
    assert alone.problems[0] == "this is part 2 of a session, read alone"
    assert alone.subject == "s"
    (tmp_path / "a-003.mcap").write_bytes(b"")
    (cut,) = read_sessions([tmp_path])
    assert "its part 3 is missing or damaged" in cut.problems
    assert cut.frames.seq.tolist() == list(range(300))
    assert cut.labels == [Label("left", 0, 3_000_000)]  # its end stood in part 3
    (tmp_path / "a-004.mcap").unlink()
    assert "its part a-003.mcap is missing or damaged" in read_session(path).problems


def test_rotation_by_size_and_a_high_sequence(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with SessionWriter(path, INFO, rotate_bytes=20_000) as writer:
        for k in range(40):
            writer.write(frames_of(100, first=2**35 + 100 * k))
            writer.flush()
    assert writer.n_parts > 2
    assert read_session(path).frames.seq.tolist() == list(range(2**35, 2**35 + 4000))
    second = read_session(tmp_path / "a-002.mcap").frames.seq
    assert second[0] > 2**35


def test_a_stranger_with_a_part_number_is_its_own_session(tmp_path: Path) -> None:
    for name, n in (("a", 5), ("a-002", 7)):
        write_session(tmp_path / f"{name}.mcap", session_of(n))
    assert [len(s) for s in read_sessions([tmp_path])] == [7, 5]


def test_an_import_made_twice_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_session(tmp_path / name, session_of(50))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@given(names=st.lists(st.text(max_size=10), min_size=1, max_size=8, unique=True))
def test_ros_field_names_are_valid_and_distinct(names: list[str]) -> None:
    fields = ros_field_names(names)
    assert len(set(fields)) == len(names)
    for name in fields:
        assert name[0] in "abcdefghijklmnopqrstuvwxyz"
        assert not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789_")
        assert "__" not in name
        assert name[-1] != "_"


def test_good_names_stay_and_others_are_near() -> None:
    assert ros_field_names(["acc_x", "gyroX", "acc x", "9", ""]) == (
        "acc_x", "gyro_x", "acc_x_2", "ch_9", "ch",
    )  # fmt: skip
