"""What a decision does to held-out runs, counted: hits, confusions, repeats, false activations.

An event is one of four things:

- a *hit*: matched, one to one, with a true gesture of its class that it overlaps;
- a *confusion*: no hit, and it overlaps a true gesture of another class more than any of its own;
- a *repeat*: no hit, and it overlaps a true gesture of its own class that another event answers;
- a *false activation*: it overlaps no true gesture at all. Only these count against a budget, and
  only the time outside every true gesture ("null time") counts for it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from streamrnn.evaluation.events import (
    ANY_OVERLAP,
    Rule,
    Score,
    Segment,
    add_scores,
    macro_f1,
    match,
    overlap,
    scores,
)
from streamrnn.evaluation.heldout import HeldOutRun

#: A strict hit shares half of the union with its gesture.
STRICT = Rule("overlap", 0.5)


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over some runs.

    Attributes
    ----------
    by_class, strict : dict of str to Score
        With any overlap, and where half of the union must be shared.
    n_false, n_confused, n_repeated : int
        Events that are no hits, by kind.
    delays_us : tuple of int
        For each hit, from the true onset until the event was given.
    false_at, hit_at, other_at : tuple of (int, int)
        Where each false activation, each gesture that was hit, and each confusion or repeat begins:
        run, microseconds.
    """

    by_class: dict[str, Score]
    strict: dict[str, Score]
    n_false: int
    n_confused: int
    n_repeated: int
    delays_us: tuple[int, ...]
    false_at: tuple[tuple[int, int], ...] = ()
    hit_at: tuple[tuple[int, int], ...] = ()
    other_at: tuple[tuple[int, int], ...] = ()

    @property
    def f1(self) -> float:
        """Mean F1 of the classes, any overlap, 0..1."""
        return macro_f1(self.by_class)

    @property
    def strict_f1(self) -> float:
        """Mean F1 of the classes, half of the union, 0..1."""
        return macro_f1(self.strict)

    @property
    def n_true(self) -> int:
        """True gestures."""
        return sum(score.n_true for score in self.by_class.values())

    @property
    def n_hit(self) -> int:
        """True gestures that were found, with the right class."""
        return sum(score.n_hit for score in self.by_class.values())

    @property
    def recall(self) -> float:
        """Share of the true gestures that were found, with the right class, 0..1."""
        return self.n_hit / self.n_true if self.n_true else 0.0

    @property
    def mean_delay_us(self) -> float:
        """Mean delay of the hits; 0 without any."""
        return sum(self.delays_us) / len(self.delays_us) if self.delays_us else 0.0


def tally(runs: Sequence[HeldOutRun], found: Sequence[Sequence[Segment]]) -> Tally:
    """Return the counts of what was found in each run."""
    loose, strict = [], []
    kinds: Counter[int] = Counter()
    delays: list[int] = []
    false_at: list[tuple[int, int]] = []
    hit_at: list[tuple[int, int]] = []
    other_at: list[tuple[int, int]] = []
    for n, (run, segments) in enumerate(zip(runs, found, strict=True)):
        pairs = match(run.truth, segments, ANY_OVERLAP)
        loose.append(scores(run.truth, segments, pairs))
        strict.append(scores(run.truth, segments, match(run.truth, segments, STRICT)))
        delays += [segments[j].decided - run.truth[i].start for i, j in pairs]
        hit_at += [(n, run.truth[i].start) for i, _ in pairs]
        hits = {j for _, j in pairs}
        truth = _Truth(run.truth)
        for segment in (s for j, s in enumerate(segments) if j not in hits):
            kind = truth.kind(segment)
            kinds[kind] += 1
            (other_at if kind else false_at).append((n, segment.start))
    return Tally(
        by_class=add_scores(loose),
        strict=add_scores(strict),
        n_false=kinds[0],
        n_confused=kinds[1],
        n_repeated=kinds[2],
        delays_us=tuple(delays),
        false_at=tuple(false_at),
        hit_at=tuple(hit_at),
        other_at=tuple(other_at),
    )


class _Truth:
    """True gestures by time, to ask what an event overlaps."""

    def __init__(self, truth: Sequence[Segment]) -> None:
        self._truth = sorted(truth, key=lambda segment: segment.start)
        self._starts = [segment.start for segment in self._truth]
        # The latest end up to each gesture: labels may overlap.
        self._ends: list[int] = []
        for segment in self._truth:
            self._ends.append(max(segment.end, self._ends[-1] if self._ends else segment.end))

    def kind(self, segment: Segment) -> int:
        """Return 0 for a false activation, 1 for a confusion, 2 for a repeat."""
        first = bisect_right(self._ends, segment.start)
        behind = bisect_left(self._starts, segment.end)
        near = self._truth[first:behind]
        own = max((overlap(segment, t) for t in near if t.label == segment.label), default=0)
        other = max((overlap(segment, t) for t in near if t.label != segment.label), default=0)
        if not own and not other:
            return 0
        return 1 if other > own else 2
