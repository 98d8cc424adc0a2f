from __future__ import annotations

import errno
import fcntl
import os
import pty
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.link import Link, LinkLostError
from streamrnn.sources.serial import SerialLink, open_link


@pytest.fixture
def ends() -> Iterator[tuple[int, str]]:
    """The board's end of a pseudo-terminal, and the path of the other."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    for fd in (master, slave):
        try:
            os.close(fd)
        except OSError:
            assert fd == master  # a test may have pulled it


def test_all_that_waits_comes_in_one_read(ends: tuple[int, str]) -> None:
    master, path = ends
    link = SerialLink(path)
    assert isinstance(link, Link)
    link.open()
    os.write(master, bytes(range(256)) * 8)
    assert link.read(1.0) == bytes(range(256)) * 8
    assert link.read(0.0) == b""
    link.write(b"hello")
    assert os.read(master, 100) == b"hello"
    link.close()
    link.close()


def test_a_port_is_opened_for_one_program_alone(ends: tuple[int, str]) -> None:
    _, path = ends
    first, second = SerialLink(path), SerialLink(path)
    first.open()
    with pytest.raises(SourceError, match="in use by another program"):
        second.open()
    first.close()
    second.open()
    second.close()


def test_a_pulled_cable_is_a_lost_link(ends: tuple[int, str]) -> None:
    master, path = ends
    link = SerialLink(path)
    link.open()
    os.close(master)
    with pytest.raises(LinkLostError):
        link.read(1.0)
    with pytest.raises(LinkLostError):
        link.write(b"x")
    link.close()
    with pytest.raises(LinkLostError):
        link.read(0.0)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (errno.ENOENT, "no such port"),
        (errno.EACCES, "dialout"),
        (errno.EBUSY, "in use"),
        (errno.ENXIO, "no device behind"),
        (None, "no such port"),
    ],
)
def test_why_a_port_does_not_open(
    failure: int | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(port: serial.Serial) -> None:
        raise serial.SerialException(failure, "no") if failure else termios.error(5, "no")

    monkeypatch.setattr(serial.Serial, "open", refuse)
    with pytest.raises(SourceError, match=words) as caught:
        SerialLink("/dev/ttyNONE").open()
    assert "\n" not in str(caught.value)
    assert "/dev/ttyNONE" in str(caught.value)


def test_a_plain_file_is_no_serial_port(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    with pytest.raises(SourceError, match="cannot be opened as a serial port"):
        SerialLink(str(path)).open()


def test_control_lines_are_only_ever_set_to_the_asked_level(
    ends: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board must not see DTR or RTS move: opening raises them, and nothing may drop them."""
    requests: list[int] = []
    real = fcntl.ioctl

    def ioctl(fd: int, request: int, *rest: object) -> object:
        requests.append(request)
        return real(fd, request, *rest)  # type: ignore[call-overload]

    monkeypatch.setattr("serial.serialposix.fcntl.ioctl", ioctl)
    link = SerialLink(ends[1])
    link.open()
    link.read(0.0)
    link.close()
    assert termios.TIOCMBIC not in requests


def test_options_of_the_address() -> None:
    link = open_link("/dev/ttyX?baud=9600&dtr=no")
    assert (link.path, link.name, link.can_return) == ("/dev/ttyX", "serial:/dev/ttyX", True)
    assert (link._port.baudrate, link._port.dtr, link._port.rts) == (9600, False, True)


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("/dev/ttyX?bud=9600", "did you mean 'baud'"),
        ("/dev/ttyX?baud=fast", "baud must be a number"),
        ("/dev/ttyX?dtr=maybe", "dtr must be yes or no"),
    ],
)
def test_senseless_options_are_named(rest: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_link(rest)
