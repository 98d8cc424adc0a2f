"""``streamrnn devices``: the serial ports, and what answers there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from streamrnn.core.text import counted, printable

if TYPE_CHECKING:
    from streamrnn.sources.ports.asking import Answer

#: Channels that are named; a device may have hundreds.
_MAX_NAMED = 12


@click.command(short_help="List the serial ports and what answers there.")
@click.option("--ask/--no-ask", default=True, help="Open free USB ports and listen, for 1.5 s.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of all as JSON.")
def command(*, ask: bool, as_json: bool) -> None:
    """List the serial ports, what is plugged in, who has them open, and what answers there.

    To ask, a free USB port is opened, and a board that speaks packets is asked what it is. Boards
    like the Arduino Uno start anew when their port is opened for the first time since they were
    plugged in: no program can prevent that. --no-ask opens nothing.
    """
    from streamrnn.sources.ports.asking import ask as ask_all
    from streamrnn.sources.ports.asking import look_at
    from streamrnn.sources.ports.listing import serial_ports
    from streamrnn.sources.ports.trouble import without_driver

    ports = serial_ports()
    if ask and ports:
        from streamrnn.cli.live import say_when_compiling

        say_when_compiling()
    answers = ask_all(ports) if ask and ports else look_at(ports)
    if as_json:
        click.echo(json.dumps([answer.to_dict() for answer in answers], allow_nan=False))
        return
    for line in (*_lines(answers), *_hints(answers, without_driver())):
        click.echo(line)


def _lines(answers: list[Answer]) -> Iterator[str]:
    for answer in answers:
        port = answer.port
        about = [text for text in (port.product or port.description, port.vendor) if text]
        if port.vid is not None:
            about.append(f"{port.vid:04x}:{port.pid or 0:04x}")
            number = port.serial_number
            about.append(f"serial number {number}" if number else "no serial number")
        yield f"{port.path:<14}{printable(', '.join(about), 300) or 'not on USB'}"
        yield f"    address   {answer.address}"
        if port.by_id:
            yield f"    by id     {printable(port.by_id, 300)}"
        yield f"    {answer.state:<10}{printable(_said(answer), 600)}"


def _said(answer: Answer) -> str:
    if answer.state == "free":
        return answer.text or "nobody has it open, as far as can be seen"
    if answer.state != "answers":
        return answer.text
    named = [c.name + (f" [{c.unit}]" if c.unit else "") for c in answer.channels[:_MAX_NAMED]]
    n_more = len(answer.channels) - len(named)
    listed = ", ".join(named) + (f" and {n_more} more" if n_more else "")
    who = f"{answer.name} {answer.firmware}".strip()
    rate = f" at {answer.rate_hz:g} Hz" if answer.rate_hz else ""
    if answer.format != "wire" and answer.rate_hz:
        rate = f", about {answer.rate_hz:.0f} lines a second"
    channels = counted(len(answer.channels), "channel")
    return f"{f'{who}: ' if who else ''}{answer.format}, {channels} ({listed}){rate}"


def _hints(answers: list[Answer], undriven: list[str]) -> Iterator[str]:
    yield from undriven
    if not answers and not undriven:
        yield (
            "no serial port: plug a board in (some USB cables only charge); "
            "`streamrnn run --source sim:` needs none"
        )
    first = next((answer for answer in answers if answer.state == "answers"), None)
    if first is not None:
        yield f"look closer: streamrnn probe {first.address}"
