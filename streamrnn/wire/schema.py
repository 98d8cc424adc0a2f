"""What a device says of itself: the HELLO payload, checked before anything believes it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from streamrnn.core.errors import WireError
from streamrnn.core.text import printable
from streamrnn.core.types import Channel, StreamInfo
from streamrnn.wire.packet import MAX_PAYLOAD

MAX_CHANNELS = 256
MAX_RATE_HZ = 1e6
MIN_RATE_HZ = 1e-3
#: Longest name, firmware version, boot id, channel name or unit that is taken over, in characters.
MAX_TEXT = 64

#: Bytes of one sample.
SAMPLE_BYTES = {"i16": 2, "f32": 4}


def parse_object(payload: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object in `payload`.

    Parameters
    ----------
    payload : bytes
        UTF-8, at most `MAX_PAYLOAD` long.
    what : str
        For the message: ``"HELLO"``.

    Raises
    ------
    WireError
        It is not one JSON object, or holds NaN or Infinity, or is nested too deep.
    """
    if len(payload) > MAX_PAYLOAD:
        raise WireError(f"{what}: {len(payload)} bytes are more than {MAX_PAYLOAD}")
    try:
        document = json.loads(payload.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise WireError(f"{what} is not JSON: {printable(str(error), 80)}") from None
    if not isinstance(document, dict):
        raise WireError(f"{what} must be a JSON object, got {type(document).__name__}")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def text_of(document: dict[str, Any], key: str, what: str) -> str:
    """Return a string of at most `MAX_TEXT` printable characters, or raise `WireError`."""
    value = document.get(key, "")
    if not isinstance(value, str):
        raise WireError(f"{what}: {key} must be a string, got {printable(repr(value), 40)}")
    return printable(value, MAX_TEXT)


def _number(document: dict[str, Any], key: str, default: float | None, what: str) -> float:
    value = document.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WireError(f"{what}: {key} must be a number, got {printable(repr(value), 40)}")
    try:
        return float(value)
    except OverflowError:
        raise WireError(f"{what}: {key} is too large") from None


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Neighbouring channels of one kind; a frame is its groups, one behind the other.

    Attributes
    ----------
    names : tuple of str
        Channel names, unique within the whole stream.
    unit : str
        Physical unit of ``raw * scale + offset``.
    dtype : {"i16", "f32"}
        Little-endian raw samples.
    scale, offset : float
        Raw to physical: ``float32(raw) * float32(scale) + float32(offset)``.

    Raises
    ------
    WireError
        A dtype, scale or offset that cannot be.
    """

    names: tuple[str, ...]
    unit: str = ""
    dtype: str = "i16"
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.dtype not in SAMPLE_BYTES:
            raise WireError(f"HELLO: dtype must be i16 or f32, got {printable(self.dtype, 20)!r}")
        if not self.names:
            raise WireError("HELLO: a group without channels")
        for key, value in (("scale", self.scale), ("offset", self.offset)):
            if not abs(value) <= float(np.finfo(np.float32).max):
                raise WireError(f"HELLO: {key} {value!r} is not a finite float32")
        if np.float32(self.scale) == 0:
            raise WireError(f"HELLO: scale {self.scale!r} is 0 as a float32")

    @property
    def group_bytes(self) -> int:
        """Bytes of this group in one frame."""
        return len(self.names) * SAMPLE_BYTES[self.dtype]

    @property
    def raw_dtype(self) -> np.dtype[Any]:
        """Dtype of the raw samples on the wire."""
        return np.dtype("<i2" if self.dtype == "i16" else "<f4")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "names": list(self.names),
            "unit": self.unit,
            "dtype": self.dtype,
            "scale": self.scale,
            "offset": self.offset,
        }

    @staticmethod
    def from_dict(document: Any) -> ChannelGroup:
        """Return the group in `document`, or raise `WireError`."""
        if not isinstance(document, dict):
            raise WireError("HELLO: each of groups must be a JSON object")
        names = document.get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise WireError("HELLO: names must be a list of strings")
        if len(names) > MAX_CHANNELS:
            raise WireError(f"HELLO: {len(names)} channels are more than {MAX_CHANNELS}")
        return ChannelGroup(
            names=tuple(printable(name, MAX_TEXT) for name in names),
            unit=text_of(document, "unit", "HELLO"),
            dtype=text_of(document, "dtype", "HELLO"),
            scale=_number(document, "scale", 1.0, "HELLO"),
            offset=_number(document, "offset", 0.0, "HELLO"),
        )


@dataclass(frozen=True, slots=True)
class Hello:
    """The schema of a stream.

    Attributes
    ----------
    name, firmware : str
        Device name and firmware version.
    boot_id : str
        Changes at each boot.
    rate_hz : float
        Nominal frame rate, 0.001..1e6.
    groups : tuple of ChannelGroup
        1..256 channels in all.
    schema_id : int
        0..255; DATA packets name the schema that they follow. Travels in the packet's header.

    Raises
    ------
    WireError
        Values that cannot be.
    """

    name: str
    firmware: str
    boot_id: str
    rate_hz: float
    groups: tuple[ChannelGroup, ...]
    schema_id: int = 0

    def __post_init__(self) -> None:
        if not math.isfinite(self.rate_hz) or not MIN_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ:
            raise WireError(
                f"HELLO: rate_hz must be {MIN_RATE_HZ:g}..{MAX_RATE_HZ:g}, got {self.rate_hz!r}"
            )
        names = [name for group in self.groups for name in group.names]
        if not 1 <= len(names) <= MAX_CHANNELS:
            raise WireError(f"HELLO: 1..{MAX_CHANNELS} channels, got {len(names)}")
        if "" in names:
            raise WireError("HELLO: a channel without a name")
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise WireError(f"HELLO: two channels are called {printable(twice, MAX_TEXT)!r}")
        if not 0 <= self.schema_id <= 255:
            raise WireError(f"HELLO: schema_id must be 0..255, got {self.schema_id!r}")

    @property
    def n_channels(self) -> int:
        """Channels of all groups."""
        return sum(len(group.names) for group in self.groups)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame in a DATA payload."""
        return sum(group.group_bytes for group in self.groups)

    @property
    def max_frames(self) -> int:
        """Most frames that fit into one DATA packet."""
        return MAX_PAYLOAD // self.frame_bytes

    def to_json(self) -> bytes:
        """Return the HELLO payload, or raise `WireError` if it does not fit into a packet."""
        document = {
            "name": self.name,
            "firmware": self.firmware,
            "boot_id": self.boot_id,
            "rate_hz": self.rate_hz,
            "groups": [group.to_dict() for group in self.groups],
        }
        payload = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        if len(payload) > MAX_PAYLOAD:
            raise WireError(
                f"HELLO: {len(payload)} bytes are more than {MAX_PAYLOAD}; use shorter names"
            )
        return payload

    @staticmethod
    def from_json(payload: bytes, schema_id: int = 0) -> Hello:
        """Return the checked schema in a HELLO payload; unknown keys are ignored.

        Parameters
        ----------
        payload : bytes
            JSON, never trusted.
        schema_id : int
            From the packet's header.

        Raises
        ------
        WireError
            One line that says what is wrong.
        """
        document = parse_object(payload, "HELLO")
        groups = document.get("groups")
        if not isinstance(groups, list) or len(groups) > MAX_CHANNELS:
            raise WireError("HELLO: groups must be a list of channel groups")
        return Hello(
            name=text_of(document, "name", "HELLO"),
            firmware=text_of(document, "firmware", "HELLO"),
            boot_id=text_of(document, "boot_id", "HELLO"),
            rate_hz=_number(document, "rate_hz", None, "HELLO"),
            groups=tuple(ChannelGroup.from_dict(group) for group in groups),
            schema_id=schema_id,
        )

    def stream_info(self) -> StreamInfo:
        """Return what the rest of the house needs to know of the stream."""
        channels = tuple(Channel(name, g.unit) for g in self.groups for name in g.names)
        return StreamInfo(channels, self.rate_hz, self.name, self.firmware, self.boot_id)
