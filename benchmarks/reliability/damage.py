"""Damaged packets and random bytes through the compiled decoder: nothing wrong may come out.

What was sent is known, so that each frame that comes out is compared with the sent one of its
number, and each packet that the decoder believes is accounted for. Where the two counts differ,
the block is looked at packet by packet with PyPI's `cobs` and `zlib`, which know nothing of this
decoder; so is a sample of every kind.
"""

from __future__ import annotations

import time
import zlib
from collections import Counter
from collections.abc import Iterator
from math import exp
from typing import Any

import numpy as np

from benchmarks.peers.base import library
from benchmarks.reliability import mutants
from benchmarks.reliability.bar import Check, Form, Outcome
from streamrnn.core.types import Frames
from streamrnn.wire.decoder import WireDecoder
from streamrnn.wire.packet import TRAILER
from streamrnn.wire.schema import ChannelGroup

N_MUTANTS = 102_000_000  # some undo themselves
N_RANDOM_BYTES = 1_000_000_000
#: Packets of a block, and frames of a packet with how many blocks of ten get them.
BLOCK = 16_384
_I16 = (ChannelGroup(tuple("abcdef"), "g", "i16", 1 / 4096, 0.0),)
_MIXED = (
    ChannelGroup(("p", "q", "r"), "", "f32", 0.01, 0.0),
    ChannelGroup(("s", "t"), "dps", "i16", 0.06, 1.0),
)
SHAPES = ((_I16, 1, 6), (_I16, 10, 2), (_MIXED, 2, 2))
#: A wrong packet is explained by chance while so many or more are likelier than this.
CHANCE = 0.01
_SAMPLE_BYTES = 60_000
_RANDOM_PIECE = 1 << 20
_LARGE_BODY = 4096


def run(form: Form) -> Outcome:
    """Damage, decode, judge."""
    tally = _Tally(form.load())
    n_mutants = form.pick(400_000, N_MUTANTS)
    begin_s = time.monotonic()
    _mutants(form, tally, n_mutants)
    _large(form, tally, form.pick(300, 20_000))
    tally.seconds += time.monotonic() - begin_s
    _random(form, tally, form.pick(10_000_000, N_RANDOM_BYTES))
    return _outcome(tally)


class _Tally:
    """What was seen so far, by kind of damage."""

    def __init__(self, done: dict[str, Any]) -> None:
        self.blocks: int = done.get("blocks", 0)
        self.random_bytes: int = done.get("random_bytes", 0)
        self.seconds: float = done.get("seconds", 0.0)
        self.counts = {kind: Counter(some) for kind, some in done.get("counts", {}).items()}
        self.wrong: list[dict[str, str]] = done.get("wrong", [])

    def of(self, kind: str) -> Counter[str]:
        return self.counts.setdefault(kind, Counter())

    def total(self, name: str) -> int:
        return sum(some[name] for some in self.counts.values())

    def to_dict(self) -> dict[str, Any]:
        return {
            "blocks": self.blocks, "random_bytes": self.random_bytes, "seconds": self.seconds,
            "counts": self.counts, "wrong": self.wrong,
        }  # fmt: skip


