"""Network addresses as they are written on the command line."""

from __future__ import annotations

import socket
from typing import Any

from streamrnn.core.errors import ConfigError
from streamrnn.core.text import printable

#: Where a board listens and speaks when nobody names another machine.
LOOPBACK = "127.0.0.1"


def host_and_port(text: str, what: str, port: int | None = None) -> tuple[str, int]:
    """Return the parts of ``HOST:PORT``, ``[HOST]:PORT``, ``PORT`` or nothing.

    Parameters
    ----------
    text : str
        Without a host it is this machine's loopback: nobody else can reach it.
    what : str
        For the error: ``tcp``.
    port : int, optional
        The port where none is written; without it one must be.

    Raises
    ------
    ConfigError
        It is no address.
    """
    host, colon, number = text.rpartition(":")
    if not colon and text and not text.isdigit():
        host, number = text, ""
    if not number and port is not None:
        number = str(port)
    host = host.removeprefix("[").removesuffix("]") or LOOPBACK
    is_port = number.isascii() and number.isdigit() and len(number) <= 5 and int(number) < 65_536
    if not is_port or not host.isprintable() or any(c in host for c in " /?@[]"):
        raise ConfigError(f"{what}: write HOST:PORT or PORT, got {printable(text, 60)!r}")
    return host, int(number)


def shown(host: str, port: int) -> str:
    """Return ``HOST:PORT``, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def resolve(host: str, port: int, kind: socket.SocketKind) -> tuple[socket.AddressFamily, Any]:
    """Return the family and the socket address of a host.

    Raises
    ------
    OSError
        There is no such host.
    """
    family, _, _, _, where = socket.getaddrinfo(host, port, type=kind)[0]
    return family, where
