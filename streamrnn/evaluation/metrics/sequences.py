"""Sequences of gestures: how many events to add, take away or rename until they are the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def edit_distance(true: Sequence[str], found: Sequence[str]) -> int:
    """Return the Levenshtein distance of two sequences of names.

    One row of the table is made from the one above at once: what an insertion adds from the left is
    a running minimum (R. A. Wagner, M. J. Fischer 1974, "The string-to-string correction problem").

    Parameters
    ----------
    true, found : sequence of str
        Class names in order of time.

    Returns
    -------
    int
        Least number of insertions, deletions and substitutions.
    """
    index = {name: k for k, name in enumerate({*true, *found})}
    b = np.array([index[name] for name in found], np.int64)
    steps = np.arange(len(b) + 1)
    row = steps.copy()
    for name in true:
        below = np.empty_like(row)
        below[0] = row[0] + 1
        np.minimum(row[1:] + 1, row[:-1] + (b != index[name]), out=below[1:])
        row = np.minimum.accumulate(below - steps) + steps
    return int(row[-1])
