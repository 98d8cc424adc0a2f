"""Serves a board at the end of a cable, from a thread of its own."""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from typing import Protocol

from firmware_sim.board import Board
from firmware_sim.cables.pace import Pace
from firmware_sim.cables.worker import Worker
from firmware_sim.device import Device
from firmware_sim.raw import RawBoard

#: Bytes that the board holds back for a reader that is late, besides the kernel's own buffer.
QUEUE_BYTES = 8192
#: Bytes of commands that the board takes before it has had room to answer.
_MAX_HEARD_BYTES = 65_536
#: A reader gets this long to hang up when it has had the last bytes,
_LINGER_S = 2.0
#: and this long to take any of them: it may be compiling.
_STUCK_S = 30.0
#: Is anyone still there? Looked up this often.
_LOOK_S = 0.25
_FIND_S = 0.01
#: A board that its reader switches on gives it this long to set the line up: opening a serial
#: port throws away what came before.
_SETTLE_S = 0.2
#: At an unplug in real time, what was just sent still arrives.
_UNPLUG_DRAIN_S = 0.05
_DRAIN_POLL_S = 0.005
#: Sleep no shorter than this at high packet rates.
_TICK_S = 0.0002
#: A cable that takes nothing and cannot say when it will is asked again after this time.
_RETRY_S = 0.01
#: A cable is looked after this often, whatever the board does.
_MOST_S = 1.0


class Cable(Protocol):
    """The board's end of a cable. Nothing here waits, but `hang_up`."""

    @property
    def address(self) -> str:
        """What a reader is told, so that it finds the other end."""
        ...

    def plug(self) -> None:
        """Put the cable in, or raise `streamrnn.core.errors.SourceError`."""
        ...

    def unplug(self) -> None:
        """Pull it; harmless when it is out."""
        ...

    def incoming(self) -> list[int]:
        """Return the file descriptors that show that `receive` has something to do.

        It is called once a second at least.
        """
        ...

    def outgoing(self) -> list[int]:
        """Return those that show that `send` can go on; none: it has to be tried again."""
        ...

    def receive(self) -> bytes:
        """Return bytes from the host, or nothing."""
        ...

    def send(self, data: bytes, begin: int) -> int:
        """Send ``data[begin:]``, or as much of it as can be sent now.

        Returns
        -------
        int
            Bytes taken. 0: no room now; -1: nobody is there.
        """
        ...

    def has_reader(self) -> bool:
        """Return whether anyone is there, as far as the cable can tell."""
        ...

    def n_unread(self) -> int:
        """Return how many bytes are known to be on their way still."""
        ...

    def hang_up(self, timeout_s: float, wake: int) -> None:
        """Tell the reader that nothing follows, and wait until it has gone, or for `wake`."""
        ...


