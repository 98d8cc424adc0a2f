"""A board that repeats a recording of bytes: what once came through a cable, byte for byte.

It knows nothing of packets or lines, says nothing of its own and is deaf to commands, so that
whoever reads it gets what was read when it was recorded, damage and all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from streamrnn.core.errors import ConfigError, SessionError

#: A piece travels as one datagram, so it is no longer than this.
MAX_PIECE_BYTES = 8192
#: Lines longer than any decoder takes are sent in parts.
_MAX_LINE_BYTES = 4096
#: Bytes that one call of `poll` gives at most; the rest comes with the next.
_BATCH_BYTES = 16_384
_BATCH_US = 100_000
#: How a file in the MCAP form begins (https://mcap.dev/spec, "Magic").
_MCAP_MAGIC = b"\x89MCAP0\r\n"


class RawBoard:
    """Sends given bytes at given times, from the moment it is switched on.

    It never throws anything away: a reader that is late is waited for (`waits`).

    Parameters
    ----------
    pieces : iterable of (int, bytes)
        When each is due, microseconds behind the first, and the bytes. Read as they are needed.

    Attributes
    ----------
    now_us : int
        True time that has passed.
    """

    #: It is switched on by its reader, and loses nothing when that is late.
    waits = True
    is_plugged = True
    can_unplug = False

    def __init__(self, pieces: Iterable[tuple[int, bytes]]) -> None:
        self._pieces = iter(pieces)
        self._next: tuple[int, bytes] | None = None
        self._n_bytes = 0
        self._n_pieces = 0
        self.now_us = 0
        self._look()

    def handle(self, data: bytes, now_us: int | None = None) -> None:
        """Take no notice of commands."""

    def poll(self, now_us: int) -> list[tuple[bytes, int]]:
        """Return what is due by `now_us`, some kilobytes at most; the rest is due still."""
        out: list[tuple[bytes, int]] = []
        n_bytes = 0
        while self._next is not None and n_bytes < _BATCH_BYTES:
            due_us, data = self._next
            if due_us > now_us:
                break
            out.append((data, 0))
            n_bytes += len(data)
            self._look()
        self._n_bytes += n_bytes
        self._n_pieces += len(out)
        self.now_us = max(self.now_us, now_us)
        return out

    def next_due_us(self) -> int:
        """Return the true time of the next piece."""
        return self.now_us + _BATCH_US if self._next is None else self._next[0]

    def batch_us(self) -> int:
        """Return a step of time for a reader whom nothing holds back."""
        return _BATCH_US

    @property
    def is_busy(self) -> bool:
        """True while there is something left to send."""
        return self._next is not None

    @property
    def is_finished(self) -> bool:
        """True when every byte has been sent."""
        return self._next is None

    def overrun(self, n_frames: int) -> None:
        """Take no notice: a board that waits loses nothing."""

    def truth(self) -> dict[str, Any]:
        """Return what has been sent."""
        return {"n_bytes_sent": self._n_bytes, "n_pieces_sent": self._n_pieces}

    def take_log(self) -> list[dict[str, Any]]:
        """Return nothing: nothing happens but what was recorded."""
        return []

    def _look(self) -> None:
        self._next = next(self._pieces, None)


def raw_board(path: Path | str, lines_hz: float = 100.0) -> RawBoard:
    """Return a board that repeats a file.

    Parameters
    ----------
    path : path
        A session with raw bytes (MCAP): they come at the pace at which they were read. Any other
        file: its lines, whatever they say, one after another.
    lines_hz : float
        Lines a second of such a file, > 0.

    Raises
    ------
    ConfigError
        A rate that makes no sense.
    SessionError
        The file cannot be read, or holds nothing to send.
    """
    if not 0.0 < lines_hz <= 1e6:
        raise ConfigError(f"rate must be lines a second above 0, got {lines_hz:g}")
    path = Path(path)
    try:
        with path.open("rb") as file:
            is_session = file.read(len(_MCAP_MAGIC)) == _MCAP_MAGIC
    except OSError as error:
        raise SessionError(f"cannot read {path}: {error.strerror or error}") from error
    if is_session or path.suffix == ".mcap":
        board = RawBoard(_session_pieces(path))
        if board.is_finished:
            raise SessionError(
                f"{path} holds no raw bytes: record them with `streamrnn record --raw`"
            )
        return board
    board = RawBoard(_line_pieces(path, lines_hz))
    if board.is_finished:
        raise SessionError(f"{path} is empty: there is nothing to send")
    return board


def _session_pieces(path: Path) -> Iterator[tuple[int, bytes]]:
    """Give a session's raw reads; a clock that was set back makes no time run backwards."""
    from streamrnn.sessions.raw import read_raw  # loads mcap, which lines do not need

    first_ns: int | None = None
    due_us = 0
    for host_ns, data in read_raw(path):
        if first_ns is None:
            first_ns = host_ns
        due_us = max(due_us, (host_ns - first_ns) // 1000)
        for at in range(0, len(data), MAX_PIECE_BYTES):
            yield due_us, data[at : at + MAX_PIECE_BYTES]


def _line_pieces(path: Path, lines_hz: float) -> Iterator[tuple[int, bytes]]:
    """Give a file's lines with their ends; the last may have none."""
    n_lines = 0
    with path.open("rb") as file:
        while data := file.readline(_MAX_LINE_BYTES):
            yield round(n_lines * 1e6 / lines_hz), data
            n_lines += data.endswith(b"\n")
