"""JSON lines: an object of numbers, or an array of numbers, a line a frame (RFC 8259)."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from streamrnn.wire.forms.lines import JUNK, MAX_NAMED_LINE, OVERSIZE, Reading, are_numbers
from streamrnn.wire.options import MAX_COLUMNS


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


# An object becomes a tuple of pairs, an array a list: so doubled keys are seen, and the two differ.
_DECODER = json.JSONDecoder(
    object_pairs_hook=tuple, parse_int=float, parse_constant=_no_constant, strict=True
)


def read(line: bytes) -> Reading | int:
    """Return the numbers of a line, or what is wrong with it.

    An object or array inside an object gives ``acc_x`` or ``acc_0``; deeper ones make the line
    junk. Whatever is no number (a string, a boolean, null) is no channel.
    """
    if len(line) > MAX_NAMED_LINE:
        return OVERSIZE
    # A line that nests deeper than one level is not worth a recursion.
    if line[:1] not in b"{[" or line.count(b"[") + line.count(b"{") > 1 + MAX_COLUMNS:
        return JUNK
    try:
        document = _DECODER.decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return JUNK
    names: list[str] = []
    values: list[float] = []
    if isinstance(document, list):
        if not document or not all(type(value) is float for value in document):
            return JUNK
        values = document
    elif not isinstance(document, tuple) or not _flatten(document, names, values):
        return JUNK
    if not values or not are_numbers(values):
        return JUNK
    return Reading(tuple(name.encode("utf-8", "backslashreplace") for name in names), values)


def _flatten(pairs: tuple[Any, ...], names: list[str], values: list[float]) -> bool:
    """Append the numbers of an object; return False if it is nested too deep."""
    for key, value in pairs:
        if type(value) is float:
            names.append(key)
            values.append(value)
        elif isinstance(value, list | tuple):
            inner = value if isinstance(value, tuple) else enumerate(value)
            for more, number in inner:
                if isinstance(number, list | tuple):
                    return False
                if type(number) is float:
                    names.append(f"{key}_{more}")
                    values.append(number)
    return True
