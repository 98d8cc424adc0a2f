"""What decisions do, part by part of the recordings.

Parts are people; sessions where nobody said who is in them; stretches of time where there is one
session only.
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
#: Stretches of time a part, where there is one session only.
_STRETCHES = 8

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
    everything : bool (n_parts,)
    """

    def __init__(self, search: Search) -> None:
        self.search = search
        runs = search.rerun.runs
        self._parts = _Stretches(runs[0]) if len(runs) == 1 else _Groups(runs)
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


class _Stretches:
    """One run, cut into stretches of the same length that go to the parts in turn."""

    n = MAX_PARTS

    def __init__(self, run: HeldOutRun) -> None:
        n_stretches = self.n * _STRETCHES
        self._edges: I64 = run.t_us[np.arange(1, n_stretches) * len(run) // n_stretches]

    def of(self, run: int, t_us: int) -> int:
        """Return the part in which something happened."""
        del run
        return int(np.searchsorted(self._edges, t_us, side="right")) % self.n

    def null_h(self, runs: Sequence[HeldOutRun]) -> F64:
        """Return the event-free hours of each part, taken as equal."""
        return np.full(self.n, runs[0].null_s / 3600.0 / self.n)
