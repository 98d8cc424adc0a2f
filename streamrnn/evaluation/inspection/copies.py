"""Recordings that hold the same frames: whole, in part, cut, rescaled or with other channels.

Bytes would not show a copy that was exported with other units or another filter in one sensor. What
stays is how each axis goes up and down. So the signs of the steps of a sensor, over a stretch of
frames, make a number, and some of these numbers, chosen by themselves and not by their place, are
kept: the stretches that two recordings share choose the same ones (as in winnowing, Schleimer,
Wilkerson & Aiken 2003).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamrnn.core.types import F32, I64, Channel
from streamrnn.features.sensors import triads

U64 = npt.NDArray[np.uint64]

#: A stretch holds so many signs, within these bounds of frames; one of `KEPT` stretches is kept.
SIGNS, FRAME_BOUNDS, KEPT = 128, (12, 96), 8
#: Marks of one recording; of a longer one fewer stretches are kept.
MAX_MARKS = 1 << 16
#: Signs that change in a stretch: a slow swing alone is like any other.
MIN_CHANGES = 24
#: Shared stretches at one offset that make a copy.
MIN_SHARED = 4
#: Frames are counted in blocks of this many.
BLOCK = 32
#: A stretch that so many recordings have is a habit of the device.
MAX_HOLDERS = 8
_STEP = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """The kept stretches of one recording.

    Attributes
    ----------
    value : uint64 (M,)
    frame : int64 (M,)
        Where each begins.
    """

    value: U64
    frame: I64


@dataclass(frozen=True, slots=True)
class Copy:
    """Frames that two recordings share.

    Attributes
    ----------
    a, b : int
        The recordings; a is the one of which the larger share is in the other.
    share : float
        How much of a is in b, 0..1.
    first_a, first_b : int
        First shared frame of each.
    n_pieces : int
        Unbroken pieces that a is put together from; 1 for a plain copy.
    n_left_out : int
        Frames of b between these pieces that a lacks.
    """

    a: int
    b: int
    share: float
    first_a: int
    first_b: int
    n_pieces: int
    n_left_out: int


def marks(x: F32, channels: Sequence[Channel]) -> Marks:
    """Return the kept stretches of a recording: about an eighth of its frames, for each sensor.

    Parameters
    ----------
    x : float32 (N, n)
    channels : sequence of Channel
    """
    groups = [list(columns) for columns in triads(channels)]
    taken = {column for group in groups for column in group}
    rest = [column for column in range(len(channels)) if column not in taken]
    parts = [_marks_of(x, group) for group in (*groups, *([rest] if rest else []))]
    value = np.concatenate([part.value for part in parts])
    frame = np.concatenate([part.frame for part in parts])
    kept = KEPT
    while len(value) > MAX_MARKS:
        kept *= 2  # a stretch that is kept here is among those that a shorter recording keeps
        chosen = value % np.uint64(kept) == 0
        value, frame = value[chosen], frame[chosen]
    return Marks(value, frame)


def _marks_of(x: F32, columns: list[int]) -> Marks:
    low, high = FRAME_BOUNDS
    size = min(max(-(-SIGNS // len(columns)), low), high)
    n_steps = len(x) - 1
    if n_steps < size:
        return Marks(np.empty(0, np.uint64), np.empty(0, np.int64))
    code = np.zeros(n_steps, np.uint64)
    n_changes = np.zeros(n_steps + 1, np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        for k, column in enumerate(columns):
            before, after = x[:-1, column], x[1:, column]
            sign = (after > before).astype(np.int64) - (after < before)
            code += (sign + 1).astype(np.uint64) * _mixed(np.uint64(k + 1) * _STEP)
            n_changes[2:] += sign[1:] != sign[:-1]
        code = _mixed(code)
        value = np.zeros(n_steps - size + 1, np.uint64)
        for k in range(size):
            value = value * _STEP + code[k : k + len(value)]
        value = _mixed(value)
    changes = np.cumsum(n_changes)
    lively = changes[size:] - changes[:-size] >= MIN_CHANGES
    frame = np.flatnonzero(lively & (value % np.uint64(KEPT) == 0)).astype(np.int64)
    return Marks(value[frame], frame)


def _mixed(z: U64 | np.uint64) -> U64:
    """Return well mixed bits (the finaliser of SplitMix64, Steele, Lea & Flood 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), np.uint64)


def find_copies(recordings: Sequence[Marks]) -> list[Copy]:
    """Return the pairs of recordings that share frames, in their order."""
    sizes = [len(part.value) for part in recordings]
    n_blocks = [len(np.unique(part.frame // BLOCK)) for part in recordings]
    owner = np.repeat(np.arange(len(sizes)), sizes)
    value = np.concatenate([part.value for part in recordings]) if sizes else np.empty(0, np.uint64)
    frame = np.concatenate([part.frame for part in recordings]) if sizes else np.empty(0, np.int64)
    order = np.argsort(value, kind="stable")
    value, owner, frame = value[order], owner[order], frame[order]
    pairs = []
    for lag in range(1, MAX_HOLDERS):
        n = len(value) - lag
        if n <= 0:
            break
        left = np.flatnonzero((value[:n] == value[lag:]) & (owner[:n] < owner[lag:]))
        pairs.append(
            np.stack([owner[left], owner[left + lag], frame[left], frame[left + lag]], axis=1)
        )
    if not pairs:
        return []
    found = np.concatenate(pairs)
    found = found[np.lexsort((found[:, 2], found[:, 1], found[:, 0]))]
    edges = np.flatnonzero(np.any(np.diff(found[:, :2], axis=0), axis=1)) + 1
    copies = [_copy(part, n_blocks) for part in np.split(found, edges) if len(part) >= MIN_SHARED]
    return [copy for copy in copies if copy is not None]


def _copy(shared: I64, n_blocks: Sequence[int]) -> Copy | None:
    """Return what one pair shares: rows of (a, b, frame in a, frame in b)."""
    offsets, at, counts = np.unique(
        shared[:, 3] - shared[:, 2], return_inverse=True, return_counts=True
    )
    good = counts >= MIN_SHARED
    kept = shared[good[at.reshape(-1)]]
    if not len(kept):
        return None
    a, b = int(kept[0, 0]), int(kept[0, 1])
    frames_a, frames_b = kept[:, 2], kept[:, 3]
    if n_blocks[a] > n_blocks[b]:
        a, b, frames_a, frames_b = b, a, frames_b, frames_a
    share = len(np.unique(frames_a // BLOCK)) / n_blocks[a]
    left_out = int(offsets[good].max() - offsets[good].min())
    return Copy(a, b, share, int(frames_a.min()), int(frames_b.min()), int(good.sum()), left_out)
