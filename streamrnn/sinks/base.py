"""What every sink offers."""

from __future__ import annotations

from typing import Protocol

from streamrnn.core.records import Record


class Sink(Protocol):
    """Takes the records of one run, in order."""

    def open(self, stream: str, model: str) -> None:
        """Get ready.

        Parameters
        ----------
        stream : str
            Name of the stream, ``""`` when it has none.
        model : str
            ``sha256:...`` of the model file, ``""`` when there is none.
        """
        ...

    def write(self, record: Record) -> None:
        """Take one record; `BrokenPipeError` says that nobody listens any more."""
        ...

    def close(self) -> None:
        """Bring everything to its place; harmless when not open."""
        ...
