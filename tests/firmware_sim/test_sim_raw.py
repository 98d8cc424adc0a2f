"""Bytes that are played back: out comes what is in the file, whatever it is."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.__main__ import main
from firmware_sim.cables.memory import MemoryLink
from firmware_sim.cables.pty import PtyBoard
from firmware_sim.raw import MAX_PIECE_BYTES, RawBoard, raw_board
from firmware_sim.signals import SignalOrigin
from streamrnn.core.errors import ConfigError, SessionError
from streamrnn.core.types import Frames
from streamrnn.sessions.writer import SessionWriter
from streamrnn.sources.serial import SerialLink
from streamrnn.wire.text import TextDecoder


def _session(path: Path, reads: list[tuple[int, bytes]]) -> Path:
    with SessionWriter(path, SignalOrigin().hello.stream_info()) as writer:
        for host_ns, data in reads:
            writer.raw(data, host_ns)
    return path


def _all(board: RawBoard, speed: float = 0.0) -> list[bytes]:
    link = MemoryLink(board, speed)
    link.open()
    reads = []
    while True:
        try:
            reads.append(link.read(1.0))
        except EOFError:
            return reads


READS = [(5_000_000_000, b"\x00\xff\x1b[2J"), (5_050_000_000, b""), (5_060_000_000, b"\r\n" * 9000)]


def test_a_session_gives_its_bytes(tmp_path: Path) -> None:
    board = raw_board(_session(tmp_path / "a.mcap", READS))
    assert b"".join(_all(board)) == b"".join(data for _, data in READS)
    assert board.truth()["n_bytes_sent"] == 18_006


def test_a_session_keeps_its_pace_and_a_clock_set_back_does_not_hurt(tmp_path: Path) -> None:
    reads = [(9_000_000_000, b"a"), (9_200_000_000, b"b"), (3_000_000_000, b"c")]
    board = raw_board(_session(tmp_path / "a.mcap", reads))
    assert board.poll(0) == [(b"a", 0)]
    assert board.next_due_us() == 200_000
    assert board.poll(199_999) == []
    assert board.poll(200_000) == [(b"b", 0), (b"c", 0)]
    assert board.is_finished


def test_no_piece_is_too_long_for_a_datagram(tmp_path: Path) -> None:
    board = raw_board(_session(tmp_path / "a.mcap", [(0, bytes(range(256)) * 257)]))
    pieces: list[bytes] = []
    while not board.is_finished:
        pieces += [data for data, _ in board.poll(0)]
    assert b"".join(pieces) == bytes(range(256)) * 257
    assert max(map(len, pieces)) <= MAX_PIECE_BYTES


@given(
    # What begins as a session does is taken for one.
    content=st.binary(min_size=1, max_size=2000).filter(lambda data: data[:5] != b"\x89MCAP"),
    hz=st.floats(1.0, 1e5),
)
@settings(max_examples=30)
def test_any_file_gives_its_bytes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, hz: float
) -> None:
    path = tmp_path_factory.mktemp("raw") / "dump.txt"
    path.write_bytes(content)
    assert b"".join(_all(raw_board(path, hz))) == content


def test_lines_come_one_by_one_at_their_rate(tmp_path: Path) -> None:
    path = tmp_path / "dump.txt"
    path.write_bytes(b"1 2\n3 4\r\n5 6")
    board = raw_board(path, 50.0)
    assert board.poll(0) == [(b"1 2\n", 0)]
    assert board.next_due_us() == 20_000
    assert board.poll(20_000) == [(b"3 4\r\n", 0)]
    assert board.poll(40_000) == [(b"5 6", 0)]


def test_a_reader_that_falls_behind_costs_neither_bytes_nor_memory() -> None:
    n_asked = 0

    def pieces():  # type: ignore[no-untyped-def]
        nonlocal n_asked
        for n_asked in range(2000):
            yield n_asked, b"%06d\n" % n_asked * 100

    server = PtyBoard(RawBoard(pieces()), speed=20.0)
    with server:
        link = SerialLink(server.path)
        link.open()
        time.sleep(0.3)  # all of it is due by now
        assert n_asked < 200
        data = b""
        deadline = time.monotonic() + 10.0
        while len(data) < 1_400_000 and time.monotonic() < deadline:
            data += link.read(0.5)
        link.close()
    assert data == b"".join(b"%06d\n" % i * 100 for i in range(2000))


@pytest.mark.parametrize("wait_s", [0.0, 0.25])
def test_it_begins_when_someone_reads(tmp_path: Path, wait_s: float) -> None:
    """A serial port throws away what came before it was set up; nothing has come yet."""
    path = tmp_path / "dump.txt"
    path.write_bytes(content := b"".join(b"%d,1,2\n" % i for i in range(500)))
    with PtyBoard(raw_board(path), speed=0) as server:
        time.sleep(wait_s)
        link = SerialLink(server.path)
        link.open()
        link.write(b"\x00 what are you?")
        data = b""
        deadline = time.monotonic() + 5.0
        while len(data) < len(content) and time.monotonic() < deadline:
            data += link.read(0.5)
        assert not server.finished.is_set()  # it waits for the reader to go
        link.close()
        assert server.finished.wait(5.0)
    assert data == content


def test_the_program_plays_a_file_to_stdout(tmp_path: Path) -> None:
    path = tmp_path / "dump.txt"
    path.write_bytes(content := b"1,2,3\n\x1b]0;pwned\x07\n" * 200)
    command = [sys.executable, "-m", "firmware_sim", "--raw", str(path), "--link", "stdout"]
    begin_s = time.monotonic()
    fast = subprocess.run([*command, "--speed", "0"], capture_output=True, check=True, timeout=20.0)
    paced = subprocess.run(
        [*command, "--rate", "2000"], capture_output=True, check=True, timeout=20.0
    )
    assert fast.stdout == paced.stdout == content
    assert time.monotonic() - begin_s > 0.2  # 400 lines at 2000 a second


@pytest.mark.parametrize(
    ("name", "content", "status", "message"),
    [
        ("dump.txt", b"", 1, "is empty: there is nothing to send"),
        ("no.mcap", b"not a session", 1, "no.mcap"),
        ("", b"", 1, "cannot read"),
    ],
)
def test_what_cannot_be_sent_is_said_in_one_line(
    tmp_path: Path,
    name: str,
    content: bytes,
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / name if name else tmp_path / "none"
    if name:
        path.write_bytes(content)
    assert main(["--raw", str(path)]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_a_session_without_raw_bytes_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="record --raw"):
        raw_board(_session(tmp_path / "a.mcap", []))


def test_faults_belong_on_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--raw", str(tmp_path / "x"), "--fault", "flip:0.1"]) == 2
    assert "firmware-sim proxy" in capsys.readouterr().err
    (tmp_path / "x").write_text("1\n")
    with pytest.raises(ConfigError, match="lines a second"):
        raw_board(tmp_path / "x", 0.0)


CAPTURES = [
    # path, lines that are no frames, values of a frame
    ("device_logs/gesturepod/taps.txt", 0, 6),
    ("device_logs/xio_fusion/sensor_data.csv", 1, 10),
    ("device_logs/xio_gait/short_walk.csv", 1, 7),
]


@pytest.mark.data
@pytest.mark.parametrize(("name", "n_head", "n_channels"), CAPTURES)
def test_real_captures_arrive_byte_for_byte_and_every_line_is_a_frame(
    data_dir: Path, name: str, n_head: int, n_channels: int
) -> None:
    path = data_dir / name
    content = path.read_bytes()
    decoder = TextDecoder(rate_hz=100.0)
    data = b""
    items: list = []
    with PtyBoard(raw_board(path), speed=0) as server:
        link = SerialLink(server.path)
        link.open()
        deadline = time.monotonic() + 60.0
        while len(data) < len(content) and time.monotonic() < deadline:
            part = link.read(0.5)
            data += part
            items += decoder.push(part)
        link.close()
    assert data == content
    frames = Frames.join([item for item in items if isinstance(item, Frames)], n_channels)
    rows = [line.split(b"," if n_head else None) for line in content.splitlines()[n_head:]]
    assert len(frames) == len(rows) > 3000
    assert decoder.counters.n_bad_content == 0
    for row, x in itertools.islice(zip(rows, frames.x, strict=True), 0, None, 97):
        assert [float(v) for v in row] == pytest.approx(x.tolist(), rel=1e-6)
