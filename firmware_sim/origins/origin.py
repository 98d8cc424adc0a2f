"""Where a simulated board's frames come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from streamrnn.core.types import I64, U8, Marker
from streamrnn.wire.schema import Hello


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some neighbouring frames, as they stand in the payload of a DATA packet.

    Attributes
    ----------
    rows : uint8 (N, frame_bytes), C-contiguous
        The frames' bytes by the schema of the origin's HELLO.
    seq : int64 (N,)
        Index of each frame since boot, strictly increasing.
    t_us : int64 (N,)
        Time of each frame, microseconds, never decreasing. See `Origin.keeps_time`.
    markers : list of Marker
        Label boundaries, in order, on the same clock; each belongs before the first frame that is
        not earlier than it. Those behind the last frame of an origin come with its last block.
    """

    rows: U8
    seq: I64
    t_us: I64
    markers: list[Marker] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.seq)


class Origin(Protocol):
    """Gives frames to a `firmware_sim.device.Device`; knows nothing of packets or clocks.

    Attributes
    ----------
    hello : Hello
        The schema, with the nominal rate.
    keeps_time : bool
        True if `Block.t_us` goes out as it is (a recording); False if it counts from the START
        command, so that the device adds its clock.
    """

    hello: Hello
    keeps_time: bool

    def next(self, n_max: int) -> Block:
        """Return up to `n_max` frames more; a block without frames means that it is over."""
        ...

    def set_rate(self, rate_hz: float) -> bool:
        """Change the rate before the first frame, or return False when that cannot be."""
        ...


def to_rows(columns: tuple[npt.NDArray[Any], ...]) -> U8:
    """Return raw samples, one array (N, n) a group, as the bytes of N frames."""
    parts = [np.ascontiguousarray(raw).view(np.uint8) for raw in columns]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
