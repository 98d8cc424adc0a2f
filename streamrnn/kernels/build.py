"""Has units compiled by `streamrnn.kernels.compile`, in processes of their own, one a core.

Numba, which takes a third of a second and 100 MB to import, thus never enters a process that
streams; and what a unit compiles to depends on nothing else that happened in this process.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO

from streamrnn.core.errors import BackendUnavailable
from streamrnn.kernels.native import Part, processor

_LOG = logging.getLogger(__name__)
_ROOT = Path(__file__).parents[2]
#: Where the end of a traceback says what was raised.
_RAISED = re.compile(r"[\w.]*(Error|Exception|Interrupt)\b")
_MAX_CHARACTERS = 300


def build(parts: Sequence[Part]) -> dict[Part, bytes]:
    """Return the object code of each unit.

    Raises
    ------
    BackendUnavailable
        The compiler failed; the message holds the end of what it said.
    """
    n_workers = min(len(parts), len(os.sched_getaffinity(0)) if _HAS_AFFINITY else 1)
    todo = _ToDo(parts)
    with ThreadPoolExecutor(n_workers) as pool:
        done = pool.map(lambda worker: dict(_work(todo, worker)), range(n_workers))
        return {part: code for some in done for part, code in some.items()}


_HAS_AFFINITY = hasattr(os, "sched_getaffinity")


class _ToDo:
    """Units that wait for a compiler; one that has compiled a unit's neighbours is quicker."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._waiting = list(parts)
        self._rooms: dict[int, str] = {}
        self._lock = threading.Lock()

    def take(self, worker: int) -> Part | None:
        """Return the next unit for a worker: of its room, else of one where nobody is at work."""
        with self._lock:
            if not self._waiting:
                return None
            elsewhere = {room for other, room in self._rooms.items() if other != worker}
            part = min(
                self._waiting,
                key=lambda p: (_room(p) != self._rooms.get(worker), _room(p) in elsewhere),
            )
            self._waiting.remove(part)
            self._rooms[worker] = _room(part)
            return part


def _room(part: Part) -> str:
    return part.unit.module.rpartition(".")[0]


def _work(todo: _ToDo, worker: int) -> Iterator[tuple[Part, bytes]]:
    """Feed one compiler process until there is nothing left to do."""
    with Compiler("streamrnn.kernels.compile") as compiler:
        while part := todo.take(worker):
            unit = part.unit
            job = {
                "name": unit.name,
                "module": unit.module,
                "entries": dict(unit.entries),
                "generic": unit.generic,
                "dtype": part.dtype,
            }
            yield part, compiler.compile(part.name, job)


class Compiler:
    """A process that compiles: JSON objects in, one a line; length and code out.

    Parameters
    ----------
    module : str
        What it runs.

    Raises
    ------
    BackendUnavailable
        This Python does not know its own path.
    """

    def __init__(self, module: str) -> None:
        if not sys.executable:
            raise BackendUnavailable(
                "cannot compile the kernels: this Python does not know its own path"
            )
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=_environment(),
            cwd=Path(__file__).parent,  # Numba would read a file of options in the user's folder
        )

    def __enter__(self) -> Compiler:
        return self

    def __exit__(self, *_: object) -> None:
        with self._said, self._process:  # its pipes are closed, so it ends
            pass

    def compile(self, name: str, job: Mapping[str, object]) -> bytes:
        """Return the code of one job.

        Raises
        ------
        BackendUnavailable
            The compiler failed; the message holds the end of what it said.
        """
        to_compiler, from_compiler = self._process.stdin, self._process.stdout
        if to_compiler is None or from_compiler is None:
            raise BackendUnavailable("cannot compile the kernels: the compiler has no pipes")
        code = _ask(job, to_compiler, from_compiler)
        if not code:
            self._process.wait()
            self._said.seek(0)
            said = self._said.read().decode(errors="replace")
            raise _failure(name, said, self._process.returncode)
        return code


def _environment() -> dict[str, str]:
    """Return the variables of a compiler process; Numba's own could make it make something else."""
    path = [str(_ROOT), *filter(os.path.isabs, sys.path)]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    name, features = processor()  # a name alone would get the features of this machine
    target = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
    return {**kept, **target, "PYTHONPATH": os.pathsep.join(path)}


def _ask(job: Mapping[str, object], to_compiler: IO[bytes], from_compiler: IO[bytes]) -> bytes:
    """Return what a job was compiled to, or nothing if the compiler died."""
    try:
        to_compiler.write(json.dumps(job).encode() + b"\n")
        to_compiler.flush()
    except BrokenPipeError:
        with suppress(BrokenPipeError):
            to_compiler.close()
        return b""
    head = from_compiler.read(8)
    return from_compiler.read(int.from_bytes(head, "little")) if len(head) == 8 else b""


def _failure(name: str, said: str, code: int) -> BackendUnavailable:
    """Return an error of one line: the end of what the compiler said; the log gets all of it."""
    _LOG.debug("the compiler said:\n%s", said)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    raised = [n for n, line in enumerate(lines) if _RAISED.match(line)]
    why = " ".join(lines[raised[-1] :] if raised else lines[-1:])
    if len(why) > _MAX_CHARACTERS:
        why = f"{why[:_MAX_CHARACTERS]} ..."
    why = why or f"the compiler ended with exit code {code}"
    return BackendUnavailable(f"cannot compile the kernels of {name}: {why}")
