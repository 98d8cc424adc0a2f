"""Where compiled kernels are kept: a private folder of files that are checked before they are used.

What lies there is machine code that will be run, so a folder or file that belongs to someone else,
or that others can write to, is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

#: Files of each unit that stay: versions and processors may be used in turn.
N_KEPT = 4
#: No unit is nearly as large.
_MAX_BYTES = 1 << 26
_MAGIC = b"streamrnn object 1\n"
_DIGEST_BYTES = 32


def read(name: str, digest: str) -> bytes | None:
    """Return what was written under this name and digest, or None if it is not there or damaged."""
    folder = _folder()[0]
    if folder is None:
        return None
    path = folder / _file_name(name, digest)
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if _complaint(status) or status.st_size > _MAX_BYTES:
                return None
            data = file.read()
    except OSError:
        return None
    head = len(_MAGIC) + _DIGEST_BYTES
    code = data[head:]
    if data[:head] != _MAGIC + hashlib.sha256(code).digest():
        return None
    return code


def write(name: str, digest: str, code: bytes) -> None:
    """Keep `code` for the next start, if there is a place; remove what was used longest ago."""
    folder = _folder()[0]
    if folder is None:
        return
    with suppress(OSError):  # a full disk: the next start compiles again
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + hashlib.sha256(code).digest() + code)
            os.replace(temporary, folder / _file_name(name, digest))
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
        _remove_old(folder, name)


def problem() -> str:
    """Return why compiled code is not kept from one start to the next, ``""`` when it is."""
    return _folder()[1]


def folder() -> Path | None:
    """Return where compiled code is kept, if it is."""
    return _folder()[0]


@cache
def _folder() -> tuple[Path | None, str]:
    try:
        base = os.environ.get("STREAMRNN_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
        path = Path(base) if base else _user_cache() / "streamrnn"
        path = path / "kernels"
        path.mkdir(parents=True, mode=0o700, exist_ok=True)
        status = path.stat()
    except RuntimeError as error:
        return None, f"there is no home folder ({error})"
    except OSError as error:
        return None, f"{path} is not writable ({error.strerror})"
    complaint = _complaint(status)
    if complaint:
        return None, f"{path} {complaint}"
    if not os.access(path, os.W_OK):
        return None, f"{path} is not writable"
    return path, ""


def _complaint(status: os.stat_result) -> str:
    """Return what makes a file or folder unsafe to run code from."""
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        return "belongs to someone else"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written to by others"
    return ""


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _file_name(name: str, digest: str) -> str:
    return f"{name}.{digest}.o"


def _remove_old(folder: Path, name: str) -> None:
    """Remove the older files of a unit."""

    def written_at(path: Path) -> float:
        try:
            return path.stat().st_mtime
        except OSError:  # another start has just removed it
            return 0.0

    pattern = re.compile(re.escape(name) + r"\.[0-9a-f]{16}\.o")
    ours = [path for path in folder.iterdir() if pattern.fullmatch(path.name)]
    for path in sorted(ours, key=written_at, reverse=True)[N_KEPT:]:
        path.unlink(missing_ok=True)
