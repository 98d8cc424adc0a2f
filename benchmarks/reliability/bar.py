"""What every bar has in common: its form, its outcome, and what it keeps while it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: A long bar says where it is this often.
SAY_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is asked of the product.

    Attributes
    ----------
    asked : str
        In words, with the limit.
    figure : str
        What was measured, in words.
    is_met : bool
    """

    asked: str
    figure: str
    is_met: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of a bar.

    Attributes
    ----------
    checks : sequence of Check
    rows : sequence of mappings
        A table for the reader; the keys of the first are its columns.
    settings : mapping
        What was run.
    figures : mapping
        The numbers behind checks and rows, JSON-ready.
    notes : sequence of str
        What a reader must know.
    """

    checks: Sequence[Check]
    rows: Sequence[Mapping[str, Any]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "checks": [
                {"asked": c.asked, "figure": c.figure, "is_met": bool(c.is_met)}
                for c in self.checks
            ],
            "rows": [dict(row) for row in self.rows],
            "settings": dict(self.settings),
            "figures": dict(self.figures),
            "notes": list(self.notes),
        }


@dataclass(slots=True)
class Form:
    """How a bar is run.

    Attributes
    ----------
    is_quick : bool
        A check in seconds, not the figures.
    folder : Path
        Scratch space; removed behind the bar.
    kept : Path
        File for what is done so far.
    """

    is_quick: bool
    folder: Path
    kept: Path
    _said_s: float = 0.0

    def pick(self, quick: Any, full: Any) -> Any:
        """Return one of the two, by the form."""
        return quick if self.is_quick else full

    def say(self, text: str, *, now: bool = False) -> None:
        """Print where a long bar is, at most every `SAY_EVERY_S`."""
        now_s = time.monotonic()
        if now or now_s - self._said_s >= SAY_EVERY_S:
            self._said_s = now_s
            print(f"  {text}", flush=True)

    def load(self) -> dict[str, Any]:
        """Return what an interrupted run of this bar had done; an empty mapping at first."""
        if not self.kept.exists():
            return {}
        done: dict[str, Any] = json.loads(self.kept.read_text(encoding="utf-8"))
        return done

    def save(self, done: Mapping[str, Any]) -> None:
        """Keep what is done so far."""
        replace_text(self.kept, json.dumps(done) + "\n")


#: A bar: from its form to its outcome.
Bar = Callable[[Form], Outcome]


def replace_text(path: Path, text: str) -> None:
    """Write a file at once, so that a kill leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def count_text(n: int) -> str:
    """Return a count for people: 1,234 or 1e8."""
    return f"{n:,}"


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p99 (nearest rank, so a value that was seen) and max."""
    ordered = sorted(values)
    rank = max(0, -(-99 * len(ordered) // 100) - 1)
    return {"p50": ordered[(len(ordered) - 1) // 2], "p99": ordered[rank], "max": ordered[-1]}
