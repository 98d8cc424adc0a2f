"""A recorded session as a source."""

from __future__ import annotations

import logging

import numpy as np

from streamrnn.core.types import Counters, End, Frames, Item, Marker, StreamInfo
from streamrnn.sessions.reader import read_session
from streamrnn.sessions.session import Session
from streamrnn.sources.timing import StreamTiming, TimingReport

_LOG = logging.getLogger(__name__)

#: Frames of one read: enough to be quick, few enough to be stopped between two.
BLOCK_FRAMES = 256


class FileSource:
    """Gives a session's frames with its label boundaries between them, as fast as they are taken.

    Parameters
    ----------
    path : str
        A session file (MCAP).
    """

    live = False

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = f"file:{path}"
        self._session: Session | None = None
        self._items: list[Item] = []
        self._next = 0
        self._counters = Counters()

    @property
    def info(self) -> StreamInfo:
        """Channels, rate and device of the session."""
        return self._opened().info

    @property
    def metadata(self) -> dict[str, str]:
        """Where the session's times and rate come from."""
        known = self._opened().metadata
        return {key: known[key] for key in ("clock", "rate") if key in known}

    @property
    def counters(self) -> Counters:
        """Frames given so far."""
        return self._counters

    @property
    def timing(self) -> TimingReport | None:
        """What the times of all its frames tell; arrivals only where the recorder noted them."""
        session = self._opened()
        timing = StreamTiming(
            session.info.rate_hz,
            has_clock=session.metadata.get("clock") != "counted",
            # An importer that knows no arrivals repeats the device times.
            has_arrivals=not np.array_equal(session.host_ns, session.frames.t_us * 1000),
        )
        timing.arrived_long_ago(session.frames, session.host_ns)
        return timing.report()

    def open(self) -> None:
        """Read the session, or raise `SessionError`; what is damaged in it is logged."""
        self._session = read_session(self.path)
        for problem in self._session.problems:
            _LOG.warning("%s: %s", self.path, problem)
        self._items = _items(self._session)
        self._next = 0
        self._counters = Counters()

    def read(self, timeout_s: float) -> list[Item]:
        """Return the next items; nothing behind the `End`."""
        del timeout_s  # nothing to wait for
        self._opened()
        items: list[Item] = []
        n_frames = 0
        while self._next < len(self._items) and n_frames == 0:
            item = self._items[self._next]
            self._next += 1
            items.append(item)
            if isinstance(item, Frames):
                n_frames = len(item)
        self._counters.n_frames += n_frames
        return items

    def close(self) -> None:
        """Forget the session."""
        self._session = None
        self._items = []

    def _opened(self) -> Session:
        if self._session is None:
            raise ValueError(f"{self.name} is not open")
        return self._session


def _items(session: Session) -> list[Item]:
    """Return the session's items in time order; a boundary stands before the frame at its time."""
    frames = session.frames
    markers = [Marker(label.name, "end", label.end_us) for label in session.labels]
    markers += [Marker(label.name, "start", label.start_us) for label in session.labels]
    # "end" before "start" at the same time, as the list was built; sorting is stable.
    markers.sort(key=lambda marker: marker.t_us)
    items: list[Item] = [session.info]
    first = 0
    for marker in markers:
        behind = int(np.searchsorted(frames.t_us, marker.t_us))
        _add_blocks(items, frames[first:behind])
        items.append(marker)
        first = max(first, behind)
    _add_blocks(items, frames[first:])
    items.append(End())
    return items


def _add_blocks(items: list[Item], frames: Frames) -> None:
    items += [frames[n : n + BLOCK_FRAMES] for n in range(0, len(frames), BLOCK_FRAMES)]
