"""Every recording is left out once.

Recordings are split by subject where there are two or more, else by session, else each one is cut
in the gaps between its gestures. A split that would leave a class without an example to train on is
passed over for the next one. Splits depend on the labels and the seed alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from streamrnn.core.errors import ConfigError
from streamrnn.core.types import NULL_CLASS, Label
from streamrnn.evaluation.heldout import HeldOutRun, run_held_out
from streamrnn.kernels.backend import Backend
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions.labels import class_names, frame_labels
from streamrnn.sessions.session import Session
from streamrnn.training.config import TrainConfig
from streamrnn.training.targets import cut_in_gaps

#: Ways to split, in the order in which they are tried.
WAYS = ("subject", "session", "time")


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One part of a cross-validation.

    Attributes
    ----------
    training, left_out : list of Session
        What a model is trained on, and what it is asked about.
    names : tuple of str
        Whose, or which, recordings are left out.
    left_out_names : tuple of str
        What to call each session of `left_out`.
    runs : list of HeldOutRun
        What the model said; empty before it was trained.
    """

    training: list[Session]
    left_out: list[Session]
    names: tuple[str, ...]
    left_out_names: tuple[str, ...]
    runs: list[HeldOutRun] = field(default_factory=list)

    def asked(self, bundle: Bundle, backend: Backend) -> list[HeldOutRun]:
        """Return what a model says about the sessions that are left out."""
        return [
            run_held_out(bundle, session, backend, name=name)
            for session, name in zip(self.left_out, self.left_out_names, strict=True)
        ]


def split_folds(
    sessions: Sequence[Session],
    config: TrainConfig,
    names: Sequence[str] | None = None,
    by: str = "auto",
) -> tuple[str, list[Fold]]:
    """Split sessions into at most ``config.folds`` parts, each of which is left out once.

    Parameters
    ----------
    sessions : sequence of Session
    config : TrainConfig
    names : sequence of str or None
        What to call each session; None: ``session 1`` and so on.
    by : {"auto", "subject", "session", "time"}
        ``auto``: the first of the others that leaves every class an example to train on.

    Returns
    -------
    by : {"subject", "session", "time", ""}
        ``""`` and no folds: not one class has two examples, or nothing is asked for.
    folds : list of Fold

    Raises
    ------
    ConfigError
        Another `by`, or sessions that cannot be split by it.
    """
    if by not in ("auto", *WAYS):
        raise ConfigError(f"sessions are split by {', '.join(WAYS)} or auto, got {by!r}")
    names = names or [f"session {n + 1}" for n in range(len(sessions))]
    if config.folds < 2:
        return "", []
    labels = class_names(sessions)
    for way in WAYS if by == "auto" else (by,):
        folds = (
            _by_time(sessions, names, labels, config)
            if way == "time"
            else (_by_owner(sessions, names, labels, config, way))
        )
        if folds and (by != "auto" or all(_gestures(f.training) == set(labels[1:]) for f in folds)):
            return way, folds
    if by != "auto":
        raise ConfigError(f"these sessions cannot be split by {by}: there are no two parts")
    folds = _by_time(sessions, names, labels, config)  # a class of one gesture is never found
    return ("time", folds) if folds else ("", [])


def _gestures(sessions: Sequence[Session]) -> set[str]:
    return set(class_names(sessions)[1:])


def _by_owner(
    sessions: Sequence[Session],
    names: Sequence[str],
    labels: Sequence[str],
    config: TrainConfig,
    way: str,
) -> list[Fold]:
    """Deal subjects or sessions to parts; none where there are fewer than two of them."""
    owners = (
        [s.subject for s in sessions] if way == "subject" else list(map(str, range(len(names))))
    )
    if "" in owners:
        owners = [owner or f"\0{n}" for n, owner in enumerate(owners)]
        if way == "subject" and not any(s.subject for s in sessions):
            return []
    counts: dict[str, Counter[str]] = {}
    for session, owner in zip(sessions, owners, strict=True):
        count = counts.setdefault(owner, Counter())
        count.update(label.name for label in session.labels if label.name in labels[1:])
        count[""] += 1  # sessions without a gesture are spread too
    if len(counts) < 2:
        return []
    part_of = _dealt(counts, config)
    folds = []
    for k in range(max(part_of.values()) + 1):
        left = [n for n, owner in enumerate(owners) if part_of[owner] == k]
        whose = {sessions[n].subject or names[n] if way == "subject" else names[n] for n in left}
        folds.append(
            Fold(
                [s for s, owner in zip(sessions, owners, strict=True) if part_of[owner] != k],
                [sessions[n] for n in left],
                tuple(sorted(whose)),
                tuple(names[n] for n in left),
            )
        )
    return folds


