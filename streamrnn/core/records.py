"""What the pipeline gives out: events, gaps, statistics, as dataclasses and as JSON lines.

The JSON form is documented in docs/formats.md ("Events"). Keys stand in a fixed order and
scores are rounded to six decimals, so that two runs that decide the same print the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeAlias

#: Version of the event records; a reader must ignore keys that it does not know.
RECORD_VERSION = 1
#: One for all: `json.dumps` would make a new one for each record.
_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Event:
    """One gesture, or one of its two edges.

    Attributes
    ----------
    gesture : str
        Class name, never the null class.
    phase : {"discrete", "start", "end"}
        ``discrete``: one record a gesture, given when it is over. ``start`` is given as soon as it
        is sure and ``end`` when it is over, both with the same gesture and onset.
    seq : int
        Index of the frame at which the record was given.
    t_us : int
        Device time of that frame, microseconds.
    onset_us : int
        Device time of the gesture's first frame.
    end_us : int or None
        Device time of the first frame behind it; None in a ``start`` record.
    score : float
        Mean probability of the class over the gesture so far, 0..1.
    """

    gesture: str
    phase: str
    seq: int
    t_us: int
    onset_us: int
    end_us: int | None
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return the record's own keys, in order."""
        return {
            "type": "event",
            "gesture": self.gesture,
            "phase": self.phase,
            "seq": self.seq,
            "t_us": self.t_us,
            "onset_us": self.onset_us,
            "end_us": self.end_us,
            "score": round(self.score, 6),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Event:
        """Return the event of a record read back; keys that are not the event's own are ignored."""
        return cls(**{field.name: document[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class GapRecord:
    """A break in the stream.

    Attributes
    ----------
    reason : {"lost", "unplug", "reboot", "overrun"}
        What happened.
    seq, t_us : int
        Index and device time (microseconds) of the first frame behind the gap.
    n_missing : int or None
        Frames missing; None when unknown (the device booted).
    action : {"filled", "reset"}
        What the pipeline did: gaps up to the model's ``max_gap_ms`` are filled, longer ones reset.
    """

    reason: str
    seq: int
    t_us: int
    n_missing: int | None
    action: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record's own keys, in order."""
        return {
            "type": "gap",
            "reason": self.reason,
            "seq": self.seq,
            "t_us": self.t_us,
            "n_missing": self.n_missing,
            "action": self.action,
        }


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters of a run, given at its end.

    Attributes
    ----------
    values : dict
        Plain numbers and dicts of them, JSON-ready.
    """

    values: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the record's own keys, in order."""
        return {"type": "stats", **self.values}


Record: TypeAlias = Event | GapRecord | Stats


class Printable(Protocol):
    """What has a form as one line of JSON: a `Record`, or an explanation of some."""

    def to_dict(self) -> dict[str, Any]:
        """Return its own keys, in order; the first is ``type``."""
        ...


def to_json_line(record: Printable, *, stream: str = "", model: str = "") -> str:
    """Return a record as one line of JSON without the newline.

    Parameters
    ----------
    record : Record, or another `Printable`
    stream : str
        Name of the stream; the key is left out when empty.
    model : str
        ``sha256:...`` of the model file; the key is left out when empty.
    """
    document: dict[str, Any] = {"v": RECORD_VERSION, **record.to_dict()}
    if stream:
        document["stream"] = stream
    if model:
        document["model"] = model
    return _ENCODER.encode(document)