class BoardServer(Worker):
    """Serves a board on a cable.

    Readers may come and go. In (sped-up) real time the board never waits for a reader: frames that
    nobody takes are thrown away, the oldest first, and counted as overrun. At speed 0, and where
    the board says that it `waits`, it waits for the reader and loses nothing.

    Parameters
    ----------
    board : Board, RawBoard or Device
    cable : Cable
    speed : float
        1 is real time, 0 as fast as the reader reads.

    Attributes
    ----------
    finished : threading.Event
        Set when the board has sent everything and the reader has had its time, or on `stop`.
    error : BaseException or None
        What ended it, if not that.
    n_plugged : int
        Times that the cable was plugged in.
    is_drained : bool
        All has been sent and, as far as one can know, been read.

    Raises
    ------
    ConfigError
        A negative speed.
    """

    def __init__(
        self, board: Board | RawBoard | Device, cable: Cable, *, speed: float = 1.0
    ) -> None:
        super().__init__("board")
        self.board: Board | RawBoard = Board(board) if isinstance(board, Device) else board
        self.finished = threading.Event()
        self.error: BaseException | None = None
        self.n_plugged = 0
        self.is_drained = False
        self._cable = cable
        self._pace = Pace(speed)
        waits = bool(getattr(self.board, "waits", False))
        # A board that speaks unasked, and as fast as it is read, begins when someone reads.
        self._waits_for_reader = waits or (self._pace.is_free and self.board.is_busy)
        self._is_lossless = self._pace.is_free or waits
        self._found_s = -1.0
        self._is_in = False
        self._queue: deque[tuple[bytes, int]] = deque()
        self._n_queued = 0
        self._n_written = 0
        self._n_heard = 0
        self._held_us: int | None = None

    @property
    def path(self) -> str:
        """What a reader opens."""
        return self._cable.address

    def _prepare(self) -> None:
        """Put the cable in, or raise `SourceError`."""
        try:
            self._plug()
        except BaseException:
            self._unplug()
            raise
        self._pace = Pace(self._pace.speed)

    def _plug(self) -> None:
        self._cable.plug()
        self._is_in = True
        self.n_plugged += 1

    def _unplug(self) -> None:
        self._is_in = False
        self._cable.unplug()
        self._queue.clear()
        self._n_queued = self._n_written = 0

    # ---- the thread

    def _run(self) -> None:
        try:
            while not (self._await_reader() if self._waits_for_reader else self._turn()):
                pass
        except BaseException as error:
            self.error = error
        finally:
            self._unplug()
            self.finished.set()

    def _await_reader(self) -> bool:
        """Switch the board on when a reader has been there for a moment; True to stop."""
        now_s = time.monotonic()
        if not self._cable.has_reader():
            self._found_s = -1.0
        elif self._found_s < 0.0:
            self._found_s = now_s
        elif now_s - self._found_s >= _SETTLE_S:
            self._waits_for_reader = False
            self._pace = Pace(self._pace.speed)
            return False
        return self._wait(_FIND_S)

    def _turn(self) -> bool:
        """Send what is due, then wait for the next thing to happen; True when all is over."""
        board, free = self.board, self._pace.is_free
        if not (self._is_lossless and self._queue):
            now_us = self._pace.now_us()
            if free and board.is_busy:
                now_us = self._pace.advance(max(now_us, board.next_due_us() + board.batch_us()))
            was_moved = self._poll(now_us)
            self._n_heard = 0
            if was_moved:
                return self._replug() if board.is_plugged else self._pull()
            if board.is_finished:
                return self._finish()
        self._write()
        if self._queue and self._is_lossless:
            return self._wait(None, wants_room=True)
        timeout_s = self._pace.wait_s(board.next_due_us())
        if free and board.is_busy and not self._queue:
            timeout_s = 0.0
        elif not free:
            timeout_s = max(timeout_s, _TICK_S)
        return self._wait(timeout_s, wants_room=bool(self._queue))

    def _wait(self, timeout_s: float | None, *, wants_room: bool = False) -> bool:
        """Wait for commands, for room, for `stop` or for the time; True to stop."""
        writers = self._cable.outgoing() if wants_room else []
        most_s = _RETRY_S if wants_room and not writers else _MOST_S
        timeout_s = most_s if timeout_s is None else min(timeout_s, most_s)
        readers = self._cable.incoming()
        readable, _, _ = select.select([self._wake_r, *readers], writers, [], timeout_s)
        if self._wake_r in readable:
            return True
        if readable and (data := self._cable.receive()):
            # A host that asks on and on and reads no answer is not heard any more.
            if self._n_heard < _MAX_HEARD_BYTES:
                self.board.handle(data, None if self._pace.is_free else self._pace.now_us())
            self._n_heard += len(data)
        return False

    def _poll(self, now_us: int) -> bool:
        """Take what is due, some kilobytes at a time; True when the cable was plugged or pulled.

        A thread that was held up would otherwise have more at once than it may keep, and the HELLOs
        of a board that has sent everything would throw out its last frames and end markers.
        """
        board, was_plugged = self.board, self.board.is_plugged
        until_us = -1
        while until_us < now_us and was_plugged == board.is_plugged and not board.is_finished:
            until_us = min(now_us, board.next_due_us() + board.batch_us())
            self._enqueue(board.poll(until_us))
        return was_plugged != board.is_plugged

    def _enqueue(self, pieces: list[tuple[bytes, int]]) -> None:
        if not pieces or not self._is_in:
            return
        self._queue.extend(pieces)
        self._n_queued += sum(len(data) for data, _ in pieces)
        if self._is_lossless or self._n_queued <= QUEUE_BYTES:
            return
        self._write()
        self._drop(QUEUE_BYTES)

    def _drop(self, n_bytes: int) -> None:
        """Throw the oldest pieces away until no more than `n_bytes` wait, and count them."""
        # The first piece has to be finished when it is half written.
        oldest = 1 if self._n_written else 0
        while self._n_queued > n_bytes and len(self._queue) > oldest:
            data, n_frames = self._queue[oldest]
            del self._queue[oldest]
            self._n_queued -= len(data)
            self.board.overrun(n_frames)

    def _write(self) -> None:
        """Write as much as the cable takes now."""
        while self._queue:
            data, _ = self._queue[0]
            n_taken = self._cable.send(data, self._n_written)
            if n_taken < 0:
                self._nobody_there()
            if n_taken <= 0:
                return
            if self._held_us is not None:
                self._pace.set_back(self._held_us)
                self._held_us = None
            self._n_written += n_taken
            if self._n_written == len(data):
                self._queue.popleft()
                self._n_queued -= len(data)
                self._n_written = 0

    def _nobody_there(self) -> None:
        """Let time stand still until someone comes, or forget what nobody took."""
        if not self._is_lossless:
            self._drop(0)  # whoever comes later wants no old frames
        elif self._held_us is None:
            self._held_us = self._pace.now_us()

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
        while self._pace.is_free and not self._cable.has_reader():
            if self._wait(_FIND_S):
                return True
        return False

    def _finish(self) -> bool:
        """Let the reader take the rest, then hang up when it does, or in a while."""
        is_told = self._drain(_STUCK_S)
        self.is_drained = True
        if not is_told:
            self._cable.hang_up(_LINGER_S, self._wake_r)
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
            n_left = self._n_queued + self._cable.n_unread()
            n_empty = 0 if n_left else n_empty + 1
            now_s = time.monotonic()
            if n_left != n_before:
                n_before, since_s, looked_s = n_left, now_s, now_s
            elif now_s - looked_s > _LOOK_S:
                looked_s = now_s
                if not self._cable.has_reader():
                    break
            elif limit_s is not None and now_s - since_s > limit_s:
                break
            if self._wait(_DRAIN_POLL_S):
                return True
        return False
