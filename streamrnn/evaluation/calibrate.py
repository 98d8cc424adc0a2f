"""A decision for a budget of false activations an hour, and what the recordings can show of it.

Counted are *false activations in null time*: events that overlap no true gesture, over the time
outside every true gesture. Events on a gesture of another class (confusions) and second events on
the same gesture (repeats) are counted apart: they tell how well gestures are told apart, and a
recording without gestures has none (`streamrnn.evaluation.choosing.tally`).

Many decisions are tried. How many false activations the best of them may have here, and how much
stricter it is made, follows from what such a choice does to people who had no part in it
(`streamrnn.evaluation.choosing.budget`): the exact Poisson bound of the false activations *there*
must keep the budget. Where the data are too short for that, or where it would cost more than a
tenth of the gestures, the plain rate must keep the budget, and nothing is claimed. Where not even
that does at any recall, there is no decision.

A Poisson count takes false activations as independent of each other. They are not quite: one person
may have a habit, so counts scatter more than the bound says. The more people there are, the better;
and whoever must show a budget on new people does well to ask for half of it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamrnn.core.errors import SessionError
from streamrnn.decision.calibration import Calibration, Checked, Data, Point
from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.budget import Budget, Choice, choose
from streamrnn.evaluation.choosing.ledger import Ledger
from streamrnn.evaluation.choosing.rerun import Rerun
from streamrnn.evaluation.choosing.search import Search
from streamrnn.evaluation.choosing.tally import Tally
from streamrnn.evaluation.choosing.temperature import MIN_GESTURES, fit_temperature
from streamrnn.evaluation.heldout import HeldOutRun
from streamrnn.evaluation.inspection.finding import counted
from streamrnn.evaluation.metrics.rates import hours_needed

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
    search = Search(Rerun(runs, runs[0].labels, runs[0].rate_hz))
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
    budget = Budget(max_false_per_hour, null_h, confidence)
    begin = _plain(start)
    if search.n_gestures >= MIN_GESTURES:
        begin = replace(begin, temperature=fit_temperature(runs))
    ledger = Ledger(search)
    choice = choose(ledger, begin, budget)
    decision, counts = choice.decision, search.tally(choice.decision)
    points = [_point(config, tallied, budget) for config, tallied in search.tried]
    checked = _checked(choice, ledger, budget, search.n_gestures)
    is_shown = choice.is_shown and not is_nominal and budget.is_shown_by(counts.n_false)
    calibration = Calibration(
        max_false_per_hour=max_false_per_hour,
        confidence=confidence,
        is_shown=is_shown,
        claim=_claim(checked, budget, is_shown=is_shown, is_nominal=is_nominal),
        data=Data(
            n_sessions=len(runs),
            n_subjects=len({run.subject for run in runs if run.subject}),
            n_gestures=search.n_gestures,
            null_h=round(null_h, 6),
            duration_h=round(sum(run.duration_s for run in runs) / 3600.0, 6),
            sessions=tuple(digests),
        ),
        chosen=_point(decision, counts, budget),
        checked=checked,
        without_budget=max(points, key=lambda p: (p.n_hit, -p.n_false, -p.n_confused)),
        curve=front(points),
    )
    notes = _notes(calibration, search.n_gestures, is_by_time=ledger.is_by_time)
    return Calibrated(decision if choice.is_kept else None, calibration, notes)


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


def _plain(start: DecisionConfig) -> DecisionConfig:
    """Return a decision whose classes share their thresholds and times; other options stay."""
    ours = ("enter", "exit", "min_ms", "refractory_ms")
    rest = {
        name: {key: value for key, value in own.items() if key not in ours}
        for name, own in start.per_class.items()
    }
    return replace(start, per_class={name: own for name, own in rest.items() if own})


def _point(config: DecisionConfig, counts: Tally, budget: Budget) -> Point:
    return Point(
        threshold=config.enter,
        n_false=counts.n_false,
        false_per_hour=round(counts.n_false / budget.null_h, 6),
        upper_per_hour=budget.upper_per_hour(counts.n_false),
        n_hit=counts.n_hit,
        recall=round(counts.recall, 6),
        miss_rate=round(1.0 - counts.recall, 6),
        n_confused=counts.n_confused,
        n_repeated=counts.n_repeated,
    )


def _checked(choice: Choice, ledger: Ledger, budget: Budget, n_gestures: int) -> Checked:
    return Checked(
        n_parts=ledger.n_parts,
        n_false=choice.n_false,
        false_per_hour=round(choice.n_false / budget.null_h, 6),
        upper_per_hour=budget.upper_per_hour(choice.n_false),
        n_hit=choice.n_hit,
        recall=round(choice.n_hit / n_gestures, 6),
    )


def _claim(checked: Checked, budget: Budget, *, is_shown: bool, is_nominal: bool) -> str:
    """Return what the data show, or what they cannot show and why, in one line."""
    seen = counted(checked.n_false, "false activation")
    seen += f" in {budget.null_h:.2f} h of null data"
    if is_nominal:
        return f"not shown: {seen}, but the recordings' rate is a guess, and so are the hours"
    bound = f"the {100 * budget.confidence:g} % upper bound is {checked.upper_per_hour:.3g} an hour"
    if is_shown:
        return f"shown: {seen}: {bound}, within the budget of {budget.per_hour:g}"
    needed = hours_needed(budget.per_hour, 0, budget.confidence)
    return (
        f"not shown: {seen}: {bound}; a claim of {budget.per_hour:g} an hour needs at least "
        f"{needed:{'.1f' if needed >= 1 else '.2g'}} event-free hours without a false activation"
    )


def _notes(calibration: Calibration, n_gestures: int, *, is_by_time: bool) -> tuple[str, ...]:
    """Return what the budget costs, and what little data cannot say."""
    chosen, checked, free = calibration.chosen, calibration.checked, calibration.without_budget
    lost = free.n_hit - chosen.n_hit
    notes = [
        f"the budget costs {lost} of {n_gestures} gestures: recall {chosen.recall:.3f} within it, "
        f"{free.recall:.3f} without one (at {free.false_per_hour:.3g} false activations an hour)",
        f"chosen in the same way on {checked.n_parts - 1} of {checked.n_parts} parts and counted "
        f"on the other, in turn: {counted(checked.n_false, 'false activation')} where the choice "
        f"itself has {chosen.n_false}, recall {checked.recall:.3f}; the claim stands on these",
    ]
    if is_by_time:
        notes.append(
            "the parts are stretches of time, as one recording or person has nearly all gestures "
            "or nearly all time without one: nothing is known of how others would do"
        )
    if n_gestures < MIN_GESTURES:
        notes.append(
            f"{n_gestures} gestures say little about recall: record {MIN_GESTURES} or more"
        )
    return tuple(notes)
