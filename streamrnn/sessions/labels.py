"""Ground truth as intervals and as one class a frame."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from streamrnn.core.errors import SessionError
from streamrnn.core.text import did_you_mean, printable
from streamrnn.core.types import I64, NULL_CLASS, NULL_NAME, Frames, Label
from streamrnn.sessions.session import Session


def class_names(sessions: Iterable[Session]) -> tuple[str, ...]:
    """Return the classes of some sessions: the null class first, then all label names, sorted."""
    names = {label.name for session in sessions for label in session.labels}
    return (NULL_NAME, *sorted(names - {NULL_NAME}))


def without_undone(session: Session) -> Session:
    """Return a session without the frames of labels that were taken back.

    Such a stretch may hold the gesture, half of it, or nothing: it can neither teach nor test what
    is no gesture. Its frames are missing as if they had been lost, and the gap rule does the rest.
    A frame that another label covers stays.
    """
    if not session.undone:
        return session
    t_us = session.frames.t_us
    keep = np.ones(len(t_us), np.bool_)
    for labels, is_kept in ((session.undone, False), (session.labels, True)):
        for label in labels:
            first, behind = np.searchsorted(t_us, (label.start_us, label.end_us))
            keep[first:behind] = is_kept
    frames = Frames(session.frames.x[keep], session.frames.seq[keep], t_us[keep])
    return replace(session, frames=frames, host_ns=session.host_ns[keep], undone=[])


def frame_labels(session: Session, class_names: Sequence[str]) -> I64:
    """Return one class a frame.

    Label k covers the frames with ``start_us <= t_us < end_us``. Where labels overlap, the one that
    starts later wins.

    Parameters
    ----------
    session : Session
    class_names : sequence of str
        The null class first.

    Returns
    -------
    int64 (N,)
        Index into `class_names`; 0 where no label stands.

    Raises
    ------
    SessionError
        A label of the session is not among `class_names`.
    """
    index = {name: k for k, name in enumerate(class_names)}
    t_us = session.frames.t_us
    y = np.full(len(t_us), NULL_CLASS, np.int64)
    for label in sorted(session.labels, key=lambda item: item.start_us):
        if label.name not in index:
            name = printable(label.name)
            hint = did_you_mean(label.name, class_names)
            raise SessionError(f"label {name!r} is none of the {len(index)} classes{hint}")
        first, behind = np.searchsorted(t_us, (label.start_us, label.end_us))
        y[first:behind] = index[label.name]
    return y


def runs(y: I64) -> list[tuple[int, int, int]]:
    """Return the maximal runs of equal classes, those of the null class too.

    Parameters
    ----------
    y : int64 (N,)
        One class a frame.

    Returns
    -------
    list of (start, end, class)
        Frame indices, half-open, in order; they cover all of `y`.
    """
    if not len(y):
        return []
    edges = [0, *(np.flatnonzero(np.diff(y)) + 1).tolist(), len(y)]
    return [(a, b, int(y[a])) for a, b in itertools.pairwise(edges)]


def labels_from_frames(
    y: I64, class_names: Sequence[str], t_us: I64, end_us: int, *, source: str
) -> list[Label]:
    """Return the intervals of a class-a-frame array: the inverse of `frame_labels`.

    Parameters
    ----------
    y : int64 (N,)
        One class a frame, 0 for none.
    class_names : sequence of str
    t_us : int64 (N,)
        Times of the frames.
    end_us : int
        Time behind the last frame.
    source : str
        Goes into each `Label`.
    """
    times = [*t_us.tolist(), end_us]
    return [
        Label(class_names[k], times[a], times[b], source) for a, b, k in runs(y) if k != NULL_CLASS
    ]
