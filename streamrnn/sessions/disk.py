"""Files of a session on disk: their names, and writing that hides nothing in a buffer."""

from __future__ import annotations

import errno
import os
from glob import escape
from pathlib import Path


def part_path(path: Path, part: int) -> Path:
    """Return the file of a part: ``name.mcap``, ``name-002.mcap``, ``name-003.mcap``, ..."""
    return path if part == 1 else path.with_name(f"{path.stem}-{part:03d}{path.suffix}")


def later_part_paths(path: Path) -> list[Path]:
    """Return the files that are called as later parts of `path` would be."""
    return sorted(path.parent.glob(f"{escape(path.stem)}-[0-9][0-9][0-9]{escape(path.suffix)}"))


class PartFile:
    """An unbuffered file: after a failed write nothing is left that a later close would retry.

    Parameters
    ----------
    path : Path
    overwrite : bool
        False refuses an existing file (`FileExistsError`).
    """

    def __init__(self, path: Path, overwrite: bool) -> None:
        self._file = open(path, "wb" if overwrite else "xb", buffering=0)
        self.n_bytes = 0

    def write(self, data: bytes) -> int:
        """Write all of `data`, or raise `OSError`."""
        rest = memoryview(data)
        while rest:
            n = self._file.write(rest)
            rest = rest[n:]
            self.n_bytes += n
        return len(data)

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.n_bytes

    def flush(self) -> None:
        """Return when the bytes are on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close without fsync."""
        self._file.close()


def sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a power cut, where a folder can be opened for that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems have no such thing
            raise
    finally:
        os.close(handle)
