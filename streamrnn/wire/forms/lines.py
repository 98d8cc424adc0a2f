"""Bytes to whole lines, and what all forms know of a line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: Longest line of plain numbers or of one variable, in bytes without its end.
MAX_LINE = 512
#: Longest line that repeats the names of its values: 256 of 16 bytes, as much as a packet.
MAX_NAMED_LINE = 4096
#: Largest value of a channel: what a float32 holds.
MAX_VALUE = 3.4028235677973365e38

#: A number, for use inside other expressions; it never reads a byte twice.
NUMBER = rb"[-+]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][-+]?+\d++)?+"
#: A name: no blank, no separator, and something in it that no number has.
NAME = rb"[^A-Za-z_\x80-\xff\x00-\x20,;:|]*+[A-Za-z_\x80-\xff][^\x00-\x20,;:|]*+"

# What a form says of a line that holds no values for it.
JUNK, BAD_CHECKSUM, OVERSIZE, NOTE, BLANK = range(5)


@dataclass(slots=True)
class Reading:
    """The values of a line.

    Attributes
    ----------
    names : tuple of bytes
        Their names; empty for plain numbers.
    values : list of float
    stamps : list of float
        What the line itself says of their time, in ms; empty: nothing.
    unit : bytes
        Of all of them, as far as the line says it.
    """

    names: tuple[bytes, ...]
    values: list[float]
    stamps: list[float] = field(default_factory=list)
    unit: bytes = b""


class LineSplitter:
    """Cut bytes into lines, which end in LF, CR or both.

    What is unfinished is kept up to `MAX_NAMED_LINE` bytes; a longer line becomes None.
    """

    def __init__(self) -> None:
        self._tail = bytearray()
        self._is_too_long = False

    def take(self, data: bytes) -> list[bytes | None]:
        """Return the lines that `data` ends, without empty ones."""
        data = data.replace(b"\r", b"\n")
        if b"\n" not in data:
            self._keep(data)
            return []
        lines: list[bytes | None] = []
        first, *more, tail = data.split(b"\n")
        self._keep(first)
        if self._is_too_long:
            lines.append(None)
        elif self._tail:
            lines.append(bytes(self._tail))
        lines += [line if len(line) <= MAX_NAMED_LINE else None for line in more if line]
        self.forget()
        self._keep(tail)
        return lines

    def forget(self) -> None:
        """Forget the unfinished line."""
        self._tail.clear()
        self._is_too_long = False

    def _keep(self, data: bytes) -> None:
        if not self._is_too_long and len(self._tail) + len(data) <= MAX_NAMED_LINE:
            self._tail += data
        else:
            self._tail.clear()
            self._is_too_long = True


def payload(line: bytes) -> bytes | int:
    """Return a line without blanks around it, ``$`` and ``*HH``, or what is wrong with it.

    NMEA 0183: HH is the exclusive or of all characters between ``$`` and ``*``.
    """
    line = line.rstrip(b" \t")
    has_dollar = line.startswith(b"$")
    if line[-3:-2] == b"*":
        body = line[has_dollar:-3]
        parity = 0
        for c in body:
            parity ^= c
        digits = line[-2:]
        is_hex = re.fullmatch(rb"[0-9a-fA-F]{2}", digits)
        if not is_hex or int(digits, 16) != parity:
            return BAD_CHECKSUM
        line = body
    elif has_dollar:
        return JUNK
    return line.strip(b" \t") or BLANK


def are_numbers(values: list[float]) -> bool:
    """Return whether each value fits into a float32."""
    return -MAX_VALUE <= min(values) and max(values) <= MAX_VALUE
