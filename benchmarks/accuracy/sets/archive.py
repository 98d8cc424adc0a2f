"""Members of zip and tar archives in memory, bounded; nothing is unpacked to disk."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

#: No set here is near this; an archive that says more is not one of them.
MAX_BYTES = 256 * 2**20
MAX_MEMBERS = 20_000


def need(path: Path) -> Path:
    """Return `path`, or leave with a word about what is missing."""
    if not path.is_file():
        raise SystemExit(f"{path} is missing: --data names the folder that holds the sets' folders")
    return path


def zip_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of a zip archive, by name."""
    with zipfile.ZipFile(need(path)) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        _check(path, len(entries), sum(entry.file_size for entry in entries))
        for entry in sorted(entries, key=lambda item: item.filename):
            yield entry.filename, archive.read(entry)


def tar_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each plain file of a tar archive, in its order."""
    n_members = n_bytes = 0
    with tarfile.open(need(path), "r|*") as archive:
        for member in archive:
            if not member.isfile():
                continue
            n_members += 1
            n_bytes += member.size
            _check(path, n_members, n_bytes)
            stream = archive.extractfile(member)
            if stream is not None:
                yield member.name, stream.read()


def _check(path: Path, n_members: int, n_bytes: int) -> None:
    if n_members > MAX_MEMBERS or n_bytes > MAX_BYTES:
        raise SystemExit(
            f"{path} holds {n_members} files of {n_bytes} bytes in all: "
            f"at most {MAX_MEMBERS} and {MAX_BYTES} are read"
        )
