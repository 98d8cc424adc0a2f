"""The best of many decisions, and what such a choice is worth on recordings that had no part in it.

Whoever takes the best of many decisions on some recordings takes the luckiest one too: its false
activations there are fewer than they will be. So the same choice is made once more for every part
of the recordings, on the other parts alone, and counted on that part. Parts are people; sessions
where nobody said who is in them; stretches of time where there is one session only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from streamrnn.core.types import F64, I64
from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.choosing.tally import Tally
from streamrnn.evaluation.heldout import HeldOutRun

#: Parts, at most.
MAX_PARTS = 8
#: Stretches of time a part, where there is one session only.
_STRETCHES = 8


class Pool:
    """Decisions that were tried, and what each does in every part of the recordings.

    Parameters
    ----------
    runs : sequence of HeldOutRun
    tried : sequence of (DecisionConfig, Tally)
    stricter : callable, optional
        Returns a decision so many steps stricter than a given one, and its counts.

    Attributes
    ----------
    n_parts : int
    """

    def __init__(
        self,
        runs: Sequence[HeldOutRun],
        tried: Sequence[tuple[DecisionConfig, Tally]],
        stricter: Callable[[DecisionConfig, int], tuple[DecisionConfig, Tally]] | None = None,
    ) -> None:
        self.tried = list(tried)
        self._stricter = stricter
        self._parts = _parts(runs)
        self.n_parts = self._parts.n
        self._false = self._counts([counts.false_at for _, counts in tried])
        self._hits = self._counts([counts.hit_at for _, counts in tried])
        self._others = np.array([c.n_confused + c.n_repeated for _, c in tried])
        self._hours = self._parts.null_h(runs)

    def best(self, n_allowed: int, n_steps: int = 0) -> tuple[DecisionConfig, Tally]:
        """Return the best decision with at most so many false activations, and its counts.

        Parameters
        ----------
        n_allowed : int
        n_steps : int
            Take one that is so many steps stricter than that.
        """
        return self._stepped(self._best(np.ones(self.n_parts, np.bool_), n_allowed), n_steps)

    def crossed(self, n_allowed: int, n_steps: int = 0) -> tuple[int, int]:
        """Return false activations and hits when each part is decided by what suits the others."""
        n_false = n_hit = 0
        for part in range(self.n_parts):
            others = np.arange(self.n_parts) != part
            share = self._hours[others].sum() / max(self._hours.sum(), 1e-12)
            index = self._best(others, int(n_allowed * share))
            if not n_steps:
                n_false += int(self._false[index, part])
                n_hit += int(self._hits[index, part])
                continue
            _, counts = self._stepped(index, n_steps)
            n_false += sum(self._parts.of(*place) == part for place in counts.false_at)
            n_hit += sum(self._parts.of(*place) == part for place in counts.hit_at)
        return n_false, n_hit

    def _stepped(self, index: int, n_steps: int) -> tuple[DecisionConfig, Tally]:
        config, counts = self.tried[index]
        if not n_steps or self._stricter is None:
            return config, counts
        return self._stricter(config, n_steps)

    def _best(self, parts: np.ndarray[tuple[int], np.dtype[np.bool_]], n_allowed: int) -> int:
        """Return the decision with most hits, then fewest false ones; the middle of equals."""
        n_false = self._false[:, parts].sum(axis=1)
        n_hit = self._hits[:, parts].sum(axis=1)
        keys = np.stack([self._others, n_false, -n_hit, np.maximum(n_false - n_allowed, 0)])
        first = int(np.lexsort(keys)[0])
        equal = np.flatnonzero((keys == keys[:, [first]]).all(axis=0)).tolist()
        equal.sort(key=lambda n: self.tried[n][0].enter)
        return int(equal[len(equal) // 2])

    def _counts(self, places: Sequence[Sequence[tuple[int, int]]]) -> I64:
        table = np.zeros((len(places), self.n_parts), np.int64)
        for row, at in enumerate(places):
            for run, t_us in at:
                table[row, self._parts.of(run, t_us)] += 1
        return table


class _Groups:
    """Each run is in one part."""

    def __init__(self, names: Sequence[str]) -> None:
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


def _parts(runs: Sequence[HeldOutRun]) -> _Groups | _Stretches:
    if len(runs) == 1:
        return _Stretches(runs[0])
    names = [run.subject for run in runs]
    if not all(names) or len(set(names)) == 1:
        names = [f"{n:06d}" for n in range(len(runs))]
    return _Groups(names)
