"""The arrivals of a stream of any length, in bounded memory."""

from __future__ import annotations

import numpy as np

from streamrnn.core.types import F64, I64

#: Columns of a row: arrivals and frames that it stands for; means over these frames; and of the
#: least late of these arrivals, the last frame's number, its device time, when it came, and the
#: first frame's number (device time, if it is lateness by that).
N_ARRIVALS, N_FRAMES, MEAN_SEQ, MEAN_US, SEQ, T_US, HOST_NS, FIRST = range(8)


class Thinned:
    """Keeps a few hundred rows of however many arrivals.

    A row stands for neighbouring arrivals: for their frames' mean, and for the one that was the
    least late. When all places are taken each two neighbours become one, and rows stand for twice
    as many from then on. So adding costs O(1) an arrival, amortised.

    Parameters
    ----------
    by_clock : bool
        Lateness is measured by the device's clock; if not, by the frames' numbers.

    Attributes
    ----------
    slope : float
        How many nanoseconds pass from one microsecond, or one frame, to the next; tells which
        arrival is the least late.
    """

    #: Rows that are kept.
    N_MOST = 512

    def __init__(self, by_clock: bool, slope: float) -> None:
        self.slope = slope
        self._x = T_US if by_clock else SEQ
        self._per_row = 1
        self._n = 0
        self._rows = np.zeros((self.N_MOST, FIRST + 1))
        self._groups = np.zeros(self.N_MOST, np.int64)

    def table(self) -> tuple[F64, I64]:
        """Return the rows (N, 8), oldest first, and the group that each belongs to (N,)."""
        return self._rows[: self._n], self._groups[: self._n]

    def add(self, rows: F64, group: int) -> None:
        """Add arrivals, in order.

        Parameters
        ----------
        rows : float64 (N, 8)
            One an arrival.
        group : int
            Never decreasing: rows of different groups never become one.
        """
        while len(rows):
            # The last row may stand for fewer arrivals than it could.
            n_extra = 0
            if self._n and self._groups[self._n - 1] == group:
                n_in_last = int(self._rows[self._n - 1, N_ARRIVALS])
                if n_in_last < self._per_row:
                    self._n -= 1
                    n_extra = n_in_last - 1
                    rows = np.concatenate([self._rows[self._n : self._n + 1], rows])
            room = (self.N_MOST - self._n) * self._per_row - n_extra
            taken, rows = rows[:room], rows[room:]
            n_before = np.cumsum(taken[:, N_ARRIVALS]) - taken[:, N_ARRIVALS]
            made = self._merged(taken, n_before.astype(np.int64) // self._per_row)
            self._rows[self._n : self._n + len(made)] = made
            self._groups[self._n : self._n + len(made)] = group
            self._n += len(made)
            if self._n == self.N_MOST:
                self._halve()

    def _halve(self) -> None:
        """Make one row of each two of a group; where that gains little, the oldest rows go."""
        starts = np.flatnonzero(np.diff(self._groups, prepend=self._groups[0] - 1))
        place = np.arange(self._n) - np.repeat(starts, np.diff(starts, append=self._n))
        leads = place % 2 == 0
        rows, groups = self._merged(self._rows, np.cumsum(leads) - 1), self._groups[leads]
        if len(rows) > self.N_MOST * 3 // 4:
            rows, groups = rows[-self.N_MOST // 2 :], groups[-self.N_MOST // 2 :]
        else:
            self._per_row *= 2
        self._n = len(rows)
        self._rows[: self._n] = rows
        self._groups[: self._n] = groups

    def _merged(self, rows: F64, at: I64) -> F64:
        """Return one row for each value of `at`, which counts up from 0."""
        if len(rows) == at[-1] + 1:
            return rows
        starts = np.flatnonzero(np.diff(at, prepend=-1))
        late_ns = rows[:, HOST_NS] - self.slope * rows[:, self._x]
        made = rows[np.lexsort((late_ns, at))[starts]]  # the least late of each
        made[:, N_ARRIVALS] = np.add.reduceat(rows[:, N_ARRIVALS], starts)
        made[:, N_FRAMES] = np.add.reduceat(rows[:, N_FRAMES], starts)
        for column in (MEAN_SEQ, MEAN_US):
            sums = np.add.reduceat(rows[:, column] * rows[:, N_FRAMES], starts)
            made[:, column] = sums / made[:, N_FRAMES]
        return made
