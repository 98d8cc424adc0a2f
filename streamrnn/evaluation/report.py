"""One report over several sessions: run each through the product's pipeline, match, count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamrnn.core.records import GapRecord, Record
from streamrnn.evaluation.events import (
    Score,
    Segment,
    macro_f1,
    match,
    overlap,
    scores,
    segments_from_labels,
    segments_from_records,
)
from streamrnn.kernels.backend import Backend
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.offline import run_session
from streamrnn.sessions.session import Session

_NOTHING = Score(0, 0, 0)


@dataclass(slots=True)
class Report:
    """How well a model found the gestures of some sessions.

    Attributes
    ----------
    labels : tuple of str
        Gestures that the model knows.
    min_iou : float
        Least overlap that counted.
    n_sessions, n_frames, n_gaps : int
    duration_s : float
    nominal : bool
        The rate of a session is a guess, so times are too: delays are given in frames.
    by_class : dict of str to Score
    delays_us : list of int
        For each hit, from the true onset until the event was given.
    delays_frames : list of float
        The same in periods of the nominal rate.
    confusions : Counter of (str, str)
        False events that overlap true gestures of another class: (true, found).
    """

    labels: tuple[str, ...]
    min_iou: float = 0.0
    n_sessions: int = 0
    n_frames: int = 0
    n_gaps: int = 0
    duration_s: float = 0.0
    nominal: bool = False
    by_class: dict[str, Score] = field(default_factory=dict)
    delays_us: list[int] = field(default_factory=list)
    delays_frames: list[float] = field(default_factory=list)
    confusions: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def total(self) -> Score:
        """Counts of all classes together."""
        return sum(self.by_class.values(), _NOTHING)

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that are true or found, 0..1."""
        return macro_f1(self.by_class)

    @property
    def unknown_labels(self) -> list[str]:
        """True gestures that the model was never taught; all of them are missed."""
        return sorted(self.by_class.keys() - set(self.labels))

    def add(self, session: Session, records: Sequence[Record]) -> None:
        """Count one session and the records that a run over it gave."""
        truth = segments_from_labels(session)
        found = segments_from_records(records)
        pairs = match(truth, found, self.min_iou)
        for label, score in scores(truth, found, pairs).items():
            self.by_class[label] = self.by_class.get(label, _NOTHING) + score
        period_us = 1e6 / session.info.rate_hz if session.info.rate_hz > 0 else 1.0
        for i, j in pairs:
            delay_us = found[j].decided - truth[i].start
            self.delays_us.append(delay_us)
            self.delays_frames.append(delay_us / period_us)
        hits = {j for _, j in pairs}
        for j, segment in enumerate(found):
            true_label = None if j in hits else _other_class(segment, truth)
            if true_label is not None:
                self.confusions[true_label, segment.label] += 1
        self.n_sessions += 1
        self.n_frames += len(session)
        self.n_gaps += sum(isinstance(record, GapRecord) for record in records)
        self.duration_s += session.duration_s
        self.nominal |= session.metadata.get("rate") == "nominal"

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        delay = {
            "delay_frames": _percentiles(self.delays_frames),
            "delay_ms": None if self.nominal else _percentiles([d / 1e3 for d in self.delays_us]),
        }
        return {
            "n_sessions": self.n_sessions,
            "n_frames": self.n_frames,
            "n_gaps": self.n_gaps,
            "duration_s": None if self.nominal else round(self.duration_s, 3),
            "min_iou": self.min_iou,
            "macro_f1": round(self.macro_f1, 4),
            "total": _score_dict(self.total),
            "classes": {name: _score_dict(s) for name, s in sorted(self.by_class.items())},
            "confusions": [
                {"true": true, "found": found, "n": n}
                for (true, found), n in sorted(self.confusions.items())
            ],
            "unknown_labels": self.unknown_labels,
            **delay,
        }

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table: a header, one row a class, and the total."""
        header = (
            "gesture",
            "true",
            "events",
            "hit",
            "missed",
            "false",
            "precision",
            "recall",
            "F1",
        )
        body = [(name, *_cells(score)) for name, score in sorted(self.by_class.items())]
        total = ("all", *_cells(self.total)[:-1], f"{self.macro_f1:.3f} (mean)")
        return [header, *body, total]


def evaluate(
    bundle: Bundle,
    sessions: Sequence[Session],
    backend: Backend,
    *,
    min_iou: float = 0.0,
    on_records: Callable[[int, list[Record]], None] | None = None,
) -> Report:
    """Run a model over sessions, as a live run would, and compare with their labels.

    Parameters
    ----------
    bundle : Bundle
    sessions : sequence of Session
    backend : Backend
    min_iou : float
        Least intersection over union of a hit; 0 asks for any overlap.
    on_records : callable, optional
        Gets the index of each session and its records.

    Raises
    ------
    ConfigError
        A session does not fit the model.
    """
    report = Report(bundle.labels[1:], min_iou)
    for n, session in enumerate(sessions):
        records = run_session(bundle, session, backend)
        report.add(session, records)
        if on_records is not None:
            on_records(n, records)
    return report


def _other_class(segment: Segment, truth: Sequence[Segment]) -> str | None:
    """Return the class of the true gesture that `segment` overlaps most, if it is another one."""
    nearest = max(truth, key=lambda other: overlap(segment, other), default=None)
    if nearest is None or not overlap(segment, nearest) or nearest.label == segment.label:
        return None
    return nearest.label


def _percentiles(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3)}


def _score_dict(score: Score) -> dict[str, Any]:
    return {
        "n_true": score.n_true,
        "n_found": score.n_found,
        "n_hit": score.n_hit,
        "n_missed": score.n_missed,
        "n_false": score.n_false,
        "precision": round(score.precision, 4),
        "recall": round(score.recall, 4),
        "f1": round(score.f1, 4),
    }


def _cells(score: Score) -> tuple[str, ...]:
    counts = (score.n_true, score.n_found, score.n_hit, score.n_missed, score.n_false)
    shares = (score.precision, score.recall, score.f1)
    return (*map(str, counts), *(f"{share:.3f}" for share in shares))
