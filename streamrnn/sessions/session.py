"""A recorded session in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamrnn.core.types import I64, Frames, Label, StreamInfo


def frame_period_us(rate_hz: float, t_us: I64) -> int:
    """Return the time from one frame to the next.

    Parameters
    ----------
    rate_hz : float
        Nominal rate; 0.0 when unknown.
    t_us : int64 (N,)
        Times of the frames, used when the rate is unknown.

    Returns
    -------
    int
        Microseconds, at least 1.
    """
    if rate_hz > 0.0:
        return max(1, round(1e6 / rate_hz))
    if len(t_us) > 1:
        return max(1, int(np.median(np.diff(t_us))))
    return 1


@dataclass(slots=True, eq=False)
class Session:
    """Frames, labels and what was said of them.

    Attributes
    ----------
    info : StreamInfo
        Channels, rate and device.
    frames : Frames
        All frames of the session; frames that were lost show as jumps of ``frames.seq``.
    host_ns : int64 (N,)
        Time at which the recorder got each frame, nanoseconds since 1970; an importer that knows no
        such time repeats the device time.
    labels : list of Label
        Ground truth, by start time.
    events : list of dict
        Event records that were stored with the session (docs/formats.md).
    metadata : dict of str to str
        ``subject``, ``placement``, ``notes``, ``source`` and whatever else the user wrote.
    problems : list of str
        What is missing or was damaged, one line each; empty for a whole recording.
    undone : list of Label
        Labels that were taken back while recording: they are no ground truth.
    """

    info: StreamInfo
    frames: Frames
    host_ns: I64
    labels: list[Label] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    undone: list[Label] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.frames)

    @property
    def subject(self) -> str:
        """Who did the gestures; ``""`` when nobody said."""
        return self.metadata.get("subject", "")

    @property
    def start_us(self) -> int:
        """Device time of the first frame; 0 without frames."""
        return int(self.frames.t_us[0]) if len(self.frames) else 0

    @property
    def end_us(self) -> int:
        """Device time one frame behind the last frame; 0 without frames."""
        if not len(self.frames):
            return 0
        t_us = self.frames.t_us
        return int(t_us[-1]) + frame_period_us(self.info.rate_hz, t_us)

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to one frame behind the last."""
        return (self.end_us - self.start_us) / 1e6
