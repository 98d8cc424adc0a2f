"""DTR and RTS, and what two kinds of board make of their moves."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from streamrnn.sources.ports import lines
from streamrnn.sources.ports.lines import keep_on_close, reset, set_lines


@dataclass
class Boards:
    """The two lines of a port that was just opened, and an Uno and an ESP32 on them.

    The Uno resets at the moment that DTR is switched on. The ESP32 is in reset while DTR is off
    and RTS on, and leaves it as its boot pin is then: low while DTR is on and RTS off.
    """

    dtr: bool = True
    rts: bool = True
    n_uno_resets: int = 0
    n_esp_resets: int = 0
    n_esp_boots_into_loader: int = 0
    steps: list[tuple[bool, bool]] = field(default_factory=list)

    def ioctl(self, fd: int, request: int, argument: bytes = b"") -> bytes:
        if request == termios.TIOCMGET:
            bits = termios.TIOCM_DTR * self.dtr | termios.TIOCM_RTS * self.rts | termios.TIOCM_CTS
            return struct.pack("I", bits)
        assert request == termios.TIOCMSET  # both at once: one by one they pass a wrong state
        (bits,) = struct.unpack("I", argument)
        assert bits & termios.TIOCM_CTS
        self.move(bool(bits & termios.TIOCM_DTR), bool(bits & termios.TIOCM_RTS))
        return argument

    def move(self, dtr: bool, rts: bool) -> None:
        was_in_reset = not self.dtr and self.rts
        is_in_reset = not dtr and rts
        self.n_uno_resets += dtr and not self.dtr
        self.n_esp_resets += is_in_reset and not was_in_reset
        self.n_esp_boots_into_loader += was_in_reset and not is_in_reset and dtr and not rts
        self.dtr, self.rts = dtr, rts
        self.steps.append((dtr, rts))


@pytest.fixture
def boards(monkeypatch: pytest.MonkeyPatch) -> Boards:
    boards = Boards()
    monkeypatch.setattr(fcntl, "ioctl", boards.ioctl)
    monkeypatch.setattr(lines, "_RESET_S", 0.0)
    return boards


def test_nothing_moves_unasked(boards: Boards) -> None:
    set_lines(0, None, None)
    assert boards.steps == []


def test_a_reset_on_purpose_resets_both_kinds_once_and_starts_their_programs(
    boards: Boards,
) -> None:
    reset(0)
    assert (boards.n_uno_resets, boards.n_esp_resets) == (1, 1)
    assert boards.n_esp_boots_into_loader == 0
    assert (boards.dtr, boards.rts) == (True, True)


@pytest.mark.parametrize(("dtr", "rts"), [(False, False), (True, None), (None, True), (True, True)])
def test_asked_levels_are_set_in_one_step_and_reset_nothing(
    boards: Boards, dtr: bool | None, rts: bool | None
) -> None:
    set_lines(0, dtr, rts)
    assert boards.steps == [(dtr is not False, rts is not False)]
    assert boards.n_uno_resets == boards.n_esp_resets == 0


def test_what_has_no_such_lines_is_let_be(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        keep_on_close(file.fileno())
        set_lines(file.fileno(), True, True)
        assert lines.true_baud(file.fileno()) is None
        lines.claim(file.fileno(), own=True)


def test_a_port_is_claimed_from_the_system_but_not_a_pseudo_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests: list[int] = []
    monkeypatch.setattr(fcntl, "ioctl", lambda fd, request: requests.append(request))
    master, slave = os.openpty()
    lines.claim(slave, own=True)
    assert requests == []
    with open(os.devnull, "rb") as other:  # a device, and no pseudo-terminal
        lines.claim(other.fileno(), own=True)
        lines.claim(other.fileno(), own=False)
    assert requests == [termios.TIOCEXCL, termios.TIOCNXCL]
    os.close(master)
    os.close(slave)
