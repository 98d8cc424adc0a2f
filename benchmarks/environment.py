"""Settings that libraries read when they are imported, and so must stand before."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn


def settings(n_threads: int) -> dict[str, str]:
    """Return the environment variables for so many threads."""
    n = str(n_threads)
    names = (
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
    )  # fmt: skip
    return {name: n for name in names} | {
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={'true' if n_threads > 1 else 'false'}",
    }


def n_threads_of(arguments: Sequence[str]) -> int:
    """Return what ``--threads`` says, 1 without it."""
    for n, word in enumerate(arguments):
        value = word.partition("=")[2] if "=" in word else "".join(arguments[n + 1 : n + 2])
        if word.partition("=")[0] == "--threads" and value.isdigit():
            return int(value)
    return 1


def settle() -> None:
    """Start this program again with the right environment, unless it has it already."""
    wanted = settings(n_threads_of(sys.argv))
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        _again(wanted)


def _again(wanted: dict[str, str]) -> NoReturn:
    name = sys.modules["__main__"].__spec__.name  # type: ignore[union-attr]
    os.execve(sys.executable, [sys.executable, "-m", name, *sys.argv[1:]], {**os.environ, **wanted})
