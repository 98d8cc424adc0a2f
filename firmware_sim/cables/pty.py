"""A board on a real pseudo-terminal, so that the serial code under test is the production one."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import select
import tempfile
import termios
import tty
from pathlib import Path

from firmware_sim.board import Board
from firmware_sim.cables.server import BoardServer
from firmware_sim.device import Device
from firmware_sim.raw import RawBoard
from streamrnn.core.errors import SourceError


class PtyCable:
    """A pseudo-terminal; see `firmware_sim.cables.server.Cable`.

    The board keeps the terminal open itself, so that readers may come and go.

    Parameters
    ----------
    link : path, optional
        A symbolic link to the terminal, as udev makes them: an unplug removes it, a replug brings
        it back.
    """

    def __init__(self, link: Path | str | None = None) -> None:
        self._link = Path(link) if link is not None else None
        self._master = -1
        self._slave = -1
        self._slave_name = ""

    @property
    def address(self) -> str:
        """Path of the symbolic link, or else of the terminal."""
        return str(self._link) if self._link is not None else self._slave_name

    def plug(self) -> None:
        """Open a terminal, or raise `SourceError`."""
        try:
            self._master, self._slave = os.openpty()
        except OSError as error:
            raise SourceError(f"no pseudo-terminal: {error.strerror}") from error
        # Raw before anyone opens it: a cooked terminal would echo, and eat and add bytes.
        tty.setraw(self._slave, termios.TCSANOW)
        os.set_blocking(self._master, False)
        self._slave_name = os.ttyname(self._slave)
        if self._link is not None:
            _point(self._link, self._slave_name)

    def unplug(self) -> None:
        """Close the terminal and take the symbolic link away."""
        for fd in (self._master, self._slave):
            if fd >= 0:
                os.close(fd)
        self._master = self._slave = -1
        if self._link is not None and self._slave_name:
            with contextlib.suppress(OSError):
                # Someone may have given the name to another board.
                if os.readlink(self._link) == self._slave_name:
                    self._link.unlink()
        self._slave_name = "" if self._link is not None else self._slave_name

    def incoming(self) -> list[int]:
        """Return the terminal, unless it is unplugged."""
        return [self._master] if self._master >= 0 else []

    outgoing = incoming

    def receive(self) -> bytes:
        """Return bytes from the host."""
        # EIO comes when the last reader has gone and our own end is closed, too.
        with contextlib.suppress(BlockingIOError):
            return os.read(self._master, 4096)
        return b""

    def send(self, data: bytes, begin: int) -> int:
        """Write what the kernel takes."""
        try:
            return os.write(self._master, data[begin:])
        except BlockingIOError:
            return 0

    def has_reader(self) -> bool:
        """Return whether someone else holds the terminal open."""
        os.close(self._slave)
        self._slave = -1
        hung_up = _hang_up(self._master, 0.0)
        self._slave = os.open(self._slave_name, os.O_RDWR | os.O_NOCTTY)
        if hung_up:
            tty.setraw(self._slave, termios.TCSANOW)
        return not hung_up

    def n_unread(self) -> int:
        """Return how many bytes wait at the reader's end."""
        count = array.array("i", [0])
        fcntl.ioctl(self._slave, termios.FIONREAD, count)
        return count[0]

    def hang_up(self, timeout_s: float, wake: int) -> None:
        """Let go of the terminal and wait until the reader does, too."""
        os.close(self._slave)
        self._slave = -1
        _hang_up(self._master, timeout_s, wake)


class PtyBoard(BoardServer):
    """Serves a board on a pseudo-terminal from a thread; see `BoardServer`.

    Parameters
    ----------
    board : Board, RawBoard or Device
    speed : float
        1 is real time, 0 as fast as the reader reads.
    path : path, optional
        A symbolic link to the terminal, see `PtyCable`. Boards that will be unplugged get one in a
        temporary folder when none is named.

    Raises
    ------
    ConfigError
        A negative speed.
    """

    def __init__(
        self,
        board: Board | RawBoard | Device,
        *,
        speed: float = 1.0,
        path: Path | str | None = None,
    ) -> None:
        super().__init__(board, PtyCable(path), speed=speed)
        self._has_link = path is not None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> PtyBoard:
        """Open the terminal and begin to serve it.

        Raises
        ------
        SourceError
            There is no terminal to be had, or something else stands at `path`.
        """
        if not self._has_link and self.board.can_unplug:
            self._folder = tempfile.TemporaryDirectory(prefix="firmware-sim-")
            self._cable = PtyCable(Path(self._folder.name) / "board")
        super().start()
        return self

    def stop(self) -> None:
        """Pull the cable for good; harmless when called twice."""
        super().stop()
        if self._folder is not None:
            self._folder.cleanup()


def _hang_up(master: int, timeout_s: float, wake: int = -1) -> bool:
    """Wait until nobody holds the other end open; False if that did not happen in time."""
    poll = select.poll()
    poll.register(master, 0)  # reports the hang-up alone
    if wake >= 0:
        poll.register(wake, select.POLLIN)
    return any(fd == master for fd, _ in poll.poll(timeout_s * 1000.0))


def _point(link: Path, target: str) -> None:
    """Make `link` a symbolic link to `target`; one that leads nowhere any more is replaced."""
    if link.exists() and not link.is_symlink():
        raise SourceError(f"{link} exists and is not a symbolic link; name another path")
    if link.exists():
        where = os.readlink(link)
        raise SourceError(f"{link} leads to {where}, where another board is; name another path")
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(link)
    except OSError as error:
        raise SourceError(f"cannot make {link}: {error.strerror}") from error
