"""Every unit of compiled kernels, by what it is for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy.typing as npt

from streamrnn.kernels.codec.units import PACKETS, TEXT
from streamrnn.kernels.fleet.units import FLEET as _FLEET
from streamrnn.kernels.host import PROBE
from streamrnn.kernels.live.units import CONDITION, FRAME, PROGRAM, PUSH
from streamrnn.kernels.native import Part, Unit, part_of
from streamrnn.kernels.rnn.training import TRAIN as _TRAIN
from streamrnn.kernels.rnn.units import CALL, INFER, TICK
from streamrnn.kernels.rnn.units import LIVE as STEP

#: What reads the bytes of a device.
DECODE: tuple[Unit, ...] = (PACKETS, TEXT)
#: What a frame goes through besides the network.
FRAMES: tuple[Unit, ...] = (PROGRAM, FRAME, CONDITION)
#: What a live run calls.
LIVE: tuple[Unit, ...] = (*DECODE, PUSH, CONDITION)
#: What a run calls whose network is in float64, for which there is no fused kernel.
STAGES: tuple[Unit, ...] = (*DECODE, *FRAMES, INFER, STEP)
#: What training calls, besides a live run's for the held-out sessions.
TRAIN: tuple[Unit, ...] = (*FRAMES, INFER, CALL, _TRAIN, PUSH)
#: What many streams call that are served together.
FLEET: tuple[Unit, ...] = (_FLEET, CONDITION, TICK, INFER, CALL, STEP)
#: What `doctor` calls: many streams at once, and loops that measure.
DOCTOR: tuple[Unit, ...] = (*LIVE, INFER, CALL, TICK, PROBE)
ALL: tuple[Unit, ...] = tuple(dict.fromkeys((*LIVE, *STAGES, *TRAIN, *FLEET, *DOCTOR)))


def parts(units: Iterable[Unit], *dtypes: npt.DTypeLike) -> list[Part]:
    """Return what is compiled of `units`: the generic ones for each dtype, the others once."""
    return [
        part_of(unit, dtype) for unit in units for dtype in (dtypes if unit.generic else (None,))
    ]
