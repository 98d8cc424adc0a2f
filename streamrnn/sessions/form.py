"""The form of a session file: topics, the session document, the layout of a frame.

docs/formats.md ("Sessions") describes it for readers in other languages.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamrnn.core.errors import SessionError
from streamrnn.core.text import printable
from streamrnn.core.types import F32, I64, Channel, StreamInfo

#: Version of the session form that this code writes, and the newest that it reads.
FORMAT = 1
#: Name of the MCAP Metadata record that holds the session document.
METADATA_NAME = "streamrnn"
#: Name of the MCAP Metadata record that says that another part follows.
NEXT_PART_NAME = "streamrnn-next"
#: Name of the MCAP Metadata record that adds to the metadata what was known at the end only.
CLOSING_NAME = "streamrnn-closing"
#: Profile and schema name: a frame is a flat ROS 2 message of named float32 fields.
PROFILE = "ros2"
SCHEMA_NAME = "streamrnn/Frame"

#: MCAP channel ids, in the order in which the writer registers them.
SESSION_ID, FRAMES_ID, LABELS_ID, EVENTS_ID, SEQ_ID, RAW_ID = 1, 2, 3, 4, 5, 6
TOPICS = {
    SESSION_ID: "/session",
    FRAMES_ID: "/frames",
    LABELS_ID: "/labels",
    EVENTS_ID: "/events",
    SEQ_ID: "/seq",
    RAW_ID: "/raw",
}

#: CDR encapsulation header: plain CDR, little-endian, no options.
CDR_HEADER = b"\x00\x01\x00\x00"

MAX_CHANNELS = 1024
#: ``publish_time`` is u64 nanoseconds and `Frames.t_us` is int64 microseconds.
MAX_T_US = (2**63 - 1) // 1000


class NewerFormatError(SessionError):
    """A file of a version that this code does not know yet."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a session file says of itself, in its first chunk and in its Metadata record.

    Attributes
    ----------
    info : StreamInfo
    metadata : dict of str to str
        The user's words.
    session : str
        The same in all parts of a rotated session.
    part : int
        From 1.
    """

    info: StreamInfo
    metadata: dict[str, str] = field(default_factory=dict)
    session: str = ""
    part: int = 1

    def to_json(self) -> str:
        """Return the document as JSON."""
        info = self.info
        fields = ros_field_names(info.channel_names)
        channels = [
            {"name": channel.name, "unit": channel.unit, "field": name}
            for channel, name in zip(info.channels, fields, strict=True)
        ]
        document = {
            "format": FORMAT,
            "session": self.session,
            "part": self.part,
            "stream": {
                "name": info.name,
                "firmware": info.firmware,
                "boot_id": info.boot_id,
                "rate_hz": info.rate_hz,
                "channels": channels,
            },
            "metadata": self.metadata,
        }
        return json.dumps(document, allow_nan=False, separators=(",", ":"))

    @staticmethod
    def from_json(text: str | bytes) -> Document:
        """Return the checked document.

        Raises
        ------
        SessionError
            Not such a document, or one of a newer version.
        """
        raw = load_json(text)
        version = raw.get("format")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise SessionError(f"its format version is {printable(repr(version))}")
        if version > FORMAT:
            raise NewerFormatError(
                f"it has session format {version}, this streamrnn reads up to {FORMAT}: update it"
            )
        metadata = _typed(raw, "metadata", dict)
        if not all(isinstance(value, str) for value in metadata.values()):
            raise SessionError("its metadata are not all text")
        part = _typed(raw, "part", int)
        return Document(
            _stream_info(_typed(raw, "stream", dict)), metadata, _typed(raw, "session", str), part
        )

    def to_record(self) -> dict[str, str]:
        """Return the content of the Metadata record; the MCAP form gives it no checksum itself."""
        text = self.to_json()
        return {"document": text, "crc32": f"{zlib.crc32(text.encode()):08x}"}

    @staticmethod
    def from_record(record: Mapping[str, str]) -> Document:
        """Return the document of a Metadata record, or raise `SessionError`."""
        text = record.get("document", "")
        if f"{zlib.crc32(text.encode()):08x}" != record.get("crc32"):
            raise SessionError("its description is damaged")
        return Document.from_json(text)


def load_json(text: str | bytes) -> dict[str, Any]:
    """Return a JSON object, or raise `SessionError`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SessionError(f"it holds broken JSON ({printable(str(error))})") from None
    if not isinstance(value, dict):
        raise SessionError(f"it holds JSON of another shape ({printable(repr(value), 40)})")
    return value


