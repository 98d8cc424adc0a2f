"""Held-out runs decided again and again, by the product's own machine, without the network.

A search tries hundreds of decisions on the same probabilities. What makes that quick is what makes
a fleet quick: a machine that is idle need not see frames whose activity is too low to start
anything, so only the rows in and around activity are ever touched one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamrnn.core.records import Event
from streamrnn.core.types import F32, F64, I64, NULL_CLASS
from streamrnn.decision.machine import DecisionConfig, DecisionMachine
from streamrnn.evaluation.events import Segment, segments_from_records
from streamrnn.evaluation.heldout import HeldOutRun

#: Rows that are made Python numbers at once, a power of two.
_BLOCK = 256

#: One frame as a machine takes it: probabilities, seq, t_us, energy.
_Row = tuple[list[float], int, int, float]


def at_temperature(probabilities: F32, temperature: float) -> F32:
    """Return probabilities as they would be had the logits been divided by `temperature`.

    Parameters
    ----------
    probabilities : float32 (M, C)
        At temperature 1.
    temperature : float
        Above 0; 1 changes no bit.
    """
    if temperature == 1.0:
        return probabilities
    logs = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)) / np.float32(temperature)
    logs -= logs.max(axis=1, keepdims=True)
    p = np.exp(logs)
    return np.ascontiguousarray(p / p.sum(axis=1, keepdims=True), np.float32)


class Rerun:
    """Held-out runs at one temperature, ready to be decided on.

    Parameters
    ----------
    runs : sequence of HeldOutRun
    labels : sequence of str
        Class names, the null class first.
    rate_hz : float
        Of the rows.
    """

    def __init__(self, runs: Sequence[HeldOutRun], labels: Sequence[str], rate_hz: float) -> None:
        for run in runs:
            if tuple(run.labels) != tuple(labels):
                raise ValueError(f"{run.name}: its classes {run.labels} are not {tuple(labels)}")
        self.runs = tuple(runs)
        self.labels = tuple(labels)
        self.rate_hz = rate_hz
        self._rows = [_Rows(run) for run in runs]

    def found(self, config: DecisionConfig) -> list[list[Segment]]:
        """Return the segments that a decision finds in each run."""
        return [segments_from_records(events) for events in self.events(config)]

    def events(self, config: DecisionConfig) -> list[list[Event]]:
        """Return the events of each run: those that a pipeline would give."""
        return [
            rows.events(DecisionMachine(config, self.labels, self.rate_hz)) for rows in self._rows
        ]


class _Rows:
    """The rows of one run, smoothed once a kind of smoothing, made Python numbers once a block."""

    def __init__(self, run: HeldOutRun) -> None:
        self._run = run
        self._stretches = _stretches(run)
        self._key: tuple[object, ...] = ()
        self._smoothed: F32 | F64 = np.empty((0, 0))
        self._activity: F64 = np.empty(0)
        self._blocks: dict[int, list[_Row]] = {}

    def events(self, machine: DecisionMachine) -> list[Event]:
        """Return the events of a fresh machine."""
        self._smooth(machine)
        events: list[Event] = []
        for first, behind, broken_us in self._stretches:
            if broken_us is not None:
                events += machine.reset(broken_us)
            self._decide(machine, first, behind, events)
        return events + machine.finish()

    def _smooth(self, machine: DecisionMachine) -> None:
        config = machine.config
        key = (config.temperature, config.smoothing, config.smooth_ms)
        if key == self._key:
            return
        p = at_temperature(self._run.probabilities, config.temperature)
        self._smoothed = p if config.smooth_ms == 0 else self._means(p, machine)
        self._activity = 1.0 - self._smoothed[:, NULL_CLASS].astype(np.float64)
        self._key = key
        self._blocks.clear()

    def _means(self, p: F32, machine: DecisionMachine) -> F64:
        smoother = machine.smoother
        parts = [np.empty((0, p.shape[1]))]
        for first, behind, _ in self._stretches:
            smoother.reset()
            parts.append(smoother.push(np.ascontiguousarray(p[first:behind])))
        smoother.reset()
        return np.concatenate(parts)

    def _decide(
        self, machine: DecisionMachine, first: int, behind: int, events: list[Event]
    ) -> None:
        """Give a machine the rows of one stretch that have an effect."""
        hot = np.flatnonzero(self._activity[first:behind] > machine.idle_up_to) + first
        decide, blocks = machine.decide, self._blocks
        seen = first
        for k in hot.tolist():
            if k < seen:
                continue
            at = k
            while at < behind:
                block = blocks.get(at // _BLOCK)
                if block is None:
                    block = self._block(at // _BLOCK)
                p, seq, t_us, energy = block[at % _BLOCK]
                decide(p, seq, t_us, events, energy)
                at += 1
                if machine.is_idle:
                    break
            seen = at

    def _block(self, n: int) -> list[_Row]:
        part = slice(n * _BLOCK, (n + 1) * _BLOCK)
        columns = (self._smoothed, self._run.seq, self._run.t_us, self._run.energy)
        rows = list(zip(*(column[part].tolist() for column in columns), strict=True))
        self._blocks[n] = rows
        return rows


def _stretches(run: HeldOutRun) -> list[tuple[int, int, int | None]]:
    """Return first row, row behind, and for all but the first the time of the break before."""
    cuts: list[tuple[int, int | None]] = [(0, None)]
    cuts += [(row, at_us) for row, at_us in run.breaks.tolist()]
    ends = [row for row, _ in cuts[1:]] + [len(run)]
    return [(row, end, at_us) for (row, at_us), end in zip(cuts, ends, strict=True)]


def gesture_ms(runs: Sequence[HeldOutRun]) -> dict[str, float]:
    """Return the median length of each class's true gestures, in milliseconds."""
    lengths: dict[str, list[int]] = {}
    for run in runs:
        for segment in run.truth:
            lengths.setdefault(segment.label, []).append(segment.end - segment.start)
    return {label: float(np.median(values)) / 1e3 for label, values in sorted(lengths.items())}


def counting_rows(run: HeldOutRun) -> I64:
    """Return the rows whose class is beyond doubt, int64.

    These are the later half of each gesture, when its class can be known, and null rows that lie
    further from any gesture than a quarter of the gestures' median length.
    """
    counts = np.ones(len(run), np.bool_)
    lengths = [segment.end - segment.start for segment in run.truth]
    margin = int(np.median(lengths)) // 4 if lengths else 0
    for segment in run.truth:
        a, start, middle, end, b = np.searchsorted(
            run.t_us,
            (
                segment.start - margin,
                segment.start,
                (segment.start + segment.end) // 2,
                segment.end,
                segment.end + margin,
            ),
        )
        counts[start:middle] = False
        for near in (slice(a, start), slice(end, b)):
            counts[near] &= run.y[near] != NULL_CLASS
    return np.flatnonzero(counts)
