"""One report over several sessions: run each through the product's pipeline, match, count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from streamrnn.core.records import Record
from streamrnn.core.types import I64, NULL_NAME
from streamrnn.decision.explain import Explanation
from streamrnn.evaluation.events import Rule, Score, add_scores, macro_f1, segments_from_labels
from streamrnn.evaluation.metrics.frames import Reliability, add_frames, frame_classes
from streamrnn.evaluation.metrics.rates import Rate, rate
from streamrnn.evaluation.metrics.sequences import edit_distance
from streamrnn.evaluation.metrics.timing import AtDeadline, Timing, deadlines_for, delay_curve
from streamrnn.evaluation.results import SessionResult, compare
from streamrnn.kernels.backend import Backend
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.offline import SessionRun, run_session_with_probabilities
from streamrnn.sessions.labels import without_undone
from streamrnn.sessions.session import Session

_NOTHING = Score(0, 0, 0)
#: What a user would claim: fewer false activations an hour than this.
CLAIM_PER_HOUR = 0.5


@dataclass(frozen=True, slots=True)
class FoldFacts:
    """One turn of a cross-validation.

    Attributes
    ----------
    name : str
        Who, or what, was left out.
    sessions : tuple of str
        Names of the sessions that were scored.
    n_frames : int
        Frames of the sessions that the model was trained on.
    """

    name: str
    sessions: tuple[str, ...]
    n_frames: int


@dataclass(slots=True)
class Report:
    """How well a model found the gestures of some sessions.

    Attributes
    ----------
    labels : tuple of str
        Gestures that the model knows.
    rule : Rule
        What counted as a hit, in microseconds.
    claim_per_hour : float
        A rate of false activations; the report says how much data it takes to claim less.
    keep_runs : bool
        Keep the probabilities of each session, for pictures.
    model : str
        ``sha256:...`` of the model file, ``""`` without one.
    nominal : bool
        The rate of a session is a guess, so times are too: delays are given in frames.
    sessions : list of SessionResult
    folds : list of FoldFacts
        Of a cross-validation: its turns.
    frame_reliability : Reliability
        Of the frames' probabilities.
    """

    labels: tuple[str, ...]
    rule: Rule = field(default_factory=Rule)
    claim_per_hour: float = CLAIM_PER_HOUR
    keep_runs: bool = False
    model: str = ""
    nominal: bool = False
    sessions: list[SessionResult] = field(default_factory=list)
    folds: list[FoldFacts] = field(default_factory=list)
    frame_reliability: Reliability = field(default_factory=Reliability.empty)

    def add(
        self,
        session: Session,
        records: Sequence[Record],
        *,
        name: str = "",
        run: SessionRun | None = None,
        bundle: Bundle | None = None,
    ) -> SessionResult:
        """Count one session and the records that a run over it gave.

        Parameters
        ----------
        session : Session
        records : sequence of Record
        name : str
            What to call the session; its number when empty.
        run : SessionRun or None
            The run with its probabilities, if there are any.
        bundle : Bundle or None
            The model that ran; a run with probabilities needs it.
        """
        result = compare(
            session,
            records,
            self.rule,
            name=name or str(len(self.sessions) + 1),
            labels=() if bundle is None else bundle.labels,
            run=run if self.keep_runs else None,
            bundle=bundle if self.keep_runs else None,
        )
        self.sessions.append(result)
        self.nominal |= result.nominal
        if run is not None and bundle is not None:
            y = true_rows(session, run, bundle.labels)
            add_frames(self.frame_reliability, run.probabilities, y)
        return result

    @property
    def by_class(self) -> dict[str, Score]:
        """Counts of each class that is true or found, sorted by name."""
        return add_scores(result.by_class for result in self.sessions)

    @property
    def total(self) -> Score:
        """Counts of all classes together."""
        return sum(self.by_class.values(), _NOTHING)

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that are true or found, 0..1."""
        return macro_f1(self.by_class)

    @property
    def n_sessions(self) -> int:
        """Number of sessions."""
        return len(self.sessions)

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return sum(result.n_frames for result in self.sessions)

    @property
    def n_gaps(self) -> int:
        """Number of breaks in the streams."""
        return sum(result.n_gaps for result in self.sessions)

    @property
    def unknown_labels(self) -> list[str]:
        """True gestures that the model which met them was never taught; all of them are missed."""
        return sorted({
            segment.label
            for result in self.sessions
            for segment in result.truth
            if segment.label not in (result.labels or self.labels)
        })  # fmt: skip

    @property
    def timings(self) -> list[tuple[str, Timing]]:
        """Class and timing of each hit, session by session."""
        return [item for result in self.sessions for item in result.delays]

    @property
    def delays_us(self) -> list[int]:
        """For each hit, microseconds from the true onset until the event was given."""
        return [timing.delay_us for _, timing in self.timings]

    @property
    def delays_frames(self) -> list[float]:
        """The same in periods of the nominal rate."""
        return [timing.delay_frames for _, timing in self.timings]

    @property
    def confusions(self) -> Counter[tuple[str, str]]:
        """False events that overlap a true gesture of another class: (true, found)."""
        return Counter(pair for result in self.sessions for pair in result.confusions)

    @property
    def n_repeats(self) -> int:
        """False events that overlap a true gesture of their own class, which was found already."""
        n = sum(len(result.on_gesture) for result in self.sessions)
        return n - self.confusions.total()

    @property
    def null_frames(self) -> int:
        """Frames outside every true gesture."""
        return sum(result.n_null_frames for result in self.sessions)

    @property
    def false_activations(self) -> Rate:
        """Events that overlap no true gesture and answer none, over the time outside gestures."""
        n = sum(len(result.in_null) for result in self.sessions)
        return rate(n, sum(result.null_hours for result in self.sessions))

    @property
    def n_edits(self) -> int:
        """Levenshtein distance of true and found gestures, in order of onset, of all sessions."""
        return sum(
            edit_distance(
                [s.label for s in sorted(result.truth, key=lambda s: s.start)],
                [s.label for s in sorted(result.found, key=lambda s: s.start)],
            )
            for result in self.sessions
        )

    @property
    def event_reliability(self) -> Reliability:
        """Of the events' scores: right are those that answer a gesture."""
        reliability = Reliability.empty()
        for result in self.sessions:
            hits = {j for _, j in result.pairs}
            right = [j in hits for j in range(len(result.found))]
            reliability.add([segment.score for segment in result.found], right)
        return reliability

    def frame_confusion(self) -> tuple[list[str], I64]:
        """Return class names, the null class first, and frames by true (row) and found class.

        Found is the class of the event that covers the frame, which is known in hindsight.
        """
        counts: Counter[tuple[str, str]] = Counter()
        for result in self.sessions:
            counts.update(result.frame_counts)
        return self._table(counts)

    def _table(self, counts: Counter[tuple[str, str]]) -> tuple[list[str], I64]:
        known = {name for pair in counts for name in pair} | set(self.labels)
        names = [NULL_NAME, *sorted(known - {NULL_NAME})]
        index = {name: k for k, name in enumerate(names)}
        table = np.zeros((len(names), len(names)), np.int64)
        for (true, found), n in counts.items():
            table[index[true], index[found]] = n
        return names, table

    def event_confusion(self) -> tuple[list[str], I64]:
        """Return class names, the null class first, and events by true (row) and found class.

        Gestures that no event lies on stand in the first column. Events that lie on no gesture, or
        are a second one for it, stand in the first row.
        """
        counts: Counter[tuple[str, str]] = Counter()
        for result in self.sessions:
            counts.update(result.event_pairs)
        return self._table(counts)

    def delay_curve(self) -> list[AtDeadline]:
        """Return the score against the deadline, in frames where the rate is nominal, else ms."""
        delays = [
            (label, t.delay_frames if self.nominal else t.delay_us / 1e3)
            for label, t in self.timings
        ]
        return delay_curve(self.by_class, delays, deadlines_for([delay for _, delay in delays]))

    def groups(self, by: str) -> dict[str, list[SessionResult]]:
        """Return the sessions by ``subject`` (those of whom nobody said left out) or ``session``.

        Parameters
        ----------
        by : {"subject", "session"}
        """
        if by == "session":
            return {result.name: [result] for result in self.sessions}
        groups: dict[str, list[SessionResult]] = {}
        for result in self.sessions:
            if result.subject:
                groups.setdefault(result.subject, []).append(result)
        return dict(sorted(groups.items()))

    def of_fold(self, k: int) -> tuple[Score, float]:
        """Return the counts of a fold's sessions together, and their mean F1 over classes."""
        names = self.folds[k].sessions
        by_class = add_scores(r.by_class for r in self.sessions if r.name in names)
        return sum(by_class.values(), _NOTHING), macro_f1(by_class)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values (docs/formats.md, "Reports")."""
        from streamrnn.evaluation.document import report_document

        return report_document(self)


def true_rows(session: Session, run: SessionRun, labels: Sequence[str]) -> I64:
    """Return the true class of each row of a run, int64 (M,); past the columns where unknown."""
    truth = segments_from_labels(session)
    others = sorted({segment.label for segment in truth} - set(labels))
    return frame_classes(truth, [*labels, *others], run.t_us)


def evaluate(
    bundle: Bundle,
    sessions: Sequence[Session],
    backend: Backend,
    *,
    report: Report | None = None,
    names: Sequence[str] | None = None,
    on_records: Callable[[int, list[Record]], None] | None = None,
    on_explanation: Callable[[int, Explanation], None] | None = None,
) -> Report:
    """Run a model over sessions, as a live run would, and compare with their labels.

    What labels that were taken back cover is left out, see `without_undone`: an event there would
    be neither right nor false.

    Parameters
    ----------
    bundle : Bundle
    sessions : sequence of Session
    backend : Backend
    report : Report or None
        Added to; it says which rule holds. None starts one.
    names : sequence of str or None
        What to call the sessions.
    on_records : callable, optional
        Gets the index of each session and its records.
    on_explanation : callable, optional
        Gets the index of each session and why there was each event, or nearly one.

    Returns
    -------
    Report

    Raises
    ------
    ConfigError
        A session does not fit the model.
    """
    if report is None:
        report = Report(bundle.labels[1:], model=bundle.model_hash)
    for n, session in enumerate(map(without_undone, sessions)):
        explain = None if on_explanation is None else partial(on_explanation, n)
        run = run_session_with_probabilities(bundle, session, backend, explain=explain)
        name = "" if names is None else names[n]
        report.add(session, run.records, name=name, run=run, bundle=bundle)
        if on_records is not None:
            on_records(n, run.records)
    return report
