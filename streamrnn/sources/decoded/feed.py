"""A source on top of a library that gives frames: silence, loss and return, and what is counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from streamrnn.core.errors import SourceError, SourceTimeout
from streamrnn.core.link import LinkLostError
from streamrnn.core.types import Counters, End, Frames, Gap, Item, StreamInfo
from streamrnn.sources.base import Timer
from streamrnn.sources.timing import StreamTiming, TimingReport
from streamrnn.sources.timing.stream import DeviceClock

_LOG = logging.getLogger(__name__)

#: How long a stream may take to give its first frame, and how long it may pause: in seconds, and
#: at least so many periods.
OPEN_S = 5.0
SILENT_S = 2.0
_SILENT_PERIODS = 5
#: A stream that is gone is looked for this often.
_POLL_S = 0.02


class Feed(Protocol):
    """A library's stream of frames.

    Attributes
    ----------
    name : str
        For people.
    can_return : bool
        False: its end is the end.
    hint : str
        What may be wrong if it gives nothing.
    clock : DeviceClock or None
        How the clock of its frames stands to this computer's.
    metadata : dict of str to str
        For recordings; known once it is connected.
    """

    name: str
    can_return: bool
    hint: str
    clock: DeviceClock | None
    metadata: dict[str, str]

    def connect(self, timeout_s: float) -> StreamInfo:
        """Find the stream and connect, or raise `SourceError`; also behind a loss."""
        ...

    def pull(self, timeout_s: float) -> list[Frames | Gap]:
        """Return what has come, waiting up to `timeout_s` for the first frame.

        A `Gap` that restarts stands where numbers and times begin anew.

        Raises
        ------
        LinkLostError
            It is gone.
        """
        ...

    def disconnect(self) -> None:
        """Let go of everything; harmless when not connected."""
        ...


class FeedSource:
    """Gives the frames of a feed; see `streamrnn.sources.base.Source`.

    Parameters
    ----------
    feed : Feed
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    timer : Timer or None
        Is told when frames arrive.
    """

    live = True

    def __init__(self, feed: Feed, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = feed.name
        self.timer: Timer | None = None
        self._feed = feed
        self._clock = clock
        self._counters = Counters()
        self._info: StreamInfo | None = None
        self._timing: StreamTiming | None = None
        self._ready: list[Item] = []
        self._next_seq: int | None = None
        self._heard_s = 0.0
        self._silent_s = SILENT_S
        self._is_connected = self._is_down = self._ended = False

    @property
    def info(self) -> StreamInfo:
        """What the stream says of itself."""
        if self._info is None:
            raise ValueError(f"{self.name} is not open")
        return self._info

    @property
    def metadata(self) -> dict[str, str]:
        """What else is known of it."""
        return dict(self._feed.metadata)

    @property
    def counters(self) -> Counters:
        """What happened so far."""
        return self._counters

    @property
    def timing(self) -> TimingReport | None:
        """What the times of the frames tell so far."""
        return None if self._timing is None else self._timing.report()

    def open(self) -> None:
        """Connect, and wait for the first frame.

        Raises
        ------
        SourceTimeout
            It is there, but gives nothing.
        SourceError
            It cannot be found or connected.
        """
        try:
            self._meet(self._feed.connect(OPEN_S))
            self._is_connected = True
            until_s = self._clock() + OPEN_S
            while not any(isinstance(item, Frames) for item in self._ready):
                left_s = until_s - self._clock()
                if left_s <= 0:
                    raise SourceTimeout(
                        f"{self.name} is there, but gave no frame in {OPEN_S:g} s "
                        f"({self._feed.hint})"
                    )
                self._ready += self._taken(self._feed.pull(left_s))
        except LinkLostError as error:
            self.close()
            raise SourceError(f"{self.name} went away while it was being opened") from error
        except BaseException:
            self.close()
            raise

    def read(self, timeout_s: float) -> list[Item]:
        """Return the next items; see `streamrnn.sources.base.Source`."""
        if self._ready:
            items, self._ready = self._ready, []
            return items
        if self._ended:
            return []
        if self._is_down:
            return self._wait_for_return(timeout_s)
        if self._timing is not None and self._timing.is_due:
            self._timing.catch_up()
        try:
            items = self._taken(self._feed.pull(timeout_s))
        except LinkLostError as error:
            return self._lost(str(error))
        if not items and self._clock() > self._heard_s + self._silent_s:
            return self._lost(f"no frame came for {self._silent_s:g} s")
        return items

    def close(self) -> None:
        """Disconnect; harmless when not open."""
        self._feed.disconnect()
        self._is_connected = False

    def _meet(self, info: StreamInfo) -> None:
        """Take what the stream says of itself, if it is something new."""
        if info == self._info:
            return
        self._info = info
        self._silent_s = max(SILENT_S, _SILENT_PERIODS / info.rate_hz)
        self._timing = StreamTiming(info.rate_hz, clock=self._feed.clock)
        self._ready.append(info)

    def _taken(self, pulled: list[Frames | Gap]) -> list[Item]:
        """Count what came."""
        now_ns = time.perf_counter_ns()
        if self.timer is not None and pulled:
            self.timer.arrive()
        items: list[Item] = []
        counters = self._counters
        for item in pulled:
            if isinstance(item, Gap):
                items.append(item)
                if item.restart:
                    self._next_seq = None
                    if self._timing is not None:
                        self._timing.restarted()
                continue
            frames = item
            self._heard_s = self._clock()
            good = np.isfinite(frames.x).all(axis=1)
            if not good.all():
                counters.n_bad_content += int((~good).sum())
                x = np.ascontiguousarray(frames.x[good])
                frames = Frames(x, frames.seq[good], frames.t_us[good])
            if not len(frames):
                continue
            first, last = int(frames.seq[0]), int(frames.seq[-1])
            expected = first if self._next_seq is None else self._next_seq
            counters.n_lost_frames += last + 1 - expected - len(frames)
            counters.n_frames += len(frames)
            self._next_seq = last + 1
            if self._timing is not None:
                self._timing.arrived(frames, now_ns)
            items.append(frames)
        return items

    def _lost(self, why: str) -> list[Item]:
        self._feed.disconnect()
        self._is_connected = False
        if not self._feed.can_return:
            self._ended = True
            return [End()]
        _LOG.warning("%s went away (%s); waiting for it to come back", self.name, why)
        self._is_down = True
        if self._timing is not None:
            self._timing.interrupted()
        return [Gap("unplug")]

    def _wait_for_return(self, timeout_s: float) -> list[Item]:
        """Look for the stream, and for its first frame, up to `timeout_s`."""
        until_s = self._clock() + timeout_s
        while True:
            left_s = max(0.0, until_s - self._clock())
            try:
                if not self._is_connected:
                    self._meet(self._feed.connect(min(left_s, _POLL_S)))
                    self._is_connected = True
                    self._heard_s = self._clock()
                items = self._taken(self._feed.pull(min(left_s, _POLL_S)))
            except (SourceError, LinkLostError) as error:
                _LOG.debug("%s: %s", self.name, error)
                self._feed.disconnect()
                self._is_connected = False
                items = []
                time.sleep(min(left_s, _POLL_S))
            if items:
                _LOG.warning("%s is back", self.name)
                self._is_down = False
                self._counters.n_unplugs += 1
                items, self._ready = [*self._ready, *items], []
                return items
            if self._is_connected and self._clock() > self._heard_s + self._silent_s:
                self._feed.disconnect()
                self._is_connected = False
            if self._clock() >= until_s:
                return []
