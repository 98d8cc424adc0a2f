"""Make wire.json: packets of the wire, version 1, built without a line of streamrnn.

COBS is PyPI's `cobs`, the checksum Python's `zlib`, the layout `struct` by docs/wire.md. Run it as
``python tests/golden/make_wire.py`` when the format gets a new version, and at no other time.
"""

from __future__ import annotations

import json
import platform
import struct
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cobs import cobs

HELLO, DATA, EVENT, CMD, ACK, PING, PONG = range(1, 8)


def packet(kind: int, payload: bytes, *, schema: int = 0, seq: int = 0, t_us: int = 0) -> str:
    body = struct.pack("<BBBBIQ", 1, kind, 0, schema, seq, t_us) + payload
    return (cobs.encode(body + struct.pack("<I", zlib.crc32(body))) + b"\0").hex()


def mixed_stream() -> list[dict[str, Any]]:
    """An i16 and an f32 group, labels, all small packets, a wrap of seq, the end."""
    hello = {
        "name": "golden",
        "firmware": "7",
        "boot_id": "b-1",
        "rate_hz": 80,
        "groups": [
            {"names": ["a", "b"], "unit": "g", "dtype": "i16", "scale": 0.5, "offset": 1},
            {"names": ["c"], "unit": "rad/s", "dtype": "f32"},
        ],
        "a_key_from_the_future": [1, {"x": None}],
    }
    two = struct.pack("<hhf", 1, -32768, 1.25) + struct.pack("<hhf", 32767, 0, -0.5)
    one = struct.pack("<hhf", 2, 4, 3.0)
    seq = 2**32 - 2
    label = b'{"kind":"label","label":"w\xc3\xa4ve","phase":"start"}'
    return [
        {
            "hex": packet(HELLO, json.dumps(hello).encode(), schema=9, seq=seq, t_us=1_000_000),
            "items": [
                {
                    "info": [["a", "g"], ["b", "g"], ["c", "rad/s"]],
                    "rate_hz": 80,
                    "who": ["golden", "7", "b-1"],
                }
            ],
        },
        {
            "hex": packet(DATA, two, schema=9, seq=seq, t_us=1_000_000),
            "data": {"schema": 9, "seq": seq, "t_us": 1_000_000, "payload": two.hex()},
            "items": [
                {"seq": seq, "t_us": 1_000_000, "x": [1.5, -16383.0, 1.25]},
                {"seq": seq + 1, "t_us": 1_012_500, "x": [16384.5, 1.0, -0.5]},
            ],
        },
        {
            "hex": packet(EVENT, label, seq=0, t_us=1_025_000),
            "items": [{"label": "wäve", "phase": "start", "t_us": 1_025_000}],
        },
        {
            "hex": packet(DATA, one, schema=9, seq=0, t_us=1_025_000),
            "data": {"schema": 9, "seq": 0, "t_us": 1_025_000, "payload": one.hex()},
            "items": [{"seq": seq + 2, "t_us": 1_025_000, "x": [2.0, 3.0, 3.0]}],
        },
        {
            "hex": packet(CMD, b'{"id":4294967295,"cmd":"SET_RATE","args":{"rate_hz":200.5}}'),
            "items": [{"command": [4294967295, "SET_RATE", {"rate_hz": 200.5}]}],
        },
        {
            "hex": packet(ACK, b'{"id":0,"ok":false,"message":"no"}', seq=1, t_us=2),
            "items": [{"ack": [0, False, "no"]}],
        },
        {
            "hex": packet(PING, struct.pack("<Q", 2**64 - 1), seq=0, t_us=5),
            "items": [{"ping": [2**64 - 1, 5]}],
        },
        {
            "hex": packet(PONG, struct.pack("<Q", 0), seq=1, t_us=2**40),
            "items": [{"pong": [0, 2**40]}],
        },
        {
            "hex": packet(EVENT, b'{"kind":"end"}', seq=1, t_us=1_037_500),
            "items": [{"end": seq + 3}],
        },
    ]


def long_stream() -> list[dict[str, Any]]:
    """Payloads at and around COBS's run of 254 bytes, and the largest packet of all.

    The items name the first frame and how many; their values are the payload's int16.
    """
    hello = {
        "name": "",
        "firmware": "",
        "boot_id": "",
        "rate_hz": 1000,
        "groups": [{"names": ["v"], "dtype": "i16"}],
    }
    packets: list[dict[str, Any]] = [
        {
            "hex": packet(HELLO, json.dumps(hello).encode()),
            "items": [{"info": [["v", ""]], "rate_hz": 1000, "who": ["", "", ""]}],
        }
    ]
    seq = 0
    for n in (116, 117, 118, 119, 120, 127, 244, 245, 246, 2038):
        values = [0x0101 + (i * 7) % 250 for i in range(n)]
        payload = struct.pack(f"<{n}h", *values)
        t_us = 1000 * seq
        packets.append(
            {
                "hex": packet(DATA, payload, seq=seq, t_us=t_us),
                "data": {"schema": 0, "seq": seq, "t_us": t_us, "payload": payload.hex()},
                "items": [{"seq": seq, "t_us": t_us, "n": n}],
            }
        )
        seq += n
    return packets


def main() -> None:
    made_by = {
        "script": "tests/golden/make_wire.py",
        "python": platform.python_version(),
        "cobs": version("cobs"),
        "zlib": zlib.ZLIB_VERSION,
    }
    document = {"made_by": made_by, "streams": {"mixed": mixed_stream(), "long": long_stream()}}
    path = Path(__file__).with_name("wire.json")
    path.write_text(json.dumps(document, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
