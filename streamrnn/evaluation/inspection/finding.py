"""What an inspection finds, and how the same thing in many recordings becomes one finding."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
#: From the worst; findings are given in this order.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
#: Places that a finding keeps, of as many as there are.
MAX_PLACES = 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was seen.

    Attributes
    ----------
    session : str
        What the recording is called; ``""`` where it is of all of them.
    channel : str
        ``""`` where it is of no single one.
    t_s : float or None
        Seconds from the recording's first frame; None where it is of no moment.
    """

    session: str
    channel: str = ""
    t_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        t_s = None if self.t_s is None else round(self.t_s, 6)
        return {"session": self.session, "channel": self.channel, "t_s": t_s}


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a check found something, and how much of it.

    Attributes
    ----------
    place : Place
    value : float
        What it counts or measures, by kind.
    """

    place: Place
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a user should know of.

    Attributes
    ----------
    severity : {"error", "warning", "note"}
        ``error``: training refuses, or scores will not be true. ``warning``: the model will be
        worse, or worse than it looks. ``note``: good to know.
    kind : str
        What it is, one word or two joined by a dash; stable, for programs.
    what, means, todo : str
        What was seen, what follows from it, and what to do: a line each.
    places : tuple of Place
        Some of the places, the first first.
    n_places : int
        How many there are.
    """

    severity: Severity
    kind: str
    what: str
    means: str
    todo: str
    places: tuple[Place, ...] = ()
    n_places: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {
            "severity": self.severity,
            "kind": self.kind,
            "what": self.what,
            "means": self.means,
            "todo": self.todo,
            "places": [place.to_dict() for place in self.places],
            "n_places": self.n_places,
        }


def finding(
    severity: Severity, kind: str, what: str, *, means: str, todo: str, at: Sequence[Place] = ()
) -> Finding:
    """Return a finding that keeps no more places than `MAX_PLACES`."""
    return Finding(severity, kind, what, means, todo, tuple(at[:MAX_PLACES]), len(at))


def in_sessions(places: Sequence[Place], n_sessions: int) -> str:
    """Return ``in 3 of 10 recordings``; nothing where there is but one recording."""
    n = len({place.session for place in places})
    if n_sessions == 1:
        return ""
    return f" in {n} of {n_sessions} recordings" if n < n_sessions else " in every recording"


def counted(n: float, one: str, many: str = "") -> str:
    """Return ``1 frame`` or ``3 frames``."""
    return f"{n:g} {one}" if n == 1 else f"{n:,.0f} {many or one + 's'}"


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return ``a, b, c`` or ``a, b and 7 more``."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def plain(name: str) -> str:
    """Return a name without case, accents, blanks and marks."""
    letters = unicodedata.normalize("NFKD", name).casefold()
    return "".join(c for c in letters if c.isalnum())


def most_common(values: Sequence[Any]) -> Any:
    """Return the value that occurs most often, the first of those in case of a tie."""
    return Counter(values).most_common(1)[0][0]
