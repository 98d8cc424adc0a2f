"""``streamrnn evaluate``: a model, or the recipe of training, against the labels of sessions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamrnn.cli.explain import explain_option
from streamrnn.core.errors import ConfigError, SessionError

if TYPE_CHECKING:
    from streamrnn.core.records import Record
    from streamrnn.decision.explain import Explanation
    from streamrnn.evaluation.events import Rule
    from streamrnn.evaluation.leave_out import LeftOut
    from streamrnn.evaluation.report import Report
    from streamrnn.kernels.backend import Backend
    from streamrnn.runtime.bundle import Bundle
    from streamrnn.sessions.session import Session


@click.command(short_help="Score a model on recorded sessions, offline.")
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="[MODEL] SESSIONS...")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--html", type=click.Path(), metavar="FILE", help="Write a page with pictures.")
@click.option("--timeline", multiple=True, metavar="NAME",
              help="Session drawn in --html; repeatable. Default: the one with most mistakes.",
              )  # fmt: skip
@click.option("--events", type=click.Path(), metavar="FILE", help="Write the records, JSON lines.")
@click.option(
    "--overwrite", is_flag=True, help="Replace the files of --events, --html and --explain."
)
@click.option(
    "--min-iou", type=click.FloatRange(0, 1),
    help="A hit is an overlap of at least this (intersection over union); 0: any overlap.",
)  # fmt: skip
@click.option(
    "--onset-tolerance", type=click.FloatRange(min=0), metavar="MS",
    help="A hit is an onset within so many ms of the true one. Default: any overlap, or 200.",
)  # fmt: skip
@click.option(
    "--max-false-per-hour", "claim", type=click.FloatRange(min=0, min_open=True), default=0.5,
    show_default=True, help="Claim that is weighed against the data.",
)  # fmt: skip
@click.option(
    "--leave-one-out", type=click.Choice(["subject", "session"]),
    help="No MODEL: leave each out in turn, train on the others, score it.",
)  # fmt: skip
@click.option("--config", type=click.Path(),
              help="TOML file; [decision] overrides the model's. Leaving one out: as for train.",
              )  # fmt: skip
@click.option("--seed", type=int, help="Leaving one out: start of all random numbers.")
@click.option(
    "--backend", default="cpu", show_default=True,
    help="cpu, cuda (a GPU), numpy, or auto: cuda where it works, else cpu.",
)  # fmt: skip
@click.option(
    "--precision", type=click.Choice(["exact", "bf16"]), default="exact", show_default=True,
    help="How weights are held: as trained, or rounded to half the memory.",
)  # fmt: skip
@explain_option
def command(**options: Any) -> None:
    """Run MODEL over SESSIONS (files, or folders of them) and compare with their labels.

    The frames go through the same pipeline as in a live run. Each event is matched with at most one
    true gesture of its class. With --leave-one-out all arguments are sessions: models are trained
    as `train` does, each without one person or session, and asked about that one.
    """
    asked = _Asked(**options)
    asked.check()
    job = _leave_one_out(asked) if asked.leave_one_out else _one_model(asked)
    for path, text in job.written(asked):
        _write(path, text)
    report = job.report
    from streamrnn.cli.live import say

    if not report.total.n_true:
        say("the sessions have no labels: every event counts as false")
    if report.unknown_labels:
        say(f"the model was never taught {', '.join(report.unknown_labels)}: counted as missed")
    if asked.as_json:
        click.echo(json.dumps(report.to_dict(), indent=2, allow_nan=False))
    else:
        from streamrnn.cli.scores import print_report

        print_report(report)


@dataclass(frozen=True)
class _Asked:
    """The command's options."""

    files: tuple[str, ...]
    as_json: bool
    html: str | None
    timeline: tuple[str, ...]
    events: str | None
    overwrite: bool
    min_iou: float | None
    onset_tolerance: float | None
    claim: float
    leave_one_out: str | None
    config: str | None
    seed: int | None
    backend: str
    precision: str
    explain_path: str | None

    def check(self) -> None:
        """Refuse, before any work, options that do not go together and files to be lost."""
        from streamrnn.evaluation.pictures.style import require_matplotlib

        if self.leave_one_out is None and len(self.files) < 2:
            raise click.UsageError("Missing argument 'SESSIONS...'.")
        if self.leave_one_out is None and self.seed is not None:
            raise ConfigError("--seed is for --leave-one-out: a model is not trained again")
        if self.leave_one_out is not None and self.explain_path is not None:
            raise ConfigError("--explain is for a MODEL: --leave-one-out trains one for each turn")
        if self.min_iou is not None and self.onset_tolerance is not None:
            raise ConfigError("a hit is by overlap or by onset: --min-iou or --onset-tolerance")
        if self.timeline and self.html is None:
            raise ConfigError("--timeline chooses what --html draws: name a file for it")
        if self.html is not None:
            require_matplotlib()
        for output, what in ((self.events, "events"), (self.html, "page")):
            if output is not None:
                _check_output(Path(output), self.inputs, self.overwrite, what)
        if self.events and self.html and Path(self.events).absolute() == Path(self.html).absolute():
            raise ConfigError(f"{self.html} cannot hold both the events and the page")

    @property
    def inputs(self) -> list[Path | str]:
        """All files that are read."""
        model = self.files[:1] if self.leave_one_out is None else ()
        return [*self.paths, *model, *([self.config] if self.config else [])]

    @property
    def paths(self) -> list[Path]:
        """Files of the sessions."""
        from streamrnn.cli.files import find_sessions

        return find_sessions(self.files if self.leave_one_out else self.files[1:])

    @property
    def rule(self) -> Rule:
        """What counts as a hit."""
        from streamrnn.evaluation.events import Rule

        if self.min_iou is not None:
            return Rule("overlap", self.min_iou)
        if self.onset_tolerance is not None:
            return Rule("onset", tolerance=round(self.onset_tolerance * 1000))
        return Rule()


