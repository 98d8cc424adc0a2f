"""``streamrnn train``: labelled sessions in, a model file out."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamrnn.core.errors import ConfigError, ModelFileError
from streamrnn.core.text import printable

if TYPE_CHECKING:
    from streamrnn.sessions.session import Session
    from streamrnn.training.config import TrainConfig
    from streamrnn.training.data import DataSet
    from streamrnn.training.fit import Progress
    from streamrnn.training.recipe import RecipeProgress

#: Where a model goes when nobody says.
OUTPUT = "model.safetensors"
#: Options that a resumed run takes from its checkpoint.
_KEPT = (
    "config", "epochs", "hidden", "seed", "held_out", "held_out_fraction", "labels", "model",
    "folds", "features",
)  # fmt: skip
#: Features with nothing chosen: samples, each centred and divided by its spread.
_PLAIN = {
    "filter": "none", "scaling": "global", "orientation": "device", "track": "none",
    "landmarks": "none", "reference": "centroid", "handedness": "none", "emg": "none",
    "squash": "asinh", "magnitude": False, "differences": False,
}  # fmt: skip
#: Where there is no terminal, lines of progress for the model, and for each fold before it.
_LINES, _FOLD_LINES = 25, 5
#: So many gestures are named that were found least often.
_WORST = 3


@click.command(short_help="Train a model on recorded sessions.")
@click.argument("sessions", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", default=OUTPUT, show_default=True, type=click.Path(),
              help="Model file.")  # fmt: skip
@click.option("--config", type=click.Path(), help="TOML: [training], [augment], [features], ...")
@click.option("--features", metavar="auto|plain|FILE",
              help="Chosen from channels and data (default), samples alone, or [features] of a "
              "TOML file.")  # fmt: skip
@click.option("--model", type=click.Choice(["lstm", "mlp-window"]),
              help="Recurrent, or a small perceptron on windows to compare it with.")  # fmt: skip
@click.option("--folds", type=int, metavar="N",
              help="Cross-validate in N parts first (default 4); 0: do not.")  # fmt: skip
@click.option("--epochs", type=int, help="Just so many passes over the data.")
@click.option("--hidden", type=int, multiple=True, help="Units of a layer; repeat for more layers.")
@click.option("--seed", type=int, help="Start of all random numbers.")
@click.option("--held-out", multiple=True, metavar="SUBJECT",
              help="Watch on this one (a file, where nobody said who), and do not "
              "cross-validate; repeatable.")  # fmt: skip
@click.option("--held-out-fraction", type=float, help="Share of subjects or sessions to watch on.")
@click.option(
    "--labels", type=click.Choice(["auto", "frame", "rows", "trial"]),
    help="One class a frame; trials in rows with null between; trials alone.",
)  # fmt: skip
@click.option("--backend", help="cpu, cuda (a GPU), numpy, or auto: cuda where it works, else cpu.")
@click.option("--threads", type=int, help="How many work on one update; changes no result.")
@click.option("--resume", type=click.Path(), metavar="DIR", help="Go on with a stopped run.")
def command(*, sessions: tuple[str, ...], output: str, resume: str | None, **options: Any) -> None:
    """Train a model on SESSIONS (files, or folders of them).

    No option is needed. First models of parts of the recordings are asked about the rest: by
    subject, where nobody said who by session, else by parts of a session. That says how good a
    model will be, and chooses when it fires. Then the model is trained on everything. With
    --held-out those people are watched instead and never trained on; the epoch that finds their
    gestures best is kept.

    A checkpoint is written after every epoch beside the model; Ctrl-C stops, and --resume goes on
    to the same weights, or with another --backend there. A model that stands at the output is
    replaced; any other file there is refused.
    """
    from streamrnn.cli.files import find_sessions, read_named, say_copies
    from streamrnn.cli.live import chosen_backend, say, say_when_compiling, stop_on_signals
    from streamrnn.kernels.backend import get_backend
    from streamrnn.runtime.warmup import compile_training
    from streamrnn.training.fit import TrainingStopped
    from streamrnn.training.held_out import warm_up
    from streamrnn.training.recipe import train

    path = Path(output)
    directory = Path(resume) if resume else path.parent / f"{path.stem}.training"
    inputs = find_sessions(sessions)
    read = [options[key] for key in ("config", "features") if options[key]]
    replaces = _check_output(path, directory, [*inputs, *read])
    config = _resumed_config(resume, options) if resume else _config(options)
    if options["threads"] is not None:
        config = replace(config, threads=options["threads"])
    name = options["backend"] or config.backend
    config = replace(config, backend=chosen_backend(name, config.hidden))
    say_when_compiling()
    backend = get_backend(config.backend)
    compile_training(config.backend)
    recorded, names = read_named(inputs)
    say_copies(recorded, names)

    def describe(data: DataSet) -> None:
        for line in _describe(data, recorded):
            say(line)
        if replaces:
            say(f"{path} is a model already: it will be replaced")
        warm_up(backend)

    with stop_on_signals() as stop, _shown() as show:
        try:
            bundle = train(
                recorded,
                config,
                names,
                directory=directory,
                resume=resume is not None,
                on_data=describe,
                progress=show,
                should_stop=stop.is_set,
            )
        except TrainingStopped as stopped:
            again = ["streamrnn", "train", *sessions, "-o", output, "--resume", str(directory)]
            say(f"{stopped}: go on with: {shlex.join(again)}")
            raise click.exceptions.Exit(130) from None
    bundle.save(path)
    for line in _appraisal(bundle.training["cross_validation"]):
        say(line)
    facts = bundle.training
    say(f"epoch {facts['epoch']}, {facts['n_updates']} updates -> {path}")


def _check_output(path: Path, directory: Path, inputs: Sequence[Path | str]) -> bool:
    """Refuse an output that would cost the user a file; tell whether an older model is there."""
    from streamrnn.cli.files import refuse_inputs, refuse_recordings
    from streamrnn.model.file import load_model

    if not path.absolute().parent.is_dir():
        raise ConfigError(f"no folder {path.parent} for the model")
    refuse_inputs(path, inputs)
    refuse_recordings(path, "model")
    if path == directory:
        raise ConfigError(f"{path} is where the checkpoints go: name another file for the model")
    if not path.exists():
        return False
    try:
        load_model(path)
    except ModelFileError:
        raise ConfigError(
            f"{path} exists and is not a streamrnn model: name another file"
        ) from None
    return True


def _config(options: dict[str, Any]) -> TrainConfig:
    """Return the configuration file's options, replaced by those on the command line."""
    from streamrnn.training.config import TrainConfig, load_config

    config = load_config(Path(options["config"])) if options["config"] else TrainConfig()
    document = config.to_document()
    for key in _KEPT[1:]:
        if key != "features" and options[key] not in (None, ()):
            document["training"][key] = options[key]
    if options["epochs"] is not None:
        document["training"]["min_updates"] = 0  # who names a number means it
    if options["features"]:
        document["features"] = _features(options["features"])
    return replace(TrainConfig.from_document(document, "command line"), threads=config.threads)


