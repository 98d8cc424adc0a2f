"""Choose a decision on recordings that the model never saw.

In this order: the temperature, by likelihood; then `enter`, `exit` and `min_ms`, one after another
and twice; then a pause behind events and some smoothing, where they gain more than two events;
then thresholds of single classes, the level of energy below which a frame is strange, and how sure
an early decision must be. Every grid is relative to the data, every choice is deterministic, and
where there are too few gestures to choose by, things stay as they were and a note says so. What a
decision is worth is said in `streamrnn.evaluation.choosing.search`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamrnn.core.types import NULL_CLASS
from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.rerun import Rerun, gesture_ms
from streamrnn.evaluation.choosing.search import (
    Search,
    with_class,
    with_enter,
    with_exit_share,
)
from streamrnn.evaluation.choosing.temperature import MIN_GESTURES, fit_temperature
from streamrnn.evaluation.events import Score, match
from streamrnn.evaluation.heldout import HeldOutRun

#: Fewer gestures than this choose nothing.
FEWEST = 10
ENTERS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
EXIT_SHARES = (0.4, 0.6, 0.75, 0.9)
#: Shortest event, pause and smoothing, as shares of the shortest class's median gesture.
MIN_SHARES = (0.05, 0.15, 0.25, 0.35, 0.5, 0.65, 0.8)
PAUSE_SHARES = (0.0, 0.5, 1.0)
SMOOTH_SHARES = (0.0, 0.15)
#: A class with fewer gestures has no threshold of its own.
OWN_GESTURES = 20
#: Fewer gestures than this do not say what is strange.
OOD_GESTURES = 50
#: Share of the true gestures that may hold a frame that is taken for strange.
OOD_SHARE = 0.005
#: The level is set so much further out than that, as a share of the way from the median.
OOD_MARGIN = 0.25
SURES = (0.97, 0.93, 0.85, 0.7, 0.5)
#: Early decisions must be right so often, or all but as often as those at the end.
SURE_SHARE, SURE_SLACK = 0.95, 0.02
FEWEST_EARLY = 5
#: An early decision forgets within about so many frames: the newest rests on all before it.
EVIDENCE_FRAMES = 1.0
#: When an early decision is due at the latest: so much behind the shortest event.
DEADLINE_SHARES = (0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Tuned:
    """A decision, and what it reached on the runs that chose it.

    Attributes
    ----------
    config : DecisionConfig
    f1 : float
        Mean event F1 of the classes, any overlap, 0..1; on the data that chose the decision, so
        it flatters.
    strict_f1 : float
        The same where a hit must share half of the union with its gesture.
    n_gestures : int
        True gestures behind the choice.
    notes : tuple of str
        What was chosen and why, in plain words.
    """

    config: DecisionConfig
    f1: float
    strict_f1: float
    n_gestures: int
    notes: tuple[str, ...] = ()


def tune(
    runs: Sequence[HeldOutRun],
    labels: Sequence[str],
    rate_hz: float,
    start: DecisionConfig,
    *,
    fixed: Collection[str] = (),
) -> Tuned:
    """Choose temperature, thresholds and times for some held-out runs.

    Parameters
    ----------
    runs : sequence of HeldOutRun
    labels : sequence of str
        Class names, the null class first.
    rate_hz : float
        The model's.
    start : DecisionConfig
        Where the search begins; what the data cannot decide stays as it is here, `fire` always.
    fixed : collection of str
        Options of `start` that the user chose: they stay.
    """
    search = Search(Rerun(runs, labels, rate_hz))
    n = search.n_gestures
    if n < FEWEST:
        counts = search.tally(start)
        why = f"{n} gestures are too few to choose a decision by: it stays as it was"
        return Tuned(start, counts.f1, counts.strict_f1, n, (why,))
    tuner = _Tuner(search, rate_hz, frozenset(fixed))
    config = tuner.temperature(start)
    config = tuner.thresholds(config)
    config = tuner.single_classes(config)
    config = tuner.strange(config)
    config = tuner.early(config)
    counts = search.tally(config)
    return Tuned(config, counts.f1, counts.strict_f1, n, tuple(tuner.notes))


class _Tuner:
    """The steps of `tune`; each returns the decision with some options replaced."""

    def __init__(self, search: Search, rate_hz: float, fixed: frozenset[str]) -> None:
        self.notes: list[str] = []
        self._search = search
        self._rate_hz = rate_hz
        self._fixed = fixed
        self._runs = search.rerun.runs
        self._shortest_ms = min(gesture_ms(self._runs).values())

    def temperature(self, config: DecisionConfig) -> DecisionConfig:
        if "temperature" in self._fixed:
            return config
        if self._search.n_gestures < MIN_GESTURES:
            self.notes.append(f"temperature 1: fewer than {MIN_GESTURES} gestures to fit it to")
            return replace(config, temperature=1.0)
        value = fit_temperature(self._runs)
        sense = "less" if value > 1 else "more"
        self.notes.append(f"temperature {value:g}: {sense} sure of itself than the raw network")
        return replace(config, temperature=value)

    def thresholds(self, config: DecisionConfig) -> DecisionConfig:
        for width in (None, 1):
            config = self._min_ms(config, width)
            if "enter" not in self._fixed and "exit" not in self._fixed:
                config = self._search.plateau(config, ENTERS, with_enter, width)
            if "exit" not in self._fixed:
                config = self._search.plateau(config, EXIT_SHARES, with_exit_share, width)
        pauses = [round(share * self._shortest_ms, 3) for share in PAUSE_SHARES]
        if "refractory_ms" not in self._fixed:
            config = self._search.smallest(
                config, pauses, lambda c, value: replace(c, refractory_ms=value)
            )
        spans = [round(share * self._shortest_ms, 3) for share in SMOOTH_SHARES]
        if "smooth_ms" not in self._fixed:
            config = self._search.smallest(
                config, spans, lambda c, value: replace(c, smooth_ms=value)
            )
        share = config.min_ms / self._shortest_ms
        self.notes.append(
            f"enter {config.enter:g}, exit {config.exit:g}, at least {config.min_ms:.0f} ms "
            f"({100 * share:.0f} % of the shortest class's median gesture): the middle of the best"
        )
        return config

    def _min_ms(self, config: DecisionConfig, width: int | None) -> DecisionConfig:
        if "min_ms" in self._fixed:
            return config
        frames = {max(1, round(s * self._shortest_ms * self._rate_hz / 1e3)) for s in MIN_SHARES}
        # Half a frame less keeps rounding out of it.
        grid = [round((n - 0.5) * 1e3 / self._rate_hz, 3) for n in sorted(frames)]
        return self._search.plateau(config, grid, lambda c, value: replace(c, min_ms=value), width)

    def single_classes(self, config: DecisionConfig) -> DecisionConfig:
        """Give classes a threshold of their own where that avoids errors beyond chance."""
        if "per_class" in self._fixed or "enter" in self._fixed:
            return config
        sweep = [(value, self._search.tally(with_enter(config, value))) for value in ENTERS]
        before = self._search.tally(config).by_class
        for name, score in before.items():
            if score.n_true < OWN_GESTURES:
                continue
            own = [(errors(counts.by_class[name]), abs(v - config.enter), v) for v, counts in sweep]
            _, _, best = min(own)
            changed = with_class(config, name, enter=best, exit=min(config.exit, best))
            gain = self._n_errors(config) - self._n_errors(changed)
            if gain >= max(3.0, 2.0 * math.sqrt(errors(score))):
                config = changed
                self.notes.append(f"{name} enters at {best:g}: {gain} errors fewer")
        return config

    def _n_errors(self, config: DecisionConfig) -> int:
        return sum(errors(score) for score in self._search.tally(config).by_class.values())

    def strange(self, config: DecisionConfig) -> DecisionConfig:
        """Set the energy below which a frame is strange such that gestures are not."""
        if "ood" in self._fixed:
            return config
        lows = _lowest_energies(self._runs)
        if len(lows) < OOD_GESTURES:
            self.notes.append(
                f"nothing is strange: fewer than {OOD_GESTURES} gestures to learn from"
            )
            return replace(config, ood=None)
        low, median = np.quantile(lows, [OOD_SHARE, 0.5], method="lower").tolist()
        changed = replace(config, ood=round(low - OOD_MARGIN * (median - low), 4))
        if self._search.worth(changed) < self._search.worth(config) - self._search.one:
            self.notes.append("nothing is strange: a level of energy would cost gestures")
            return replace(config, ood=None)
        self.notes.append(f"frames with an energy below {changed.ood:g} are strange: below nearly "
                          "all that true gestures show")  # fmt: skip
        return changed

    def early(self, config: DecisionConfig) -> DecisionConfig:
        """Set how sure an early decision must be, and when one is due at the latest."""
        if "sure" in self._fixed:
            return config
        if "evidence_ms" not in self._fixed:
            config = replace(config, evidence_ms=round(EVIDENCE_FRAMES * 1e3 / self._rate_hz, 3))
        at_end = replace(config, fire="end", deadline_ms=0.0)
        counts = self._search.tally(at_end)
        n_found = sum(score.n_found for score in counts.by_class.values())
        asked = min(SURE_SHARE, counts.n_hit / n_found - SURE_SLACK) if n_found else SURE_SHARE
        sweep = []
        for value in SURES:
            sweep.append((value, self._early(replace(at_end, fire="sure", sure=value))))
            if not _is_right(*sweep[-1][1][""], asked):
                break
        sure = smallest_sure([(value, *early[""]) for value, early in sweep], asked)
        config = replace(config, sure=sure)
        self.notes.append(
            f"sure from {sure:g} on: {100 * asked:.0f} % of early decisions were right then"
        )
        if "per_class" not in self._fixed:
            for name, score in counts.by_class.items():
                own = [(value, *early.get(name, (0, 0))) for value, early in sweep]
                needed = smallest_sure(own, asked)
                if score.n_true >= OWN_GESTURES and needed > sure:
                    config = with_class(config, name, sure=needed)
        return self._deadline(config, counts.f1)

    def _deadline(self, config: DecisionConfig, f1: float) -> DecisionConfig:
        if "deadline_ms" in self._fixed:
            return config
        for share in DEADLINE_SHARES:
            value = round(config.min_ms + share * self._shortest_ms, 3)
            forced = replace(config, fire="sure", deadline_ms=value)
            if self._search.tally(forced).f1 >= f1 - SURE_SLACK:
                return replace(config, deadline_ms=value)
        return replace(config, deadline_ms=0.0)

    def _early(self, config: DecisionConfig) -> dict[str, tuple[int, int]]:
        """Return how many events came early and how many of them were right; "" stands for all."""
        early: Counter[str] = Counter()
        right: Counter[str] = Counter()
        for run, segments in zip(self._runs, self._search.rerun.found(config), strict=True):
            hits = {j for _, j in match(run.truth, segments)}
            for j, segment in enumerate(segments):
                if segment.decided < segment.end:
                    early.update((segment.label, ""))
                    right.update((segment.label, "") if j in hits else ())
        return {name: (early[name], right[name]) for name in ("", *early)}


def errors(score: Score) -> int:
    """Return gestures missed and events that are no hits."""
    return score.n_missed + score.n_false


def smallest_sure(sweep: Sequence[tuple[float, int, int]], asked: float) -> float:
    """Return the smallest value from which on early decisions are right often enough.

    Parameters
    ----------
    sweep : sequence of (float, int, int)
        Value, early decisions, right ones; the largest value first.
    asked : float
        Share that must be right, 0..1.

    Returns
    -------
    float
        1, which means never early, when no value does. Values with fewer than `FEWEST_EARLY` early
        decisions show nothing.
    """
    chosen = 1.0
    for value, n_early, n_right in sweep:
        if not _is_right(n_early, n_right, asked):
            break
        if n_early >= FEWEST_EARLY:
            chosen = value
    return chosen


def _is_right(n_early: int, n_right: int, asked: float) -> bool:
    return n_early < FEWEST_EARLY or n_right >= asked * n_early


def _lowest_energies(runs: Sequence[HeldOutRun]) -> list[float]:
    """Return the lowest energy within each true gesture; nothing where no run has energies."""
    lows = []
    for run in runs:
        if not np.isfinite(run.energy).all():
            return []
        for segment in run.truth:
            a, b = np.searchsorted(run.t_us, (segment.start, segment.end))
            inside = run.energy[a:b][run.y[a:b] != NULL_CLASS]
            if len(inside):
                lows.append(float(inside.min()))
    return lows
