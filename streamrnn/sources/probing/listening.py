"""A source listened to for a while: what its channels give, in bounded memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from streamrnn.core.types import F32, F64, End, Frames, Gap, Item, Marker, StreamInfo
from streamrnn.sources.base import Source

#: Samples that are kept for a closer look: 16 MB.
MAX_KEPT = 4_000_000
_BLOCK_FRAMES = 256
_WAIT_S = 0.05
#: So that a stretch of so many seconds is surely covered.
_MARGIN_S = 0.1


class Listener:
    """Takes the items of a stream and keeps account of them.

    Parameters
    ----------
    info : StreamInfo
    max_kept : int
        Most samples that are kept.

    Attributes
    ----------
    info : StreamInfo
        The newest; with other channels the account begins anew.
    n_frames, n_markers : int
        Since then.
    reboots : int
        Times that the device started anew.
    low, mean, high : float64 (n_channels,)
        Of the finite samples; NaN where there are none.
    is_whole : bool (n_channels,)
        True where all samples are whole numbers.
    span_s : float
        From the first frame to the last, by their own times.
    heard_s : float
        The same by this computer's clock, as far as `listen` goes.
    """

    def __init__(self, info: StreamInfo, max_kept: int = MAX_KEPT) -> None:
        self._max_kept = max_kept
        self.heard_s = 0.0
        self._begin(info)

    def _begin(self, info: StreamInfo) -> None:
        n = info.n_channels
        self.info = info
        self.n_frames = self.n_markers = self.reboots = 0
        self.span_s = 0.0
        self.low, self.high = np.full(n, np.inf), np.full(n, -np.inf)
        self.is_whole = np.ones(n, np.bool_)
        self._sum, self._n_finite = np.zeros(n), np.zeros(n, np.int64)
        self._forget()

    @property
    def mean(self) -> F64:
        """Mean of the finite samples of each channel, float64 (n_channels,)."""
        mean: F64 = np.full(len(self._sum), np.nan)
        np.divide(self._sum, self._n_finite, out=mean, where=self._n_finite > 0)
        return mean

    def take(self, item: Item) -> None:
        """Take the next item."""
        if isinstance(item, StreamInfo):
            if item.channels != self.info.channels:
                self._begin(item)
            self.info = item
        elif isinstance(item, Gap):
            self.reboots += item.reason == "reboot"
            if item.restart:
                self._forget()
        elif isinstance(item, Marker):
            self.n_markers += 1
        elif isinstance(item, Frames) and len(item):
            self._take_frames(item)

    def newest(self) -> Frames:
        """Return the newest frames since the device started, as many as were kept."""
        return Frames.join([*self._kept, *self._pending], self.info.n_channels)

    def _forget(self) -> None:
        """Forget what was kept: seq and time start anew."""
        self._kept: deque[Frames] = deque()
        self._pending: list[Frames] = []
        self._n_kept = self._n_pending = 0
        self._last: tuple[int, int] | None = None  # seq and t_us

    def _take_frames(self, frames: Frames) -> None:
        first = int(frames.seq[0]), int(frames.t_us[0])
        if self._last is not None and (first[0] <= self._last[0] or first[1] < self._last[1]):
            self._forget()
        before_us = first[1] if self._last is None else self._last[1]
        self._last = int(frames.seq[-1]), int(frames.t_us[-1])
        self.n_frames += len(frames)
        self.span_s += (self._last[1] - before_us) / 1e6
        self._account(frames.x)
        self._keep(frames)

    def _keep(self, frames: Frames) -> None:
        # A copy: a block may be a view of a larger one that would stay in memory.
        self._pending.append(Frames(frames.x.copy(), frames.seq.copy(), frames.t_us.copy()))
        self._n_pending += len(frames)
        self._n_kept += frames.x.size
        if self._n_pending >= _BLOCK_FRAMES:  # few large blocks take less than many small ones
            self._kept.append(Frames.join(self._pending, self.info.n_channels))
            self._pending = []
            self._n_pending = 0
        while self._n_kept > self._max_kept and self._kept:
            self._n_kept -= self._kept.popleft().x.size

    def _account(self, x: F32) -> None:
        finite = np.isfinite(x)
        if finite.all():
            self.low = np.minimum(self.low, x.min(axis=0))
            self.high = np.maximum(self.high, x.max(axis=0))
        else:
            self.low = np.minimum(self.low, np.where(finite, x, np.inf).min(axis=0))
            self.high = np.maximum(self.high, np.where(finite, x, -np.inf).max(axis=0))
        known = np.where(finite, x, 0.0).astype(np.float64)
        self._sum += known.sum(axis=0)
        self._n_finite += finite.sum(axis=0)
        self.is_whole &= (known == np.rint(known)).all(axis=0)


def listen(
    source: Source,
    listener: Listener,
    seconds: float,
    stop: threading.Event,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Let a listener hear a source.

    Parameters
    ----------
    source : Source
        Open.
    listener : Listener
        Keeps what it heard, however this ends.
    seconds : float
        From the first frame on: of this computer's time if the source is live, else of its own.
    stop : threading.Event
        Ends it before.
    clock : callable
        Seconds, monotonic.

    Returns
    -------
    {"done", "end", "stopped"}
        Why it ended.
    """
    first_s: float | None = None
    while not stop.is_set():
        items = source.read(_WAIT_S)
        for item in items:
            if isinstance(item, End):
                return "end"
            listener.take(item)
        if first_s is None and listener.n_frames:
            first_s = clock()
        if first_s is not None:
            if any(isinstance(item, Frames) for item in items):
                listener.heard_s = clock() - first_s
            if clock() >= first_s + seconds + _MARGIN_S:
                return "done"
        if not source.live and listener.span_s >= seconds:
            return "done"
    return "stopped"
