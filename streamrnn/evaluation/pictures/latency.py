"""Where the time goes from the sensor to the event, as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamrnn.evaluation.pictures import style

#: Shortest time that the axis shows, microseconds.
_LEAST_US = 0.1


def latency_bars(stages: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """Return a bar a stage, from p50 to p99 with a mark at p95, on a logarithmic axis, as SVG.

    Parameters
    ----------
    stages : sequence of (name, figures)
        In the order of the stream; figures as `streamrnn.runtime.latency.StageTimer.summary` has
        them: ``p50_us``, ``p95_us``, ``p99_us``.
    """
    with style.figure(style.WIDE, 0.9 + 0.34 * len(stages)) as (drawn, (ax,)):
        for row, (_, figures) in enumerate(stages):
            p50, p95, p99 = (max(_LEAST_US, figures[f"p{p}_us"]) for p in (50, 95, 99))
            ax.barh(row, p99 - p50, left=p50, height=0.5, color=style.SKY)
            ax.plot([p50, p50], [row - 0.36, row + 0.36], color=style.BLUE, lw=2.4)
            ax.plot([p95, p95], [row - 0.25, row + 0.25], color=style.BLUE, lw=1.2)
            ax.annotate(in_words(figures["p50_us"]), (p50, row), (-6, 0), ha="right", va="center",
                        textcoords="offset points", fontsize=8, color=style.SOFT)  # fmt: skip
            ax.annotate(in_words(figures["p99_us"]), (p99, row), (6, 0), ha="left", va="center",
                        textcoords="offset points", fontsize=8, color=style.SOFT)  # fmt: skip
        ax.set_xscale("log")
        low, high = ax.get_xlim()
        ax.set_xlim(low / 6, high * 6)  # room for the words
        ax.set_yticks(range(len(stages)), [style.name(name) for name, _ in stages])
        ax.set_ylim(len(stages) - 0.4, -0.6)
        ax.set_xlabel("microseconds: median (thick), 95 % (thin) and 99 % (end of the bar)")
        ax.grid(visible=False, axis="y")
        return style.to_svg(drawn, "latency", "Time that each stage takes")


def in_words(us: float) -> str:
    """Return a duration in microseconds with the unit that suits it: ``850 ns``, ``1.2 ms``."""
    if us < 1.0:
        return f"{us * 1000:.0f} ns"
    if us < 1000.0:
        return f"{us:.3g} us"
    return f"{us / 1000:.3g} ms" if us < 1e6 else f"{us / 1e6:.3g} s"
