"""``streamrnn replay``: a session through the simulated board, the wire and a serial port."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import IO, TYPE_CHECKING

import click

from streamrnn.cli.explain import explain_option
from streamrnn.core.errors import SourceError

if TYPE_CHECKING:
    from streamrnn.core.link import Link


@click.command(short_help="Send a session through the simulated board and run a model on it.")
@click.argument("file", type=click.Path())
@click.option("--model", type=click.Path(), help="Model file (default: the sample model).")
@click.option(
    "--speed", default=0.0, show_default=True, type=click.FloatRange(0),
    help="1 is real time, 0 as fast as it goes; nothing is lost either way.",
)  # fmt: skip
@click.option(
    "--backend", default="cpu", show_default=True,
    help="cpu, cuda (a GPU), numpy, or auto: cuda where it works, else cpu.",
)  # fmt: skip
@click.option(
    "--precision", type=click.Choice(["exact", "bf16"]), default="exact", show_default=True,
    help="How weights are held: as trained, or rounded to half the memory.",
)  # fmt: skip
@click.option("--config", type=click.Path(), help="TOML file; [decision] overrides the model's.")
@click.option("--seed", type=int, help="Cut the byte stream at random places (changes nothing).")
@click.option("--stats/--no-stats", default=True, help="End with a stats record.")
@explain_option
def command(
    *,
    file: str,
    model: str | None,
    speed: float,
    backend: str,
    precision: str,
    config: str | None,
    seed: int | None,
    stats: bool,
    explain_path: str | None,
) -> None:
    """Replay the session FILE byte for byte as a board would send it, and print the events.

    The frames take the whole way of a live run: a board process, a pseudo-terminal, the serial
    source, the wire's decoder. Exit code 1 if one of them is lost.
    """
    from streamrnn.cli.explain import open_explain
    from streamrnn.cli.live import load_model, ready_backend, say_summary, start, stop_on_signals
    from streamrnn.runtime.latency import StageTimer
    from streamrnn.runtime.loop import run_stream
    from streamrnn.runtime.pipeline import Pipeline
    from streamrnn.sessions.reader import read_session
    from streamrnn.sinks import JsonlSink
    from streamrnn.sources.chopped import ChoppedLink
    from streamrnn.sources.serial import SerialLink
    from streamrnn.sources.stream import StreamSource

    bundle = load_model(model, config, precision)
    session = read_session(file)
    bundle.check_stream(session.info)
    timer = StageTimer()
    with ExitStack() as stack:
        inputs = [name for name in (file, model, config) if name]
        explain = stack.enter_context(open_explain(explain_path, bundle.model_hash, inputs))
        path = stack.enter_context(_board(file, speed))
        pipeline = Pipeline(bundle, ready_backend(bundle, backend), timer, explain=explain)
        link: Link = SerialLink(path)
        if seed is not None:
            link = ChoppedLink(link, seed)
        source = StreamSource(link, timer=timer)
        stack.enter_context(closing(source))
        source.open()
        start(pipeline, source.info)
        if explain is not None:
            explain.stream = source.info.name
        stop = stack.enter_context(stop_on_signals())
        sinks = [JsonlSink(sys.stdout.buffer, stats=stats)]
        result = run_stream(source, pipeline, sinks, stop=stop, drop=False)
    say_summary(result)
    seen = pipeline.n_frames + pipeline.n_invalid
    if result.values["ended"] == "end" and seen != len(session):
        raise SourceError(f"{len(session) - seen} of {len(session)} frames were lost on the way")


@contextmanager
def _board(file: str, speed: float) -> Iterator[str]:
    """Start a board process that plays a session back; give the path of its serial port."""
    arguments = ["--playback", file, "--link", "pty", "--speed", f"{speed:g}"]
    board = subprocess.Popen(
        [sys.executable, "-m", "firmware_sim", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield _port_of(board)
    finally:
        board.terminate()
        # Its pipes are drained here, so that it cannot block on one of them.
        board.communicate()


def _port_of(board: subprocess.Popen[str]) -> str:
    out: IO[str] | None = board.stdout
    path = out.readline().strip() if out is not None else ""
    if path:
        return path
    _, why = board.communicate()
    lines = why.strip().splitlines() or [f"exit code {board.returncode}"]
    raise SourceError(f"the simulated board did not start: {lines[-1]}")
