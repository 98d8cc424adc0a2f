"""Probabilities to events.

A *run* of activity (the probability that any gesture is going on, 1 - p[null]) becomes an event:

- it starts when activity rises above the `enter` threshold of the strongest class of that frame;
- its *leader* is the class with the largest sum of probabilities since the start, in which frame n
  counts n times: of the first frames of a gesture nobody can know the class;
- it ends at the first frame whose activity is not above the leader's `exit` threshold (that frame
  lies outside, and starts nothing); with `hold` below 1 it outlives a few such frames;
- runs that last less than the leader's `min_ms` are dropped;
- for `refractory_ms` after the end of an event nothing starts.

Frames whose energy is below `ood` are strange and have no activity.

With ``fire="end"`` an event is one ``discrete`` record when the run is over: nothing is surer. With
``fire="start"`` a ``start`` record comes as soon as the run has lasted `min_ms`; its class is final
then, and an ``end`` record follows when the run is over. With ``fire="sure"`` the class's share of
the evidence, its mean probability over the run, must have reached `sure` besides, or the run must
have lasted `deadline_ms`; a run that ends before is one ``discrete`` record. With `evidence_ms` an
early decision looks at the newest frames alone: what a recurrent network says at a frame rests on
all frames before it, and what it said of the first ones it said in ignorance.

All times are the stream's own, never a clock's. With ``enter = exit = 0.4``, no smoothing, and
`min_ms` just above ten frames these are the segments of Tietz et al. 2019.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError
from streamrnn.core.records import Event
from streamrnn.core.text import did_you_mean
from streamrnn.core.types import F32, I64, NULL_CLASS
from streamrnn.decision.config import ClassRule, DecisionConfig
from streamrnn.decision.run import Run, run_from_document
from streamrnn.kernels.live.slots import MOST_MEAN_FRAMES
from streamrnn.kernels.pointwise import Smoother

__all__ = ["ClassRule", "DecisionConfig", "DecisionMachine"]

#: With `hold` below 1, `min_ms` is at most so many frames.
MOST_HOLD_FRAMES = 4096


@dataclass(frozen=True)
class _Document:
    """What a machine carries from frame to frame, as JSON values."""

    run: dict[str, Any] | None
    blocked_until_us: int | None
    last_seq: int
    last_us: int
    paused_until_us: dict[str, int] = field(default_factory=dict)
    wants_null: bool = False


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
        `config` names a class that is not in `labels`, or the null class; no classes; no rate;
        a mean or a `hold` over too many frames.

    Attributes
    ----------
    smoother : Smoother
        The first stage; `push` goes through it.
    idle_up_to : float
        While the machine is idle, frames of up to this activity have no effect, now or later:
        they need not be given to `decide`.
    reads_energy : bool
        Whether `decide` looks at a frame's energy.
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
        self._fires_early = config.fire != "end"
        self._waits_till_sure = config.fire == "sure"
        rules = [config.rule(name) for name in labels]
        self._enter = [rule.enter for rule in rules]
        self._exit = [rule.exit for rule in rules]
        self._sure = [rule.sure for rule in rules]
        self._min_us = [round(rule.min_ms * 1000) for rule in rules]
        self._refractory_us = [round(rule.refractory_ms * 1000) for rule in rules]
        self._refractory_all_us = round(config.refractory_all_ms * 1000)
        self._deadline_us = config.deadline_ms * 1000 or math.inf
        self._ood = -math.inf if config.ood is None else config.ood
        self._period_us = round(1e6 / rate_hz)
        evidence_us = config.evidence_ms * 1000
        self._keep = math.exp(-1e6 / rate_hz / evidence_us) if evidence_us > 0 else 1.0
        self._windows, self._spare = _windows(config, rules, rate_hz)
        self._longest_window = max(self._windows)
        self.idle_up_to = min(self._enter[NULL_CLASS + 1 :])
        self.reads_energy = config.ood is not None
        self.smoother = _smoother(config, len(labels), rate_hz)
        self._forget()

    def _forget(self) -> None:
        self.smoother.reset()
        self._run: Run | None = None
        self._blocked_until_us: int | None = None
        self._paused_until_us: dict[int, int] = {}
        self._wants_null = False
        self._last_seq = 0
        self._last_us = 0

    def push(self, probs: F32, seq: I64, t_us: I64, energy: F32 | None = None) -> list[Event]:
        """Return the events that the next frames complete.

        Parameters
        ----------
        probs : float32 (N, C)
            Probabilities of each frame.
        seq, t_us : int64 (N,)
            Index and device time of each frame.
        energy : float32 (N,), optional
            Of each frame; None where none is strange.
        """
        events: list[Event] = []
        energies = [math.inf] * len(probs) if energy is None else energy.tolist()
        columns = (self.smoother.push(probs).tolist(), seq.tolist(), t_us.tolist(), energies)
        for p, s, t, e in zip(*columns, strict=True):
            self.decide(p, s, t, events, e)
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
        run = self._run
        if run is not None:
            end_us = self._last_us + self._period_us
            if t_us is not None and t_us > self._last_us:
                end_us = min(end_us, t_us)
            if run.quiet_us is not None:
                end_us = run.quiet_us
            self._close(run, end_us, self._last_seq, self._last_us, events)
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
        activity = 0.0 if energy < self._ood else 1.0 - p[NULL_CLASS]
        run = self._run
        if run is None:
            if activity > self.idle_up_to or self._wants_null:
                run = self._run = self._opened(p, activity, t_us)
        elif activity > self._exit[run.leader]:
            run.add(p, t_us, self._keep)
            run.drops = (run.drops << 1) & self._longest_window
        elif not self._outlives(run, t_us):
            self._run = None
            end_us = t_us if run.quiet_us is None else run.quiet_us
            self._close(run, end_us, seq, t_us, events)
            run = None
        self._last_seq = seq
        self._last_us = t_us
        if run is not None and self._fires_early and not run.fired and self._why_due(run):
            run.leader = run.candidate()
            run.fired = True
            events.append(self._event(run, "start", seq, t_us, None))

    @property
    def is_idle(self) -> bool:
        """Whether frames of up to `idle_up_to` have no effect: no run, and no wait for null."""
        return self._run is None and not self._wants_null

    @property
    def is_fresh(self) -> bool:
        """Whether what was seen so far has no effect on what follows, as time does not go back."""
        untils = (self._blocked_until_us, *self._paused_until_us.values())
        return self.is_idle and all(t_us is None or t_us <= self._last_us for t_us in untils)

    def snapshot(self) -> dict[str, Any]:
        """Return what is carried from frame to frame, without the smoother's, as JSON values."""
        run = None if self._run is None else self._run.to_document()
        paused = {self.labels[k]: t_us for k, t_us in self._paused_until_us.items()}
        return asdict(
            _Document(
                run, self._blocked_until_us, self._last_seq, self._last_us, paused,
                self._wants_null,
            )
        )  # fmt: skip

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
            forgets = self._keep < 1.0
            run = run_from_document(values.run, len(self.labels), values.last_us, forgets=forgets)
        for name in values.paused_until_us:
            if name not in self.labels[1:]:
                raise ConfigError(f"decision: a pause of {name!r}, which is no gesture")
        self._run = run
        self._blocked_until_us = values.blocked_until_us
        self._paused_until_us = {
            self.labels.index(name): t_us for name, t_us in values.paused_until_us.items()
        }
        self._wants_null = values.wants_null
        self._last_seq, self._last_us = values.last_seq, values.last_us

    def _opened(self, p: list[float], activity: float, t_us: int) -> Run | None:
        strongest = max(range(1, len(p)), key=p.__getitem__)
        if not activity > self._enter[strongest]:
            self._wants_null &= activity > self._exit[strongest]
            return None
        if self._wants_null:
            return None
        if self._is_blocked(t_us) or self._is_paused(strongest, t_us):
            self._wants_null = self.config.require_null_between
            return None
        run = Run(t_us, list(p), list(p), 1, strongest, t_us)
        if self._keep < 1.0:
            run.evidence, run.weight = run.sums, 1.0
        return run

    def _is_blocked(self, t_us: int) -> bool:
        """Return whether nothing may start at a time."""
        return self._blocked_until_us is not None and t_us < self._blocked_until_us

    def _is_paused(self, k: int, t_us: int) -> bool:
        """Return whether no gesture of class `k` may start at a time."""
        until_us = self._paused_until_us.get(k)
        return until_us is not None and t_us < until_us

    def _outlives(self, run: Run, t_us: int) -> bool:
        """Take a frame that is not active; return whether the run goes on."""
        if run.quiet_us is None:
            run.quiet_us = t_us
        if not self._longest_window:
            return False
        run.drops = (run.drops << 1 | 1) & self._longest_window
        return (run.drops & self._windows[run.leader]).bit_count() <= self._spare[run.leader]

    def _lasted_us(self, run: Run) -> int:
        """Return how long `run` was, up to its newest active frame."""
        return run.last_us + self._period_us - run.onset_us

    def _why_due(self, run: Run) -> str:
        """Return what lets a run fire now: "lasted", "sure", "deadline"; "" if nothing does."""
        lasted_us, k = self._lasted_us(run), run.candidate()
        if run.quiet_us is not None or lasted_us < self._min_us[k]:
            return ""
        if self._is_paused(k, run.onset_us):
            return ""
        if not self._waits_till_sure:
            return "lasted"
        if run.share(k) >= self._sure[k]:
            return "sure"
        return "deadline" if lasted_us >= self._deadline_us else ""

    def _why_dropped(self, run: Run) -> str:
        """Return why a run that is over is no event: "too_short", "refractory"; "" if it is one."""
        if run.fired:
            return ""
        if self._lasted_us(run) < self._min_us[run.leader]:
            return "too_short"
        return "refractory" if self._is_paused(run.leader, run.onset_us) else ""

    def _close(self, run: Run, end_us: int, seq: int, t_us: int, events: list[Event]) -> None:
        if self._why_dropped(run):
            return
        phase = "end" if run.fired else "discrete"
        events.append(self._event(run, phase, seq, t_us, end_us))
        pause_us = self._refractory_us[run.leader]
        if self._refractory_all_us:
            # A fleet's machines are copies that share this table until it is replaced.
            self._paused_until_us = {**self._paused_until_us, run.leader: end_us + pause_us}
            pause_us = self._refractory_all_us
        self._blocked_until_us = end_us + pause_us

    def _event(self, run: Run, phase: str, seq: int, t_us: int, end_us: int | None) -> Event:
        name = self.labels[run.leader]
        return Event(name, phase, seq, t_us, run.onset_us, end_us, run.score)


