"""Bytes on their way from one socket to another, and two such ways as a connection."""

from __future__ import annotations

import contextlib
import socket

#: Bytes that wait for a slow receiver; the sender is made to wait behind them.
MAX_WAITING_BYTES = 65_536
_READ_BYTES = 16_384


class Lane:
    """One direction of a connection. The sockets must not block.

    Attributes
    ----------
    waiting : bytearray
        What has been read and not yet been written.
    is_over : bool
        The source has said that nothing follows.
    is_done : bool
        And all of it has been written and said.
    is_broken : bool
        One of the ends has gone.
    """

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.waiting = bytearray()
        self.is_over = self.is_done = self.is_broken = False

    @property
    def has_room(self) -> bool:
        """True while the source may be read."""
        return not self.is_over and len(self.waiting) < MAX_WAITING_BYTES

    @property
    def wants_to_write(self) -> bool:
        """True while the sink is to get something: bytes, or the end."""
        return bool(self.waiting) or (self.is_over and not self.is_done)

    def read(self) -> bytes:
        """Return what has come; the caller puts it into `waiting`."""
        try:
            data = self.source.recv(_READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            self.is_broken = True
            return b""
        self.is_over = not data
        return data

    def write(self, n_most: int = MAX_WAITING_BYTES) -> int:
        """Write what waits, `n_most` bytes at most; return how many the sink took."""
        n_taken = 0
        try:
            if self.waiting and n_most:
                n_taken = self.sink.send(self.waiting[:n_most])
                del self.waiting[:n_taken]
            if self.is_over and not self.waiting and not self.is_done:
                self.is_done = True
                self.sink.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return n_taken
        except OSError:
            self.is_broken = True
        return n_taken


class Connection:
    """A client, the server that it wanted, and the two lanes between them."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.to_client = Lane(server, client)
        self.to_server = Lane(client, server)

    @property
    def is_over(self) -> bool:
        """True when both have said all, or one has gone."""
        lanes = (self.to_client, self.to_server)
        return all(lane.is_done for lane in lanes) or any(lane.is_broken for lane in lanes)

    def close(self) -> None:
        """Close both ends; what the client was sent still arrives."""
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_WR)
            # A close with unread bytes would take back what was sent.
            while self.client.recv(_READ_BYTES):
                pass
        self.client.close()
        self.server.close()
