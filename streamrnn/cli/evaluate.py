"""``streamrnn evaluate``: a model against the labels of recorded sessions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamrnn.core.errors import ConfigError, SessionError

if TYPE_CHECKING:
    from streamrnn.core.records import Record
    from streamrnn.evaluation.events import Score
    from streamrnn.evaluation.report import Report
    from streamrnn.runtime.bundle import Bundle
    from streamrnn.sessions.session import Session

#: Short, so that a usual table fits 80 columns.
_HEADINGS = ("gesture", "true", "found", "hit", "miss", "false", "prec.", "recall", "F1")


@click.command(short_help="Score a model on recorded sessions, offline.")
@click.argument("model", type=click.Path())
@click.argument("sessions", nargs=-1, required=True, type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--events", type=click.Path(), metavar="FILE", help="Write the records, JSON lines.")
@click.option("--overwrite", is_flag=True, help="Replace the file of --events.")
@click.option(
    "--min-iou", type=click.FloatRange(0, 1),
    help="Least overlap of a hit (intersection over union); 0 asks for any.",
)  # fmt: skip
@click.option("--config", type=click.Path(), help="TOML file; [decision] overrides the model's.")
@click.option(
    "--backend", default="cpu", show_default=True,
    help="cpu, cuda (a GPU), numpy, or auto: cuda where it works, else cpu.",
)  # fmt: skip
@click.option(
    "--precision", type=click.Choice(["exact", "bf16"]), default="exact", show_default=True,
    help="How weights are held: as trained, or rounded to half the memory.",
)  # fmt: skip
def command(
    *,
    model: str,
    sessions: tuple[str, ...],
    as_json: bool,
    events: str | None,
    overwrite: bool,
    min_iou: float | None,
    config: str | None,
    backend: str,
    precision: str,
) -> None:
    """Run MODEL over SESSIONS (files, or folders of them) and compare with their labels.

    The frames go through the same pipeline as in a live run. Each event is matched with at most one
    true gesture of its class that it overlaps.
    """
    from streamrnn.cli.files import read_named
    from streamrnn.cli.live import chosen_backend, load_model, ready_backend, say
    from streamrnn.core.records import to_json_line
    from streamrnn.evaluation.events import Rule
    from streamrnn.evaluation.report import Report, evaluate
    from streamrnn.kernels.backend import get_backend
    from streamrnn.sessions.reader import session_paths

    paths = session_paths(sessions)
    if events is not None:
        _check_output(Path(events), [model, *paths, *([config] if config else [])], overwrite)
    bundle = load_model(model, config, precision)
    params = bundle.params
    backend = chosen_backend(backend, params.hidden_sizes, str(params.dtype))
    get_backend(backend)  # a wrong name, or no such device, is said before anything is read
    recorded, names = read_named(paths)
    _check_fit(bundle, recorded, names)
    lines: list[str] = []

    def keep(n: int, records: list[Record]) -> None:
        stream = recorded[n].info.name
        lines.extend(to_json_line(r, stream=stream, model=bundle.model_hash) for r in records)

    ready = ready_backend(bundle, backend)
    rule = Rule() if min_iou is None else Rule("overlap", min_iou)
    empty = Report(bundle.labels[1:], rule, model=bundle.model_hash)
    report = evaluate(bundle, recorded, ready, report=empty, names=names, on_records=keep)
    if events is not None:
        _write(Path(events), lines)
    if not report.total.n_true:
        say("the sessions have no labels: every event counts as false")
    if report.unknown_labels:
        say(f"the model was never taught {', '.join(report.unknown_labels)}: counted as missed")
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2, allow_nan=False))
    else:
        _print_table(report)


def _check_output(path: Path, inputs: Sequence[Path | str], overwrite: bool) -> None:
    from streamrnn.cli.files import refuse_inputs, refuse_recordings

    refuse_inputs(path, inputs)
    refuse_recordings(path, "events")
    if path.is_file() and not overwrite:
        raise ConfigError(f"{path} exists already: choose another name, or --overwrite")


def _check_fit(bundle: Bundle, sessions: Sequence[Session], names: Sequence[str]) -> None:
    for session, name in zip(sessions, names, strict=True):
        try:
            bundle.check_stream(session.info)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from None


def _write(path: Path, lines: list[str]) -> None:
    try:
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise SessionError(f"cannot write {path}: {error.strerror}") from error


def _print_table(report: Report) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from streamrnn.core.text import printable

    title = f"{report.n_sessions} sessions, {report.n_frames} frames"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False,
                  padding=(0, 1, 0, 0))  # fmt: skip
    for n, name in enumerate(_HEADINGS):
        table.add_column(name, justify="left" if n == 0 else "right", no_wrap=True)
    for label, score in report.by_class.items():
        table.add_row(Text(printable(label, 40)), *_cells(score, score.f1))
    table.add_row("all (mean F1)", *_cells(report.total, report.macro_f1), style="bold")
    console = Console()
    # As wide as it must be: a narrow window may break lines, but nothing is cut.
    console.width = max(console.width, Console(width=1000).measure(table).maximum)
    console.print(table)
    for line in summary(report):
        console.print(Text(printable(line, 400)))


def _cells(score: Score, f1: float) -> list[str]:
    counts = (score.n_true, score.n_found, score.n_hit, score.n_missed, score.n_false)
    return [*map(str, counts), *(f"{share:.3f}" for share in (score.precision, score.recall, f1))]


def summary(report: Report) -> list[str]:
    """Return the lines below the table: delay, gaps, confusions."""
    document = report.to_dict()
    delay, unit = document["delay_ms"], "ms"
    if report.nominal:
        delay, unit = document["delay_frames"], "frames (the rate is nominal)"
    lines = []
    if delay is not None:
        lines.append(
            f"delay from onset to event: p50 {delay['p50']:.0f}, p95 {delay['p95']:.0f} {unit}"
        )
    if report.n_gaps:
        lines.append(f"gaps: {report.n_gaps}")
    for (true, found), n in report.confusions.most_common(5):
        lines.append(f"taken for another: {true} for {found}, {n} times")
    return lines
