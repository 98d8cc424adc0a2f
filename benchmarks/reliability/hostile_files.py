"""Hostile files: good ones, broken with knowledge of their form or without.

Each mutant follows from its number alone, so that one that misbehaves can be made again.
"""

from __future__ import annotations

import copy
import json
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import lz4.frame
import zstandard

MAGIC = b"\x89MCAP0\r\n"
CHUNK = 6
_RECORD = struct.Struct("<BQ")
_CHUNK_HEAD = struct.Struct("<QQQI")
_NUMBERS = (
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
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1 << 31, 1 << 63, -(1 << 70), 10**400, 0.0, -0.5, 1e-320, 1e308,
    float("nan"), float("inf"), "", "x", "\0", "\x1b[2J\x1b]0;x\x07", "../../etc/passwd", "é" * 300,
    "y" * 100_000, [], {}, [None], [[]], {"": 0}, {"a": {"b": {"c": []}}}, [0] * 5_000,
    ["x"] * 3_000, "none", "float64", "zstd",
)  # fmt: skip


def mutant(kind: str, good: bytes, number: int) -> bytes:
    """Return mutant `number` of a good file."""
    draw = random.Random(number)
    makers = _MAKERS[kind]
    data = makers[number % len(makers)](good, draw)
    # Now and then plain damage on top of it.
    return plain(data, draw) if draw.random() < 0.1 else data


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
            number = draw.choice(_NUMBERS)
            size = draw.choice((4, 8))
            out[at : at + size] = (number & ((1 << (8 * size)) - 1)).to_bytes(size, "little")
        else:
            del out[draw.randrange(len(out)) :]
    return bytes(out)


# ---- JSON


def _text(document: Any, draw: random.Random) -> bytes:
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
            holder[key] = copy.deepcopy(draw.choice(_VALUES))
    return document


