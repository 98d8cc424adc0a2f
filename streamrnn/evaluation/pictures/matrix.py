"""A confusion matrix: rows are true, columns were found, the null class stands first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamrnn.core.types import I64
from streamrnn.evaluation.pictures import style

#: Beyond so many classes the cells are too small for figures.
MOST_FIGURES = 14


def confusion(
    names: Sequence[str], counts: I64, key: str, *, found: str, true: str, shares: bool
) -> str:
    """Return a confusion matrix as SVG, shaded by the share of each row.

    Parameters
    ----------
    names : sequence of str
        Classes.
    counts : int64 (C, C)
        By true (row) and found class (column).
    key : str
        See `style.to_svg`.
    found, true : str
        What to write below and beside it.
    shares : bool
        Write percentages of the row into the cells, not counts.
    """
    from matplotlib.colors import LinearSegmentedColormap

    n = len(names)
    sums = counts.sum(axis=1, keepdims=True)
    if not shares:  # a few events where there was nothing are few, not all of their row
        sums[0] = max(int(sums[0, 0]), int(np.median(sums)))
    part = np.divide(counts, sums, out=np.zeros(counts.shape), where=sums > 0)
    size = style.HALF
    with style.figure(size, size * 0.86) as (drawn, (ax,)):
        shade = LinearSegmentedColormap.from_list("shade", [style.PAPER, style.SKY, style.BLUE])
        ax.pcolormesh(part, cmap=shade, vmin=0, vmax=1, edgecolors=style.GRID, linewidth=0.6)
        if n <= MOST_FIGURES:
            for i, j in zip(*np.nonzero(counts), strict=True):
                text = f"{100 * part[i, j]:.0f}" if shares else str(counts[i, j])
                if shares and part[i, j] < 0.005:
                    continue
                dark = part[i, j] > 0.6
                ax.text(j + 0.5, i + 0.52, text, ha="center", va="center",
                        fontsize=8 if n <= 10 else 6.8, color=style.PAPER if dark else style.INK,
                        )  # fmt: skip
        ticks = np.arange(n) + 0.5
        shown = [style.name(text) for text in names]
        ax.set_yticks(ticks, shown)
        ax.set_xticks(ticks, shown)
        ax.tick_params(labelsize=8 if n <= MOST_FIGURES else 6)
        if n > 3:
            for label in ax.get_xticklabels():
                label.set(rotation=40, ha="right", rotation_mode="anchor")
        ax.invert_yaxis()
        ax.grid(visible=False)
        for spine in ax.spines.values():
            spine.set_visible(False)
        ax.set_xlabel(found)
        ax.set_ylabel(true)
        return style.to_svg(drawn, key, f"Confusion: {true} against {found}")
