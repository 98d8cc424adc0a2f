"""Streams of a fleet whose model has filters, or another rate than they."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from streamrnn.core.types import F32, F64, I64
from streamrnn.features.conditioner import Conditioner
from streamrnn.kernels.condition import MOST_FRAMES, ManyConditioned


class FleetRates:
    """Turns frames of many streams into the model's, stream by stream, to the conditioner's bits.

    Parameters
    ----------
    conditioner : Conditioner
        What to do. What it carries itself is left alone.
    n_streams, n_classes : int
        N and C.

    Attributes
    ----------
    last : float32 (N, C)
        Probabilities of each stream's newest model frame; zeros before the first.
    """

    def __init__(self, conditioner: Conditioner, n_streams: int, n_classes: int) -> None:
        self._kernel = conditioner.kernel
        self._many = ManyConditioned(conditioner.kernel, n_streams)
        self.last: F32 = np.zeros((n_streams, n_classes), np.float32)

    def rounds(self, x: F32, rows: I64) -> Iterator[tuple[I64, F32]]:
        """Yield the model frames that one frame of each of some streams completes.

        Parameters
        ----------
        x : float32 (n, channels)
            Plausible samples.
        rows : int64 (n,)
            Which streams, each once.

        Yields
        ------
        at : int64 (k,)
            Whose: index among the n. A stream comes once a round, and in the first if at all.
        y : float32 (k, channels)
        """
        y, counts = self._many.push(np.ascontiguousarray(x), np.ascontiguousarray(rows))
        for number in range(MOST_FRAMES):
            at = np.flatnonzero(counts > number)
            if len(at):
                yield at, np.ascontiguousarray(y[at, number])

    def reset(self, rows: I64) -> None:
        """Forget all frames of some streams."""
        self._many.reset(rows)
        self.last[rows] = 0

    def snapshot(self, rows: I64) -> F64:
        """Return all that streams carry, float64 (n, m)."""
        return np.concatenate([self._many.states[rows], self.last[rows]], axis=1)

    def fits(self, carried: F64) -> bool:
        """Return whether `carried` can be what `snapshot` gives."""
        n_state, n_classes = self._kernel.n_state, self.last.shape[1]
        if carried.shape[1] != n_state + n_classes:
            return False
        last = carried[:, n_state:]
        return self._kernel.fits(carried[:, :n_state]) and bool(((last >= 0) & (last <= 1)).all())

    def restore(self, rows: I64, carried: F64) -> None:
        """Let streams go on with what `fits`."""
        n_state = self._kernel.n_state
        self._many.states[rows] = carried[:, :n_state]
        self.last[rows] = carried[:, n_state:]
