from __future__ import annotations

import numpy as np
import pytest

from streamrnn.core.errors import SourceError, SourceTimeout
from streamrnn.core.link import LinkLostError
from streamrnn.core.types import Channel, End, Frames, Gap, Item, StreamInfo
from streamrnn.sources.base import Source
from streamrnn.sources.decoded.feed import FeedSource

INFO = StreamInfo((Channel("a"), Channel("b")), 100.0)


def frames(*seq: int) -> Frames:
    numbers = np.array(seq, np.int64)
    x = np.repeat(numbers[:, None], 2, axis=1).astype(np.float32)
    return Frames(x, numbers, numbers * 10_000)


class FakeFeed:
    """Gives what a test puts in; time passes while nothing is there."""

    name = "fake:"
    hint = "is it on?"
    clock = None

    def __init__(self, *script: Frames | Gap | type[Exception], can_return: bool = True) -> None:
        self.script = list(script)
        self.can_return = can_return
        self.metadata = {"from": "a test"}
        self.info = INFO
        self.now_s = 0.0
        self.is_there = True
        self.is_connected = False

    def connect(self, timeout_s: float) -> StreamInfo:
        if not self.is_there:
            self.now_s += timeout_s
            raise SourceError("no such thing")
        self.is_connected = True
        return self.info

    def pull(self, timeout_s: float) -> list[Frames | Gap]:
        if not self.script:
            self.now_s += timeout_s
            return []
        self.now_s += 0.01
        item = self.script.pop(0)
        if isinstance(item, type):
            raise item("gone")
        return [item]

    def disconnect(self) -> None:
        self.is_connected = False


def source_of(feed: FakeFeed) -> FeedSource:
    source = FeedSource(feed, clock=lambda: feed.now_s)
    return source


def read_all(source: Source, n: int) -> list[Item]:
    return [item for _ in range(n) for item in source.read(0.1)]


def test_the_first_items_are_the_description_and_the_first_frames() -> None:
    source = source_of(FakeFeed(frames(0, 1), frames(2)))
    with pytest.raises(ValueError, match="not open"):
        _ = source.info
    source.open()
    assert source.info == INFO
    items = source.read(0.1)
    assert items[0] == INFO
    assert isinstance(items[1], Frames)
    assert source.read(0.1)
    assert source.counters.n_frames == 3
    assert source.metadata == {"from": "a test"}
    assert source.timing is not None
    source.close()


def test_numbers_that_are_missing_are_lost_and_nan_is_refused() -> None:
    bad = frames(7, 8)
    bad.x[0, 1] = np.nan
    source = source_of(FakeFeed(frames(0, 1), frames(5), bad))
    source.open()
    items = read_all(source, 3)
    seq = [int(s) for item in items if isinstance(item, Frames) for s in item.seq]
    assert seq == [0, 1, 5, 8]
    counters = source.counters
    assert (counters.n_lost_frames, counters.n_bad_content, counters.n_frames) == (5, 1, 4)


def test_a_stream_that_falls_silent_is_a_gap_and_comes_back() -> None:
    feed = FakeFeed(frames(0))
    source = source_of(feed)
    source.open()
    assert len(read_all(source, 10)) == 2
    assert read_all(source, 15) == [Gap("unplug")]
    assert read_all(source, 30) == []  # it can be connected, but says nothing
    feed.script = [frames(9), frames(10)]
    items = read_all(source, 3)
    assert [len(item) for item in items if isinstance(item, Frames)] == [1, 1]
    assert source.counters.n_unplugs == 1
    assert source.counters.n_lost_frames == 8


def test_a_stream_that_ends_is_looked_for() -> None:
    feed = FakeFeed(frames(0), LinkLostError)
    source = source_of(feed)
    source.open()
    feed.is_there = False
    items = read_all(source, 5)
    assert items[-1] == Gap("unplug")
    assert not feed.is_connected
    feed.is_there = True
    feed.info = StreamInfo((Channel("a"),), 50.0)
    feed.script = [Gap("reboot", restart=True), frames(0), LinkLostError]
    items = read_all(source, 1)
    assert items[:2] == [feed.info, Gap("reboot", restart=True)]
    assert source.counters.n_lost_frames == 0
    assert read_all(source, 2)[-1] == Gap("unplug")


def test_what_cannot_return_ends() -> None:
    source = source_of(FakeFeed(frames(0), can_return=False))
    source.open()
    assert read_all(source, 40)[-1] == End()
    assert source.read(0.1) == []


def test_a_silent_or_missing_stream_is_named_and_let_go() -> None:
    feed = FakeFeed()
    with pytest.raises(SourceTimeout, match=r"gave no frame in 5 s \(is it on\?\)"):
        source_of(feed).open()
    assert not feed.is_connected
    feed = FakeFeed(LinkLostError)
    with pytest.raises(SourceError, match="went away while"):
        source_of(feed).open()
    assert not feed.is_connected
