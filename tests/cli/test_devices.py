"""``streamrnn devices``: what is plugged in, who has it, and what answers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from live_make import main

from streamrnn.core.types import Channel
from streamrnn.sources.ports import asking, listing, trouble
from streamrnn.sources.ports.asking import Answer
from streamrnn.sources.ports.holders import Holder
from streamrnn.sources.ports.listing import Port

UNO = Port(
    "/dev/ttyACM0", "Uno", "Arduino", "Arduino Uno", 0x2341, 0x43, "8573", "1-1",
    "/dev/serial/by-id/usb-Arduino_8573-if00",
)  # fmt: skip
EVIL = Port("/dev/ttyUSB0", "", "", "\x1b]0;owned\x07\n\r", 0x1A86, 0x7523, "", "1-2")


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> list[Port]:
    """Let these ports be plugged in, and nothing else."""
    ports = [UNO, EVIL]
    monkeypatch.setattr(listing, "serial_ports", lambda: list(ports))
    monkeypatch.setattr(trouble, "without_driver", list)
    return ports


def test_ports_are_listed_without_being_opened(
    capsys: pytest.CaptureFixture[str], plugged: list[Port], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_ask", lambda *_: pytest.fail("it was opened"))
    monkeypatch.setattr(
        asking, "holders", lambda path: [Holder(4711, "minicom")] if path == EVIL.path else []
    )
    code, out, err = main(capsys, "devices", "--no-ask")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "/dev/ttyACM0  Arduino Uno, Arduino, 2341:0043, serial number 8573",
        "    address   serial:usb=8573",
        "    by id     /dev/serial/by-id/usb-Arduino_8573-if00",
        "    free      nobody has it open, as far as can be seen",
        r"/dev/ttyUSB0  \x1b]0;owned\x07\n\r, 1a86:7523, no serial number",
        "    address   serial:/dev/ttyUSB0",
        "    busy      /dev/ttyUSB0 is in use by minicom (pid 4711): close it first",
    ]


def test_what_answers_is_said_and_how_to_look_closer(
    capsys: pytest.CaptureFixture[str], plugged: list[Port], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake(answer: Answer, _: float) -> Answer:
        channels = tuple(Channel(f"c{n}", "g" if n == 0 else "") for n in range(14))
        if answer.port is EVIL:
            return replace(
                answer, state="answers", format="numbers", channels=channels[:1], rate_hz=49.7
            )
        return replace(
            answer, state="answers", format="wire", name="band\x1b[2J", firmware="1.2",
            channels=channels, rate_hz=100.0,
        )  # fmt: skip

    monkeypatch.setattr(asking, "_ask", fake)
    code, out, _ = main(capsys, "devices")
    assert code == 0
    assert (
        r"    answers   band\x1b[2J 1.2: wire, 14 channels (c0 [g], c1, c2, c3, c4, c5, c6, c7, "
        "c8, c9, c10, c11 and 2 more) at 100 Hz\n" in out
    )
    assert "    answers   numbers, 1 channel (c0 [g]), about 50 lines a second\n" in out
    assert out.endswith("\nlook closer: streamrnn probe serial:usb=8573\n")
    code, out, _ = main(capsys, "devices", "--json")
    document = json.loads(out)
    assert [entry["usb_id"] for entry in document] == ["2341:0043", "1a86:7523"]
    assert document[0]["channels"][0] == {"name": "c0", "unit": "g"}
    assert document[0]["rate_hz"] == 100.0


def test_no_port_is_one_helpful_line(
    capsys: pytest.CaptureFixture[str], plugged: list[Port], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged.clear()
    code, out, _ = main(capsys, "devices")
    assert (code, out) == (
        0,
        "no serial port: plug a board in (some USB cables only charge); "
        "`streamrnn run --source sim:` needs none\n",
    )
    monkeypatch.setattr(trouble, "without_driver", lambda: ["x is plugged in, but no driver"])
    assert main(capsys, "devices")[1] == "x is plugged in, but no driver\n"
    assert main(capsys, "devices", "--json")[1] == "[]\n"
