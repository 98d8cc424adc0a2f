"""Bytes and JSON documents, damaged."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

#: Numbers that a length, a size or a time may claim to be.
NUMBERS = (
    0,
    1,
    2,
    7,
    127,
    255,
    256,
    65_535,
    1 << 20,
    1 << 31,
    (1 << 32) - 1,
    1 << 63,
    (1 << 64) - 1,
)
#: What is put where a document says something else.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1 << 31, 1 << 63, -(1 << 70), 10**400, 0.0, -0.5, 1e-320, 1e308,
    float("nan"), float("inf"), "", "x", "\0", "\x1b[2J\x1b]0;x\x07", "../../etc/passwd", "é" * 300,
    "y" * 100_000, [], {}, [None], [[]], {"": 0}, {"a": {"b": {"c": []}}}, [0] * 5_000,
    ["x"] * 3_000, "none", "float64", "zstd",
)  # fmt: skip


def plain(data: bytes, draw: random.Random) -> bytes:
    """Damage bytes: overwritten, flipped, lost, doubled, cut."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        if not out:
            return bytes(out)
        # Most of what matters stands at the front.
        span = len(out) if draw.random() < 0.5 else min(len(out), 600)
        at, n = draw.randrange(span), draw.choice((1, 1, 2, 4, 8, 64))
        what = draw.randrange(6)
        if what == 0:
            out[at] ^= 1 << draw.randrange(8)
        elif what == 1:
            out[at : at + n] = draw.randbytes(n)
        elif what == 2:
            del out[at : at + n]
        elif what == 3:
            out[at:at] = out[at : at + n]
        elif what == 4:
            number = draw.choice(NUMBERS)
            size = draw.choice((4, 8))
            out[at : at + size] = (number & ((1 << (8 * size)) - 1)).to_bytes(size, "little")
        else:
            del out[draw.randrange(len(out)) :]
    return bytes(out)


def json_text(document: Any, draw: random.Random) -> bytes:
    """Return JSON, now and then nested far too deep."""
    text = json.dumps(document)
    if draw.random() < 0.03:
        depth = draw.choice((100, 5_000, 100_000))
        text = text[:-1] + ', "deep": ' + "[" * depth + "]" * depth + "}"
    return text.encode()


def warped(document: Any, draw: random.Random) -> Any:
    """Return a document with one to three of its places changed."""
    document = json.loads(json.dumps(document))
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        places = list(_places(document))
        if not places:
            return document
        holder, key = draw.choice(places)
        what = draw.randrange(5)
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, dict):
            holder[draw.choice(("", "extra", "__class__", "x" * 300))] = holder.pop(key)
        elif what == 2:
            other_holder, other_key = draw.choice(places)
            holder[key] = json.loads(json.dumps(other_holder[other_key]))
        elif what == 3 and isinstance(holder[key], float):
            holder[key] *= draw.choice((-1, 2, 1e3, 1e9, 1e-9))
        else:
            holder[key] = copy.deepcopy(draw.choice(VALUES))
    return document


def _keys(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def _places(value: Any) -> Any:
    if isinstance(value, dict | list):
        for key in list(_keys(value)):
            yield value, key
            yield from _places(value[key])