def _windows(
    config: DecisionConfig, rules: Sequence[ClassRule], rate_hz: float
) -> tuple[list[int], list[int]]:
    """Return each class's window as ones in an int, and how many of its frames may be quiet."""
    if config.hold == 1.0:
        return [0] * len(rules), [0] * len(rules)
    lengths = [round(rule.min_ms * rate_hz / 1000) for rule in rules]
    if max(lengths) > MOST_HOLD_FRAMES:
        raise ConfigError(f"with hold below 1, min_ms is at most {MOST_HOLD_FRAMES} frames")
    # A millionth of a frame keeps (1 - 0.9) * 10 from being none.
    spare = [math.floor((1.0 - config.hold) * n + 1e-6) for n in lengths]
    return [(1 << n) - 1 for n in lengths], spare


def _smoother(config: DecisionConfig, n_classes: int, rate_hz: float) -> Smoother:
    smooth_us = config.smooth_ms * 1000
    if config.smoothing == "mean":
        n_mean = round(config.smooth_ms * rate_hz / 1000)
        if n_mean > MOST_MEAN_FRAMES:
            raise ConfigError(f"a mean over smooth_ms is at most one of {MOST_MEAN_FRAMES} frames")
        return Smoother(n_classes, 1.0, n_mean)
    gain = -math.expm1(-1e6 / rate_hz / smooth_us) if smooth_us > 0 else 1.0
    return Smoother(n_classes, gain)
