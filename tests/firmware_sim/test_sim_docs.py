"""docs/simulator.md: every example in it does what it says."""

from __future__ import annotations

import json
import re
import shlex
import threading
from pathlib import Path

import pytest
from mosquitto_broker import free_port, running_broker

from firmware_sim.cables.memory import MemoryLink
from firmware_sim.faults import KINDS, parse_faults
from firmware_sim.lines import FORMS
from firmware_sim.link import open_link
from firmware_sim.options import make_board
from firmware_sim.origins.noise import _MODELS
from firmware_sim.program import _parser, _proxy_parser, _serve_boards, _station
from firmware_sim.proxy.program import run_proxy
from firmware_sim.raw import RawBoard
from firmware_sim.scenario import read_scenario
from firmware_sim.signals import SignalOrigin
from streamrnn.core.types import Frames
from streamrnn.sessions.writer import SessionWriter

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
_PLAIN = PAGE.replace("\\|", "|")
LINES = [line.strip() for line in PAGE.splitlines() if line.startswith("    ")]
#: Commands in blocks and between backticks; the line of usage and a bare name are none.
_QUOTED = re.findall(r"`((?:firmware-sim|streamrnn) -[^`]*|streamrnn (?:run|probe) [^`]*)`", PAGE)
_COMMANDS = [
    line.partition(" #")[0].strip()
    for line in [*LINES, *_QUOTED]
    if line.startswith(("firmware-sim", "streamrnn")) and "LISTEN TARGET" not in line
]
BOARDS = [c for c in _COMMANDS if c.startswith("firmware-sim") and "proxy" not in c]
PROXIES = [c for c in _COMMANDS if c.startswith("firmware-sim proxy")]
ADDRESSES = sorted(set(re.findall(r"sim:[a-z?][^'\s`]*", PAGE)) - {"sim:?scenario=FILE"})


def test_the_page_has_examples() -> None:
    assert len(BOARDS) >= 13
    assert len(PROXIES) == 1
    assert len(ADDRESSES) >= 6


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place where the files of the examples lie."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dump.txt").write_text("1,2,3\n4,5,6\n7,8,9\n")
    with SessionWriter(tmp_path / "session.mcap", SignalOrigin().hello.stream_info()) as writer:
        frames = SignalOrigin().next(10)
        writer.raw(frames.rows.tobytes(), 1)
    (tmp_path / "a.mcap").write_bytes((tmp_path / "session.mcap").read_bytes())
    return tmp_path


@pytest.mark.parametrize("command", BOARDS)
def test_a_board_as_the_page_asks_for_it(
    command: str, folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    port = min(free_port(), 60_000)
    command = command.replace(":3333", f":{port}").replace(":5005", f":{port}")
    command = command.replace("/tmp/", f"{folder}/").partition(" >")[0]
    if "mqtt:" in command:
        with running_broker(folder) as broker:
            _serve(command.replace("localhost/", f"localhost:{broker.port}/"))
    elif "stdout" in command:
        arguments = _parser().parse_args(shlex.split(command)[1:])
        assert _serve_boards(arguments, threading.Event()) == 0
        assert len(capfdbinary.readouterr().out) > 100
    else:
        _serve(command)


def _serve(command: str) -> None:
    arguments = _parser().parse_args(shlex.split(command)[1:])
    stations = [_station(arguments, n) for n in range(arguments.boards)]
    for station in stations:
        with station.server:
            assert station.server.path
        assert station.server.error is None


@pytest.mark.parametrize("command", PROXIES)
def test_the_proxy_as_the_page_asks_for_it(command: str, folder: Path) -> None:
    words = shlex.split(command)[2:]
    words[0], stop = str(free_port()), threading.Event()
    stop.set()
    assert run_proxy(_proxy_parser().parse_args(words), stop) == 0
    assert json.loads((folder / "truth.jsonl").read_text())["n_bytes_in"] == 0


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses(address: str, folder: Path) -> None:
    if "playback" in address:
        with SessionWriter(
            folder / "a.mcap", SignalOrigin().hello.stream_info(), overwrite=True
        ) as writer:
            writer.write(Frames(*_some_frames()))
    link = open_link(address.removeprefix("sim:"))
    assert isinstance(link, MemoryLink)
    link.open()
    assert isinstance(link.board, RawBoard) or link.read(0.5)


def _some_frames() -> tuple:
    from firmware_sim.signals import simulate

    frames = simulate(1, 1, 0.2)[0]
    return frames.x, frames.seq, frames.t_us


def test_the_scenario_of_the_page(tmp_path: Path) -> None:
    start = next(i for i, line in enumerate(LINES) if line == "seed = 1")
    stop = next(i for i in range(start, len(LINES)) if LINES[i].startswith("{"))
    path = tmp_path / "scenario.toml"
    path.write_text("\n".join(LINES[start:stop]))
    options = read_scenario(path)
    assert options.baud == 115_200
    assert len(options.noise) == 1
    assert not isinstance(options.faults, str)
    assert [fault.kind for fault in options.faults.faults] == ["lose", "flip", "unplug"]
    assert make_board(options).poll(2_000_000)


def test_everything_that_there_is_stands_on_the_page(tmp_path: Path) -> None:
    for kind in KINDS:
        assert f"`{kind}`" in PAGE
    for word in [*FORMS, *_MODELS]:
        assert word in PAGE
    specs = re.findall(r"`([a-z_]+[:@][0-9][^`]*)`", PAGE)
    specs = [spec for spec in specs if re.split("[:@]", spec)[0] in KINDS]
    assert len(specs) >= 10
    for spec in specs:
        assert parse_faults(spec).faults
    truth = next(line for line in LINES if line.startswith('{"type":"faults"'))
    counts = make_board(read_scenario(_empty(tmp_path))).truth()
    keys = re.findall(r'"(n_\w+|host)":', truth)
    assert set(keys) <= {*counts, *counts["host"]}
    for name in re.findall(r"`(n_(?:fifo|overrun|damaged)\w+)`", PAGE):
        assert name in counts


def _empty(folder: Path) -> Path:
    path = folder / "empty.toml"
    path.write_text("")
    return path


@pytest.mark.parametrize("form", FORMS)
def test_a_frame_in_each_form_is_as_the_page_shows_it(form: str) -> None:
    link = open_link(f"?form={form}&seconds=1&speed=0")
    link.open()
    first = link.read(0.1).splitlines()[0].decode()
    shown = next(s for s in re.findall(r"`([^`]*0\.265625[^`]*)`", _PLAIN) if _is_like(s, form))
    assert first.startswith(shown.removesuffix("}").removesuffix("..."))


def _is_like(shown: str, form: str) -> bool:
    starts = {"numbers": "0", "named": "acc", "teleplot": ">", "json": "{"}
    return shown.startswith(starts[form])
