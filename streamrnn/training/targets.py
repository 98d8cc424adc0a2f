"""What the loss is told about each frame, and what the labels say of the gestures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from streamrnn.core.types import F32, F64, I64, NULL_CLASS
from streamrnn.sessions.labels import runs

#: Frames at the end of each gesture that count in the loss however short the gesture is.
MIN_TAIL_FRAMES = 5
#: Shortest event, as a share of the median gesture of the class with the shortest gestures.
SHORTEST_SHARE = 0.5
#: Thresholds on activity: sure to begin, and slow to let go.
ENTER, EXIT = 0.6, 0.4


def gesture_runs(y: I64) -> list[tuple[int, int, int]]:
    """Return ``(start, end, class)`` of each run of one gesture's frames, half-open."""
    return [run for run in runs(y) if run[2] != NULL_CLASS]


def median_frames(ys: Sequence[I64]) -> float:
    """Return the median length of a gesture, in frames; 0.0 when there is none."""
    lengths = [b - a for y in ys for a, b, _ in gesture_runs(y)]
    return float(np.median(lengths)) if lengths else 0.0


def shortest_class_frames(ys: Sequence[I64]) -> float:
    """Return the median gesture length of the class whose gestures are shortest, in frames."""
    lengths: dict[int, list[int]] = {}
    for y in ys:
        for a, b, k in gesture_runs(y):
            lengths.setdefault(k, []).append(b - a)
    return float(min((np.median(v) for v in lengths.values()), default=0.0))


def frame_weights(
    y: I64,
    head_fraction: float,
    n_boundary: int,
    *,
    head_weight: float = 0.0,
    ramp: str = "step",
) -> F32:
    """Return the weight of each frame in the loss, 0..1.

    Less counts the head of each gesture, when nobody can know the class, and not at all the null
    frames next to it, where the boundary might as well have been set.

    Parameters
    ----------
    y : int64 (N,)
        Class of each frame.
    head_fraction : float
        Share of a gesture from its onset; its last `MIN_TAIL_FRAMES` count always.
    n_boundary : int
        Null frames on both sides of a gesture.
    head_weight : float
        Weight of the head, or of its first frame.
    ramp : {"step", "linear"}
        ``linear`` lets the weight rise along the head, to 1 at the first frame behind it.

    Returns
    -------
    float32 (N,)
    """
    weights = np.ones(len(y), np.float32)
    for a, b, _ in gesture_runs(y):
        n_head = int(min(max(b - a - MIN_TAIL_FRAMES, 0), head_fraction * (b - a)))
        rise = np.arange(n_head) / max(n_head, 1) if ramp == "linear" else 0.0
        weights[a : a + n_head] = head_weight + (1.0 - head_weight) * rise
        for near in (slice(max(0, a - n_boundary), a), slice(b, b + n_boundary)):
            weights[near] *= y[near] != NULL_CLASS
    return weights


def cut_in_gaps(y: I64) -> list[tuple[int, int]]:
    """Return half-open ranges that each hold one gesture, cut in the middle of the gaps."""
    gestures = gesture_runs(y)
    middles = [(left[1] + right[0]) // 2 for left, right in pairwise(gestures)]
    edges = [0, *middles, len(y)]
    return [(a, b) for a, b in pairwise(edges) if b > a]


def stand_apart(ys: Sequence[I64]) -> bool:
    """Return whether most neighbouring gestures have null between them.

    Where they do not, each is part of what goes before: their order is what is to be learnt.
    """
    n_pairs = n_apart = 0
    for y in ys:
        for left, right in pairwise(gesture_runs(y)):
            n_pairs += 1
            n_apart += right[0] > left[1]
    return 2 * n_apart >= n_pairs


def class_weights(ys: Sequence[I64], n_classes: int, power: float, null_cap: float = 1.0) -> F32:
    """Return the weight of each class; 1 on average a frame.

    A gesture weighs ``(mean count of the gestures / its count) ** power``, null as much as the mean
    gesture: so rare gestures are learnt, and how likely null is stays what it was.

    Parameters
    ----------
    ys : sequence of int64 (N,)
    n_classes : int
    power : float
        0 = all the same, 1 = every gesture as much as every other.
    null_cap : float
        Largest share of the null class in the sum of all weights, 0..1.

    Returns
    -------
    float32 (n_classes,)
    """
    counts = np.ones(n_classes)  # a class without frames must not weigh infinitely
    for y in ys:
        counts += np.bincount(y, minlength=n_classes)
    is_gesture = np.arange(n_classes) != NULL_CLASS
    weights: F64 = (counts[is_gesture].mean() / counts) ** power
    weights[NULL_CLASS] = 1.0
    others = (weights * counts)[is_gesture].sum()
    if null_cap < 1.0:
        most = others * null_cap / (1.0 - null_cap) / counts[NULL_CLASS]
        weights[NULL_CLASS] = min(weights[NULL_CLASS], most)
    weights *= counts.sum() / (weights * counts).sum()
    return weights.astype(np.float32)


def decision_for(ys: Sequence[I64], rate_hz: float) -> dict[str, float]:
    """Return decision options that fit the labels.

    This is where the search for a decision begins, and what stands where nothing was left out to
    search on. The network learns little of a gesture's head, so it is sure to be active for the
    later half of it and some frames behind. Whatever lasts less than `SHORTEST_SHARE` of the
    shortest class's median gesture is no gesture; half a frame less keeps rounding out of it.

    Parameters
    ----------
    ys : sequence of int64 (N,)
    rate_hz : float
    """
    frames = max(1.0, round(SHORTEST_SHARE * shortest_class_frames(ys)) - 0.5)
    return {"enter": ENTER, "exit": EXIT, "min_ms": round(frames * 1000.0 / rate_hz, 3)}
