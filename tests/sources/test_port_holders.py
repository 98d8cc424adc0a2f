"""Who has a port open: real programs on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamrnn.sources.ports import holders as module
from streamrnn.sources.ports.holders import Holder, holders, is_running

_HOLD = "import os,sys,time\nfd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)\n"
_HOLD += "print(1, flush=True)\ntime.sleep(60)\n"


@pytest.fixture
def path() -> Iterator[str]:
    master, slave = pty.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


@pytest.fixture
def minicom(path: str, tmp_path: Path) -> Iterator[int]:
    """Run a program that has the port open; give its number."""
    script = tmp_path / "minicom"
    script.write_text(_HOLD)
    with subprocess.Popen([sys.executable, script, path], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        yield program.pid
        program.kill()


def test_a_program_that_has_the_port_open_is_named(path: str, minicom: int, tmp_path: Path) -> None:
    link = tmp_path / "by-id"
    link.symlink_to(path)
    assert [str(who) for who in holders(str(link))] == [f"minicom (pid {minicom})"]


def test_this_process_is_not_named(path: str) -> None:
    assert holders(path) == []


def test_the_program_that_plays_the_board_is_not_named() -> None:
    code = (
        "import os,time\nmaster, slave = os.openpty()\nprint(os.ttyname(slave), flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as board:
        assert board.stdout is not None
        path = board.stdout.readline().decode().strip()
        assert holders(path) == []
        board.kill()


def test_processes_that_vanish_or_are_not_ours_are_passed_over(tmp_path: Path) -> None:
    for pid, comm, target in ((7, "screen", "/dev/ttyUSB0"), (8, "cat", "/dev/null"), (9, "", "")):
        fds = tmp_path / str(pid) / "fd"
        fds.mkdir(parents=True)
        (tmp_path / str(pid) / "comm").write_text(f"{comm}\n")
        (fds / "3").symlink_to(target or "nowhere")
    (tmp_path / "10").mkdir()
    (tmp_path / "self").mkdir()
    assert holders("/dev/ttyUSB0", str(tmp_path)) == [Holder(7, "screen")]
    assert is_running("screen", str(tmp_path))
    assert not is_running("ModemManager", str(tmp_path))
    assert holders("/dev/ttyUSB0", str(tmp_path / "nothing")) == []


@pytest.mark.parametrize(
    ("cmdline", "name"),
    [
        (b"/usr/bin/python3\0/usr/bin/streamrnn\0run\0", "streamrnn"),
        (b"/usr/bin/python3\0-X\0-m\0streamrnn\0run\0", "streamrnn"),
        (b"python\0-c\0pass\0", "python"),
        (b"python\0", "python"),
        (b"/usr/bin/minicom\0-D\0/dev/ttyUSB0\0", "minicom"),
        (b"bad\x1b]0;name\0", r"bad\x1b]0;name"),
        (b"", "?"),
    ],
)
def test_a_script_goes_by_its_own_name(tmp_path: Path, cmdline: bytes, name: str) -> None:
    (tmp_path / "cmdline").write_bytes(cmdline)
    assert module._program(str(tmp_path)) == name
