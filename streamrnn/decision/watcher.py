"""A decision machine that says why.

It decides as any other and watches itself from outside: what it was before a frame, what it is
behind it, and which events came. Where nobody asks, there is nothing to pay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streamrnn.core.records import Event
from streamrnn.core.types import NULL_CLASS
from streamrnn.decision.config import DecisionConfig
from streamrnn.decision.explain import IDLE_REASONS, NEAR_MARGIN, Explain, Explanation
from streamrnn.decision.machine import DecisionMachine
from streamrnn.decision.run import Run


class _Frame(NamedTuple):
    """A frame as the watcher sees it; activity is what it was before anything was rejected."""

    p: list[float]
    seq: int
    t_us: int
    energy: float
    activity: float
    is_strange: bool


class _Verdict(NamedTuple):
    """What decided; see `Explanation`."""

    reason: str
    threshold: str | None = None
    limit: float | None = None
    value: float | None = None


@dataclass(slots=True)
class _Stretch:
    """Consecutive frames that are told of together."""

    first: _Frame
    last: _Frame
    sums: list[float]
    reason: str = ""
    n_frames: int = 0
    total: float = 0.0
    peak: float = 0.0
    least: float = 1.0
    energy: float = math.inf

    @classmethod
    def at(cls, frame: _Frame) -> _Stretch:
        """Return a stretch that begins at a frame, which it does not hold yet."""
        return cls(frame, frame, [0.0] * len(frame.p))

    def add(self, frame: _Frame) -> None:
        self.last = frame
        self.n_frames += 1
        self.total += frame.activity
        self.peak = max(self.peak, frame.activity)
        self.least = min(self.least, frame.activity)
        self.energy = min(self.energy, frame.energy)
        self.sums = [a + b for a, b in zip(self.sums, frame.p, strict=True)]


class ExplainingMachine(DecisionMachine):
    """A decision machine that says why; its events are those of `DecisionMachine`.

    Parameters
    ----------
    config, labels, rate_hz
        See `DecisionMachine`.
    explain : callable
        Gets one `Explanation` for each event, in the order of the events, and one for each near
        miss, as soon as it is known.
    """

    def __init__(
        self, config: DecisionConfig, labels: Sequence[str], rate_hz: float, explain: Explain
    ) -> None:
        super().__init__(config, labels, rate_hz)
        self.reads_energy = True
        self._explain = explain
        self._begin()

    def _begin(self) -> None:
        self._seen: _Stretch | None = None  # of the run that is going on
        self._near: _Stretch | None = None  # of frames that started nothing
        self._is_tail = False  # activity has only been falling since a run ended
        self._last_end_us: int | None = None
        self._last_class = NULL_CLASS
        self._ends_us: dict[int, int] = {}  # of each class's last event

    def reset(self, t_us: int | None = None) -> list[Event]:
        """See `DecisionMachine.reset`."""
        run, seen = self._run, self._seen
        dropped = "" if run is None else self._why_dropped(run)
        events = super().reset(t_us)
        if run is not None and seen is not None:
            self._tell_run(run, seen, seen.last, events, _Verdict("break"), dropped=dropped)
        self._tell_near(None)
        self._begin()
        return events

    def decide(
        self,
        p: list[float],
        seq: int,
        t_us: int,
        events: list[Event],
        energy: float = math.inf,
    ) -> None:
        """See `DecisionMachine.decide`."""
        frame = _Frame(p, seq, t_us, energy, 1.0 - p[NULL_CLASS], energy < self._ood)
        before, wanted_null, n_events = self._run, self._wants_null, len(events)
        dropped = ""
        super().decide(p, seq, t_us, events, energy)
        after = self._run
        if before is None and after is None:
            self._watch_idle(frame, wanted_null)
            return
        if before is None:
            self._tell_near(frame)
        seen = self._seen
        if seen is None:
            seen = self._seen = _Stretch.at(frame)
        if after is not None:
            if after.quiet_us is None:
                seen.add(frame)
            for event in events[n_events:]:
                self._tell_start(after, seen, event)
        elif before is not None:
            if len(events) == n_events:
                dropped = self._why_dropped(before)
            verdict = self._ended_by(before, frame)
            self._tell_run(before, seen, frame, events[n_events:], verdict, dropped=dropped)
            self._seen, self._is_tail = None, True

    # ---- frames that start nothing

    def _watch_idle(self, frame: _Frame, wanted_null: bool) -> None:
        reason = self._idle_reason(frame, wanted_null)
        self._is_tail &= reason == "below_enter"
        if not reason or self._is_tail:
            self._tell_near(frame)
            return
        near = self._near
        if near is None:
            near = self._near = _Stretch.at(frame)
            near.reason = reason
        near.add(frame)
        near.reason = max(near.reason, reason, key=IDLE_REASONS.index)

    def _idle_reason(self, frame: _Frame, wanted_null: bool) -> str:
        """Return what kept a frame from starting a run; "" if it is far from that."""
        enter = self._enter[_strongest(frame.p)]
        if frame.activity > enter:
            if frame.is_strange:
                return "strange"
            return "no_null" if wanted_null else "refractory"
        return "below_enter" if frame.activity > enter - NEAR_MARGIN else ""

    def _tell_near(self, frame: _Frame | None) -> None:
        """Tell of the stretch of idle frames that is over at a frame, or at a break."""
        near, self._near = self._near, None
        if near is None or (near.reason == "below_enter" and self._run is not None):
            return  # nothing, or activity was on its way up
        k = _strongest(near.sums)
        shares = [value / near.n_frames for value in near.sums]
        self._tell(near, frame or near.last, k, shares, self._kept_by(near, k))

    def _kept_by(self, near: _Stretch, k: int) -> _Verdict:
        """Return what kept idle frames from starting a run."""
        if near.reason == "strange":
            return _Verdict("strange", "ood", self._ood, near.energy)
        if near.reason == "no_null":
            return _Verdict("no_null", "exit", self._exit[k], near.least)
        if near.reason == "below_enter":
            return _Verdict("below_enter", "enter", self._enter[k], near.peak)
        all_us, pause_us = self._refractory_all_us, self._refractory_us[self._last_class]
        since_us = _since(near.first.t_us, self._last_end_us)
        if not all_us:
            return _pause("refractory_ms", pause_us, since_us)
        if since_us is None or since_us < all_us:
            return _pause("refractory_all_ms", all_us, since_us)
        own_us = _since(near.first.t_us, self._ends_us.get(k))
        return _pause("refractory_ms", self._refractory_us[k], own_us)

    # ---- runs

    def _ended_by(self, run: Run, frame: _Frame) -> _Verdict:
        limit = self._exit[run.leader]
        if frame.is_strange and frame.activity > limit:
            return _Verdict("strange", "ood", self._ood, frame.energy)
        return _Verdict("exit", "exit", limit, frame.activity)

    def _tell_start(self, run: Run, seen: _Stretch, event: Event) -> None:
        k, lasted_ms = run.leader, self._lasted_us(run) / 1000
        why = self._why_due(run)
        verdict = {
            "lasted": _Verdict(why, "min_ms", self._min_us[k] / 1000, lasted_ms),
            "sure": _Verdict(why, "sure", self._sure[k], run.share(k)),
            "deadline": _Verdict(why, "deadline_ms", self.config.deadline_ms, lasted_ms),
        }[why]
        self._tell(seen, seen.last, k, run.shares(), verdict, event=event)

    def _tell_run(
        self,
        run: Run,
        seen: _Stretch,
        frame: _Frame,
        events: Sequence[Event],
        ended_by: _Verdict,
        *,
        dropped: str,
    ) -> None:
        """Tell of a run that is over."""
        k = run.leader
        for event in events:
            self._tell(seen, frame, k, run.shares(), ended_by, event=event)
            if event.end_us is not None:
                self._last_end_us, self._last_class = event.end_us, k
                self._ends_us[k] = event.end_us
        if dropped == "refractory":
            own_us = _since(run.onset_us, self._ends_us.get(k))
            verdict = _pause("refractory_ms", self._refractory_us[k], own_us)
        elif ended_by.reason == "strange":
            verdict = ended_by
        else:
            lasted_ms = self._lasted_us(run) / 1000
            verdict = _Verdict("too_short", "min_ms", self._min_us[k] / 1000, lasted_ms)
        if not events:
            self._tell(seen, frame, k, run.shares(), verdict)

    def _tell(
        self,
        seen: _Stretch,
        frame: _Frame,
        k: int,
        shares: Sequence[float],
        verdict: _Verdict,
        *,
        event: Event | None = None,
    ) -> None:
        others = [j for j in range(NULL_CLASS + 1, len(shares)) if j != k]
        second = max(others, key=shares.__getitem__, default=None)
        self._explain(
            Explanation(
                kind="event" if event else "near_miss",
                reason=verdict.reason,
                gesture=self.labels[k],
                phase=event.phase if event else None,
                seq=event.seq if event else frame.seq,
                t_us=event.t_us if event else frame.t_us,
                from_seq=seen.first.seq,
                from_us=seen.first.t_us,
                to_seq=seen.last.seq,
                to_us=seen.last.t_us,
                n_frames=seen.n_frames,
                mean_activity=seen.total / max(seen.n_frames, 1),
                peak_activity=seen.peak,
                threshold=verdict.threshold,
                limit=verdict.limit,
                value=verdict.value,
                share=shares[k],
                runner_up=None if second is None else self.labels[second],
                runner_up_share=None if second is None else shares[second],
                energy=seen.energy if math.isfinite(seen.energy) else None,
            )
        )


def open_machine(
    config: DecisionConfig, labels: Sequence[str], rate_hz: float, explain: Explain | None = None
) -> DecisionMachine:
    """Return a machine, one that explains if somebody listens; see `ExplainingMachine`."""
    if explain is None:
        return DecisionMachine(config, labels, rate_hz)
    return ExplainingMachine(config, labels, rate_hz, explain)


def _strongest(sums: Sequence[float]) -> int:
    """Return the gesture with the largest value."""
    return max(range(NULL_CLASS + 1, len(sums)), key=sums.__getitem__)


def _since(t_us: int, end_us: int | None) -> int | None:
    return None if end_us is None else t_us - end_us


def _pause(option: str, limit_us: int, since_us: int | None) -> _Verdict:
    return _Verdict("refractory", option, limit_us / 1000, since_us and since_us / 1000)
