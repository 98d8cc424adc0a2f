"""Reads a source for a loop: directly while it keeps up, by a standby thread when it does not.

Handing every frame from a reader thread to the loop would cost a wake-up a frame. So the loop reads
for itself, and a standby thread takes over only when the loop has been away for some milliseconds
(a blocked pipe, a slow disk): it empties the device's small buffers into a bounded queue. Live, the
oldest frames go when that is full; they are counted, and a `Gap` stands in their place. Lossless,
the thread stops reading, and the device waits. See docs/adr/0006-threads-and-back-pressure.md.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from time import perf_counter_ns

from streamrnn.core.types import End, Frames, Gap, Item
from streamrnn.sources.base import Source

#: The standby thread looks this often whether the loop is away, seconds. A tty holds 4 KiB and
#: more: 50 ms of a device that sends 80 kB/s.
_LOOK_S = 0.02
#: ... and takes over when it has been away for this long, nanoseconds.
_AWAY_NS = 10_000_000
#: How long a read of the standby thread keeps the loop from reading, at most, seconds.
_STANDBY_READ_S = 0.005
_OVERRUN = Gap("overrun")


class Reader:
    """Reads a source for one loop; a context manager.

    Parameters
    ----------
    source : Source
        Open; not read by anyone else until `close`.
    drop : bool
        True: drop the oldest frames when the queue is full. False: let the source wait.
    max_frames : int
        Frames that the queue holds.
    standby : bool
        False: no thread. For sources that wait by themselves.

    Attributes
    ----------
    n_overrun_frames : int
        Frames dropped.
    waited_ns : int
        Time that the oldest item of the last `take` lay in the queue; 0 when it did not.
    """

    def __init__(self, source: Source, *, drop: bool, max_frames: int, standby: bool) -> None:
        self.n_overrun_frames = 0
        self.waited_ns = 0
        self._source = source
        self._drop = drop
        self._max_frames = max_frames
        # Held by whoever reads the source or touches what follows.
        self._lock = threading.Lock()
        self._items: deque[Item] = deque()
        self._n_frames = 0
        self._oldest_ns = 0
        self._finished = False
        self._error: Exception | None = None
        self._away_ns = 0  # since when the loop is away; 0: it is here
        self._stop = threading.Event()
        self._thread = (
            threading.Thread(target=self._stand_by, name="streamrnn-standby", daemon=True)
            if standby
            else None
        )

    def __enter__(self) -> Reader:
        """Get ready to read."""
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop reading."""
        self.close()

    def stop(self) -> None:
        """Read no more; what is queued can still be taken."""
        self._stop.set()

    def close(self) -> None:
        """Read no more, and wait for the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def take(self, timeout_s: float) -> list[Item] | None:
        """Return what is queued, or else what the source gives; None when nothing will follow.

        Raises
        ------
        Exception
            Whatever the source raised, behind the last of its items.
        """
        self._away_ns = 0  # the standby thread lets go of the lock as soon as its read is over
        try:
            with self._lock:
                if self._items:
                    items = list(self._items)
                    self._items.clear()
                    self._n_frames = 0
                    self.waited_ns = perf_counter_ns() - self._oldest_ns
                    return items
                if self._error is not None:
                    raise self._error
                if self._finished or self._stop.is_set():
                    return None
                self.waited_ns = 0
                return self._read(timeout_s)
        finally:
            self._away_ns = perf_counter_ns()

    def _read(self, timeout_s: float) -> list[Item]:
        items = self._source.read(timeout_s)
        if items and isinstance(items[-1], End):
            self._finished = True
        return items

    def _stand_by(self) -> None:
        while not self._stop.wait(_LOOK_S):
            while self._must_read():
                with self._lock:
                    if not self._away_ns or self._finished or self._is_full():
                        break
                    try:
                        items = self._read(_STANDBY_READ_S)
                    except Exception as error:  # raised again by the loop's next `take`
                        self._error = error
                        self._finished = True
                        return
                    self._put(items)

    def _must_read(self) -> bool:
        away_ns = self._away_ns
        return bool(
            away_ns
            and perf_counter_ns() - away_ns > _AWAY_NS
            and not self._finished
            and not self._stop.is_set()
        )

    def _is_full(self) -> bool:
        return not self._drop and self._n_frames >= self._max_frames

    def _put(self, items: list[Item]) -> None:
        if not self._items:
            self._oldest_ns = perf_counter_ns()
        self._items.extend(items)
        self._n_frames += sum(len(item) for item in items if isinstance(item, Frames))
        if self._drop and self._n_frames > self._max_frames:
            self._shed()

    def _shed(self) -> None:
        """Drop the oldest frames; everything else stays, in order."""
        kept: list[Item] = []
        while self._n_frames > self._max_frames and len(self._items) > 1:
            item = self._items.popleft()
            if not isinstance(item, Frames):
                kept.append(item)
                continue
            self._n_frames -= len(item)
            self.n_overrun_frames += len(item)
            if not kept or kept[-1] is not _OVERRUN:
                kept.append(_OVERRUN)
        self._items.extendleft(reversed(kept))


def joined(items: list[Item]) -> Iterator[Item]:
    """Yield the items with neighbouring blocks of frames as one: a late consumer catches up."""
    block: list[Frames] = []
    for item in items:
        if isinstance(item, Frames):
            block.append(item)
            continue
        if block:
            yield Frames.join(block, block[0].x.shape[1])
            block = []
        yield item
    if block:
        yield Frames.join(block, block[0].x.shape[1])
