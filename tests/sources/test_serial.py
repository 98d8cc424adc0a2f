from __future__ import annotations

import errno
import os
import pty
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_board import FakeBoard
from port_make import usb_port

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.link import Link, LinkLostError
from streamrnn.core.types import Frames
from streamrnn.sources.ports import lines
from streamrnn.sources.ports.lines import true_baud
from streamrnn.sources.serial import SerialLink, open_link
from streamrnn.sources.stream import StreamSource


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


def test_a_port_that_does_not_open_says_why_in_one_line() -> None:
    with pytest.raises(SourceError, match="no such port: /dev/ttyNONE") as caught:
        SerialLink("/dev/ttyNONE", lister=list).open()
    assert "\n" not in str(caught.value)


def test_a_plain_file_is_no_serial_port(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    for other in (path, "/dev/null", "/"):
        with pytest.raises(SourceError, match=f"^{other} is not a serial port: "):
            SerialLink(str(other)).open()


def test_a_port_that_goes_while_it_is_set_up_is_closed(
    ends: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def reset(_: int) -> None:
        raise termios.error(errno.EIO, "Input/output error")

    monkeypatch.setattr(lines, "reset", reset)
    link = SerialLink(ends[1], reset=True)
    n_open = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SourceError, match="Input/output error"):
        link.open()
    assert len(os.listdir("/proc/self/fd")) == n_open


def test_closing_leaves_the_lines_as_they_are(ends: tuple[int, str]) -> None:
    """HUPCL has the kernel drop DTR and RTS at the last close, and the next open raise them."""
    master, path = ends
    settings = termios.tcgetattr(master)
    settings[2] |= termios.HUPCL
    termios.tcsetattr(master, termios.TCSANOW, settings)
    link = SerialLink(path)
    link.open()
    link.set_baud(9600)
    assert not termios.tcgetattr(master)[2] & termios.HUPCL  # even if we are killed now
    link.close()
    assert not termios.tcgetattr(master)[2] & termios.HUPCL


@pytest.mark.parametrize("baud", [9600, 123_456, 921_600, 1_500_000])
def test_any_baud_rate_can_be_set_at_the_start_and_later(ends: tuple[int, str], baud: int) -> None:
    master, path = ends
    link = SerialLink(path, baud)
    link.open()
    assert true_baud(master) == baud
    link.set_baud(baud + 1)
    assert true_baud(master) == baud + 1
    link.close()


def test_an_adapter_that_makes_another_rate_is_named(
    ends: tuple[int, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lines, "true_baud", lambda fd: 115_384)
    SerialLink(ends[1], 115_200).open()
    assert caplog.messages == []  # as near as receivers need it
    SerialLink(ends[1], 123_456).open()
    assert caplog.messages == [f"serial:{ends[1]}: gives 115384 baud, not 123456"]


def test_a_port_that_is_shared_without_a_lock_is_refused(ends: tuple[int, str]) -> None:
    """Two readers would each get some of the bytes."""
    path = ends[1]
    code = f"import os,time; os.open({path!r}, os.O_RDWR | os.O_NOCTTY); print(1, flush=True); "
    with subprocess.Popen(
        [sys.executable, "-c", code + "time.sleep(60)"], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        words = rf"{path} is in use by python\S* \(pid {other.pid}\): close it first"
        with pytest.raises(SourceError, match=words):
            SerialLink(path).open()
        other.kill()
    link = SerialLink(path)
    link.open()
    link.close()


def test_a_board_is_found_on_another_port_and_never_taken_for_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    acm0, acm1 = tmp_path / "ttyACM0", tmp_path / "ttyACM1"
    board = FakeBoard(acm0)
    board.plug()
    ports = [usb_port(acm0, "A1")]
    link = SerialLink(str(acm0), lister=lambda: ports)
    source = StreamSource(link)
    source.open()
    try:
        wait_for_frames(source)
        board.unplug()
        ports[:] = [usb_port(acm0, "B2")]  # somebody plugs in another board: it gets the path
        other = FakeBoard(acm0)
        other.plug()
        n_frames = source.counters.n_frames
        for _ in range(10):
            source.read(0.03)
        assert source.counters.n_frames == n_frames
        assert other.commands == []
        words = "is another board now, Board B2 (USB serial number B2): plug in Board A1 (USB"
        assert [words in line for line in caplog.messages].count(True) == 1
        board.path = acm1
        board.plug()
        ports.append(usb_port(acm1, "A1"))
        wait_for_frames(source)
        assert link.path == str(acm1)
        assert source.counters.n_unplugs == 1
    finally:
        source.close()
        board.close()
        other.close()


def wait_for_frames(source: StreamSource) -> None:
    end = time.monotonic() + 10
    while not any(isinstance(item, Frames) for item in source.read(0.05)):
        assert time.monotonic() < end


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x80\xff\x01", "wrong baud rate\\? streamrnn probe finds"),
        (b"", "sending at 9600 baud\\?"),
    ],
)
def test_what_makes_no_sense_may_come_at_another_rate(
    ends: tuple[int, str], data: bytes, words: str
) -> None:
    master, path = ends
    source = StreamSource(SerialLink(path, 9600), open_timeout_s=1.0, garbage_s=0.1)
    sender = threading.Timer(0.2, os.write, (master, data))  # opening forgets what came before
    sender.start()
    with pytest.raises(SourceError, match=words):
        source.open()
    sender.join()


def test_options_of_the_address() -> None:
    link = open_link("/dev/ttyX?baud=9600&dtr=no&reset=yes")
    assert (link.path, link.name, link.can_return) == ("/dev/ttyX", "serial:/dev/ttyX", True)
    assert (link.baud, link._levels, link._reset) == (9600, (False, None), True)
    assert open_link("usb=A1").path == "usb=A1"


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
