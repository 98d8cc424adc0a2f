"""Cut, killed, flipped and hostile files."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType, Writer
from session_make import INFO, frames_of

from streamrnn.core.errors import SessionError
from streamrnn.core.types import StreamInfo
from streamrnn.sessions import scan
from streamrnn.sessions.disk import PartFile
from streamrnn.sessions.raw import read_raw
from streamrnn.sessions.reader import read_session
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import SessionWriter, write_session

N_CHUNKS = 8
PER_CHUNK = 20


class Recording(bytes):
    """The bytes of a file; a failed test prints its arguments, and these are many."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A finished file: a first chunk, then eight of 20 frames (0.2 s) with labels between."""
    path = tmp_path_factory.mktemp("damage") / "a.mcap"
    ticks = iter(range(10**9, 10**12, 1000))
    with SessionWriter(path, INFO, {"subject": "s"}, clock=lambda: next(ticks)) as writer:
        for k in range(N_CHUNKS):
            if k % 3 == 0:
                writer.mark("left", "start")
            writer.write(frames_of(PER_CHUNK, first=k * PER_CHUNK))
            if k % 3 == 2:
                writer.mark("left", "end")
            writer.flush()
    return Recording(path.read_bytes())


def records(data: bytes) -> list[tuple[int, int, int]]:
    """Opcode, start and end of every record."""
    found, at = [], 8
    while at + 9 <= len(data) - 8:
        opcode, length = struct.unpack_from("<BQ", data, at)
        found.append((opcode, at, at + 9 + length))
        at += 9 + length
    return found


def frame_chunks(data: bytes) -> list[tuple[int, int]]:
    return [(a, b) for opcode, a, b in records(data) if opcode == 6][1 : 1 + N_CHUNKS]


def read_bytes(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> Session:
    path = tmp_path_factory.getbasetemp() / "damaged.mcap"
    path.write_bytes(data)
    return read_session(path)


def assert_whole_chunks(session: Session) -> list[int]:
    """Check that what is there is true, and return the numbers of the chunks that are there."""
    seq = session.frames.seq
    assert len(seq) % PER_CHUNK == 0
    want = frames_of(PER_CHUNK * N_CHUNKS)
    np.testing.assert_array_equal(session.frames.x, want.x[seq])
    np.testing.assert_array_equal(session.frames.t_us, want.t_us[seq])
    for label in session.labels:
        assert label.name == "left"
        assert label.start_us in {0, 600_000, 1_200_000}
        assert label.start_us <= label.end_us <= label.start_us + 600_000
    return (seq[::PER_CHUNK] // PER_CHUNK).tolist()


def test_the_whole_file_is_whole(recording: bytes, tmp_path_factory: Any) -> None:
    session = read_bytes(recording, tmp_path_factory)
    assert session.problems == []
    assert assert_whole_chunks(session) == list(range(N_CHUNKS))
    assert [(x.start_us, x.end_us) for x in session.labels] == [
        (0, 600_000), (600_000, 1_200_000), (1_200_000, 1_600_000)
    ]  # fmt: skip


def test_cut_at_every_record_boundary(recording: bytes, tmp_path_factory: Any) -> None:
    chunks = frame_chunks(recording)
    description_end = next(b for opcode, _, b in records(recording) if opcode == 6)
    data_end = next(b for opcode, _, b in records(recording) if opcode == 15)
    for _, _, end in records(recording):
        if end < description_end:
            with pytest.raises(SessionError, match="nothing can be read"):
                read_bytes(recording[:end], tmp_path_factory)
            continue
        session = read_bytes(recording[:end], tmp_path_factory)
        n_whole = sum(b <= end for _, b in chunks)
        assert assert_whole_chunks(session) == list(range(n_whole))
        lines = " ".join(session.problems)
        if end < data_end:
            assert f"what came after {n_whole * 0.2:.2f} s ({n_whole * 20} frames)" in lines
        else:
            assert lines == "its closing summary is cut off; no frame is missing"


@settings(max_examples=150)
@given(where=st.floats(0, 1, exclude_max=True))
def test_cut_anywhere(where: float, recording: bytes, tmp_path_factory: Any) -> None:
    end = int(where * len(recording))
    try:
        session = read_bytes(recording[:end], tmp_path_factory)
    except SessionError:
        assert end < next(b for opcode, _, b in records(recording) if opcode == 6)
        return
    assert assert_whole_chunks(session) == list(
        range(sum(b <= end for _, b in frame_chunks(recording)))
    )
    assert session.problems


def test_a_cut_chunk_says_how_long_it_was(recording: bytes, tmp_path_factory: Any) -> None:
    start, _ = frame_chunks(recording)[2]
    data = bytearray(recording[: start + 60])
    struct.pack_into("<QQ", data, start + 9, 10**18, 10**18 + 750_000_000)
    session = read_bytes(bytes(data), tmp_path_factory)
    assert session.problems[0].endswith("is missing: about 0.75 s of it")


@settings(max_examples=300)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), finished=st.booleans())
@example(where=0.0014650366959800822, bit=1, finished=False)  # the length of the first record
def test_a_flipped_bit_costs_one_chunk_at_most(
    where: float, bit: int, finished: bool, recording: bytes, tmp_path_factory: Any
) -> None:
    end = len(recording) if finished else frame_chunks(recording)[-1][1]
    at = int(where * end)
    data = bytearray(recording[:end])
    data[at] ^= 1 << bit
    try:
        session = read_bytes(bytes(data), tmp_path_factory)
    except SessionError:
        assert at < 8  # the magic bytes
        return
    there = assert_whole_chunks(session)
    assert len(there) >= N_CHUNKS - 1
    if len(there) < N_CHUNKS:
        lines = " ".join(session.problems)
        assert "damaged" in lines or "cut" in lines


