"""Source URLs: ``serial:PATH``, ``tcp:HOST:PORT``, ``file:FILE``, and links that plug-ins add."""

from __future__ import annotations

from streamrnn.core.errors import ConfigError
from streamrnn.core.link import Link
from streamrnn.core.registry import Registry
from streamrnn.core.text import printable
from streamrnn.sources.base import Source, Timer


def _serial(rest: str) -> Link:
    from streamrnn.sources.serial import open_link

    return open_link(rest)


def _tcp(rest: str) -> Link:
    from streamrnn.sources.tcp import open_link

    return open_link(rest)


#: The links; plug-ins add theirs by the entry-point group ``streamrnn.links``.
LINKS: Registry[Link] = Registry("source", "streamrnn.links", {"serial": _serial, "tcp": _tcp})


def open_source(url: str, *, rate_hz: float = 0.0, timer: Timer | None = None) -> Source:
    """Return the source that a URL names; it is not opened yet.

    Parameters
    ----------
    url : str
        ``serial:PATH[?baud=115200]``, ``tcp:HOST:PORT``, ``file:FILE``, or a plug-in's.
    rate_hz : float
        Frame rate of a text stream, which cannot say it itself; 0.0 when unknown.
    timer : Timer, optional
        Gets the time of the stage ``decode``.

    Raises
    ------
    ConfigError
        No such kind of source, or an option that does not exist.
    """
    scheme, colon, rest = url.partition(":")
    if not colon:
        hint = f"serial:{url}" if url.startswith("/dev/") else f"file:{url}"
        raise ConfigError(f"{printable(url)!r} names no kind of source; did you mean {hint!r}?")
    if not rest and scheme in ("serial", "tcp", "file"):
        raise ConfigError(f"{scheme}: needs an address: {_EXAMPLES[scheme]}")
    if scheme == "file":
        from streamrnn.sources.file import FileSource

        return FileSource(rest)
    from streamrnn.sources.stream import StreamSource

    return StreamSource(LINKS.get(scheme, "file")(rest), rate_hz, timer=timer)


_EXAMPLES = {
    "serial": "serial:/dev/ttyACM0",
    "tcp": "tcp:192.168.4.1:5000",
    "file": "file:session.mcap",
}