def _dealt(counts: dict[str, Counter[str]], config: TrainConfig) -> dict[str, int]:
    """Return the part of each owner, such that each class is spread evenly over the parts."""
    known = sorted(counts)
    drawn = np.random.default_rng(config.seed).permutation(len(known)).tolist()
    order = sorted((known[n] for n in drawn), key=lambda owner: -counts[owner].total())
    total = sum(counts.values(), Counter())
    parts: list[Counter[str]] = [Counter() for _ in range(min(config.folds, len(known)))]
    part_of = {}
    for owner in order:
        own = counts[owner]

        def crowded(k: int, own: Counter[str] = own) -> tuple[float, int, int]:
            shared = sum(n * parts[k][name] / total[name] for name, n in own.items() if name)
            return shared, parts[k].total(), k

        best = min(range(len(parts)), key=crowded)
        parts[best].update(own)
        part_of[owner] = best
    return part_of


def _by_time(
    sessions: Sequence[Session], names: Sequence[str], labels: Sequence[str], config: TrainConfig
) -> list[Fold]:
    """Cut sessions in the gaps; the parts take the gestures of each class in the order of time."""
    pieces = []  # (session, first frame, frame behind, class)
    for n, session in enumerate(sessions):
        y = frame_labels(session, labels)
        pieces += [(n, a, b, int(y[a:b].max())) for a, b in cut_in_gaps(y)]
    n_of = Counter(k for _, _, _, k in pieces if k != NULL_CLASS)
    n_parts = min(config.folds, max(n_of.values(), default=0))
    if n_parts < 2:
        return []
    seen: Counter[int] = Counter()
    part_of = []
    for _, _, _, k in pieces:
        part_of.append(seen[k] * n_parts // n_of[k] if n_of[k] > 1 else seen[k] % n_parts)
        seen[k] += 1
    folds = []
    for part in range(n_parts):
        training, left, left_names = [], [], []
        for a, b in _joined(pieces, part_of, part):
            n = pieces[a][0]
            block = cut_session(sessions[n], pieces[a][1], pieces[b - 1][2])
            if part_of[a] == part:
                left.append(block)
                left_names.append(f"{names[n]} from frame {pieces[a][1]}")
            else:
                training.append(block)
        folds.append(Fold(training, left, (f"part {part + 1} of {n_parts}",), tuple(left_names)))
    return folds


def _joined(
    pieces: Sequence[tuple[int, int, int, int]], part_of: Sequence[int], part: int
) -> list[tuple[int, int]]:
    """Return runs of pieces of one session that are all left out, or all trained on."""
    kind = [(piece[0], of == part) for piece, of in zip(pieces, part_of, strict=True)]
    edges = [0, *(n for n in range(1, len(kind)) if kind[n] != kind[n - 1]), len(kind)]
    return [(a, b) for a, b in pairwise(edges) if a < b]


def cut_session(session: Session, first: int, behind: int) -> Session:
    """Return some frames of a session as a session of its own; labels are cut at its ends."""
    frames = session.frames[first:behind]
    start_us = int(frames.t_us[0])
    end_us = session.end_us
    if behind < len(session.frames):
        end_us = int(session.frames.t_us[behind])
    labels = [
        Label(label.name, max(label.start_us, start_us), min(label.end_us, end_us), label.source,
              label.confidence)
        for label in session.labels
        if label.start_us < end_us and label.end_us > start_us
    ]  # fmt: skip
    return replace(
        session, frames=frames, host_ns=session.host_ns[first:behind], labels=labels, events=[]
    )
