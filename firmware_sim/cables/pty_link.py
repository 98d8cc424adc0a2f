"""A board on a real pseudo-terminal and the reader's end of it, in one process."""

from __future__ import annotations

import os
import select

from firmware_sim.board import Board
from firmware_sim.cables.pty import PtyBoard
from firmware_sim.raw import RawBoard
from streamrnn.core.errors import SourceError
from streamrnn.core.link import LinkLostError


class PtyLink:
    """A link to a simulated board through a real pseudo-terminal.

    Parameters
    ----------
    board : Board or RawBoard
    speed : float
        As `PtyBoard` has it.
    name : str
        For people.

    Attributes
    ----------
    waits : bool
        True: it never runs ahead of its reader.
    """

    can_return = True

    def __init__(self, board: Board | RawBoard, speed: float, name: str) -> None:
        self.name = name
        self.waits = speed == 0
        self._server = PtyBoard(board, speed=speed)
        self._is_running = False
        self._fd = -1
        self._n_plugged = 0

    def open(self) -> None:
        """Connect; the board is switched on with the first call."""
        if not self._is_running:
            self._server.start()
            self._is_running = True
        try:
            self._fd = os.open(self._server.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            raise SourceError(f"{self.name}: the board is unplugged") from None
        self._n_plugged = self._server.n_plugged

    def read(self, timeout_s: float) -> bytes:
        """Return what has arrived; see `streamrnn.core.link.Link`."""
        if self._fd < 0:
            raise LinkLostError(f"{self.name} is not open")
        readable, _, _ = select.select([self._fd], [], [], timeout_s)
        if not readable:
            if self._server.is_drained:
                raise EOFError(f"{self.name}: the stream is over")
            return b""
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if data:
            return data
        if self._server.board.is_finished and self._n_plugged == self._server.n_plugged:
            raise EOFError(f"{self.name}: the stream is over")
        self._hang_up()
        raise LinkLostError(f"{self.name}: the board was unplugged")

    def write(self, data: bytes) -> None:
        """Send commands to the board."""
        try:
            os.write(self._fd, data)
        except OSError:
            raise LinkLostError(f"{self.name} is not open") from None

    def close(self) -> None:
        """Disconnect and switch the board off; one that is unplugged may yet be plugged in."""
        if self._fd >= 0:
            self._hang_up()
            self._server.stop()

    def _hang_up(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
