"""``streamrnn replay``: a session through the simulated board, the wire and a serial port."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING
from urllib.parse import parse_qsl

import click

from streamrnn.cli.explain import explain_option
from streamrnn.core.errors import ConfigError, SessionError, SourceError

if TYPE_CHECKING:
    from streamrnn.core.link import Link
    from streamrnn.runtime.bundle import Bundle
    from streamrnn.sources.recorded import Expected
    from streamrnn.wire.options import StreamOptions


@click.command(short_help="Send a session through the simulated board and run a model on it.")
@click.argument("file", type=click.Path())
@click.option(
    "--raw", is_flag=True,
    help="Send the undecoded bytes of a session (record --raw), or of any other file.",
)  # fmt: skip
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True),
    help="Of --raw: frames a second of text lines (default: as recorded, else the model's).",
)  # fmt: skip
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
    raw: bool,
    rate: float | None,
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

    With --raw just the bytes are sent that came when the session was recorded, damage and all.
    """
    from streamrnn.cli.explain import open_explain
    from streamrnn.cli.live import load_model, ready_backend, say_summary, start, stop_on_signals
    from streamrnn.runtime.latency import StageTimer
    from streamrnn.runtime.loop import run_stream
    from streamrnn.runtime.pipeline import Pipeline
    from streamrnn.sinks import JsonlSink
    from streamrnn.sources.chopped import ChoppedLink
    from streamrnn.sources.recorded import RecordedLink
    from streamrnn.sources.serial import SerialLink
    from streamrnn.sources.stream import StreamSource

    bundle = load_model(model, config, precision)
    if not raw and rate is not None:
        raise ConfigError("--rate is for --raw: a session says its rate")
    sent = _raw_of(file, rate or 0.0, bundle) if raw else _frames_of(file, bundle)
    timer = StageTimer()
    with ExitStack() as stack:
        inputs = [name for name in (file, model, config) if name]
        explain = stack.enter_context(open_explain(explain_path, bundle.model_hash, inputs))
        path = stack.enter_context(_board(sent.arguments, speed))
        pipeline = Pipeline(bundle, ready_backend(bundle, backend), timer, explain=explain)
        link: Link = SerialLink(path)
        if seed is not None:
            link = ChoppedLink(link, seed)
        recorded = None
        if sent.expected is not None:
            recorded = RecordedLink(link, sent.expected)
            stack.callback(recorded.let_go)
            link = recorded
        source = StreamSource(link, sent.rate_hz, options=sent.options, timer=timer)
        stack.enter_context(closing(source))
        source.open()
        start(pipeline, source.info)
        if explain is not None:
            explain.stream = source.info.name
        stop = stack.enter_context(stop_on_signals())
        sinks = [JsonlSink(sys.stdout.buffer, stats=stats)]
        result = run_stream(source, pipeline, sinks, stop=stop, drop=False)
        if recorded is not None and result.values["ended"] == "end":
            recorded.finish()
    say_summary(result, source)
    if result.values["ended"] != "end":
        return
    if recorded is not None and not recorded.is_whole:
        raise SourceError("other bytes came than were recorded")
    seen = pipeline.n_frames + pipeline.n_invalid
    if sent.n_frames is not None and seen != sent.n_frames:
        raise SourceError(f"{sent.n_frames - seen} of {sent.n_frames} frames were lost on the way")


@dataclass(frozen=True, slots=True)
class _Sent:
    """What the board is to send, and what must arrive."""

    arguments: list[str]
    rate_hz: float = 0.0
    options: StreamOptions | None = None
    n_frames: int | None = None
    expected: Expected | None = None


def _frames_of(file: str, bundle: Bundle) -> _Sent:
    from streamrnn.sessions.reader import read_session

    session = read_session(file)
    bundle.check_stream(session.info)
    return _Sent(["--playback", file], n_frames=len(session))


def _raw_of(file: str, rate_hz: float, bundle: Bundle) -> _Sent:
    """Return what the bytes of a file come to: a session's raw reads, or all of any other file."""
    from streamrnn.cli.live import say
    from streamrnn.sessions.raw import read_raw
    from streamrnn.sessions.reader import is_session, read_info
    from streamrnn.sources.recorded import Expected
    from streamrnn.wire.options import split

    if not is_session(file):
        rate_hz = rate_hz or bundle.stream_hz
        with open(file, "rb") as lines:
            expected = Expected.of(iter(partial(lines.read, 1 << 16), b""))
        if not expected.n_bytes:
            raise SessionError(f"{file} is empty: there is nothing to send")
        return _Sent(["--raw", file, "--rate", f"{rate_hz:g}"], rate_hz, expected=expected)
    problems: list[str] = []
    expected = Expected.of(data for _, data in read_raw(file, problems))
    for problem in problems:
        say(problem)
    if not expected.n_bytes:
        raise SessionError(f"{file} holds no raw bytes: record it with --raw")
    info, metadata = read_info(file)
    # What was said of the stream when it was recorded holds still: format=, names=, time=, ...
    query = metadata.get("source", "").partition("?")[2]
    options, _ = split(dict(parse_qsl(query, keep_blank_values=True)))
    return _Sent(["--raw", file], rate_hz or info.rate_hz, options, expected=expected)


@contextmanager
def _board(arguments: list[str], speed: float) -> Iterator[str]:
    """Start a board process that plays something back; give the path of its serial port."""
    arguments = [*arguments, "--link", "pty", "--speed", f"{speed:g}"]
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
