"""Curves: delay, score against delay, misses against false activations, learning, calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamrnn.evaluation.metrics.frames import Reliability
from streamrnn.evaluation.metrics.timing import AtDeadline
from streamrnn.evaluation.pictures import style

_HEIGHT = 3.0


def delay_histogram(delays: Sequence[float], unit: str) -> str:
    """Return how often each delay occurred, with median and 95th percentile, as SVG.

    Parameters
    ----------
    delays : sequence of float
        At least one.
    unit : str
        ``ms`` or ``frames``.
    """
    with style.figure(style.HALF, _HEIGHT) as (drawn, (ax,)):
        ax.hist(delays, bins=min(30, max(5, round(len(delays) ** 0.5 * 2))), color=style.BLUE,
                alpha=0.75, edgecolor=style.PAPER, linewidth=0.6)  # fmt: skip
        top = ax.get_ylim()[1]
        ax.set_ylim(0, top * 1.16)
        p50, p95 = (float(np.percentile(delays, share)) for share in (50, 95))
        left, right = ax.get_xlim()
        near = p95 - p50 < 0.25 * (right - left)
        for value, words, line, height in (
            (p50, "median", "-", 1.1), (p95, "95 %", "--", 1.01 if near else 1.1)
        ):  # fmt: skip
            ax.plot([value, value], [0, height * top], color=style.INK, lw=1.1, ls=line)
            ax.annotate(f"{words} {value:.0f}", (value, height * top), (3, 0), fontsize=8,
                        textcoords="offset points", va="top")  # fmt: skip
        ax.set_xlabel(f"{unit} from the onset of the gesture until the event")
        ax.set_ylabel("events")
        ax.grid(visible=False, axis="x")
        return style.to_svg(drawn, "delays", "Histogram of the delays")


def score_against_delay(points: Sequence[AtDeadline], unit: str) -> str:
    """Return F1 and recall against the deadline as SVG; `points` as `delay_curve` gives them."""
    with style.figure(style.HALF, _HEIGHT) as (drawn, (ax,)):
        x = [point.deadline for point in points]
        for values, colour, line, label in (
            ([p.macro_f1 for p in points], style.BLUE, "-", "mean F1 of the classes"),
            ([p.recall for p in points], style.GREEN, "--", "recall"),
        ):
            ax.plot(x, values, color=colour, ls=line, label=label)
        ax.set_ylim(0, 1.03)
        ax.set_xlim(0, max(x) if max(x) > 0 else 1)
        ax.set_xlabel(f"deadline: {unit} after the onset of the gesture")
        ax.legend(loc="lower right")
        return style.to_svg(drawn, "deadline", "Score against the deadline")


def det(points: Sequence[tuple[float, float]], here: tuple[float, float], unit: str) -> str:
    """Return misses against false activations over a sweep of thresholds, as SVG.

    Parameters
    ----------
    points : sequence of (float, float)
        False activations (per `unit`) and share of the gestures missed, 0..1.
    here : (float, float)
        The same of the decision as it is.
    unit : str
        ``an hour`` or ``per 1,000 frames``.
    """
    with style.figure(style.HALF, _HEIGHT) as (drawn, (ax,)):
        positive = [x for x, _ in (*points, here) if x > 0]
        least = min(positive, default=1.0)
        most = max(positive, default=1.0)
        ax.set_xscale("symlog", linthresh=least, linscale=0.4)
        ax.set_xticks(*_log_ticks(least, most))
        ax.minorticks_off()
        ax.scatter([x for x, _ in points], [100 * y for _, y in points], 8, color=style.SKY,
                   linewidths=0)  # fmt: skip
        best = _best(points)
        ax.step([x for x, _ in best], [100 * y for _, y in best], where="post", color=style.BLUE,
                label="best threshold")  # fmt: skip
        ax.plot([here[0]], [100 * here[1]], marker="D", ms=5, color=style.RED, lw=0,
                clip_on=False, zorder=4, label="this model's decision")  # fmt: skip
        ax.set_xlim(left=0 if min((x for x, _ in (*points, here))) <= 0 else None)
        ax.set_ylim(0, max(5.0, *(104 * y for _, y in (*points, here))))
        ax.set_xlabel(f"false activations {unit}")
        ax.set_ylabel("gestures missed, %")
        ax.legend(loc="upper right")
        return style.to_svg(drawn, "det", "Misses against false activations")


def _best(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the fewest misses that can be had for so many false activations or fewer."""
    best: list[tuple[float, float]] = []
    for x, y in sorted(points):
        if not best or y < best[-1][1]:
            best.append((x, y))
    return [*best, (max(x for x, _ in points), best[-1][1])]


