from __future__ import annotations

import threading

import pytest
from runtime_make import INFO, ListSink, ListSource, backend, bundle, lines, make_frames, run

from streamrnn.core.types import End, Item
from streamrnn.runtime.flow import Flow
from streamrnn.runtime.loop import run_stream
from streamrnn.runtime.pipeline import Pipeline
from streamrnn.runtime.rehearsal import LEAD_S, Rehearsal, Rhythm


def test_a_rehearsal_leaves_no_trace() -> None:
    frames = make_frames(300)
    pipeline = Pipeline(bundle(), backend())
    pipeline.start(INFO)
    rehearsal = Rehearsal(pipeline, INFO)
    records = []
    for n in range(300):
        rehearsal.run()
        records += pipeline.push(frames[n : n + 1])
    assert lines(records + pipeline.finish()) == run([frames])
    assert (pipeline.n_frames, pipeline.n_resets) == (300, 0)
    twin = rehearsal._pipeline  # it really walked the whole way, over and over
    assert (twin.n_frames, twin.n_resets, twin.n_missing) == (300, 0, 0)


@pytest.mark.parametrize("interval_s", [0.004, 0.01, 0.15])
def test_steady_frames_are_foreseen(interval_s: float) -> None:
    rhythm = Rhythm()
    assert rhythm.idle_s(0.0) is None
    for n in range(50):
        rhythm.arrived(n * interval_s)
    last_s = 49 * interval_s
    assert rhythm.idle_s(last_s) == pytest.approx(interval_s - LEAD_S)
    assert rhythm.idle_s(last_s + interval_s - LEAD_S / 2) is None  # too late to rehearse


@pytest.mark.parametrize("interval_s", [0.001, 0.5, 1000.0])
def test_fast_and_slow_streams_are_left_alone(interval_s: float) -> None:
    rhythm = Rhythm()
    for n in range(50):
        rhythm.arrived(n * interval_s)
    assert rhythm.idle_s(49 * interval_s) is None


class PacedSource(ListSource):
    """Gives a frame every 10 ms, as a device does."""

    def __init__(self, n: int) -> None:
        reads: list[list[Item]] = [[make_frames(1, first=k)] for k in range(n)]
        super().__init__(*reads, [End()], live=True)
        self._clock = threading.Event()
        self._left_s = 0.01

    def read(self, timeout_s: float) -> list[Item]:
        waited_s = min(timeout_s, self._left_s)
        self._clock.wait(waited_s)
        self._left_s -= waited_s
        if self._left_s > 1e-9:
            return []
        self._left_s = 0.01
        return super().read(timeout_s)


def test_the_flow_rehearses_between_frames_only() -> None:
    n_rehearsals: list[int] = []
    flow = Flow(
        PacedSource(30),
        threading.Event(),
        drop=True,
        rehearse=lambda: n_rehearsals.append(1),
    )
    n_frames = sum(len(items) for items in flow.batches())
    assert n_frames == 31
    assert 1 <= len(n_rehearsals) <= 30  # one a frame, less what a busy machine spoils


def test_a_live_run_with_rehearsals_is_as_without() -> None:
    sink = ListSink()
    run_stream(
        PacedSource(40), Pipeline(bundle(), backend()), [sink], stop=threading.Event(), drop=True
    )
    assert lines(sink.records[:-1]) == run([make_frames(1, first=k) for k in range(40)])
