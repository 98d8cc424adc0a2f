"""Probabilities to events.

A *run* of activity (the probability that any gesture is going on, 1 - p[null]) becomes an event:

- it starts when activity rises above the `enter` threshold of the strongest class of that frame;
- its *leader* is the class with the largest summed probability since the start;
- it ends at the first frame whose activity is not above the leader's `exit` threshold (that frame
  lies outside, and starts nothing);
- runs that last less than the leader's `min_ms` are dropped;
- for `refractory_ms` after the end of an event nothing starts.

With ``fire="end"`` an event is one ``discrete`` record when the run is over: nothing is surer. With
``fire="start"`` a ``start`` record comes as soon as the run has lasted `min_ms`; its class is final
then, and an ``end`` record follows when the run is over.

All times are the stream's own, never a clock's. With ``enter = exit = 0.4``, no smoothing, and
`min_ms` just above ten frames these are the segments of Tietz et al. 2019.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError
from streamrnn.core.records import Event
from streamrnn.core.text import did_you_mean
from streamrnn.core.types import F32, I64, NULL_CLASS
from streamrnn.decision.config import ClassRule, DecisionConfig
from streamrnn.kernels.pointwise import Smoother

__all__ = ["ClassRule", "DecisionConfig", "DecisionMachine"]


@dataclass(slots=True)
class _Run:
    """The run that is going on."""

    onset_us: int
    sums: list[float]
    n_frames: int
    leader: int
    fired: bool = False


@dataclass(frozen=True)
class _RunDocument:
    """A run as JSON values; see `_Run`."""

    onset_us: int
    sums: tuple[float, ...]
    n_frames: int
    leader: int
    fired: bool


@dataclass(frozen=True)
class _Document:
    """What a machine carries from frame to frame, as JSON values."""

    run: dict[str, Any] | None
    blocked_until_us: int | None
    last_seq: int
    last_us: int


class DecisionMachine:
    """Turn the probabilities of one stream into events.

    Parameters
    ----------
    config : DecisionConfig
    labels : sequence of str
        Class names, the null class first.
    rate_hz : float
        Nominal frame rate: a frame lasts one period.

    Raises
    ------
    ConfigError
        `config` names a class that is not in `labels`, or the null class; no classes; no rate.

    Attributes
    ----------
    smoother : Smoother
        The first stage; `push` goes through it.
    idle_up_to : float
        While the machine is idle, frames of up to this activity have no effect, now or later:
        they need not be given to `decide`.
    """

    def __init__(self, config: DecisionConfig, labels: Sequence[str], rate_hz: float) -> None:
        gestures = list(labels[1:])
        if not gestures:
            raise ConfigError("a decision needs the null class and at least one gesture")
        if not (math.isfinite(rate_hz) and rate_hz > 0):
            raise ConfigError(f"a decision needs a frame rate above 0, got {rate_hz}")
        for name in config.per_class:
            if name not in gestures:
                hint = did_you_mean(name, gestures)
                raise ConfigError(f"per_class: no gesture {name!r}{hint}; known: {gestures}")
        self.config = config
        self.labels = tuple(labels)
        self._fires_at_start = config.fire == "start"
        rules = [config.rule(name) for name in labels]
        self._enter = [rule.enter for rule in rules]
        self._exit = [rule.exit for rule in rules]
        self._min_us = [round(rule.min_ms * 1000) for rule in rules]
        self._refractory_us = [round(rule.refractory_ms * 1000) for rule in rules]
        self.idle_up_to = min(self._enter[NULL_CLASS + 1 :])
        self._period_us = round(1e6 / rate_hz)
        smooth_us = config.smooth_ms * 1000
        gain = -math.expm1(-1e6 / rate_hz / smooth_us) if smooth_us > 0 else 1.0
        self.smoother = Smoother(len(labels), gain)
        self.reads_energy = config.ood is not None
        self._forget()

    def _forget(self) -> None:
        self.smoother.reset()
        self._run: _Run | None = None
        self._blocked_until_us: int | None = None
        self._last_seq = 0
        self._last_us = 0

    def push(self, probs: F32, seq: I64, t_us: I64) -> list[Event]:
        """Return the events that the next frames complete.

        Parameters
        ----------
        probs : float32 (N, C)
            Probabilities of each frame.
        seq, t_us : int64 (N,)
            Index and device time of each frame.
        """
        events: list[Event] = []
        smoothed = self.smoother.push(probs)
        for p, s, t in zip(smoothed.tolist(), seq.tolist(), t_us.tolist(), strict=True):
            self.decide(p, s, t, events)
        return events

    def finish(self) -> list[Event]:
        """Close an open gesture at the end of the stream, and forget everything."""
        return self.reset()

    def reset(self, t_us: int | None = None) -> list[Event]:
        """Close an open gesture at a break in the stream, and forget everything.

        Parameters
        ----------
        t_us : int or None
            Device time of the first frame behind the break, if the device's clock went on.

        Returns
        -------
        list of Event
            The end of the open gesture, if it counts; its record carries the last frame before
            the break. A ``start`` always gets its ``end``.
        """
        events: list[Event] = []
        if self._run is not None:
            end_us = self._last_us + self._period_us
            if t_us is not None and t_us > self._last_us:
                end_us = min(end_us, t_us)
            self._close(self._run, end_us, self._last_seq, self._last_us, events)
        self._forget()
        return events

    def decide(
        self,
        p: list[float],
        seq: int,
        t_us: int,
        events: list[Event],
        energy: float = math.inf,
    ) -> None:
        """Append the events that one more frame completes.

        Parameters
        ----------
        p : list of float
            Smoothed probabilities, C of them: what `smoother` makes.
        seq, t_us : int
            Index and device time of the frame.
        events : list of Event
            Appended to.
        energy : float
            Of the frame; ignored unless `reads_energy`.
        """
        activity = 1.0 - p[NULL_CLASS]
        run = self._run
        if run is None:
            run = self._run = self._opened(p, activity, t_us)
        elif activity > self._exit[run.leader]:
            self._extend(run, p)
        else:
            self._run = None
            self._close(run, t_us, seq, t_us, events)
            run = None
        self._last_seq = seq
        self._last_us = t_us
        if run is not None and self._fires_at_start and not run.fired and self._counts(run):
            run.fired = True
            events.append(self._event(run, "start", seq, t_us, None))

    @property
    def is_idle(self) -> bool:
        """Whether no run is going on."""
        return self._run is None

    @property
    def is_fresh(self) -> bool:
        """Whether what was seen so far has no effect on what follows, as time does not go back."""
        blocked_us = self._blocked_until_us
        return self._run is None and (blocked_us is None or blocked_us <= self._last_us)

    def snapshot(self) -> dict[str, Any]:
        """Return what is carried from frame to frame, without the smoother's, as JSON values."""
        run = None if self._run is None else asdict(self._run)
        return asdict(_Document(run, self._blocked_until_us, self._last_seq, self._last_us))

    def restore(self, document: Mapping[str, Any]) -> None:
        """Go on where the machine was whose `snapshot` this is; the smoother stays as it is.

        Raises
        ------
        ConfigError
            Unknown or missing keys, wrong types, or a run of other classes; nothing has changed.
        """
        values = from_mapping(_Document, document, "decision")
        run = None
        if values.run is not None:
            known = from_mapping(_RunDocument, values.run, "decision: run")
            n = len(self.labels)
            if len(known.sums) != n or not 0 < known.leader < n or known.n_frames < 1:
                raise ConfigError(f"decision: a run that is not over {n} classes")
            if not all(map(math.isfinite, known.sums)):
                raise ConfigError("decision: a run whose sums are not finite")
            run = _Run(known.onset_us, list(known.sums), known.n_frames, known.leader, known.fired)
        self._run = run
        self._blocked_until_us = values.blocked_until_us
        self._last_seq, self._last_us = values.last_seq, values.last_us

    def _opened(self, p: list[float], activity: float, t_us: int) -> _Run | None:
        strongest = max(range(1, len(p)), key=p.__getitem__)
        if not activity > self._enter[strongest]:
            return None
        if self._blocked_until_us is not None and t_us < self._blocked_until_us:
            return None
        return _Run(t_us, list(p), 1, strongest)

    def _extend(self, run: _Run, p: list[float]) -> None:
        sums = run.sums = [a + b for a, b in zip(run.sums, p, strict=True)]
        run.n_frames += 1
        if not run.fired:
            run.leader = max(range(1, len(sums)), key=sums.__getitem__)

    def _counts(self, run: _Run) -> bool:
        """Return whether `run`, up to the last frame, is long enough."""
        lasted_us = self._last_us + self._period_us - run.onset_us
        return lasted_us >= self._min_us[run.leader]

    def _close(self, run: _Run, end_us: int, seq: int, t_us: int, events: list[Event]) -> None:
        if not run.fired and not self._counts(run):
            return
        phase = "end" if run.fired else "discrete"
        events.append(self._event(run, phase, seq, t_us, end_us))
        self._blocked_until_us = end_us + self._refractory_us[run.leader]

    def _event(self, run: _Run, phase: str, seq: int, t_us: int, end_us: int | None) -> Event:
        score = min(max(run.sums[run.leader] / run.n_frames, 0.0), 1.0)
        name = self.labels[run.leader]
        return Event(name, phase, seq, t_us, run.onset_us, end_us, score)
