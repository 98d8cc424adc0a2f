"""A budget of false activations an hour, and the decision that suits it best.

Whoever takes the best of many decisions on some recordings takes the luckiest one too: its false
activations there are fewer than they will be. So the whole search is done once more for every part
of the recordings, on the other parts alone, and its result is counted on that part, which had no
part in it.

Ways of choosing stand in an order that is fixed beforehand, from the strictest to the loosest: the
best decision without a false activation, made some steps stricter; without one; with one; and so
on. They are tested in that order, and the first that cannot be shown to keep the budget ends the
test: so the error of the whole is that of one test (fixed-sequence testing; Angelopoulos et al.
2021, "Learn then test").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.ledger import Ledger, Mask
from streamrnn.evaluation.choosing.rerun import gesture_ms
from streamrnn.evaluation.choosing.search import with_class, with_thresholds
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
    def ways(self) -> list[tuple[int, int]]:
        """Ways of choosing, the strictest first: false activations allowed, steps stricter."""
        top = self.n_by_estimate
        even = np.linspace(0, top, min(top + 1, _MAX_ALLOWANCES))
        allowed = sorted({int(n) for n in even.round()})
        return [(0, k) for k in range(MAX_STEPS, 0, -1)] + [(n, 0) for n in allowed]


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision for a budget.

    Attributes
    ----------
    decision : DecisionConfig
    is_kept : bool
        Some gesture is found, and the plain counts keep the budget.
    is_shown : bool
        The bound keeps it, on people who had no part in the choice.
    n_false, n_hit : int
        What the same choice comes to on them.
    """

    decision: DecisionConfig
    is_kept: bool
    is_shown: bool
    n_false: int
    n_hit: int


def choose(ledger: Ledger, start: DecisionConfig, budget: Budget) -> Choice:
    """Return the decision that suits a budget best.

    Parameters
    ----------
    ledger : Ledger
    start : DecisionConfig
        Without thresholds of single classes.
    budget : Budget
    """
    everyone = Explored(ledger, start, budget, ledger.everything)
    others = [Explored(ledger, start, budget, ledger.without(k)) for k in range(ledger.n_parts)]
    found: list[tuple[Choice, int]] = []
    is_shown = True
    for n_allowed, n_steps in budget.ways:
        decision = everyone.best(n_allowed, n_steps)
        n_false, n_hit, _ = ledger.counts(decision, ledger.everything)
        if ledger.n_parts > 1:
            strangers = [_at_strangers(ledger, fold, n_allowed, n_steps) for fold in others]
            crossed = sum(f for f, _ in strangers), sum(h for _, h in strangers)
        else:
            crossed = n_false, n_hit
        is_shown = is_shown and budget.is_shown_by(crossed[0])
        if n_hit and n_false <= min(n_allowed, budget.n_by_estimate):
            found.append((Choice(decision, True, is_shown, *crossed), n_hit))
    if not found:
        return _least_bad(ledger, everyone)
    shown = [entry for entry in found if entry[0].is_shown]
    # Where strangers show that no way keeps it, those with the fewest false activations are left.
    allowed = max(budget.n_by_estimate, min(choice.n_false for choice, _ in found))
    plain = [entry for entry in found if entry[0].n_false <= allowed]
    best = max(plain, key=_found)
    surest = max(shown, key=_found, default=best)
    return (surest if surest[0].n_hit >= SHOWN_SHARE * best[0].n_hit else best)[0]


def _found(entry: tuple[Choice, int]) -> tuple[int, int, int]:
    # Where strangers answer alike, what is known of these recordings decides.
    choice, n_hit = entry
    return choice.n_hit, n_hit, -choice.n_false


def _at_strangers(
    ledger: Ledger, others: Explored, n_allowed: int, n_steps: int
) -> tuple[int, int]:
    """Return false activations and hits of what suits the others."""
    decision = others.best(int(n_allowed * ledger.share(others.mask)), n_steps)
    n_false, n_hit, _ = ledger.counts(decision, ~others.mask)
    return n_false, n_hit


def _least_bad(ledger: Ledger, explored: Explored) -> Choice:
    """Return the decision with the fewest false activations of those that find a gesture."""
    counted = [(config, ledger.counts(config, ledger.everything)) for config in explored.tried]
    some = [entry for entry in counted if entry[1][1]] or counted
    decision, (n_false, n_hit, _) = min(some, key=lambda entry: (entry[1][0], -entry[1][1]))
    return Choice(decision, False, False, n_false, n_hit)


class Explored:
    """Decisions tried on some parts of the recordings, on the way to the best ones there.

    Parameters
    ----------
    ledger : Ledger
    start : DecisionConfig
    budget : Budget
    mask : bool (n_parts,)
        What may be looked at.
    """

    def __init__(self, ledger: Ledger, start: DecisionConfig, budget: Budget, mask: Mask) -> None:
        self.mask = mask
        self._ledger = ledger
        self._tried: dict[str, DecisionConfig] = {}
        self._shortest_ms = min(gesture_ms(ledger.search.rerun.runs).values())
        top = int(budget.n_by_estimate * ledger.share(mask))
        for n_allowed in sorted({0, top // 4, top}):
            self._explore(start, n_allowed)

    @property
    def tried(self) -> list[DecisionConfig]:
        """All decisions so far."""
        return list(self._tried.values())

    def best(self, n_allowed: int, n_steps: int) -> DecisionConfig:
        """Return the best of them with at most so many false activations, so much stricter.

        Of equal ones it is the one with the middle threshold.
        """
        ranked = [(self._rank(config, n_allowed), config) for config in self.tried]
        first = min(rank for rank, _ in ranked)
        equal = sorted((c for rank, c in ranked if rank == first), key=lambda c: c.enter)
        return stricter(equal[len(equal) // 2], n_steps)

    def _counts(self, config: DecisionConfig) -> tuple[int, int, int]:
        self._tried.setdefault(repr(config), config)
        return self._ledger.counts(config, self.mask)

    def _explore(self, start: DecisionConfig, n_allowed: int) -> None:
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
            self._counts(with_threshold(best, threshold))
        self._single_classes(best, n_allowed)

    def _first(self, config: DecisionConfig, n_allowed: int) -> DecisionConfig:
        """Return the decision with the lowest threshold that is allowed, or the highest of all.

        False activations become fewer as the threshold rises, so halving finds it.
        """
        low, high = 0, len(THRESHOLDS) - 1
        while low < high:
            at = (low + high) // 2
            if self._counts(with_threshold(config, THRESHOLDS[at]))[0] <= n_allowed:
                high = at
            else:
                low = at + 1
        nearest: Sequence[float] = THRESHOLDS[low : low + 6 : 2]
        return min(
            (with_threshold(config, t) for t in nearest), key=lambda c: self._rank(c, n_allowed)
        )

    def _single_classes(self, config: DecisionConfig, n_allowed: int) -> None:
        """Move one class's threshold after the other's by some steps, as long as it helps."""
        for name, score in self._ledger.search.tally(config).by_class.items():
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
        n_false, n_hit, n_other = self._counts(config)
        return max(0, n_false - n_allowed), -n_hit, n_false, n_other


def with_threshold(config: DecisionConfig, enter: float) -> DecisionConfig:
    """Return a decision with another common `enter`; `exit` stays, as far as it may.

    With `exit` fixed a higher threshold only takes events away: each run of activity begins later
    or not at all, and ends where it ended.
    """
    return with_thresholds(config, enter, min(config.exit, enter))


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
