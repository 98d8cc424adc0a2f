"""A decision for those who cannot wait: chosen for events that must be out some time after onset.

It is chosen on models of the training people that did not see the person they are asked about, and
by them alone; the weights are those of the model that is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.accuracy.uhh_rules import Pair, authors_pairs, pair_f1
from streamrnn.core.types import NULL_CLASS
from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.rerun import Rerun
from streamrnn.evaluation.heldout import HeldOutRun
from streamrnn.sessions.labels import runs as runs_of

#: Without such models: the share of the time that may pass from the onset that was seen; the rest
#: is for seeing the onset at all.
_DECIDING = 2 / 3
_DEADLINES = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
_ENTERS = (1.0, 0.75, 0.5, 0.35, 0.2)
_SURES = (0.5, 0.65, 0.8, 0.9)
_SHORTEST = (1.0, 0.5, 0.25)


@dataclass(frozen=True, slots=True)
class Early:
    """How an early decision differs from the one that training chose.

    Attributes
    ----------
    deadline : float
        Share of the time allowed, from the onset that the decision sees, at which it must be sure.
    enter : float
        Factor on the thresholds.
    shortest : float
        Share of the deadline that a run must have lasted, at the most.
    sure : float
        How sure it must be before the deadline; 0: as training chose.
    """

    deadline: float = _DECIDING
    enter: float = 1.0
    shortest: float = 1.0
    sure: float = 0.0


_Options = Callable[[Early], list[Early]]
_STEPS: tuple[_Options, ...] = (
    lambda now: [replace(now, deadline=share) for share in _DEADLINES],
    lambda now: [replace(now, enter=factor) for factor in _ENTERS],
    lambda now: [replace(now, shortest=share) for share in _SHORTEST],
    lambda now: [replace(now, sure=sure) for sure in _SURES],
    lambda now: [replace(now, deadline=share) for share in _DEADLINES],
    lambda now: [replace(now, enter=factor) for factor in _ENTERS],
)


def early_decision(decision: DecisionConfig, time_us: float, how: Early) -> DecisionConfig:
    """Return the decision that names a class when it is sure, or when its time is nearly up.

    Parameters
    ----------
    decision : DecisionConfig
        What training chose.
    time_us : float
        From the true onset until the event must be out.
    how : Early
    """
    deadline_ms = how.deadline * time_us / 1e3
    most_ms = how.shortest * deadline_ms
    own = {}
    for name, rule in decision.per_class.items():
        own[name] = dict(rule)
        for key in ("enter", "exit"):
            if key in rule:
                own[name][key] = rule[key] * how.enter
        if "min_ms" in rule:
            own[name]["min_ms"] = min(rule["min_ms"], most_ms)
        if how.sure:
            own[name].pop("sure", None)
    return replace(
        decision,
        fire="sure",
        deadline_ms=deadline_ms,
        enter=decision.enter * how.enter,
        exit=decision.exit * how.enter,
        min_ms=min(decision.min_ms, most_ms),
        sure=how.sure or decision.sure,
        per_class=own,
    )


def choose_early(
    runs: Sequence[HeldOutRun], decision: DecisionConfig, time_us: float
) -> DecisionConfig:
    """Return the early decision with the best F1 on held-out runs, one option after the other.

    Parameters
    ----------
    runs : sequence of HeldOutRun
        Of the training people; with none the deadline is two thirds of the time.
    decision : DecisionConfig
        What training chose.
    time_us : float
        From the true onset until the event must be out.
    """
    if not runs:
        return early_decision(decision, time_us, Early())
    rerun = Rerun(runs, runs[0].labels, runs[0].rate_hz)
    best, chosen = -1.0, Early()
    for options in _STEPS:
        for how in options(chosen):
            f1 = f1_in_time(rerun, early_decision(decision, time_us, how), round(time_us))
            if f1 > best:
                best, chosen = f1, how
    return early_decision(decision, time_us, chosen)


def f1_in_time(rerun: Rerun, config: DecisionConfig, time_us: int) -> float:
    """Return the authors' F1 of all runs together, of events that are out in time."""
    pairs: list[Pair] = []
    for run, found in zip(rerun.runs, rerun.found(config), strict=True):
        n_none = sum(k == NULL_CLASS for _, _, k in runs_of(run.y))
        pairs += authors_pairs(found, run.truth, n_none, within=time_us)
    return pair_f1(pairs)
