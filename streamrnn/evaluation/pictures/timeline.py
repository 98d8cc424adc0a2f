"""A session as a score sheet: one row a class, gestures as boxes, probabilities, events as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streamrnn.core.types import F64, I64
from streamrnn.evaluation.pictures import style
from streamrnn.evaluation.results import SessionResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Gestures side by side in one strip, and strips below each other.
PER_STRIP, MOST_STRIPS = 14, 3
#: Points of one row of a strip, and rows of a strip.
MOST_POINTS, MOST_ROWS = 900, 16


def strips(result: SessionResult) -> list[tuple[int, int]]:
    """Return the stretches of a session to draw, in time order: all, or those with most mistakes.

    Returns
    -------
    list of (int, int)
        Start and end, microseconds.
    """
    span_us = max(1, result.end_us - result.start_us)
    n = max(1, -(-max(len(result.truth), len(result.found)) // PER_STRIP))
    edges = [result.start_us + span_us * k // n for k in range(n + 1)]
    wrong = [result.truth[i].start for i in result.missed]
    hits = {j for _, j in result.pairs}
    wrong += [segment.start for j, segment in enumerate(result.found) if j not in hits]
    counts = np.histogram(np.array(wrong, np.float64), edges)[0] if n > 1 else np.zeros(1)
    worst = sorted(range(n), key=lambda k: (-counts[k], k))[:MOST_STRIPS]
    return [(edges[k], edges[k + 1]) for k in sorted(worst)]


def timeline(result: SessionResult, key: str = "timeline") -> str:
    """Return the picture of one session as SVG.

    Parameters
    ----------
    result : SessionResult
        With its run.
    key : str
        See `style.to_svg`.
    """
    parts = strips(result)
    rows = _rows(result)
    height = 0.55 + len(parts) * (0.42 + 0.23 * max(2, len(rows)))
    with style.figure(style.WIDE, height, [1] * len(parts)) as (drawn, axes):
        for ax, (start, end) in zip(axes, parts, strict=True):
            _strip(ax, result, rows, start, end)
        unit = "frames" if result.nominal else "seconds"
        axes[-1].set_xlabel(f"{unit} from the start of the recording")
        _legend(axes[0])
        return style.to_svg(drawn, key, f"Timeline of {result.name}")


def _rows(result: SessionResult) -> dict[str, int]:
    """Return the row of each class that occurs, the first at the top."""
    used = {s.label for s in (*result.truth, *result.found)} or set(result.labels[1:])
    names = sorted(used)[:MOST_ROWS]
    return {label: len(names) - 1 - k for k, label in enumerate(names)}


def _scaled(result: SessionResult, t_us: I64 | int) -> F64:
    """Return device times as what the axis shows."""
    unit = result.period_us if result.nominal else 1e6
    return np.asarray((np.asarray(t_us, np.float64) - result.start_us) / unit)


def _strip(ax: Axes, result: SessionResult, rows: dict[str, int], start: int, end: int) -> None:
    missed = set(result.missed)
    hits = {j for _, j in result.pairs}
    for i, true in enumerate(result.truth):
        if true.label in rows and true.start < end and start < true.end:
            _box(ax, result, rows[true.label], (true.start, true.end), i in missed)
    _ridges(ax, result, rows, start, end)
    for j, found in enumerate(result.found):
        if found.label in rows and found.start < end and start < max(found.end, found.decided):
            row, colour = rows[found.label], style.BLUE if j in hits else style.RED
            a, b, out = (float(_scaled(result, t)) for t in (found.start, found.end, found.decided))
            ax.plot([a, b], [row, row], color=colour, lw=3.2, solid_capstyle="butt", zorder=4)
            marker = "v" if j in hits else "X"
            ax.plot([out], [row + 0.62], marker=marker, ms=4.6, mew=0, color=colour, zorder=5)
    ax.set_xlim(*(float(_scaled(result, t)) for t in (start, end)))
    ax.set_ylim(-0.25, len(rows) - 0.05)
    names = sorted(rows, key=rows.__getitem__)
    ax.set_yticks(range(len(names)), [style.name(n) for n in names], va="bottom")
    ax.grid(visible=False, axis="x")
    ax.spines["left"].set_visible(False)


def _box(ax: Axes, result: SessionResult, row: int, times: tuple[int, int], missed: bool) -> None:
    from matplotlib.patches import Rectangle

    a, b = (float(_scaled(result, t)) for t in times)
    ax.add_patch(
        Rectangle(
            (a, row), b - a, 0.86, facecolor=style.PAPER if missed else "#e3e7ec",
            edgecolor=style.RED if missed else "#aab4c0", linewidth=0.7,
            hatch="//////" if missed else None, zorder=1,
        )
    )  # fmt: skip


def _ridges(ax: Axes, result: SessionResult, rows: dict[str, int], start: int, end: int) -> None:
    """Draw the probability of each class as a hill on its row."""
    run = result.run
    if run is None:
        return
    first, behind = np.searchsorted(run.t_us, (start, end))
    t_us, p = run.t_us[first:behind], run.probabilities[first:behind]
    every = -(-len(t_us) // MOST_POINTS)
    if not every:
        return
    starts = np.arange(0, len(t_us), every)
    t = _scaled(result, t_us[starts])
    steps_us = np.diff(t_us[starts], prepend=t_us[0])
    broken = steps_us > 4 * np.median(steps_us)
    for label, row in rows.items():
        if label in result.labels:
            column = p[:, result.labels.index(label)].astype(np.float64)
            peaks = np.maximum.reduceat(column, starts)
            shown = (peaks > 0.02) & ~broken
            ax.fill_between(t, row, row + 0.86 * peaks, where=shown, color=style.BLUE,
                            alpha=0.32, linewidth=0, zorder=2)  # fmt: skip


def _legend(ax: Axes) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor="#e3e7ec", edgecolor="#aab4c0", linewidth=0.7, label="gesture"),
        Patch(facecolor=style.PAPER, edgecolor=style.RED, hatch="//////", linewidth=0.7,
              label="gesture, missed"),
        Patch(facecolor=style.BLUE, alpha=0.32, label="probability"),
        Line2D([], [], color=style.BLUE, lw=3.2, label="event, right"),
        Line2D([], [], color=style.RED, lw=3.2, label="event, false"),
        Line2D([], [], color=style.BLUE, marker="v", ms=4.6, lw=0, label="when it was out"),
        Line2D([], [], color=style.RED, marker="X", ms=4.6, mew=0, lw=0, label="when, false"),
    ]  # fmt: skip
    ax.legend(handles=handles, ncols=len(handles), loc="lower right", bbox_to_anchor=(1, 1),
              handlelength=1.6, columnspacing=1.6, borderaxespad=0.2)  # fmt: skip
