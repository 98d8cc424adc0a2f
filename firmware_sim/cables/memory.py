"""A board at the end of no cable at all: a link within the process, without a thread."""

from __future__ import annotations

import time

from firmware_sim.board import Board
from firmware_sim.cables.pace import Pace
from firmware_sim.device import Device
from firmware_sim.raw import RawBoard
from streamrnn.core.errors import SourceError
from streamrnn.core.link import LinkLostError

#: An idle board at speed 0 does not make its reader spin.
_IDLE_S = 0.001


class MemoryLink:
    """A `streamrnn.core.link.Link` to a simulated board.

    Nothing happens between the calls: `read` works out what the board has sent by now.

    Parameters
    ----------
    board : Board, RawBoard or Device
    speed : float
        1 is real time; 0 gives everything at once, and the same bytes for the same calls.
    name : str
        For people.

    Attributes
    ----------
    waits : bool
        True: it never runs ahead of its reader.

    Raises
    ------
    ConfigError
        A negative speed.
    """

    can_return = True

    def __init__(
        self, board: Board | RawBoard | Device, speed: float = 1.0, name: str = "sim:"
    ) -> None:
        self.board: Board | RawBoard = Board(board) if isinstance(board, Device) else board
        self.name = name
        self.waits = speed == 0
        self._speed = speed
        self._pace = Pace(speed)
        self._virtual_us = 0
        self._is_open = False
        self._was_opened = False

    def open(self) -> None:
        """Connect; the board is switched on with the first call.

        Raises
        ------
        SourceError
            The board is unplugged.
        """
        if not self._was_opened:
            self._was_opened = True
            self._pace = Pace(self._speed)
        if not self.board.is_plugged:
            self._step(0.0)
        while self._pace.is_free and not self.board.is_plugged:
            self._step(0.0)
        if not self.board.is_plugged:
            raise SourceError(f"{self.name}: the board is unplugged")
        self._is_open = True

    def read(self, timeout_s: float) -> bytes:
        """Return what the board has sent, waiting up to `timeout_s` for something.

        Raises
        ------
        LinkLostError
            The board was unplugged, or the link is not open.
        EOFError
            The board has sent everything.
        """
        if not self._is_open:
            raise LinkLostError(f"{self.name} is not open")
        deadline_s = time.monotonic() + timeout_s
        while not self._is_out():
            # At speed 0 the host's clock has no say, so that the same calls give the same bytes.
            left_s = timeout_s if self._pace.is_free else deadline_s - time.monotonic()
            data = self._step(max(0.0, left_s))
            if data:
                return data
            if self._is_out():
                break
            if self.board.is_finished:
                raise EOFError(f"{self.name}: the stream is over")
            if time.monotonic() >= deadline_s or self._pace.is_free:
                return b""
        self._is_open = False
        raise LinkLostError(f"{self.name}: the board was unplugged")

    def write(self, data: bytes) -> None:
        """Send commands to the board."""
        if not self._is_open:
            raise LinkLostError(f"{self.name} is not open")
        self.board.handle(data, None if self._pace.is_free else self._pace.now_us())

    def close(self) -> None:
        """Disconnect; the board runs on."""
        self._is_open = False

    def _is_out(self) -> bool:
        return not self.board.is_plugged

    def _step(self, timeout_s: float) -> bytes:
        """Let time pass, up to `timeout_s` or to the next thing that the board does."""
        board = self.board
        due_us = board.next_due_us()
        if not self._pace.is_free:
            wait_s = min(self._pace.wait_s(due_us), timeout_s)
            if wait_s > 0.0:
                time.sleep(wait_s)
            now_us = self._pace.now_us()
        elif board.is_busy:
            now_us = max(self._virtual_us, due_us) + board.batch_us()
        else:
            now_us = max(self._virtual_us, min(due_us, self._virtual_us + int(timeout_s * 1e6)))
        out = board.poll(now_us)
        self._virtual_us = min(now_us, board.now_us)
        if not out and self._pace.is_free and not board.is_busy:
            time.sleep(min(_IDLE_S, timeout_s))
        return b"".join(data for data, _ in out)
