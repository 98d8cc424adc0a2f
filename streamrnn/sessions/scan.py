"""A walk over the records of an MCAP file that believes no size and survives damage.

The records inside a session's chunks have a checksum; the framing around them has none, and every
length there may be wrong. So lengths are checked before memory is taken, decompression has a limit
of its own, and behind damage the walk looks for the next chunk. The library's reader takes sizes
on trust: an index record of a few bytes can make it read to the end of the file, and a small chunk
can make it decompress gigabytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TypeAlias

import lz4.frame
import zstandard
from mcap.opcode import Opcode

#: Largest chunk, compressed or not. The writer makes chunks of about 1 MiB.
MAX_CHUNK_BYTES = 64 * 2**20
#: Largest Metadata record.
MAX_METADATA_BYTES = 4 * 2**20
#: Largest share of memory against the file's size. Each frame costs 16 bytes that are never
#: compressed (its message index) and at most 4,135 in the chunk, so that no session comes near.
MAX_EXPANSION = 512
#: A file with more damaged places is given up.
MAX_DAMAGES = 1000

MAGIC = b"\x89MCAP0\r\n"
_HEAD = struct.Struct("<BQ")
_CHUNK_HEAD = struct.Struct("<QQQI")
_KNOWN = frozenset(int(code) for code in Opcode)
#: Text by which a lost walk finds a chunk or our description, and its place within the record.
_SIGNATURES = (
    (b"\x04\x00\x00\x00zstd", _HEAD.size + _CHUNK_HEAD.size, Opcode.CHUNK),
    (b"\x03\x00\x00\x00lz4", _HEAD.size + _CHUNK_HEAD.size, Opcode.CHUNK),
    (b"\x09\x00\x00\x00streamrnn", _HEAD.size, Opcode.METADATA),
)
_WINDOW_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ChunkData:
    """The records of a chunk whose checksum was right."""

    data: bytes


@dataclass(frozen=True, slots=True)
class IndexCount:
    """How many messages of a channel the chunk before holds, by the index that stands behind it."""

    channel: int
    n_messages: int


@dataclass(frozen=True, slots=True)
class MetadataRecord:
    """A Metadata record; it has no checksum."""

    name: str
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that should be a record and is none."""

    reason: str


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of the walk, always the last piece.

    Attributes
    ----------
    complete : bool
        True when the end of the data section was seen.
    finished : bool
        True when the file was closed properly.
    cut_ns : int
        Host time that a cut-off last chunk covered; 0 when unknown.
    """

    complete: bool
    finished: bool
    cut_ns: int = 0


Piece: TypeAlias = ChunkData | IndexCount | MetadataRecord | Damage | Tail


class TooLargeError(ValueError):
    """A file that would take more memory than any session needs."""


class _BadRecordError(ValueError):
    """A record whose content breaks the format."""


class Scanner:
    """Walks over one file.

    Parameters
    ----------
    file : binary file
        Opened for reading, seekable.
    size_bytes : int
        Its size.
    """

    def __init__(self, file: IO[bytes], size_bytes: int) -> None:
        self._file = file
        self._size = size_bytes
        self._budget = MAX_CHUNK_BYTES + MAX_EXPANSION * size_bytes
        self._n_damages = 0
        self._searched = (0, 0)

    def pieces(self) -> Iterator[Piece]:
        """Yield what the file holds, in order, the magic bytes being read already.

        Raises
        ------
        TooLargeError
            The file wants more memory than is sensible, or is nothing but damage.
        """
        offset = len(MAGIC)
        complete = False
        while True:
            head = self._read(offset, _HEAD.size)
            if len(head) < _HEAD.size:
                yield Tail(complete, False)
                return
            opcode, length = _HEAD.unpack(head)
            end = offset + _HEAD.size + length
            try:
                if opcode not in _KNOWN or end > self._size:
                    raise _BadRecordError(f"no record at byte {offset}")
                piece = self._record(opcode, offset + _HEAD.size, length)
            except _BadRecordError as error:
                if complete:  # only the closing summary is hurt, and nothing here needs it
                    yield Tail(True, False)
                    return
                found = self._resume(offset, end)
                if found is None:
                    yield from self._stop(opcode, offset, end, str(error))
                    return
                self._count_damage()
                if opcode != Opcode.HEADER:  # nothing here needs it
                    yield Damage(str(error))
                offset = found
                continue
            if piece is not None:
                yield piece
            complete = complete or opcode == Opcode.DATA_END
            offset = end
            if opcode == Opcode.FOOTER:
                yield Tail(complete, self._read(offset, len(MAGIC)) == MAGIC)
                return

    # ---- records

    def _record(self, opcode: int, start: int, length: int) -> Piece | None:
        if opcode == Opcode.CHUNK:
            return ChunkData(self._chunk(start, length))
        if opcode == Opcode.MESSAGE_INDEX:
            channel, n_bytes = struct.unpack("<HI", self._fixed(start, length, 6))
            if n_bytes != length - 6 or n_bytes % 16:
                raise _BadRecordError(f"bad message index at byte {start}")
            return IndexCount(channel, n_bytes // 16)
        if opcode == Opcode.METADATA:
            if length > MAX_METADATA_BYTES:
                raise _BadRecordError(f"metadata of {length} bytes at byte {start}")
            return _metadata(self._read(start, length))
        expected = {Opcode.FOOTER: 20, Opcode.DATA_END: 4}.get(Opcode(opcode), length)
        if length != (self._header_size(start) if opcode == Opcode.HEADER else expected):
            raise _BadRecordError(f"bad record length at byte {start}")
        return None

    def _header_size(self, start: int) -> int:
        """Return the length of a header by the two texts that it holds."""
        at = start
        for _ in range(2):
            at += 4 + int.from_bytes(self._read(at, 4), "little")
        return at - start

    def _chunk(self, start: int, length: int) -> bytes:
        if length > MAX_CHUNK_BYTES:
            raise _BadRecordError(f"chunk of {length} bytes at byte {start}")
        shape = self._chunk_shape(start, length)
        if shape is None:
            raise _BadRecordError(f"broken chunk at byte {start}")
        size, crc, compression, data_start = shape
        if size > MAX_CHUNK_BYTES:
            raise _BadRecordError(f"chunk at byte {start} claims {size} bytes")
        self._spend(size)
        packed = self._read(data_start, start + length - data_start)
        data = _decompress(packed, compression, size)
        if data is None or (crc and zlib.crc32(data) != crc):
            raise _BadRecordError(f"bad checksum in the chunk at byte {start}")
        return data

    def _chunk_shape(self, start: int, length: int) -> tuple[int, int, str, int] | None:
        """Return size, CRC, compression and start of the data, or None where they do not fit."""
        head = self._read(start, _CHUNK_HEAD.size + 4 + 4 + 8)
        if len(head) < _CHUNK_HEAD.size + 4:
            return None
        _, _, size, crc = _CHUNK_HEAD.unpack_from(head)
        at = _CHUNK_HEAD.size + 4
        n = int.from_bytes(head[at - 4 : at], "little")
        names = {0: b"", 3: b"lz4", 4: b"zstd"}
        name = head[at : at + n] if n in names else None
        data_at = at + n + 8
        n_data = int.from_bytes(head[at + n : data_at], "little")
        if name is None or name != names[n] or data_at + n_data != length:
            return None
        return size, crc, name.decode(), start + data_at

    # ---- damage

    def _resume(self, offset: int, end: int) -> int | None:
        """Return where the walk goes on behind a bad record, or None at the end of what is good.

        The record's own length may be what is wrong. So it is not believed where that would leap
        over a record that can be found, at once or by the length of what seems to follow.
        """
        found = self._find_record(offset + 1)
        return end if self._looks_sound(end, self._size if found is None else found) else found

    def _looks_sound(self, offset: int, limit: int) -> bool:
        """Return whether a record ends at `limit` or before, or begins there."""
        head = self._read(offset, _HEAD.size)
        if len(head) < _HEAD.size or offset > limit:
            return False
        opcode, length = _HEAD.unpack(head)
        return offset == limit or (opcode in _KNOWN and offset + _HEAD.size + length <= limit)

    def _find_record(self, start: int) -> int | None:
        """Return the offset of the next chunk or description of right shape."""
        since, found = self._searched
        if not since <= start <= found:
            found = self._search(start)
            self._searched = (start, found)
        return found if found < self._size else None

    def _search(self, start: int) -> int:
        base = start
        while base < self._size:
            window = self._read(base, _WINDOW_BYTES + 64)
            candidates = sorted(
                (place - before, opcode)
                for signature, before, opcode in _SIGNATURES
                for place in _find_all(window, signature)
                if place >= before
            )
            for place, opcode in candidates:
                if self._has_shape(base + place, opcode):
                    return base + place
            base += _WINDOW_BYTES
        return self._size

    def _has_shape(self, offset: int, opcode: int) -> bool:
        found, length = _HEAD.unpack(self._read(offset, _HEAD.size))
        start = offset + _HEAD.size
        if found != opcode or start + length > self._size:
            return False
        if opcode == Opcode.CHUNK:
            return self._chunk_shape(start, length) is not None
        return bool(length <= MAX_METADATA_BYTES)

    def _stop(self, opcode: int, offset: int, end: int, reason: str) -> Iterator[Piece]:
        """End the walk: a record that reaches behind the end was cut off, others are damaged."""
        cut_ns = 0
        if opcode == Opcode.CHUNK and end > self._size:
            times = self._read(offset + _HEAD.size, 16)
            if len(times) == 16:
                first, last = struct.unpack("<QQ", times)
                cut_ns = max(0, last - first)
        elif end <= self._size:
            yield Damage(reason)
        yield Tail(False, False, cut_ns)

    def _count_damage(self) -> None:
        self._n_damages += 1
        if self._n_damages > MAX_DAMAGES:
            raise TooLargeError(f"it has more than {MAX_DAMAGES} damaged places")

    # ---- bytes

    def _spend(self, n_bytes: int) -> None:
        self._budget -= n_bytes
        if self._budget < 0:
            raise TooLargeError("it decompresses to more than any session would")

    def _read(self, offset: int, n_bytes: int) -> bytes:
        if offset >= self._size:
            return b""
        self._file.seek(offset)
        return self._file.read(n_bytes)

    def _fixed(self, start: int, length: int, n_bytes: int) -> bytes:
        data = self._read(start, n_bytes)
        if length < n_bytes or len(data) < n_bytes:
            raise _BadRecordError(f"short record at byte {start}")
        return data


def _find_all(window: bytes, signature: bytes) -> Iterator[int]:
    place = window.find(signature)
    while place >= 0:
        yield place
        place = window.find(signature, place + 1)


def _decompress(packed: bytes, compression: str, size: int) -> bytes | None:
    """Return exactly `size` bytes, or None; never takes more memory than that."""
    try:
        if compression == "zstd":
            tool = zstandard.ZstdDecompressor(max_window_size=MAX_CHUNK_BYTES)
            with tool.stream_reader(packed) as stream:
                data: bytes = stream.read(size + 1)
        elif compression == "lz4":
            data = lz4.frame.LZ4FrameDecompressor().decompress(packed, max_length=size + 1)
        else:
            data = packed
    except (zstandard.ZstdError, RuntimeError, EOFError):
        return None
    return data if len(data) == size else None


def _metadata(body: bytes) -> MetadataRecord:
    try:
        name, at = _string(body, 0)
        n_bytes = int.from_bytes(body[at : at + 4], "little")
        at += 4
        if at + n_bytes != len(body):
            raise _BadRecordError("bad metadata length")
        values = {}
        while at < len(body):
            key, at = _string(body, at)
            values[key], at = _string(body, at)
    except UnicodeDecodeError:
        raise _BadRecordError("metadata that is not text") from None
    return MetadataRecord(name, values)


def _string(body: bytes, at: int) -> tuple[str, int]:
    n_bytes = int.from_bytes(body[at : at + 4], "little")
    end = at + 4 + n_bytes
    if at + 4 > len(body) or end > len(body):
        raise _BadRecordError("metadata text runs over its end")
    return body[at + 4 : end].decode(), end
