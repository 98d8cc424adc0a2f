"""Who is in a fleet: ids that are never given twice, and places that are."""

from __future__ import annotations

import operator

import numpy as np

from streamrnn.core.types import I64
from streamrnn.kernels.arguments import as_argument
from streamrnn.kernels.streams import repeated


class Places:
    """N places for streams.

    An id is a place, plus N for every stream that has left it.

    Parameters
    ----------
    n_places : int
        N.

    Attributes
    ----------
    n_free : int
        Places that nobody has.
    ids : int64 (N,)
        Of the stream at each place, or of the next one there.
    """

    def __init__(self, n_places: int) -> None:
        self.n_free = n_places
        self.ids: I64 = np.arange(n_places, dtype=np.int64)
        self._is_taken = np.zeros(n_places, np.bool_)
        self._free: I64 = self.ids[::-1].copy()
        self._taken: I64 | None = None
        self._marks: I64 = np.empty(n_places, np.int64)

    @property
    def taken(self) -> I64:
        """The places that somebody has, ascending, int64."""
        if self._taken is None:
            self._taken = np.flatnonzero(self._is_taken).astype(np.int64)
        return self._taken

    def take(self, n: int) -> I64:
        """Give `n` places to somebody, and return them.

        Raises
        ------
        ValueError
            There are not as many.
        TypeError
            `n` is no whole number.
        """
        n = operator.index(n)  # half a stream would take a part of the count
        if not 0 <= n <= self.n_free:
            raise ValueError(
                f"{n} streams cannot join: {self.n_free} of the fleet's {len(self.ids)} places are"
                " free; let others leave, or make it larger"
            )
        self.n_free -= n
        rows = self._free[self.n_free : self.n_free + n][::-1].copy()
        self._is_taken[rows] = True
        self._taken = None
        return rows

    def give_back(self, rows: I64) -> None:
        """Let others have places that were taken."""
        self._is_taken[rows] = False
        self._taken = None
        self.ids[rows] += len(self.ids)
        self._free[self.n_free : self.n_free + len(rows)] = rows[::-1]
        self.n_free += len(rows)

    def of(self, ids: I64) -> I64:
        """Return the places of streams, int64 (n,).

        Raises
        ------
        ValueError
            Not int64 (n,), a stream that is not there, or one that is named twice.
        """
        if not np.size(ids):  # an empty list has no dtype of its own
            return np.empty(0, np.int64)
        ids = as_argument("ids", ids, np.int64, (None,))
        rows = ids % len(self.ids)
        is_there = self._is_taken[rows] & (self.ids[rows] == ids)
        if not is_there.all():
            raise ValueError(f"no stream {ids[~is_there][0]} is in the fleet")
        twice = repeated(rows, self._marks)
        if twice is not None:
            raise ValueError(f"stream {self.ids[twice]} is named more than once")
        return rows
