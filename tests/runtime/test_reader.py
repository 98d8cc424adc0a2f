from __future__ import annotations

import threading
import time

import pytest
from runtime_make import ListSource, make_frames

from streamrnn.core.errors import SourceError
from streamrnn.core.types import End, Frames, Gap, Item, Marker
from streamrnn.runtime.reader import Reader, joined


def take_all(reader: Reader, limit_s: float = 5.0) -> list[Item]:
    items: list[Item] = []
    end = time.monotonic() + limit_s
    while (taken := reader.take(0.05)) is not None:
        items += taken
        assert time.monotonic() < end
    return items


def until(condition: object, limit_s: float = 5.0) -> None:
    assert callable(condition)
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def n_frames(items: list[Item]) -> int:
    return sum(len(i) for i in items if isinstance(i, Frames))


def test_everything_comes_in_order_up_to_the_end() -> None:
    reads = [[make_frames(3, first=n)] for n in range(0, 30, 3)]
    with Reader(ListSource(*reads, [End()]), drop=False, max_frames=4) as reader:
        items = take_all(reader)
    assert isinstance(items[-1], End)
    assert [int(s) for i in items[:-1] for s in i.seq] == list(range(30))  # type: ignore[union-attr]
    assert reader.n_overrun_frames == 0


def test_a_late_consumer_loses_the_oldest_frames_and_sees_it() -> None:
    reads: list[list[Item]] = [[make_frames(10, first=n)] for n in range(0, 100, 10)]
    reads[3].insert(0, Marker("left", "start", 300_000))
    source = ListSource(*reads, [End()])
    with Reader(source, drop=True, max_frames=25) as reader:
        until(lambda: source.n_reads == 11)
        items = take_all(reader)
    assert reader.n_overrun_frames == 80
    frames = [i for i in items if isinstance(i, Frames)]
    assert [int(f.seq[0]) for f in frames] == [80, 90]
    assert items[0] == Gap("overrun")
    assert Marker("left", "start", 300_000) in items  # only frames are dropped
    assert isinstance(items[-1], End)


def test_a_lossless_source_waits_for_its_consumer() -> None:
    source = ListSource(*[[make_frames(10, first=n)] for n in range(0, 100, 10)], [End()])
    with Reader(source, drop=False, max_frames=25) as reader:
        until(lambda: source.n_reads >= 3)
        time.sleep(0.05)
        assert source.n_reads == 3  # two blocks are queued, the third waits
        assert n_frames(take_all(reader)) == 100


def test_closing_frees_a_reader_that_waits_for_room() -> None:
    source = ListSource(*[[make_frames(10, first=n)] for n in range(0, 100, 10)])
    with Reader(source, drop=False, max_frames=10):
        until(lambda: source.n_reads == 2)
    assert threading.active_count() == 1 or "streamrnn-reader" not in [
        t.name for t in threading.enumerate()
    ]


def test_an_error_comes_behind_what_was_read_before() -> None:
    source = ListSource([make_frames(3)], SourceError("gone"))
    with Reader(source, drop=True, max_frames=10) as reader:
        until(lambda: not reader._thread.is_alive())
        taken = reader.take(1.0)
        assert taken is not None
        assert n_frames(taken) == 3
        with pytest.raises(SourceError, match="gone"):
            reader.take(1.0)


def test_stopping_gives_what_was_read() -> None:
    hold = threading.Event()
    with Reader(ListSource([make_frames(3)], hold=hold), drop=True, max_frames=10) as reader:
        assert n_frames(reader.take(1.0) or []) == 3
        assert reader.waited_ns > 0
        assert reader.take(0.01) == []
        reader.stop()
        hold.set()
        assert take_all(reader) == []


def test_neighbouring_blocks_are_joined() -> None:
    a, b, c = make_frames(2), make_frames(2, first=2), make_frames(1, first=4)
    gap = Gap("overrun")
    out = list(joined([a, b, gap, c]))
    assert [type(item) for item in out] == [Frames, Gap, Frames]
    assert out[0].seq.tolist() == [0, 1, 2, 3]  # type: ignore[union-attr]
    assert out[2] is c
    assert [type(item) for item in joined([gap, a, b])] == [Gap, Frames]
