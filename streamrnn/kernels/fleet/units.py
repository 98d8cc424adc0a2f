"""The unit of what is done for many streams besides the network."""

from __future__ import annotations

from streamrnn.kernels.live.units import FRAME
from streamrnn.kernels.native import Unit

FLEET = Unit(
    "fleet",
    "streamrnn.kernels.fleet.ticks",
    {
        "tick_features": "i8* f8* i8 i8* f4* i8 i8 f4*",
        "tick_smoothed": "i8* f8* f8* i8* i8* f4* i8 i8 f8 f4*",
    },
    sources=("fleet/ticks.py", "fleet/units.py", *FRAME.sources),
)
