"""What decisions do, part by part of the recordings.

Parts are people; sessions where nobody said who is in them; stretches of time where there is one
session only, or where one part would hold nearly all event-free time or nearly all gestures: the
others alone could not choose a decision then, and what they chose would say nothing of this one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamrnn.core.types import F64, I64
from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.search import Search
from streamrnn.evaluation.heldout import HeldOutRun

#: Parts, at most.
MAX_PARTS = 6
#: Stretches of time a part, in each session.
_STRETCHES = 8
#: No person or session may hold more than this of the event-free time, or of the gestures.
MAX_SHARE = 2 / 3

#: Which parts count, bool (n_parts,).
Mask = npt.NDArray[np.bool_]
#: False activations, hits, and other events that are no hits.
Counts = tuple[int, int, int]


class Ledger:
    """The counts of decisions in each part; every decision is run once, over everything.

    Parameters
    ----------
    search : Search

    Attributes
    ----------
    n_parts : int
    is_by_time : bool
        Parts are stretches of time, so that nothing is known of other people.
    everything : bool (n_parts,)
    """

    def __init__(self, search: Search) -> None:
        self.search = search
        runs = search.rerun.runs
        groups = _Groups(runs)
        self.is_by_time = len(runs) == 1 or groups.largest_share(runs) > MAX_SHARE
        self._parts = _Stretches(runs) if self.is_by_time else groups
        self.n_parts = self._parts.n
        self.everything: Mask = np.ones(self.n_parts, np.bool_)
        self._hours = self._parts.null_h(runs)
        self._known: dict[str, I64] = {}

    def without(self, part: int) -> Mask:
        """Return all parts but one."""
        mask = self.everything.copy()
        mask[part] = False
        return mask

    def share(self, mask: Mask) -> float:
        """Return the share of the event-free time that some parts have, 0..1."""
        total = float(self._hours.sum())
        return float(self._hours[mask].sum()) / total if total else 0.0

    def counts(self, config: DecisionConfig, mask: Mask) -> Counts:
        """Return what a decision does in some parts."""
        key = repr(config)
        table = self._known.get(key)
        if table is None:
            table = self._known[key] = self._table(config)
        n_false, n_hit, n_other = table[:, mask].sum(axis=1).tolist()
        return n_false, n_hit, n_other

    def _table(self, config: DecisionConfig) -> I64:
        counts = self.search.tally(config)
        table = np.zeros((3, self.n_parts), np.int64)
        for row, places in enumerate((counts.false_at, counts.hit_at, counts.other_at)):
            for place in places:
                table[row, self._parts.of(*place)] += 1
        return table


class _Groups:
    """Each run is in one part."""

    def __init__(self, runs: Sequence[HeldOutRun]) -> None:
        names = [run.subject for run in runs]
        if not all(names) or len(set(names)) == 1:
            names = [f"{n:06d}" for n in range(len(runs))]
        order = {name: k for k, name in enumerate(sorted(set(names)))}
        self.n = min(len(order), MAX_PARTS)
        self._of = [order[name] % self.n for name in names]

    def of(self, run: int, t_us: int) -> int:
        """Return the part in which something happened."""
        del t_us
        return self._of[run]

    def null_h(self, runs: Sequence[HeldOutRun]) -> F64:
        """Return the event-free hours of each part."""
        hours = np.zeros(self.n)
        np.add.at(hours, self._of, [run.null_s / 3600.0 for run in runs])
        return hours

    def largest_share(self, runs: Sequence[HeldOutRun]) -> float:
        """Return the most that one part has of the event-free time or of the gestures, 0..1."""
        gestures = np.zeros(self.n)
        np.add.at(gestures, self._of, [len(run.truth) for run in runs])
        sums = [counts for counts in (self.null_h(runs), gestures) if counts.any()]
        return max((float(counts.max() / counts.sum()) for counts in sums), default=0.0)


class _Stretches:
    """Each run is cut into stretches of the same length, which go to the parts in turn."""

    n = MAX_PARTS

    def __init__(self, runs: Sequence[HeldOutRun]) -> None:
        cuts = np.arange(1, self.n * _STRETCHES)
        self._edges: list[I64] = [run.t_us[cuts * len(run) // (len(cuts) + 1)] for run in runs]

    def of(self, run: int, t_us: int) -> int:
        """Return the part in which something happened."""
        return int(np.searchsorted(self._edges[run], t_us, side="right")) % self.n

    def null_h(self, runs: Sequence[HeldOutRun]) -> F64:
        """Return the event-free hours of each part, taken as equal."""
        return np.full(self.n, sum(run.null_s for run in runs) / 3600.0 / self.n)
