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

#: Options that a resumed run takes from its checkpoint.
_KEPT = ("config", "epochs", "hidden", "seed", "held_out", "held_out_fraction", "labels")


@click.command(short_help="Train a model on recorded sessions.")
@click.argument("sessions", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(), help="Model (.safetensors).")
@click.option("--config", type=click.Path(), help="TOML: [training], [augment], [features], ...")
@click.option("--epochs", type=int, help="Passes over the data.")
@click.option("--hidden", type=int, multiple=True, help="Units of a layer; repeat for more layers.")
@click.option("--seed", type=int, help="Start of all random numbers.")
@click.option("--held-out", multiple=True, metavar="SUBJECT",
              help="Watch on this one (a file, where nobody said who); repeatable.")  # fmt: skip
@click.option("--held-out-fraction", type=float, help="Share of subjects or sessions to watch on.")
@click.option(
    "--labels", type=click.Choice(["frame", "trial"]), help="One class a frame, or one a trial."
)
@click.option("--backend", help="cpu, cuda (a GPU), numpy, or auto: cuda where it works, else cpu.")
@click.option("--threads", type=int, help="How many work on one update; changes no result.")
@click.option("--resume", type=click.Path(), metavar="DIR", help="Go on with a stopped run.")
def command(*, sessions: tuple[str, ...], output: str, resume: str | None, **options: Any) -> None:
    """Train a model on SESSIONS (files, or folders of them).

    Some people (or, where nobody said who, some sessions) are held out and only watched; the epoch
    that finds their gestures best is kept. A checkpoint is written after every epoch beside the
    model; Ctrl-C stops, and --resume goes on to the same weights, or with another --backend there.
    A model that stands at the output is replaced; any other file there is refused.
    """
    from streamrnn.cli.files import read_named
    from streamrnn.cli.live import chosen_backend, say, say_when_compiling, stop_on_signals
    from streamrnn.kernels.backend import get_backend
    from streamrnn.runtime.warmup import compile_training
    from streamrnn.sessions.reader import session_paths
    from streamrnn.training.data import prepare
    from streamrnn.training.fit import TrainingStopped, fit_data
    from streamrnn.training.held_out import warm_up

    path = Path(output)
    directory = Path(resume) if resume else path.parent / f"{path.stem}.training"
    inputs = session_paths(sessions)
    replaces = _check_output(
        path, directory, [*inputs, *([options["config"]] if options["config"] else [])]
    )
    config = _resumed_config(resume, options) if resume else _config(options)
    if options["threads"] is not None:
        config = replace(config, threads=options["threads"])
    name = options["backend"] or config.backend
    config = replace(config, backend=chosen_backend(name, config.hidden))
    say_when_compiling()
    backend = get_backend(config.backend)
    compile_training(config.backend)
    recorded, names = read_named(inputs)
    data = prepare(recorded, config, names)
    for line in _describe(data, recorded, config):
        say(line)
    if replaces:
        say(f"{path} is a model already: it will be replaced")
    warm_up(backend)
    with stop_on_signals() as stop, _shown(config.epochs) as show:
        try:
            bundle = fit_data(
                data,
                config,
                checkpoint_dir=directory,
                resume=resume is not None,
                progress=show,
                should_stop=stop.is_set,
            )
        except TrainingStopped as stopped:
            again = ["streamrnn", "train", *sessions, "-o", output, "--resume", str(directory)]
            say(f"{stopped}: go on with: {shlex.join(again)}")
            raise click.exceptions.Exit(130) from None
    bundle.save(path)
    facts = bundle.training
    score = facts.get("held_out_event_f1")
    watched = "" if score is None else f", held-out event F1 {score:.3f}"
    say(f"epoch {facts['epoch']} of {config.epochs}{watched} -> {path}")


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
        if options[key] not in (None, ()):
            document["training"][key] = options[key]
    return replace(TrainConfig.from_document(document, "command line"), threads=config.threads)


def _resumed_config(resume: str, options: dict[str, Any]) -> TrainConfig:
    from streamrnn.training.checkpoint import load_checkpoint

    given = [f"--{key.replace('_', '-')}" for key in _KEPT if options[key] not in (None, ())]
    if given:
        raise ConfigError(f"a resumed run keeps its options: leave out {', '.join(given)}")
    return load_checkpoint(Path(resume)).config


def _describe(data: DataSet, sessions: Sequence[Session], config: TrainConfig) -> list[str]:
    """Return what is trained on, and which channels of the recordings are not used."""
    held_out = printable(", ".join(data.held_out_names), 400)
    watched = f"; held out: {held_out}" if held_out else ""
    lines = [
        f"{len(sessions)} sessions, {data.n_frames} frames to train on, "
        f"{len(data.labels) - 1} gestures ({printable(', '.join(data.labels[1:]), 400)}), "
        f"{len(data.channels)} channels at {data.rate_hz:g} Hz{watched}"
    ]
    left_out = [c.name for c in sessions[0].info.channels if c not in data.channels]
    if left_out and not config.features.channels:  # nobody said which
        lines.append(
            f"left out: {printable(', '.join(left_out))} (not gyroscope or accelerometer; "
            "[features] channels = [...] takes them)"
        )
    return lines


@contextmanager
def _shown(n_epochs: int) -> Iterator[Callable[[Progress], None]]:
    """Give a callable that shows progress: a bar on a terminal, else a line an epoch."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda news: click.echo(_line(news), err=True)
        return
    with Bar(TextColumn("training"), BarColumn(), TextColumn("{task.description}"),
             console=console) as bar:  # fmt: skip
        task = bar.add_task("starting ...", total=n_epochs)
        yield lambda news: bar.update(task, completed=news.epoch, description=_line(news))


def _line(news: Progress) -> str:
    watched = "" if news.held_out_f1 is None else f"  held-out event F1 {news.held_out_f1:.3f}"
    return (
        f"epoch {news.epoch}/{news.n_epochs}  loss {news.loss:.4f}{watched}  "
        f"{news.seconds_left:.0f} s left"
    )