def _mutants(form: Form, tally: _Tally, n_wanted: int) -> None:
    shapes = [n for n, (_, _, weight) in enumerate(SHAPES) for _ in range(weight)]
    sent = [
        mutants.send(groups, n_each, form.pick(4096, BLOCK), np.random.default_rng([1, n]))
        for n, (groups, n_each, _) in enumerate(SHAPES)
    ]
    begin_s, saved_s = time.monotonic(), time.monotonic()
    while (n_done := tally.total("mutants")) < n_wanted:
        kind = mutants.KINDS[tally.blocks % len(mutants.KINDS)]
        rng = np.random.Generator(np.random.SFC64([2, tally.blocks]))
        block = sent[shapes[tally.blocks // len(mutants.KINDS) % len(shapes)]]
        stream, n_mutants, n_same = mutants.mutate(block, kind, rng)
        _judge(tally, kind, block, (stream, n_mutants, n_same), rng)
        tally.blocks += 1
        if (now_s := time.monotonic()) - saved_s > 20.0:
            tally.seconds += now_s - begin_s
            begin_s = saved_s = now_s
            form.save(tally.to_dict())
            form.say(f"{n_done:,} of {n_wanted:,} damaged packets", now=True)
    tally.seconds += time.monotonic() - begin_s


def _judge(
    tally: _Tally,
    kind: str,
    sent: mutants.Sent,
    damaged: tuple[bytes, int, int],
    rng: np.random.Generator,
) -> None:
    """Decode what `mutants.mutate` made and account for everything that is believed."""
    stream, n_mutants, n_same = damaged
    decoder, frames, n_others = _decode(sent.hello, stream, rng)
    counters = decoder.counters
    n_believed = decoder.n_checked - 1
    n_right = sum(_n_right(sent, block) for block in frames) // sent.n_each
    count = tally.of(kind)
    count["mutants"] += n_mutants
    count["undone"] += n_right
    count["reached the checksum"] += counters.n_bad_crc + n_believed
    if n_right != n_believed or counters.n_duplicate_frames or n_others:
        _explain(tally, kind, sent, stream)
    if n_right < n_same:
        raise AssertionError(f"{kind}: {n_same - n_right} whole packets were not taken")
    if tally.blocks < 40 or tally.blocks % 50 == 0:
        _compare(tally, kind, sent, stream)


def _decode(
    hello: bytes, stream: bytes, rng: np.random.Generator
) -> tuple[WireDecoder, list[Frames], int]:
    """Return a decoder that has read a stream in chunks, its frames, and the number of others."""
    decoder = WireDecoder()
    decoder.push(hello)
    frames, n_others, start = [], 0, 0
    while start < len(stream):
        stop = start + int(rng.integers(64, 65_536))
        for item in decoder.push(stream[start:stop]):
            if isinstance(item, Frames):
                frames.append(item)
            else:
                n_others += 1
        start = stop
    return decoder, frames, n_others


def _n_right(sent: mutants.Sent, frames: Frames) -> int:
    """Return how many frames are, in all that they say, those that were sent."""
    at = frames.seq - sent.seq[0]
    is_known = (at >= 0) & (at < len(sent.seq))
    at = np.where(is_known, at, 0)
    same = is_known & (frames.t_us == sent.t_us[at])
    return int((same & (frames.x == sent.x[at]).all(axis=1)).sum())


def _oracle(stream: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield the pieces between delimiters, each with the packet in it that a checksum proves."""
    cobs = library("cobs.cobs")
    for piece in stream.split(b"\0"):
        if not piece:
            continue
        try:
            body = cobs.decode(piece)
        except cobs.DecodeError:
            yield piece, None
            continue
        good = len(body) >= 20 and TRAILER.pack(zlib.crc32(body[:-4])) == body[-4:]
        yield piece, body if good else None


def _explain(tally: _Tally, kind: str, sent: mutants.Sent, stream: bytes) -> None:
    """Find the packets of a block that are believed and were never sent."""
    bodies = {row.tobytes() for row in sent.body}
    for piece, body in _oracle(stream):
        decoder = WireDecoder()
        decoder.push(sent.hello)
        decoder.push(piece + b"\0")
        is_believed = decoder.n_checked > 1
        if is_believed and (body is None or body not in bodies):
            tally.of(kind)["wrong"] += 1
            tally.wrong.append(
                {"kind": kind, "wire": piece.hex(), "by zlib": str(body is not None)}
            )


def _compare(tally: _Tally, kind: str, sent: mutants.Sent, stream: bytes) -> None:
    """Let the independent decoder read a part, too."""
    part = stream[:_SAMPLE_BYTES] + b"\0"
    pieces = list(_oracle(part))
    decoder = WireDecoder()
    decoder.push(sent.hello)
    decoder.push(part)
    count = tally.of(kind)
    count["compared"] += len(pieces)
    n_theirs = sum(body is not None for _, body in pieces)
    count["judged otherwise"] += abs(n_theirs - (decoder.n_checked - 1))


def _large(form: Form, tally: _Tally, n_packets: int) -> None:
    """Bursts in packets of the largest size, whose COBS has codes within."""
    kind = "burst in a packet of 4,096 bytes"
    if tally.of(kind)["mutants"] >= n_packets:
        return
    cobs, rng = library("cobs.cobs"), np.random.default_rng(4)
    groups = (ChannelGroup(tuple("abcd"), "", "i16", 1.0, 0.0),)
    n_each = (_LARGE_BODY - 20) // 8
    n_block = 100
    tally.counts[kind] = Counter()
    hello = mutants.send(groups, 1, 1, rng).hello
    for _ in range(0, n_packets, n_block):
        head = bytes([1, 2, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
        rows = rng.integers(0, 200, (n_block, 8 * n_each), dtype=np.uint8)
        sent = [head + row.tobytes() for row in rows]
        sent = [one + TRAILER.pack(zlib.crc32(one)) for one in sent]
        body = np.frombuffer(b"".join(sent), np.uint8).reshape(n_block, -1)
        damaged = mutants.burst(body, rng)
        stream = b"\0".join([cobs.encode(row.tobytes()) for row in damaged]) + b"\0"
        decoder, _, _ = _decode(hello, stream, rng)
        count = tally.of(kind)
        count["mutants"] += n_block
        count["reached the checksum"] += decoder.counters.n_bad_crc + decoder.n_checked - 1
        count["wrong"] += decoder.n_checked - 1  # a burst never undoes itself
    form.save(tally.to_dict())


def _random(form: Form, tally: _Tally, n_wanted: int) -> None:
    """Bytes without any meaning, to a decoder that knows the schema."""
    sent = mutants.send(_I16, 1, 1, np.random.default_rng(0))
    kind = "random bytes"
    count = tally.of(kind)
    while tally.random_bytes < n_wanted:
        rng = np.random.Generator(np.random.SFC64([3, tally.random_bytes]))
        decoder = WireDecoder()
        decoder.push(sent.hello)
        n_items = 0
        for _ in range(100):
            n_bytes = min(_RANDOM_PIECE, n_wanted - tally.random_bytes)
            n_items += len(decoder.push(rng.bytes(n_bytes)))
            tally.random_bytes += n_bytes
        counters, n_believed = decoder.counters, decoder.n_checked - 1
        count["reached the checksum"] += counters.n_bad_crc + n_believed
        count["wrong"] += max(n_believed, n_items)
        form.save(tally.to_dict())
        form.say(f"{tally.random_bytes:,} of {n_wanted:,} random bytes")


def explained(n_checked: int) -> int:
    """Return how many wrong packets chance explains, of so many that reached the checksum."""
    mean = n_checked / 2**32
    n, term, tail = 0, exp(-mean), 1.0
    while (tail := tail - term) > CHANCE:
        n += 1
        term *= mean / n
    return n


def _outcome(tally: _Tally) -> Outcome:
    damage = {kind: some for kind, some in tally.counts.items() if kind != "random bytes"}
    noise = tally.of("random bytes")
    n_mutants = tally.total("mutants")
    n_damaged = n_mutants - tally.total("undone")
    n_wrong = sum(some["wrong"] for some in damage.values())
    n_reached = sum(some["reached the checksum"] for some in damage.values())
    bursts = [some for kind, some in damage.items() if kind.startswith("burst in")]
    on_wire = damage["burst on the wire"]
    n_bursts = sum(some["mutants"] for some in bursts)
    n_burst_wrong = sum(some["wrong"] for some in bursts)
    per_s = n_mutants / max(tally.seconds, 1e-9)
    limit, noise_limit = explained(n_reached), explained(noise["reached the checksum"])
    return Outcome(
        checks=[
            Check(
                f"damaged packets believed: at most {limit}, what 2^-32 explains",
                f"{n_wrong} of {n_damaged:,}", n_wrong <= limit,
            ),
            Check(
                "bursts of <= 32 bits in a packet believed: none",
                f"{n_burst_wrong} of {n_bursts:,}", n_burst_wrong == 0,
            ),
            Check(
                "bursts of <= 32 bits on the wire, COBS codes included, believed: none",
                f"{on_wire['wrong']} of {on_wire['mutants']:,}", on_wire["wrong"] == 0,
            ),
            Check(
                f"packets believed in random bytes: at most {noise_limit}",
                f"{noise['wrong']} in {tally.random_bytes:,} bytes", noise["wrong"] <= noise_limit,
            ),
            Check(
                "PyPI cobs and zlib judge a sample otherwise: never",
                f"{tally.total('judged otherwise')} of {tally.total('compared'):,}",
                not tally.total("judged otherwise"),
            ),
        ],
        rows=[
            {
                "damage": kind, "mutants": some["mutants"], "undid itself": some["undone"],
                "reached the checksum": some["reached the checksum"], "believed": some["wrong"],
                "compared": some["compared"],
            }
            for kind, some in damage.items()
        ],
        settings={"shapes": [f"{n} frames of {len(g)} groups" for g, n, _ in SHAPES]},
        figures={
            "counts": {kind: dict(some) for kind, some in tally.counts.items()},
            "random_bytes": tally.random_bytes, "packets_per_s": round(per_s),
            "wrong": tally.wrong[:20],
        },
        notes=[f"{per_s:,.0f} damaged packets a second, made, decoded and judged on one core"],
    )  # fmt: skip
