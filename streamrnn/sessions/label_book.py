"""Which labels of a recording are open, ended or taken back, and the messages that say so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from streamrnn.core.errors import SessionError
from streamrnn.core.text import printable
from streamrnn.core.types import Label

#: Labels that can still be taken back.
MAX_UNDO = 10_000


class LabelBook:
    """Numbers labels as they begin; a pure bookkeeper of bounded size.

    Attributes
    ----------
    open : dict of int to Label
        Those that have begun and not ended, the oldest first.
    """

    def __init__(self) -> None:
        self.open: dict[int, Label] = {}
        self._n = 0
        self._recent: dict[int, Label] = {}

    def begin(self, label: Label) -> int:
        """Take an open label; return its number."""
        number = self._n
        self._n += 1
        self.open[number] = label
        self._remember(number, label)
        return number

    def end(self, number: int, end_us: int) -> Label:
        """End an open label and return it; `SessionError` if it is not open."""
        if number not in self.open:
            raise SessionError(f"label {number} ends but is not open")
        label = replace(self.open.pop(number), end_us=end_us)
        self._remember(number, label)
        return label

    def newest_open(self, name: str, source: str) -> int:
        """Return the number of the newest open label of a name and, if one is given, a source."""
        for number, label in reversed(self.open.items()):
            if label.name == name and source in ("", label.source):
                return number
        raise SessionError(f"label {printable(name)!r} ends but did not start")

    def newest(self) -> int | None:
        """Return the number of the newest label that was not taken back."""
        return max(self._recent, default=None)

    def undo(self, number: int) -> Label:
        """Forget a label and return it as far as it is known.

        Raises
        ------
        SessionError
            No such label, or one further back than the last `MAX_UNDO`, or it was undone before.
        """
        if number not in self._recent:
            raise SessionError(f"there is no label {number} to take back")
        self.open.pop(number, None)
        return self._recent.pop(number)

    def _remember(self, number: int, label: Label) -> None:
        self._recent[number] = label
        if len(self._recent) > MAX_UNDO:
            del self._recent[min(self._recent)]


def boundary(number: int, label: Label, phase: str) -> dict[str, Any]:
    """Return the message of a boundary; an end repeats the start, so that either tells it."""
    document: dict[str, Any] = {
        "id": number,
        "label": label.name,
        "phase": phase,
        "start_us": label.start_us,
        "source": label.source,
        "confidence": label.confidence,
    }
    if phase == "end":
        document["end_us"] = label.end_us
    return document


def retraction(number: int) -> dict[str, Any]:
    """Return the message that takes a label back."""
    return {"id": number, "phase": "undo"}
