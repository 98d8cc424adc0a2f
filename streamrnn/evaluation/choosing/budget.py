"""A budget of false activations an hour, and decisions that may keep it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.crossed import Pool
from streamrnn.evaluation.choosing.rerun import gesture_ms
from streamrnn.evaluation.choosing.search import Search, with_class, with_thresholds
from streamrnn.evaluation.choosing.tally import Tally
from streamrnn.evaluation.metrics.rates import poisson_upper

#: Common thresholds that are tried: even steps of the log-odds of activity, 0.27 to 0.999994.
THRESHOLDS = tuple(round(1.0 / (1.0 + math.exp(-k / 4)), 6) for k in range(-4, 49))
#: Shortest event and pause, as shares of the shortest class's median gesture.
MIN_SHARES = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85)
PAUSE_SHARES = (0.0, 0.5, 1.0)
#: A class with fewer gestures has no threshold of its own.
OWN_GESTURES = 20
#: A decision whose claim can be shown is taken if it finds so much of what others find.
SHOWN_SHARE = 0.9
#: A decision is made stricter by so many steps of `THRESHOLDS`, at most.
MAX_STEPS = 8
#: Not more allowances than this are compared.
_MAX_ALLOWANCES = 25


@dataclass(frozen=True, slots=True)
class Budget:
    """How often an hour it may fire without a reason, and how long was listened.

    Attributes
    ----------
    per_hour : float
        Above 0.
    null_h : float
        Event-free hours.
    confidence : float
        Of the upper bound, 0..1.
    """

    per_hour: float
    null_h: float
    confidence: float

    @property
    def n_by_estimate(self) -> int:
        """Most false activations whose plain rate keeps the budget."""
        return math.floor(self.per_hour * self.null_h * (1 + 1e-12))

    def upper_per_hour(self, n_false: int) -> float:
        """Return the upper bound of the rate when so many were seen."""
        return round(poisson_upper(n_false, self.confidence) / self.null_h, 6)

    def is_shown_by(self, n_false: int) -> bool:
        """Return whether so many false activations show that the budget is kept."""
        return self.upper_per_hour(n_false) <= self.per_hour

    @property
    def allowances(self) -> list[int]:
        """Numbers of false activations that a decision might be allowed, ascending."""
        top = self.n_by_estimate
        even = np.linspace(0, top, min(top + 1, _MAX_ALLOWANCES))
        return sorted({int(n) for n in even.round()})


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision out of a pool.

    Attributes
    ----------
    decision : DecisionConfig
    counts : Tally
    is_kept : bool
        The plain count keeps the budget, and some gesture is found.
    n_false, n_hit : int
        What the same choice comes to on people who had no part in it.
    """

    decision: DecisionConfig
    counts: Tally
    is_kept: bool
    n_false: int
    n_hit: int


