"""Sessions from disk: whole ones, cut ones and damaged ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from streamrnn.core.errors import SessionError
from streamrnn.core.text import printable
from streamrnn.core.types import StreamInfo
from streamrnn.sessions import form
from streamrnn.sessions.assemble import Assembly
from streamrnn.sessions.chunk import MalformedChunkError
from streamrnn.sessions.disk import later_part_paths
from streamrnn.sessions.scan import (
    MAGIC,
    ChunkData,
    Damage,
    IndexCount,
    MetadataRecord,
    Piece,
    Scanner,
    Tail,
    TooLargeError,
)
from streamrnn.sessions.session import Session

#: Our files describe themselves within the first few records; no need to read all of another's.
_MAX_PIECES_BEFORE_DOCUMENT = 16


def read_session(path: Path | str) -> Session:
    """Read a session; a rotated one by its first part.

    A file that was cut, or is damaged, gives every chunk that is whole; ``problems`` of the result
    says what is missing.

    Parameters
    ----------
    path : Path

    Raises
    ------
    SessionError
        No such file, not a session, or nothing in it can be trusted.
    """
    path = Path(path)
    assembly = Assembly()
    _read_part(path, assembly)
    if assembly.first_part == 1:
        _read_later_parts(path, assembly)
    return assembly.session()


def read_sessions(paths: Iterable[Path | str]) -> list[Session]:
    """Read some sessions.

    Parameters
    ----------
    paths : iterable of Path
        Files, or folders: then all ``*.mcap`` in them, sorted by name. Later parts of a rotated
        session are read with its first one.

    Raises
    ------
    SessionError
        As `read_session`, or a folder holds no session.
    """
    return [read_session(path) for path in session_paths(paths)]


def session_paths(paths: Iterable[Path | str]) -> list[Path]:
    """Return the session files that `read_sessions` would read, first parts only."""
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        files = sorted(path.glob("*.mcap"))
        if not files:
            raise SessionError(f"no session (*.mcap) in the folder {path}")
        found += [file for file in files if not _is_later_part(file)]
    return found


def is_session(path: Path | str) -> bool:
    """Tell whether a file begins as an MCAP file does; `SessionError` if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except FileNotFoundError:
        raise SessionError(f"no such file: {path}") from None
    except OSError as error:
        raise SessionError(f"cannot read {path}: {error.strerror or error}") from None


def read_info(path: Path | str) -> tuple[StreamInfo, dict[str, str]]:
    """Return what a session says of its stream, and its metadata, without reading its frames."""
    document = _document(Path(path))
    if document is None:
        raise SessionError(f"{path} describes no session")
    return document.info, dict(document.metadata)


def part_paths(path: Path) -> list[Path]:
    """Return a file and, if it is the first part of a session, the others that are there."""
    document = _document(path)
    if document is None or document.part != 1:
        return [path]
    return [path, *(follower for follower, _ in _later_parts(path, document.session))]


def _later_parts(path: Path, session_id: str) -> Iterator[tuple[Path, int]]:
    """Yield ``name-002.mcap`` and so on with their number, as far as they are of a session."""
    for follower in later_part_paths(path):
        document = _document(follower)
        if document is not None and document.session == session_id and document.part > 1:
            yield follower, document.part


def _read_later_parts(path: Path, assembly: Assembly) -> None:
    for follower, part in _later_parts(path, assembly.session_id):
        assembly.begin_part(part)
        _read_part(follower, assembly)
    if assembly.next_part:
        assembly.problems.append(f"its part {printable(assembly.next_part)} is missing or damaged")


def _is_later_part(path: Path) -> bool:
    """Tell whether a file is read with another one: a later part whose first part is there."""
    first = path.with_name(re.sub(r"-\d{3}$", "", path.stem) + path.suffix)
    if first == path or not first.exists():
        return False
    document = _document(path)  # None: cut in its first second; the first part reports it
    return document is None or document.part > 1


def _document(path: Path) -> form.Document | None:
    """Return how a file describes itself, None where it does not."""
    probe = Assembly()
    try:
        for piece in read_pieces(path):
            _feed(probe, piece)
            if probe.document is not None or probe.n_pieces > _MAX_PIECES_BEFORE_DOCUMENT:
                break
    except SessionError:
        return None
    return probe.document


def _read_part(path: Path, assembly: Assembly) -> None:
    try:
        for piece in read_pieces(path):
            _feed(assembly, piece)
            if assembly.document is None and assembly.n_pieces > _MAX_PIECES_BEFORE_DOCUMENT:
                break
    except SessionError as error:
        if str(path) in str(error):
            raise
        raise SessionError(f"{path}: {error}") from None
    if assembly.document is None:
        raise SessionError(f"{path}: {assembly.why_no_document()}")


def _feed(assembly: Assembly, piece: Piece) -> None:
    assembly.n_pieces += 1
    if isinstance(piece, ChunkData):
        try:
            assembly.chunk(piece.data)
        except MalformedChunkError:
            assembly.damage()
    elif isinstance(piece, IndexCount):
        assembly.index(piece)
    elif isinstance(piece, MetadataRecord):
        assembly.metadata(piece)
    elif isinstance(piece, Damage):
        assembly.damage()
    elif isinstance(piece, Tail):
        assembly.tail(piece)


def read_pieces(path: Path) -> Iterator[Piece]:
    """Yield the pieces of a file; every failure is a `SessionError` with the path."""
    try:
        with open(path, "rb") as file:
            size_bytes = file.seek(0, 2)
            file.seek(0)
            magic = file.read(len(MAGIC))
            if not magic:
                raise SessionError(f"{path} is empty")
            if magic != MAGIC:
                cut = " (or cut within its first bytes)" if MAGIC.startswith(magic) else ""
                raise SessionError(f"{path} is not a session: not an MCAP file{cut}")
            yield from Scanner(file, size_bytes).pieces()
    except TooLargeError as error:
        raise SessionError(f"{path} is refused: {error}") from None
    except IsADirectoryError:
        raise SessionError(f"{path} is a folder, not a session file") from None
    except FileNotFoundError:
        raise SessionError(f"no such file: {path}") from None
    except OSError as error:
        raise SessionError(f"cannot read {path}: {error.strerror or error}") from None
