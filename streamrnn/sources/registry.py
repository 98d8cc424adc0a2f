"""Source URLs: ``serial:PATH``, ``udp:PORT``, ``file:FILE``, ..., and what plug-ins add."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable
from urllib.parse import parse_qsl

from streamrnn.core.errors import ConfigError
from streamrnn.core.link import Link
from streamrnn.core.registry import Registry
from streamrnn.core.text import printable
from streamrnn.sources.base import Source, Timer
from streamrnn.wire.options import StreamOptions, split


def _serial(rest: str) -> Link:
    from streamrnn.sources.serial import open_link

    return open_link(rest)


def _tcp(rest: str) -> Link:
    from streamrnn.sources.tcp import open_link

    return open_link(rest)


def _udp(rest: str) -> Link:
    from streamrnn.sources.messages.udp import open_link

    return open_link(rest)


def _stdin(rest: str) -> Link:
    from streamrnn.sources.stdin import open_link

    return open_link(rest)


def _mqtt(rest: str) -> Link:
    from streamrnn.sources.messages.mqtt import open_link

    return open_link(rest)


def _file(rest: str) -> Source:
    from streamrnn.sources.file import FileSource

    return FileSource(rest)


def _lsl(rest: str) -> Source:
    from streamrnn.sources.decoded.lsl import open_lsl

    return open_lsl(rest)


def _brainflow(rest: str) -> Source:
    from streamrnn.sources.decoded.brainflow import open_brainflow

    return open_brainflow(rest)


#: What carries bytes; plug-ins add theirs by the entry-point group ``streamrnn.links``.
LINKS: Registry[Link] = Registry(
    "source",
    "streamrnn.links",
    {"serial": _serial, "tcp": _tcp, "udp": _udp, "stdin": _stdin, "mqtt": _mqtt},
)
#: What gives frames; plug-ins add theirs by the entry-point group ``streamrnn.sources``.
SOURCES: Registry[Source] = Registry(
    "source", "streamrnn.sources", {"file": _file, "lsl": _lsl, "brainflow": _brainflow}
)
#: A whole address of each kind that needs one.
EXAMPLES = {
    "serial": "serial:/dev/ttyACM0",
    "tcp": "tcp:192.168.1.7:3333",
    "udp": "udp:5005",
    "mqtt": "mqtt:localhost/glove",
    "file": "file:session.mcap",
    "lsl": "lsl:Myo or lsl:?type=EMG",
    "brainflow": "brainflow:synthetic",
}
#: Options that may hold a secret.
_SECRETS = ("user", "password")


@runtime_checkable
class _Timed(Protocol):
    """A source of frames that says when they arrive."""

    timer: Timer | None


def open_source(
    url: str,
    *,
    rate_hz: float = 0.0,
    fallback_hz: float = 0.0,
    timer: Timer | None = None,
    tap: Callable[[bytes, int], None] | None = None,
) -> Source:
    """Return the source that a URL names; it is not opened yet.

    Parameters
    ----------
    url : str
        ``SCHEME:ADDRESS[?option=value&...]``; docs/sources.md has them all. What stands behind the
        ``?`` of a byte stream are options of the link or those of `StreamOptions`.
    rate_hz : float
        Frame rate of a text stream, which cannot say it itself; 0.0 when unknown. It wins over
        ``rate=`` in the URL.
    fallback_hz : float
        The same, if the URL says nothing either.
    timer : Timer, optional
        Gets the time of the stages of reading.
    tap : callable, optional
        Gets the undecoded bytes and their time; see `streamrnn.sources.tap.TapLink`.

    Raises
    ------
    ConfigError
        No such kind of source, an option that does not exist, or a tap on a source of frames.
    """
    scheme, colon, rest = url.partition(":")
    if not colon:
        hint = f"serial:{url}" if url.startswith("/dev/") else f"file:{url}"
        raise ConfigError(f"{printable(url)!r} names no kind of source; did you mean {hint!r}?")
    # `tcp://HOST:PORT` is what many other programs call it.
    rest = rest.removeprefix("//")
    if not rest and scheme in EXAMPLES:
        raise ConfigError(f"{scheme}: needs an address: {EXAMPLES[scheme]}")
    make_link = None if scheme in SOURCES.builtins else LINKS.find(scheme)
    make_frames = SOURCES.find(scheme) if make_link is None else None
    if make_frames is not None:
        if tap is not None:
            raise ConfigError(f"{scheme}: gives frames: there are no undecoded bytes to keep")
        source = make_frames(rest)
        if isinstance(source, _Timed):
            source.timer = timer
        return source
    make_link = make_link or LINKS.get(scheme, *SOURCES.names())
    options, rest = _split(rest, is_plugin=scheme not in LINKS.builtins)
    link = make_link(rest)
    if tap is not None:
        from streamrnn.sources.tap import TapLink

        link = TapLink(link, tap)
    from streamrnn.sources.stream import StreamSource

    rate_hz = rate_hz or options.rate_hz or fallback_hz
    return StreamSource(link, rate_hz, options=options, timer=timer)


def public_url(url: str) -> str:
    """Return the URL without passwords, as it may be kept and shown."""
    scheme, colon, rest = url.partition(":")
    address, mark, query = rest.partition("?")
    user, at, host = address.rpartition("@")
    if at and scheme in LINKS.builtins:
        address = host if "/" not in user.removeprefix("//") else address
    parts = [part for part in query.split("&") if part.partition("=")[0] not in _SECRETS]
    return f"{scheme}{colon}{address}{mark if parts else ''}{'&'.join(parts)}"


def _split(rest: str, *, is_plugin: bool) -> tuple[StreamOptions, str]:
    """Return the options of the stream, and the address with those of the link.

    A plug-in gets ``rate`` too: the simulator sends at that rate, in whatever form.
    """
    address, mark, query = rest.partition("?")
    if not mark:
        return StreamOptions(), rest
    parts = [part for part in query.split("&") if part]
    values: dict[str, str] = {}
    for part in parts:
        values.update(parse_qsl(part, keep_blank_values=True) or [(part, "")])
    options, others = split(values)
    # What the link gets stays as it was written: it may decode it in its own way.
    kept = [part for part in parts if _key(part) in others or (is_plugin and _key(part) == "rate")]
    return options, f"{address}?{'&'.join(kept)}" if kept else address


def _key(part: str) -> str:
    ((key, _),) = parse_qsl(part, keep_blank_values=True) or [(part, "")]
    return key
