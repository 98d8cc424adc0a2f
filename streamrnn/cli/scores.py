"""A report on the terminal: the table of gestures, and a line or two on each other question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from streamrnn.evaluation.events import Score
    from streamrnn.evaluation.report import Report

#: Short, so that a usual table fits 80 columns.
_HEADINGS = ("true", "found", "hit", "miss", "false", "prec.", "recall", "F1")


def print_report(report: Report) -> None:
    """Print a report; no name is cut, and lines of words break where the window ends."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from streamrnn.core.text import printable
    from streamrnn.evaluation.words import lines

    n = report.n_sessions
    title = f"{n} session{'s' * (n != 1)}, {report.n_frames} frames"
    gestures = _table(title, "gesture")
    for label, score in report.by_class.items():
        gestures.add_row(Text(printable(label, 40)), *_cells(score, score.f1))
    gestures.add_row("all (mean F1)", *_cells(report.total, report.macro_f1), style="bold")
    console = Console(highlight=False)
    _print_whole(console, gestures)
    if report.folds:
        console.print()
        folds = _table("each left out in turn (mean F1)", "left out")
        for k, fold in enumerate(report.folds):
            folds.add_row(Text(printable(fold.name, 40)), *_cells(*report.of_fold(k)))
        _print_whole(console, folds)
    words = Table.grid(padding=(0, 2, 0, 0))
    words.add_column(style="dim", no_wrap=True)
    words.add_column(overflow="fold")
    for topic, line in lines(report):
        words.add_row(topic, Text(printable(line, 400)))
    console.print()
    console.print(words)


def _table(title: str, first: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False,
                  padding=(0, 1, 0, 0))  # fmt: skip
    table.add_column(first, no_wrap=True)
    for name in _HEADINGS:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _print_whole(console: Console, table: Table) -> None:
    """Print a table as wide as it must be: a narrow window may break lines, nothing is cut."""
    from rich.console import Console

    width = console.width
    console.width = max(width, Console(width=1000).measure(table).maximum)
    console.print(table)
    console.width = width


def _cells(score: Score, f1: float) -> Sequence[str]:
    counts = (score.n_true, score.n_found, score.n_hit, score.n_missed, score.n_false)
    return [*map(str, counts), *(f"{share:.3f}" for share in (score.precision, score.recall, f1))]