@dataclass
class _Job:
    """What was done: the report, the records as lines, and what the page shows beside them."""

    report: Report
    title: str
    lines: list[str] = field(default_factory=list)
    learning: dict[str, Any] = field(default_factory=dict)
    bundle: Bundle | None = None

    def written(self, asked: _Asked) -> Iterator[tuple[Path, str]]:
        """Yield the files that were asked for, and what belongs in them."""
        if asked.events is not None:
            yield Path(asked.events), "".join(f"{line}\n" for line in self.lines)
        if asked.html is not None:
            from streamrnn.evaluation.html import page

            shown = [r for name in asked.timeline for r in self.report.sessions if r.name == name]
            yield (
                Path(asked.html),
                page(self.report, title=self.title, shown=shown, learning=self.learning),
            )


def _one_model(asked: _Asked) -> _Job:
    """Run a model over sessions."""
    from streamrnn.cli.explain import open_explain
    from streamrnn.cli.files import read_named, say_copies
    from streamrnn.cli.live import chosen_backend, load_model, ready_backend
    from streamrnn.core.records import to_json_line
    from streamrnn.evaluation.report import Report, evaluate
    from streamrnn.kernels.backend import get_backend

    model = asked.files[0]
    bundle = load_model(model, asked.config, asked.precision)
    params = bundle.params
    name = chosen_backend(asked.backend, params.hidden_sizes, str(params.dtype))
    get_backend(name)  # a wrong name, or no such device, is said before anything is read
    recorded, names = read_named(asked.paths)
    say_copies(recorded, names)
    _check_names(asked.timeline, names)
    _check_fit(bundle, recorded, names)
    _say_known(bundle, recorded, names)
    report = Report(
        bundle.labels[1:], asked.rule, asked.claim, asked.html is not None, bundle.model_hash
    )
    job = _Job(report, f"Evaluation of {Path(model).name}", bundle=bundle)

    def keep(n: int, records: list[Record]) -> None:
        stream = recorded[n].info.name
        job.lines.extend(to_json_line(r, stream=stream, model=bundle.model_hash) for r in records)

    ready = ready_backend(bundle, name)
    opened = open_explain(
        asked.explain_path, bundle.model_hash, asked.inputs, overwrite=asked.overwrite
    )
    with opened as explain:

        def tell(n: int, explanation: Explanation) -> None:
            if explain is not None:
                explain.stream, explain.name = recorded[n].info.name, names[n]
                explain(explanation)

        evaluate(
            bundle, recorded, ready, report=report, names=names, on_records=keep,
            on_explanation=None if explain is None else tell,
        )  # fmt: skip
    curve = bundle.training.get("learning_curve")
    if curve:
        job.learning[""] = curve
    return job


