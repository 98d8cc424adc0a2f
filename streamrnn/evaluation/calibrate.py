"""A decision for a budget of false activations an hour, and what the recordings can show of it.

Counted are *false activations in null time*: events that overlap no true gesture, over the time
outside every true gesture. Events on a gesture of another class (confusions) and second events on
the same gesture (repeats) are counted apart: they tell how well gestures are told apart, and a
recording without gestures has none (`streamrnn.evaluation.choosing.tally`).

So many false activations are allowed that the exact Poisson bound of what was seen still keeps the
budget; none at all where the data are too short to show it. Where that would cost more than a tenth
of the gestures, the plain estimate must keep the budget; where not even that does at any recall,
there is no decision.
Among the decisions that are allowed, the one with the best recall is taken, then the one with the
fewest false activations, confusions and repeats.

A bound on the recordings that chose the decision flatters it a little: of many decisions the
luckiest is taken. Evaluate on further recordings what must be sure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamrnn.core.errors import SessionError
from streamrnn.decision.calibration import Calibration, Data, Point
from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.rerun import Rerun, gesture_ms
from streamrnn.evaluation.choosing.search import Search, with_class, with_thresholds
from streamrnn.evaluation.choosing.tally import Tally
from streamrnn.evaluation.choosing.temperature import MIN_GESTURES, fit_temperature
from streamrnn.evaluation.heldout import HeldOutRun
from streamrnn.evaluation.metrics.rates import hours_needed, poisson_upper

#: Common thresholds that are tried: even steps of the log-odds of activity, 0.27 to 0.99991.
THRESHOLDS = tuple(round(1.0 / (1.0 + math.exp(-k / 2)), 6) for k in range(-2, 19))
#: Shortest event and pause, as shares of the shortest class's median gesture.
MIN_SHARES = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85)
PAUSE_SHARES = (0.0, 0.5, 1.0)
#: A class with fewer gestures has no threshold of its own.
OWN_GESTURES = 20
#: A threshold of its own must find so many gestures more.
OWN_GAIN = 2
#: A decision whose bound keeps the budget is taken if it finds so much of what the best one finds
#: whose plain estimate does.
SHOWN_SHARE = 0.9
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What `calibrate` chose.

    Attributes
    ----------
    decision : DecisionConfig or None
        None: no decision keeps the budget on these recordings.
    calibration : Calibration
        With None above, its `chosen` has the fewest false activations of those that find a gesture.
    notes : tuple of str
        What a person should know, one line each.
    """

    decision: DecisionConfig | None
    calibration: Calibration
    notes: tuple[str, ...]


def calibrate(
    runs: Sequence[HeldOutRun],
    start: DecisionConfig,
    max_false_per_hour: float,
    *,
    confidence: float = CONFIDENCE,
    digests: Sequence[str] = (),
    is_nominal: bool = False,
) -> Calibrated:
    """Choose temperature, thresholds, shortest event and pause for a budget.

    Parameters
    ----------
    runs : sequence of HeldOutRun
        Of recordings that the model was not trained on; one or more, of the same classes.
    start : DecisionConfig
        What is not chosen here (`exit`, smoothing, `fire`, ...) stays as it is.
    max_false_per_hour : float
        The budget, above 0.
    confidence : float
        Of the bounds, 0..1.
    digests : sequence of str
        Of the recordings, to be kept in the model.
    is_nominal : bool
        The rate of a recording is a guess, so hours are too, and nothing is claimed.

    Raises
    ------
    SessionError
        There is no gesture that the model knows, or no time without one.
    """
    labels, rate_hz = runs[0].labels, runs[0].rate_hz
    search = Search(Rerun(runs, labels, rate_hz))
    null_h = sum(run.null_s for run in runs) / 3600.0
    if not search.n_gestures:
        raise SessionError(
            "the recordings hold no gesture that the model knows: without one nobody can tell "
            "what a budget costs; add recordings with labelled gestures"
        )
    if not null_h:
        raise SessionError(
            "the recordings hold no time without a gesture: add recordings in which none is made"
        )
    budget = _Budget(max_false_per_hour, null_h, confidence)
    chooser = _Chooser(search, budget)
    begin = _plain(start)
    if search.n_gestures >= MIN_GESTURES:
        begin = replace(begin, temperature=fit_temperature(runs))
    config, is_kept = chooser.choose(begin)
    for threshold in THRESHOLDS:
        search.tally(_moved(config, threshold))
    points = [budget.point(tried.enter, counts) for tried, counts in search.tried]
    chosen = budget.point(config.enter, search.tally(config))
    subjects = {run.subject for run in runs if run.subject}
    is_shown = is_kept and not is_nominal and chosen.upper_per_hour <= max_false_per_hour
    calibration = Calibration(
        max_false_per_hour=max_false_per_hour,
        confidence=confidence,
        is_shown=is_shown,
        claim=_claim(chosen, budget, is_shown=is_shown, is_nominal=is_nominal),
        data=Data(
            n_sessions=len(runs),
            n_subjects=len(subjects),
            n_gestures=search.n_gestures,
            null_h=round(null_h, 6),
            duration_h=round(sum(run.duration_s for run in runs) / 3600.0, 6),
            sessions=tuple(digests),
        ),
        chosen=chosen,
        without_budget=max(points, key=lambda p: (p.n_hit, -p.n_false, -p.n_confused)),
        curve=front(points),
    )
    notes = _notes(calibration, budget, points, search.n_gestures)
    return Calibrated(config if is_kept else None, calibration, notes)


