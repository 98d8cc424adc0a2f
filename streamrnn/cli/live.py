"""What the commands that read a live stream share."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from streamrnn.core.errors import ConfigError, ModelFileError
from streamrnn.core.text import counted, did_you_mean, printable

if TYPE_CHECKING:
    from streamrnn.core.records import Stats
    from streamrnn.core.types import StreamInfo
    from streamrnn.kernels.backend import Backend
    from streamrnn.runtime.bundle import Bundle
    from streamrnn.runtime.pipeline import Pipeline
    from streamrnn.sources.base import Source

#: The model that ships with the package.
SAMPLE = Path(__file__).parents[1] / "data" / "sample.safetensors"
#: Longest line for people, in characters.
MAX_LINE = 10_000


def say(text: str) -> None:
    """Print a line for people, whatever file names are in it; stdout belongs to the records."""
    click.echo(printable(text, MAX_LINE), err=True)


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Give an event that the first Ctrl-C or SIGTERM sets; a second Ctrl-C interrupts."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say_when_compiling() -> None:
    """Have one line say that kernels are compiled, and how long it took."""
    from streamrnn.kernels import native

    native.on_compile(_compiling)


@contextmanager
def _compiling(n_units: int) -> Iterator[None]:
    from streamrnn.kernels import store

    often = "at every start" if store.problem() else "once"
    units = f"{n_units} units of kernels" if n_units > 1 else "a unit of kernels"
    click.echo(f"compiling {units} ({often}; takes some seconds) ...", err=True, nl=False)
    begin_s = time.monotonic()
    end = ""
    try:
        yield
        end = f" done in {time.monotonic() - begin_s:.1f} s"
    finally:
        click.echo(end, err=True)


def load_model(path: str | None, config: str | None = None, precision: str = "exact") -> Bundle:
    """Return a model, the one that ships with the package when `path` is None.

    Parameters
    ----------
    path : str or None
    config : str or None
        TOML file whose table ``[decision]`` overrides the model's.
    precision : {"exact", "bf16"}
        How weights are held in the run.
    """
    from dataclasses import replace

    from streamrnn.runtime.bundle import Bundle
    from streamrnn.runtime.warmup import compile_live

    if path is None:
        if not SAMPLE.is_file():
            raise ModelFileError("the sample model is not installed: name a MODEL file")
        path = str(SAMPLE)
    say_when_compiling()
    if os.path.isfile(path):  # else: say at once what is wrong
        compile_live()
    bundle = replace(Bundle.load(path), precision=precision)
    if config is not None:
        overrides = read_tables(config, ("decision",)).get("decision", {})
        bundle = bundle.with_decision(overrides, f"{config} [decision]")
    return bundle


def read_tables(path: str, known: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the tables of a TOML file; any other than the `known` ones is a `ConfigError`."""
    import tomllib

    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {printable(str(error), 160)}") from error
    for key, value in document.items():
        if key not in known:
            hint = did_you_mean(key, known)
            raise ConfigError(f"{path}: unknown table {printable(key)!r}{hint}")
        if not isinstance(value, dict):
            raise ConfigError(f"{path}: {key} must be a table: [{key}]")
    return document


def chosen_backend(name: str, hidden_sizes: Sequence[int] = (), dtype: str = "float32") -> str:
    """Return the name of a backend for a model; say what ``auto`` stands for here, and why.

    Parameters
    ----------
    name : str
    hidden_sizes : sequence of int
        Units of the model's layers.
    dtype : str
        Of its weights.

    Raises
    ------
    ConfigError
        The backend cannot run such a model.
    """
    if name not in ("cuda", "auto"):
        return name
    from streamrnn.kernels.backend import choose
    from streamrnn.kernels.cuda.network import MOST_UNITS

    unfit = ""
    if dtype != "float32":
        unfit = f"the model is in {dtype}"
    elif max(hidden_sizes, default=0) > MOST_UNITS:
        unfit = f"a layer of the model has more than {MOST_UNITS} units"
    if name == "cuda":
        if unfit:
            raise ConfigError(f"{unfit}, which cuda does not run: use --backend cpu")
        return name
    name, why = ("cpu", unfit) if unfit else choose()
    say(f"backend {name}: {why}")
    return name


def ready_backend(bundle: Bundle, name: str) -> Backend:
    """Return a backend with everything compiled that a run of `bundle` calls."""
    import gc

    from streamrnn.kernels.backend import get_backend
    from streamrnn.runtime.warmup import warm_up

    params = bundle.params
    backend = get_backend(chosen_backend(name, params.hidden_sizes, str(params.dtype)))
    warm_up(bundle, backend)
    # What stands now stays: a collection among all of it would stop a live run.
    gc.freeze()
    return backend


def start(pipeline: Pipeline, info: StreamInfo) -> None:
    """Have a pipeline take the layout of a stream, and say what of it is not as expected.

    Raises
    ------
    ConfigError
        The stream does not fit the model.
    """
    pipeline.start(info)
    if pipeline.bundle.matches_by_place(info):
        names = ", ".join(printable(c.name, 40) for c in pipeline.bundle.channels)
        say(f"the stream names no channels: its columns are taken for {names}, in this order")
    if pipeline.resampled_hz is not None:
        stream_hz, model_hz = pipeline.resampled_hz
        say(f"the stream runs at {stream_hz:g} Hz, the model at {model_hz:g} Hz: resampled")


def times(n: int) -> str:
    """Return ``once``, ``twice`` or ``5 times``."""
    return {1: "once", 2: "twice"}.get(n, f"{n} times")


def say_summary(stats: Stats, source: Source) -> None:
    """Print the counts of a run as one line, unless nobody listens to its output any more."""
    values = stats.values
    if values["ended"] == "pipe":
        # Python flushes stdout at exit and would complain about the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    from streamrnn.runtime.damage import damage_of
    from streamrnn.sources.timing.report import rate_text

    counters = values["source"]
    rate = rate_text(values["timing"]) if "timing" in values else ""
    parts = [
        f"{values['stream_s']:.1f} s{rate and f' {rate}'}",
        counted(values["n_frames"], "frame"),
        counted(values["n_events"], "event"),
        f"{counted(values['n_missing_frames'], 'frame')} missing",
    ]
    if counters["n_overrun_frames"]:
        parts.append(f"{counters['n_overrun_frames']} dropped here")
    for count, what in (
        (values["n_gaps"], "gap"),
        (counters["n_duplicate_frames"], "duplicate frame"),
        (values["n_invalid_frames"], "invalid frame"),
    ):
        if count:
            parts.append(counted(count, what))
    if counters["n_unplugs"]:
        parts.append(f"unplugged {times(counters['n_unplugs'])}")
    parts += damage_of(source).words()
    ended = {"stopped": "stopped", "duration": "done", "end": "the stream ended"}
    say(f"{ended.get(values['ended'], values['ended'])}: {', '.join(parts)}")
