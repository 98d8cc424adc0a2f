"""Compilation: every flag, the cache, and the promise that nothing compiles behind the warm-up.

A kernel is a function under `@kernel`. Importing its module compiles nothing. A kernel that Python
calls is an *entry*: `specialise(entry, (types, ...))` compiles it (or loads it from the cache) for
one list of argument types and locks it, so that a call with anything else is a ``TypeError`` at
once and never a second of compiling in the middle of a live stream. A kernel that only kernels
call is compiled with its callers and needs no `specialise`; an entry is not called by kernels.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

from streamrnn.kernels.arguments import as_argument, check_output

__all__ = [
    "apart", "array", "as_argument", "cache_problem", "check_output", "fma", "inline_notes",
    "inlined", "intrinsic", "kernel", "kernels", "n_specialisations", "scalar", "specialise",
]  # fmt: skip

Function = TypeVar("Function", bound=Callable[..., Any])
#: The Numba type of one argument.
ArgType: TypeAlias = Any

#: Cache folders that stay, each of one state of the kernel sources: versions may be used in turn.
_N_KEPT = 4
_FOLDER_NAME = re.compile(r"kernels-[0-9a-f]{16}")

_lock = threading.RLock()
_kernels: list[tuple[Any, str]] = []
_config = cast(Any, numba.config)
_declare = cast(Any, cgutils.get_or_insert_function)


def kernel(function: Function, *, note: str = "") -> Function:
    """Compile `function` on demand with the project's flags.

    No fastmath: it drops NaN checks and lets sums be reordered, and the same bits are a promise.
    ``error_model="numpy"``: Python's checks for division by zero stop vectorisation. The GIL is
    released. Code is cached on disk under a name that holds a digest of all kernel sources, because
    Numba's own check sees only the file of the entry, not the files that it calls.
    """
    directory = _cache_directory()
    with _lock:
        before = _config.CACHE_DIR
        _config.CACHE_DIR = directory or before
        try:
            dispatcher = numba.njit(cache=directory is not None, nogil=True, error_model="numpy")(
                function
            )
        finally:
            _config.CACHE_DIR = before
    _kernels.append((dispatcher, note))
    return cast(Function, dispatcher)


def apart(function: Function) -> Function:
    """Make a kernel that is never inlined: one copy, however many kernels call it."""
    return kernel(function, note="noinline")


def inlined(function: Function) -> Function:
    """Make a kernel that is always inlined, where the compiler might think it too large."""
    return kernel(function, note="alwaysinline")


def kernels() -> list[Any]:
    """Return all kernels that were defined so far."""
    return [dispatcher for dispatcher, _ in _kernels]


def inline_notes() -> dict[str, str]:
    """Return LLVM's attribute for each function whose kernel is `apart` or `inlined`."""
    return {
        compiled.fndesc.llvm_func_name: note
        for dispatcher, note in _kernels
        if note
        for compiled in dispatcher.overloads.values()
    }


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that Numba lowers by LLVM instructions; it can be called in kernels only."""
    return cast(Callable[..., Any], _intrinsic(function))


def array(dtype: npt.DTypeLike, ndim: int) -> ArgType:
    """Return the type of a writable C-contiguous array argument."""
    return types.Array(numba.from_dtype(np.dtype(dtype)), ndim, "C")


def scalar(dtype: npt.DTypeLike) -> ArgType:
    """Return the type of a scalar argument."""
    return numba.from_dtype(np.dtype(dtype))


def specialise(entry: Callable[..., Any], *signatures: Sequence[ArgType]) -> None:
    """Compile `entry` for each list of argument types, then lock it against any other.

    Repeating a signature costs nothing; a later call may add new ones.
    """
    dispatcher = cast(Any, entry)
    with _lock:
        dispatcher.disable_compile(False)
        try:
            for signature in map(tuple, signatures):
                dispatcher.compile(signature)
        finally:
            if dispatcher.overloads:
                dispatcher.disable_compile(True)


def n_specialisations(entry: Callable[..., Any]) -> int:
    """Return for how many lists of argument types `entry` is compiled."""
    return len(cast(Any, entry).overloads)


def cache_problem() -> str:
    """Return why compiled code is not kept from one start to the next, ``""`` when it is."""
    return _cache()[1]


def _cache_directory() -> str | None:
    return _cache()[0]


@cache
def _cache() -> tuple[str | None, str]:
    """Return a private folder for compiled code, or None and why there is none to be had.

    Numba's cache is made of pickles, so a folder that others can write to is refused.
    """
    try:
        base = Path(_config.CACHE_DIR or _user_cache() / "streamrnn")
    except RuntimeError as error:
        return None, f"there is no home folder ({error})"
    folder = base / f"kernels-{_source_digest()}"
    try:
        base.mkdir(parents=True, exist_ok=True)
        is_new = not folder.exists()
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        return None, f"{base} is not writable ({error.strerror})"
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        return None, f"{folder} belongs to someone else"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return None, f"{folder} can be written to by others"
    if not os.access(folder, os.W_OK):
        return None, f"{folder} is not writable"
    with suppress(OSError):  # what is old stays
        os.utime(folder)
        if is_new:
            _remove_old(base)
    return str(folder), ""


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _remove_old(base: Path) -> None:
    """Remove the folders of older kernel sources that were not used for longest."""

    def used_at(folder: Path) -> float:
        try:
            return folder.stat().st_mtime
        except OSError:  # another start has just removed it
            return 0.0

    ours = [path for path in base.iterdir() if _FOLDER_NAME.fullmatch(path.name)]
    for folder in sorted(ours, key=used_at, reverse=True)[_N_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


def _source_digest() -> str:
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@intrinsic
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """Return ``a * b + c`` for three floats (or vectors) of one type, fused where the machine can.

    It is ``llvm.fmuladd``: scalar and vector code agree on one machine. (``llvm.fma`` must fuse,
    and without the instruction that is a library call a lane.)
    """
    if not (a == b == c and (isinstance(a, types.Float) or hasattr(a, "lanes"))):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        element = getattr(a, "element", a)
        vector = f"v{a.lanes}" if hasattr(a, "lanes") else ""
        declared = ir.FunctionType(kind, [kind] * 3)
        name = f"llvm.fmuladd.{vector}f{element.bitwidth}"
        return builder.call(_declare(builder.module, declared, name), arguments)

    return a(a, a, a), codegen