def _typed(raw: Mapping[str, Any], key: str, kind: type) -> Any:
    value = raw.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise SessionError(f"its description has no good {key!r}: {printable(repr(value), 40)}")
    return value


def _stream_info(stream: Mapping[str, Any]) -> StreamInfo:
    channels = _typed(stream, "channels", list)
    if not 1 <= len(channels) <= MAX_CHANNELS:
        raise SessionError(f"it has {len(channels)} channels, 1 to {MAX_CHANNELS} are possible")
    if not all(isinstance(channel, dict) for channel in channels):
        raise SessionError("its channels are not described")
    rate_hz = stream.get("rate_hz")
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, int | float) or not 0 <= rate_hz <= 1e6:
        raise SessionError(f"its rate is {printable(repr(rate_hz), 40)} Hz")
    made = tuple(Channel(_typed(c, "name", str), _typed(c, "unit", str)) for c in channels)
    if len({channel.name for channel in made}) != len(made):
        raise SessionError("two of its channels have the same name")
    return StreamInfo(
        made,
        float(rate_hz),
        _typed(stream, "name", str),
        _typed(stream, "firmware", str),
        _typed(stream, "boot_id", str),
    )


def ros_field_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return valid, distinct ROS 2 field names, as near to `names` as the rules allow.

    A field name is made of a-z, 0-9 and single underscores, starts with a letter and does not end
    with an underscore (https://docs.ros.org/en/rolling/Concepts/Basic/About-Interfaces.html).
    """
    taken: set[str] = set()
    fields = []
    for name in names:
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
        field_name = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")
        if not field_name[:1].isalpha():
            field_name = f"ch_{field_name}".strip("_")
        unique, k = field_name, 2
        while unique in taken:
            unique, k = f"{field_name}_{k}", k + 1
        taken.add(unique)
        fields.append(unique)
    return tuple(fields)


def frame_schema(info: StreamInfo) -> bytes:
    """Return the ``ros2msg`` text of a frame, units as comments."""
    lines = []
    for channel, name in zip(info.channels, ros_field_names(info.channel_names), strict=True):
        unit = printable(channel.unit).replace("#", "")
        lines.append(f"float32 {name}" + (f"  # {unit}" if unit else ""))
    return ("\n".join(lines) + "\n").encode()


def frame_data_bytes(n_channels: int) -> int:
    """Return the size of one frame's CDR data."""
    return len(CDR_HEADER) + 4 * n_channels


def frames_to_cdr(x: F32) -> bytes:
    """Return the CDR data of some frames, one behind the other.

    Parameters
    ----------
    x : float32 (N, n_channels)
    """
    n, n_channels = x.shape
    block = np.empty((n, frame_data_bytes(n_channels)), np.uint8)
    block[:, :4] = np.frombuffer(CDR_HEADER, np.uint8)
    block[:, 4:] = np.ascontiguousarray(x, np.dtype("<f4")).view(np.uint8)
    return block.tobytes()


def frame_record_dtype(n_channels: int) -> np.dtype[Any]:
    """Return the layout of one frame's whole MCAP message record."""
    return np.dtype(
        [
            ("opcode", "u1"),
            ("length", "<u8"),
            ("channel", "<u2"),
            ("sequence", "<u4"),
            ("log_time", "<u8"),
            ("publish_time", "<u8"),
            ("cdr", "<u4"),
            ("x", "<f4", (n_channels,)),
        ]
    )


def unwrap_sequence(sequence: I64, next_seq: int) -> I64:
    """Return device sequence numbers from their low 32 bits.

    Parameters
    ----------
    sequence : int64 (N,)
        Low 32 bits, each less than 2^31 ahead of the one before it.
    next_seq : int
        A number at most 2^31 before the first: the one that was expected, or written in ``/seq``.

    Returns
    -------
    int64 (N,)
    """
    if not len(sequence):
        return sequence
    ahead = np.diff(sequence, prepend=next_seq & 0xFFFFFFFF)
    wrapped = (ahead + 2**31) % 2**32 - 2**31
    unwrapped: I64 = next_seq + np.cumsum(wrapped)
    return unwrapped
