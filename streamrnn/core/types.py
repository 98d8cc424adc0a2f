"""Array aliases and the things that flow from a source to the pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

F32: TypeAlias = npt.NDArray[np.float32]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]

#: Index of the class that means "no gesture", in every list of class names.
NULL_CLASS = 0
#: The name of that class wherever none is given.
NULL_NAME = "none"


@dataclass(frozen=True, slots=True)
class Channel:
    """One input line of a device.

    Attributes
    ----------
    name : str
        Name, unique within a stream; ``acc_x``.
    unit : str
        Physical unit, ``""`` when the device does not say.
    """

    name: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a stream says of itself (the HELLO packet, a session's metadata, or a guess from text).

    Attributes
    ----------
    channels : tuple of Channel
        In the order of the columns of `Frames.x`.
    rate_hz : float
        Nominal frame rate; 0.0 when unknown.
    name, firmware, boot_id : str
        Device name, firmware version, and a value that changes at each boot; ``""`` when unknown.
    """

    channels: tuple[Channel, ...]
    rate_hz: float
    name: str = ""
    firmware: str = ""
    boot_id: str = ""

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.channels)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, in order."""
        return tuple(channel.name for channel in self.channels)


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """A block of consecutive frames, in physical units.

    Lost frames show as jumps of `seq`: a block holds only what arrived.

    Attributes
    ----------
    x : float32 (N, n_channels), C-contiguous
        Samples.
    seq : int64 (N,)
        Index of each frame since the device booted, strictly increasing.
    t_us : int64 (N,)
        Device time of each frame in microseconds, never decreasing.
    """

    x: F32
    seq: I64
    t_us: I64

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.seq)

    def __getitem__(self, index: slice) -> Frames:
        """Return the frames of a slice, as views."""
        return Frames(self.x[index], self.seq[index], self.t_us[index])

    @staticmethod
    def empty(n_channels: int) -> Frames:
        """Return a block with no frames."""
        none = np.empty(0, np.int64)
        return Frames(np.empty((0, n_channels), np.float32), none, none)

    @staticmethod
    def join(blocks: list[Frames], n_channels: int) -> Frames:
        """Return the blocks as one; a single block is returned as it is."""
        if len(blocks) == 1:
            return blocks[0]
        if not blocks:
            return Frames.empty(n_channels)
        return Frames(
            np.concatenate([b.x for b in blocks]),
            np.concatenate([b.seq for b in blocks]),
            np.concatenate([b.t_us for b in blocks]),
        )


@dataclass(frozen=True, slots=True)
class Gap:
    """A break that the source itself noticed, between two blocks of frames.

    Frames lost on the way need no `Gap`: they show in `Frames.seq`.

    Attributes
    ----------
    reason : {"unplug", "reboot", "overrun"}
        What happened.
    restart : bool
        True when `seq` and `t_us` start anew behind it (the device booted).
    """

    reason: str
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Marker:
    """A label boundary that the device sent (a button, or a simulated truth).

    Attributes
    ----------
    label : str
        Name of the gesture.
    phase : {"start", "end"}
        Which boundary.
    t_us : int
        Device time in microseconds.
    """

    label: str
    phase: str
    t_us: int


@dataclass(frozen=True, slots=True)
class End:
    """The stream is over: the device or the file says that nothing follows.

    Attributes
    ----------
    next_seq : int or None
        Index that the next frame would have had, so that a lost tail is counted; None if unknown.
    """

    next_seq: int | None = None


#: What a source yields, in stream order. The first is a `StreamInfo`; another one means a change.
Item: TypeAlias = StreamInfo | Frames | Gap | Marker | End


@dataclass(frozen=True, slots=True)
class Label:
    """Ground truth: one interval of a session.

    Attributes
    ----------
    name : str
        Class name.
    start_us, end_us : int
        Device time of the first frame, and of the first frame behind it (half-open).
    source : str
        Who set it: ``"keys"``, ``"board"``, ``"import"``.
    confidence : float
        0..1.
    """

    name: str
    start_us: int
    end_us: int
    source: str = ""
    confidence: float = 1.0


@dataclass(slots=True)
class Counters:
    """What happened to the bytes of a stream. Every lost thing is counted somewhere here.

    Attributes
    ----------
    n_bytes : int
        Bytes read.
    n_packets : int
        Good packets, or good text lines.
    n_frames : int
        Frames decoded.
    n_lost_frames : int
        Frames that the sequence numbers say are missing.
    n_duplicate_frames : int
        Frames seen before, and dropped.
    n_bad_crc, n_bad_framing, n_oversize, n_bad_content : int
        Packets refused: checksum, COBS or length, too long, known type but senseless content
        (for text: n_bad_content counts lines of another arity or with junk).
    n_overrun_frames : int
        Frames dropped here because the consumer was late.
    n_unplugs : int
        Times that the link went away and came back.
    """

    n_bytes: int = 0
    n_packets: int = 0
    n_frames: int = 0
    n_lost_frames: int = 0
    n_duplicate_frames: int = 0
    n_bad_crc: int = 0
    n_bad_framing: int = 0
    n_oversize: int = 0
    n_bad_content: int = 0
    n_overrun_frames: int = 0
    n_unplugs: int = 0
    extra: dict[str, int] = field(default_factory=dict)
