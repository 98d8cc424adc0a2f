"""A board that listens on TCP, as a Wi-Fi board or a serial server does."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import socket
import termios
import time

from firmware_sim.cables.address import resolve, shown
from streamrnn.core.errors import SourceError

_READ_BYTES = 4096
#: Small, as a board's own buffer is: a reader that is late gets no minutes of old frames.
_SEND_BUFFER_BYTES = 16_384


class TcpCable:
    """A listening socket and its one client; see `firmware_sim.cables.server.Cable`.

    One client at a time: while one is there, others are turned away. When it goes, another may
    come. Pulling the cable closes both the connection and the port.

    Parameters
    ----------
    host : str
    port : int
        0: any that is free; the same one after a replug.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._listener: socket.socket | None = None
        self._client: socket.socket | None = None
        self._is_new = True

    @property
    def address(self) -> str:
        """``tcp:HOST:PORT``, as a source is named."""
        return f"tcp:{shown(self._host, self._port)}"

    def plug(self) -> None:
        """Listen, or raise `SourceError`."""
        try:
            self._listener = listen(self._host, self._port)
        except OSError as error:
            raise SourceError(f"cannot listen on {self.address}: {error.strerror}") from error
        self._port = self._listener.getsockname()[1]

    def unplug(self) -> None:
        """Close the port and the connection."""
        # The port first: whoever sees the connection end and comes back at once is refused.
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._client is not None:
            # What was sent still arrives; a close with unread bytes would throw it away.
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_WR)
                while self._client.recv(_READ_BYTES):
                    pass
        self._leave()

    def incoming(self) -> list[int]:
        """Return the open sockets."""
        return [s.fileno() for s in (self._listener, self._client) if s is not None]

    def outgoing(self) -> list[int]:
        """Return the client's socket."""
        return [] if self._client is None else [self._client.fileno()]

    def receive(self) -> bytes:
        """Let a client in, and return bytes from the one that is there."""
        data = b""
        if self._client is not None:
            try:
                data = self._client.recv(_READ_BYTES)
                is_gone = not data
            except BlockingIOError:
                is_gone = False
            except OSError:
                is_gone = True
            if is_gone:
                self._leave()
        self._accept()
        return data

    def send(self, data: bytes, begin: int) -> int:
        """Send what the kernel takes; -1 without a client."""
        if self._client is None:
            return -1
        if begin and self._is_new:
            return len(data) - begin  # the rest of what its predecessor did not get
        self._is_new = False
        try:
            return self._client.send(memoryview(data)[begin:])
        except BlockingIOError:
            return 0
        except OSError:
            self._leave()
            return -1

    def has_reader(self) -> bool:
        """Return whether a client is there."""
        return self._client is not None

    def n_unread(self) -> int:
        """Return how many bytes the client's machine has not taken yet."""
        return 0 if self._client is None else n_unsent(self._client)

    def hang_up(self, timeout_s: float, wake: int) -> None:
        """Say that nothing follows, and wait until the client goes."""
        if self._client is None:
            return
        with contextlib.suppress(OSError):
            self._client.shutdown(socket.SHUT_WR)
        deadline_s = time.monotonic() + timeout_s
        while self._client is not None and (left_s := deadline_s - time.monotonic()) > 0.0:
            readable, _, _ = select.select([self._client.fileno(), wake], [], [], left_s)
            if wake in readable:
                return
            if readable:
                self.receive()

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.accept()
        except OSError:  # nobody, or gone again already
            return
        if self._client is not None:
            client.close()
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self._client = client
        self._is_new = True

    def _leave(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket that never blocks; raise OSError."""
    family, where = resolve(host, port, socket.SOCK_STREAM)
    try:
        listener = socket.create_server(where[:2], family=family, backlog=4)
    except OSError as error:  # its own words say the address a second time
        raise OSError(error.errno, os.strerror(error.errno or errno.EINVAL)) from None
    listener.setblocking(False)
    return listener


def n_unsent(connection: socket.socket) -> int:
    """Return how many bytes the other machine has not acknowledged."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, count)
    except OSError:
        return 0
    return count[0]
