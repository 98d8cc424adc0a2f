"""Which column is the time, and in which unit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamrnn.core.errors import SessionError
from streamrnn.core.text import printable
from streamrnn.core.types import F64, I64
from streamrnn.sessions.csv_table import Table

#: Unit -> microseconds.
UNITS_US = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
_WORDS = {
    "s": "s", "sec": "s", "secs": "s", "seconds": "s", "second": "s",
    "ms": "ms", "msec": "ms", "millis": "ms", "milliseconds": "ms",
    "us": "us", "usec": "us", "micros": "us", "microseconds": "us",
    "ns": "ns", "nsec": "ns", "nanos": "ns", "nanoseconds": "ns",
}  # fmt: skip
_STEMS = {"t", "ts", "time", "timestamp", "timestamps", "elapsed"}
#: Without a name for it, the unit is the one that gives a rate of 5 to 5,000 Hz: only one can.
_SLOWEST_HZ, _FASTEST_HZ = 5.0, 5000.0
#: Seconds since 1970 that are not before 2001: such times are the host's, not the device's.
_EPOCH_S = 1e9


@dataclass(frozen=True, slots=True)
class Times:
    """Times of the rows.

    Attributes
    ----------
    t_us : int64 (N,)
        From 0.
    origin : float
        What the column says at the first row.
    unit_us : float
        Microseconds in one of the column's units.
    host_ns : int64 (N,)
        Nanoseconds since 1970 where the column tells them, else `t_us` in nanoseconds.
    """

    t_us: I64
    origin: float
    unit_us: float
    host_ns: I64


def unit_in_name(name: str) -> str | None:
    """Return the unit that a column's name ends in, None where it names none."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    return _WORDS.get(words[-1]) if words else None


def find_time_column(names: Sequence[str]) -> str | None:
    """Return the first column whose name says that it holds the time, None if there is none."""
    for name in names:
        words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
        stems = words[:-1] if len(words) > 1 and words[-1] in _WORDS else words
        alone = len(words) == 1 and words[0] in _WORDS and words[0] not in ("s", "ns")
        if alone or (stems and all(word in _STEMS for word in stems)):
            return name
    return None


def read_times(table: Table, column: str, unit: str | None) -> Times:
    """Return the times of a table's rows.

    Raises
    ------
    SessionError
        Time goes back (with the line), stands still, or its unit cannot be told.
    """
    values = table.numbers[column]
    steps = np.diff(values)
    back = np.flatnonzero(steps < 0)
    name = printable(column)
    if len(back):
        k = int(back[0])
        raise SessionError(
            f"{table.path} line {table.lines[k + 1]}, column {name!r}: "
            f"time goes back from {values[k]:.12g} to {values[k + 1]:.12g}"
        )
    if not steps.any():
        raise SessionError(f"{table.path}: time column {name!r} stands still at {values[0]:.12g}")
    unit_us = UNITS_US[unit or unit_in_name(column) or _guessed_unit(table, column, steps)]
    t_us = np.rint((values - values[0]) * unit_us).astype(np.int64)
    origin_s = values[0] * unit_us / 1e6
    known = _EPOCH_S <= origin_s < 9 * _EPOCH_S
    host_ns = t_us * 1000 + (round(origin_s * 1e9) if known else 0)
    return Times(t_us, float(values[0]), unit_us, host_ns)


def _guessed_unit(table: Table, column: str, steps: F64) -> str:
    usual = float(np.median(steps[steps > 0]))
    if usual == 1.0 and (steps == 1.0).all():
        raise SessionError(
            f"{table.path}: column {printable(column)!r} counts 1, 2, 3: say its unit "
            "(--time-unit ms), or drop it (--drop) and give --rate"
        )
    for unit, unit_us in UNITS_US.items():
        if 1e6 / _FASTEST_HZ < usual * unit_us <= 1e6 / _SLOWEST_HZ * (1 + 1e-6):
            return unit
    raise SessionError(
        f"{table.path}: the unit of time column {printable(column)!r} cannot be told from steps of "
        f"{usual:.6g}: say it (--time-unit s, ms, us or ns)"
    )
