"""The oracle: a decoder so plain that nobody doubts it.

It splits at delimiters, undoes COBS run by run, asks zlib for the checksum, and looks at one frame
after another. `streamrnn.wire.decoder` must give the same items; a device that only reads a few
commands may just as well use this one, which compiles nothing.
"""

from __future__ import annotations

import zlib

import numpy as np

from streamrnn.core.errors import WireError
from streamrnn.core.types import Counters, Frames
from streamrnn.wire.control import Control, unwrap
from streamrnn.wire.packet import (
    HEADER,
    MAX_DECODED,
    MAX_ENCODED,
    MAX_T_US,
    TRAILER,
    VERSION,
    PacketType,
    WireItem,
    frame_time_us,
)


def cobs_decode(encoded: bytes) -> bytes | None:
    """Return what was encoded, or None if the last run is longer than the packet."""
    decoded = bytearray()
    i = 0
    while i < len(encoded):
        code = encoded[i]
        run = encoded[i + 1 : i + code]
        if len(run) != code - 1:
            return None
        decoded += run
        i += code
        if code < 255 and i < len(encoded):
            decoded.append(0)
    return bytes(decoded)


class ReferenceDecoder:
    """Turn the bytes of a wire stream into items; the interface of `WireDecoder`.

    Attributes
    ----------
    counters : Counters
        What happened so far.
    """

    def __init__(self) -> None:
        self.counters = Counters()
        self.reset()

    def reset(self) -> None:
        """Forget the stream: schema, sequence and unfinished packet. Counters go on."""
        self._control = Control()
        self._expected = 0
        self._last_t_us = 0
        self.resync()

    def resync(self) -> None:
        """Forget only an unfinished packet, as when a link was lost and found again."""
        self._unfinished = bytearray()
        self._discarding = False

    def push(self, data: bytes | bytearray | memoryview) -> list[WireItem]:
        """Return what `data` completes."""
        self._items: list[WireItem] = []
        self._frames: list[Frames] = []
        raw = bytes(data)
        self.counters.n_bytes += len(raw)
        pieces = raw.split(b"\0")
        for piece in pieces[:-1]:
            self._gather(piece)
            self._end_packet()
        self._gather(pieces[-1])
        self._flush()
        return self._items

    def _gather(self, piece: bytes) -> None:
        """Append to the unfinished packet."""
        if self._discarding:
            return
        self._unfinished += piece
        if len(self._unfinished) > MAX_ENCODED:
            self.counters.n_oversize += 1
            self._discarding = True

    def _end_packet(self) -> None:
        """Act on a delimiter."""
        encoded = bytes(self._unfinished)
        was_discarding = self._discarding
        self.resync()
        if was_discarding or not encoded:
            return
        decoded = cobs_decode(encoded)
        if decoded is None or len(decoded) < HEADER.size + TRAILER.size:
            self.counters.n_bad_framing += 1
            return
        if len(decoded) > MAX_DECODED:
            self.counters.n_oversize += 1
            return
        body = decoded[: -TRAILER.size]
        if TRAILER.unpack(decoded[-TRAILER.size :]) != (zlib.crc32(body),):
            self.counters.n_bad_crc += 1
            return
        try:
            self._take(body)
        except WireError:
            self.counters.n_bad_content += 1
        else:
            self.counters.n_packets += 1

    def _take(self, body: bytes) -> None:
        """Act on a packet whose checksum was right, or raise `WireError`."""
        version, kind = body[:2]
        if version != VERSION:
            raise WireError(f"version {version}")
        if kind == PacketType.DATA:
            self._take_data(body)
            return
        outcome = self._control.take(body, self._expected)
        self.counters.n_lost_frames += outcome.n_lost
        if outcome.items:
            self._flush()
            self._items += outcome.items
        if outcome.next_seq is not None:
            self._expected = outcome.next_seq
        if outcome.is_restart:
            self._last_t_us = 0
        if outcome.is_new_schema:
            self._flush()

    def _take_data(self, body: bytes) -> None:
        hello = self._control.hello
        _, _, _, schema_id, seq, t_us = HEADER.unpack_from(body)
        payload = body[HEADER.size :]
        if hello is None or schema_id != hello.schema_id or t_us > MAX_T_US:
            raise WireError("DATA without its schema, or with a senseless time")
        n_frames, rest = divmod(len(payload), hello.frame_bytes)
        if rest or not n_frames:
            raise WireError("DATA that is not a whole number of frames")
        first = unwrap(seq, self._expected)
        last_t_us = self._last_t_us
        frames: list[Frames] = []
        for j in range(n_frames):
            if first + j < self._expected:
                continue
            x = self._sample_row(payload[j * hello.frame_bytes : (j + 1) * hello.frame_bytes])
            last_t_us = max(last_t_us, frame_time_us(t_us, j, hello.rate_hz))
            frames.append(Frames(x, np.array([first + j]), np.array([last_t_us])))
        self._last_t_us = last_t_us
        self._frames += frames
        counters = self.counters
        counters.n_duplicate_frames += n_frames - len(frames)
        counters.n_frames += len(frames)
        if frames:
            counters.n_lost_frames += max(0, first - self._expected)
            self._expected = first + n_frames

    def _sample_row(self, raw: bytes) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """Return one frame in physical units, or raise `WireError` if a value is not finite."""
        assert self._control.hello is not None
        values: list[np.float32] = []
        at = 0
        for group in self._control.hello.groups:
            kind = group.raw_dtype
            for _ in group.names:
                sample = np.frombuffer(raw, kind, 1, at)[0]
                with np.errstate(all="ignore"):
                    value = np.float32(sample) * np.float32(group.scale) + np.float32(group.offset)
                if not np.isfinite(value):
                    raise WireError("DATA with a value that is not finite")
                values.append(value)
                at += kind.itemsize
        return np.array([values], np.float32)

    def _flush(self) -> None:
        """Append the frames so far to the items, as one block."""
        if self._frames:
            self._items.append(Frames.join(self._frames, self._frames[0].x.shape[1]))
            self._frames = []