def choose(pool: Pool, budget: Budget) -> Choice:
    """Return the decision of a pool that suits a budget best; see `calibrate`.

    Ways of choosing are compared by what they come to on people who had no part in it: the best
    recall with at most so many false activations; and those with none, or half of what the plain
    rate allows, made some steps stricter.
    """
    ways = [(n, 0) for n in budget.allowances]
    ways += [
        (n, k) for n in sorted({0, budget.n_by_estimate // 2}) for k in range(1, MAX_STEPS + 1)
    ]
    kept: list[Choice] = []
    for n_allowed, n_steps in ways:
        decision, counts = pool.best(n_allowed, n_steps)
        if counts.n_hit and counts.n_false <= n_allowed:
            kept.append(Choice(decision, counts, True, *pool.crossed(n_allowed, n_steps)))
    if not kept:
        some = [entry for entry in pool.tried if entry[1].n_hit]
        decision, counts = min(some or pool.tried, key=lambda e: (e[1].n_false, -e[1].n_hit))
        return Choice(decision, counts, False, counts.n_false, counts.n_hit)
    shown = [c for c in kept if budget.is_shown_by(c.n_false)]
    plain = [c for c in kept if c.n_false <= budget.n_by_estimate]
    # Where strangers answer alike, what is known of these recordings decides.
    best = max(plain, key=_found) if plain else min(kept, key=lambda c: c.n_false)
    surest = max(shown, key=_found, default=best)
    return surest if surest.n_hit >= SHOWN_SHARE * best.n_hit else best


def _found(choice: Choice) -> tuple[int, int, int]:
    return choice.n_hit, choice.counts.n_hit, -choice.n_false


def with_threshold(config: DecisionConfig, enter: float) -> DecisionConfig:
    """Return a decision with another common `enter`; `exit` stays, as far as it may.

    With `exit` fixed a higher threshold only takes events away: each run of activity begins later
    or not at all, and ends where it ended.
    """
    return with_thresholds(config, enter, min(config.exit, enter))


def try_out(search: Search, start: DecisionConfig, budget: Budget) -> None:
    """Try decisions that may keep a budget, and some that do not, for the curve.

    Parameters
    ----------
    search : Search
        Remembers all of them.
    start : DecisionConfig
        Without thresholds of single classes.
    budget : Budget
    """
    explorer = _Explorer(search)
    allowed = {0, budget.n_by_estimate // 4, budget.n_by_estimate}
    for n_allowed in sorted(allowed):
        explorer.explore(start, n_allowed)


class _Explorer:
    """Walks towards the best recall that a number of false activations allows."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._shortest_ms = min(gesture_ms(search.rerun.runs).values())

    def explore(self, start: DecisionConfig, n_allowed: int) -> None:
        """Try times, common thresholds, then thresholds of single classes."""
        options = []
        pauses = {start.refractory_ms, *(round(s * self._shortest_ms, 3) for s in PAUSE_SHARES)}
        for min_ms in (round(share * self._shortest_ms, 3) for share in MIN_SHARES):
            options.append(self._first(replace(start, min_ms=min_ms), n_allowed))
        best = min(options, key=lambda c: self._rank(c, n_allowed))
        for pause in sorted(pauses):
            options.append(self._first(replace(best, refractory_ms=pause), n_allowed))
        best = min(options, key=lambda c: self._rank(c, n_allowed))
        for threshold in THRESHOLDS[::2]:
            self._search.tally(with_threshold(best, threshold))
        self._single_classes(best, n_allowed)

    def _first(self, config: DecisionConfig, n_allowed: int) -> DecisionConfig:
        """Return the decision with the lowest threshold that is allowed, or the highest of all.

        False activations become fewer as the threshold rises, so halving finds it.
        """
        low, high = 0, len(THRESHOLDS) - 1
        while low < high:
            at = (low + high) // 2
            if self._search.tally(with_threshold(config, THRESHOLDS[at])).n_false <= n_allowed:
                high = at
            else:
                low = at + 1
        nearest: Sequence[float] = THRESHOLDS[low : low + 6 : 2]
        return min(
            (with_threshold(config, t) for t in nearest), key=lambda c: self._rank(c, n_allowed)
        )

    def _single_classes(self, config: DecisionConfig, n_allowed: int) -> None:
        """Move one class's threshold after the other's by some steps, as long as it helps."""
        for name, score in self._search.tally(config).by_class.items():
            if score.n_true < OWN_GESTURES:
                continue
            at = THRESHOLDS.index(config.enter)
            steps = [n for n in (at - 8, at - 4, at - 2, at, at + 2, at + 4)
                     if 0 <= n < len(THRESHOLDS)]  # fmt: skip
            own = [_class_threshold(config, name, THRESHOLDS[n]) for n in steps]
            best = min(own, key=lambda c: self._rank(c, n_allowed))
            if self._rank(best, n_allowed) < self._rank(config, n_allowed):
                config = best

    def _rank(self, config: DecisionConfig, n_allowed: int) -> tuple[int, int, int, int]:
        """Return what makes one decision better than another: smaller is better."""
        counts = self._search.tally(config)
        excess = max(0, counts.n_false - n_allowed)
        others = counts.n_confused + counts.n_repeated
        return excess, -counts.n_hit, counts.n_false, others


def stricter(config: DecisionConfig, n_steps: int) -> DecisionConfig:
    """Return a decision whose thresholds, those of single classes too, are so many steps higher."""

    def raised(enter: float) -> float:
        return THRESHOLDS[min(THRESHOLDS.index(enter) + n_steps, len(THRESHOLDS) - 1)]

    changed = with_threshold(config, raised(config.enter))
    for name, own in config.per_class.items():
        if "enter" in own:
            changed = _class_threshold(changed, name, raised(own["enter"]))
    return changed


def _class_threshold(config: DecisionConfig, name: str, enter: float) -> DecisionConfig:
    own_exit = config.per_class.get(name, {}).get("exit", config.exit)
    return with_class(config, name, enter=enter, exit=min(own_exit, enter))
