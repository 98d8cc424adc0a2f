"""A pool of threads that share the pieces of one piece of work.

Pieces are claimed one by one from a counter, and the caller works too. A thread that the machine
has no time for claims nothing; one that is stopped in the middle of a piece does hold up the rest,
so on a busy machine sharing may take longer than working alone. `Pace` finds out. Compiled code
releases the interpreter's lock, so the threads do run side by side. Which thread does a piece must
not matter to its result: then any number of threads gives the same bits.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

#: Does one piece of work: (number of the thread, number of the piece).
Work = Callable[[int, int], None]


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Job:
    """One piece of work, cut into `n_pieces`."""

    def __init__(self, work: Work, n_pieces: int) -> None:
        self.work, self.n_pieces = work, n_pieces
        # Taking the next number of a counter cannot be interrupted by another thread.
        self._claims = itertools.count()
        self._n_helping, self._changed = 0, threading.Condition()
        self.errors: list[BaseException] = []

    def take_part(self, thread: int) -> None:
        """Do pieces until there are none left, or one has failed."""
        while (piece := next(self._claims)) < self.n_pieces and not self.errors:
            self.work(thread, piece)

    def help(self, thread: int) -> None:
        """Take part in another thread than the caller's, who gets the error if there is one."""
        with self._changed:
            self._n_helping += 1
        try:
            self.take_part(thread)
        except BaseException as error:
            self.errors.append(error)
        with self._changed:
            self._n_helping -= 1
            self._changed.notify()

    def wait(self) -> None:
        """Wait for the helpers that are at a piece. One that comes later finds nothing to do."""
        with self._changed:
            while self._n_helping:
                self._changed.wait()


class Pool:
    """Threads that wait for work; started when first needed, they end with the process."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[_Job, int]] = SimpleQueue()
        self._n_started = 0
        self._lock = threading.Lock()

    def share(self, work: Work, n_pieces: int, n_threads: int) -> None:
        """Do all pieces of some work; return when they are done.

        Parameters
        ----------
        work : callable
            Called with the number of the thread, 0 .. n_threads - 1 and 0 for the caller, and that
            of the piece, 0 .. n_pieces - 1. Two threads never have one number at a time.
        n_pieces : int
        n_threads : int
            How many may work at most, the caller among them.

        Raises
        ------
        BaseException
            What `work` raised first; the pieces that nobody had begun are then left undone.
        """
        n_helpers = min(n_threads, n_pieces) - 1
        if n_helpers <= 0:
            for piece in range(n_pieces):
                work(0, piece)
            return
        job = _Job(work, n_pieces)
        self._start(n_helpers)
        for helper in range(n_helpers):
            self._jobs.put((job, helper + 1))
        try:
            job.take_part(0)
        except BaseException as error:  # an interrupt too: nobody may go on writing behind it
            job.errors.append(error)
        job.wait()
        if job.errors:
            raise job.errors[0]

    def _start(self, n: int) -> None:
        with self._lock:
            for _ in range(n - self._n_started):
                threading.Thread(target=self._serve, name="streamrnn-worker", daemon=True).start()
                self._n_started += 1

    def _serve(self) -> None:
        while True:
            job, thread = self._jobs.get()
            job.help(thread)


_pool = Pool()


def _start_anew() -> None:
    """Forget the threads: a forked process has none of its parent's."""
    global _pool  # noqa: PLW0603
    _pool = Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def share(work: Work, n_pieces: int, n_threads: int) -> None:
    """Do all pieces of some work with the process's pool (see `Pool.share`)."""
    _pool.share(work, n_pieces, n_threads)


class Pace:
    """Whether sharing some work that is done again and again pays, by how long it took lately."""

    #: Times that count, and one in how many times goes the way that was slower.
    N_RECENT, PROBE_EVERY = 5, 16

    def __init__(self) -> None:
        self._alone: deque[float] = deque(maxlen=self.N_RECENT)
        self._shared: deque[float] = deque(maxlen=self.N_RECENT)
        self._n = 0

    def shares(self) -> bool:
        """Return whether to share the work this time."""
        n_alone, n_shared = len(self._alone), len(self._shared)
        if min(n_alone, n_shared) < self.N_RECENT:
            return n_shared <= n_alone
        self._n += 1
        middle = self.N_RECENT // 2
        better = sorted(self._shared)[middle] < sorted(self._alone)[middle]
        return better != (self._n % self.PROBE_EVERY == 0)

    def note(self, seconds: float, *, shared: bool) -> None:
        """Take note of how long the work took."""
        (self._shared if shared else self._alone).append(seconds)
