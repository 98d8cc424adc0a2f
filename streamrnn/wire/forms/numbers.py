"""Plain numbers, a line a frame, and the header line that may name them.

It reads a line as the compiled reader of `streamrnn.wire.text` does, which takes over where no
column needs more digits than a float32 has.
"""

from __future__ import annotations

import re

from streamrnn.wire.forms.lines import JUNK, MAX_LINE, OVERSIZE, Reading, are_numbers

_CHARACTERS = re.compile(rb"[-+.0-9eE,; \t]++")
_LETTER = re.compile(rb"[A-Za-z_\x80-\xff]")
_LABELS = re.compile(rb"(?:[^\x00-\x20,;:]++:[ \t,;]*+)++")


def read(line: bytes) -> Reading | int:
    """Return the numbers of a line, or what is wrong with it."""
    if len(line) > MAX_LINE:
        return OVERSIZE
    if not _CHARACTERS.fullmatch(line):
        return JUNK
    parts = line.replace(b";", b",").split(b",")
    if len(parts) == 1:
        parts = line.split()
    elif not parts[-1].strip():
        parts.pop()
    try:
        values = _floats(parts)
    except ValueError:
        return JUNK
    return Reading((), values) if are_numbers(values) else JUNK


def _floats(parts: list[bytes]) -> list[float]:
    try:
        return list(map(float, parts))
    except ValueError:
        words: list[bytes] = []
        for part in parts:
            words += part.split() or [b""]
        return list(map(float, words))


def header(line: bytes, n: int) -> tuple[bytes, ...]:
    """Return the n names in a line, or nothing if it is no header.

    Names are separated by commas, semicolons or tabs, or each ends in a colon (the Arduino
    plotter's labels). Words with only spaces between may be anything that a board says at boot.
    """
    if len(line) > MAX_LINE:
        return ()
    if _LABELS.fullmatch(line):
        names = [part.strip(b" \t,;") for part in line.split(b":")[:-1]]
    else:
        separator = next((c for c in (b",", b";", b"\t") if c in line), b"")
        if not separator or b":" in line:
            return ()
        names = [part.strip() for part in line.split(separator)]
        if not names[-1]:
            names.pop()
    is_header = len(names) == n == len(set(names)) and all(map(_LETTER.search, names))
    return tuple(names) if is_header else ()
