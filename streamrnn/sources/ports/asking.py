"""What answers at each port: asked of all at the same time, and not for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamrnn.core.errors import SourceError, SourceTimeout
from streamrnn.core.types import Channel, Frames
from streamrnn.sources.ports.finding import address_of
from streamrnn.sources.ports.holders import Holder, holders
from streamrnn.sources.ports.listing import Port
from streamrnn.sources.ports.trouble import in_use
from streamrnn.sources.serial import BAUD, SerialLink
from streamrnn.sources.stream import StreamSource
from streamrnn.sources.tap import TapLink
from streamrnn.wire.detect import Detector

#: How long one port may take, in seconds.
LIMIT_S = 1.5
#: Of that, for the first sense to be made of it; the rest is for the rate of a text stream.
_OPEN_SHARE, _GARBAGE_SHARE = 0.7, 0.5
#: The system may take longer to open and close a port.
_GRACE_S = 1.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a port.

    Attributes
    ----------
    port : Port
    address : str
        What to give to the other commands: ``serial:usb=A1B2C3``.
    state : {"free", "answers", "silent", "unclear", "busy", "trouble"}
        Nobody has it open, and it was not asked; it was, and sends frames; or nothing; or what
        makes no sense. Somebody has it open. It does not open.
    text : str
        What to say of it, and to do; ``""`` where the rest says it.
    holders : tuple of Holder
        Who has it open, as far as can be seen.
    format, name, firmware : str
        Of the stream and the device; ``""`` when unknown.
    channels : tuple of Channel
    rate_hz : float
        What it says; of text what was counted, roughly. 0.0 when unknown.
    """

    port: Port
    address: str
    state: str
    text: str = ""
    holders: tuple[Holder, ...] = ()
    format: str = ""
    name: str = ""
    firmware: str = ""
    channels: tuple[Channel, ...] = ()
    rate_hz: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        port = self.port
        return {
            "address": self.address,
            "path": port.path,
            "by_id": port.by_id,
            "description": port.description,
            "vendor": port.vendor,
            "product": port.product,
            "usb_id": f"{port.vid:04x}:{port.pid or 0:04x}" if port.vid is not None else "",
            "serial_number": port.serial_number,
            "location": port.location,
            "state": self.state,
            "text": self.text,
            "holders": [{"pid": who.pid, "program": who.program} for who in self.holders],
            "format": self.format,
            "name": self.name,
            "firmware": self.firmware,
            "rate_hz": self.rate_hz,
            "channels": [{"name": c.name, "unit": c.unit} for c in self.channels],
        }


def look_at(ports: Sequence[Port]) -> list[Answer]:
    """Return who has which port open, without opening any."""
    return [_free_or_busy(port, address_of(port, ports)) for port in ports]


def ask(ports: Sequence[Port], limit_s: float = LIMIT_S) -> list[Answer]:
    """Return what answers at each USB port; those that are in use are not touched.

    Boards that speak the wire are asked for HELLO and not started; other lines are listened to.

    Parameters
    ----------
    ports : sequence of Port
    limit_s : float
        For each port; all are asked at the same time.
    """
    Detector()  # compiles what all of them need
    answers = look_at(ports)
    threads = []
    for n, answer in enumerate(answers):
        if answer.state == "free" and not answer.port.is_usb:
            # It may be the console of this machine: nothing is written there unasked.
            answers[n] = _with(
                answer, "free", f"not on USB, so not asked: streamrnn probe {answer.address} asks"
            )
        elif answer.state == "free":

            def work(n: int = n, answer: Answer = answer) -> None:
                answers[n] = _ask(answer, limit_s)

            # A driver may hang: then this thread is left behind.
            threads.append(threading.Thread(target=work, name="ask", daemon=True))
            answers[n] = _with(answer, "trouble", f"did not open within {limit_s + _GRACE_S:g} s")
            threads[-1].start()
    until_s = time.monotonic() + limit_s + _GRACE_S
    for thread in threads:
        thread.join(max(0.0, until_s - time.monotonic()))
    return list(answers)


def _free_or_busy(port: Port, address: str) -> Answer:
    who = tuple(holders(port.path))
    if who:
        return Answer(port, address, "busy", in_use(port.path, who), who)
    return Answer(port, address, "free")


def _with(answer: Answer, state: str, text: str) -> Answer:
    return Answer(answer.port, answer.address, state, text)


def _ask(answer: Answer, limit_s: float) -> Answer:
    """Ask one port."""
    until_s = time.monotonic() + limit_s
    n_bytes = 0

    def count(data: bytes, _: int) -> None:
        nonlocal n_bytes
        n_bytes += len(data)

    link = SerialLink(answer.port.path, lister=lambda: [answer.port])
    source = StreamSource(
        TapLink(link, count), open_timeout_s=_OPEN_SHARE * limit_s,
        garbage_s=_GARBAGE_SHARE * limit_s,
    )  # fmt: skip
    try:
        source.open()
        try:
            rate_hz = source.info.rate_hz
            if not rate_hz and source.format != "wire":
                rate_hz = _count_lines(source, until_s)
            info = source.info
        finally:
            source.close()
    except SourceTimeout:
        return _with(
            answer, "silent", f"nothing comes at {BAUD} baud (a board that starts anew when its "
            f"port is opened may need longer: streamrnn probe {answer.address})",
        )  # fmt: skip
    except SourceError as error:
        if not n_bytes:
            return _with(answer, "trouble", str(error))
        return _with(
            answer, "unclear", f"{n_bytes} bytes at {BAUD} baud make no sense: "
            f"`streamrnn probe {answer.address}` tries other rates",
        )  # fmt: skip
    return Answer(
        answer.port, answer.address, "answers", "", (), source.format, info.name, info.firmware,
        info.channels, rate_hz,
    )  # fmt: skip


def _count_lines(source: StreamSource, until_s: float) -> float:
    """Return how many lines come in a second, roughly; 0.0 with too few to tell."""
    times_s: list[tuple[float, int]] = []
    while time.monotonic() < until_s:
        n = sum(len(item) for item in source.read(0.02) if isinstance(item, Frames))
        if n:
            times_s.append((time.monotonic(), n))
    if len(times_s) < 3:
        return 0.0
    # The first read may hold what had gathered before.
    return float(sum(n for _, n in times_s[1:]) / (times_s[-1][0] - times_s[0][0]))
