"""Streams of probabilities and energies, options of all kinds, and runs over them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from streamrnn.core.records import Event
from streamrnn.decision import DecisionConfig, DecisionMachine
from streamrnn.decision.explain import Explanation
from streamrnn.decision.watcher import ExplainingMachine

RATE_HZ = 50.0
PERIOD_US = 20_000
LABELS = ("none", "left", "right", "up")


@dataclass(frozen=True, eq=False)
class Stream:
    """Frames: probabilities (N, 4) and energies (N,)."""

    p: np.ndarray
    energy: np.ndarray


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Runs of activity, many near a threshold, in multiples of 1/64 so that sums are exact."""
    rows: list[Any] = []
    energies: list[float] = []
    for _ in range(draw(st.integers(0, 9))):
        level = draw(st.sampled_from([0, 20, 26, 30, 36, 50, 62, 64]))
        first = draw(st.integers(0, level))
        second = draw(st.integers(0, level - first))
        p = np.array([64 - level, first, second, level - first - second]) / 64
        n = draw(st.integers(1, 14))
        rows += [p] * n
        energies += [draw(st.sampled_from([-3.0, 0.5, 9.0]))] * n
    return Stream(np.array(rows, np.float32).reshape(-1, 4), np.array(energies, np.float32))


def configs(**fixed: Any) -> st.SearchStrategy[DecisionConfig]:
    """Any options, but for some."""
    free: dict[str, st.SearchStrategy[Any]] = {
        "enter": st.sampled_from([0.4, 0.5, 0.8]),
        "exit": st.sampled_from([0.2, 0.4]),
        "min_ms": st.sampled_from([0.0, 60.0, 210.0]),
        "hold": st.sampled_from([1.0, 0.7, 0.3]),
        "refractory_ms": st.sampled_from([0.0, 100.0, 400.0]),
        "refractory_all_ms": st.sampled_from([0.0, 0.0, 80.0, 300.0]),
        "require_null_between": st.booleans(),
        "smooth_ms": st.sampled_from([0.0, 40.0, 90.0]),
        "smoothing": st.sampled_from(["ema", "mean"]),
        "ood": st.sampled_from([None, 0.0, 1.0]),
        "fire": st.sampled_from(["end", "start", "sure"]),
        "sure": st.sampled_from([0.4, 0.7, 0.95]),
        "deadline_ms": st.sampled_from([0.0, 120.0]),
        "evidence_ms": st.sampled_from([0.0, 70.0]),
        "per_class": st.sampled_from([
            {},
            {"left": {"enter": 0.9, "min_ms": 100.0}},
            {"up": {"exit": 0.1, "refractory_ms": 0.0, "sure": 0.3}},
        ]),
    }  # fmt: skip
    return st.builds(
        DecisionConfig, **{k: v if k not in fixed else st.just(fixed[k]) for k, v in free.items()}
    )


def feed(
    machine: DecisionMachine,
    stream: Stream,
    *,
    cuts: Any = (),
    first: int = 0,
    period_us: int = PERIOD_US,
    close: bool = True,
) -> list[Event]:
    """Return the events of a stream that goes on at index `first`."""
    n = len(stream.p)
    seq = np.arange(first, first + n)
    edges = [0, *sorted(min(c, n) for c in cuts), n]
    events = []
    for a, b in itertools.pairwise(edges):
        events += machine.push(stream.p[a:b], seq[a:b], seq[a:b] * period_us, stream.energy[a:b])
    return events + (machine.finish() if close else [])


def run(config: DecisionConfig, stream: Stream, **options: Any) -> list[Event]:
    return feed(DecisionMachine(config, LABELS, RATE_HZ), stream, **options)


def explained(
    config: DecisionConfig, stream: Stream, **options: Any
) -> tuple[list[Event], list[Explanation]]:
    told: list[Explanation] = []
    machine = ExplainingMachine(config, LABELS, RATE_HZ, told.append)
    return feed(machine, stream, **options), told


def frames(*parts: tuple[int, int, float], energy: float = 9.0) -> Stream:
    """Return a stream of (frames, class, its probability) parts; the rest is null."""
    rows = []
    for n, k, level in parts:
        p = [1 - level, 0.0, 0.0, 0.0]
        p[k] = level if k else 1.0
        rows += [p] * n
    return Stream(np.array(rows, np.float32), np.full(len(rows), energy, np.float32))
