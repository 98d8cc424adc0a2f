"""Where compiled kernels are kept: a private folder of files that are checked before they are used.

What lies there is machine code that will be run. So nothing on the way to it may belong to anybody
else or be open to others' changes, and a file must carry the digest of its own name and content.
Whatever is wrong costs time only: the kernels are then compiled anew for each start.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

_LOG = logging.getLogger(__name__)

#: Names the folder in which to keep compiled kernels.
VARIABLE = "STREAMRNN_CACHE_DIR"
#: Files of each unit that stay: versions and processors may be used in turn.
N_KEPT = 4
#: No unit is nearly as large.
_MAX_BYTES = 1 << 26
_MAGIC = b"streamrnn object 2\n"
_DIGEST_BYTES = 32
_TEMPORARY = ".new-"
#: What a start that was killed left half written is removed when it is this old, seconds.
_STALE_S = 3600.0
_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def read(name: str, digest: str) -> bytes | None:
    """Return what was written under this name and digest, or None if it is not there or damaged."""
    folder, _ = _place()
    if folder is None:
        return None
    # A pipe must not hold us up, and a link could lead anywhere.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    path = folder / _file_name(name, digest)
    try:
        with open(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            complaint = _complaint(path, status)
            if complaint:
                _say_once(f"{complaint}: it is not used")
                return None
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
                return None
            data = file.read()
    except OSError:
        return None
    head = len(_MAGIC) + _DIGEST_BYTES
    code = data[head:]
    return code if data[:head] == _MAGIC + _seal(name, digest, code) else None


def write(name: str, digest: str, code: bytes) -> None:
    """Keep `code` for the next start, and remove what was used longest ago; or say why not."""
    folder, why = _place()
    if folder is not None and not why:
        try:
            _write(folder, name, digest, code)
        except OSError as error:  # a full disk
            why = f"{folder}: {error.strerror}"
    if why:
        _say_once(f"compiled kernels are not kept: {why}; set {VARIABLE} to a folder of your own")


def problem() -> str:
    """Return why compiled code is not kept from one start to the next, ``""`` when it is."""
    return _place()[1]


def folder() -> Path | None:
    """Return where compiled code is looked for; None if there is no such place."""
    return _place()[0]


def _write(folder: Path, name: str, digest: str, code: bytes) -> None:
    import tempfile  # a start with a warm cache has no use for it

    handle, temporary = tempfile.mkstemp(dir=folder, prefix=_TEMPORARY)
    try:
        with open(handle, "wb") as file:
            file.write(_MAGIC + _seal(name, digest, code) + code)
        os.replace(temporary, folder / _file_name(name, digest))
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    with suppress(OSError):  # what is old may stay
        _remove_old(folder, name)


@cache
def _say_once(text: str) -> None:
    _LOG.warning("%s", text)


@cache
def _place() -> tuple[Path | None, str]:
    """Return the folder to read from, and why nothing can be kept there."""
    try:
        base = os.environ.get(VARIABLE) or os.environ.get("NUMBA_CACHE_DIR")
        wanted = Path(base) if base else _user_cache() / "streamrnn"
    except RuntimeError as error:
        return None, f"there is no home folder ({error})"
    wanted = wanted / "kernels"
    try:
        # Links are followed once, here; behind this, only the checked path is used.
        path = Path(os.path.realpath(wanted))
        complaint = _complaint_above(path)
        missing = [part for part in (path, *path.parents) if not part.exists()]
        if missing and not complaint:
            for part in reversed(missing):
                part.mkdir(mode=0o700, exist_ok=True)
            complaint = _complaint_above(path)  # someone may have been quicker
        complaint = complaint or _complaint(path, path.stat())
    except OSError as error:
        return None, f"{wanted} is not writable ({error.strerror})"
    if complaint:
        return None, complaint
    return path, "" if os.access(path, os.W_OK) else f"{path} is not writable"


def _complaint_above(path: Path) -> str:
    """Return which folder above `path` lets somebody else put another one there, if any does."""
    trusted = {os.getuid(), os.stat("/").st_uid}
    for part in path.parents:
        try:
            status = part.stat()
        except FileNotFoundError:
            continue
        if status.st_uid not in trusted:
            return f"{part} belongs to someone else"
        if status.st_mode & stat.S_ISVTX or not status.st_mode & _BY_OTHERS:
            continue
        if status.st_mode & stat.S_IWOTH or not _is_own_group(status.st_gid):
            return f"{part} can be written to by others"
    return ""


def _complaint(path: Path, status: os.stat_result) -> str:
    """Return what makes a file or folder unsafe to run code from."""
    if status.st_uid != os.getuid():
        return f"{path} belongs to someone else"
    if status.st_mode & _BY_OTHERS:
        return f"{path} can be written to by others"
    return ""


def _is_own_group(group: int) -> bool:
    """Return whether a group holds nobody but us: many systems give each user one of their own."""
    import grp
    import pwd

    try:
        user, entry = pwd.getpwuid(os.getuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return (
        user.pw_gid == group
        and entry.gr_name == user.pw_name
        and set(entry.gr_mem) <= {user.pw_name}
    )


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _file_name(name: str, digest: str) -> str:
    return f"{name}.{digest}.o"


def _seal(name: str, digest: str, code: bytes) -> bytes:
    """Return the digest of a file's name and content: neither may be another's."""
    return hashlib.sha256(f"{name}.{digest}\n".encode() + code).digest()


def _remove_old(folder: Path, name: str) -> None:
    """Remove the older files of a unit, and what was never finished."""

    def written_at(path: Path) -> float:
        try:
            return path.stat().st_mtime
        except OSError:  # another start has just removed it
            return 0.0

    paths = list(folder.iterdir())
    pattern = re.compile(re.escape(name) + r"\.[0-9a-f]{16}\.o")
    ours = [path for path in paths if pattern.fullmatch(path.name)]
    old = sorted(ours, key=written_at, reverse=True)[N_KEPT:]
    stale = time.time() - _STALE_S
    old += [p for p in paths if p.name.startswith(_TEMPORARY) and written_at(p) < stale]
    for path in old:
        path.unlink(missing_ok=True)