@pytest.mark.parametrize("which", range(14))
@pytest.mark.parametrize("further", [1, 2, 5, 9])
def test_a_length_that_leads_to_another_record_hides_none(
    which: int, further: int, recording: bytes, tmp_path_factory: Any
) -> None:
    """It looks as sound as the right one."""
    found = records(recording)
    _, start, _ = found[which]
    data = bytearray(recording)
    struct.pack_into("<Q", data, start + 1, found[which + further][2] - start - 9)
    session = read_bytes(bytes(data), tmp_path_factory)
    assert len(assert_whole_chunks(session)) >= N_CHUNKS - 1
    assert session.metadata == {"subject": "s"}


def test_damage_is_counted_in_frames_and_seconds(recording: bytes, tmp_path_factory: Any) -> None:
    data = bytearray(recording)
    for k in (2, 3, 7):
        a, b = frame_chunks(recording)[k]
        data[(a + b) // 2] ^= 0x10
    session = read_bytes(bytes(data), tmp_path_factory)
    assert assert_whole_chunks(session) == [0, 1, 4, 5, 6]
    assert session.problems == [
        "3 of 10 chunks are damaged: 60 frames (0.60 s) missing",
        "label 'left' has no end: taken to end at 0.40 s",
    ]
    # The second label has lost its start message; the message of its end has it too.
    assert [(x.start_us, x.end_us) for x in session.labels] == [
        (0, 400_000), (600_000, 1_200_000), (1_200_000, 1_600_000)
    ]  # fmt: skip


def test_a_chunk_under_another_name_is_missed(recording: bytes, tmp_path_factory: Any) -> None:
    data = bytearray(recording)
    data[frame_chunks(recording)[4][0]] = 4  # says that it is a Channel record
    session = read_bytes(bytes(data), tmp_path_factory)
    assert session.problems == ["1 of 10 chunks is damaged: 20 frames (0.20 s) missing"]


def test_both_descriptions_damaged(recording: bytes, tmp_path_factory: Any) -> None:
    data = bytearray(recording)
    _, _, b = next(r for r in records(recording) if r[0] == 6)
    data[b - 5] ^= 1
    session = read_bytes(bytes(data), tmp_path_factory)
    assert session.metadata == {"subject": "s"}
    _, _, b = next(r for r in records(recording) if r[0] == 12)
    data[b - 20] ^= 1
    with pytest.raises(SessionError, match="its description is damaged"):
        read_bytes(bytes(data), tmp_path_factory)


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from session_make import INFO, frames_of
from streamrnn.sessions.writer import SessionWriter
now = [0]
writer = SessionWriter(Path(sys.argv[1]), INFO, clock=lambda: now[0])
writer.mark("left", "start", 0)
while True:
    writer.write(frames_of(1, first=now[0] // 10**7))
    os.write(1, b".")
    now[0] += 10**7
"""


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.4])
def test_kill_9_costs_a_second(tmp_path: Path, seconds: float) -> None:
    """The child's clock goes 10 ms a frame, so that a busy machine cannot change the result."""
    path = tmp_path / "a.mcap"
    command = [sys.executable, "-c", KILLED, str(path), str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.read(150) == 150 * b"."
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        n_written = 150 + len(process.stdout.read())
    session = read_session(path)
    np.testing.assert_array_equal(session.frames.seq, np.arange(len(session)))
    assert n_written - 101 <= len(session) <= n_written + 1
    (label,) = session.labels
    assert (label.name, label.start_us, label.end_us) == ("left", 0, session.end_us)
    assert "was cut or the recorder was killed" in session.problems[0]
    assert "label 'left' has no end" in session.problems[1]


# ---- hostile files


def chunk_record(size: int, packed: bytes, name: bytes, crc: int = 0) -> bytes:
    body = struct.pack("<QQQI", 0, 0, size, crc) + struct.pack("<I", len(name)) + name
    body += struct.pack("<Q", len(packed)) + packed
    return struct.pack("<BQ", 6, len(body)) + body


def with_chunk(recording: bytes, chunk: bytes) -> bytes:
    """Put a chunk of an attacker's before the first frames."""
    at = frame_chunks(recording)[0][0]
    return recording[:at] + chunk + recording[at:]


BIG = 3 * 2**30


def bomb(name: bytes, claimed: int) -> bytes:
    if name == b"zstd":
        tool = zstandard.ZstdCompressor(level=3).compressobj()
    else:
        tool = lz4.frame.LZ4FrameCompressor()
    zeros = bytes(2**20)
    packed = tool.begin() if name == b"lz4" else b""
    for _ in range(200):
        packed += tool.compress(zeros)
    return chunk_record(claimed, packed + tool.flush(), name)


@pytest.mark.parametrize("name", [b"zstd", b"lz4"])
@pytest.mark.parametrize("claimed", [BIG, 1000, 64 * 2**20])
def test_a_bomb_costs_its_chunk_and_little_memory(
    name: bytes, claimed: int, recording: bytes, tmp_path_factory: Any
) -> None:
    data = with_chunk(recording, bomb(name, claimed))
    tracemalloc.start()
    session = read_bytes(data, tmp_path_factory)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert assert_whole_chunks(session) == list(range(N_CHUNKS))
    assert "1 of 11 chunks is damaged" in session.problems[0]
    assert peak < 3 * scan.MAX_CHUNK_BYTES


def test_many_bombs_are_refused(recording: bytes, tmp_path_factory: Any) -> None:
    packed = zstandard.compress(bytes(64 * 2**20))
    bombs = 60 * chunk_record(64 * 2**20, packed, b"zstd")
    with pytest.raises(SessionError, match="refused: it decompresses to more than"):
        read_bytes(with_chunk(recording, bombs), tmp_path_factory)


def test_nothing_but_damage_is_refused(recording: bytes, tmp_path_factory: Any) -> None:
    bad = 1100 * chunk_record(5, b"12345", b"", crc=1)
    with pytest.raises(SessionError, match="more than 1000 damaged places"):
        read_bytes(with_chunk(recording, bad), tmp_path_factory)


def good_chunk(data: bytes) -> bytes:
    return chunk_record(len(data), zstandard.compress(data), b"zstd", zlib.crc32(data))


def message(channel: int, data: bytes, sequence: int = 0, publish: int = 0) -> bytes:
    body = struct.pack("<HIQQ", channel, sequence, 0, publish) + data
    return struct.pack("<BQ", 5, len(body)) + body


FRAME = b"\0\1\0\0" + bytes(12)


@pytest.mark.parametrize(
    "content",
    [
        b"\x05",
        struct.pack("<BQ", 5, 2**63),
        struct.pack("<BQ", 5, 3) + b"abc",
        message(2, FRAME[:-4]),
        message(2, b"\0\0\0\0" + bytes(12)),
        message(2, FRAME, 5) + message(2, FRAME, 5),
        message(2, FRAME, 5, 10**6) + message(2, FRAME, 6),
        message(2, FRAME, 5, 2**64 - 1) + message(2, FRAME, 6),
        message(5, b'{"seq":-1}'),
        message(5, b"[" * 100_000),
    ],
)
def test_a_good_checksum_on_nonsense(
    content: bytes, recording: bytes, tmp_path_factory: Any
) -> None:
    session = read_bytes(with_chunk(recording, good_chunk(content)), tmp_path_factory)
    assert assert_whole_chunks(session) == list(range(N_CHUNKS))
    assert "1 of 11 chunks is damaged" in session.problems[0]


@pytest.mark.parametrize(
    "text",
    [b"{", b"7", b"{}", b'{"id":"x","phase":"end","start_us":1,"end_us":2}',
     b'{"id":1,"phase":"end","start_us":1,"end_us":"2","label":"x"}', b"\xff",
     b'{"id":9,"phase":"end","start_us":8,"end_us":5,"label":"x"}',
     b'{"id":9,"phase":"start","start_us":8,"label":"x","confidence":""}',
     b'{"id":9,"phase":"start","start_us":1' + b"0" * 400 + b',"label":"x"}',
     b'{"id":1' + b"0" * 400 + b',"phase":"undo","start_us":8,"label":"x"}',
     b'{"id":9,"phase":"start","start_us":8,"label":"x","confidence":1' + b"0" * 400 + b"}"],
)  # fmt: skip
def test_labels_that_make_no_sense(text: bytes, recording: bytes, tmp_path_factory: Any) -> None:
    data = with_chunk(recording, good_chunk(message(3, text)))
    session = read_bytes(data, tmp_path_factory)
    assert len(session.labels) == 3
    assert session.problems == ["1 label or event record of no sense left out"]


def test_unknown_records_are_stepped_over(recording: bytes, tmp_path_factory: Any) -> None:
    content = good_chunk(struct.pack("<BQ", 0x80, 2) + b"hi" + message(99, b"?"))
    assert read_bytes(with_chunk(recording, content), tmp_path_factory).problems == []


# ---- files that are none


def other_mcap(path: Path, document: str | None = None) -> None:
    with open(path, "wb") as file:
        writer = Writer(file, compression=CompressionType.LZ4)
        writer.start()
        channel = writer.register_channel("/x", "json", 0)
        for k in range(100):
            writer.add_message(channel, k, (document or "{}").encode(), k)
        writer.finish()


def test_files_that_are_no_sessions(tmp_path: Path) -> None:
    def line(name: str) -> str:
        with pytest.raises(SessionError) as caught:
            read_session(tmp_path / name)
        text = str(caught.value)
        assert str(tmp_path / name) in text
        assert "\n" not in text
        with pytest.raises(SessionError):
            list(read_raw(tmp_path / name))
        return text

    (tmp_path / "empty").touch()
    assert line("empty").endswith("is empty")
    (tmp_path / "junk").write_bytes(os.urandom(1000))
    assert line("junk").endswith("is not a session: not an MCAP file")
    (tmp_path / "stub").write_bytes(scan.MAGIC[:5])
    assert "cut within its first bytes" in line("stub")
    (tmp_path / "magic").write_bytes(scan.MAGIC)
    assert "nothing can be read" in line("magic")
    assert "is a folder" in line(".")
    assert line("absent").startswith("no such file")
    other_mcap(tmp_path / "other")
    assert line("other").endswith("it is an MCAP file, but not a streamrnn session")
    if os.geteuid() != 0:
        (tmp_path / "locked").touch(mode=0)
        assert "Permission denied" in line("locked")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ('{"format":2}', "session format 2, this streamrnn reads up to 1: update it"),
        ('{"format":true}', "format version is True"),
        ('{"format":1}', "no good 'metadata'"),
        ('{"format":1,"metadata":{"a":1}}', "not all text"),
        ('{"format":1,"metadata":{},"part":1}', "no good 'stream'"),
        ('{"format":1,"metadata":{},"part":1,"stream":{"channels":[]}}', "0 channels"),
        ('{"format":1,"metadata":{},"part":1,"stream":{"channels":[1]}}', "not described"),
        ('{"format":1,"metadata":{},"part":1,"stream":{"channels":[{}],"rate_hz":-1}}', "rate"),
        ('{"format":1,"metadata":{},"part":1,"stream":{"rate_hz":1,"channels":'
         '[{"name":"a","unit":""},{"name":"a","unit":""}]}}', "same name"),
    ],
)  # fmt: skip
def test_descriptions_that_make_no_sense(tmp_path: Path, document: str, words: str) -> None:
    other_mcap(tmp_path / "a.mcap", document)
    with pytest.raises(SessionError, match=words):
        read_session(tmp_path / "a.mcap")


# ---- writing where it cannot be


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "a.mcap").write_bytes(b"dear")
    (tmp_path / "b-002.mcap").write_bytes(b"dear")
    for name, words in (
        ("a.mcap", "exists already"),
        ("b.mcap", "b-002.mcap exists already"),
        ("no/a.mcap", "no such folder"),
        (".", "is a folder"),
    ):
        with pytest.raises(SessionError, match=words):
            SessionWriter(tmp_path / name, INFO)
    assert (tmp_path / "a.mcap").read_bytes() == b"dear"
    with pytest.raises(SessionError, match="exists already"):
        write_session(tmp_path / "a.mcap", Session(INFO, frames_of(1), np.zeros(1, np.int64)))
    with pytest.raises(SessionError, match="1 to 1024 channels, got 0"):
        SessionWriter(tmp_path / "c.mcap", StreamInfo((), 1.0))
    SessionWriter(tmp_path / "a.mcap", INFO, overwrite=True).close()
    assert read_session(tmp_path / "a.mcap").problems == []


def test_frames_that_do_not_follow(tmp_path: Path) -> None:
    with SessionWriter(tmp_path / "a.mcap", INFO) as writer:
        writer.write(frames_of(5, first=10))
        for frames, words in (
            (frames_of(5, first=14), "frame 14 does not follow frame 14"),
            (frames_of(5, first=20, period_us=1), "device time goes from 140000 us to 20 us"),
        ):
            with pytest.raises(SessionError, match=words):
                writer.write(frames)
        with pytest.raises(SessionError, match="do not fit 3 channels"):
            writer.write(type(frames)(frames.x[:, :2], frames.seq, frames.t_us))
        with pytest.raises(SessionError, match="host time is negative"):
            writer.write(frames_of(1, first=50), -1)
        writer.write(frames_of(0))
    assert read_session(tmp_path / "a.mcap").frames.seq.tolist() == list(range(10, 15))
    with pytest.raises(SessionError, match=r"a\.mcap is closed"):
        writer.write(frames_of(1, first=50))
    writer.close()


def test_a_full_disk_keeps_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mcap"
    writer = SessionWriter(path, INFO)
    writer.write(frames_of(50))
    writer.flush()
    writer.write(frames_of(50, first=50))

    real = PartFile.write

    def full(self: Any, data: bytes) -> int:
        real(self, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PartFile, "write", full)
    with pytest.raises(SessionError, match=r"a\.mcap: No space left on device; what was recorded"):
        writer.flush()
    with pytest.raises(SessionError, match="is closed"):
        writer.write(frames_of(50, first=100))
    writer.close()
    got = read_session(path)
    assert got.frames.seq.tolist() == list(range(50))
    assert got.problems
    session = Session(INFO, frames_of(5), np.zeros(5, np.int64))
    with pytest.raises(SessionError, match="nothing is kept"):
        write_session(tmp_path / "b.mcap", session)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mcap"]


def test_an_error_inside_is_not_hidden_by_the_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any) -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        with SessionWriter(tmp_path / "a.mcap", INFO):
            monkeypatch.setattr(PartFile, "flush", refuse)
            raise ZeroDivisionError
    monkeypatch.undo()
    with pytest.raises(SessionError, match="Input/output error"):
        with SessionWriter(tmp_path / "b.mcap", INFO):
            monkeypatch.setattr(PartFile, "flush", refuse)
