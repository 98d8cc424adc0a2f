"""UDP datagrams as messages."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
import sys
from collections.abc import Hashable
from typing import Any

from streamrnn.core.errors import SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.core.text import printable
from streamrnn.sources.address import host_and_port, joined_address
from streamrnn.sources.base import split_options
from streamrnn.sources.messages.link import MessageLink
from streamrnn.wire.options import KEYS

#: Wanted from the kernel: seconds of a fast board. Linux gives `net.core.rmem_max` at most.
_BUFFER_BYTES = 4 << 20
#: Most datagrams that one read takes.
_MAX_DATAGRAMS = 256
#: Linux counts what did not fit; Python has no name for the option (asm-generic/socket.h).
_SO_RXQ_OVFL = 40
_COUNT = struct.Struct("=I")


class UdpCarrier:
    """A bound UDP socket.

    Parameters
    ----------
    host : str
        Address of this computer on which is listened: 127.0.0.1, or 0.0.0.0 for all.
    port : int
        0 for any.
    """

    def __init__(self, host: str, port: int) -> None:
        self.name = f"udp:{joined_address(host, port)}"
        self.extra: dict[str, int] = {"n_dropped_messages": 0}
        self.hint = ""
        if host in ("127.0.0.1", "localhost", "::1"):
            self.hint = (
                f"{self.name} hears this computer only; for a device in the network "
                f"say udp:0.0.0.0:{port}"
            )
        self._address = (host, port)
        self._socket: socket.socket | None = None
        self._buffer = bytearray(65_536)
        self._view = memoryview(self._buffer)
        self._n_dropped = 0

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._bound().getsockname()[1])

    def open(self) -> None:
        """Bind, or raise `SourceError`."""
        self.close()
        host, port = self._address
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            bound = socket.socket(family, kind)
        except (OSError, ValueError) as error:  # ValueError: no name that a host can have
            why = getattr(error, "strerror", None) or error
            raise SourceError(f"{self.name}: {why}") from error
        try:
            bound.setblocking(False)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            if sys.platform == "linux":
                bound.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            bound.bind(address)
        except OSError as error:
            bound.close()
            raise SourceError(self._why(error)) from error
        self._socket = bound
        self._n_dropped = 0

    def receive(self, timeout_s: float) -> list[tuple[Hashable, bytes]]:
        """Return senders and datagrams; see `Carrier`."""
        bound = self._bound()
        messages: list[tuple[Hashable, bytes]] = []
        try:
            if timeout_s > 0 and not select.select((bound,), (), (), timeout_s)[0]:
                return []
            # One wait for all that is there.
            while len(messages) < _MAX_DATAGRAMS:
                n, notes, _, sender = bound.recvmsg_into([self._buffer], 64)
                messages.append((sender, bytes(self._view[:n])))
                if notes:
                    self._count(notes)
        except BlockingIOError:
            pass
        except (OSError, ValueError) as error:
            if not messages:
                raise LinkLostError(f"{self.name}: {error}") from error
        return messages

    def send(self, to: Hashable, data: bytes) -> None:
        """Send a datagram, or raise `LinkLostError`."""
        assert isinstance(to, tuple)
        try:
            # A full send buffer loses it, as the network may.
            with contextlib.suppress(BlockingIOError):
                self._bound().sendto(data, to)
        except OSError as error:
            raise LinkLostError(f"{self.name}: {error}") from error

    def close(self) -> None:
        """Close the socket; harmless when it is not open."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _bound(self) -> socket.socket:
        if self._socket is None:
            raise LinkLostError(f"{self.name} is not open")
        return self._socket

    def _count(self, notes: list[Any]) -> None:
        """Take the kernel's count of datagrams that it dropped since the socket was opened."""
        for level, kind, data in notes:
            if (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL) and len(data) >= _COUNT.size:
                (n,) = _COUNT.unpack_from(data)
                self.extra["n_dropped_messages"] += (n - self._n_dropped) % (1 << 32)
                self._n_dropped = n

    def _why(self, error: OSError) -> str:
        host, port = self._address
        if error.errno == errno.EADDRINUSE:
            return f"{self.name}: another program listens on port {port}: end it first"
        if error.errno == errno.EADDRNOTAVAIL:
            return (
                f"{self.name}: this computer has no address {printable(host)}: "
                f"name one of its own, or all by udp:0.0.0.0:{port}"
            )
        if error.errno == errno.EACCES:
            return f"{self.name}: no permission for port {port}: take one above 1023"
        return f"{self.name}: {error.strerror or error}"


def open_link(rest: str) -> MessageLink:
    """Return the link of ``udp:[HOST:]PORT``; nothing is bound yet."""
    address, _ = split_options(rest, (), "udp:", KEYS)
    host, port = host_and_port(address, "udp:5005", host="127.0.0.1")
    return MessageLink(UdpCarrier(host, port))
