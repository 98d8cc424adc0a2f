"""One session compared: what was true, what was found, and which answers which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
from streamrnn.runtime.bundle import Bundle
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
    by_class : dict of str to Score
        Counts of each class that is true or found.
    on_gesture : list of (int, int)
        False events that lie on a gesture: index of the gesture that they overlap most, and theirs.
    in_null : list of int
        False events that overlap no gesture.
    run : SessionRun or None
        The run itself, when it was kept for pictures.
    bundle : Bundle or None
        The model that ran, kept with the run.
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
    bundle: Bundle | None = None
    by_class: dict[str, Score] = field(init=False)
    on_gesture: list[tuple[int, int]] = field(init=False)
    in_null: list[int] = field(init=False)

    def __post_init__(self) -> None:
        put = object.__setattr__  # frozen for everybody else
        put(self, "by_class", scores(self.truth, self.found, self.pairs))
        hits = {j for _, j in self.pairs}
        on_gesture, in_null = [], []
        for j, segment in enumerate(self.found):
            if j in hits:
                continue
            i = _most_overlapped(segment, self.truth)
            if i is None:
                in_null.append(j)
            else:
                on_gesture.append((i, j))
        put(self, "on_gesture", on_gesture)
        put(self, "in_null", in_null)

    @property
    def missed(self) -> list[int]:
        """Indices of the true gestures without an event."""
        hit = {i for i, _ in self.pairs}
        return [i for i in range(len(self.truth)) if i not in hit]

    @property
    def confusions(self) -> list[tuple[str, str]]:
        """True and found class of the false events that lie on a gesture of another class."""
        pairs = ((self.truth[i].label, self.found[j].label) for i, j in self.on_gesture)
        return [(true, found) for true, found in pairs if true != found]

    @property
    def event_pairs(self) -> Counter[tuple[str, str]]:
        """Gestures and events by true and found class, the null class where one is missing."""
        counts = Counter((self.truth[i].label, self.found[j].label) for i, j in self.pairs)
        counts.update(self.confusions)
        n_repeats = Counter(
            self.found[j].label
            for i, j in self.on_gesture
            if self.truth[i].label == self.found[j].label
        )
        invented = Counter(self.found[j].label for j in self.in_null) + n_repeats
        counts.update({(NULL_NAME, label): n for label, n in invented.items()})
        taken = {i for i, j in self.on_gesture if self.truth[i].label != self.found[j].label}
        counts.update((self.truth[i].label, NULL_NAME) for i in self.missed if i not in taken)
        return counts

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
    bundle: Bundle | None = None,
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
        Kept in the result, with `bundle`.
    bundle : Bundle or None
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
        bundle=bundle,
    )


def _most_overlapped(segment: Segment, truth: Sequence[Segment]) -> int | None:
    """Return which true gesture `segment` overlaps most, None if it overlaps none."""
    shared = [overlap(segment, other) for other in truth]
    best = max(shared, default=0)
    return shared.index(best) if best else None
