"""A board on a pseudo-terminal that is understood at its own baud rate only."""

from __future__ import annotations

import random
import select
import threading
from pathlib import Path

from fake_board import FakeBoard

from streamrnn.sources.ports.lines import true_baud
from streamrnn.wire.packet import Command


class BaudBoard(FakeBoard):
    """What the reader gets at another rate than the board's is garbage of about the same length.

    The terminal keeps the rate that the reader set, as an adapter's driver does.

    Parameters
    ----------
    path : Path
        Symbolic link that stands for the port.
    baud : int
        The rate that the board speaks at.
    lines : bytes
        What it sends over and over; nothing: it speaks the wire, and says HELLO when asked.
    pause_s : float
        Between two sendings.
    """

    def __init__(self, path: Path, baud: int, lines: bytes = b"", pause_s: float = 0.01) -> None:
        super().__init__(path)
        self.baud = baud
        self.understood: list[Command] = []
        self._lines = lines
        self._pause_s = pause_s
        self._random = random.Random(7)
        self._end = threading.Event()
        self._speaker: threading.Thread | None = None

    def plug(self) -> None:
        super().plug()
        self._end.clear()
        self._speaker = threading.Thread(target=self._speak, daemon=True)
        self._speaker.start()

    def unplug(self) -> None:
        self._end.set()
        assert self._speaker is not None
        self._speaker.join()
        super().unplug()

    def send(self, data: bytes) -> None:
        assert self._fds is not None
        if not select.select((), (self._fds[0],), (), 0.0)[1]:
            return  # nobody reads: as a UART does, send it to nobody
        if true_baud(self._fds[0]) != self.baud:
            data = self._random.randbytes(len(data))
        super().send(data)

    def _answer(self, command: Command) -> None:
        assert self._fds is not None
        if true_baud(self._fds[0]) == self.baud:
            self.understood.append(command)
            super()._answer(command)

    def _speak(self) -> None:
        while not self._end.wait(self._pause_s if self._lines else 0.5):
            if self._lines:
                self.send(self._lines)
            elif not self.streaming:
                self.send(self._encoder.hello(self.hello, self.next_seq))
