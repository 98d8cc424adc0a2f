"""Bytes to frames: packets (COBS, CRC-32) and text lines, in chunks of several sizes.

    python -m benchmarks.decode [--peers] [--quick] [--shape 'packets of 10']

The stream has six channels of int16, as one board with an accelerometer and a gyroscope sends them:
in packets of 1, 10 and 40 frames, and as lines of six numbers with three decimals. Rates are of
encoded bytes. A call is `push` of 64 bytes; its time is the mean over the stream, with the frames
that it completes. Beside it: what one would write in plain Python (`cobs`, `zlib`, NumPy).
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import contest, environment, measure
from benchmarks.peers.base import library
from streamrnn.core.types import Frames
from streamrnn.wire.decoder import WireDecoder
from streamrnn.wire.encode import Encoder
from streamrnn.wire.schema import ChannelGroup, Hello
from streamrnn.wire.text import TextDecoder

CHUNKS = (65536, 4096)
CALL_BYTES = 64
RATE_HZ = 1000.0
#: MB/s in chunks of 4 KiB and more, and us a call. One frame a packet is shown, not asked for.
WIRE_LIMIT, TEXT_LIMIT, CALL_LIMIT_US = 500.0, 400.0, 0.4
_NAMES = ("ax", "ay", "az", "gx", "gy", "gz")
_HEADER_BYTES, _TRAILER_BYTES = 16, 4


#: Decodes a stream in chunks; see `ours`.
Decode = Callable[..., tuple[float, int]]


@dataclass(frozen=True)
class Stream:
    """One encoded stream: how it begins, its bytes, and the number of frames in them."""

    name: str
    start: bytes
    data: bytes
    n_frames: int
    is_text: bool

    def pieces(self, n: int) -> list[bytes]:
        """Return the data cut into chunks of `n` bytes."""
        return [self.data[at : at + n] for at in range(0, len(self.data), n)]


def packets(n_frames: int, per_packet: int) -> Stream:
    """Return a stream of packets."""
    hello = Hello(
        name="board", firmware="1", boot_id="b", rate_hz=RATE_HZ,
        groups=(ChannelGroup(_NAMES, "g", "i16", 1 / 4096, 0.0),),
    )  # fmt: skip
    encoder, raw = Encoder(), _samples(n_frames)
    data = [
        encoder.data(hello, raw[n : n + per_packet], n, 1000 * n)
        for n in range(0, n_frames, per_packet)
    ]
    return Stream(f"packets of {per_packet}", encoder.hello(hello), b"".join(data), n_frames, False)


def lines(n_frames: int) -> Stream:
    """Return a stream of text lines."""
    rows = _samples(n_frames) / 4096
    data = "".join(",".join(f"{v:.3f}" for v in row) + "\n" for row in rows)
    return Stream("text", b"", data.encode(), n_frames, True)


def _samples(n: int) -> Any:
    noise = np.random.default_rng(0).normal(0, 200, (n, len(_NAMES)))
    wave = 4000 * np.sin(np.arange(n)[:, None] / 50 + np.arange(len(_NAMES)))
    return (wave + noise).astype(np.int16)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    options = contest.parser("decode", __doc__.splitlines()[0]).parse_args(arguments)
    n_frames = 4000 if options.quick else 80_000
    n_rounds = measure.MIN_ROUNDS if options.quick else 15
    streams = [*(packets(n_frames, n) for n in (1, 10, 40)), lines(n_frames)]
    streams = [s for s in streams if not options.shape or s.name in options.shape]
    if not streams:
        raise SystemExit(f"no shape {options.shape[0]!r}; known: packets of 1, 10, 40, text")
    decoders: dict[str, Decode] = {"streamrnn": ours}
    notes = []
    if options.peers:
        try:
            library("cobs.cobs")
            decoders["plain Python"] = plain
        except ImportError:
            notes.append("plain Python: not measured, cobs is not installed")
    rows: list[dict[str, Any]] = []
    met: dict[str, bool] = {}
    for stream in streams:
        for n_bytes in (*CHUNKS, CALL_BYTES):
            more_rows, more_met = _one(stream, n_bytes, decoders, n_rounds)
            rows += more_rows
            met |= more_met
    settings = {"n_rounds": n_rounds, "n_frames": n_frames, "n_threads": 1}
    return contest.conclude("decode", options, rows, met, settings, notes=notes)


def _seconds(run: Decode, stream: Stream, n_bytes: int) -> float:
    return run(stream, n_bytes)[0]


def _one(
    stream: Stream, n_bytes: int, decoders: dict[str, Decode], n_rounds: int
) -> tuple[list[dict[str, Any]], dict[str, bool]]:
    """Return the rows of one stream in chunks of one size, and its target."""
    rows: list[dict[str, Any]] = []
    met: dict[str, bool] = {}
    n_calls = -(-len(stream.data) // n_bytes)
    for name, run in decoders.items():
        _, n_frames = run(stream, n_bytes, keep=True)
        if n_frames != stream.n_frames:
            raise SystemExit(f"{name}, {stream.name}: {n_frames} of {stream.n_frames} frames")
    samplers = {name: partial(_seconds, run, stream, n_bytes) for name, run in decoders.items()}
    samples = measure.round_robin(samplers, n_rounds)
    for name, seconds in samples.items():
        speed = measure.median([len(stream.data) / s / 1e6 for s in seconds])
        call = measure.median([s / n_calls * 1e6 for s in seconds])
        is_ours = name == "streamrnn"
        faster = None if is_ours else measure.ratio(seconds, samples["streamrnn"])
        rows.append({
            "job": f"{stream.name}, {n_bytes} bytes",
            "contender": name,
            "MB_s": _short(speed.value), "low": _short(speed.low), "high": _short(speed.high),
            "us_call": _short(call.value),
            "ours_faster": faster and _short(faster.value),
        })  # fmt: skip
        if is_ours and stream.name != "packets of 1":
            where = f"{stream.name}, {n_bytes} bytes"
            if n_bytes == CALL_BYTES:
                good = call.reaches(CALL_LIMIT_US, at_least=False)
                met[f"{where}: <= {CALL_LIMIT_US} us a call: {call}"] = good
            else:
                limit = TEXT_LIMIT if stream.is_text else WIRE_LIMIT
                met[f"{where}: >= {limit:g} MB/s: {speed}"] = speed.reaches(limit, at_least=True)
    return rows, met


def ours(stream: Stream, n_bytes: int, *, keep: bool = False) -> tuple[float, int]:
    """Return the seconds for the whole stream, and how many frames came out if they are kept."""
    decoder = TextDecoder(len(_NAMES), RATE_HZ) if stream.is_text else WireDecoder()
    decoder.push(stream.start)
    push, items = decoder.push, []
    if keep:
        items = [item for piece in stream.pieces(n_bytes) for item in push(piece)]
        return 0.0, sum(len(item) for item in items if isinstance(item, Frames))
    pieces = stream.pieces(n_bytes)
    start_s = perf_counter()
    for piece in pieces:
        push(piece)
    return perf_counter() - start_s, 0


def plain(stream: Stream, n_bytes: int, *, keep: bool = False) -> tuple[float, int]:
    """Do the same as one would write it in an afternoon."""
    take = _plain_lines if stream.is_text else _plain_packets
    end = b"\n" if stream.is_text else b"\0"
    pieces, rest, n_frames = stream.pieces(n_bytes), b"", 0
    start_s = perf_counter()
    for piece in pieces:
        *whole, rest = (rest + piece).split(end)
        if whole:
            frames = take(whole)
            n_frames += len(frames) if keep else 0
    return perf_counter() - start_s, n_frames


def _plain_lines(whole: list[bytes]) -> Any:
    return np.array([[float(word) for word in line.split(b",")] for line in whole], np.float32)


def _plain_packets(whole: list[bytes]) -> Any:
    decode, crc, unpack = library("cobs.cobs").decode, zlib.crc32, struct.unpack_from
    bodies = []
    for packet in whole:
        body = decode(packet)
        if crc(body[:-_TRAILER_BYTES]) == unpack("<I", body, len(body) - _TRAILER_BYTES)[0]:
            bodies.append(body[_HEADER_BYTES:-_TRAILER_BYTES])
    raw = np.frombuffer(b"".join(bodies), "<i2").reshape(-1, len(_NAMES))
    return raw.astype(np.float32) * np.float32(1 / 4096)


def _short(value: float) -> float:
    return float(f"{value:.4g}")


if __name__ == "__main__":
    environment.settle()
    sys.exit(main())
