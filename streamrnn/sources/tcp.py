"""A TCP connection to a device or a serial server as a link."""

from __future__ import annotations

import contextlib
import select
import socket

from streamrnn.core.errors import SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.sources.address import host_and_port, joined_address
from streamrnn.sources.base import option_flag, split_options
from streamrnn.wire.options import KEYS

_READ_BYTES = 65_536
#: How long a connection may take to be made: the first one, and one that was there before.
_CONNECT_S = 5.0
_CONNECT_AGAIN_S = 1.0
#: How long a peer that does not read may hold up a command, and with it the frames behind.
_WRITE_S = 1.0
#: A peer that was switched off says nothing, not even that it is gone. The kernel asks it after
#: this many silent seconds, every so often, so many times; and waits for it to take what is sent.
_KEEPALIVE = {"TCP_KEEPIDLE": 3, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 6_000}


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
        self.name = f"tcp:{joined_address(host, port)}"
        self.can_return = reconnect
        self._address = (host, port)
        self._socket: socket.socket | None = None
        self._timeout_s = _CONNECT_S

    def open(self) -> None:
        """Connect, or raise `SourceError`."""
        self.close()
        try:
            connection = socket.create_connection(self._address, self._timeout_s)
        except (OSError, ValueError) as error:  # ValueError: no name that a host can have
            why = getattr(error, "strerror", None) or error
            raise SourceError(
                f"cannot connect to {self.name}: {why} (is the device on, and the address right?)"
            ) from error
        self._socket = connection
        self._timeout_s = _CONNECT_AGAIN_S
        # Some systems refuse options of a connection that the other end has closed already.
        with contextlib.suppress(OSError):
            connection.settimeout(_WRITE_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE.items():
                if hasattr(socket, option):
                    connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

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
    address, options = split_options(rest, ("reconnect",), "tcp:", KEYS)
    host, port = host_and_port(address, "tcp:192.168.1.7:3333")
    return TcpLink(host, port, reconnect=option_flag(options, "reconnect", True, "tcp:"))
