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
    for standby in (False, True):
        source = ListSource(*reads, [End()])
        with Reader(source, drop=False, max_frames=4, standby=standby) as reader:
            items = take_all(reader)
        assert isinstance(items[-1], End)
        assert [int(s) for i in items[:-1] for s in i.seq] == list(range(30))  # type: ignore[union-attr]
        assert reader.n_overrun_frames == 0


def test_a_loop_that_keeps_up_reads_for_itself() -> None:
    readers: set[str] = set()

    class Source(ListSource):
        def read(self, timeout_s: float) -> list[Item]:
            readers.add(threading.current_thread().name)
            return super().read(timeout_s)

    source = Source(*[[make_frames(1, first=n)] for n in range(100)], [End()])
    with Reader(source, drop=True, max_frames=4, standby=True) as reader:
        assert n_frames(take_all(reader)) == 100
    assert readers == {threading.main_thread().name}


def test_a_late_consumer_loses_the_oldest_frames_and_sees_it() -> None:
    reads: list[list[Item]] = [[make_frames(10, first=n)] for n in range(0, 110, 10)]
    reads[3].insert(0, Marker("left", "start", 300_000))
    source = ListSource(*reads, [End()])
    with Reader(source, drop=True, max_frames=25, standby=True) as reader:
        assert n_frames(reader.take(1.0) or []) == 10
        until(lambda: source.n_reads == 12)  # the loop is away, its standby is not
        items = take_all(reader)
    assert reader.n_overrun_frames == 80
    frames = [i for i in items if isinstance(i, Frames)]
    assert [int(f.seq[0]) for f in frames] == [90, 100]
    assert items[0] == Gap("overrun")
    assert Marker("left", "start", 300_000) in items  # only frames are dropped
    assert isinstance(items[-1], End)


def test_a_lossless_source_waits_for_its_consumer() -> None:
    source = ListSource(*[[make_frames(10, first=n)] for n in range(0, 100, 10)], [End()])
    with Reader(source, drop=False, max_frames=25, standby=True) as reader:
        assert n_frames(reader.take(1.0) or []) == 10
        until(lambda: source.n_reads == 4)
        time.sleep(0.06)
        assert source.n_reads == 4  # three blocks are queued: full
        taken = reader.take(1.0)
        assert reader.waited_ns > 0
        assert n_frames(taken or []) == 30
        assert n_frames(take_all(reader)) == 60
    assert reader.n_overrun_frames == 0


@pytest.mark.parametrize("standby", [False, True])
def test_an_error_comes_behind_what_was_read_before(standby: bool) -> None:
    source = ListSource([make_frames(3)], [make_frames(2, first=3)], SourceError("gone"))
    with Reader(source, drop=True, max_frames=10, standby=standby) as reader:
        assert n_frames(reader.take(1.0) or []) == 3
        if standby:
            until(lambda: source.n_reads == 3)
        assert n_frames(reader.take(1.0) or []) == 2
        with pytest.raises(SourceError, match="gone"):
            reader.take(1.0)


def test_stopping_gives_what_was_read_and_no_more() -> None:
    source = ListSource(*[[make_frames(1, first=n)] for n in range(100)])
    with Reader(source, drop=True, max_frames=3, standby=True) as reader:
        reader.take(1.0)
        until(lambda: source.n_reads > 1)
        reader.stop()
        n_reads = source.n_reads
        assert 0 < n_frames(take_all(reader)) < 100
        assert source.n_reads <= n_reads + 1
    assert "streamrnn-standby" not in [t.name for t in threading.enumerate()]


def test_nothing_came_in_time() -> None:
    with Reader(ListSource(), drop=True, max_frames=3, standby=False) as reader:
        assert reader.take(0.0) == []


def test_neighbouring_blocks_are_joined() -> None:
    a, b, c = make_frames(2), make_frames(2, first=2), make_frames(1, first=4)
    gap = Gap("overrun")
    out = list(joined([a, b, gap, c]))
    assert [type(item) for item in out] == [Frames, Gap, Frames]
    assert out[0].seq.tolist() == [0, 1, 2, 3]  # type: ignore[union-attr]
    assert out[2] is c
    assert [type(item) for item in joined([gap, a, b])] == [Gap, Frames]
