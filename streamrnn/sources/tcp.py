"""A TCP connection to a device or a serial server as a link."""

from __future__ import annotations

import select
import socket

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.core.text import printable
from streamrnn.sources.base import option_flag, split_options

_READ_BYTES = 65_536
_CONNECT_S = 5.0


class TcpLink:
    """The client's end of a TCP connection.

    Parameters
    ----------
    host : str
    port : int
    reconnect : bool
        True: a closed connection is a device that may come back. False: it is the end.
    """

    def __init__(self, host: str, port: int, *, reconnect: bool = True) -> None:
        self.name = f"tcp:{host}:{port}"
        self.can_return = reconnect
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Connect, or raise `SourceError`."""
        self.close()
        try:
            self._socket = socket.create_connection(self._address, timeout=_CONNECT_S)
        except OSError as error:
            raise SourceError(
                f"cannot connect to {self.name}: {error.strerror or error} "
                "(is the device on, and the address right?)"
            ) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def read(self, timeout_s: float) -> bytes:
        """Return what has arrived; see `streamrnn.core.link.Link`."""
        connection = self._connected()
        try:
            ready, _, _ = select.select((connection,), (), (), timeout_s)
            if not ready:
                return b""
            data = connection.recv(_READ_BYTES)
        except (OSError, ValueError) as error:
            raise LinkLostError(f"{self.name}: {error}") from error
        if data:
            return data
        if not self.can_return:
            raise EOFError
        raise LinkLostError(f"{self.name} was closed by the other end")

    def write(self, data: bytes) -> None:
        """Send `data`, or raise `LinkLostError`."""
        try:
            self._connected().sendall(data)
        except OSError as error:
            raise LinkLostError(f"{self.name}: {error}") from error

    def close(self) -> None:
        """Disconnect; harmless when not connected."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise LinkLostError(f"{self.name} is not connected")
        return self._socket


def open_link(rest: str) -> TcpLink:
    """Return the link of ``tcp:HOST:PORT[?reconnect=yes]``; it is not connected yet."""
    address, options = split_options(rest, ("reconnect",), "tcp:")
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65_536:
        raise ConfigError(f"tcp: needs HOST:PORT, got {printable(address)!r}")
    reconnect = option_flag(options, "reconnect", True, "tcp:")
    return TcpLink(host.strip("[]"), int(port), reconnect=reconnect)
