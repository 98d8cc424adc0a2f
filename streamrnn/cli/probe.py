"""``streamrnn probe``: what a source is, and how well it works."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from streamrnn.sources.probing.listening import Listener
    from streamrnn.sources.probing.opening import Opened


@click.command(short_help="Say what a source sends, and how well.")
@click.argument("url", metavar="SOURCE")
@click.option(
    "--duration", "seconds", type=click.FloatRange(0, min_open=True), default=5.0,
    show_default=True, help="Seconds to listen.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what was found as one JSON object.")
def command(*, url: str, seconds: float, as_json: bool) -> None:
    """Say what SOURCE is (serial:PATH, serial:auto, tcp:HOST:PORT, udp:PORT, sim:, file:FILE, ...).

    Format, device, channels, rate, jitter, losses, and what each channel gives; then what to mind,
    and what to type next. A serial port that makes no sense is listened to at the usual baud rates.
    If it does not work: the cause and the fix, exit code 1. Ctrl-C ends early.
    """
    import threading

    from streamrnn.cli.live import say, say_when_compiling, stop_on_signals
    from streamrnn.core.errors import SourceError
    from streamrnn.runtime.warmup import warm_up_decoder
    from streamrnn.sources.probing.listening import Listener, listen
    from streamrnn.sources.probing.opening import open_or_explain

    say_when_compiling()
    warm_up_decoder()
    opened = open_or_explain(url, say)
    source = opened.source
    listener = Listener(source.info)
    trouble: SourceError | None = None
    stop = threading.Event()
    ended = ""
    with ExitStack() as stack:
        stack.enter_context(closing(source))
        stop = stack.enter_context(stop_on_signals())
        if source.live and not as_json:
            say(f"{source.name}: listening for {seconds:g} s ...")
        try:
            ended = listen(source, listener, seconds, stop)
        except SourceError as error:  # what is known so far is said first
            trouble = error
        _show(opened, listener, ended, as_json)
    if trouble is not None:
        raise trouble


def _show(opened: Opened, listener: Listener, ended: str, as_json: bool) -> None:
    """Print what is known."""
    from streamrnn.cli.probe_advice import advice, next_command
    from streamrnn.cli.probe_report import report, report_lines

    document = report(opened, listener, ended)
    document["advice"] = advice(document, opened, listener)
    document["next"] = next_command(document, opened)
    if as_json:
        click.echo(json.dumps(document, allow_nan=False))
        return
    for line in report_lines(document, listener):
        click.echo(line)
