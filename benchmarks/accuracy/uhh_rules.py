"""The rules by which the authors of the UHH recordings score a person (Tietz et al. 2019)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from streamrnn.core.types import F32, I64
from streamrnn.evaluation.events import Segment
from streamrnn.sessions.labels import runs

#: Rule 1: activity above this, in runs longer than so many frames.
ACTIVITY, SHORTEST = 0.4, 10

Pair = tuple[str, str]


def authors_segments(probabilities: F32, t_us: I64, labels: Sequence[str]) -> list[Segment]:
    """Rule 1: runs of summed gesture outputs above 0.4, longer than 10 frames, by largest sum."""
    active = (probabilities[:, 1:].sum(axis=1) > ACTIVITY).astype(np.int64)
    ends = [*t_us.tolist(), 2 * int(t_us[-1]) - int(t_us[-2])]
    found = []
    for a, b, on in runs(active):
        if on and b - a > SHORTEST:
            k = 1 + int(probabilities[a:b, 1:].sum(axis=0).argmax())
            found.append(Segment(ends[a], ends[b], labels[k]))
    return found


def authors_pairs(
    found: Sequence[Segment],
    truth: Sequence[Segment],
    n_none: int,
    within: int | None = None,
) -> list[Pair]:
    """Rules 2 and 3: (true, predicted) class of every decision; `none` is no gesture.

    Parameters
    ----------
    found, truth : sequence of Segment
    n_none : int
        True stretches without a gesture; each is one right decision.
    within : int or None
        A hit that was decided later than so long after the onset of its gesture is none: the
        gesture counts as missed, and the segment as a false alarm. None: no hit comes too late.
    """
    pairs: list[Pair] = [("none", "none")] * n_none
    free = set(range(len(truth)))
    for segment in found:
        touched = [
            i for i, other in enumerate(truth)
            if segment.start < other.end and other.start < segment.end
        ]  # fmt: skip
        same = [i for i in touched if truth[i].label == segment.label]
        hits = [i for i in same if i in free]
        if hits:
            free.remove(hits[0])
            late = within is not None and segment.decided - truth[hits[0]].start > within
            label = segment.label
            pairs += [(label, "none"), ("none", label)] if late else [(label, label)]
        elif same or not touched:
            pairs.append(("none", segment.label))
        else:
            (label, _), *_ = Counter(truth[i].label for i in touched).most_common(1)
            pairs.append((label, segment.label))
    return pairs + [(truth[i].label, "none") for i in sorted(free)]


def pair_f1(pairs: Sequence[Pair]) -> float:
    """Rule 4: mean F1 of all classes, `none` among them."""
    names = sorted({name for pair in pairs for name in pair})
    true, found = Counter(t for t, _ in pairs), Counter(f for _, f in pairs)
    hit = Counter(t for t, f in pairs if t == f)
    return float(np.mean([2 * hit[name] / (true[name] + found[name]) for name in names]))
