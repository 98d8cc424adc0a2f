"""The records of one chunk: frames many at a time, everything else one by one."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from mcap.opcode import Opcode

from streamrnn.sessions import form

_RECORD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
_CDR = int.from_bytes(form.CDR_HEADER, "little")


#: Most records of a chunk that are not frames; the writer ends a chunk at 1 MiB.
MAX_RECORDS = 200_000


class MalformedChunkError(ValueError):
    """A chunk with a good checksum whose records break the form."""


@dataclass(frozen=True, slots=True)
class Message:
    """Any message but a frame."""

    channel: int
    log_ns: int
    publish_ns: int
    data: bytes


#: A structured array in the layout of `form.frame_record_dtype`: consecutive frames.
FrameRun: TypeAlias = npt.NDArray[Any]


def split(data: bytes, n_channels: int | None) -> Iterator[Message | FrameRun]:
    """Yield what a chunk holds, in order.

    Parameters
    ----------
    data : bytes
        Decompressed, its checksum checked.
    n_channels : int or None
        None while the session document is not known: frames are then malformed.

    Raises
    ------
    MalformedChunkError
        A record runs over the end, or a frame has another size.
    """
    layout = None if n_channels is None else form.frame_record_dtype(n_channels)
    at, n_records = 0, 0
    while at < len(data):
        n_records += 1
        if n_records > MAX_RECORDS:
            raise MalformedChunkError(f"more than {MAX_RECORDS} records in a chunk")
        if at + _RECORD.size > len(data):
            raise MalformedChunkError("a record is cut off")
        opcode, length = _RECORD.unpack_from(data, at)
        end = at + _RECORD.size + length
        if end > len(data):
            raise MalformedChunkError("a record runs over the end of its chunk")
        if opcode == 0:
            raise MalformedChunkError("a record without a kind")
        if opcode != Opcode.MESSAGE:
            at = end
            continue
        if length < _MESSAGE.size:
            raise MalformedChunkError("a message without its head")
        channel, _, log_ns, publish_ns = _MESSAGE.unpack_from(data, at + _RECORD.size)
        if channel != form.FRAMES_ID:
            body = data[at + _RECORD.size + _MESSAGE.size : end]
            yield Message(channel, log_ns, publish_ns, body)
            at = end
            continue
        if layout is None or end - at != layout.itemsize:
            raise MalformedChunkError("a frame of another size")
        run = _frame_run(data, at, layout)
        yield run
        at += len(run) * layout.itemsize


def _frame_run(data: bytes, at: int, layout: np.dtype[Any]) -> FrameRun:
    """Return the frames from `at` up to the first record that is none."""
    n_possible = (len(data) - at) // layout.itemsize
    records = np.frombuffer(data, layout, n_possible, at)
    same = (
        (records["opcode"] == int(Opcode.MESSAGE))
        & (records["length"] == layout.itemsize - _RECORD.size)
        & (records["channel"] == form.FRAMES_ID)
    )
    n = n_possible if same.all() else int(np.argmin(same))
    if (records["cdr"][:n] != _CDR).any():
        raise MalformedChunkError("a frame in another encoding")
    return records[:n]
