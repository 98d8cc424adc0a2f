"""Bytes that others made: tests/golden/wire.json comes from PyPI `cobs` and `zlib`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wire_make import ENCODER, frames_of

from streamrnn.core.types import End, Marker, StreamInfo
from streamrnn.wire.decoder import WireDecoder
from streamrnn.wire.encode import frame_packet
from streamrnn.wire.packet import Ack, Command, PacketType, Ping, Pong
from streamrnn.wire.reference import ReferenceDecoder

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "wire.json").read_text())


def check(expected: dict[str, Any], got: list[Any], payload: str) -> None:
    """Compare what one packet gave."""
    if "seq" not in expected:
        (item,) = got
        assert item == plain(expected)
        return
    frames = frames_of(got)
    if "n" in expected:
        assert frames.seq.tolist() == [expected["seq"] + i for i in range(expected["n"])]
        assert frames.t_us.tolist() == [expected["t_us"] + 1000 * i for i in range(expected["n"])]
        values = np.frombuffer(bytes.fromhex(payload), "<i2").astype(np.float32)
        assert np.array_equal(frames.x[:, 0], values)
        return
    index = frames.seq.tolist().index(expected["seq"])
    assert int(frames.t_us[index]) == expected["t_us"]
    assert frames.x[index].tolist() == expected["x"]


def plain(expected: dict[str, Any]) -> Any:
    if "label" in expected:
        return Marker(expected["label"], expected["phase"], expected["t_us"])
    ((kind, value),) = [(k, v) for k, v in expected.items() if k not in ("rate_hz", "who")]
    if kind == "info":
        from streamrnn.core.types import Channel

        channels = tuple(Channel(name, unit) for name, unit in value)
        return StreamInfo(channels, expected["rate_hz"], *expected["who"])
    if kind == "end":
        return End(value)
    return {"command": Command, "ack": Ack, "ping": Ping, "pong": Pong}[kind](*value)


@pytest.mark.parametrize("make", [WireDecoder, ReferenceDecoder])
@pytest.mark.parametrize("stream", GOLDEN["streams"])
def test_golden_packets_decode(make: type[WireDecoder], stream: str) -> None:
    decoder = make()
    for entry in GOLDEN["streams"][stream]:
        got = decoder.push(bytes.fromhex(entry["hex"]))
        for expected in entry["items"]:
            check(expected, got, entry.get("data", {}).get("payload", ""))
    counters = decoder.counters
    assert counters.n_packets == len(GOLDEN["streams"][stream])
    assert counters.n_lost_frames == counters.n_duplicate_frames == counters.n_bad_content == 0


def test_our_encoder_makes_the_same_bytes() -> None:
    n_compared = 0
    for packets in GOLDEN["streams"].values():
        for entry in packets:
            if "data" in entry:
                d = entry["data"]
                ours = frame_packet(
                    PacketType.DATA,
                    bytes.fromhex(d["payload"]),
                    seq=d["seq"],
                    t_us=d["t_us"],
                    schema=d["schema"],
                )
                assert ours.hex() == entry["hex"]
                n_compared += 1
    assert n_compared == 12
    mixed = GOLDEN["streams"]["mixed"]
    assert ENCODER.ping(2**64 - 1, 0, 5).hex() == mixed[6]["hex"]
    assert ENCODER.pong(0, 1, 2**40).hex() == mixed[7]["hex"]
    assert ENCODER.event({"kind": "end"}, 2**32 + 1, 1_037_500).hex() == mixed[8]["hex"]


def test_the_worked_example_of_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "wire.md").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("    on the wire  ")]
    sent = bytes.fromhex(line.split("wire", 1)[1].replace(" ", ""))
    payload = np.array([100, -2, 0], "<i2").tobytes()
    assert sent == frame_packet(PacketType.DATA, payload, seq=7, t_us=1_070_000)
