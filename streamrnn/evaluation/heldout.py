"""What a model says about a recording that it never saw: the ground on which decisions are chosen.

A held-out run keeps the class probabilities of every frame, before temperature and smoothing, so
that any decision can be tried on it without running the network again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamrnn.core.records import GapRecord, Record
from streamrnn.core.types import F32, I64, NULL_CLASS, Frames
from streamrnn.decision.machine import DecisionConfig
from streamrnn.evaluation.events import Segment, segments_from_labels
from streamrnn.kernels.backend import Backend
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.offline import run_session_with_probabilities
from streamrnn.sessions.labels import frame_labels, without_undone
from streamrnn.sessions.session import Session


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutRun:
    """One recording as a model that was not trained on it sees it.

    Attributes
    ----------
    name, subject : str
        What to call the recording, and who is in it; ``""`` when nobody said.
    labels : tuple of str
        Class names, the null class first.
    rate_hz : float
        Rate of the rows: the model's.
    probabilities : float32 (M, C)
        Of every decided frame, filled ones included, at temperature 1, not smoothed.
    energy : float32 (M,)
        Energy score of each row; low is strange, ``inf`` where nobody computed it.
    seq, t_us : int64 (M,)
        Index and device time (microseconds) of each row.
    breaks : int64 (K, 2)
        Where the gap rule forgot: the first row behind the break, and the device time of the first
        frame behind it.
    truth : list of Segment
        True gestures of the classes in `labels`, in microseconds, by start. Whatever else was
        labelled counts as null: nothing may fire there.
    y : int64 (M,)
        True class of each row.
    null_s, duration_s : float
        Time of the rows outside every true gesture, and of all rows.
    """

    name: str
    subject: str
    labels: tuple[str, ...]
    rate_hz: float
    probabilities: F32
    energy: F32
    seq: I64
    t_us: I64
    breaks: I64
    truth: list[Segment]
    y: I64
    null_s: float
    duration_s: float

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.seq)


def run_held_out(
    bundle: Bundle, session: Session, backend: Backend, *, name: str = ""
) -> HeldOutRun:
    """Run a model over a session that it was not trained on, without what was taken back.

    Parameters
    ----------
    bundle : Bundle
        Its decision plays no part.
    session : Session
    backend : Backend
    name : str
        What to call the session.

    Raises
    ------
    ConfigError
        The session does not fit the model.
    """
    session = without_undone(session)
    run = run_session_with_probabilities(
        replace(bundle, decision=DecisionConfig()), session, backend
    )
    known = [label for label in session.labels if label.name in bundle.labels]
    rows = Frames(np.empty((len(run.seq), 0), np.float32), run.seq, run.t_us)
    taught = replace(session, frames=rows, labels=known)
    y = frame_labels(taught, bundle.labels)
    return HeldOutRun(
        name=name,
        subject=session.subject,
        labels=bundle.labels,
        rate_hz=bundle.rate_hz,
        probabilities=run.probabilities,
        energy=run.energy,
        seq=run.seq,
        t_us=run.t_us,
        breaks=breaks_of(run.records, run.seq),
        truth=segments_from_labels(taught, bundle.labels[NULL_CLASS]),
        y=y,
        null_s=int((y == NULL_CLASS).sum()) / bundle.rate_hz,
        duration_s=len(y) / bundle.rate_hz,
    )


def breaks_of(records: Sequence[Record], seq: I64) -> I64:
    """Return where the gap rule forgot, int64 (K, 2); see `HeldOutRun.breaks`."""
    resets = [r for r in records if isinstance(r, GapRecord) and r.action == "reset"]
    rows = np.searchsorted(seq, np.array([r.seq for r in resets], np.int64))
    return np.stack([rows, np.array([r.t_us for r in resets], np.int64)], axis=1).astype(np.int64)
