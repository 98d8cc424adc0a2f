"""What ``firmware-sim`` does once its boards are made: serve them until they end or it is told."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from firmware_sim.board import Board
from firmware_sim.cables.memory import MemoryLink
from firmware_sim.cables.server import BoardServer
from firmware_sim.raw import RawBoard
from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.text import printable
from streamrnn.core.types import Marker
from streamrnn.wire.encode import Encoder

#: How often is looked whether it is over.
_WATCH_S = 0.2


@dataclass(frozen=True, slots=True)
class Station:
    """A board, what serves it, and where its truth goes."""

    board: Board | RawBoard
    server: BoardServer
    truth: str | None = None


def serve(stations: Sequence[Station], stop: threading.Event) -> None:
    """Serve boards until all are finished, or until `stop`; print where they are to be found.

    Raises
    ------
    SourceError
        A cable cannot be had.
    OSError
        A truth file cannot be written.
    """
    with ExitStack() as stack:
        truths = [stack.enter_context(TruthFile(s.truth, s.board)) for s in stations]
        # Whoever reads an address finds the board there: all are up before the first is printed.
        servers = [stack.enter_context(station.server) for station in stations]
        for server in servers:
            print(server.path, flush=True)  # noqa: T201
        while not stop.wait(_WATCH_S):
            for truth in truths:
                truth.update()
            if all(server.finished.is_set() for server in servers):
                break
        stack.callback(_raise_first, servers)


def _raise_first(servers: Sequence[BoardServer]) -> None:
    for server in servers:
        if server.error is not None:
            raise server.error


def serve_stdout(
    board: Board | RawBoard, speed: float, stop: threading.Event, truth_name: str | None
) -> None:
    """Write what a board sends to stdout, without waiting for START.

    Raises
    ------
    ConfigError
        A board that will be unplugged.
    """
    if board.can_unplug:
        raise ConfigError("stdout cannot be unplugged; use --link pty or tcp")
    link = MemoryLink(board, speed)
    with TruthFile(truth_name, board) as truth:
        link.open()
        link.write(Encoder().command(0, "START"))
        out = sys.stdout.buffer
        while not stop.is_set():
            try:
                out.write(link.read(_WATCH_S))
            except EOFError:
                break
            out.flush()
            truth.update()


def _open(name: str) -> TextIO:
    try:
        return Path(name).open("w", encoding="utf-8")
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        why = error.strerror if isinstance(error, OSError) else error
        raise SourceError(f"cannot write {printable(name, 200)!r}: {why}") from None


class Truthful(Protocol):
    """What has a truth to tell."""

    def truth(self) -> dict[str, Any]:
        """Return the counts."""
        ...

    def take_log(self) -> list[dict[str, Any]]:
        """Return what happened since the last call."""
        ...


class TruthFile:
    """Faults and labels as they happen and, at the end, the counts, as JSON lines.

    Parameters
    ----------
    name : str or None
        None: nothing is written.
    what : Truthful
        A board, or a proxy.
    """

    def __init__(self, name: str | None, what: Truthful) -> None:
        self._what = what
        self._last: Marker | None = None
        self._file: TextIO | None = None if name is None else _open(name)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what is left, and the counts."""
        self.update()
        self._write({"type": "faults", **self._what.truth()})
        if self._file is not None:
            self._file.close()

    def update(self) -> None:
        """Write what is new."""
        for line in self._what.take_log():
            self._write(line)
        for marker in self._new_labels():
            self._write(
                {
                    "type": "label",
                    "label": marker.label,
                    "phase": marker.phase,
                    "t_us": marker.t_us,
                }
            )

    def _new_labels(self) -> list[Marker]:
        if not isinstance(self._what, Board):
            return []
        # The board forgets old ones, so that only the last that was seen tells which are new.
        markers = list(self._what.device.truth)
        begin = len(markers)
        while begin and markers[begin - 1] is not self._last:
            begin -= 1
        self._last = markers[-1] if markers else self._last
        return markers[begin:]

    def _write(self, document: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(document, separators=(",", ":")) + "\n")
            self._file.flush()
