"""``name:value`` pairs, as the Arduino IDE's serial plotter takes them.

Source of the format: "SerialPlotter protocol" in the repository of the Arduino IDE 1.8
(build/shared/ArduinoSerialPlotterProtocol.md). Comma, space and tab separate; a semicolon is let
pass.
"""

from __future__ import annotations

import re

from streamrnn.wire.forms.lines import (
    JUNK,
    MAX_NAMED_LINE,
    NAME,
    NUMBER,
    OVERSIZE,
    Reading,
    are_numbers,
)

_PAIRS = re.compile(
    rb"(?:" + NAME + rb"[ \t]*+:[ \t]*+" + NUMBER + rb"(?:[ \t]*+[,;][ \t]*+|[ \t]++|\Z))++"
)
_TO_BLANKS = bytes.maketrans(b",;:", b"   ")


def read(line: bytes) -> Reading | int:
    """Return the named numbers of a line, or what is wrong with it."""
    if len(line) > MAX_NAMED_LINE:
        return OVERSIZE
    if line[:1] == b">" or not _PAIRS.fullmatch(line):  # Teleplot's
        return JUNK
    words = line.translate(_TO_BLANKS).split()
    values = list(map(float, words[1::2]))
    return Reading(tuple(words[::2]), values) if are_numbers(values) else JUNK
