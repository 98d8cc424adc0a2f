"""One reader thread and a bounded queue between a source and whoever takes its items.

Live, the oldest frames go when the consumer is late; they are counted, and a `Gap` stands in their
place. Lossless, the reader waits, and with it the device. See docs/adr/0006.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from time import perf_counter_ns

from streamrnn.core.types import End, Frames, Gap, Item
from streamrnn.sources.base import Source

#: How long one read waits, seconds: the longest time that stopping takes.
_READ_S = 0.1
_OVERRUN = Gap("overrun")


class Reader:
    """Reads a source in a thread of its own.

    Parameters
    ----------
    source : Source
        Open; only the thread reads it until `close`.
    drop : bool
        True: drop the oldest frames when the queue is full. False: wait.
    max_frames : int
        Frames that the queue holds.

    Attributes
    ----------
    n_overrun_frames : int
        Frames dropped.
    waited_ns : int
        Time that the oldest item of the last `take` lay in the queue.
    """

    def __init__(self, source: Source, *, drop: bool, max_frames: int) -> None:
        self.n_overrun_frames = 0
        self.waited_ns = 0
        self._source = source
        self._drop = drop
        self._max_frames = max_frames
        self._lock = threading.Lock()
        self._items: deque[Item] = deque()
        self._n_frames = 0
        self._oldest_ns = 0
        # One token a put: waking up costs less than with a condition variable.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._room = threading.Event()
        self._stopping = False
        self._finished = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="streamrnn-reader", daemon=True)

    def __enter__(self) -> Reader:
        """Start to read."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop reading."""
        self.close()

    def close(self) -> None:
        """Stop reading and wait for the thread; what is still queued is forgotten."""
        self._stopping = True
        self._room.set()
        self._thread.join()

    def stop(self) -> None:
        """Stop reading; what is queued can still be taken."""
        self._stopping = True
        self._room.set()

    def take(self, timeout_s: float) -> list[Item] | None:
        """Return all that is queued, waiting for the first; None when nothing will follow.

        Raises
        ------
        Exception
            Whatever the source raised, behind the last of its items.
        """
        try:
            self._wake.get(timeout=timeout_s)
        except Empty:
            return []
        with self._lock:
            items = list(self._items)
            self._items.clear()
            self._n_frames = 0
            finished = self._finished
            self.waited_ns = perf_counter_ns() - self._oldest_ns if items else 0
            self._room.set()
        if items:
            if finished:
                self._wake.put(None)
            return items
        if not finished:
            return []
        if self._error is not None:
            raise self._error
        return None

    def _run(self) -> None:
        try:
            while not self._stopping:
                items = self._source.read(_READ_S)
                if items:
                    self._put(items)
                    if isinstance(items[-1], End):
                        return
        except Exception as error:  # handed to the consumer, which raises it
            self._error = error
        finally:
            with self._lock:
                self._finished = True
            self._wake.put(None)

    def _put(self, items: list[Item]) -> None:
        n_frames = sum(len(item) for item in items if isinstance(item, Frames))
        if not self._drop:
            self._wait_for_room(n_frames)
        with self._lock:
            if not self._items:
                self._oldest_ns = perf_counter_ns()
            self._items.extend(items)
            self._n_frames += n_frames
            if self._drop and self._n_frames > self._max_frames:
                self._shed()
        self._wake.put(None)

    def _wait_for_room(self, n_frames: int) -> None:
        while not self._stopping:
            with self._lock:
                if not self._n_frames or self._n_frames + n_frames <= self._max_frames:
                    return
                self._room.clear()
            self._room.wait()

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