def _leave_one_out(asked: _Asked) -> _Job:
    """Train a model for each person or session on the others, and run it over that one."""
    from streamrnn.cli.files import read_named, say_copies
    from streamrnn.cli.live import chosen_backend, say, say_when_compiling, stop_on_signals
    from streamrnn.core.records import to_json_line
    from streamrnn.evaluation.leave_out import leave_one_out, turns
    from streamrnn.evaluation.report import Report
    from streamrnn.kernels.backend import get_backend
    from streamrnn.runtime.warmup import compile_training
    from streamrnn.sessions.labels import class_names
    from streamrnn.training.config import TrainConfig, load_config
    from streamrnn.training.fit import TrainingStopped
    from streamrnn.training.recipe import train

    config = load_config(Path(asked.config)) if asked.config else TrainConfig()
    if asked.seed is not None:
        config = replace(config, seed=asked.seed)
    config = replace(config, backend=chosen_backend(asked.backend, config.hidden))
    backend: Backend = get_backend(config.backend)
    say_when_compiling()
    compile_training(config.backend)
    recorded, names = read_named(asked.paths)
    say_copies(recorded, names)
    _check_names(asked.timeline, names)
    by = asked.leave_one_out or "subject"
    left_out = turns(recorded, names, by)
    labels = class_names(recorded)[1:]
    report = Report(labels, asked.rule, asked.claim, asked.html is not None)
    job = _Job(report, f"Evaluation, each {by} left out in turn")

    def keep(n: int, records: list[Record]) -> None:
        job.lines.extend(to_json_line(r, stream=recorded[n].info.name) for r in records)

    def tell(turn: LeftOut, bundle: Bundle) -> None:
        curve = bundle.training.get("learning_curve")
        if curve:
            job.learning[turn.name] = curve
        score, f1 = report.of_fold(-1)
        say(f"{turn.name}: {score.n_hit} of {score.n_true} found, {score.n_false} false, "
            f"mean F1 {f1:.3f}")  # fmt: skip

    with stop_on_signals() as stop, _shown(left_out) as show:

        def trained(n: int, sessions: Sequence[Session], own: Sequence[str]) -> Bundle:
            bundle = train(sessions, config, own, progress=show(n), should_stop=stop.is_set)
            return replace(bundle, precision=asked.precision)

        try:
            leave_one_out(
                recorded, names, left_out, train=trained, backend=backend, report=report,
                on_records=keep, on_turn=tell,
            )  # fmt: skip
        except TrainingStopped:
            done = f"{len(report.folds)} of {len(left_out)}"
            say(f"stopped after {done} were left out: nothing was saved")
            raise click.exceptions.Exit(130) from None
    return job


@contextmanager
def _shown(left_out: Sequence[LeftOut]) -> Iterator[Callable[[int], Callable[[Any], None]]]:
    """Give what shows the progress of a turn: a bar on a terminal, else a line a training."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn

    from streamrnn.core.text import printable

    def words(n: int, news: Any) -> str:
        name = printable(left_out[n - 1].name, 40)
        return f"without {name}: training {news.part} of {news.n_parts}"

    console = Console(stderr=True)
    if not console.is_terminal:

        def line(n: int) -> Callable[[Any], None]:
            def say_once(news: Any) -> None:
                if news.news.epoch == 1:
                    click.echo(f"{n}/{len(left_out)} {words(n, news)}", err=True)

            return say_once

        yield line
        return
    with Progress(BarColumn(), TextColumn("{task.description}"), console=console) as bars:
        task = bars.add_task("starting ...", total=float(len(left_out)))

        def bar(n: int) -> Callable[[Any], None]:
            def move(news: Any) -> None:
                part = (news.part - 1 + news.news.epoch / news.news.n_epochs) / news.n_parts
                bars.update(task, completed=n - 1 + part, description=escape(words(n, news)))

            return move

        yield bar


def _check_output(path: Path, inputs: Sequence[Path | str], overwrite: bool, what: str) -> None:
    from streamrnn.cli.files import refuse_inputs, refuse_recordings, require_folder

    require_folder(path, what)
    refuse_inputs(path, inputs)
    refuse_recordings(path, what)
    if path.is_file() and not overwrite:
        raise ConfigError(f"{path} exists already: choose another name, or --overwrite")


def _check_names(wanted: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a --timeline that names no session."""
    from streamrnn.core.text import did_you_mean, printable

    for name in wanted:
        if name not in names:
            hint = did_you_mean(name, names)
            raise ConfigError(f"--timeline: no session is called {printable(name)!r}{hint}")


def _check_fit(bundle: Bundle, sessions: Sequence[Session], names: Sequence[str]) -> None:
    for session, name in zip(sessions, names, strict=True):
        try:
            bundle.check_stream(session.info)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from None


def _say_known(bundle: Bundle, sessions: Sequence[Session], names: Sequence[str]) -> None:
    """Say which of the recordings the model was trained on: they tell nothing of others."""
    from streamrnn.cli.files import trained_on
    from streamrnn.cli.live import say
    from streamrnn.sessions.digest import frames_digest

    known = trained_on(bundle)
    own = [n for s, n in zip(sessions, names, strict=True) if known and frames_digest(s) in known]
    if own:
        more = f" and {len(own) - 1} more" if len(own) > 1 else ""
        what = "these recordings" if more else "this recording"
        say(f"{own[0]}{more}: the model was trained on {what}, so the figures flatter: evaluate on "
            "others, or with --leave-one-out")  # fmt: skip


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SessionError(f"cannot write {path}: {error.strerror}") from error
