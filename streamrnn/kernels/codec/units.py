"""The units of the codec kernels."""

from __future__ import annotations

from streamrnn.kernels.native import Unit

_SHARED = (
    "jit.py",
    "objects.py",
    "pycall.py",
    "codec/buffer.py",
    "codec/memory.py",
    "codec/slots.py",
)

PACKETS = Unit(
    "packets",
    "streamrnn.kernels.codec.packets",
    {"push": "i8 i8 -> i8", "take": "i8 i8 i8 -> i8", "resume": "i8 -> i8"},
    sources=(
        *_SHARED,
        "codec/clmul.py",
        "codec/cobs.py",
        "codec/crc.py",
        "codec/lanes.py",
        "codec/packets.py",
    ),
)

TEXT = Unit(
    "text",
    "streamrnn.kernels.codec.text",
    {"push": "i8 i8 -> i8", "take": "i8 i8 i8 -> i8", "resume": "i8 -> i8"},
    sources=(*_SHARED, "codec/text.py"),
)
