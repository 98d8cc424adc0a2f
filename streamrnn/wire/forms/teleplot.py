"""Teleplot's lines: one variable each.

Source of the format: the README of Teleplot (github.com/nesnes/teleplot), "Telemetry Format":
``name:value``, ``name:timestamp_ms:value``, several of these by ``;``, then ``§unit``, then
``|flags``. On a serial port each line begins with ``>``; in a datagram it does not, and there ``>``
begins a log line.
"""

from __future__ import annotations

import re

from streamrnn.wire.forms.lines import (
    JUNK,
    MAX_LINE,
    NAME,
    NOTE,
    NUMBER,
    OVERSIZE,
    Reading,
    are_numbers,
)

_VALUE = rb"(?:" + NUMBER + rb":)?+" + NUMBER
_VALUES = re.compile(
    rb"(?P<name>" + NAME + rb"):(?P<values>" + _VALUE + rb"(?:;" + _VALUE + rb")*+);?+"
    rb"(?:\xc2?+\xa7(?P<unit>[^|]*+))?+(?:\|(?P<flags>.*+))?+",
    re.DOTALL,
)
#: What only Teleplot writes behind a number; without it a line without ``>`` is none of its own.
_MARKS = re.compile(rb"[|\xa7]|:[^:]*+:", re.DOTALL)
#: Flags of values that are no channel: text, and pairs for a plot of y over x.
_OTHER_FLAGS = {b"t", b"xy"}


def read(line: bytes) -> Reading | int:
    """Return the samples of a line's variable, or what is wrong with it.

    Text, logs, pairs and shapes are NOTE.
    """
    if len(line) > MAX_LINE:
        return OVERSIZE
    is_marked = line.startswith(b">")
    body = line[1:] if is_marked else line
    match = _VALUES.fullmatch(body)
    if match is None:
        flags = set(line.rpartition(b"|")[2].split(b",")) if b"|" in line else set()
        return NOTE if is_marked or flags & _OTHER_FLAGS else JUNK
    if not is_marked and not _MARKS.search(body):
        return JUNK
    if _OTHER_FLAGS & set((match["flags"] or b"").split(b",")):
        return NOTE
    pairs = [pair.split(b":") for pair in match["values"].strip(b";").split(b";")]
    if len({len(pair) for pair in pairs}) > 1:
        return JUNK
    values = [float(pair[-1]) for pair in pairs]
    stamps = [float(pair[0]) for pair in pairs] if len(pairs[0]) == 2 else []
    if not are_numbers(values):
        return JUNK
    return Reading((match["name"],), values, stamps, match["unit"] or b"")
