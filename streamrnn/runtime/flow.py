"""A source's items as they come, cut in stream time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from time import perf_counter

from streamrnn.core.types import End, Frames, Gap, Item
from streamrnn.runtime.reader import Reader, joined
from streamrnn.runtime.rehearsal import Rhythm
from streamrnn.sources.base import Source

#: A queue holds this much stream time, and at least `_MIN_QUEUE_FRAMES`.
QUEUE_S = 2.0
_MIN_QUEUE_FRAMES = 256
#: How often a loop with nothing to do looks around, seconds.
TICK_S = 0.1


class StreamClock:
    """Time that a stream has covered, from its own timestamps; a restart adds up.

    Parameters
    ----------
    rate_hz : float
        A frame lasts one period; 0.0 when unknown.
    duration_s : float or None
        Where the stream is cut.

    Attributes
    ----------
    over : bool
        True as soon as the duration is covered.
    """

    def __init__(self, rate_hz: float, duration_s: float | None) -> None:
        self.over = False
        self._limit_us = None if duration_s is None else round(duration_s * 1e6)
        self._period_us = round(1e6 / rate_hz) if rate_hz > 0 else 0
        self._before_us = 0
        self._first_us: int | None = None
        self._covered_us = 0

    @property
    def covered_s(self) -> float:
        """Seconds from the first frame to one period behind the last."""
        return (self._before_us + self._covered_us) / 1e6

    def cut(self, item: Item) -> Item:
        """Return the part of an item that lies within the duration."""
        if isinstance(item, Gap) and item.restart:
            self._before_us += self._covered_us
            self._covered_us = 0
            self._first_us = None
        if not isinstance(item, Frames) or not len(item):
            return item
        if self._first_us is None:
            self._first_us = int(item.t_us[0])
        if self._limit_us is not None:
            end_us = self._first_us + self._limit_us - self._before_us
            if int(item.t_us[-1]) >= end_us:
                item = item[: int((item.t_us < end_us).sum())]
                self.over = True
        if len(item):
            self._covered_us = int(item.t_us[-1]) - self._first_us + self._period_us
        if self._limit_us is not None and self._before_us + self._covered_us >= self._limit_us:
            self.over = True
        return item


class Flow:
    """The items of an open source until it ends, is stopped, or has lasted long enough.

    Parameters
    ----------
    source : Source
        Open.
    stop : threading.Event
        Set it to end; what was read until then still comes.
    drop : bool
        Drop the oldest frames when late (live), or make the source wait (lossless).
    duration_s : float or None
        In stream time.
    rehearse : callable, optional
        Called shortly before frames are due.

    Attributes
    ----------
    clock : StreamClock
    reader : Reader
    ended : {"", "end", "duration", "stopped"}
        Why it is over.
    """

    def __init__(
        self,
        source: Source,
        stop: threading.Event,
        *,
        drop: bool,
        duration_s: float | None = None,
        rehearse: Callable[[], None] | None = None,
    ) -> None:
        rate_hz = source.info.rate_hz
        max_frames = max(_MIN_QUEUE_FRAMES, round(rate_hz * QUEUE_S))
        self.clock = StreamClock(rate_hz, duration_s)
        self.reader = Reader(source, drop=drop, max_frames=max_frames, standby=source.live)
        self.ended = ""
        self._stop = stop
        self._rehearse = rehearse
        self._rhythm = Rhythm()

    def batches(self) -> Generator[list[Item], None, None]:
        """Yield the items that came together; an empty list at least every `TICK_S`."""
        with self.reader as reader:
            while not self.ended:
                stopped = self._stop.is_set()
                if stopped:
                    reader.stop()
                items = self._take()
                if items is None:
                    self.ended = "stopped" if stopped else "end"
                    return
                if len(items) > 1:
                    items = list(joined(items))
                yield self._cut(items)

    def _take(self) -> list[Item] | None:
        if self._rehearse is None:
            return self.reader.take(TICK_S)
        idle_s = self._rhythm.idle_s(perf_counter())
        items: list[Item] | None = []
        if idle_s is not None:
            items = self.reader.take(idle_s)
            if items == []:
                self._rehearse()
        if items == []:
            items = self.reader.take(TICK_S)
        if items:
            self._rhythm.arrived(perf_counter())
        return items

    def _cut(self, items: list[Item]) -> list[Item]:
        for n, item in enumerate(items):
            items[n] = self.clock.cut(item)
            if self.clock.over:
                self.ended = "duration"
                return items[: n + 1]
            if isinstance(item, End):
                self.ended = "end"
        return items
