"""One session compared: what was true, what was found, and which answers which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from streamrnn.core.records import GapRecord, Record
from streamrnn.core.types import NULL_NAME
from streamrnn.evaluation.events import (
    Rule,
    Score,
    Segment,
    match,
    overlap,
    scores,
    segments_from_labels,
    segments_from_records,
)
from streamrnn.evaluation.metrics.frames import confusion, frame_classes
from streamrnn.evaluation.metrics.timing import Timing, timing
from streamrnn.runtime.offline import SessionRun
from streamrnn.sessions.session import Session, frame_period_us


@dataclass(frozen=True, slots=True, eq=False)
class SessionResult:
    """What a run over one session found.

    Attributes
    ----------
    name, subject : str
        What to call the session, and who is in it; ``""`` when nobody said.
    truth, found : list of Segment
        True gestures and events, in device microseconds.
    pairs : list of (int, int)
        Which event (second) answers which gesture (first).
    period_us : float
        From one frame to the next, by the nominal rate.
    nominal : bool
        That rate is a guess.
    n_frames, n_null_frames, n_gaps : int
        All frames, those outside every true gesture, and breaks.
    start_us, end_us : int
        First frame, and one frame behind the last.
    frame_counts : Counter of (str, str)
        Frames of each true class by the class of the event that covers them.
    labels : tuple of str
        Class names of the model that ran, the null class first.
    run : SessionRun or None
        The run itself, when it was kept for pictures.
    """

    name: str
    subject: str
    truth: list[Segment]
    found: list[Segment]
    pairs: list[tuple[int, int]]
    period_us: float
    nominal: bool
    n_frames: int
    n_null_frames: int
    n_gaps: int
    start_us: int
    end_us: int
    frame_counts: Counter[tuple[str, str]]
    labels: tuple[str, ...] = ()
    run: SessionRun | None = None
    by_class: dict[str, Score] = field(init=False)
    on_gesture: list[tuple[str, str]] = field(init=False)
    in_null: list[int] = field(init=False)

    def __post_init__(self) -> None:
        put = object.__setattr__  # frozen for everybody else
        put(self, "by_class", scores(self.truth, self.found, self.pairs))
        hits = {j for _, j in self.pairs}
        on_gesture, in_null = [], []
        for j, segment in enumerate(self.found):
            if j in hits:
                continue
            true = _most_overlapped(segment, self.truth)
            if true is None:
                in_null.append(j)
            else:
                on_gesture.append((true.label, segment.label))
        put(self, "on_gesture", on_gesture)
        put(self, "in_null", in_null)

    @property
    def missed(self) -> list[int]:
        """Indices of the true gestures without an event."""
        hit = {i for i, _ in self.pairs}
        return [i for i in range(len(self.truth)) if i not in hit]

    @property
    def n_mistakes(self) -> int:
        """Missed gestures and false events."""
        return len(self.truth) + len(self.found) - 2 * len(self.pairs)

    @property
    def null_hours(self) -> float:
        """Time of the frames outside every true gesture, by the nominal rate."""
        return self.n_null_frames * self.period_us / 3.6e9

    @property
    def timings(self) -> list[Timing]:
        """When the event of each hit came."""
        return [timing(self.truth[i], self.found[j], self.period_us) for i, j in self.pairs]

    @property
    def delays(self) -> list[tuple[str, Timing]]:
        """Class and timing of each hit."""
        labels = [self.truth[i].label for i, _ in self.pairs]
        return list(zip(labels, self.timings, strict=True))

    @property
    def n_apart(self) -> int:
        """Hits by the onset alone: gesture and event do not overlap."""
        return sum(not overlap(self.truth[i], self.found[j]) for i, j in self.pairs)


def compare(
    session: Session,
    records: Sequence[Record],
    rule: Rule,
    *,
    name: str = "",
    labels: Sequence[str] = (),
    run: SessionRun | None = None,
) -> SessionResult:
    """Compare the records of a run with the labels of its session.

    Parameters
    ----------
    session : Session
    records : sequence of Record
    rule : Rule
        In microseconds.
    name : str
        What to call the session.
    labels : sequence of str
        Class names of the model.
    run : SessionRun or None
        Kept in the result.
    """
    truth = segments_from_labels(session)
    found = segments_from_records(records)
    t_us = session.frames.t_us
    names = (NULL_NAME, *sorted({s.label for s in (*truth, *found)} - {NULL_NAME}))
    true_y = frame_classes(truth, names, t_us)
    table = confusion(true_y, frame_classes(found, names, t_us), len(names))
    counts = {
        (names[a], names[b]): int(table[a, b])
        for a in range(len(names))
        for b in range(len(names))
        if table[a, b]
    }
    rate_hz = session.info.rate_hz
    return SessionResult(
        name=name,
        subject=session.subject,
        truth=truth,
        found=found,
        pairs=match(truth, found, rule),
        period_us=1e6 / rate_hz if rate_hz > 0 else float(frame_period_us(0.0, t_us)),
        nominal=session.metadata.get("rate") == "nominal",
        n_frames=len(session),
        n_null_frames=int((true_y == 0).sum()),
        n_gaps=sum(isinstance(record, GapRecord) for record in records),
        start_us=session.start_us,
        end_us=session.end_us,
        frame_counts=Counter(counts),
        labels=tuple(labels),
        run=run,
    )


def _most_overlapped(segment: Segment, truth: Iterable[Segment]) -> Segment | None:
    """Return the true gesture that `segment` overlaps most, None if it overlaps none."""
    nearest = max(truth, key=lambda other: overlap(segment, other), default=None)
    return nearest if nearest is not None and overlap(segment, nearest) else None
