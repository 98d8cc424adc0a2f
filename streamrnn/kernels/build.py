"""Has units compiled by `streamrnn.kernels.compile`, in processes of their own, one a core.

Numba, which takes a third of a second and 100 MB to import, thus never enters a process that
streams; and what a unit compiles to depends on nothing else that happened in this process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO

from streamrnn.kernels.native import Part

_ROOT = Path(__file__).parents[2]


def build(parts: Sequence[Part]) -> dict[Part, bytes]:
    """Return the object code of each unit.

    Raises
    ------
    RuntimeError
        The compiler failed; the message holds what it said.
    """
    if not sys.executable:
        raise RuntimeError("cannot compile the kernels: this Python does not know its own path")
    n_workers = min(len(parts), len(os.sched_getaffinity(0)) if _HAS_AFFINITY else 1)
    todo: SimpleQueue[Part] = SimpleQueue()
    for part in parts:
        todo.put(part)
    with ThreadPoolExecutor(n_workers) as pool:
        done = pool.map(lambda _: dict(_work(todo)), range(n_workers))
        return {part: code for some in done for part, code in some.items()}


_HAS_AFFINITY = hasattr(os, "sched_getaffinity")


def _work(todo: SimpleQueue[Part]) -> Iterator[tuple[Part, bytes]]:
    """Feed one compiler process until there is nothing left to do."""
    path = [str(_ROOT), *filter(os.path.isabs, sys.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "streamrnn.kernels.compile"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("the compiler has no pipes")
        while True:
            try:
                part = todo.get_nowait()
            except Empty:
                break
            try:
                code = _ask(part, process.stdin, process.stdout)
            except OSError:
                code = b""
            if not code:
                said = process.stderr.read().decode(errors="replace").strip()
                raise RuntimeError(f"cannot compile the kernels of {part.name}:\n{said}")
            yield part, code
        process.stdin.close()


def _ask(part: Part, to_compiler: IO[bytes], from_compiler: IO[bytes]) -> bytes:
    """Return the object code of one unit, or nothing if the compiler died."""
    unit = part.unit
    job = {
        "name": unit.name,
        "module": unit.module,
        "entries": dict(unit.entries),
        "generic": unit.generic,
        "dtype": part.dtype,
    }
    to_compiler.write(json.dumps(job).encode() + b"\n")
    to_compiler.flush()
    head = from_compiler.read(8)
    return from_compiler.read(int.from_bytes(head, "little")) if len(head) == 8 else b""
