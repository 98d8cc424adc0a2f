"""The undecoded bytes of a session: what the link gave, read for read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streamrnn.core.errors import SessionError
from streamrnn.sessions import form
from streamrnn.sessions.chunk import MalformedChunkError, Message, split
from streamrnn.sessions.reader import part_paths, read_pieces
from streamrnn.sessions.scan import ChunkData, Damage, MetadataRecord, Tail


def read_raw(path: Path | str, problems: list[str] | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield the raw reads of a session, of all its parts: host time in nanoseconds, and the bytes.

    One chunk is in memory at a time. What is damaged is passed over.

    Parameters
    ----------
    path : Path
        The file, or the first of its parts.
    problems : list of str, optional
        Gets a line for each part of which something is missing.

    Yields
    ------
    (int, bytes)
        As one read returned them. No bytes: the link was lost there, and came back.

    Raises
    ------
    SessionError
        As `streamrnn.sessions.reader.read_session`.
    """
    for part in part_paths(Path(path)):
        yield from _part_raw(part, [] if problems is None else problems)


def _part_raw(path: Path, problems: list[str]) -> Iterator[tuple[int, bytes]]:
    n_channels: int | None = None
    n_damaged = 0
    for piece in read_pieces(path):
        if isinstance(piece, MetadataRecord) and piece.name == form.METADATA_NAME:
            n_channels = n_channels or _n_channels(piece)
        elif isinstance(piece, Damage):
            n_damaged += 1
        elif isinstance(piece, Tail) and not piece.complete:
            problems.append(f"{path}: the file ends early, what came then is missing")
        if not isinstance(piece, ChunkData):
            continue
        messages = _messages(piece.data, n_channels)
        if messages is None:
            n_damaged += 1
            continue
        for message in messages:
            if message.channel == form.SESSION_ID and n_channels is None:
                n_channels = form.Document.from_json(message.data).info.n_channels
            elif message.channel == form.RAW_ID:
                yield message.log_ns, message.data
    if n_channels is None:
        raise SessionError(f"{path} describes no session")
    if n_damaged:
        problems.append(f"{path}: {n_damaged} damaged places, their bytes are missing")


def _messages(data: bytes, n_channels: int | None) -> list[Message] | None:
    try:
        return [item for item in split(data, n_channels) if isinstance(item, Message)]
    except MalformedChunkError:
        return None


def _n_channels(record: MetadataRecord) -> int | None:
    try:
        return form.Document.from_record(record.values).info.n_channels
    except SessionError:
        return None  # damaged; the first chunk says the same
