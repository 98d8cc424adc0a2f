"""Frame by frame: the confusion of classes, and whether probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamrnn.core.types import F32, F64, I64, NULL_CLASS
from streamrnn.evaluation.events import Segment

N_BINS = 15


def frame_classes(segments: Sequence[Segment], names: Sequence[str], t_us: I64) -> I64:
    """Return one class a frame: that of the segment which covers it, the later one of two.

    Parameters
    ----------
    segments : sequence of Segment
        In microseconds.
    names : sequence of str
        Class names, the null class first; all labels of the segments are among them.
    t_us : int64 (N,)
        Device time of each frame.

    Returns
    -------
    int64 (N,)
        Index into `names`, 0 where no segment stands.
    """
    index = {name: k for k, name in enumerate(names)}
    y = np.full(len(t_us), NULL_CLASS, np.int64)
    for segment in sorted(segments, key=lambda s: s.start):
        first, behind = np.searchsorted(t_us, (segment.start, segment.end))
        y[first:behind] = index[segment.label]
    return y


def confusion(true: I64, found: I64, n_classes: int) -> I64:
    """Return how many frames of each class (row) were given each class (column), int64 (C, C)."""
    return np.bincount(true * n_classes + found, minlength=n_classes**2).reshape(
        n_classes, n_classes
    )


def frame_scores(counts: I64) -> dict[str, float]:
    """Return accuracy and mean F1 of the classes that occur in a confusion, each 0..1."""
    total = counts.sum()
    both = counts.sum(axis=0) + counts.sum(axis=1)
    hits = np.diag(counts)
    present = both > 0
    f1 = 2 * hits[present] / both[present]
    return {
        "accuracy": float(hits.sum() / total) if total else 0.0,
        "macro_f1": float(f1.mean()) if len(f1) else 0.0,
    }


@dataclass(slots=True)
class Reliability:
    """How often things were right that were said with some confidence, in equal bins of it.

    Attributes
    ----------
    n : int64 (N_BINS,)
        Statements in each bin.
    said : float64 (N_BINS,)
        Sum of their confidences.
    right : int64 (N_BINS,)
        How many of them were right.
    """

    n: I64
    said: F64
    right: I64

    @staticmethod
    def empty() -> Reliability:
        """Return one that has heard nothing."""
        return Reliability(np.zeros(N_BINS, np.int64), np.zeros(N_BINS), np.zeros(N_BINS, np.int64))

    def add(self, confidence: npt.ArrayLike, right: npt.ArrayLike) -> None:
        """Count statements: their confidences, 0..1, and whether each was right."""
        said = np.asarray(confidence, np.float64)
        bins = np.clip(np.ceil(said * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
        self.n += np.bincount(bins, minlength=N_BINS)
        self.said += np.bincount(bins, said, N_BINS)
        self.right += np.bincount(bins, np.asarray(right, np.float64), N_BINS).astype(np.int64)

    @property
    def error(self) -> float | None:
        """Expected calibration error, 0..1 (C. Guo et al. 2017, arXiv:1706.04599, eq. 3).

        The mean distance of confidence and accuracy of the bins, weighted by their statements;
        None without any.
        """
        total = int(self.n.sum())
        return float(np.abs(self.said - self.right).sum() / total) if total else None

    def to_dict(self) -> dict[str, Any]:
        """Return the error and the bins that hold something, as JSON values."""
        bins = [
            {"n": int(n), "confidence": round(float(said / n), 4), "right": round(int(r) / n, 4)}
            for n, said, r in zip(self.n.tolist(), self.said, self.right, strict=True)
            if n
        ]
        error = self.error
        return {
            "ece": None if error is None else round(error, 4),
            "n": int(self.n.sum()),
            "bins": bins,
        }


def add_frames(reliability: Reliability, probabilities: F32, y: I64) -> None:
    """Count the strongest class of each frame.

    Parameters
    ----------
    reliability : Reliability
        Added to.
    probabilities : float32 (M, C)
    y : int64 (M,)
        True class; one that is not a column counts as wrong.
    """
    if len(y):
        reliability.add(probabilities.max(axis=1), probabilities.argmax(axis=1) == y)
