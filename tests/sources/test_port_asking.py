"""What answers at each port, asked of all at the same time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from baud_board import BaudBoard
from fake_board import FakeBoard
from port_make import usb_port

from streamrnn.sources.ports import asking
from streamrnn.sources.ports.asking import ask, look_at
from streamrnn.sources.ports.listing import Port
from streamrnn.sources.serial import SerialLink


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[dict[str, FakeBoard]]:
    """Boards of many kinds; the board's name is that of its port."""
    made: dict[str, FakeBoard] = {
        "wire": FakeBoard(tmp_path / "ttyACM0"),
        "text": BaudBoard(tmp_path / "ttyACM1", 115_200, b"1,2,3\r\n"),
        "wrong": BaudBoard(tmp_path / "ttyUSB0", 9_600, b"1,2,3\r\n"),
        "silent": FakeBoard(tmp_path / "ttyUSB1", answers=False),
    }
    for board in made.values():
        board.plug()
    yield made
    for board in made.values():
        board.close()


def test_all_ports_are_asked_at_the_same_time(boards: dict[str, FakeBoard], tmp_path: Path) -> None:
    ports = [usb_port(board.path, name) for name, board in boards.items()]
    ports.append(usb_port(tmp_path / "gone", "gone"))
    begin_s = time.monotonic()
    answers = ask(ports, limit_s=3.0)
    assert time.monotonic() - begin_s < 2 * 3.0
    wire, text, wrong, silent, gone = answers
    assert (wire.state, wire.format, wire.name, wire.firmware) == ("answers", "wire", "fake", "1.0")
    assert ([c.name for c in wire.channels], wire.rate_hz) == (["a", "b"], 100.0)
    assert (text.state, text.format, len(text.channels)) == ("answers", "numbers", 3)
    assert 20 < text.rate_hz < 110
    assert wrong.state == "unclear"
    assert wrong.text.endswith("`streamrnn probe serial:usb=wrong` tries other rates")
    assert (silent.state, gone.state) == ("silent", "trouble")
    assert "no such port" in gone.text
    # A board is asked what it is, and not started; text is not spoken to.
    assert {command.name for command in boards["wire"].commands} == {"DESCRIBE"}
    assert boards["text"].commands == []
    assert [answer.to_dict()["state"] for answer in answers] == [
        "answers", "answers", "unclear", "silent", "trouble",
    ]  # fmt: skip


def test_a_port_that_is_in_use_is_not_touched(boards: dict[str, FakeBoard]) -> None:
    path = boards["wire"].path
    code = f"import os,time; os.open({str(path)!r}, os.O_RDWR | os.O_NOCTTY); print(1, flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", code + "; time.sleep(60)"], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        (answer,) = ask([usb_port(path, "A1")], limit_s=0.5)
        other.kill()
    assert answer.state == "busy"
    assert [who.pid for who in answer.holders] == [other.pid]
    assert answer.to_dict()["holders"][0]["pid"] == other.pid
    assert boards["wire"].commands == []
    assert [answer.state for answer in look_at([usb_port(path, "A1")])] == ["free"]
    assert boards["wire"].commands == []


def test_what_is_not_on_usb_may_be_a_console_and_is_not_asked(
    boards: dict[str, FakeBoard],
) -> None:
    path = str(boards["wire"].path)
    (answer,) = ask([Port(path, "")])
    assert (answer.state, answer.text) == (
        "free", f"not on USB, so not asked: streamrnn probe serial:{path} asks",
    )  # fmt: skip
    assert boards["wire"].commands == []


def test_a_port_that_hangs_does_not_hold_up_the_others(
    boards: dict[str, FakeBoard], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SerialLink.open

    def hang(link: SerialLink) -> None:
        if link.path.endswith("ttyUSB1"):
            time.sleep(1.0)
        real(link)

    monkeypatch.setattr(SerialLink, "open", hang)
    monkeypatch.setattr(asking, "_GRACE_S", 0.1)
    ports = [usb_port(boards[name].path, name) for name in ("silent", "wire")]
    hung, fine = ask(ports, limit_s=0.5)
    assert (hung.state, hung.text) == ("trouble", "did not open within 0.6 s")
    assert fine.state == "answers"
    time.sleep(1.5)  # let the thread end