def with_threshold(config: DecisionConfig, enter: float) -> DecisionConfig:
    """Return a decision with another common `enter`; `exit` stays, as far as it may.

    With `exit` fixed a higher threshold only takes events away: each run of activity begins later
    or not at all, and ends where it ended.
    """
    return with_thresholds(config, enter, min(config.exit, enter))


def front(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the points that no other one beats in both misses and false activations.

    They are in order: each misses more than the one before and has fewer false activations. Of
    equal ones the one with fewer confusions and repeats stays.
    """
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.n_hit, p.n_false, p.n_confused + p.n_repeated)):
        if not kept or point.n_false < kept[-1].n_false:
            kept.append(point)
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class _Budget:
    """How much may be seen in so many hours."""

    per_hour: float
    null_h: float
    confidence: float

    @property
    def n_by_bound(self) -> int:
        """Most false activations whose upper bound keeps the budget; 0 also where none does."""
        mean = self.per_hour * self.null_h
        n = 0
        while poisson_upper(n + 1, self.confidence) <= mean:
            n += 1
        return n

    @property
    def n_by_estimate(self) -> int:
        """Most false activations whose plain rate keeps the budget."""
        return math.floor(self.per_hour * self.null_h * (1 + 1e-12))

    def point(self, threshold: float, counts: Tally) -> Point:
        recall = counts.recall
        return Point(
            threshold=threshold,
            n_false=counts.n_false,
            false_per_hour=round(counts.n_false / self.null_h, 6),
            upper_per_hour=round(poisson_upper(counts.n_false, self.confidence) / self.null_h, 6),
            n_hit=counts.n_hit,
            recall=round(recall, 6),
            miss_rate=round(1.0 - recall, 6),
            n_confused=counts.n_confused,
            n_repeated=counts.n_repeated,
        )


class _Chooser:
    """The search for the best recall that a budget allows."""

    def __init__(self, search: Search, budget: _Budget) -> None:
        self._search = search
        self._budget = budget
        self._shortest_ms = min(gesture_ms(search.rerun.runs).values())

    def choose(self, start: DecisionConfig) -> tuple[DecisionConfig, bool]:
        """Return a decision, and whether it keeps the budget."""
        budget = self._budget
        kept = []
        for n_allowed in sorted({budget.n_by_bound, budget.n_by_estimate}):
            config = self._best(start, n_allowed)
            if self._keeps(config, n_allowed) and self._search.tally(config).n_hit:
                kept.append(self._own_thresholds(config, n_allowed))
        if not kept:
            some = [option for option in self._search.tried if option[1].n_hit]
            least = min(some, key=lambda o: (o[1].n_false, -o[1].n_hit), default=(start, None))
            return least[0], False
        by_bound, by_estimate = (self._search.tally(config).n_hit for config in (kept[0], kept[-1]))
        return kept[0] if by_bound >= SHOWN_SHARE * by_estimate else kept[-1], True

    def _best(self, start: DecisionConfig, n_allowed: int) -> DecisionConfig:
        """Return the best common threshold and times; the least false one if none is allowed."""
        options = []
        pauses = {start.refractory_ms, *(round(s * self._shortest_ms, 3) for s in PAUSE_SHARES)}
        for min_ms in (round(share * self._shortest_ms, 3) for share in MIN_SHARES):
            options.append(self._threshold(replace(start, min_ms=min_ms), n_allowed))
        best = min(options, key=lambda c: self._rank(c, n_allowed))
        for pause in sorted(pauses):
            options.append(self._threshold(replace(best, refractory_ms=pause), n_allowed))
        return min(options, key=lambda c: self._rank(c, n_allowed))

    def _threshold(self, config: DecisionConfig, n_allowed: int) -> DecisionConfig:
        """Return the lowest allowed threshold, or one above it that loses nothing.

        False activations become fewer as the threshold rises, so halving finds the first one.
        """
        low, high = 0, len(THRESHOLDS) - 1
        while low < high:
            at = (low + high) // 2
            if self._keeps(with_threshold(config, THRESHOLDS[at]), n_allowed):
                high = at
            else:
                low = at + 1
        rising = [with_threshold(config, t) for t in THRESHOLDS[low : low + 4]]
        ranks = [self._rank(option, n_allowed) for option in rising]
        # As good and further from the cliff, where there is such a one.
        as_good = [n for n, rank in enumerate(ranks) if rank == min(ranks)]
        return rising[as_good[len(as_good) // 2]]

    def _own_thresholds(self, config: DecisionConfig, n_allowed: int) -> DecisionConfig:
        """Move single classes' thresholds by a step or two where that finds more gestures."""
        for name, score in self._search.tally(config).by_class.items():
            if score.n_true < OWN_GESTURES:
                continue
            at = THRESHOLDS.index(config.enter)
            steps = [n for n in (at - 4, at - 2, at - 1, at + 1, at + 2) if n >= 0]
            own = [_class_threshold(config, name, THRESHOLDS[n])
                   for n in steps if n < len(THRESHOLDS)]  # fmt: skip
            best = min(own, key=lambda c: self._rank(c, n_allowed))
            gain = self._search.tally(best).n_hit - self._search.tally(config).n_hit
            if self._keeps(best, n_allowed) and gain >= OWN_GAIN:
                config = best
        return config

    def _keeps(self, config: DecisionConfig, n_allowed: int) -> bool:
        return self._search.tally(config).n_false <= n_allowed

    def _rank(self, config: DecisionConfig, n_allowed: int) -> tuple[int, int, int, int]:
        """Return what makes one decision better than another: smaller is better."""
        counts = self._search.tally(config)
        excess = max(0, counts.n_false - n_allowed)
        others = counts.n_confused + counts.n_repeated
        return excess, -counts.n_hit, counts.n_false, others


def _moved(config: DecisionConfig, enter: float) -> DecisionConfig:
    """Return a decision with another common `enter`; classes with their own keep their distance."""
    steps = THRESHOLDS.index(enter) - THRESHOLDS.index(config.enter)
    moved = with_threshold(config, enter)
    for name, own in config.per_class.items():
        if "enter" in own:
            at = THRESHOLDS.index(own["enter"]) + steps
            moved = _class_threshold(moved, name, THRESHOLDS[min(max(at, 0), len(THRESHOLDS) - 1)])
    return moved


def _class_threshold(config: DecisionConfig, name: str, enter: float) -> DecisionConfig:
    own_exit = config.per_class.get(name, {}).get("exit", config.exit)
    return with_class(config, name, enter=enter, exit=min(own_exit, enter))


def _plain(start: DecisionConfig) -> DecisionConfig:
    """Return a decision whose classes share their thresholds and times; other options stay."""
    ours = ("enter", "exit", "min_ms", "refractory_ms")
    rest = {
        name: {key: value for key, value in own.items() if key not in ours}
        for name, own in start.per_class.items()
    }
    return replace(start, per_class={name: own for name, own in rest.items() if own})


def _claim(chosen: Point, budget: _Budget, *, is_shown: bool, is_nominal: bool) -> str:
    """Return what the data show, or what they cannot show and why, in one line."""
    seen = f"{chosen.n_false} false activations in {budget.null_h:.2f} h of null data"
    sure = f"{100 * budget.confidence:g} %"
    if is_nominal:
        return f"not shown: {seen}, but the recordings' rate is a guess, and so are the hours"
    bound = f"the {sure} upper bound is {chosen.upper_per_hour:.3g} an hour"
    if is_shown:
        return f"shown: {seen}: {bound}, within the budget of {budget.per_hour:g}"
    needed = hours_needed(budget.per_hour, 0, budget.confidence)
    return (
        f"not shown: {seen}: {bound}; a claim of {budget.per_hour:g} an hour needs at least "
        f"{needed:.1f} event-free hours without a false activation"
    )


def _notes(
    calibration: Calibration, budget: _Budget, points: Sequence[Point], n_gestures: int
) -> tuple[str, ...]:
    """Return what the budget costs, and what little data cannot say."""
    chosen, free = calibration.chosen, calibration.without_budget
    lost = free.n_hit - chosen.n_hit
    notes = [
        f"the budget costs {lost} of {n_gestures} gestures: recall {chosen.recall:.3f} within it, "
        f"{free.recall:.3f} without one (at {free.false_per_hour:.3g} false activations an hour)"
    ]
    by_estimate = [p for p in points if p.n_false <= budget.n_by_estimate]
    best = max(by_estimate, key=lambda p: p.n_hit, default=chosen)
    if best.n_hit > chosen.n_hit:
        notes.append(
            f"recall would be {best.recall:.3f} if the estimate alone had to keep the budget "
            f"({best.n_false} false activations, at most {best.upper_per_hour:.3g} an hour)"
        )
    if n_gestures < MIN_GESTURES:
        notes.append(
            f"{n_gestures} gestures say little about recall: record {MIN_GESTURES} or more"
        )
    return tuple(notes)
