"""The learning rate over a run."""

from __future__ import annotations

import math

#: The rate starts at the peak over this, and ends at that start over `FINAL_DIVISOR`.
START_DIVISOR = 25.0
FINAL_DIVISOR = 1e4
#: Adam's first beta at low and at high learning rates.
BETA1_BOUNDS = (0.95, 0.85)


def one_cycle(position: float, peak: float, warm_up: float) -> tuple[float, float]:
    """Return the learning rate and Adam's beta1 somewhere in a run (Smith & Topin 2018).

    Both follow half a cosine up to the peak and another one down; beta1 goes the other way.

    Parameters
    ----------
    position : float
        0 at the first update, 1 behind the last.
    peak : float
        Largest learning rate.
    warm_up : float
        Share of the run before the peak, 0..1.
    """
    start = peak / START_DIVISOR
    slow, fast = BETA1_BOUNDS
    if position < warm_up:
        share = position / warm_up
        return _between(start, peak, share), _between(slow, fast, share)
    share = (position - warm_up) / (1.0 - warm_up) if warm_up < 1.0 else 1.0
    return _between(peak, start / FINAL_DIVISOR, share), _between(fast, slow, share)


def _between(a: float, b: float, share: float) -> float:
    return b + (a - b) * 0.5 * (1.0 + math.cos(math.pi * share))
