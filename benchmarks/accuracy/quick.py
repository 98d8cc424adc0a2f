"""A fold made small: to see in seconds that a set can be read, trained and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.accuracy.folds import Fold
from streamrnn.sessions.session import Session

#: What a quick run is trained with instead: few epochs, and nothing is cross-validated.
QUICK_OPTIONS: dict[str, Any] = {"epochs": 12, "min_updates": 200, "folds": 0}
_TRAIN_FRAMES, _TEST_FRAMES = 40_000, 30_000
#: The people of UHH differ; this one's gestures are large.
_PREFERRED = "l"


def quick_folds(folds: Sequence[Fold]) -> list[Fold]:
    """Return one fold, with no more recordings than a check needs."""
    fold = next((fold for fold in folds if fold.name == _PREFERRED), folds[0])
    return [replace(
        fold,
        train=_some(fold.train, _TRAIN_FRAMES),
        test=_some(fold.test, _TEST_FRAMES),
        extra={},
    )]  # fmt: skip


def _some(sessions: Sequence[Session], most_frames: int) -> list[Session]:
    """Return sessions of all classes in turn until there are enough frames, at least one of each.

    The first of each class come first, then the second, so that no class is left out.
    """
    n_of: dict[tuple[str, ...], int] = {}
    ranks = []
    for session in sessions:
        key = tuple(sorted({label.name for label in session.labels}))
        n_of[key] = n_of.get(key, 0) + 1
        ranks.append(n_of[key])
    chosen, n_frames = [], 0
    for i in sorted(range(len(sessions)), key=lambda i: (ranks[i], i)):
        if n_frames >= most_frames and ranks[i] > 2:
            break
        chosen.append(i)
        n_frames += len(sessions[i])
    return [sessions[i] for i in sorted(chosen)]
