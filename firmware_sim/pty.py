"""A board on a real pseudo-terminal, so that the serial code under test is the production one."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import select
import tempfile
import termios
import threading
import time
import tty
from collections import deque
from pathlib import Path

from firmware_sim.board import Board
from firmware_sim.device import Device
from firmware_sim.pace import Pace
from streamrnn.core.errors import SourceError

#: Bytes that the board holds back for a reader that is late, besides the kernel's own buffer.
_QUEUE_BYTES = 8192
#: A reader gets this long to hang up when it has had the last bytes,
_LINGER_S = 2.0
#: and this long to take any of them: it may be compiling.
_STUCK_S = 30.0
#: Is anyone still there? Looked up this often.
_LOOK_S = 0.25
_FIND_S = 0.01
#: At an unplug in real time, what was just sent still arrives.
_UNPLUG_DRAIN_S = 0.05
_DRAIN_POLL_S = 0.005
#: Sleep no shorter than this at high packet rates.
_TICK_S = 0.0002


class PtyBoard:
    """Serves a board on a pseudo-terminal from a thread.

    The board keeps the terminal open itself, so that readers may come and go. In (sped-up) real
    time it never waits for a reader: frames that nobody takes are dropped, the oldest first, and
    counted as overrun. At speed 0 it waits for the reader and loses nothing.

    Parameters
    ----------
    board : Board or Device
    speed : float
        1 is real time, 0 as fast as the reader reads.
    path : path, optional
        A symbolic link to the terminal, as udev makes them: an unplug removes it, a replug brings
        it back. Boards that will be unplugged get one in a temporary folder when none is named.

    Raises
    ------
    ConfigError
        A negative speed.

    Notes
    -----
    `finished` is set when the origin is over and the reader has had its time, or on `stop`.
    """

    def __init__(
        self, board: Board | Device, *, speed: float = 1.0, path: Path | str | None = None
    ) -> None:
        self.board = Board(board) if isinstance(board, Device) else board
        self.finished = threading.Event()
        self.error: BaseException | None = None
        #: Times that the cable was plugged in.
        self.n_plugged = 0
        self._pace = Pace(speed)
        self._link = Path(path) if path is not None else None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._master = -1
        self._slave = -1
        self._slave_name = ""
        self._queue: deque[tuple[bytes, int]] = deque()
        self._n_queued = 0
        self._n_written = 0
        self._wake_r, self._wake_w = -1, -1
        self._thread: threading.Thread | None = None

    @property
    def path(self) -> str:
        """What a reader opens."""
        return str(self._link) if self._link is not None else self._slave_name

    def start(self) -> PtyBoard:
        """Open the terminal and begin to serve it.

        Raises
        ------
        SourceError
            There is no terminal to be had, or something else stands at `path`.
        """
        if self._link is None and self.board.faults.plan.outages:
            self._folder = tempfile.TemporaryDirectory(prefix="firmware-sim-")
            self._link = Path(self._folder.name) / "board"
        try:
            self._plug()
        except BaseException:
            self._unplug()
            raise
        self._wake_r, self._wake_w = os.pipe()
        self._pace = Pace(self._pace.speed)
        self._thread = threading.Thread(target=self._run, name="pty board", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Pull the cable for good; harmless when called twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        os.write(self._wake_w, b"x")
        thread.join()
        os.close(self._wake_r)
        os.close(self._wake_w)
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> PtyBoard:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    # ---- the terminal

    def _plug(self) -> None:
        try:
            self._master, self._slave = os.openpty()
        except OSError as error:
            raise SourceError(f"no pseudo-terminal: {error.strerror}") from error
        # Raw before anyone opens it: a cooked terminal would echo, and eat and add bytes.
        tty.setraw(self._slave, termios.TCSANOW)
        os.set_blocking(self._master, False)
        self._slave_name = os.ttyname(self._slave)
        self.n_plugged += 1
        if self._link is not None:
            _point(self._link, self._slave_name)

    def _unplug(self) -> None:
        for fd in (self._master, self._slave):
            if fd >= 0:
                os.close(fd)
        self._master = self._slave = -1
        self._queue.clear()
        self._n_queued = self._n_written = 0
        if self._link is not None and self._slave_name:
            with contextlib.suppress(OSError):
                # Another board may have taken the name over.
                if os.readlink(self._link) == self._slave_name:
                    self._link.unlink()
        self._slave_name = "" if self._link is not None else self._slave_name

    # ---- the thread

    def _run(self) -> None:
        try:
            while not self._turn():
                pass
        except BaseException as error:
            self.error = error
        finally:
            self._unplug()
            self.finished.set()

    def _turn(self) -> bool:
        """Send what is due, then wait for the next thing to happen; True when all is over."""
        board, free = self.board, self._pace.is_free
        if not (free and self._queue):
            was_plugged = board.is_plugged
            now_us = self._pace.now_us()
            if free and board.is_busy:
                now_us = self._pace.advance(max(now_us, board.next_due_us() + board.batch_us()))
            self._enqueue(board.poll(now_us))
            if was_plugged != board.is_plugged:
                return self._replug() if board.is_plugged else self._pull()
            if board.is_finished:
                return self._finish()
        self._write()
        timeout_s = None if self._queue and free else self._pace.wait_s(board.next_due_us())
        if free and board.is_busy and not self._queue:
            timeout_s = 0.0
        elif timeout_s is not None and not free:
            timeout_s = max(timeout_s, _TICK_S)
        return self._wait(timeout_s, bool(self._queue))

    def _wait(self, timeout_s: float | None, wants_write: bool) -> bool:
        """Wait for commands, for room, for `stop` or for the time; True to stop."""
        readers = [self._wake_r]
        if self._master >= 0:
            readers.append(self._master)
        writers = [self._master] if wants_write and self._master >= 0 else []
        readable, _, _ = select.select(readers, writers, [], timeout_s)
        if self._wake_r in readable:
            return True
        if self._master in readable:
            # EIO comes when the last reader has gone and our own end is closed, too.
            with contextlib.suppress(BlockingIOError):
                self.board.handle(os.read(self._master, 4096))
        return False

    def _enqueue(self, pieces: list[tuple[bytes, int]]) -> None:
        if self._master < 0:
            return
        self._queue.extend(pieces)
        self._n_queued += sum(len(data) for data, _ in pieces)
        if self._pace.is_free or self._n_queued <= _QUEUE_BYTES:
            return
        self._write()
        while self._n_queued > _QUEUE_BYTES and len(self._queue) > 1:
            # The first piece may be half written: it has to be finished.
            data, n_frames = self._queue[1]
            del self._queue[1]
            self._n_queued -= len(data)
            self.board.faults.truth.n_overrun_frames += n_frames

    def _write(self) -> None:
        """Write as much as the kernel takes now."""
        while self._queue:
            data, _ = self._queue[0]
            try:
                self._n_written += os.write(self._master, data[self._n_written :])
            except BlockingIOError:
                return
            if self._n_written < len(data):
                return
            self._queue.popleft()
            self._n_queued -= len(data)
            self._n_written = 0

    def _pull(self) -> bool:
        """Pull the cable; what was sent before still arrives."""
        limit_s = None if self._pace.is_free else _UNPLUG_DRAIN_S
        if self._drain(limit_s):
            return True
        self._unplug()
        return False

    def _replug(self) -> bool:
        """Plug the cable in; at speed 0, wait for someone to find it. True to stop."""
        self._plug()
        while self._pace.is_free and not self._has_reader():
            if self._wait(_FIND_S, False):
                return True
        return False

    def _finish(self) -> bool:
        """Let the reader take the rest, then hang up when it does, or in a while."""
        if self._drain(_STUCK_S):
            return True
        os.close(self._slave)
        self._slave = -1
        _hang_up(self._master, _LINGER_S, self._wake_r)
        return True

    def _drain(self, limit_s: float | None) -> bool:
        """Wait until the reader has taken everything; True to stop.

        `limit_s` is for a reader that takes nothing any more. Without a reader there is nothing to
        wait for.
        """
        n_empty = 0
        n_before = -1
        since_s = looked_s = time.monotonic()
        # The kernel moves bytes on in the background: one look at an empty buffer is no proof.
        while n_empty < 3:
            self._write()
            n_left = self._n_queued + _n_readable(self._slave)
            n_empty = 0 if n_left else n_empty + 1
            now_s = time.monotonic()
            if n_left != n_before:
                n_before, since_s, looked_s = n_left, now_s, now_s
            elif now_s - looked_s > _LOOK_S:
                looked_s = now_s
                if not self._has_reader():
                    break
            elif limit_s is not None and now_s - since_s > limit_s:
                break
            if self._wait(_DRAIN_POLL_S, False):
                return True
        return False

    def _has_reader(self) -> bool:
        """Return whether someone else holds the terminal open."""
        os.close(self._slave)
        self._slave = -1
        hung_up = _hang_up(self._master, 0.0)
        self._slave = os.open(self._slave_name, os.O_RDWR | os.O_NOCTTY)
        if hung_up:
            tty.setraw(self._slave, termios.TCSANOW)
        return not hung_up


def _hang_up(master: int, timeout_s: float, wake: int = -1) -> bool:
    """Wait until nobody holds the other end open; False if that did not happen in time."""
    poll = select.poll()
    poll.register(master, 0)  # reports the hang-up alone
    if wake >= 0:
        poll.register(wake, select.POLLIN)
    return any(fd == master for fd, _ in poll.poll(timeout_s * 1000.0))


def _n_readable(fd: int) -> int:
    """Return how many bytes wait at the reader's end."""
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


def _point(link: Path, target: str) -> None:
    """Make `link` a symbolic link to `target`; an old link is replaced, nothing else."""
    if link.exists() and not link.is_symlink():
        raise SourceError(f"{link} exists and is not a symbolic link; name another path")
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(link)
    except OSError as error:
        raise SourceError(f"cannot make {link}: {error.strerror}") from error
