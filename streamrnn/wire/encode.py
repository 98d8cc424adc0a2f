"""Packets to bytes. Pure, and quick enough for a simulator; decoding is the hot path, not this."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streamrnn.core.errors import WireError
from streamrnn.wire.packet import (
    COMMANDS,
    DELIMITER,
    HEADER,
    MAX_PAYLOAD,
    MAX_T_US,
    TOKEN,
    TRAILER,
    VERSION,
    PacketType,
)
from streamrnn.wire.schema import Hello

#: The longest run of non-zero bytes behind one COBS code byte.
_RUN = 254
_CODES = [bytes([n]) for n in range(256)]


def cobs_encode(data: bytes) -> bytes:
    """Return `data` without zero bytes (Cheshire & Baker 1999), one byte longer per 254.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    bytes
        Without the delimiter.
    """
    pieces: list[bytes] = []
    runs = data.split(b"\0")
    last = len(runs) - 1
    for index, run in enumerate(runs):
        while len(run) > _RUN or (len(run) == _RUN and index < last):
            pieces += (b"\xff", run[:_RUN])
            run = run[_RUN:]  # noqa: PLW2901 - the rest of a long run is a run
        pieces += (_CODES[len(run) + 1], run)
    return b"".join(pieces)


def frame_packet(
    kind: PacketType,
    payload: bytes,
    *,
    seq: int = 0,
    t_us: int = 0,
    flags: int = 0,
    schema: int = 0,
) -> bytes:
    """Return one packet, ready to be sent.

    Parameters
    ----------
    kind : PacketType
    payload : bytes
        At most `MAX_PAYLOAD`.
    seq : int
        Frame index since boot; sent modulo 2**32.
    t_us : int
        Device time, microseconds, >= 0.
    flags, schema : int
        0..255.

    Returns
    -------
    bytes
        COBS-coded, with the delimiter behind it.

    Raises
    ------
    WireError
        The payload does not fit, or the time cannot be.
    """
    if len(payload) > MAX_PAYLOAD:
        raise WireError(f"{kind.name}: a payload of {len(payload)} bytes exceeds {MAX_PAYLOAD}")
    if not 0 <= t_us <= MAX_T_US:
        raise WireError(f"{kind.name}: t_us must be 0..{MAX_T_US}, got {t_us}")
    body = HEADER.pack(VERSION, kind, flags, schema, seq & 0xFFFFFFFF, t_us) + payload
    return cobs_encode(body + TRAILER.pack(zlib.crc32(body))) + DELIMITER


def quantise(x: npt.ArrayLike, hello: Hello) -> tuple[npt.NDArray[Any], ...]:
    """Return the raw samples nearest to physical ones.

    Parameters
    ----------
    x : float (k, n_channels)
        Physical units, finite.
    hello : Hello
        Scale, offset and dtype of each group.

    Returns
    -------
    tuple of arrays (k, n), int16 or float32, one a group
        i16 is clipped to its range, as a converter does.

    Raises
    ------
    ValueError
        Wrong shape, or NaN or infinity.
    """
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != hello.n_channels:
        raise ValueError(f"x must be (k, {hello.n_channels}), got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("x holds NaN or infinity, which the wire cannot carry")
    columns: list[npt.NDArray[Any]] = []
    start = 0
    for group in hello.groups:
        stop = start + len(group.names)
        # The decoder's own float32 scale and offset, so that raw -> x -> raw gives raw again.
        raw = (values[:, start:stop] - float(np.float32(group.offset))) / float(
            np.float32(group.scale)
        )
        if group.dtype == "i16":
            raw = np.clip(np.rint(raw), -32768, 32767)
        columns.append(raw.astype(group.raw_dtype))
        start = stop
    return tuple(columns)


class Encoder:
    """Makes packets; holds no state."""

    def hello(self, hello: Hello, seq: int = 0, t_us: int = 0) -> bytes:
        """Return a HELLO packet; `seq` is the index of the next frame."""
        return frame_packet(
            PacketType.HELLO, hello.to_json(), seq=seq, t_us=t_us, schema=hello.schema_id
        )

    def data(
        self,
        hello: Hello,
        columns: npt.NDArray[Any] | Sequence[npt.NDArray[Any]],
        seq: int,
        t_us: int,
    ) -> bytes:
        """Return a DATA packet.

        Parameters
        ----------
        hello : Hello
            The schema that the frames follow.
        columns : float (k, n_channels), or one raw array (k, n) a group
            Physical samples (a float array), or what `quantise` returned; an integer array stands
            for the only group.
        seq : int
            Index of the first frame.
        t_us : int
            Device time of the first frame, microseconds.

        Raises
        ------
        ValueError
            Wrong shapes or dtypes.
        WireError
            No frame, or more than fit into a packet.
        """
        payload = self._payload(hello, columns)
        if not payload:
            raise WireError("DATA: a packet needs at least one frame")
        if len(payload) > MAX_PAYLOAD:
            n_frames = len(payload) // hello.frame_bytes
            raise WireError(f"DATA: {n_frames} frames exceed the {hello.max_frames} of a packet")
        return frame_packet(PacketType.DATA, payload, seq=seq, t_us=t_us, schema=hello.schema_id)

    def _payload(
        self, hello: Hello, columns: npt.NDArray[Any] | Sequence[npt.NDArray[Any]]
    ) -> bytes:
        if isinstance(columns, np.ndarray):
            columns = (columns,) if columns.dtype.kind == "i" else quantise(columns, hello)
        if len(columns) != len(hello.groups):
            raise ValueError(f"{len(hello.groups)} raw arrays expected, got {len(columns)}")
        for group, raw in zip(hello.groups, columns, strict=True):
            if raw.shape != (len(columns[0]), len(group.names)) or raw.dtype != group.raw_dtype:
                raise ValueError(
                    f"a raw array must be {group.raw_dtype} ({len(columns[0])}, "
                    f"{len(group.names)}), got {raw.dtype} {raw.shape}"
                )
        if len(columns) == 1:
            return columns[0].tobytes()
        rows = [np.ascontiguousarray(raw).view(np.uint8) for raw in columns]
        return np.concatenate(rows, axis=1).tobytes()

    def event(self, payload: Mapping[str, Any], seq: int, t_us: int) -> bytes:
        """Return an EVENT packet: ``{"kind": "label", ...}`` or ``{"kind": "end"}``."""
        return frame_packet(PacketType.EVENT, _json(payload), seq=seq, t_us=t_us)

    def command(self, request_id: int, name: str, args: Mapping[str, Any] | None = None) -> bytes:
        """Return a CMD packet, or raise ValueError for a command that does not exist."""
        if name not in COMMANDS:
            raise ValueError(f"no command {name!r}; known: {', '.join(COMMANDS)}")
        document = {"id": request_id, "cmd": name, "args": dict(args or {})}
        return frame_packet(PacketType.CMD, _json(document))

    def ack(
        self, request_id: int, ok: bool, message: str = "", seq: int = 0, t_us: int = 0
    ) -> bytes:
        """Return an ACK packet."""
        document = {"id": request_id, "ok": ok, "message": message}
        return frame_packet(PacketType.ACK, _json(document), seq=seq, t_us=t_us)

    def ping(self, token: int, seq: int = 0, t_us: int = 0) -> bytes:
        """Return a PING packet with a token of 64 bits."""
        return frame_packet(PacketType.PING, TOKEN.pack(token), seq=seq, t_us=t_us)

    def pong(self, token: int, seq: int = 0, t_us: int = 0) -> bytes:
        """Return a PONG packet that answers the ping with the same token."""
        return frame_packet(PacketType.PONG, TOKEN.pack(token), seq=seq, t_us=t_us)


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