def _features(named: str) -> dict[str, Any]:
    """Return the table [features] that an option stands for."""
    from streamrnn.cli.live import read_tables

    if named in ("auto", "plain"):
        return dict(_PLAIN) if named == "plain" else {}
    tables = read_tables(named, ("training", "augment", "features", "decision"))
    if "features" not in tables:
        raise ConfigError(f"{named} has no table [features]")
    return tables["features"]


def _resumed_config(resume: str, options: dict[str, Any]) -> TrainConfig:
    from streamrnn.training.checkpoint import load_checkpoint

    given = [f"--{key.replace('_', '-')}" for key in _KEPT if options[key] not in (None, ())]
    if given:
        raise ConfigError(f"a resumed run keeps its options: leave out {', '.join(given)}")
    return load_checkpoint(Path(resume)).config


def _describe(data: DataSet, sessions: Sequence[Session]) -> list[str]:
    """Return what is trained on, and what is made of it."""
    held_out = printable(", ".join(data.held_out_names), 400)
    watched = f"; held out: {held_out}" if held_out else ""
    people = len({session.subject for session in sessions if session.subject})
    whose = f" of {people} {'person' if people == 1 else 'people'}" if people else ""
    recordings = "session" if len(sessions) == 1 else "sessions"
    how = ", each a trial of one gesture" if data.form == "rows" else ""
    return [
        f"{len(sessions)} {recordings}{whose}{how}, {data.n_frames} frames to train on, "
        f"{len(data.labels) - 1} gestures ({printable(', '.join(data.labels[1:]), 400)}), "
        f"{len(data.channels)} channels at {data.rate_hz:g} Hz{watched}",
        *(f"features: {reason}" for reason in data.reasons),
    ]


def _appraisal(facts: dict[str, Any]) -> list[str]:
    """Return what is known of the model, and how."""
    from streamrnn.training.recipe import WAYS

    lines = [facts["summary"]]
    if not facts["by"]:
        return lines
    lines.append(f"asked: {WAYS[facts['by']]}")
    worst = [
        (count["n_found"] / count["n_gestures"], name, count)
        for name, count in facts["classes"].items()
        if count["n_gestures"] and count["n_found"] < count["n_gestures"]
    ]
    missed = [
        f"{printable(name)} {count['n_found']} of {count['n_gestures']}"
        for _, name, count in sorted(worst)[:_WORST]
    ]
    if missed:
        lines.append(f"found least often: {', '.join(missed)}")
    return lines


@contextmanager
def _shown() -> Iterator[Callable[[RecipeProgress], None]]:
    """Give a callable that shows progress: a bar on a terminal, else lines now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _print_some
        return
    with Bar(TextColumn("training"), BarColumn(), TextColumn("{task.description}"),
             console=console) as bar:  # fmt: skip
        task = bar.add_task("starting ...", total=1.0)

        def show(told: RecipeProgress) -> None:
            done = told.part - 1 + told.news.epoch / told.news.n_epochs
            bar.update(task, completed=done / told.n_parts, description=_line(told))

        yield show


def _print_some(told: RecipeProgress) -> None:
    news = told.news
    wanted = _LINES if told.part == told.n_parts else _FOLD_LINES
    line = _line(told)
    if news.epoch % max(1, -(-news.n_epochs // wanted)) == 0 or news.epoch == news.n_epochs:
        click.echo(line, err=True)


def _line(told: RecipeProgress) -> str:
    news: Progress = told.news
    watched = "" if news.held_out_f1 is None else f"  held-out event F1 {news.held_out_f1:.3f}"
    folds = told.n_parts - 1
    fold = f"cross-validation {told.part}/{folds}  " if told.part <= folds else ""
    return (
        f"{fold}epoch {news.epoch}/{news.n_epochs}  loss {news.loss:.4f}{watched}  "
        f"{told.seconds_left:.0f} s left"
    )
