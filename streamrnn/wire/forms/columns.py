"""What the columns of text lines mean: channels, the device's clock, its counter of frames."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from streamrnn.core.text import printable
from streamrnn.core.types import Channel
from streamrnn.wire.forms.lines import Reading
from streamrnn.wire.options import (
    MAX_COLUMNS,
    MAX_NAME,
    TIME_UNITS,
    StreamOptions,
    unit_of_time,
)

#: Names that say that a column is a clock, and in what unit.
_CLOCK = re.compile(
    r"(t|ts|time|timestamp|uptime)_(us|ms|s)|(time|timestamp)(us|ms)|micros|millis", re.IGNORECASE
)
#: ... and those that say so together with a unit of time.
_CLOCK_WITH_UNIT = re.compile(r"t|time|timestamp", re.IGNORECASE)
#: Names that say that a column counts frames, when it holds whole numbers that grow ...
_SEQ = re.compile(
    r"seq|seq_?(no|num|nr)|sequence(_number)?|(frame|sample|packet)_?(no|num|nr|number|counter)",
    re.IGNORECASE,
)
#: ... and those that may say so, when they grow by one each line.
_PERHAPS_SEQ = re.compile(r"counter|sample|frame", re.IGNORECASE)
_WITH_UNIT = re.compile(r"(.*?\S)\s*[(\[]([^()\[\]]*)[)\]]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in a line what stands.

    Attributes
    ----------
    channels : tuple of Channel
    picks : tuple of int
        Of each channel, the index of its value.
    clock : int
        Index of the device's clock; -1: none.
    clock_unit : {"us", "ms", "s"}
    seq : int
        Index of the counter of frames; -1: none.
    seq_bits : {0, 8, 16, 32}
        0: as its values say.
    has_stamps : bool
        The lines say their time beside their values, in ms, and no column is a clock.
    """

    channels: tuple[Channel, ...]
    picks: tuple[int, ...]
    clock: int = -1
    clock_unit: str = "us"
    seq: int = -1
    seq_bits: int = 0
    has_stamps: bool = False

    @property
    def is_plain(self) -> bool:
        """True if each value is a channel."""
        return self.clock < 0 and self.seq < 0 and not self.has_stamps


class LayoutError(Exception):
    """What the user says of the columns does not fit the lines that come."""


def lay_out(
    readings: Sequence[Reading],
    names: Sequence[bytes],
    units: dict[bytes, bytes],
    options: StreamOptions,
) -> Layout:
    """Return what the columns of lines mean.

    Parameters
    ----------
    readings : sequence of Reading
        Neighbouring lines, which agree.
    names : sequence of bytes
        Names of their values, or nothing.
    units : dict of bytes to bytes
        What the lines say of units, by name.
    options : StreamOptions

    Raises
    ------
    LayoutError
        The options do not fit, or the names are not unique; the message says so to the user.
    """
    n_values = len(readings[0].values)
    if n_values > MAX_COLUMNS:
        raise LayoutError(f"{n_values} values a line are more than {MAX_COLUMNS}")
    titles = [_title(name, units.get(name, b"")) for name in names]
    columns = list(range(n_values))
    if options.names and titles:
        columns = [_find(name, titles, n_values) for name in options.names]
    elif options.names:
        if len(options.names) != n_values:
            raise LayoutError(f"names= lists {len(options.names)}, but lines hold {n_values}")
        titles = [Channel(name) for name in options.names]
    clock, clock_unit = _find_clock(readings, titles, options)
    seq = _find_seq(readings, titles, options)
    if not options.time_column and not options.seq_column and {*columns} <= {clock, seq}:
        clock = seq = -1
    picks = tuple(column for column in columns if column not in (clock, seq))
    if not picks:
        raise LayoutError("no channel is left beside time and sequence")
    channels = [titles[i] if titles else Channel(f"ch{k}") for k, i in enumerate(picks)]
    return Layout(
        _with_units(channels, options),
        picks,
        clock,
        clock_unit,
        seq,
        options.seq_bits,
        has_stamps=clock < 0 and all(reading.stamps for reading in readings),
    )


def tells_place(name: bytes) -> bool:
    """Return whether a name may be that of a clock or a counter of frames."""
    text = _decoded(name)
    return any(pattern.fullmatch(text) for pattern in (_CLOCK, _SEQ, _PERHAPS_SEQ))


def _title(name: bytes, unit: bytes) -> Channel:
    """Return a column's name and unit, safe to show; the name may hold the unit: ``Time (s)``."""
    text, more = _decoded(name), _decoded(unit)
    match = None if more else _WITH_UNIT.fullmatch(text)
    return Channel(match[1], match[2]) if match else Channel(text, more)


def _decoded(text: bytes) -> str:
    return printable(text.decode("utf-8", "backslashreplace").strip(), MAX_NAME)


def _with_units(channels: list[Channel], options: StreamOptions) -> tuple[Channel, ...]:
    if options.units:
        if len(options.units) != len(channels):
            raise LayoutError(
                f"units= lists {len(options.units)}, but there are {len(channels)} channels"
            )
        pairs = zip(channels, options.units, strict=True)
        channels = [Channel(channel.name, unit) for channel, unit in pairs]
    names = [channel.name for channel in channels]
    for name in names:
        if names.count(name) > 1:
            raise LayoutError(f"two channels are called {name}")
    return tuple(channels)


def _find(column: str, titles: list[Channel], n_values: int) -> int:
    """Return the index of a column that the user named."""
    names = [title.name for title in titles]
    if column in names:
        return names.index(column)
    if column.isdecimal() and len(column) < 4 and int(column) < n_values:
        return int(column)
    known = f"there are {printable(', '.join(names))}" if names else f"it has {n_values} values"
    raise LayoutError(f"a line has no column {column!r}: {known}")


def _find_clock(
    readings: Sequence[Reading], titles: list[Channel], options: StreamOptions
) -> tuple[int, str]:
    """Return index and unit of the device's clock."""
    if options.time_column:
        index = _find(options.time_column, titles, len(readings[0].values))
        name = titles[index].name if titles else options.time_column
        return index, options.time_unit or unit_of_time(name) or "us"
    for index, title in enumerate(titles):
        unit = title.unit if title.unit in TIME_UNITS else ""
        if _CLOCK.fullmatch(title.name):
            unit = unit_of_time(title.name) or title.name.lower()[-2:]
        elif not _CLOCK_WITH_UNIT.fullmatch(title.name):
            continue
        if unit in TIME_UNITS and all(reading.values[index] >= 0 for reading in readings):
            return index, unit
    return -1, "us"


def _find_seq(readings: Sequence[Reading], titles: list[Channel], options: StreamOptions) -> int:
    """Return the index of the counter of frames."""
    if options.seq_column:
        return _find(options.seq_column, titles, len(readings[0].values))
    for index, title in enumerate(titles):
        is_sure = _SEQ.fullmatch(title.name)
        if not is_sure and not _PERHAPS_SEQ.fullmatch(title.name):
            continue
        values = [reading.values[index] for reading in readings]
        steps = [b - a for a, b in pairwise(values)]
        if not all(value >= 0 and value.is_integer() for value in values):
            continue
        if is_sure or all(step == 1 for step in steps):
            return index
    return -1
