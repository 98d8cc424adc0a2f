"""Keeps a frame's way warm: the loop walks it with a made-up frame just before one is due.

A core that slept for 10 ms finds its caches, its page table and its branch history in others'
hands: the same instructions take five to ten times longer than in a busy loop. Frames come at a
steady pace, so the loop knows when the next is due. docs/adr/0006-threads-and-back-pressure.md has
the figures.
"""

from __future__ import annotations

import numpy as np

from streamrnn.core.records import Event, to_json_line
from streamrnn.core.types import Frames, StreamInfo
from streamrnn.runtime.pipeline import Pipeline
from streamrnn.wire.detect import Detector
from streamrnn.wire.encode import Encoder
from streamrnn.wire.schema import ChannelGroup, Hello

#: The rehearsal begins this long before a frame is due, seconds: earlier, and the core is cold
#: again; later, and a frame that comes early has to wait for it.
LEAD_S = 0.0005
#: Streams faster than this keep themselves warm, seconds between two arrivals.
_SHORTEST_S = 0.003
#: Slower streams are not worth a guess.
_LONGEST_S = 0.2
#: Share of the newest interval in the mean.
_GAIN = 0.125


class Rhythm:
    """Guesses when the next frames arrive from when the last ones did; is told the time."""

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._interval_s = 0.0

    def arrived(self, now_s: float) -> None:
        """Take note that frames came."""
        if self._last_s is not None:
            interval_s = min(now_s - self._last_s, 2 * _LONGEST_S)
            if self._interval_s == 0.0:
                self._interval_s = interval_s
            self._interval_s += _GAIN * (interval_s - self._interval_s)
        self._last_s = now_s

    def idle_s(self, now_s: float) -> float | None:
        """Return how long to wait before a rehearsal, seconds; None: none is due before a frame."""
        if self._last_s is None or not _SHORTEST_S <= self._interval_s <= _LONGEST_S:
            return None
        idle_s = self._last_s + self._interval_s - LEAD_S - now_s
        return idle_s if idle_s > 0 else None


class Rehearsal:
    """Sends one made-up frame after another through a twin of a pipeline.

    Parameters
    ----------
    pipeline : Pipeline
        Its weights are shared, its state is not touched.
    info : StreamInfo
        Layout of the stream.
    """

    _N_PACKETS = 64

    def __init__(self, pipeline: Pipeline, info: StreamInfo) -> None:
        self._pipeline = pipeline.twin()
        self._pipeline.start(info)
        rate_hz = info.rate_hz or pipeline.bundle.stream_hz
        hello = Hello("", "", "", rate_hz, (ChannelGroup(info.channel_names, "", "f32"),))
        encoder = Encoder()
        zeros = (np.zeros((1, info.n_channels), np.float32),)
        self._hello = encoder.hello(hello)
        self._packets = [encoder.data(hello, zeros, n, 0) for n in range(self._N_PACKETS)]
        self._detector = Detector()
        self._seq = 0
        self._event = Event("gesture", "discrete", 0, 0, 0, 0, 0.5)

    def run(self) -> None:
        """Rehearse once; changes nothing that anyone can see."""
        n = self._seq % self._N_PACKETS
        if n == 0:
            self._detector.reset()
            self._detector.push(self._hello)
        for item in self._detector.push(self._packets[n]):
            if isinstance(item, Frames):
                self._pipeline.push(Frames(item.x, item.seq + (self._seq - n), item.t_us))
        to_json_line(self._event, stream="stream", model=self._pipeline.bundle.model_hash)
        self._seq += 1
