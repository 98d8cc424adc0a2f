"""``streamrnn record``: a labelled session from a device."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from threading import Event
from typing import TYPE_CHECKING

import click

from streamrnn.core.errors import ConfigError
from streamrnn.core.text import printable

if TYPE_CHECKING:
    from streamrnn.cli.keys import Keys
    from streamrnn.cli.record_view import Screen
    from streamrnn.runtime.flow import Flow
    from streamrnn.runtime.guide import GuideConfig
    from streamrnn.runtime.recording import Recording
    from streamrnn.sources.base import Source

#: How long a rate that nobody says is measured.
MEASURE_S = 5.0


@click.command(short_help="Record a labelled session from a device.")
@click.argument("url", metavar="SOURCE")
@click.option(
    "-o", "--output", required=True, type=click.Path(),
    help="Session file (.mcap), or a folder: then a name is made there.",
)  # fmt: skip
@click.option(
    "--gestures", metavar="wave,circle,tap",
    help="Lead through a recording of these gestures, in random order.",
)  # fmt: skip
@click.option("--reps", default=10, show_default=True, help="How often each gesture is done.")
@click.option(
    "--seconds-per-gesture", "gesture_s", default=1.5, show_default=True,
    help="How long a gesture has, and its label: no longer than people need.",
)  # fmt: skip
@click.option(
    "--null/--no-null", "with_null", default=True,
    help="Ask for anything else, too, so that the model learns what is no gesture (default: yes).",
)  # fmt: skip
@click.option("--seed", type=int, help="Of the order; the same seed gives the same order.")
@click.option("--bell/--no-bell", default=True, help="Ring the terminal's bell at each gesture.")
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds of stream time.")
@click.option("--subject", default="", help="Who does the gestures; splits go by it.")
@click.option("--placement", default="", help="Where the sensor is worn: left wrist, ...")
@click.option("--note", default="", help="Kept with the session.")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True),
    help="Frame rate of a text stream, Hz (default: measured).",
)  # fmt: skip
@click.option("--keys", "key_text", default="", metavar="a=left,b=right", help="Labels by key.")
@click.option("--raw", is_flag=True, help="Keep the undecoded bytes, too (for replay --raw).")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def command(
    *,
    url: str,
    output: str,
    gestures: str | None,
    reps: int,
    gesture_s: float,
    with_null: bool,
    seed: int | None,
    bell: bool,
    duration: float | None,
    subject: str,
    placement: str,
    note: str,
    rate: float | None,
    key_text: str,
    raw: bool,
    overwrite: bool,
) -> None:
    """Record frames and labels from SOURCE: serial:PATH, tcp:HOST:PORT, sim:, ...

    With --gestures it says what to do and when, and labels it. Labels come from the board (its
    EVENT packets) and from --keys, too: press a key to begin a label, and again to end it. Nothing
    is dropped; an unplugged device may come back. Keys: u takes the last label back, space waits
    and goes on, s skips, q ends.
    """
    from streamrnn.cli.keys import Keys, open_keys
    from streamrnn.cli.live import say, say_when_compiling, stop_on_signals
    from streamrnn.cli.record_file import recording_path, say_dropped, summary
    from streamrnn.cli.record_view import open_screen
    from streamrnn.runtime.flow import Flow
    from streamrnn.runtime.guide import Guide
    from streamrnn.runtime.recorder import Recorder
    from streamrnn.runtime.recording import Recording
    from streamrnn.runtime.warmup import warm_up_decoder
    from streamrnn.sources import open_source
    from streamrnn.sources.registry import public_url
    from streamrnn.sources.tap import Tape

    plan = _plan(gestures, reps, gesture_s, with_null, seed)
    path = recording_path(output, subject, time.time())
    tape = Tape() if raw else None
    say_when_compiling()
    warm_up_decoder()
    source = open_source(url, rate_hz=rate or 0.0, tap=tape)
    with ExitStack() as stack:
        stack.enter_context(closing(source))
        source.open()
        _know_rate(source)
        metadata = {
            "source": public_url(url),
            "subject": subject,
            "placement": placement,
            "notes": note,
            "plan": _describe(plan),
            **source.metadata,
        }
        recorder = Recorder(
            path,
            source.info,
            {key: value for key, value in metadata.items() if value},
            overwrite=overwrite,
        )
        stack.enter_context(closing(recorder))
        stack.callback(lambda: recorder.remember(source.timing))
        recording = Recording(source, recorder, Guide(plan) if plan else None, tape)
        stop = stack.enter_context(stop_on_signals())
        actions = _actions(recording, key_text, stop)
        wants_keys = plan is not None or bool(key_text)
        stdin_is_taken = url.startswith("stdin:")
        keys = (
            stack.enter_context(open_keys(stdin_is_taken=stdin_is_taken))
            if wants_keys
            else Keys(-1)
        )
        flow = Flow(source, stop, drop=False, duration_s=duration)
        help_line = _help(key_text, has_plan=plan is not None)
        with open_screen(flow, recording, help_line, bell) as screen:
            _record(flow, recording, screen, keys, actions)
    say_dropped(tape)
    for line in summary(flow, recording, path):
        say(line)


def _record(
    flow: Flow,
    recording: Recording,
    screen: Screen,
    keys: Keys,
    actions: dict[str, Callable[[], None]],
) -> None:
    rate_checked_s = time.monotonic()
    with closing(flow.batches()) as batches:
        for items in batches:
            remarks = recording.push(items)
            screen.items(items)
            for key in keys.pressed():
                if key in actions:
                    actions[key]()
            if time.monotonic() - rate_checked_s > 1.0:
                rate_checked_s = time.monotonic()
                remarks += recording.check_rate()
            _show(recording, screen, remarks)
            if recording.is_over:
                actions["q"]()
    _show(recording, screen, recording.finish())


def _show(recording: Recording, screen: Screen, remarks: list[str]) -> None:
    for text in remarks:
        screen.remark(text)
    steps, recording.steps = recording.steps, []
    screen.steps(steps)
    screen.draw()


def _know_rate(source: Source) -> None:
    """Measure the rate of a stream that does not say it: times are counted by it."""
    from streamrnn.cli.live import say
    from streamrnn.sources.stream import StreamSource

    if source.info.rate_hz <= 0 and source.live and isinstance(source, StreamSource):
        say(f"the stream does not say its rate: measuring it for {MEASURE_S:g} s ...")
        source.measure(MEASURE_S)
        if source.info.rate_hz > 0:
            say(f"it runs at {source.info.rate_hz:.6g} Hz (--rate says it at once)")
    if source.info.rate_hz <= 0:
        raise ConfigError(f"{source.name}: a text stream does not say its rate: give --rate HZ")


def _plan(
    gestures: str | None, reps: int, gesture_s: float, with_null: bool, seed: int | None
) -> GuideConfig | None:
    from streamrnn.runtime.guide import GuideConfig

    if gestures is None:
        return None
    names = tuple(name.strip() for name in gestures.split(","))
    null_s = {} if with_null else {"null_s": 0.0}
    seed = int.from_bytes(os.urandom(4), "little") if seed is None else seed
    return GuideConfig(names, reps, gesture_s, seed=seed, **null_s)


def _describe(plan: GuideConfig | None) -> str:
    if plan is None:
        return ""
    null = f"{plan.null_s:g} s of anything else each time round" if plan.null_s else "no null"
    return (
        f"{', '.join(plan.gestures)}: {plan.reps} times {plan.gesture_s:g} s, {null}, "
        f"seed {plan.seed}"
    )


def _actions(recording: Recording, key_text: str, stop: Event) -> dict[str, Callable[[], None]]:
    """Return what each key does. Without a guide a label may have the key of undo or of the end.

    Raises
    ------
    ConfigError
        A key is wanted for two things.
    """
    from functools import partial

    from streamrnn.cli.keys import parse_keys

    labels = parse_keys(key_text) if key_text else {}
    actions: dict[str, Callable[[], None]] = {"u": partial(_undo, recording), "q": stop.set}
    if recording.guide is not None:
        actions |= {"s": recording.skip, " ": recording.toggle_pause}
    for key, label in labels.items():
        if recording.guide is not None and key in actions:
            raise ConfigError(
                f"--keys: {printable(key)!r} has a meaning of its own with --gestures"
            )
        actions[key] = partial(recording.recorder.toggle, label)
    return actions


def _undo(recording: Recording) -> None:
    recording.undo()


def _help(key_text: str, *, has_plan: bool) -> str:
    """Return the keys as one line."""
    from streamrnn.cli.keys import parse_keys

    labels = parse_keys(key_text) if key_text else {}
    parts = [f"{printable(key)}: {printable(label, 40)}" for key, label in labels.items()]
    if has_plan:
        parts += ["u: undo the last one", "space: pause", "s: skip", "q: finish"]
    elif labels:
        parts += [f"{key}: {what}" for key, what in (("u", "undo the last one"), ("q", "finish"))
                  if key not in labels]  # fmt: skip
    return f"keys  {'   '.join(parts)}" if parts else ""
