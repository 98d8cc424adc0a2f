"""``streamrnn inspect``: what is wrong with recordings, before a model learns it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from streamrnn.evaluation.inspect import Inspection
    from streamrnn.evaluation.inspection.finding import Finding, Place

#: Places that are printed of one finding; --json has more.
_SHOWN = 3
#: People that are printed.
_MOST_PEOPLE = 30
_COLORS = {"error": "red", "warning": "yellow", "note": "cyan"}


@click.command("inspect")
@click.argument("sessions", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--test", "tests", multiple=True, type=click.Path(path_type=Path), metavar="SESSIONS",
    help="File or folder that is kept for testing; repeatable.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--strict", is_flag=True, help="Exit with code 1 if there are errors.")
def command(
    sessions: tuple[Path, ...], tests: tuple[Path, ...], as_json: bool, strict: bool
) -> None:
    """Say what is wrong with SESSIONS (files, or folders of them), and what to do about it.

    An error makes training impossible or scores untrue, a warning makes the model worse than it
    could be, a note is good to know. With --test also what training and test recordings share.
    """
    from collections import Counter

    from streamrnn.cli.files import find_sessions
    from streamrnn.core.text import printable
    from streamrnn.evaluation.inspect import Inspector
    from streamrnn.sessions.reader import read_session

    chosen = [(path, False) for path in find_sessions(sessions)]
    chosen += [(path, True) for path in find_sessions(tests)]
    times = Counter(path.name for path, _ in chosen)
    inspector = Inspector()
    for path, is_test in chosen:
        name = printable(path.name if times[path.name] == 1 else str(path), 400)
        inspector.add(name, read_session(path), is_test=is_test)
    inspection = inspector.finish()
    if as_json:
        click.echo(json.dumps(inspection.to_dict(), indent=2, allow_nan=False))
    else:
        _print(inspection)
    if strict and inspection.count("error"):
        raise click.exceptions.Exit(1)


def _print(inspection: Inspection) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    width = min(max(console.width, 60), 100)
    _say(_headline(inspection), width)
    click.echo()
    _print_classes(console, inspection)
    if len(inspection.subjects) > 1:
        click.echo()
        _print_subjects(console, inspection)
    for found in inspection.findings:
        click.echo()
        _say(f"{found.severity}: {found.what}", width, color=_COLORS[found.severity])
        where = _where(found)
        if where:
            _say(f"at {where}", width, indent=4)
        _say(found.means, width, indent=4)
        _say(f"-> {found.todo}", width, indent=4, color="green")
    click.echo()
    counts = [
        f"{n} {severity}{'s' * (n != 1)}"
        for severity in _COLORS
        if (n := inspection.count(severity))
    ]
    click.echo(", ".join(counts) or "nothing found")


def _say(text: str, width: int, *, indent: int = 0, color: str | None = None) -> None:
    """Print text from the recordings, made safe, in lines of at most `width` characters."""
    import textwrap

    from streamrnn.core.text import printable

    blank = " " * indent
    safe = printable(text, 1000)
    lines = textwrap.wrap(
        safe, width, initial_indent=blank, subsequent_indent=blank or "  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    click.secho("\n".join(lines), fg=color)


def _headline(inspection: Inspection) -> str:
    rates = ", ".join(f"{rate:g} Hz" if rate else "an unknown rate" for rate in inspection.rates_hz)
    minutes = inspection.duration_s / 60
    people = f", {inspection.n_subjects} people" if inspection.n_subjects > 1 else ""
    tests = f" ({inspection.n_test} for testing)" if inspection.n_test else ""
    names = inspection.channels
    channels = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return (
        f"{inspection.n_sessions} recording{'s' * (inspection.n_sessions != 1)}{tests}{people}, "
        f"{inspection.n_frames} frames, "
        f"{minutes:.1f} min at {rates}; {len(names)} channels: {channels}"
    )


def _print_classes(console: Console, inspection: Inspection) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from streamrnn.core.text import printable

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("gesture", no_wrap=True)
    headings = ["count", "seconds", "median s", "people" if inspection.n_subjects else "recordings"]
    headings += ["in test"] if inspection.n_test else []
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in inspection.classes:
        is_null = row is inspection.classes[-1]
        name = "(no gesture)" if is_null else printable(row.name, 40)
        cells = ["" if is_null else str(row.n_gestures), f"{row.seconds:.1f}"]
        cells += ["" if is_null else f"{row.median_s:.2f}", str(row.n_subjects)]
        cells += ["" if is_null else str(row.n_test)] if inspection.n_test else []
        table.add_row(Text(name), *cells)
    console.width = max(console.width, 60)
    console.print(table)


def _print_subjects(console: Console, inspection: Inspection) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from streamrnn.core.text import printable

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("person", no_wrap=True)
    for heading in ("recordings", "gestures", "seconds", "without"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("least done", no_wrap=True)
    for row in inspection.subjects[:_MOST_PEOPLE]:
        cells = [str(row.n_sessions), str(row.n_gestures)]
        cells += [f"{row.gesture_s:.1f}", f"{row.null_s:.1f}"]
        least = Text(f"{row.n_rarest} {printable(row.rarest, 40)}" if row.rarest else "")
        table.add_row(Text(printable(row.name, 30) or "(nobody said)"), *cells, least)
    console.print(table)
    if len(inspection.subjects) > _MOST_PEOPLE:
        click.echo(f"and {len(inspection.subjects) - _MOST_PEOPLE} more")


def _where(found: Finding) -> str:
    shown = [_place(place) for place in found.places[:_SHOWN] if place.session]
    more = found.n_places - len(shown)
    return ", ".join(shown) + (f" and {more} more" if shown and more else "")


def _place(place: Place) -> str:
    parts = [place.session]
    if place.channel:
        parts.append(place.channel)
    if place.t_s is not None:
        parts.append(f"{place.t_s:.2f} s")
    return " ".join(parts)
