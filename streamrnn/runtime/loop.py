"""The live loop: source -> pipeline -> sinks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from time import perf_counter
from typing import Any

from streamrnn.core.errors import StreamRNNError
from streamrnn.core.records import Event, GapRecord, Record, Stats
from streamrnn.core.types import Frames, Item
from streamrnn.runtime.flow import Flow
from streamrnn.runtime.latency import StageTimer
from streamrnn.runtime.pipeline import Pipeline
from streamrnn.runtime.rehearsal import Rehearsal
from streamrnn.sinks.base import Sink
from streamrnn.sources.base import Source


def run_stream(
    source: Source,
    pipeline: Pipeline,
    sinks: Sequence[Sink],
    *,
    stop: threading.Event,
    drop: bool,
    duration_s: float | None = None,
    on_item: Sequence[Callable[[Item], None]] = (),
    on_tick: Callable[[], None] | None = None,
) -> Stats:
    """Run a pipeline on an open source until it ends, `stop` is set, or `duration_s` is covered.

    Parameters
    ----------
    source : Source
        Open; not closed here.
    pipeline : Pipeline
        Fresh. If it has a timer, that also gets the stages ``sink``, ``arrival to result`` and,
        where frames had to wait, ``queue``, and is reported in the statistics.
    sinks : sequence of Sink
        Opened, given every record and at last the statistics, and closed.
    stop : threading.Event
        Set it from a signal handler for a clean end.
    drop : bool
        True: a late loop loses the oldest frames, counted. False: the source waits.
    duration_s : float or None
        Length in stream time.
    on_item : sequence of callable
        Each sees every item before the pipeline does.
    on_tick : callable, optional
        Called after each batch, and about ten times a second when nothing comes.

    Returns
    -------
    Stats
        Also given to the sinks as the last record.

    Raises
    ------
    ConfigError
        The stream does not fit the model.
    SourceError
        The source failed; open gestures are closed and the statistics written before.
    """
    pipeline.start(source.info)
    for sink in sinks:
        sink.open(source.info.name, pipeline.bundle.model_hash)
    rehearse = Rehearsal(pipeline, source.info).run if source.live else None
    flow = Flow(source, stop, drop=drop, duration_s=duration_s, rehearse=rehearse)
    run = _Run(pipeline, flow, sinks)
    begin_s = perf_counter()
    failure: StreamRNNError | None = None
    pipe_closed = False
    try:
        try:
            with closing(flow.batches()) as batches:
                for items in batches:
                    run.process(items, on_item)
                    if on_tick is not None:
                        on_tick()
        except StreamRNNError as error:
            failure = error
        run.give(pipeline.finish())
    except BrokenPipeError:
        pipe_closed = True  # the reader of our output has seen enough (`| head`)
    if failure is not None:
        flow.ended = "error"
    elif pipe_closed:
        flow.ended = "pipe"
    stats = Stats(run.values(source, perf_counter() - begin_s))
    if not pipe_closed:
        run.give([stats])
    for sink in sinks:
        sink.close()
    if failure is not None:
        raise failure
    return stats


class _Run:
    """Items through the pipeline to the sinks, and what is counted on the way."""

    def __init__(self, pipeline: Pipeline, flow: Flow, sinks: Sequence[Sink]) -> None:
        self._pipeline = pipeline
        self._timer: StageTimer | None = pipeline.timer
        self._flow = flow
        self._sinks = sinks
        self._n_events: Counter[str] = Counter()
        self._n_gaps = 0

    def process(self, items: list[Item], watchers: Sequence[Callable[[Item], None]]) -> None:
        timer = self._timer
        waited_ns = self._flow.reader.waited_ns
        arrived_ns = 0
        if timer:
            # What lay in the queue came before the newest read.
            arrived_ns = timer.start() - waited_ns if waited_ns else timer.arrived_ns
        if timer and waited_ns:
            timer.add("queue", waited_ns)
        for item in items:
            for watch in watchers:
                watch(item)
            records = self._pipeline.push(item)
            if records:
                mark = timer.start() if timer else 0
                self.give(records)
                if timer:
                    timer.lap("sink", mark)
        if timer and arrived_ns and any(isinstance(item, Frames) for item in items):
            timer.lap("arrival to result", arrived_ns)
        self._pipeline.ahead()

    def give(self, records: Sequence[Record]) -> None:
        for record in records:
            if isinstance(record, Event) and record.phase != "end":
                self._n_events[record.gesture] += 1
            elif isinstance(record, GapRecord):
                self._n_gaps += 1
            for sink in self._sinks:
                sink.write(record)

    def values(self, source: Source, host_s: float) -> dict[str, Any]:
        """Return the statistics in a fixed order."""
        pipeline, flow = self._pipeline, self._flow
        counters = asdict(source.counters)
        extra = counters.pop("extra")
        counters["n_overrun_frames"] = flow.reader.n_overrun_frames
        values: dict[str, Any] = {
            "ended": flow.ended,
            "n_frames": pipeline.n_frames,
            "n_events": sum(self._n_events.values()),
            "events": dict(sorted(self._n_events.items())),
            "n_gaps": self._n_gaps,
            "n_missing_frames": pipeline.n_missing,
            "n_filled_frames": pipeline.n_filled,
            "n_invalid_frames": pipeline.n_invalid,
            "n_resets": pipeline.n_resets,
            "stream_s": round(flow.clock.covered_s, 6),
            "host_s": round(host_s, 3),
            "frames_per_s": round(pipeline.n_frames / host_s, 1) if host_s > 0 else 0.0,
            "source": {**counters, **extra},
        }
        timing = source.timing
        if timing is not None:
            values["timing"] = timing.to_dict()
        if self._timer is not None:
            values["stages_us"] = self._timer.summary()
        return values
