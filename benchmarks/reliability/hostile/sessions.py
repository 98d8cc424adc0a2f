"""Hostile sessions: MCAP (https://mcap.dev/spec) whose records, chunks or messages lie."""

from __future__ import annotations

import json
import random
import struct
import zlib

import lz4.frame
import zstandard

from benchmarks.reliability.hostile.plain import NUMBERS, json_text, plain, warped

MAGIC = b"\x89MCAP0\r\n"
CHUNK = 6
_RECORD = struct.Struct("<BQ")
_CHUNK_HEAD = struct.Struct("<QQQI")


def records_of(data: bytes, at: int) -> list[tuple[int, bytes]]:
    """Return opcode and body of the records from `at` on."""
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


def joined(records: list[tuple[int, bytes]]) -> bytes:
    """Return a file of these records."""
    return MAGIC + _join_records(records) + MAGIC


def rearranged(good: bytes, draw: random.Random) -> bytes:
    """Lose, double, exchange or rename whole records, or lie about a length."""
    records = records_of(good, len(MAGIC))
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
        length = draw.choice((*NUMBERS, len(body) + 1, max(0, len(body) - 1)))
        return MAGIC + head + _RECORD.pack(opcode, length) + body + _join_records(records[at + 1 :])
    return joined(records)


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


def pack(name: bytes, data: bytes) -> bytes:
    """Compress."""
    if name == b"zstd":
        return zstandard.ZstdCompressor(level=1).compress(data)
    return lz4.frame.compress(data) if name == b"lz4" else data


def chunk(good: bytes, draw: random.Random) -> bytes:
    """Lie about a chunk: size, checksum, compression, times."""
    records = records_of(good, len(MAGIC))
    at = draw.choice([n for n, (opcode, _) in enumerate(records) if opcode == CHUNK])
    head, name, data = _unpack(records[at][1])
    start, end, size, crc = head
    packed = pack(name, data)
    what = draw.randrange(5)
    if what == 0:
        size = draw.choice((*NUMBERS, size + 1, max(0, size - 1)))
    elif what == 1:
        crc = draw.choice((0, 1, (1 << 32) - 1, crc ^ 1))
    elif what == 2:
        name = draw.choice((b"", b"lz4", b"zstd", b"gzip", b"\xff" * 8, b"z" * 500))
    elif what == 3:
        start, end = draw.choice(NUMBERS), draw.choice(NUMBERS)
    else:
        packed = plain(packed, draw)
    records[at] = (CHUNK, chunk_body((start, end, size, crc), name, packed))
    return joined(records)


def inside(good: bytes, draw: random.Random) -> bytes:
    """Break what stands in a chunk, under a checksum that is right."""
    records = records_of(good, len(MAGIC))
    at = draw.choice([n for n, (opcode, _) in enumerate(records) if opcode == CHUNK])
    head, _, data = _unpack(records[at][1])
    inner = records_of(data, 0)
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
        fields[draw.randrange(4)] = draw.choice(NUMBERS) & 0xFFFF
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
    body = chunk_body((head[0], head[1], len(data), crc), name, pack(name, data))
    records[at] = (CHUNK, body)
    return joined(records)


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
        else body[:start] + json_text(warped(document, draw), draw)
    )
