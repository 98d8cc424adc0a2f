"""Hostile model files: safetensors whose header, description or weights lie."""

from __future__ import annotations

import json
import random
from typing import Any

from benchmarks.reliability.hostile.plain import NUMBERS, json_text, warped


def _split(good: bytes) -> tuple[dict[str, Any], bytes]:
    n = int.from_bytes(good[:8], "little")
    header: dict[str, Any] = json.loads(good[8 : 8 + n])
    return header, good[8 + n :]


def _join(header: bytes, tensors: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + tensors


def length(good: bytes, draw: random.Random) -> bytes:
    """Lie about the length of the header."""
    number = draw.choice((*NUMBERS, len(good), len(good) - 8, len(good) - 9))
    near = int.from_bytes(good[:8], "little") + draw.randrange(-20, 20)
    return (draw.choice((number, near)) & ((1 << 64) - 1)).to_bytes(8, "little") + good[8:]


def header(good: bytes, draw: random.Random) -> bytes:
    """Lie about tensors: names, dtypes, shapes, offsets."""
    header, tensors = _split(good)
    names = [name for name in header if name != "__metadata__"]
    entry = header[draw.choice(names)]
    what = draw.randrange(6)
    if what == 0:
        entry["dtype"] = draw.choice(
            ("F64", "F16", "BF16", "I64", "U8", "BOOL", "F32 ", "", 3, None)
        )
    elif what == 1:
        entry["shape"] = draw.choice(
            ([], [0], [-1], [1 << 40], [1 << 32, 1 << 32], [1.5], ["1"], "12", [[1]], [1] * 5_000)
        )
    elif what == 2:
        entry["data_offsets"] = draw.choice(
            (
                [0, 0],
                [0, len(tensors)],
                [len(tensors), 0],
                [-8, 8],
                [0],
                [0, 1 << 60],
                "0,4",
                [4, 8],
            )
        )
    elif what == 3:
        names = names[: draw.randrange(len(names))]
        header = {name: header[name] for name in ["__metadata__", *names] if name in header}
    elif what == 4:
        header[draw.choice(("extra", "", "w" * 2_000, "__metadata__"))] = dict(entry)
    else:
        header = warped(header, draw)
    return _join(json_text(header, draw), tensors)


def description(good: bytes, draw: random.Random) -> bytes:
    """Lie in the description."""
    header, tensors = _split(good)
    document = warped(json.loads(header["__metadata__"]["streamrnn"]), draw)
    header["__metadata__"]["streamrnn"] = json_text(document, draw).decode()
    return _join(json.dumps(header).encode(), tensors)


def weights(good: bytes, draw: random.Random) -> bytes:
    """Put numbers that are none among the weights, or bytes behind them."""
    header, tensors = _split(good)
    out = bytearray(tensors)
    at = 4 * draw.randrange(len(out) // 4)
    number = draw.choice((b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\0\0\x80\xff", b"\xff\xff\x7f\x7f"))
    out[at : at + 4] = number
    if draw.random() < 0.2:
        out += draw.randbytes(draw.choice((1, 4, 4096)))
    return _join(json.dumps(header).encode(), bytes(out))
