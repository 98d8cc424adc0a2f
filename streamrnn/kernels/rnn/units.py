"""The units of inference: what is compiled together, and when."""

from __future__ import annotations

from streamrnn.kernels.native import Unit

_SOURCES = tuple(
    f"rnn/{name}.py" for name in ("gates", "layers", "layout", "machine", "simd", "sums")
)

#: One stream, frame by frame, as a built-in method; float32.
CALL = Unit(
    "call",
    "streamrnn.kernels.rnn.live",
    {"step_call": "i8 i8 -> i8", "step": "i8* f4* f4* f4*", "ahead": "i8* f4*"},
    sources=(*_SOURCES, "rnn/live.py", "rnn/stepper.py"),
)
#: The same by plain calls, in either dtype.
LIVE = Unit(
    "live",
    "streamrnn.kernels.rnn.live",
    {"step": "i8* T* T* T*", "ahead": "i8* T*"},
    generic=True,
    sources=CALL.sources,
)
#: Many streams, frame by frame, as a built-in method; float32.
TICK = Unit(
    "tick",
    "streamrnn.kernels.rnn.rows",
    {"tick_call": "i8 i8 -> i8", "run": "i8* f4* f4* i8* f4* f4* i8 i8 i8 i8 f4*"},
    sources=(*_SOURCES, "rnn/rows.py", "rnn/stepper.py"),
)
#: Any number of streams, any number of frames.
INFER = Unit(
    "infer",
    "streamrnn.kernels.rnn.rows",
    {"run": "i8* T* T* i8* T* T* i8 i8 i8 i8 T*"},
    generic=True,
    sources=TICK.sources,
)
