"""Contenders as the contest sees them: in this process, or each in one of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks import bound, measure
from benchmarks.ours import Ours
from benchmarks.peers import ALL, Job, Peer
from benchmarks.shapes import Task
from streamrnn.kernels.params import Params
from streamrnn.kernels.rnn.reference import NumpyBackend

#: Largest difference of a logit from the float64 oracle that still counts as the same result.
TOLERANCE = 1e-5
#: Ticks, rows and updates by which results are compared.
N_TICKS, N_ROWS, N_UPDATES = 3, 4, 6


class Contender(Protocol):
    """Something that is timed."""

    name: str

    def open(self, task: Task) -> list[float] | None:
        """Get ready; return what shows that the result is right, or None: it has no such job.

        It is the largest error of the logits, or the losses of the first updates.
        """

    def sample(self) -> float:
        """Return the seconds of one unit over a burst."""

    def latencies(self) -> list[float]:
        """Return the seconds of every call of a step, over some thousand calls."""

    def facts(self) -> dict[str, float]:
        """Return what else was learnt."""

    def close(self) -> None:
        """Let go of the job."""


class LocalBound:
    """The machine's limit as a contender."""

    name = bound.NAME

    def __init__(self, n_threads: int, burst_s: float) -> None:
        self._bound = bound.Bound(n_threads)
        self._burst_s = burst_s
        self._sampler: Callable[[], float] = lambda: 0.0

    def open(self, task: Task) -> list[float]:
        self._bound.facts.clear()
        self._sampler = self._bound.sampler(task, self._burst_s)
        self._sampler()
        return [0.0]

    def sample(self) -> float:
        return self._sampler()

    def latencies(self) -> list[float]:
        return []

    def facts(self) -> dict[str, float]:
        return dict(self._bound.facts)

    def close(self) -> None:
        pass


class Local:
    """A library in this process."""

    def __init__(self, peer: type[Peer], n_threads: int, burst_s: float) -> None:
        self.name = peer.name
        self._peer = peer(n_threads)
        self._burst_s = burst_s
        self._work: Callable[[], Any] = lambda: None
        self._job: Job | None = None
        self._frames: list[Any] = []
        self._n_calls = 0
        self._n_units = 1

    def open(self, task: Task) -> list[float] | None:
        job: Job | None = getattr(self._peer, task.kind)(task)
        if job is None:
            return None
        self._job, self._n_units = job, task.n_units
        self._frames = [x.reshape(job.frame_shape) for x in task.x[:, 0]]
        self._work = _walk(job, self._frames) if task.kind == "step" else job.call
        shown = evidence(job, task, self._frames)
        self._n_calls = measure.n_calls(self._work, self._burst_s)
        return shown

    def sample(self) -> float:
        return measure.burst(self._work, self._n_calls) / self._n_units

    def latencies(self) -> list[float]:
        assert self._job is not None
        took_s = float(np.median([self.sample() for _ in range(3)]))
        n_passes = min(40, max(1, int(0.1 / (took_s * len(self._frames)))))
        return list(measure.latencies(self._job.call, self._frames, n_passes))

    def facts(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        self._job = None
        self._work = lambda: None


class Remote:
    """A contender in a process of its own, which is stopped whenever it is not its turn.

    A pool of threads that spins while it waits for work would slow everyone else down.
    """

    def __init__(self, name: str, n_threads: int, burst_s: float) -> None:
        self.name = name
        command = [
            sys.executable,
            "-m",
            "benchmarks.contenders",
            name,
            str(n_threads),
            str(burst_s),
        ]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._ask("facts", None)

    def _ask(self, what: str, argument: Any) -> Any:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.send_signal(signal.SIGCONT)
        process.stdin.write(json.dumps([what, argument]) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.name}: its process ended with {process.wait()}")
        process.send_signal(signal.SIGSTOP)
        return json.loads(answer)

    def open(self, task: Task) -> list[float] | None:
        shown: list[float] | None = self._ask("open", task.document())
        return shown

    def sample(self) -> float:
        return float(self._ask("sample", None))

    def latencies(self) -> list[float]:
        taken: list[float] = self._ask("latencies", None)
        return taken

    def facts(self) -> dict[str, float]:
        facts: dict[str, float] = self._ask("facts", None)
        return facts

    def close(self) -> None:
        self._ask("close", None)

    def end(self) -> None:
        """End the process."""
        self._process.send_signal(signal.SIGCONT)
        self._process.communicate()


def named(name: str, n_threads: int, burst_s: float) -> Contender:
    """Return the contender of that name, in this process."""
    if name == bound.NAME:
        return LocalBound(n_threads, burst_s)
    return Local(library_named(name), n_threads, burst_s)


def library_named(name: str) -> type[Peer]:
    """Return our side or the peer of that name."""
    sides: tuple[type[Peer], ...] = (Ours, *ALL)
    return next(side for side in sides if side.name == name)


def _walk(job: Job, frames: list[Any]) -> Callable[[], Any]:
    call = job.call

    def walk() -> None:
        for x in frames:
            call(x)

    return walk


def evidence(job: Job, task: Task, frames: list[Any]) -> list[float]:
    """Run a fresh job a little; return the largest error of its logits, or its first losses."""
    if task.kind == "train":
        return [job.call() for _ in range(N_UPDATES)]
    rows = slice(min(task.n_rows, N_ROWS))
    if task.kind == "step":
        results = np.array([job.read(job.call(x)) for x in frames])[:, None]
        x = task.x
    elif task.kind == "streams":
        results = np.array([job.read(job.call())[rows] for _ in range(N_TICKS)])
        x = np.repeat(task.x[:, rows], N_TICKS, axis=0)
    else:
        results = job.read(job.call())
        results = results[:, None] if task.kind == "chunk" else results[:, rows]
        x = task.x[:, rows]
    got = results if job.gives_logits else _head(task.params, results)
    return [float(np.abs(got - _oracle(task.params, x)).max())]


def _head(params: Params, hidden: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return hidden.astype(np.float64) @ params.w_out.T + params.b_out


def _oracle(params: Params, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the logits (T, B, C) of the plain float64 implementation."""
    oracle = NumpyBackend()
    handle = oracle.upload(params.with_arrays([a.astype(np.float64) for a in params.arrays()]))
    state = oracle.zero_state(handle, x.shape[1])
    return oracle.forward(handle, x.astype(np.float64), state)[0]


def serve(name: str, n_threads: int, burst_s: float) -> None:
    """Answer questions on stdin with JSON lines on what was stdout; libraries print elsewhere."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        contender = named(name, n_threads, burst_s)
        for line in sys.stdin:
            what, argument = json.loads(line)
            method = getattr(contender, what)
            answer = method(Task(**argument)) if what == "open" else method()
            out.write(json.dumps(answer) + "\n")
            out.flush()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
