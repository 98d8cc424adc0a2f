"""How sure a model is of itself against how often it is right: one number, fitted to held-out runs.

Temperature scaling (Guo et al. 2017, "On calibration of modern neural networks"): logits are
divided by the temperature that makes the true classes most likely. It changes how steep activity
rises, and with smoothing or a sum over a run also what wins; the strongest class of a frame stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from streamrnn.core.types import F32, F64, I64
from streamrnn.evaluation.choosing.rerun import counting_rows
from streamrnn.evaluation.heldout import HeldOutRun

#: Fewer gestures than this say nothing about how sure a model may be.
MIN_GESTURES = 20
#: Bounds of the search.
COLDEST, HOTTEST = 0.25, 4.0
#: More rows than this say the same as every so-manieth of them.
_MAX_ROWS = 100_000


def fit_temperature(runs: Sequence[HeldOutRun]) -> float:
    """Return the temperature of the greatest likelihood; 1 when there are too few gestures.

    Only rows whose class is beyond doubt count (see `counting_rows`).
    """
    if sum(len(run.truth) for run in runs) < MIN_GESTURES:
        return 1.0
    from scipy.optimize import minimize_scalar

    logs, y = _rows(runs)
    if not len(y):
        return 1.0
    at = np.arange(len(y))

    def loss(log_temperature: float) -> float:
        z = logs * math.exp(-log_temperature)
        top = z.max(axis=1)
        total: F64 = np.log(np.exp(z - top[:, None]).sum(axis=1)) + top - z[at, y]
        return float(total.mean())

    bounds = (math.log(COLDEST), math.log(HOTTEST))
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 0.01})
    return round(math.exp(float(best.x)), 3)


def _rows(runs: Sequence[HeldOutRun]) -> tuple[F64, I64]:
    """Return log-probabilities and classes of the rows that count, thinned evenly."""
    rows = [counting_rows(run) for run in runs]
    step = 1 + sum(map(len, rows)) // _MAX_ROWS
    ps: list[F32] = []
    ys: list[I64] = []
    for run, at in zip(runs, rows, strict=True):
        ps.append(run.probabilities[at[::step]])
        ys.append(run.y[at[::step]])
    p = np.concatenate(ps).astype(np.float64)
    return np.log(np.maximum(p, np.finfo(np.float32).tiny)), np.concatenate(ys)
