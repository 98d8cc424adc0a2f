"""What is trained on and what is tested, for each set."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from streamrnn.sessions.session import Session

#: Rounds of the gestures of ActRecTut are cut into so many blocks; one of them is tested.
BLOCKS = 6
_HALVES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One split.

    Attributes
    ----------
    name : str
        Who or what is left out.
    train, test : list of Session
        Without a recording in common.
    group : str
        Folds of one group are scored together.
    extra : dict of str to list of Session
        More recordings that the same model has not seen, by what they are called in the report.
    """

    name: str
    train: list[Session]
    test: list[Session]
    group: str = ""
    extra: dict[str, list[Session]] = field(default_factory=dict)


def leave_one_out(sessions: Sequence[Session], key: str, group: str = "") -> list[Fold]:
    """Return one fold for each value of the metadata `key`, in order of appearance."""
    values = list(dict.fromkeys(session.metadata[key] for session in sessions))
    return [
        Fold(
            value,
            [session for session in sessions if session.metadata[key] != value],
            [session for session in sessions if session.metadata[key] == value],
            group,
        )
        for value in values
    ]


def given_split(sessions: Sequence[Session]) -> list[Fold]:
    """Return the one fold that the set's makers gave."""
    train = [session for session in sessions if session.metadata["part"] == "train"]
    test = [session for session in sessions if session.metadata["part"] == "test"]
    return [Fold("test", train, test)]


def halves(sessions: Sequence[Session]) -> list[Fold]:
    """Return three random halves, the same share of each class in both."""
    folds = []
    for n in range(_HALVES):
        rng = np.random.default_rng(n)
        chosen: set[int] = set()
        names = [session.labels[0].name for session in sessions]
        for name in sorted(set(names)):
            own = np.flatnonzero(np.array(names) == name)
            chosen |= set(rng.permutation(own)[: len(own) // 2].tolist())
        folds.append(
            Fold(
                f"half {n + 1}",
                [session for i, session in enumerate(sessions) if i in chosen],
                [session for i, session in enumerate(sessions) if i not in chosen],
            )
        )
    return folds


def blocks_of_rounds(session: Session) -> list[Fold]:
    """Return folds that leave out a block of whole rounds of the gestures, in order of time.

    A round ends in the middle of the pause before the gesture that begins the next one; which that
    is, the first label tells.
    """
    labels = sorted(session.labels, key=lambda label: label.start_us)
    first = labels[0].name
    cuts = [
        (before.end_us + label.start_us) // 2
        for before, label in itertools.pairwise(labels)
        if label.name == first
    ]
    n_rounds = len(cuts) + 1
    ends = [round(n_rounds * k / BLOCKS) for k in range(1, BLOCKS)]
    edges = [session.start_us, *(cuts[end - 1] for end in ends), session.end_us]
    pieces = [
        piece(session, a, b, f"block {k + 1}") for k, (a, b) in enumerate(itertools.pairwise(edges))
    ]
    return [
        Fold(
            f"{session.subject} block {k + 1}",
            [other for other in pieces if other is not test],
            [test],
            session.subject,
        )
        for k, test in enumerate(pieces)
    ]


def piece(session: Session, start_us: int, end_us: int, name: str = "") -> Session:
    """Return the frames of a session from `start_us` to before `end_us`, with their labels."""
    t_us = session.frames.t_us
    a, b = (int(k) for k in np.searchsorted(t_us, (start_us, end_us)))
    labels = [
        replace(label, start_us=max(label.start_us, start_us), end_us=min(label.end_us, end_us))
        for label in session.labels
        if label.start_us < end_us and start_us < label.end_us
    ]
    metadata = session.metadata | ({"piece": name} if name else {})
    return Session(
        session.info, session.frames[a:b], session.host_ns[a:b], labels, metadata=metadata
    )
