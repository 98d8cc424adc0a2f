from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest
from runtime_make import (
    INFO,
    ListSink,
    ListSource,
    backend,
    bundle,
    lines,
    make_frames,
    run,
    without,
)

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.records import Event, Record, Stats
from streamrnn.core.types import Channel, End, Frames, Gap, Item, StreamInfo
from streamrnn.runtime.flow import StreamClock
from streamrnn.runtime.latency import StageTimer
from streamrnn.runtime.loop import run_stream
from streamrnn.runtime.pipeline import Pipeline
from streamrnn.runtime.warmup import warm_up
from streamrnn.sources.timing import TimingReport


def go(source: ListSource, *sinks: ListSink, **options: object) -> Stats:
    options = {"stop": threading.Event(), "drop": False, **options}
    return run_stream(source, Pipeline(bundle(), backend()), sinks, **options)  # type: ignore[arg-type]


def blocks(frames: Frames, size: int = 20) -> list[list[Item]]:
    return [[frames[n : n + size]] for n in range(0, len(frames), size)]


def test_a_run_prints_what_the_pipeline_says_and_the_counts() -> None:
    frames = without(make_frames(500), [30, *range(100, 140)])
    sink = ListSink()
    stats = go(ListSource([INFO], *blocks(frames), [End(505)]), sink)
    assert sink.records[-1] is stats
    assert lines(sink.records[:-1]) == run([frames])
    assert sink.opened == ("dev", "")
    assert sink.n_closed == 1
    events = [r for r in sink.records if isinstance(r, Event)]
    assert stats.values["ended"] == "end"
    assert stats.values["n_frames"] == 459
    assert stats.values["n_missing_frames"] == 41 + 5
    assert stats.values["n_filled_frames"] == 1
    assert stats.values["n_events"] == len(events) == sum(stats.values["events"].values())
    assert (stats.values["n_gaps"], stats.values["n_resets"]) == (2, 1)
    assert stats.values["stream_s"] == 5.0
    assert stats.values["source"]["n_frames"] == 459
    assert "timing" not in stats.values  # a list knows of no time
    json.dumps(stats.values, allow_nan=False)


def test_what_a_source_knows_of_its_times_is_in_the_counts() -> None:
    source = ListSource([INFO], *blocks(make_frames(100)), [End()])
    source.timing = TimingReport(100.0, span_s=6.0, device_hz=99.5, error_ppm=20.0)
    timing = go(source, ListSink()).values["timing"]
    assert (timing["device_hz"], timing["is_settled"]) == (99.5, True)


def test_starts_are_counted_and_their_ends_are_not() -> None:
    sink = ListSink()
    stats = run_stream(
        ListSource(*blocks(make_frames(400)), [End()]),
        Pipeline(bundle("start"), backend()),
        [sink],
        stop=threading.Event(),
        drop=False,
    )
    starts = [r for r in sink.records if isinstance(r, Event) and r.phase == "start"]
    assert stats.values["n_events"] == len(starts) > 0


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_duration_is_cut_to_the_frame_in_stream_time(size: int) -> None:
    stats = go(ListSource(*blocks(make_frames(1000), size)), duration_s=2.5)
    assert stats.values["ended"] == "duration"
    assert stats.values["n_frames"] == 250
    assert stats.values["stream_s"] == 2.5


def test_a_duration_goes_on_over_a_restart() -> None:
    reads: list[list[Item]] = [
        [make_frames(100, first=5000)],
        [Gap("reboot", restart=True), make_frames(500)],
    ]
    stats = go(ListSource(*reads), duration_s=1.5)
    assert stats.values["n_frames"] == 150


def test_a_clock_without_a_rate_goes_by_times_alone() -> None:
    clock = StreamClock(0.0, None)
    empty = make_frames(0)
    assert clock.cut(empty) is empty
    clock.cut(make_frames(101))
    assert clock.covered_s == 1.0
    assert not clock.over


def test_stop_ends_cleanly_and_closes_what_is_open() -> None:
    stop = threading.Event()
    sink = ListSink()
    ticks: list[int] = []

    def tick() -> None:
        ticks.append(1)
        if len(ticks) > 1:  # everything was processed once
            stop.set()

    source = ListSource([make_frames(300)], hold=threading.Event(), live=True)
    stats = go(source, sink, stop=stop, drop=True, on_tick=tick)
    assert stats.values["ended"] == "stopped"
    assert lines(sink.records[:-1]) == run([make_frames(300)])


def test_a_failing_source_still_gets_its_statistics() -> None:
    sink = ListSink()
    with pytest.raises(SourceError, match="gone"):
        go(ListSource([make_frames(300)], SourceError("gone")), sink)
    assert lines(sink.records[:-1]) == run([make_frames(300)])
    assert isinstance(sink.records[-1], Stats)
    assert sink.records[-1].values["ended"] == "error"
    assert sink.n_closed == 1


def test_a_stream_that_does_not_fit_is_refused_before_it_is_read() -> None:
    source = ListSource(info=StreamInfo((Channel("a"),), 100.0))
    with pytest.raises(ConfigError, match="lacks"):
        go(source)
    assert source.n_reads == 0


def test_a_closed_pipe_ends_the_run_quietly() -> None:
    class Pipe(ListSink):
        def write(self, record: Record) -> None:
            super().write(record)
            raise BrokenPipeError

    pipe = Pipe()
    stats = go(ListSource(*blocks(make_frames(500)), [End()]), pipe)
    assert stats.values["ended"] == "pipe"
    assert len(pipe.records) == 1


def test_watchers_see_every_item_first() -> None:
    seen: list[Item] = []
    watch: list[Callable[[Item], None]] = [seen.append]
    go(ListSource([INFO], [make_frames(5)], [End()]), on_item=watch)
    assert [type(item) for item in seen] == [StreamInfo, Frames, End]


def test_stages_are_reported() -> None:
    timer = StageTimer()
    stats = run_stream(
        ListSource(*blocks(make_frames(300)), [End()]),
        Pipeline(bundle(), backend(), timer),
        [ListSink()],
        stop=threading.Event(),
        drop=False,
    )
    assert set(stats.values["stages_us"]) == {"inference", "decision", "sink"}


def test_warm_up_leaves_nothing_to_compile() -> None:
    warm_up(bundle(), backend())
    warm_up(bundle(), backend("numpy"))