def _log_ticks(least: float, most: float) -> tuple[list[float], list[str]]:
    """Return 0, round numbers from about `least` to `most`, and how to write them."""
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    steps = (1, 2, 5) if last - first <= 2 else (1,)
    ticks = [k * 10.0**power for power in range(first, last + 1) for k in steps]
    ticks = [tick for tick in ticks if 0.99 * least <= tick <= 1.01 * most]
    ticks = [0.0, *(ticks if len(ticks) > 1 else sorted({least, most}))]
    return ticks, [f"{tick:.3g}" for tick in ticks]


def learning(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return loss and held-out F1 against the epoch as SVG.

    Parameters
    ----------
    curves : mapping of str to sequence of mapping
        By fold (``""`` for a single one): ``epoch``, ``loss`` and, if known, ``held_out_f1``.
    """
    scored = any(p.get("held_out_f1") is not None for curve in curves.values() for p in curve)
    with style.figure(style.HALF, _HEIGHT, (1, 1) if scored else (1,), sharex=True) as (
        drawn,
        axes,
    ):
        for curve in curves.values():
            alpha = 1.0 if len(curves) == 1 else 0.6
            epochs = [p["epoch"] for p in curve]
            axes[0].plot(epochs, [p["loss"] for p in curve], color=style.BLUE, alpha=alpha)
            known = [p for p in curve if p.get("held_out_f1") is not None]
            if scored and known:
                axes[1].plot([p["epoch"] for p in known], [p["held_out_f1"] for p in known],
                             color=style.GREEN, alpha=alpha)  # fmt: skip
        axes[0].set_ylabel("loss")
        axes[0].set_ylim(bottom=0)
        if scored:
            axes[1].set_ylabel("held-out F1")
            axes[1].set_ylim(0, 1.03)
        axes[-1].set_xlabel("epoch")
        return style.to_svg(drawn, "learning", "Learning curve")


def reliability(frames: Reliability, events: Reliability) -> str:
    """Return how often things were right against how sure the model was, as SVG."""
    from matplotlib.collections import PathCollection

    with style.figure(style.HALF, _HEIGHT) as (drawn, (ax,)):
        ax.plot([0, 1], [0, 1], color="#c3cad3", lw=1, zorder=1)
        for bins, colour, marker, what in (
            (frames, style.BLUE, "o", "frames"),
            (events, style.RED, "D", "events"),
        ):
            if bins.error is not None:
                some = bins.n > 0
                said, right = bins.said[some] / bins.n[some], bins.right[some] / bins.n[some]
                area = 6 + 60 * np.sqrt(bins.n[some] / bins.n.max())
                ax.plot(said, right, color=colour, lw=0.9, alpha=0.6)
                ax.scatter(said, right, area, color=colour, marker=marker, linewidths=0, zorder=3,
                           label=f"{what}: error {bins.error:.3f}")  # fmt: skip
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1.03)
        ax.set_xlabel("how sure the model was")
        ax.set_ylabel("share that was right")
        legend = ax.legend(loc="lower right")
        for handle in legend.legend_handles:
            if isinstance(handle, PathCollection):
                handle.set_sizes([24])
        return style.to_svg(drawn, "reliability", "Calibration of the probabilities")
