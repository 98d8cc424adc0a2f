from __future__ import annotations

import os
import pty
import sys
import termios

import pytest

from streamrnn.cli.keys import Keys, open_keys, parse_keys
from streamrnn.core.errors import ConfigError


def test_keys_name_labels() -> None:
    assert parse_keys("a=left, b=right turn") == {"a": "left", "b": "right turn"}


@pytest.mark.parametrize("text", ["ab=left", "a", "a=", "=left", "a=left,a=right", ""])
def test_senseless_keys_are_named(text: str) -> None:
    with pytest.raises(ConfigError, match="--keys"):
        parse_keys(text)


def test_keys_come_at_once_and_the_terminal_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with os.fdopen(slave, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        with open_keys() as keys:
            assert keys.pressed() == ""
            assert not termios.tcgetattr(slave)[3] & termios.ECHO
            os.write(master, b"ab")
            assert keys.pressed() == "ab"
        assert termios.tcgetattr(slave) == before
    os.close(master)


def test_keys_come_again_after_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with os.fdopen(slave, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        with open_keys() as keys:
            termios.tcsetattr(slave, termios.TCSANOW, before)  # as a shell does
            monkeypatch.setattr(os, "tcgetpgrp", lambda fd: -1)  # `bg`: the shell has the terminal
            os.write(master, b"ls\n")
            assert keys.pressed() == ""
            assert termios.tcgetattr(slave) == before
            assert terminal.readline() == "ls\n"
            monkeypatch.undo()  # `fg`
            assert keys.pressed() == ""
            os.write(master, b"a")
            assert keys.pressed() == "a"
        assert termios.tcgetattr(slave) == before
    os.close(master)


def test_keys_may_come_from_a_pipe_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    with os.fdopen(read, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with open_keys() as keys:
            os.write(write, b"x")
            assert keys.pressed() == "x"
            os.close(write)
            assert keys.pressed() == ""
            assert keys.pressed() == ""
    assert Keys(-1).pressed() == ""


def test_a_closed_stdin_has_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with open_keys() as keys:
        assert keys.pressed() == ""
    closed = open(os.devnull)
    closed.close()
    monkeypatch.setattr(sys, "stdin", closed)
    with open_keys() as keys:
        assert keys.pressed() == ""


def test_where_stdin_is_taken_keys_are_the_terminals() -> None:
    pid, master = pty.fork()
    if pid == 0:
        read, _ = os.pipe()
        os.dup2(read, 0)
        with open_keys(stdin_is_taken=True) as keys:
            os.write(1, b"ready")
            while not (got := keys.pressed()):
                pass
        os.write(1, got.encode() * 3)
        os._exit(0)
    seen = b""
    while b"ready" not in seen:
        seen += os.read(master, 100)
    os.write(master, b"k")
    while b"kkk" not in seen:
        seen += os.read(master, 100)
    os.waitpid(pid, 0)
    os.close(master)
