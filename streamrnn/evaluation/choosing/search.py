"""A search along one option at a time, over what decisions do to held-out runs.

The *worth* of a decision is its mean event F1 (any overlap, mean over classes, counts of all runs
together), plus a quarter of the strict F1 (half of the union shared), because an event should also
lie where its gesture lies, less a fiftieth of the mean delay in gestures. So half a gesture of
delay weighs as much as one percent of F1: it decides between equals.

Which value wins follows from the row of values, not from its highest point alone: of those that
lack at most two events, the one with the best neighbours is taken. A sharp peak on the data at hand
is luck that the next person does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.rerun import Rerun, gesture_ms
from streamrnn.evaluation.choosing.tally import Tally, tally

STRICT_SHARE = 0.25
DELAY_SHARE = 0.02


class Search:
    """Decisions and their worth, each computed once.

    Parameters
    ----------
    rerun : Rerun

    Attributes
    ----------
    n_gestures : int
        True gestures in the runs.
    one : float
        What one event more or less changes the mean F1 by, about.
    """

    def __init__(self, rerun: Rerun) -> None:
        self.rerun = rerun
        self.n_gestures = sum(len(run.truth) for run in rerun.runs)
        self.one = 0.5 / max(1, self.n_gestures)
        lengths = gesture_ms(rerun.runs).values()
        self._gesture_us = 1e3 * sum(lengths) / len(lengths) if lengths else 1.0
        self._known: dict[str, tuple[DecisionConfig, Tally]] = {}

    def tally(self, config: DecisionConfig) -> Tally:
        """Return the counts of a decision."""
        key = repr(config)
        known = self._known.get(key)
        if known is None:
            counts = tally(self.rerun.runs, self.rerun.found(config))
            known = self._known[key] = config, counts
        return known[1]

    @property
    def tried(self) -> list[tuple[DecisionConfig, Tally]]:
        """All decisions so far, and their counts."""
        return list(self._known.values())

    def worth(self, config: DecisionConfig) -> float:
        """Return how good a decision is; see the module."""
        counts = self.tally(config)
        delay = min(counts.mean_delay_us / self._gesture_us, 5.0)
        return counts.f1 + STRICT_SHARE * counts.strict_f1 - DELAY_SHARE * delay

    def plateau(
        self,
        config: DecisionConfig,
        grid: Sequence[Any],
        changed: Callable[[DecisionConfig, Any], DecisionConfig],
        width: int | None = None,
    ) -> DecisionConfig:
        """Return `config` with the middle one of the best values of a grid.

        Parameters
        ----------
        config : DecisionConfig
        grid : sequence
            Values, ascending.
        changed : callable
            Puts a value into a decision.
        width : int, optional
            Look only so far to both sides of the value that `config` has.
        """
        options = [changed(config, value) for value in grid]
        if width is not None and config in options:
            at = options.index(config)
            options = options[max(0, at - width) : at + width + 1]
        return options[middle([self.worth(option) for option in options], 2 * self.one)]

    def smallest(
        self,
        config: DecisionConfig,
        grid: Sequence[float],
        changed: Callable[[DecisionConfig, float], DecisionConfig],
    ) -> DecisionConfig:
        """Return `config` with the first value of an ascending grid that is as good as the best.

        For what costs something even where the data do not show it: a pause, smoothing. A value is
        as good when it lacks no more than two events.
        """
        options = [changed(config, value) for value in grid]
        worths = [self.worth(option) for option in options]
        best = max(worths)
        return next(o for o, w in zip(options, worths, strict=True) if w >= best - 2 * self.one)


def middle(worths: Sequence[float], tolerance: float) -> int:
    """Return the index of the value to take: good, and with good neighbours.

    Parameters
    ----------
    worths : sequence of float
        At neighbouring values of an option.
    tolerance : float
        Only values that lack no more than this come into question.

    Returns
    -------
    int
        Of those, the one with the best mean over itself and its two neighbours; in the middle where
        several in a row are as good.
    """
    edges = [worths[0], *worths, worths[-1]]
    means = [(a + 2 * b + c) / 4 for a, b, c in zip(edges, edges[1:], edges[2:], strict=False)]
    open_to = [n for n, worth in enumerate(worths) if worth >= max(worths) - tolerance]
    best = max(open_to, key=means.__getitem__)
    last = best
    while last + 1 in open_to and means[last + 1] == means[best]:
        last += 1
    return (best + last) // 2


def with_thresholds(config: DecisionConfig, enter: float, exit_: float) -> DecisionConfig:
    """Return a decision with other common thresholds; no class keeps `exit` above `enter`."""
    per_class = dict(config.per_class)
    for name, own in config.per_class.items():
        limit = own.get("enter", enter)
        if own.get("exit", exit_) > limit:
            per_class[name] = {**own, "exit": limit}
    return replace(config, enter=enter, exit=exit_, per_class=per_class)


def with_enter(config: DecisionConfig, enter: float) -> DecisionConfig:
    """Return a decision with another `enter`; `exit` keeps its share of it."""
    share = config.exit / config.enter if config.enter else 1.0
    return with_thresholds(config, enter, round(enter * min(share, 1.0), 4))


def with_exit_share(config: DecisionConfig, share: float) -> DecisionConfig:
    """Return a decision whose `exit` is so much of its `enter`."""
    return with_thresholds(config, config.enter, round(config.enter * share, 4))


def with_class(config: DecisionConfig, name: str, **options: float) -> DecisionConfig:
    """Return a decision with some options of one class replaced."""
    own = {**config.per_class.get(name, {}), **options}
    return replace(config, per_class={**config.per_class, name: own})
