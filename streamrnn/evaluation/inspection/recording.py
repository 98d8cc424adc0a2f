"""What an inspection keeps of one recording: little enough for thousands of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamrnn.core.types import F32, NULL_NAME, Label, StreamInfo
from streamrnn.evaluation.inspection import copies, signal
from streamrnn.evaluation.inspection.finding import Hit, Place
from streamrnn.features.sensors import motion_order, triads
from streamrnn.sessions.digest import frames_digest
from streamrnn.sessions.rate import arrival_rate_hz, fitted_rate_hz
from streamrnn.sessions.session import Session

#: A recording that one label covers to this share is a trial.
TRIAL_SHARE = 0.95


@dataclass(slots=True, eq=False)
class LabelHits:
    """What was seen in the labels of one session; a hit's value in brackets.

    Attributes
    ----------
    overlapping : list of Hit
        Labels that begin before the one before them has ended [seconds in common].
    outside : list of Hit
        Labels that reach beyond the frames, or lie outside of them [seconds].
    empty : list of Hit
        Labels without a single frame, and not outside.
    holes : list of Hit
        Labels with frames missing inside [frames].
    """

    overlapping: list[Hit] = field(default_factory=list)
    outside: list[Hit] = field(default_factory=list)
    empty: list[Hit] = field(default_factory=list)
    holes: list[Hit] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One inspected session, without its frames.

    Attributes
    ----------
    name : str
        What it is called.
    is_test : bool
        It is kept for testing.
    subject : str
    info : StreamInfo
    n_frames : int
    duration_s, null_s : float
        Seconds, and seconds without a label that stands or was taken back.
    start_us : int
    labels : list of Label
        But those of the null class.
    n_missing, n_gaps : int
        Frames missing, and in how many gaps.
    longest_gap_s : float
    clock : {"measured", "nominal", "counted"}
        Where its times come from: the device, a rate that was assumed, a rate and the count.
    fitted_hz : float
        Rate by the times; by arrival where times are only counted; 0.0 when unknown.
    gravity : dict of str to float
        Median length of each three-axis acceleration, by the name of its first channel.
    digest : str
    marks : copies.Marks
    signal : signal.SignalHits
    at_labels : LabelHits
    problems : list of str
    """

    name: str
    is_test: bool
    subject: str
    info: StreamInfo
    n_frames: int
    duration_s: float
    null_s: float
    start_us: int
    labels: list[Label]
    n_missing: int
    n_gaps: int
    longest_gap_s: float
    clock: str
    fitted_hz: float
    gravity: dict[str, float]
    digest: str
    marks: copies.Marks
    signal: signal.SignalHits
    at_labels: LabelHits
    problems: list[str]

    @property
    def is_trial(self) -> bool:
        """One label covers (nearly) all of it."""
        return len(self.labels) == 1 and self.null_s <= (1 - TRIAL_SHARE) * self.duration_s

    @property
    def shown_rate_hz(self) -> float:
        """The stated rate, else the fitted one."""
        return self.info.rate_hz or self.fitted_hz


def record(name: str, session: Session, *, is_test: bool = False) -> Recording:
    """Look at one session and keep what later comparisons need."""
    frames = session.frames
    missing = np.diff(frames.seq) - 1
    gaps = np.flatnonzero(missing)
    is_counted = session.metadata.get("clock") == "counted"
    is_nominal = session.metadata.get("rate") == "nominal"
    labels = sorted(
        (label for label in session.labels if label.name != NULL_NAME),
        key=lambda label: (label.start_us, label.end_us),
    )
    # What was taken back holds a gesture, half of one, or none: it is no rest either.
    spoken_for = sorted([*labels, *session.undone], key=lambda label: label.start_us)
    covered_s = _covered_us(spoken_for, session.start_us, session.end_us) / 1e6
    return Recording(
        name=name,
        is_test=is_test,
        subject=session.subject,
        info=session.info,
        n_frames=len(frames),
        duration_s=session.duration_s,
        null_s=max(0.0, session.duration_s - covered_s),
        start_us=session.start_us,
        labels=labels,
        n_missing=int(missing.sum()),
        n_gaps=len(gaps),
        longest_gap_s=float(np.diff(frames.t_us)[gaps].max()) / 1e6 if len(gaps) else 0.0,
        clock="counted" if is_counted else "nominal" if is_nominal else "measured",
        fitted_hz=arrival_rate_hz(frames.seq, session.host_ns // 1000)
        if is_counted
        else fitted_rate_hz(frames.seq, frames.t_us),
        gravity=_gravity(frames.x, session.info),
        digest=frames_digest(session),
        marks=copies.marks(frames.x, session.info.channels),
        signal=signal.look(name, session),
        at_labels=_look_at_labels(name, session, labels),
        problems=list(session.problems),
    )


def _covered_us(labels: Sequence[Label], start_us: int, end_us: int) -> int:
    """Return how long at least one label stands, within the recording."""
    covered, behind = 0, start_us
    for label in labels:
        first, last = max(label.start_us, behind), min(label.end_us, end_us)
        if last > first:
            covered += last - first
            behind = last
    return covered


def _look_at_labels(name: str, session: Session, labels: Sequence[Label]) -> LabelHits:
    hits = LabelHits()
    t_us, seq = session.frames.t_us, session.frames.seq
    behind = session.start_us
    for n, label in enumerate(labels):
        place = Place(name, "", (label.start_us - session.start_us) / 1e6)
        first, last = (int(k) for k in np.searchsorted(t_us, (label.start_us, label.end_us)))
        if label.start_us < session.start_us or label.end_us > session.end_us:
            over_us = max(session.start_us - label.start_us, 0)
            over_us += max(label.end_us - session.end_us, 0)
            hits.outside.append(Hit(place, over_us / 1e6))
        elif last <= first:
            hits.empty.append(Hit(place))
        if n and label.start_us < behind:
            common_us = min(behind, label.end_us) - label.start_us
            hits.overlapping.append(Hit(place, common_us / 1e6))
        behind = max(behind, label.end_us)
        if last - first > 1:
            n_missing = int(seq[last - 1] - seq[first]) - (last - first - 1)
            if n_missing:
                hits.holes.append(Hit(place, n_missing))
    return hits


def _gravity(x: F32, info: StreamInfo) -> dict[str, float]:
    """Return the median length of each three-axis acceleration; at rest it is that of gravity."""
    lengths = {}
    for columns in triads(info.channels):
        if len(x) and motion_order(info.channels[columns[0]]) == 2:
            length = np.sqrt(sum(x[:, k].astype(np.float64) ** 2 for k in columns))
            lengths[info.channels[columns[0]].name] = float(np.median(length))
    return lengths
