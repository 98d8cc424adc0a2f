"""A board that sends datagrams, one packet or line each, to one address."""

from __future__ import annotations

import errno
import socket

from firmware_sim.cables.address import resolve, shown
from streamrnn.core.errors import SourceError

_MAX_DATAGRAM = 65_536
#: The network is full for now; anything else that fails means that nobody is there.
_FULL = (errno.EAGAIN, errno.ENOBUFS)


class UdpCable:
    """A socket that sends to one address; see `firmware_sim.cables.server.Cable`.

    Only what comes back from that address is taken for commands. Nothing holds the board back: a
    datagram that the other machine has no room for is lost, and nobody knows. On this machine a
    port where nobody listens is noticed.

    Parameters
    ----------
    host : str
    port : int
    """

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._socket: socket.socket | None = None
        self._last = b""
        self._again = b""

    @property
    def address(self) -> str:
        """``udp:HOST:PORT``: where the datagrams go."""
        return f"udp:{shown(*self._to)}"

    def plug(self) -> None:
        """Open a socket, or raise `SourceError`."""
        try:
            family, where = resolve(*self._to, socket.SOCK_DGRAM)
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            self._socket.connect(where)  # takes no datagrams from anyone else
        except OSError as error:
            raise SourceError(f"cannot send to {self.address}: {error.strerror}") from error

    def unplug(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._last = self._again = b""

    def incoming(self) -> list[int]:
        """Return the socket, unless it is unplugged."""
        return [] if self._socket is None else [self._socket.fileno()]

    def outgoing(self) -> list[int]:
        """Return nothing: a socket of datagrams says that it has room though nobody is there."""
        return []

    def receive(self) -> bytes:
        """Return the datagrams that came back."""
        assert self._socket is not None
        try:
            return self._socket.recv(_MAX_DATAGRAM)
        except OSError:  # an earlier datagram was refused: `send` finds that out by itself
            return b""

    def send(self, data: bytes, begin: int) -> int:
        """Send a datagram; -1 when it was refused."""
        if self._again:
            n_taken = self._try(self._again)
            if n_taken <= 0:
                return n_taken
            self._again = b""
        n_taken = self._try(data)
        if n_taken > 0:
            self._last = data
        return n_taken

    def _try(self, data: bytes) -> int:
        assert self._socket is not None
        try:
            self._socket.send(data)
        except ConnectionRefusedError:
            # A busy machine tells it only now: it was the one before that found nobody.
            self._again = self._again or self._last
            return -1
        except OSError as error:
            return 0 if error.errno in _FULL else -1
        # Within this machine, a refusal is known as soon as it is sent.
        was_refused = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return -1 if was_refused else len(data)

    def has_reader(self) -> bool:
        """Return True: who listens to datagrams is not known before they are sent."""
        return True

    def n_unread(self) -> int:
        """Return 0: nobody knows."""
        return 0

    def hang_up(self, timeout_s: float, wake: int) -> None:
        """Do nothing: there is nobody to tell."""
