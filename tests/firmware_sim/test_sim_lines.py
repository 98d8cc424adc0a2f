"""Boards that print: what the product reads of their lines, and what they say themselves."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.__main__ import main
from firmware_sim.board import Board
from firmware_sim.cables.memory import MemoryLink
from firmware_sim.lines import COLUMNS, FORMS, SEPARATORS, LineWriter
from firmware_sim.link import open_link
from firmware_sim.options import BoardOptions, make_board
from firmware_sim.scenario import make_options
from firmware_sim.signals import DEFAULT_PERSON, DEFAULT_SEED, SignalOrigin, simulate
from streamrnn.core.errors import ConfigError
from streamrnn.core.types import Frames, StreamInfo
from streamrnn.sources.tcp import TcpLink
from streamrnn.wire.detect import Detector

SECONDS = 8.0
HELLO = SignalOrigin().hello
NAMES = [channel.name for channel in HELLO.stream_info().channels]


def _board(form: str, faults: str = "", **more: object) -> Board:
    options = BoardOptions(form=form, seconds=SECONDS, faults=faults, **more)  # type: ignore[arg-type]
    return make_board(options)


def _read(board: Board) -> tuple[bytes, Detector, list, Frames]:
    """Read a board to its end, as fast as it goes; decode what came as the product does."""
    link = MemoryLink(board, 0.0)
    link.open()
    detector = Detector(rate_hz=100.0)
    data, items = b"", []
    while True:
        try:
            part = link.read(0.1)
        except EOFError:
            break
        data += part
        items += detector.push(part)
    frames = Frames.join([item for item in items if isinstance(item, Frames)], len(NAMES))
    return data, detector, items, frames


def _samples() -> np.ndarray:
    return simulate(DEFAULT_PERSON, DEFAULT_SEED, SECONDS)[0].x


#: Plain numbers do not say which of them is a clock.
WITH_COLUMNS = [
    (form, columns)
    for form in FORMS
    for columns in ((), ("t_us", "seq16"), ("t_ms",), ("seq8",))
    if form != "numbers" or not columns
]


@pytest.mark.parametrize(("form", "columns"), WITH_COLUMNS)
def test_every_form_arrives_sample_by_sample(form: str, columns: tuple[str, ...]) -> None:
    board = _board(form, columns=columns)
    data, detector, items, frames = _read(board)
    info = next(item for item in items if isinstance(item, StreamInfo))
    assert detector.format == form
    if form != "numbers":
        assert [channel.name for channel in info.channels] == NAMES
    assert frames.x.tobytes() == _samples().tobytes()
    assert detector.counters.n_lost_frames == detector.counters.n_bad_content == 0
    assert data.endswith(b"\r\n")
    assert board.is_finished
    assert board.truth()["host"]["n_frames"] == board.truth()["n_frames_sent"] == 800


def test_units_are_said_by_teleplot() -> None:
    _, _, items, _ = _read(_board("teleplot"))
    info = next(item for item in items if isinstance(item, StreamInfo))
    assert [channel.unit for channel in info.channels] == ["g"] * 3 + ["dps"] * 3


@pytest.mark.parametrize("separator", SEPARATORS)
def test_separators(separator: str) -> None:
    data, detector, _, frames = _read(_board("numbers", separator=separator))
    first = data.splitlines()[0].decode()
    assert len(first.split(SEPARATORS[separator])) == 6
    assert detector.format == "numbers"
    assert frames.x.tobytes() == _samples().tobytes()


def test_a_board_that_prints_asks_nobody_and_hears_nothing() -> None:
    board = _board("json")
    assert board.is_busy
    before = board.poll(100_000)
    board.handle(b"\x00garbage{STOP}\r\n")
    after = board.poll(200_000)
    assert len(before) == 11
    assert len(after) == 10
    assert all(n_frames == 1 and data.count(b"\n") == 1 for data, n_frames in before + after)


@given(
    t_us=st.integers(0, 1 << 63), seq=st.integers(0, 1 << 40), columns=st.sampled_from(COLUMNS[2:])
)
@settings(max_examples=60)
def test_columns_wrap_around_as_a_microcontroller_counts(t_us: int, seq: int, columns: str) -> None:
    frame = bytes(HELLO.frame_bytes)
    for clock, expected in (("t_us", t_us % 2**32), ("t_ms", t_us // 1000 % 2**32)):
        line = LineWriter("json", HELLO, (clock, columns)).line(frame, seq, t_us)
        said = json.loads(line)
        assert said[clock] == expected
        assert said["seq"] == seq % 2 ** int(columns[3:])
        numbers = LineWriter("numbers", HELLO, (columns, clock), "tab").line(frame, seq, t_us)
        assert numbers.split(b"\t")[:2] == [b"%d" % expected, b"%d" % said["seq"]]


@given(raw=st.lists(st.integers(-(2**15), 2**15 - 1), min_size=6, max_size=6))
def test_values_are_the_very_floats(raw: list[int]) -> None:
    frame = np.array(raw, "<i2").tobytes()
    said = json.loads(LineWriter("json", HELLO).line(frame, 0, 0))
    scales = np.array([group.scale for group in HELLO.groups for _ in group.names], np.float32)
    expected = np.array(raw, np.float32) * scales
    assert np.array([said[name] for name in NAMES], np.float32).tobytes() == expected.tobytes()


def test_names_that_a_plotter_would_split_are_mended() -> None:
    from dataclasses import replace

    group = replace(HELLO.groups[0], names=("left hand: x", "y", "\x1b[2J"))
    hello = replace(HELLO, groups=(group,))
    line = LineWriter("named", hello).line(bytes(hello.frame_bytes), 0, 0)
    assert line.startswith(b"left_hand_x:0.0,y:0.0,")
    assert b"\x1b" not in line


def test_lost_and_doubled_lines_leave_no_trace_without_a_counter() -> None:
    board = _board("named", "drop:0.05,dup:0.05")
    _, detector, _, _ = _read(board)
    truth = board.truth()
    assert truth["n_dropped_packets"] > 10
    assert truth["n_duplicated_packets"] > 10
    assert detector.counters.n_frames == truth["host"]["n_frames"]
    assert detector.counters.n_lost_frames == 0
    assert truth["n_lost_frames"] == truth["n_dropped_packets"]


@pytest.mark.parametrize("faults", ["drop:0.05", "dup:0.05"])
def test_with_a_counter_they_are_known(faults: str) -> None:
    board = _board("json", faults, columns=("t_us", "seq16"))
    _, detector, _, _ = _read(board)
    host = board.truth()["host"]
    counters = detector.counters
    assert host["n_lost_frames"] + host["n_duplicate_frames"] > 10
    assert counters.n_frames == host["n_frames"]
    assert counters.n_lost_frames == host["n_lost_frames"]
    assert counters.n_duplicate_frames == host["n_duplicate_frames"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("faults", ["flip:1e-4", "lose:1e-3", "insert:1e-3", "burst:1e-4"])
def test_damage_costs_no_more_than_the_lines_that_it_hits(form: str, faults: str) -> None:
    board = _board(form, faults)
    _, detector, _, _ = _read(board)
    truth = board.truth()
    n_good, n_damaged = truth["host"]["n_frames"], truth["n_damaged_packets"]
    assert n_damaged > 3
    # A line that is damaged may still read as a frame: text has no checksum.
    assert detector.counters.n_frames <= n_good + 2 * n_damaged
    assert detector.counters.n_frames >= n_good - 2 * n_damaged
    assert truth["n_lost_frames"] == 800 - n_good


def test_an_unplug_and_a_reboot() -> None:
    link = open_link("?form=json&columns=t_us,seq32&seconds=6&speed=0&faults=unplug@2s:1s")
    link.open()
    lines: list[dict] = []
    n_lost = 0
    while True:
        try:
            lines += map(json.loads, link.read(0.1).splitlines())
        except EOFError:
            break
        except OSError:
            n_lost += 1
            link.open()
    assert n_lost == 1
    seqs = [line["seq"] for line in lines]
    n_before = next(i for i, seq in enumerate(seqs) if seq != i)
    assert n_before in (200, 201)
    assert seqs == [*range(n_before), *range(n_before + 100, 600)]
    board = _board("json", "reboot@2s:1s", columns=("t_us", "seq32"))
    pieces = []
    for at_us in range(0, 4_000_000, 10_000):
        pieces += board.poll(at_us)
    seqs = [json.loads(data)["seq"] for data, _ in pieces]
    again = next(i for i, seq in enumerate(seqs) if seq != i)
    assert again in (200, 201)
    # It counts anew; what it prints at the very moment of the replug is lost.
    assert seqs[again] in (0, 1)
    assert seqs[again:] == list(range(seqs[again], seqs[-1] + 1))
    assert len(seqs) > 290


def test_a_scenario_may_ask_for_lines(tmp_path: Path) -> None:
    path = tmp_path / "text.toml"
    path.write_text('[board]\nform = "teleplot"\ncolumns = ["t_ms"]\nrate_hz = 50\n')
    options = make_options({"rate_hz": 20.0, "faults": "drop:0.5"}, str(path))
    assert options.form == "teleplot"
    assert options.rate_hz == 20.0
    board = make_board(options)
    lines = b"".join(data for data, _ in board.poll(1_000_000)).splitlines()
    assert all(line.startswith(b">") for line in lines)
    assert 0 < len(lines) < 21 * 6


def test_the_program_prints_json_on_tcp() -> None:
    command = [sys.executable, "-m", "firmware_sim", "--link", "tcp:0", "--form", "json"]
    process = subprocess.Popen(
        [*command, "--columns", "t_us,seq8", "--seconds", "3", "--speed", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    port = int(process.stdout.readline().strip().rpartition(":")[2])
    time.sleep(0.1)  # it waits for someone to read
    link = TcpLink("127.0.0.1", port, reconnect=False)
    link.open()
    data = b""
    while True:
        try:
            data += link.read(5.0)
        except EOFError:
            break
    link.close()
    assert process.wait(10.0) == 0
    process.stdout.close()
    lines = [json.loads(line) for line in data.splitlines()]
    assert [line["seq"] for line in lines] == [i % 256 for i in range(300)]
    assert [line["t_us"] for line in lines] == list(range(0, 3_000_000, 10_000))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--form", "jsno"], "unknown form 'jsno' (did you mean 'json'?)"),
        (["--form", "json", "--columns", "t_us,t_ms"], "one clock"),
        (["--form", "json", "--columns", "sec8"], "did you mean 'seq8'"),
        (["--form", "numbers", "--separator", "coma"], "did you mean 'comma'"),
        (["--columns", "t_us"], "are for lines of text"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_raw_and_lines_by_address(tmp_path: Path) -> None:
    (tmp_path / "dump.txt").write_bytes(b"1,2\n3,4\n5,6")
    link = open_link(f"raw?file={tmp_path / 'dump.txt'}&speed=0")
    link.open()
    assert link.read(0.1) == b"1,2\n3,4\n5,6"
    with pytest.raises(ConfigError, match="raw bytes go out as they are: 'person'"):
        open_link("raw?file=x&person=3")
    with pytest.raises(ConfigError, match="raw needs the name of a file"):
        open_link("raw")
