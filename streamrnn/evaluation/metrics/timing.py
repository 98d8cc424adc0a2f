"""When events come: delay, earliness, and what is left of the score before a deadline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamrnn.evaluation.events import Score, Segment, add_scores, macro_f1, scores


@dataclass(frozen=True, slots=True)
class Timing:
    """When the event of one found gesture was out.

    Attributes
    ----------
    delay_us : int
        From the true onset until the event was given; negative when it came before.
    delay_frames : float
        The same in periods of the stream's nominal rate.
    earliness : float
        Share of the gesture that had passed: 0 at its onset, 1 at its end, more behind it.
    """

    delay_us: int
    delay_frames: float
    earliness: float


def timing(true: Segment, found: Segment, period_us: float) -> Timing:
    """Return when `found` came, from the onset of `true`, in a stream of this frame period."""
    delay_us = found.decided - true.start
    length_us = max(1, true.end - true.start)
    return Timing(delay_us, delay_us / period_us, delay_us / length_us)


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """Return the median and the 95th percentile, None without values."""
    if not values:
        return None
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3)}


@dataclass(frozen=True, slots=True)
class AtDeadline:
    """The score when an event only counts that is out in time.

    Attributes
    ----------
    deadline : float
        After the true onset, in the unit of the delays.
    recall, f1 : float
        Of all classes together, 0..1.
    macro_f1 : float
        Mean F1 of the classes, 0..1.
    """

    deadline: float
    recall: float
    f1: float
    macro_f1: float


def delay_curve(
    by_class: dict[str, Score], delays: Sequence[tuple[str, float]], deadlines: Sequence[float]
) -> list[AtDeadline]:
    """Return the score at each deadline.

    The events are taken as they are: one that comes after the deadline is a miss and a false event.

    Parameters
    ----------
    by_class : dict of str to Score
        Counts without a deadline.
    delays : sequence of (str, float)
        Class and delay of each hit.
    deadlines : sequence of float
        In the unit of the delays.
    """
    curve = []
    for deadline in deadlines:
        hits = dict.fromkeys(by_class, 0)
        for label, delay in delays:
            hits[label] += delay <= deadline
        late = {k: Score(s.n_true, s.n_found, hits[k]) for k, s in by_class.items()}
        total = sum(late.values(), Score(0, 0, 0))
        curve.append(AtDeadline(deadline, total.recall, total.f1, macro_f1(late)))
    return curve


def f1_by(
    truth: Sequence[Segment],
    found: Sequence[Segment],
    pairs: Sequence[tuple[int, int]],
    deadline: int,
) -> float:
    """Return the mean F1 of one session when events count that are out `deadline` after onset.

    Parameters
    ----------
    truth, found : sequence of Segment
    pairs : sequence of (int, int)
        What `match` gave.
    deadline : int
        In the unit of the segments.
    """
    delays = [(truth[i].label, float(found[j].decided - truth[i].start)) for i, j in pairs]
    return delay_curve(add_scores([scores(truth, found, pairs)]), delays, [deadline])[0].macro_f1


def deadlines_for(delays: Sequence[float], most: int = 40) -> list[float]:
    """Return round deadlines from 0 until all of some delays have passed, at most `most` + 1.

    Steps are 1, 2 or 5 times a power of ten, at least 1.
    """
    longest = max(1.0, *delays) if delays else 1.0
    power = 10.0 ** max(0, math.floor(math.log10(longest / most)))
    step = next(power * k for k in (1, 2, 5, 10, 20) if power * k * most >= longest)
    return [k * step for k in range(math.ceil(longest / step) + 1)]
