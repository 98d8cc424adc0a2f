"""Hostile CSV and TOML: cells, heads, keys and values that make no sense."""

from __future__ import annotations

import json
import random

from benchmarks.reliability.hostile.plain import VALUES

_CELLS = (
    b"", b"nan", b"inf", b"1e400", b"-", b"x", b'"', b'"a', b"1,2", b"\0", b"0x10", b"1_000",
    b"\xff\xfe", b"9" * 400, b"=cmd()", b" ", b"1" * 50_000, "\u0661".encode(), b"-1e308",
)  # fmt: skip


def table(good: bytes, draw: random.Random) -> bytes:
    """Put other things into cells, lines and the head."""
    lines = [line.split(b",") for line in good.split(b"\n")]
    for _ in range(draw.choice((1, 1, 3, 30))):
        line = draw.choice(lines if draw.random() < 0.7 else lines[:1])
        what = draw.randrange(4)
        if what == 0:
            line[draw.randrange(len(line))] = draw.choice(_CELLS)
        elif what == 1:
            line.append(draw.choice(_CELLS))
        elif what == 2:
            lines.insert(draw.randrange(len(lines)), draw.choice(lines))
        else:
            line[:] = [draw.choice((b"t", b"label", b"time", b"a", b"")) for _ in line]
    return b"\n".join(b",".join(line) for line in lines)


def settings(good: bytes, draw: random.Random) -> bytes:
    """Put other values behind keys, and other keys before values."""
    lines = good.decode().split("\n")
    for _ in range(draw.choice((1, 1, 2, 5))):
        at = draw.randrange(len(lines))
        key, _, value = lines[at].partition(" = ")
        what = draw.randrange(4)
        if what == 0:
            other = draw.choice(VALUES)
            text = (
                repr(other) if isinstance(other, float) else json.dumps(other, ensure_ascii=False)
            )
            lines[at] = f"{key} = {text}"
        elif what == 1:
            lines[at] = f"{draw.choice(('epoch', 'hiden', '__x', 'a.b.c', ''))} = {value}"
        elif what == 2:
            lines.insert(draw.randrange(len(lines)), draw.choice(lines))
        else:
            lines[at] = draw.choice(("[[training]]", "[a.b]", "[", "x = " + "[" * 3_000, "= 1"))
    return "\n".join(lines).encode("utf-8", "surrogatepass")
