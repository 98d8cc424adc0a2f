"""``streamrnn run --latency``: where the time goes, live and as a picture at the end."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamrnn.core.errors import ConfigError, SessionError
from streamrnn.evaluation.pictures.latency import in_words, latency_bars
from streamrnn.evaluation.pictures.style import require_matplotlib
from streamrnn.runtime.latency import StageTimer

#: Every stage that there can be, in the order of the stream, and what it is.
STAGES = {
    "device": "the oldest frame of a packet waits for the newest",
    "link": "from the newest frame's own time to the read that brought it, by both clocks",
    "decode": "bytes to frames",
    "queue": "frames wait for a busy loop",
    "filter": "filters and resampling",
    "features": "the vector that the network eats",
    "cell": "the network",
    "decision": "smoothing, thresholds, times",
    "sink": "an event is written",
    "arrival to result": "from the read to everything written",
}
REFRESH_HZ = 4
_WIDTH = 44
#: Columns that the words take, and those behind a bar for the last word of the ruler.
_WORDS = 66
_MARKS = {"p50": "┃", "p95": "│", "p99": "╴"}


def measured(timer: StageTimer) -> list[tuple[str, dict[str, float]]]:
    """Return the stages that were seen, in the order of `STAGES`, with their figures."""
    summary = timer.summary()
    return [(stage, summary[stage]) for stage in STAGES if stage in summary]


def latency_table(timer: StageTimer, width: int = _WIDTH) -> Table:
    """Return figures and bars of all stages seen so far.

    Parameters
    ----------
    timer : StageTimer
    width : int
        Characters of a bar; 0 for none.
    """
    stages = measured(timer)
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("stage", no_wrap=True)
    for name in ("p50", "p95", "p99", "most"):
        table.add_column(name, justify="right", no_wrap=True)
    scale = _scale(stages)
    if width > 0:
        table.add_column(_ruler(scale, width), no_wrap=True)
    for stage, figures in stages:
        words = (in_words(figures[key]) for key in ("p50_us", "p95_us", "p99_us", "max_us"))
        bar = [Text(_bar(figures, scale, width), style="cyan")] if width > 0 else []
        table.add_row(stage, *words, *bar)
    return table


def _scale(stages: list[tuple[str, dict[str, float]]]) -> tuple[int, int]:
    """Return the powers of ten between which all figures lie, in microseconds."""
    low = min((f["p50_us"] for _, f in stages), default=1.0)
    high = max((f["p99_us"] for _, f in stages), default=1.0)
    first = math.floor(math.log10(max(low, 0.01)))
    return first, max(first + 1, math.ceil(math.log10(max(high, 0.01))))


def _place(us: float, scale: tuple[int, int], width: int) -> int:
    share = (math.log10(max(us, 0.01)) - scale[0]) / (scale[1] - scale[0])
    return min(width - 1, max(0, round(share * (width - 1))))


def _bar(figures: Mapping[str, float], scale: tuple[int, int], width: int) -> str:
    first, middle, last = (_place(figures[f"{p}_us"], scale, width) for p in _MARKS)
    line = [" "] * width
    line[first : last + 1] = "─" * (last + 1 - first)
    line[last], line[middle] = _MARKS["p99"], _MARKS["p95"]
    line[first] = _MARKS["p50"]
    return "".join(line).rstrip()


def _ruler(scale: tuple[int, int], width: int) -> str:
    """Return the powers of ten where they stand above the bars."""
    line = [" "] * (width + 8)
    behind = 0
    for power in range(scale[0], scale[1] + 1):
        at = _place(10.0**power, scale, width)
        text = in_words(10.0**power)
        if at >= behind:
            line[at : at + len(text)] = text
            behind = at + len(text) + 1
    return "".join(line).rstrip()


@contextmanager
def watch_latency(
    timer: StageTimer, console: Console | None = None, *, live: bool
) -> Iterator[None]:
    """Draw the table on stderr while the run lasts, and once at its end.

    Parameters
    ----------
    timer : StageTimer
    console : Console, optional
        On stderr.
    live : bool
        Redraw it during the run (needs a terminal that nothing else draws on).
    """
    console = console or Console(stderr=True)

    def picture() -> Table:
        # What the words leave of the terminal.
        return latency_table(timer, min(_WIDTH, console.width - _WORDS))

    if live and console.is_terminal:
        with Live(
            console=console,
            get_renderable=picture,
            refresh_per_second=REFRESH_HZ,
            redirect_stdout=False,
            redirect_stderr=True,
        ):
            yield
        return
    yield
    console.print(picture())


def check_picture(path: str | None) -> None:
    """Raise `ConfigError` or `StreamRNNError` if no picture can be drawn there."""
    if path is None:
        return
    if not path.lower().endswith(".svg"):
        raise ConfigError(
            f"--latency-picture writes SVG: name a file that ends in .svg, got {path}"
        )
    if not Path(path).parent.is_dir():
        raise ConfigError(f"no such folder: {Path(path).parent} (for {Path(path).name})")
    require_matplotlib()


def write_picture(path: str, timer: StageTimer) -> None:
    """Write the picture of the whole run as SVG, or raise `SessionError`."""
    svg = latency_bars(measured(timer))
    document = svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    fresh = f"{path}.{os.getpid()}.part"
    try:
        Path(fresh).write_text(document, encoding="utf-8")
        os.replace(fresh, path)
    except OSError as error:
        Path(fresh).unlink(missing_ok=True)
        raise SessionError(f"cannot write {path}: {error.strerror or error}") from error
