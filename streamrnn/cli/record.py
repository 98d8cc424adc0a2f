"""``streamrnn record``: a labelled session from a device."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamrnn.core.errors import ConfigError

if TYPE_CHECKING:
    from streamrnn.cli.keys import Keys
    from streamrnn.runtime.flow import Flow
    from streamrnn.runtime.recorder import Recorder


@click.command(short_help="Record a labelled session from a device.")
@click.argument("url", metavar="SOURCE")
@click.option("-o", "--output", required=True, type=click.Path(), help="Session file (.mcap).")
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds of stream time.")
@click.option("--subject", default="", help="Who does the gestures; splits go by it.")
@click.option("--note", default="", help="Kept with the session.")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True),
    help="Frame rate of a text stream, Hz.",
)  # fmt: skip
@click.option("--keys", "key_text", default="", metavar="a=left,b=right", help="Labels by key.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def command(
    *,
    url: str,
    output: str,
    duration: float | None,
    subject: str,
    note: str,
    rate: float | None,
    key_text: str,
    overwrite: bool,
) -> None:
    """Record frames and labels from SOURCE: serial:PATH, tcp:HOST:PORT, sim:, ...

    Labels come from the board (its EVENT packets) and from --keys: press a key to begin a label,
    and again to end it. Nothing is dropped; an unplugged device may come back. Ctrl-C ends.
    """
    from streamrnn.cli.keys import Keys, open_keys, parse_keys
    from streamrnn.cli.live import bad_input, say, say_when_compiling, stop_on_signals
    from streamrnn.runtime.flow import Flow
    from streamrnn.runtime.recorder import Recorder
    from streamrnn.runtime.warmup import warm_up_decoder
    from streamrnn.sources import open_source

    labels = parse_keys(key_text) if key_text else {}
    say_when_compiling()
    warm_up_decoder()
    source = open_source(url, rate_hz=rate or 0.0)
    with ExitStack() as stack:
        stack.enter_context(closing(source))
        source.open()
        if source.info.rate_hz <= 0:
            raise ConfigError(f"{source.name}: a text stream does not say its rate: give --rate HZ")
        metadata = {"source": url, "subject": subject, "notes": note, **source.metadata}
        recorder = Recorder(
            Path(output),
            source.info,
            {key: value for key, value in metadata.items() if value},
            overwrite=overwrite,
        )
        stack.enter_context(closing(recorder))
        keys = stack.enter_context(open_keys()) if labels else Keys(-1)
        for key, label in labels.items():
            say(f"key {key}: {label}")
        stop = stack.enter_context(stop_on_signals())
        flow = Flow(source, stop, drop=False, duration_s=duration)
        _record(flow, recorder, keys, labels)
    ended = {"stopped": "stopped", "duration": "done"}.get(flow.ended, "the stream ended")
    counters = source.counters
    parts = [_progress(flow, recorder), *bad_input({**asdict(counters), **counters.extra})]
    say(f"{ended}: {', '.join(parts)} -> {output}")


def _record(flow: Flow, recorder: Recorder, keys: Keys, labels: dict[str, str]) -> None:
    begin_s = shown_s = time.monotonic()
    in_place = sys.stderr.isatty()
    try:
        with closing(flow.batches()) as batches:
            for items in batches:
                for item in items:
                    recorder.push(item)
                for key in keys.pressed():
                    if key in labels:
                        recorder.toggle(labels[key])
                now_s = time.monotonic()
                if now_s - shown_s >= 1.0:
                    rate = recorder.n_frames / (now_s - begin_s)
                    line = f"{_progress(flow, recorder)}, {rate:.0f} frames/s"
                    click.echo(f"\r{line}\x1b[K" if in_place else line, err=True, nl=not in_place)
                    shown_s = now_s
    finally:
        if in_place and shown_s > begin_s:
            click.echo("", err=True)


def _progress(flow: Flow, recorder: Recorder) -> str:
    open_label = f" ({recorder.open_label} ...)" if recorder.open_label else ""
    return (
        f"{flow.clock.covered_s:.1f} s, {recorder.n_frames} frames, "
        f"{recorder.n_labels} labels{open_label}, {recorder.n_missing} frames lost"
    )
