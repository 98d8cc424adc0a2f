"""Records as JSON lines (docs/formats.md, "Events")."""

from __future__ import annotations

from typing import BinaryIO

from streamrnn.core.records import Record, Stats, to_json_line


class JsonlSink:
    """Writes each record as one line, at once: whoever reads a pipe sees it when it happens.

    Parameters
    ----------
    out : binary file
        Not closed here.
    stats : bool
        False leaves the statistics at the end out.
    """

    def __init__(self, out: BinaryIO, *, stats: bool = True) -> None:
        self._out = out
        self._stats = stats
        self._stream = ""
        self._model = ""

    def open(self, stream: str, model: str) -> None:
        """Remember what each record is marked with."""
        self._stream = stream
        self._model = model

    def write(self, record: Record) -> None:
        """Write one line and flush it."""
        if isinstance(record, Stats) and not self._stats:
            return
        line = to_json_line(record, stream=self._stream, model=self._model)
        self._out.write(line.encode() + b"\n")
        self._out.flush()

    def close(self) -> None:
        """Do nothing: each line is out already."""
