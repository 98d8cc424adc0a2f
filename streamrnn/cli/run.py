"""``streamrnn run``: a model on a live stream."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from streamrnn.cli.explain import explain_option
from streamrnn.core.errors import ConfigError

if TYPE_CHECKING:
    from streamrnn.core.types import Item
    from streamrnn.sinks import Sink


@click.command(short_help="Run a model on a live stream; print events as JSON lines.")
@click.argument("model", required=False, type=click.Path())
@click.option(
    "--source", "url", required=True, metavar="URL",
    help="serial:PATH[?baud=115200], tcp:HOST:PORT, sim:, file:FILE.",
)  # fmt: skip
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds of stream time.")
@click.option("--view", is_flag=True, help="Show channels, probabilities and events live.")
@click.option("--record", "record_path", type=click.Path(), help="Record what the run sees.")
@click.option("--raw", is_flag=True, help="Of --record: keep the undecoded bytes, too.")
@click.option(
    "--backend", default="cpu", show_default=True,
    help="cpu, cuda (a GPU), numpy, or auto: cuda where it works, else cpu.",
)  # fmt: skip
@click.option(
    "--precision", type=click.Choice(["exact", "bf16"]), default="exact", show_default=True,
    help="How weights are held: as trained, or rounded to half the memory.",
)  # fmt: skip
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True),
    help="Frame rate of a text stream, Hz (default: the model's).",
)  # fmt: skip
@click.option("--config", type=click.Path(), help="TOML file; [decision] overrides the model's.")
@click.option(
    "--live/--lossless", "drop", default=None,
    help="When late, drop the oldest frames or make the source wait (default: as the source is).",
)  # fmt: skip
@click.option("--latency", is_flag=True, help="Show what each stage takes, live and at the end.")
@click.option(
    "--latency-picture", "latency_path", type=click.Path(), metavar="FILE.svg",
    help="Draw what each stage took (implies --latency).",
)  # fmt: skip
@click.option("--stats/--no-stats", default=True, help="End with a stats record.")
@explain_option
def command(
    *,
    model: str | None,
    url: str,
    duration: float | None,
    view: bool,
    record_path: str | None,
    raw: bool,
    backend: str,
    precision: str,
    rate: float | None,
    config: str | None,
    drop: bool | None,
    latency: bool,
    latency_path: str | None,
    stats: bool,
    explain_path: str | None,
) -> None:
    """Run MODEL (default: the sample model) on a stream; print events as JSON lines on stdout.

    The run ends with the stream, after --duration, or cleanly on Ctrl-C or SIGTERM. A device that
    is unplugged gives a gap record, and the run goes on when it is back.
    """
    from streamrnn.cli.explain import open_explain
    from streamrnn.cli.live import load_model, ready_backend, say_summary, start, stop_on_signals
    from streamrnn.cli.record_file import say_dropped
    from streamrnn.runtime.latency import StageTimer
    from streamrnn.runtime.loop import run_stream
    from streamrnn.runtime.pipeline import Pipeline
    from streamrnn.sinks import JsonlSink
    from streamrnn.sources import open_source, public_url
    from streamrnn.sources.tap import Tape

    latency = latency or latency_path is not None
    if latency:
        from streamrnn.cli.latency import check_picture

        check_picture(latency_path)
    bundle = load_model(model, config, precision)
    timer = StageTimer(is_detailed=latency)
    if raw and record_path is None:
        raise ConfigError("--raw says what to record: give --record FILE")
    tape = Tape() if raw else None
    source = open_source(
        url, rate_hz=rate or 0.0, fallback_hz=bundle.stream_hz, timer=timer, tap=tape
    )
    ready = ready_backend(bundle, backend)
    with ExitStack() as stack:
        inputs = [name for name in (model, config, url.removeprefix("file:")) if name]
        explain = stack.enter_context(open_explain(explain_path, bundle.model_hash, inputs))
        pipeline = Pipeline(bundle, ready, timer, explain=explain)
        stack.enter_context(closing(source))
        source.open()
        start(pipeline, source.info)
        if explain is not None:
            explain.stream = source.info.name
        sinks: list[Sink] = []
        watchers: list[Callable[[Item], None]] = []
        on_tick: Callable[[], None] | None = None
        out: BinaryIO = sys.stdout.buffer
        if record_path is not None:
            from streamrnn.runtime.recorder import Recorder

            recorder = Recorder(
                Path(record_path),
                source.info,
                {"source": public_url(url), **source.metadata},
            )
            stack.enter_context(closing(recorder))
            sinks.append(recorder)
            watchers.append(recorder.push)
            on_tick = partial(recorder.tick, tape)
        if latency:  # before the view: its table comes when the view is over
            from streamrnn.cli.latency import watch_latency

            stack.enter_context(watch_latency(timer, live=not view))
        if view:
            from streamrnn.cli.view import open_view

            screen = open_view(source, pipeline)
            if screen is not None:
                stack.enter_context(screen)
                sinks.append(screen)
                watchers.append(screen.item)
                out = screen.beside(out)
        sinks.insert(0, JsonlSink(out, stats=stats))
        stop = stack.enter_context(stop_on_signals())
        result = run_stream(
            source,
            pipeline,
            sinks,
            stop=stop,
            drop=source.live if drop is None else drop,
            duration_s=duration,
            on_item=watchers,
            on_tick=on_tick,
        )
    say_summary(result, source)
    say_dropped(tape)
    if latency_path is not None:
        from streamrnn.cli.latency import write_picture

        write_picture(latency_path, timer)
