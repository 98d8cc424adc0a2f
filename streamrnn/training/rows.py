"""Rows of trials: cut-out gestures that train a recogniser of endless streams.

A trial has no time before or behind it. Trained on trials alone a network fires as soon as it sees
anything, and never lets go. So some rows hold several trials with null between them: the last
frame of one, brought to the first frame of the next in a smooth way, or, where the recordings have
time without a gesture, that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

from streamrnn.core.types import F32, F64, NULL_CLASS, Channel
from streamrnn.features.sensors import motion_order
from streamrnn.training.augment import Piece
from streamrnn.training.config import TrainConfig

#: White noise in made-up null, in units of each channel's noise.
NULL_JITTER = 0.05
#: Where the recordings have null, so often it is taken instead of made-up null.
REAL_SHARE = 0.5
#: A row of several trials begins with null so often, and ends with null always.
LEAD_SHARE = 0.5
#: Largest share of made-up null, at either end, in which nothing moves yet.
LARGEST_HOLD = 0.4


class RowMaker:
    """Draws rows from trials.

    Parameters
    ----------
    pieces : sequence of Piece
        Trials, each of one class; those of the null class also stand between others.
    channels : sequence of Channel
        The columns.
    noise : float32 (n,)
        What the noise of each channel is measured in.
    median_frames : float
        Median length of a gesture.
    config : TrainConfig
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        channels: Sequence[Channel],
        noise: F32,
        median_frames: float,
        config: TrainConfig,
    ) -> None:
        self._nulls = [n for n, p in enumerate(pieces) if p.targets[0] == NULL_CLASS]
        self._moves = np.array([motion_order(channel) > 0 for channel in channels])
        self._noise = np.float32(NULL_JITTER) * noise
        self._median_frames = max(median_frames, 1.0)
        self._config = config

    @property
    def mean_trials(self) -> float:
        """Trials in a row, on average."""
        single, most = self._config.row_single, self._config.row_trials
        return 1.0 if most < 2 else single + (1.0 - single) * (2 + most) / 2

    def epoch(
        self,
        trials: Iterator[Piece],
        rng: np.random.Generator,
        varied: Callable[[int], Piece],
    ) -> Iterator[list[Piece]]:
        """Yield rows until every trial has been in one, each as pieces that follow one another.

        Parameters
        ----------
        trials : iterator of Piece
            Variations of all trials, in the order in which they are dealt.
        rng : numpy.random.Generator
        varied : callable
            Gives a variation of the trial of that number.
        """
        while True:
            n_trials = self._n_trials(rng)
            chosen = [self._weighed(trial) for trial in islice(trials, n_trials)]
            if not chosen:
                return
            yield chosen if n_trials == 1 else self._joined(chosen, rng, varied)

    def _n_trials(self, rng: np.random.Generator) -> int:
        most = self._config.row_trials
        if most < 2 or rng.random() < self._config.row_single:
            return 1
        return int(rng.integers(2, most + 1))

    def _weighed(self, trial: Piece) -> Piece:
        """Let the frames of a gesture count more towards its end."""
        n = len(trial.targets)
        if trial.targets[0] == NULL_CLASS or not self._config.ramp_power:
            return trial
        weights = (np.arange(1, n + 1) / n) ** self._config.ramp_power
        return Piece(trial.x, trial.targets, weights.astype(np.float32), trial.rest, trial.session)

    def _joined(
        self,
        trials: Sequence[Piece],
        rng: np.random.Generator,
        varied: Callable[[int], Piece],
    ) -> list[Piece]:
        row = []
        if rng.random() < LEAD_SHARE:
            row.append(self.null(None, trials[0], self.gap(rng), rng))
        for trial, following in zip(trials, [*trials[1:], None], strict=True):
            row.append(trial)
            if following is None or not self._nulls or rng.random() >= REAL_SHARE:
                row.append(self.null(trial, following, self.gap(rng), rng))
                continue
            real = self._cut(varied(int(rng.choice(self._nulls))), rng)
            row.append(self.null(trial, real, max(1, self.gap(rng) // 4), rng))
            row.append(real)
            row.append(self.null(real, following, max(1, self.gap(rng) // 4), rng))
        return row

    def gap(self, rng: np.random.Generator) -> int:
        """Draw the length of null between two trials, frames."""
        least, most = self._config.row_gap
        return max(1, round(rng.uniform(least, most) * self._median_frames))

    def _cut(self, real: Piece, rng: np.random.Generator) -> Piece:
        n = min(len(real.targets), self.gap(rng))
        first = int(rng.integers(0, len(real.targets) - n + 1))
        part = slice(first, first + n)
        return Piece(real.x[part], real.targets[part], real.weights[part], real.rest, real.session)

    def null(
        self, before: Piece | None, behind: Piece | None, n: int, rng: np.random.Generator
    ) -> Piece:
        """Return `n` frames that lead from one piece to the next; one of them may be missing.

        A sensor of motion comes to rest in the middle (whoever stops between two gestures does not
        go on turning); any other channel is held, brought over, and held again.
        """
        near = before if before is not None else behind
        if near is None:
            raise ValueError("null must lead from or to something")
        x0, rest0 = (near.x[-1], near.rest) if before is not None else (near.x[0], near.rest)
        x1, rest1 = (behind.x[0], behind.rest) if behind is not None else (x0, rest0)
        time = (np.arange(n) + 0.5) / n
        first, last = rng.uniform(0, LARGEST_HOLD, 2)
        over = smooth_step((time - first) / (1.0 - first - last))
        leaving = 1.0 - smooth_step(2 * time) if before is not None else np.zeros(n)
        coming = smooth_step(2 * time - 1.0) if behind is not None else np.zeros(n)
        start, end = np.where(self._moves, (rest0, rest1), (x0, x1))
        ends = np.stack(
            [start, end - start, self._moves * (x0 - rest0), self._moves * (x1 - rest1)]
        )
        shares = np.stack([np.ones(n), over, leaving, coming])
        x = np.einsum("kn,kc->nc", shares, ends).astype(np.float32)  # a BLAS may depend on threads
        x += rng.standard_normal(x.shape, np.float32) * self._noise
        weights = np.full(n, self._config.row_null, np.float32)
        return Piece(x, np.zeros(n, np.int64), weights, near.rest, near.session)


def smooth_step(u: F64) -> F64:
    """Return 0 up to 0, 1 from 1 on, and ``3 u^2 - 2 u^3`` between (Perlin 1985)."""
    inside = np.minimum(np.maximum(u, 0.0), 1.0)
    return inside * inside * (3.0 - 2.0 * inside)
