"""Single keys from the terminal, read without waiting."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

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
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def pressed(self) -> str:
        """Return the characters typed since the last call; `""` when there are none."""
        if self._fd < 0 or not select.select((self._fd,), (), (), 0)[0]:
            return ""
        data = os.read(self._fd, 64)
        if not data:  # closed: nothing will come
            self._fd = -1
        return data.decode(errors="ignore")


@contextmanager
def open_keys() -> Iterator[Keys]:
    """Give stdin's keys one by one, without echo; the terminal is put back at the end.

    A shell sets the terminal up for itself after Ctrl-Z, so it is set up again on ``fg``.
    """
    fd = sys.stdin.fileno()
    if not os.isatty(fd):
        yield Keys(fd)
        return
    import termios
    import tty

    def resumed(number: int, frame: FrameType | None) -> None:
        del number, frame
        if not _in_background(fd):
            with suppress(termios.error):  # the terminal is gone: no keys, but frames are recorded
                tty.setcbreak(fd)

    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    handler = signal.signal(signal.SIGCONT, resumed)
    try:
        yield Keys(fd)
    finally:
        signal.signal(signal.SIGCONT, handler)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _in_background(fd: int) -> bool:
    """Tell whether another job has the terminal: changing it then would stop this one."""
    try:
        return os.tcgetpgrp(fd) != os.getpgrp()
    except OSError:  # not the terminal that this process was started from
        return False
