"""Choose a decision on recordings that the model never saw."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.heldout import HeldOutRun


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
        The same where a hit must overlap its gesture by half of their union.
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
        Where the search begins; what the data cannot decide stays as it is here.
    fixed : collection of str
        Options of `start` that the user chose: they stay.
    """
    return Tuned(start, 0.0, 0.0, sum(len(run.truth) for run in runs))
