"""Raw bytes out of sessions."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_make import INFO, frames_of

from streamrnn.sessions import form
from streamrnn.sessions.raw import read_raw
from streamrnn.sessions.reader import read_session
from streamrnn.sessions.writer import SessionWriter


@settings(max_examples=30)
@given(reads=st.lists(st.binary(max_size=300), min_size=1, max_size=30), parts=st.booleans())
def test_reads_come_back_out_of_all_parts(
    reads: list[bytes], parts: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("raw") / "a.mcap"
    now = iter(range(10**18, 10**20, 10**8 if parts else 1))
    with SessionWriter(path, INFO, clock=lambda: next(now), rotate_ns=10**9) as writer:
        for n, data in enumerate(reads):
            writer.raw(data, n)
            writer.write(frames_of(2, first=2 * n))
    problems: list[str] = []
    assert list(read_raw(path, problems)) == list(enumerate(reads))
    assert problems == []
    assert len(read_session(path)) == 2 * len(reads)


def chunk(data: bytes | bytearray, n: int) -> int:
    """Where chunk n has the name of its compression; the first describes the session."""
    at = -1
    for _ in range(n + 1):
        at = data.index(b"\x04\x00\x00\x00zstd", at + 1)
    return at


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "a.mcap"
    with SessionWriter(path, INFO) as writer:
        for n in range(8):
            writer.raw(bytes([n]) * 1000, n)
            writer.write(frames_of(20, first=20 * n))
            writer.flush()
    return path


def test_damage_is_passed_over_and_said(recording: Path) -> None:
    data = bytearray(recording.read_bytes())
    data[chunk(data, 3) + 40] ^= 1
    recording.write_bytes(data)
    problems: list[str] = []
    assert [n for n, _ in read_raw(recording, problems)] == [0, 1, 3, 4, 5, 6, 7]
    assert problems == [f"{recording}: 1 damaged places, their bytes are missing"]


def test_a_damaged_first_chunk_costs_no_byte(recording: Path) -> None:
    data = bytearray(recording.read_bytes())
    data[chunk(data, 0) + 40] ^= 1
    recording.write_bytes(data)
    assert [n for n, _ in read_raw(recording)] == list(range(8))


def test_a_cut_file_gives_what_is_there(recording: Path) -> None:
    data = recording.read_bytes()
    recording.write_bytes(data[: chunk(data, 8) + 30])
    problems: list[str] = []
    assert [n for n, _ in read_raw(recording, problems)] == list(range(7))
    assert "the file ends early" in problems[0]


def test_the_place_where_the_link_was_lost_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with SessionWriter(path, INFO) as writer:
        writer.raw(b"ab", 1)
        writer.raw(b"", 2)
        writer.raw(b"cd", 3)
    assert list(read_raw(path)) == [(1, b"ab"), (2, b""), (3, b"cd")]
    assert form.TOPICS[form.RAW_ID] == "/raw"
