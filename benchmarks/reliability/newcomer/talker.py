"""A port on which something talks, or nothing: what a newcomer may have plugged in."""

from __future__ import annotations

import os
import pty
import random
import select
import termios
import threading
import time
import tty
from types import TracebackType
from typing import Self

_PERIOD_S = 0.01


class Talker:
    """Says the same lines over and over, a hundred a second, on a pseudo-terminal of its own.

    Parameters
    ----------
    lines : list of bytes
        Said in turn; none: it is silent.
    baud : int
        A constant of `termios`. Who reads at another rate gets garbage; 0: any rate will do.

    Attributes
    ----------
    path : str
    """

    def __init__(self, lines: list[bytes], baud: int = 0) -> None:
        self._lines = lines
        self._baud = baud
        self._random = random.Random(1)
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin to talk."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Fall silent."""
        self._stop.set()
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)

    def _run(self) -> None:
        n, due_s = 0, time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            due_s += _PERIOD_S
            if not self._lines:
                continue
            line = self._lines[n % len(self._lines)]
            n += 1
            if self._baud and termios.tcgetattr(self._slave)[5] != self._baud:
                line = self._random.randbytes(len(line))
            _, writable, _ = select.select([], [self._master], [], 0)
            if writable:
                os.write(self._master, line)
