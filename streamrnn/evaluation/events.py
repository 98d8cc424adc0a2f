"""Events against truth: which event answers which gesture, one to one.

A true gesture and an event of the same class may be a pair when the `Rule` says so. The pairs are
chosen such that as many as possible come out and, among those choices, such that the pairs lie as
close as possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from streamrnn.core.records import Event, Record
from streamrnn.core.types import NULL_NAME
from streamrnn.sessions.session import Session

#: How far an event's onset may lie from the gesture's when the two do not overlap. Labels set by
#: hand are hardly sharper; it is the onset collar that sound event detection uses (Mesaros et al.
#: 2016, "Metrics for polyphonic sound event detection").
ONSET_TOLERANCE_US = 200_000


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
    score : float
        How sure the model was, 0..1; meaningless for a true segment.
    """

    start: int
    end: int
    label: str
    decided: int = 0
    score: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """When an event may be the answer to a true gesture of its class.

    A user asks whether it fired for this gesture, and an event's onset is where activity rose,
    which is somewhere inside the gesture and later in long ones. So overlap decides (``either``,
    the default); the tolerance adds only what overlap cannot see: gestures that are shorter than
    it, and events that are over before a label begins that was set a little late.

    Attributes
    ----------
    kind : {"either", "overlap", "onset"}
        ``overlap``: the two overlap by at least one instant, and by `min_iou` of their union.
        ``onset``: their starts lie at most `tolerance` apart. ``either``: one of the two.
    min_iou : float
        Least intersection over union, 0..1; 0 asks for any overlap.
    tolerance : int
        In the unit of the segments; microseconds in reports.
    """

    kind: str = "either"
    min_iou: float = 0.0
    tolerance: int = ONSET_TOLERANCE_US

    def __post_init__(self) -> None:
        if self.kind not in ("either", "overlap", "onset"):
            raise ValueError(f"kind must be 'either', 'overlap' or 'onset', got {self.kind!r}")
        if not 0.0 <= self.min_iou <= 1.0:
            raise ValueError(f"min_iou must be within 0..1, got {self.min_iou}")
        if self.tolerance < 0:
            raise ValueError(f"tolerance must be 0 or more, got {self.tolerance}")

    @property
    def reach(self) -> int:
        """How far apart two segments may lie that are a pair."""
        return 0 if self.kind == "overlap" else self.tolerance

    def closeness(self, true: Segment, found: Segment) -> int | None:
        """Return how close two segments of a class lie, 0 or more; None if they are no pair.

        Closeness is the time that they share, or with ``onset`` what is left of the tolerance.
        """
        apart = abs(found.start - true.start)
        if self.kind == "onset":
            return self.tolerance - apart if apart <= self.tolerance else None
        shared = overlap(true, found)
        union = (true.end - true.start) + (found.end - found.start) - shared
        if shared > 0 and shared >= self.min_iou * union:
            return shared
        return shared if self.kind == "either" and apart <= self.tolerance else None


#: Any overlap, and nothing else.
ANY_OVERLAP = Rule("overlap")


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
    truth: Sequence[Segment],
    found: Sequence[Segment],
    rule: Rule = ANY_OVERLAP,
    *,
    min_iou: float | None = None,
) -> list[tuple[int, int]]:
    """Pair true and found segments of the same class, one to one.

    Parameters
    ----------
    truth, found : sequence of Segment
        In any order. Time and memory grow with their number and with how many lie close together.
    rule : Rule
        What may be a pair.
    min_iou : float or None
        Short for ``Rule("overlap", min_iou)``.

    Returns
    -------
    list of (int, int)
        Indices into `truth` and `found`, by the first.
    """
    if min_iou is not None:
        rule = Rule("overlap", min_iou)
    pairs: list[tuple[int, int]] = []
    for label in {segment.label for segment in truth}:
        rows = [i for i, segment in enumerate(truth) if segment.label == label]
        columns = [j for j, segment in enumerate(found) if segment.label == label]
        if rows and columns:
            for group in _groups(truth, rows, found, columns, rule.reach):
                pairs += _assign(truth, found, *group, rule)
    return sorted(pairs)


def _groups(
    truth: Sequence[Segment],
    rows: list[int],
    found: Sequence[Segment],
    columns: list[int],
    reach: int,
) -> list[tuple[list[int], list[int]]]:
    """Cut one class where nothing can be paired across, so that each cut is solved by itself."""
    ordered = [(truth[i].start, truth[i].end, 0, i) for i in rows]
    ordered += [(found[j].start, found[j].end, 1, j) for j in columns]
    ordered.sort()
    groups: list[tuple[list[int], list[int]]] = []
    last_end = ordered[0][0] - reach - 1
    for start, end, side, index in ordered:
        # A start counts as well: an onset may lie within reach of a segment that is over.
        if start > last_end:
            groups.append(([], []))
        groups[-1][side].append(index)
        last_end = max(last_end, end, start + reach)
    return [group for group in groups if group[0] and group[1]]


def _assign(
    truth: Sequence[Segment],
    found: Sequence[Segment],
    rows: list[int],
    columns: list[int],
    rule: Rule,
) -> list[tuple[int, int]]:
    close = [[rule.closeness(truth[i], found[j]) for j in columns] for i in rows]
    if len(rows) == len(columns) == 1:
        return [] if close[0][0] is None else [(rows[0], columns[0])]
    from scipy.optimize import linear_sum_assignment

    total = sum(value or 0 for row in close for value in row)
    # A pair is worth 1 and a bit; all the bits together are worth less than one pair.
    worth = np.array(
        [[0.0 if v is None else 1.0 + v / (total + 1.0) for v in row] for row in close]
    )
    chosen = zip(*linear_sum_assignment(worth, maximize=True), strict=True)
    return [(rows[a], columns[b]) for a, b in chosen if close[a][b] is not None]


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


def add_scores(parts: Iterable[dict[str, Score]]) -> dict[str, Score]:
    """Return the counts of several sessions together, by class name, sorted."""
    total: dict[str, Score] = {}
    for part in parts:
        for label, score in part.items():
            total[label] = total[label] + score if label in total else score
    return dict(sorted(total.items()))


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

    A ``start`` and its ``end`` are one segment, decided at the start and with its score.
    """
    found = []
    begun: Event | None = None
    for record in records:
        if not isinstance(record, Event):
            continue
        if record.end_us is None:
            begun = record
            continue
        first = record if begun is None else begun
        found.append(
            Segment(record.onset_us, record.end_us, record.gesture, first.t_us, first.score)
        )
        begun = None
    return found
