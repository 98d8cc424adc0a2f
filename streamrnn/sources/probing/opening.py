"""A source opened, or the reason why it cannot be read, looked for as far as possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamrnn.core.errors import SourceError, SourceTimeout
from streamrnn.core.link import Link, LinkLostError
from streamrnn.sources.base import Source
from streamrnn.sources.registry import open_source
from streamrnn.sources.stream import StreamSource
from streamrnn.sources.tap import TapLink
from streamrnn.wire.detect import Detector

#: Bytes that are kept to show what a stream begins with.
_HEAD_BYTES = 4096
#: Share of readable characters from which on bytes are called text.
_TEXT_SHARE = 0.9
_SHOWN_CHARS = 80
#: What boards print when their program fails (ESP-IDF, Mbed, Zephyr, CircuitPython).
_CRASHES = (
    b"Guru Meditation", b"Brownout detector", b"abort() was called", b"MbedOS Error",
    b"FATAL ERROR", b"Traceback (most recent call last)",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opened:
    """An open source, and how it came to be.

    Attributes
    ----------
    source : Source
        Open.
    link : Link or None
        What carries its bytes; None for a source of frames.
    url : str
        The address that works: with the right baud rate, if another one was given.
    notes : tuple of str
        What was found out on the way.
    """

    source: Source
    link: Link | None
    url: str
    notes: tuple[str, ...] = ()


class _Head:
    """Keeps how a stream begins."""

    def __init__(self) -> None:
        self.data = b""
        self.n_bytes = 0

    def __call__(self, data: bytes, _: int) -> None:
        self.n_bytes += len(data)
        self.data += data[: _HEAD_BYTES - len(self.data)]


def open_or_explain(url: str, say: Callable[[str], None]) -> Opened:
    """Open a source; if what it sends makes no sense, find out why.

    A serial port is listened to at the usual baud rates, and opened with the one that fits.

    Parameters
    ----------
    url : str
        As `open_source` takes it.
    say : callable
        Is told what is tried, when that takes a while.

    Raises
    ------
    SourceError
        It cannot be opened or read; the message says why, and what to do.
    ConfigError
        The address makes no sense.
    """
    source, link, head = _tapped(url)
    try:
        source.open()
    except SourceError as error:
        if link is None or not (head.n_bytes or isinstance(error, SourceTimeout)):
            raise
        return _explain(url, link, head, error, say)
    return Opened(source, link, url)


def _tapped(url: str) -> tuple[Source, Link | None, _Head]:
    """Return a source that is not open yet, its link, and what will keep its first bytes."""
    source = open_source(url)
    head = _Head()
    if not isinstance(source, StreamSource):
        return source, None, head
    link = source.link
    source.link = TapLink(link, head)
    return source, link, head


def _explain(
    url: str, link: Link, head: _Head, error: SourceError, say: Callable[[str], None]
) -> Opened:
    """Find out why nothing, or nothing of sense, came from a link that opened."""
    from streamrnn.sources.ports.bauds import USUAL, find_baud, text_share
    from streamrnn.sources.serial import SerialLink

    if text_share(head.data) >= _TEXT_SHARE:
        plain = Detector()
        plain.push(head.data)
        if plain.format is not None:  # it can be read: the options do not fit, as the error says
            raise error
        whole, _, _ = head.data.rpartition(b"\n")
        plain.push(3 * (b"\n" + whole + b"\n"))
        if plain.format is not None:
            raise SourceError(
                f"{link.name}: {head.n_bytes} bytes came, too few to tell what they are: "
                "it takes three lines of numbers, within some seconds"
            ) from error
        crash = next((sign for sign in _CRASHES if sign in head.data), None)
        if crash is not None:
            raise SourceError(
                f"{link.name}: the device's program crashes: it says {_a_line(head.data, crash)}"
            ) from error
        raise SourceError(
            f"{link.name}: text comes, but no lines of numbers; it says {_a_line(head.data)}: "
            "print the values of a frame in one line, separated by commas"
        ) from error
    if not isinstance(link, SerialLink):
        if not head.n_bytes:
            raise error
        raise SourceError(
            f"{link.name}: {head.n_bytes} bytes came that are neither packets nor lines of "
            f"numbers (the first are {head.data[:8].hex(' ')}): does it speak another protocol?"
        ) from error
    wrong = link.baud
    rates = tuple(rate for rate in USUAL if rate != wrong)
    what = "makes no sense" if head.n_bytes else "is silent"
    say(f"{link.name} {what} at {wrong} baud; trying {len(rates)} other rates ...")
    try:
        link.open()
        found = find_baud(link, rates=rates)
    except LinkLostError as lost:
        raise SourceError(f"{link.name} went away while baud rates were tried") from lost
    finally:
        link.close()
    if found is None:
        raise _nothing_fits(link.name, wrong, head, rates) from error
    baud, _ = found
    url = with_option(url, "baud", str(baud))
    source, link_again, _ = _tapped(url)
    source.open()
    return Opened(source, link_again, url, (wrong_baud(baud, wrong),))


def wrong_baud(right: int, wrong: int) -> str:
    """Return that a port speaks at another rate than was asked for."""
    return f"wrong baud rate: it speaks at {right}, not {wrong}: add baud={right} to the address"


def _nothing_fits(name: str, baud: int, head: _Head, rates: tuple[int, ...]) -> SourceError:
    if not head.n_bytes:
        return SourceTimeout(
            f"{name} is silent, at {baud} baud and {len(rates)} other rates: is the device "
            "powered, its program running and printing (press its reset button), and its TX wired "
            "to the adapter's RX?"
        )
    return SourceError(
        f"{name}: {head.n_bytes} bytes came, and they make no sense at {baud} baud or any of "
        f"{len(rates)} usual rates: set an unusual rate by baud=, and check that the grounds are "
        "connected and that the device sends packets or lines of numbers"
    )


def with_option(url: str, key: str, value: str) -> str:
    """Return a URL with an option set; all else stays as it was written."""
    address, _, query = url.partition("?")
    parts = [part for part in query.split("&") if part and part.partition("=")[0] != key]
    return f"{address}?{'&'.join([*parts, f'{key}={value}'])}"


def _a_line(data: bytes, sign: bytes = b"") -> str:
    """Return a whole line with a sign in it, quoted, if there is one: the first may be cut off."""
    found = [line for line in data.splitlines() if sign in line]
    lines = [line.decode("ascii", "replace").strip() for line in found or data.splitlines()]
    if sign:
        return _quoted(lines[0])
    whole = [line for line in lines[1:-1] if line] or [line for line in lines if line] or [""]
    return _quoted(whole[0])


def _quoted(text: str) -> str:
    """Return text as a literal, which escapes what a terminal would obey; bounded."""
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 3]}...")
