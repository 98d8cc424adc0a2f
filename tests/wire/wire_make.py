"""Streams to decode, and ways to damage them."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np

from streamrnn.core.types import Frames
from streamrnn.wire.encode import Encoder
from streamrnn.wire.schema import ChannelGroup, Hello

ENCODER = Encoder()


def make_hello(
    *,
    boot_id: str = "b1",
    rate_hz: float = 100.0,
    dtypes: tuple[str, ...] = ("i16",),
    n: int = 3,
    schema_id: int = 0,
    scale: float = 1.0,
) -> Hello:
    groups = tuple(
        ChannelGroup(tuple(f"{dtype}_{g}_{i}" for i in range(n)), "g", dtype, scale, 0.0)
        for g, dtype in enumerate(dtypes)
    )
    return Hello("board", "1.0", boot_id, rate_hz, groups, schema_id)


def numbered(hello: Hello, seq: int, k: int) -> np.ndarray[Any, Any]:
    """Return samples that tell their own index: a lost or doubled frame is seen."""
    column = (np.arange(seq, seq + k) % 30_000).astype(np.float32)
    return np.ascontiguousarray(np.repeat(column[:, None], hello.n_channels, axis=1))


def data(hello: Hello, seq: int, k: int = 1, t_us: int | None = None) -> bytes:
    """Return a DATA packet of `numbered` frames at the nominal rate."""
    at_us = round(seq * 1e6 / hello.rate_hz) if t_us is None else t_us
    return ENCODER.data(hello, numbered(hello, seq, k), seq, at_us)


def flat(items: list[Any]) -> list[Any]:
    """Return items with frames one by one: only what was said counts, not in which blocks."""
    out: list[Any] = []
    for item in items:
        if isinstance(item, Frames):
            assert item.x.dtype == np.float32
            assert item.x.flags.c_contiguous
            assert item.seq.dtype == item.t_us.dtype == np.int64
            rows = zip(item.x, item.seq.tolist(), item.t_us.tolist(), strict=True)
            out += [("frame", x.tobytes(), seq, t_us) for x, seq, t_us in rows]
        else:
            out.append(item)
    return out


def frames_of(items: list[Any]) -> Frames:
    blocks = [item for item in items if isinstance(item, Frames)]
    return Frames.join(blocks, blocks[0].x.shape[1] if blocks else 0)


def push_cut(decoder: Any, data: bytes, cuts: list[int]) -> list[Any]:
    """Push `data` in pieces of the given sizes, over and over, by turns in each bytes-like type."""
    items: list[Any] = []
    kinds: list[Any] = [bytes, bytearray, memoryview]
    at = turn = 0
    while at < len(data):
        size = max(1, cuts[turn % len(cuts)])
        items += decoder.push(kinds[turn % 3](data[at : at + size]))
        at += size
        turn += 1
    return items


def random_stream(rng: random.Random, n_packets: int = 40) -> bytes:
    """Return packets of all kinds: schemas and boots change, packets repeat, vanish, overlap."""
    hellos = [
        replace(
            make_hello(
                boot_id=rng.choice(["b1", "b1", "b2"]),
                rate_hz=rng.choice([100.0, 33.3, 1000.0]),
                dtypes=rng.choice([("i16",), ("f32",), ("i16", "f32"), ("f32", "i16", "i16")]),
                n=rng.randint(1, 4),
                scale=rng.choice([1.0, 0.01]),
            ),
            schema_id=rng.choice([0, 1]),
        )
        for _ in range(2)
    ]
    hello = hellos[0]
    seq = rng.choice([0, 1000, 2**32 - 30])
    t_us = 0
    packets: list[bytes] = []
    for _ in range(n_packets):
        kind = rng.random()
        if kind < 0.1:
            hello = rng.choice(hellos)
            packets.append(ENCODER.hello(hello, seq, t_us))
        elif kind < 0.15:
            event = {"kind": "label", "label": "wave", "phase": rng.choice(["start", "end", "x"])}
            packets.append(ENCODER.event(event, seq, t_us))
        elif kind < 0.18:
            packets.append(ENCODER.event({"kind": "end"}, seq + rng.choice([0, 2]), t_us))
        elif kind < 0.22:
            packets.append(
                rng.choice(
                    [
                        ENCODER.command(1, "START"),
                        ENCODER.ack(1, True),
                        ENCODER.ping(3, seq, t_us),
                        ENCODER.pong(4, seq, t_us),
                    ]
                )
            )
        else:
            k = rng.randint(1, 8)
            packets.append(data(hello, seq, k, t_us))
            seq += k
            t_us += rng.choice([k * 10_000, k * 9_000])
        chance = rng.random()
        if chance < 0.05:
            packets.append(packets[-1])
        elif chance < 0.08:
            packets.append(packets[-min(3, len(packets))])
        elif chance < 0.11:
            packets.pop()
        elif chance < 0.14:
            seq = max(0, seq - 2)
    return b"".join(packets)


def damage(rng: random.Random, stream: bytes, n_faults: int) -> bytes:
    """Return `stream` with bits flipped, bytes lost, added, doubled or zeroed."""
    out = bytearray(stream)
    for _ in range(n_faults):
        if not out:
            break
        at = rng.randrange(len(out))
        size = rng.randint(1, 40)
        kind = rng.choice(["flip", "drop", "insert", "zero", "double", "truncate", "huge"])
        if kind == "flip":
            out[at] ^= 1 << rng.randrange(8)
        elif kind == "drop":
            del out[at : at + size]
        elif kind == "insert":
            out[at:at] = rng.randbytes(size)
        elif kind == "zero":
            out[at] = 0
        elif kind == "double":
            out[at:at] = out[max(0, at - size) : at]
        elif kind == "truncate":
            end = out.find(0, at)
            del out[at : end if end > at else len(out)]
        elif rng.random() < 0.2:
            out[at:at] = bytes(rng.randrange(1, 256) for _ in range(rng.choice([4090, 4113, 9000])))
    return bytes(out)
