"""Recordings looked at before anything is trained on them.

Sessions come one at a time and only a summary of each is kept, so that memory does not grow with
the recordings' length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamrnn.core.types import NULL_NAME
from streamrnn.evaluation.inspection.finding import SEVERITIES, Finding, Place, finding
from streamrnn.evaluation.inspection.labelling import label_findings
from streamrnn.evaluation.inspection.layouts import layout_findings
from streamrnn.evaluation.inspection.recording import Recording, record
from streamrnn.evaluation.inspection.samples import sample_findings
from streamrnn.evaluation.inspection.sharing import sharing_findings
from streamrnn.sessions.session import Session


@dataclass(frozen=True, slots=True)
class ClassRow:
    """What there is of one class in the training recordings.

    Attributes
    ----------
    name : str
        ``none`` for the time without a gesture.
    n_gestures : int
        Labels; 0 for the null class.
    seconds, median_s : float
        Time in all, and the median length of a gesture.
    n_subjects : int
        How many people did it (recordings, where nobody said who).
    n_test : int
        Labels in the recordings that are kept for testing.
    by_subject : dict of str to int
        Labels by subject; ``""`` where nobody said who.
    """

    name: str
    n_gestures: int
    seconds: float
    median_s: float
    n_subjects: int
    n_test: int
    by_subject: dict[str, int]


@dataclass(frozen=True, slots=True)
class SubjectRow:
    """What there is of one person in the training recordings.

    Attributes
    ----------
    name : str
        ``""`` for everything of which nobody said whose it is.
    n_sessions, n_gestures : int
    gesture_s, null_s : float
        Seconds with and without a gesture.
    rarest : str
        Class that this person did least, of all classes of the training recordings.
    n_rarest : int
        How often.
    """

    name: str
    n_sessions: int
    n_gestures: int
    gesture_s: float
    null_s: float
    rarest: str
    n_rarest: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an inspection gives.

    Attributes
    ----------
    n_sessions, n_test, n_subjects, n_frames : int
        Recordings, those of them for testing, people, frames.
    duration_s : float
    rates_hz : tuple of float
        The rates that occur.
    channels : tuple of str
        Those of the first recording.
    classes : tuple of ClassRow
        By name, the null class last.
    subjects : tuple of SubjectRow
        By name; empty where nobody said who.
    findings : tuple of Finding
        The worst first.
    """

    n_sessions: int
    n_test: int
    n_subjects: int
    n_frames: int
    duration_s: float
    rates_hz: tuple[float, ...]
    channels: tuple[str, ...]
    classes: tuple[ClassRow, ...]
    subjects: tuple[SubjectRow, ...]
    findings: tuple[Finding, ...]

    def count(self, severity: str) -> int:
        """Return how many findings are of a severity."""
        return sum(found.severity == severity for found in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {
            "n_sessions": self.n_sessions,
            "n_test": self.n_test,
            "n_subjects": self.n_subjects,
            "n_frames": self.n_frames,
            "duration_s": round(self.duration_s, 6),
            "rates_hz": list(self.rates_hz),
            "channels": list(self.channels),
            "classes": [
                {
                    "name": row.name,
                    "n_gestures": row.n_gestures,
                    "seconds": round(row.seconds, 6),
                    "median_s": round(row.median_s, 6),
                    "n_subjects": row.n_subjects,
                    "n_test": row.n_test,
                    "by_subject": row.by_subject,
                }
                for row in self.classes
            ],
            "subjects": [
                {
                    "name": row.name,
                    "n_sessions": row.n_sessions,
                    "n_gestures": row.n_gestures,
                    "gesture_s": round(row.gesture_s, 6),
                    "null_s": round(row.null_s, 6),
                    "rarest": row.rarest,
                    "n_rarest": row.n_rarest,
                }
                for row in self.subjects
            ],
            "findings": [found.to_dict() for found in self.findings],
        }


class Inspector:
    """Takes recordings one by one, then says what it found in all of them."""

    def __init__(self) -> None:
        self._recordings: list[Recording] = []

    def add(self, name: str, session: Session, *, is_test: bool = False) -> None:
        """Look at one session; its frames are not kept.

        Parameters
        ----------
        name : str
            What to call it in findings.
        session : Session
        is_test : bool
            It is kept for testing, not trained on.
        """
        self._recordings.append(record(name, session, is_test=is_test))

    def finish(self) -> Inspection:
        """Return what was found.

        Raises
        ------
        ValueError
            Nothing was added.
        """
        everything = self._recordings
        if not everything:
            raise ValueError("no recording was added")
        filled = [r for r in everything if r.n_frames]
        empty = [r for r in everything if not r.n_frames]
        found: list[Finding] = []
        if filled:
            found += [*layout_findings(filled), *sample_findings(filled)]
            found += [*sharing_findings(filled), *label_findings(filled)]
        if empty:
            found.append(
                finding(
                    "error", "empty",
                    f"{len(empty)} of {len(everything)} recordings have no frames",
                    means="There is nothing in them.", todo="Leave them out.",
                    at=[Place(r.name) for r in empty],
                )
            )  # fmt: skip
        found.sort(key=lambda one: SEVERITIES.index(one.severity))
        return Inspection(
            n_sessions=len(everything),
            n_test=sum(r.is_test for r in everything),
            n_subjects=len({r.subject for r in everything} - {""}),
            n_frames=sum(r.n_frames for r in everything),
            duration_s=sum(r.duration_s for r in everything),
            rates_hz=tuple(sorted({r.info.rate_hz for r in everything})),
            channels=everything[0].info.channel_names,
            classes=_classes(everything),
            subjects=_subjects([r for r in everything if not r.is_test]),
            findings=tuple(found),
        )


def _classes(recordings: Sequence[Recording]) -> tuple[ClassRow, ...]:
    names = sorted({label.name for r in recordings for label in r.labels})
    training = [r for r in recordings if not r.is_test]
    rows = []
    for name in names:
        lengths, people = [], set()
        by_subject: dict[str, int] = {}
        for r in training:
            for label in r.labels:
                if label.name == name:
                    lengths.append((label.end_us - label.start_us) / 1e6)
                    by_subject[r.subject] = by_subject.get(r.subject, 0) + 1
                    people.add(r.subject or r.name)
        n_test = sum(label.name == name for r in recordings if r.is_test for label in r.labels)
        median_s = float(np.median(lengths)) if lengths else 0.0
        rows.append(
            ClassRow(name, len(lengths), sum(lengths), median_s, len(people), n_test, by_subject)
        )
    null_s = sum(r.null_s for r in training)
    n_people = len({r.subject or r.name for r in training if r.null_s > 0})
    return (*rows, ClassRow(NULL_NAME, 0, null_s, 0.0, n_people, 0, {}))


def _subjects(training: Sequence[Recording]) -> tuple[SubjectRow, ...]:
    by_name: dict[str, list[Recording]] = {}
    for r in training:
        by_name.setdefault(r.subject, []).append(r)
    if by_name.keys() <= {""}:
        return ()
    classes = sorted({label.name for r in training for label in r.labels})
    rows = []
    for name, theirs in sorted(by_name.items()):
        labels = [label for r in theirs for label in r.labels]
        counts = Counter(label.name for label in labels)
        rarest = min(classes, key=lambda one: (counts[one], one), default="")
        seconds = sum(label.end_us - label.start_us for label in labels) / 1e6
        null_s = sum(r.null_s for r in theirs)
        rows.append(
            SubjectRow(name, len(theirs), len(labels), seconds, null_s, rarest, counts[rarest])
        )
    return tuple(rows)