def _keys(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def _places(value: Any) -> Any:
    if isinstance(value, dict | list):
        for key in list(_keys(value)):
            yield value, key
            yield from _places(value[key])


# ---- models: safetensors


def _split_model(good: bytes) -> tuple[dict[str, Any], bytes]:
    n = int.from_bytes(good[:8], "little")
    header: dict[str, Any] = json.loads(good[8 : 8 + n])
    return header, good[8 + n :]


def _join_model(header: bytes, tensors: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + tensors


def _model_length(good: bytes, draw: random.Random) -> bytes:
    """Lie about the length of the header."""
    number = draw.choice((*_NUMBERS, len(good), len(good) - 8, len(good) - 9))
    near = int.from_bytes(good[:8], "little") + draw.randrange(-20, 20)
    return (draw.choice((number, near)) & ((1 << 64) - 1)).to_bytes(8, "little") + good[8:]


def _model_header(good: bytes, draw: random.Random) -> bytes:
    """Lie about tensors: names, dtypes, shapes, offsets."""
    header, tensors = _split_model(good)
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
    return _join_model(_text(header, draw), tensors)


def _model_document(good: bytes, draw: random.Random) -> bytes:
    """Lie in the description."""
    header, tensors = _split_model(good)
    document = warped(json.loads(header["__metadata__"]["streamrnn"]), draw)
    header["__metadata__"]["streamrnn"] = _text(document, draw).decode()
    return _join_model(json.dumps(header).encode(), tensors)


def _model_weights(good: bytes, draw: random.Random) -> bytes:
    """Put numbers that are none among the weights, or bytes behind them."""
    header, tensors = _split_model(good)
    out = bytearray(tensors)
    at = 4 * draw.randrange(len(out) // 4)
    number = draw.choice((b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\0\0\x80\xff", b"\xff\xff\x7f\x7f"))
    out[at : at + 4] = number
    if draw.random() < 0.2:
        out += draw.randbytes(draw.choice((1, 4, 4096)))
    return _join_model(json.dumps(header).encode(), bytes(out))


# ---- sessions: MCAP


def _records(data: bytes, at: int) -> list[tuple[int, bytes]]:
    out = []
    while at + _RECORD.size <= len(data):
        opcode, length = _RECORD.unpack_from(data, at)
        if at + _RECORD.size + length > len(data):
            break
        out.append((opcode, data[at + _RECORD.size : at + _RECORD.size + length]))
        at += _RECORD.size + length
    return out


def _join_records(records: list[tuple[int, bytes]]) -> bytes:
    return b"".join(_RECORD.pack(opcode, len(body)) + body for opcode, body in records)


def _session(records: list[tuple[int, bytes]]) -> bytes:
    return MAGIC + _join_records(records) + MAGIC


def _session_records(good: bytes, draw: random.Random) -> bytes:
    """Lose, double, exchange or rename whole records, or lie about a length."""
    records = _records(good, len(MAGIC))
    at = draw.randrange(len(records))
    what = draw.randrange(5)
    if what == 0:
        del records[at]
    elif what == 1:
        records[at:at] = [records[at]] * draw.choice((1, 3, 200))
    elif what == 2:
        other = draw.randrange(len(records))
        records[at], records[other] = records[other], records[at]
    elif what == 3:
        records[at] = (draw.randrange(256), records[at][1])
    else:
        head = _join_records(records[:at])
        opcode, body = records[at]
        length = draw.choice((*_NUMBERS, len(body) + 1, max(0, len(body) - 1)))
        return MAGIC + head + _RECORD.pack(opcode, length) + body + _join_records(records[at + 1 :])
    return _session(records)


def _unpack(body: bytes) -> tuple[tuple[int, int, int, int], bytes, bytes]:
    head = _CHUNK_HEAD.unpack_from(body)
    n = int.from_bytes(body[28:32], "little")
    name = body[32 : 32 + n]
    packed = body[32 + n + 8 :]
    if name == b"zstd":
        return head, name, zstandard.ZstdDecompressor().decompress(packed, max_output_size=1 << 22)
    if name == b"lz4":
        return head, name, lz4.frame.decompress(packed)
    return head, name, packed


def chunk_body(head: tuple[int, int, int, int], name: bytes, packed: bytes) -> bytes:
    """Return the body of a Chunk record (https://mcap.dev/spec)."""
    size = len(packed).to_bytes(8, "little")
    return _CHUNK_HEAD.pack(*head) + len(name).to_bytes(4, "little") + name + size + packed


def _pack(name: bytes, data: bytes) -> bytes:
    if name == b"zstd":
        return zstandard.ZstdCompressor(level=1).compress(data)
    return lz4.frame.compress(data) if name == b"lz4" else data


def _session_chunk(good: bytes, draw: random.Random) -> bytes:
    """Lie about a chunk: size, checksum, compression, times."""
    records = _records(good, len(MAGIC))
    at = draw.choice([n for n, (opcode, _) in enumerate(records) if opcode == CHUNK])
    head, name, data = _unpack(records[at][1])
    start, end, size, crc = head
    packed = _pack(name, data)
    what = draw.randrange(5)
    if what == 0:
        size = draw.choice((*_NUMBERS, size + 1, max(0, size - 1)))
    elif what == 1:
        crc = draw.choice((0, 1, (1 << 32) - 1, crc ^ 1))
    elif what == 2:
        name = draw.choice((b"", b"lz4", b"zstd", b"gzip", b"\xff" * 8, b"z" * 500))
    elif what == 3:
        start, end = draw.choice(_NUMBERS), draw.choice(_NUMBERS)
    else:
        packed = plain(packed, draw)
    records[at] = (CHUNK, chunk_body((start, end, size, crc), name, packed))
    return _session(records)


def _session_inside(good: bytes, draw: random.Random) -> bytes:
    """Break what stands in a chunk, under a checksum that is right."""
    records = _records(good, len(MAGIC))
    at = draw.choice([n for n, (opcode, _) in enumerate(records) if opcode == CHUNK])
    head, _, data = _unpack(records[at][1])
    inner = _records(data, 0)
    which = draw.randrange(len(inner))
    opcode, body = inner[which]
    what = draw.randrange(6)
    if what == 0:
        del inner[which]
    elif what == 1:
        inner[which:which] = [inner[which]] * draw.choice((1, 2, 500))
    elif what == 2:
        inner[which] = (opcode, plain(body, draw))
    elif what == 3 and opcode == 5 and len(body) >= 22:  # a message: channel, sequence, times
        fields = list(struct.unpack_from("<HIQQ", body))
        fields[draw.randrange(4)] = draw.choice(_NUMBERS) & 0xFFFF
        inner[which] = (opcode, struct.pack("<HIQQ", *fields) + body[22:])
    elif what == 4:
        inner[which] = (opcode, _warped_json(body, draw))
    else:
        draw.shuffle(inner)
    data = _join_records(inner)
    if draw.random() < 0.2:
        data = plain(data, draw)
    name = draw.choice((b"zstd", b"zstd", b"lz4", b""))
    crc = zlib.crc32(data)
    body = chunk_body((head[0], head[1], len(data), crc), name, _pack(name, data))
    records[at] = (CHUNK, body)
    return _session(records)


def _warped_json(body: bytes, draw: random.Random) -> bytes:
    """Change the JSON in a record, if there is some."""
    start = body.find(b"{")
    try:
        document = json.loads(body[start:]) if start >= 0 else None
    except ValueError:
        document = None
    return (
        plain(body, draw)
        if document is None
        else body[:start] + _text(warped(document, draw), draw)
    )


# ---- text and arrays

_CELLS = (
    b"", b"nan", b"inf", b"1e400", b"-", b"x", b'"', b'"a', b"1,2", b"\0", b"0x10", b"1_000",
    b"\xff\xfe", b"9" * 400, b"=cmd()", b" ", b"1" * 50_000, "\u0661".encode(), b"-1e308",
)  # fmt: skip


def _csv(good: bytes, draw: random.Random) -> bytes:
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


def _toml(good: bytes, draw: random.Random) -> bytes:
    """Put other values behind keys, and other keys before values."""
    lines = good.decode().split("\n")
    for _ in range(draw.choice((1, 1, 2, 5))):
        at = draw.randrange(len(lines))
        key, _, value = lines[at].partition(" = ")
        what = draw.randrange(4)
        if what == 0:
            other = draw.choice(_VALUES)
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


Maker = Callable[[bytes, random.Random], bytes]
_MAKERS: dict[str, tuple[Maker, ...]] = {
    "model": (
        plain, _model_length, _model_header, _model_document, _model_document, _model_weights,
    ),
    "session": (
        plain, _session_records, _session_chunk, _session_inside, _session_inside, _session_inside,
    ),
    "toml": (plain, _toml, _toml),
    "csv": (plain, _csv, _csv),
    "npz": (plain,),
}  # fmt: skip
