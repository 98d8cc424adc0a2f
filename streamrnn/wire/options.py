"""What a user may say of a byte stream that cannot, or need not, be found out by reading it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean, printable

#: Forms of a stream; all but the first two are text.
FORMATS = ("auto", "wire", "numbers", "named", "teleplot", "json")
#: Most columns of a text stream, and characters of a name or a unit; as in a HELLO.
MAX_COLUMNS = 256
MAX_NAME = 64
#: Microseconds of a time column's units.
TIME_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000}
#: Widths of a counter that wraps around.
SEQ_BITS = (8, 16, 32)

_MAX_RATE_HZ = 1e6
#: What they are called in a URL.
KEYS = ("format", "rate", "names", "units", "time", "seq")
_UNIT_OF_NAME = re.compile(
    r"(?:.*_|timestamp(?=.s)|time(?=.s))?(us|ms|s|micros|millis|seconds)", re.IGNORECASE
)
_LONG_UNITS = {"micros": "us", "millis": "ms", "seconds": "s"}


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Options of a byte stream, whatever link carries it.

    All but `format` and `rate_hz` are for text; a wire stream says these things itself.

    Attributes
    ----------
    format : {"auto", "wire", "numbers", "named", "teleplot", "json"}
        The form of the stream; "auto": find out.
    rate_hz : float
        Frames a second; 0.0 when unknown. For a stream that does not say it itself.
    names : tuple of str
        The columns of a line, in order, for plain numbers and JSON arrays. In the other forms:
        which of the named values to take, and in what order. Empty: all, as the stream says.
    units : tuple of str
        Units of the channels, in order: of the columns without time and sequence.
    time_column, seq_column : str
        Name of the column that holds the device's clock, or its counter of frames; for plain
        numbers and JSON arrays also its index from 0. Empty: as the names of the columns say.
    time_unit : {"", "us", "ms", "s"}
        Of the time column; empty: as its name says.
    seq_bits : {0, 8, 16, 32}
        Width of the counter; 0: as its values say.

    Raises
    ------
    ConfigError
        A value that makes no sense.
    """

    format: str = "auto"
    rate_hz: float = 0.0
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    time_column: str = ""
    time_unit: str = ""
    seq_column: str = ""
    seq_bits: int = 0

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            near = did_you_mean(self.format, FORMATS)
            raise ConfigError(
                f"format={printable(self.format)} is no format{near}: use {', '.join(FORMATS)}"
            )
        if not (self.rate_hz == 0 or 0.001 <= self.rate_hz <= _MAX_RATE_HZ):
            raise ConfigError(f"rate={self.rate_hz:g} must be 0.001..{_MAX_RATE_HZ:.0f} Hz")
        _check_names("names", self.names)
        if len(set(self.names)) != len(self.names) or "" in self.names:
            raise ConfigError("names= must give each column a name of its own")
        _check_names("units", self.units)
        if self.time_unit not in ("", *TIME_UNITS):
            raise ConfigError(
                f"time={self.time_column}:{printable(self.time_unit)}: "
                f"the unit of time is {', '.join(TIME_UNITS)}"
            )
        if self.time_column and not self.time_unit and not unit_of_time(self._time_name()):
            raise ConfigError(
                f"time={printable(self.time_column)} does not say its unit: "
                f"write time={printable(self.time_column)}:us, :ms or :s"
            )
        if self.seq_bits not in (0, *SEQ_BITS):
            raise ConfigError(f"seq= counts with 8, 16 or 32 bits, got {self.seq_bits}")
        if self.time_column and self.time_column == self.seq_column:
            raise ConfigError(f"time= and seq= both name {printable(self.time_column)}")
        if self.format == "wire" and any(
            (self.names, self.units, self.time_column, self.seq_column)
        ):
            raise ConfigError(
                "format=wire takes no names=, units=, time= or seq=: the packets say them"
            )

    def _time_name(self) -> str:
        """Return what the time column is called, as far as that is known."""
        column = self.time_column
        index = int(column) if column.isdecimal() and len(column) < 4 else MAX_COLUMNS
        return self.names[index] if index < len(self.names) else column


def unit_of_time(name: str) -> str:
    """Return the unit that the name of a time column ends in, or ``""``."""
    match = _UNIT_OF_NAME.fullmatch(name)
    if match is None:
        return ""
    unit = match[1].lower()
    return _LONG_UNITS.get(unit, unit)


def split(query: Mapping[str, str]) -> tuple[StreamOptions, dict[str, str]]:
    """Return the stream's options of a URL, and the rest, which is for the link.

    Parameters
    ----------
    query : mapping of str to str
        What stands behind the ``?``, decoded.

    Raises
    ------
    ConfigError
        An option of the stream that makes no sense.
    """
    time_column, time_unit = _column("time", query)
    seq_column, bits = _column("seq", query)
    if bits and bits not in map(str, SEQ_BITS):
        raise ConfigError(f"seq={printable(seq_column)}:{printable(bits)}: use :8, :16 or :32 bits")
    options = StreamOptions(
        format=query.get("format", "auto"),
        rate_hz=_rate_hz(query["rate"]) if "rate" in query else 0.0,
        names=_listed(query.get("names", "")),
        units=_listed(query.get("units", "")),
        time_column=time_column,
        time_unit=time_unit,
        seq_column=seq_column,
        seq_bits=int(bits or 0),
    )
    return options, {key: value for key, value in query.items() if key not in KEYS}


def _rate_hz(text: str) -> float:
    try:
        rate_hz = float(text)
    except ValueError:
        rate_hz = math.nan
    if not rate_hz > 0:
        raise ConfigError(f"rate={printable(text)} is no number of frames a second")
    return rate_hz


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


def _column(key: str, query: Mapping[str, str]) -> tuple[str, str]:
    """Return the column that an option names, and what stands behind its colon."""
    if key not in query:
        return "", ""
    column, colon, more = query[key].rpartition(":")
    column, more = (column, more) if colon else (more, "")
    if not column or (colon and not more):
        raise ConfigError(
            f"{key}={printable(query[key])} must name a column, as in {key}="
            + ("t_ms:ms" if key == "time" else "counter:16")
        )
    return column, more


def _check_names(key: str, names: tuple[str, ...]) -> None:
    if len(names) > MAX_COLUMNS:
        raise ConfigError(f"{key}= lists {len(names)}; {MAX_COLUMNS} columns are the most")
    for name in names:
        if printable(name, MAX_NAME) != name:
            raise ConfigError(
                f"{key}={printable(name, MAX_NAME)}: at most {MAX_NAME} printable characters each"
            )
