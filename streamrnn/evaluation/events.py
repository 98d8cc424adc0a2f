"""Events against truth: who was hit, missed, invented, and how late.

Found and true gestures are matched one to one, within a class, such that as many pairs as possible
come out and, among those, the pairs overlap as much as possible. A pair overlaps by at least one
instant, or by `min_iou` of its union.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from streamrnn.core.records import Event, Record
from streamrnn.core.types import NULL_NAME
from streamrnn.sessions.session import Session


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time with a name. The unit (microseconds, frames) is the caller's.

    Attributes
    ----------
    start, end : int
        Half-open.
    label : str
        Class name.
    decided : int
        When it was known; meaningless for a true segment.
    """

    start: int
    end: int
    label: str
    decided: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of one class, or of several together.

    Attributes
    ----------
    n_true, n_found, n_hit : int
        True gestures, events, and pairs of them.
    """

    n_true: int
    n_found: int
    n_hit: int

    @property
    def n_missed(self) -> int:
        """True gestures without an event."""
        return self.n_true - self.n_hit

    @property
    def n_false(self) -> int:
        """Events without a true gesture of their class."""
        return self.n_found - self.n_hit

    @property
    def precision(self) -> float:
        """Share of the events that are right, 0..1; 0 when there is none."""
        return self.n_hit / self.n_found if self.n_found else 0.0

    @property
    def recall(self) -> float:
        """Share of the true gestures that were found, 0..1; 0 when there is none."""
        return self.n_hit / self.n_true if self.n_true else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0..1; 0 when there is nothing at all."""
        total = self.n_true + self.n_found
        return 2 * self.n_hit / total if total else 0.0

    def __add__(self, other: Score) -> Score:
        """Return the counts of both together."""
        return Score(
            self.n_true + other.n_true, self.n_found + other.n_found, self.n_hit + other.n_hit
        )


def overlap(a: Segment, b: Segment) -> int:
    """Return how long `a` and `b` are both going on."""
    return max(0, min(a.end, b.end) - max(a.start, b.start))


def match(
    truth: Sequence[Segment], found: Sequence[Segment], min_iou: float = 0.0
) -> list[tuple[int, int]]:
    """Pair true and found segments of the same class, one to one.

    Parameters
    ----------
    truth, found : sequence of Segment
    min_iou : float
        Least intersection over union of a pair, 0..1; 0 asks for any overlap.

    Returns
    -------
    list of (int, int)
        Indices into `truth` and `found`, by the first.
    """
    from scipy.optimize import linear_sum_assignment

    pairs = []
    for label in {segment.label for segment in truth}:
        rows = [i for i, segment in enumerate(truth) if segment.label == label]
        columns = [j for j, segment in enumerate(found) if segment.label == label]
        shared = _shared([truth[i] for i in rows], [found[j] for j in columns], min_iou)
        # A pair is worth 1 and a bit; all the bits together are worth less than one pair.
        worth = (shared > 0) + shared / (shared.sum() + 1.0)
        for i, j in zip(*linear_sum_assignment(worth, maximize=True), strict=True):
            if shared[i, j] > 0:
                pairs.append((rows[i], columns[j]))
    return sorted(pairs)


def _shared(
    truth: Sequence[Segment], found: Sequence[Segment], min_iou: float
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the overlap of each pair that may be matched, 0 for others."""
    a = np.array([(s.start, s.end) for s in truth], np.int64).reshape(-1, 2)
    b = np.array([(s.start, s.end) for s in found], np.int64).reshape(-1, 2)
    start = np.maximum(a[:, None, 0], b[None, :, 0])
    end = np.minimum(a[:, None, 1], b[None, :, 1])
    shared = np.maximum(end - start, 0)
    union = (a[:, 1] - a[:, 0])[:, None] + (b[:, 1] - b[:, 0])[None] - shared
    return np.where(shared >= min_iou * union, shared, 0).astype(np.float64)


def scores(
    truth: Sequence[Segment], found: Sequence[Segment], pairs: Sequence[tuple[int, int]]
) -> dict[str, Score]:
    """Return the counts of each class that is true or found somewhere, by name."""
    labels = sorted({segment.label for segment in (*truth, *found)})
    counts = {label: [0, 0, 0] for label in labels}
    for column, names in enumerate((
        [segment.label for segment in truth],
        [segment.label for segment in found],
        [truth[i].label for i, _ in pairs],
    )):  # fmt: skip
        for name in names:
            counts[name][column] += 1
    return {label: Score(*counts[label]) for label in labels}


def macro_f1(by_class: dict[str, Score]) -> float:
    """Return the mean F1 of the classes, 0..1; 0 without classes."""
    values = [score.f1 for score in by_class.values()]
    return sum(values) / len(values) if values else 0.0


def segments_from_labels(session: Session, null_name: str = NULL_NAME) -> list[Segment]:
    """Return the true gestures of a session, in device microseconds, by start."""
    ordered = sorted(session.labels, key=lambda label: (label.start_us, label.end_us))
    return [
        Segment(label.start_us, label.end_us, label.name)
        for label in ordered
        if label.name != null_name
    ]


def segments_from_records(records: Iterable[Record]) -> list[Segment]:
    """Return the gestures of a run, in device microseconds, by onset.

    A ``start`` and its ``end`` are one segment, decided at the start.
    """
    found = []
    decided: int | None = None
    for record in records:
        if not isinstance(record, Event):
            continue
        if record.end_us is None:
            decided = record.t_us
            continue
        when = record.t_us if decided is None else decided
        found.append(Segment(record.onset_us, record.end_us, record.gesture, when))
        decided = None
    return found
