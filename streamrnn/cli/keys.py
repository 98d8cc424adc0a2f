"""Single keys from the terminal, read without waiting."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from streamrnn.core.errors import ConfigError
from streamrnn.core.text import printable


def parse_keys(text: str) -> dict[str, str]:
    """Return the label of each key out of ``a=left,b=right``.

    Raises
    ------
    ConfigError
        Not of this form, or a key twice.
    """
    labels: dict[str, str] = {}
    for entry in text.split(","):
        key, equals, label = entry.strip().partition("=")
        label = label.strip()
        if len(key) != 1 or not equals or not label:
            raise ConfigError(
                f"--keys wants KEY=LABEL,KEY=LABEL with one character a key, "
                f"got {printable(entry)!r}"
            )
        if key in labels:
            raise ConfigError(f"--keys names the key {key!r} twice")
        labels[key] = label
    return labels


class Keys:
    """What was typed since the last look.

    Parameters
    ----------
    fd : int
        A terminal, or anything else that can be selected; -1 for nothing.
    may_read : callable, optional
        Asked before each look.
    """

    def __init__(self, fd: int, may_read: Callable[[], bool] = lambda: True) -> None:
        self._fd = fd
        self._may_read = may_read

    def pressed(self) -> str:
        """Return the characters typed since the last call; `""` when there are none."""
        if self._fd < 0 or not self._may_read() or not select.select((self._fd,), (), (), 0)[0]:
            return ""
        data = os.read(self._fd, 64)
        if not data:  # closed: nothing will come
            self._fd = -1
        return data.decode(errors="ignore")


@contextmanager
def open_keys(*, stdin_is_taken: bool = False) -> Iterator[Keys]:
    """Give the keys of stdin one by one, without echo; the terminal is put back at the end.

    A shell sets the terminal up for itself after Ctrl-Z, so it is set up again behind ``fg``.
    Behind ``bg`` the keys are the shell's.

    Parameters
    ----------
    stdin_is_taken : bool
        Somebody else reads stdin: the keys are those of the terminal, if there is one.
    """
    with ExitStack() as stack:
        fd = _terminal(stack) if stdin_is_taken else _stdin()
        yield stack.enter_context(_keys_of(fd))


def _stdin() -> int:
    try:
        return sys.stdin.fileno() if sys.stdin is not None else -1
    except (OSError, ValueError):  # replaced by something else, or closed
        return -1


def _terminal(stack: ExitStack) -> int:
    try:
        fd = os.open("/dev/tty", os.O_RDONLY)
    except OSError:  # started by no terminal
        return -1
    stack.callback(os.close, fd)
    return fd


@contextmanager
def _keys_of(fd: int) -> Iterator[Keys]:
    if fd < 0 or not os.isatty(fd):
        yield Keys(fd)
        return
    import termios
    import tty

    def may_read() -> bool:
        if _in_background(fd):
            return False
        if termios.tcgetattr(fd)[3] & termios.ICANON:
            tty.setcbreak(fd)
        return True

    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield Keys(fd, may_read)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _in_background(fd: int) -> bool:
    """Tell whether another job has the terminal: using it then would stop this one."""
    try:
        return os.tcgetpgrp(fd) != os.getpgrp()
    except OSError:  # not the terminal that this process was started from
        return False
