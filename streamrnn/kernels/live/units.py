"""The units of the frame kernels."""

from __future__ import annotations

from streamrnn.kernels.native import Unit
from streamrnn.kernels.rnn.units import CALL

FRAME = Unit(
    "frame",
    "streamrnn.kernels.live.frame",
    {
        "softmax_rows": "f4* i8 i8 f8 f4* f4*",
        "smooth_rows": "i8* f4* i8 i8 f8*",
    },
    sources=("live/*.py", "rnn/simd.py", "rnn/machine.py"),
)

PROGRAM = Unit(
    "program",
    "streamrnn.kernels.live.program",
    {"program_rows": "i8* f4* i8 i8 f4*"},
    sources=("live/program*.py", "live/slots.py", "rnn/simd.py", "rnn/machine.py"),
)

PUSH = Unit(
    "push",
    "streamrnn.kernels.live.push",
    {
        "push_samples": "i8 i8 -> i8",
        "push_frame": "i8 i8 -> i8",
        "push_rows": "i8* f4* i8 f4* f8* f4*",
        "ahead": "i8* f4*",
    },
    sources=("live/*.py", *CALL.sources),
)

CONDITION = Unit(
    "condition",
    "streamrnn.kernels.live.condition",
    {
        "condition_call": "i8 i8 -> i8",
        "condition_rows": "i8* f8* f4* i8 f4* i8* -> i8",
        "condition_tick": "i8* f8* i8 i8* f4* i8 f4* i8*",
    },
    sources=("live/condition*.py", "live/slots.py", "rnn/simd.py", "rnn/machine.py"),
)
