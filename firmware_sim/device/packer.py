"""DATA packets, many at a time: the arithmetic of `frame_packet` on arrays."""

from __future__ import annotations

import zlib

import numpy as np

from firmware_sim.device.fetch import Cut, Fetcher
from streamrnn.core.types import I64, U8
from streamrnn.wire.encode import frame_packet
from streamrnn.wire.packet import HEADER, TRAILER, VERSION, PacketType

_HEADER = np.dtype({"names": ["start", "seq", "t_us"], "formats": ["<u4", "<u4", "<u8"]})
#: Fewer packets than this are made one by one.
_MIN_PACKETS = 8
#: A COBS code above this is none for a distance.
_MAX_CODE = 254


class Packer:
    """Makes the DATA packets of one boot, those that are next of their kind ahead of time.

    Parameters
    ----------
    fetcher : Fetcher
    k : int
        Frames in a packet, as a rule.
    schema : int
        Of the header.
    is_steady : bool
        Times follow from those of the fetcher, so that packets can be made ahead of time.
    """

    def __init__(self, fetcher: Fetcher, k: int, schema: int, *, is_steady: bool = True) -> None:
        self._fetcher = fetcher
        self._k = k
        self._schema = schema
        self._is_steady = is_steady
        #: Packets by seq, with their times; how many there were, and how many of them were used.
        self._made: dict[int, tuple[int, bytes]] = {}
        self._n_made = self._n_used = _MIN_PACKETS

    def pack(self, cut: Cut, seq: int, t_us: int) -> bytes:
        """Return the packet of a payload that was just taken from the fetcher.

        Parameters
        ----------
        cut : Cut
        seq, t_us : int
            Of its first frame, as they go out.
        """
        made_us, data = self._made.get(seq, (-1, b""))
        if made_us == t_us and cut.n_frames == self._k:
            self._n_used += 1
            return data
        if self._is_steady and cut.n_frames == self._k:
            self._make_ahead(seq - cut.seq, t_us - cut.t_us)
        return frame_packet(PacketType.DATA, cut.payload, seq=seq, t_us=t_us, schema=self._schema)

    def _make_ahead(self, seq_shift: int, t_shift_us: int) -> None:
        # Where labels or gaps make most of them useless, fewer are made.
        is_worth_it = 2 * self._n_used >= self._n_made
        n_most = max(_MIN_PACKETS, self._n_made * 2 if is_worth_it else self._n_made // 2)
        payload, seqs, times = self._fetcher.ahead(self._k, n_most)
        if len(seqs) < _MIN_PACKETS:
            return
        self._n_made, self._n_used = len(seqs), 0
        seq, t_us = (np.array(seqs) + seq_shift), (np.array(times) + t_shift_us)
        packets = data_packets(payload, seq, t_us, self._schema)
        self._made = dict(zip(seq.tolist(), zip(t_us.tolist(), packets, strict=True), strict=True))


def data_packets(payload: bytes, seq: I64, t_us: I64, schema: int) -> list[bytes]:
    """Return DATA packets of one length, ready to be sent: what `frame_packet` returns for each.

    Parameters
    ----------
    payload : bytes
        Of all of them, one behind the other.
    seq, t_us : int64 (n,)
        Of each; times >= 0.
    schema : int
    """
    n = len(seq)
    header = np.zeros(n, _HEADER)
    header["start"] = VERSION | PacketType.DATA << 8 | schema << 24
    header["seq"] = seq & 0xFFFFFFFF
    header["t_us"] = t_us
    n_payload = len(payload) // n
    n_body = HEADER.size + n_payload
    # A zero in front and one behind: the first code, and the delimiter.
    rows = np.zeros((n, n_body + TRAILER.size + 2), np.uint8)
    rows[:, 1 : 1 + HEADER.size] = header.view(np.uint8).reshape(n, HEADER.size)
    rows[:, 1 + HEADER.size : 1 + n_body] = np.frombuffer(payload, np.uint8).reshape(n, n_payload)
    bodies = memoryview(rows.tobytes())
    width = rows.shape[1]
    starts = range(1, n * width, width)
    checks = [zlib.crc32(bodies[at : at + n_body]) for at in starts]
    rows[:, 1 + n_body : -1] = np.array(checks, "<u4").view(np.uint8).reshape(n, TRAILER.size)
    if not _stuff(rows):
        parts = [payload[at : at + n_payload] for at in range(0, len(payload), n_payload)]
        return [
            frame_packet(PacketType.DATA, part, seq=s, t_us=t, schema=schema)
            for part, s, t in zip(parts, seq.tolist(), t_us.tolist(), strict=True)
        ]
    data = rows.tobytes()
    return [data[at - 1 : at - 1 + width] for at in starts]


def _stuff(rows: U8) -> bool:
    """Put the distance to the next zero in place of each zero but the last of a row.

    That is COBS (Cheshire & Baker 1999) as long as no distance exceeds 254; if one does, nothing is
    changed and the answer is False.
    """
    width = rows.shape[1]
    places = np.where(rows == 0, np.arange(width, dtype=np.int32), np.int32(width))
    following = np.minimum.accumulate(places[:, :0:-1], axis=1)[:, ::-1]
    distance = following - np.arange(width - 1, dtype=np.int32)
    is_zero = rows[:, :-1] == 0
    if width > _MAX_CODE and int(distance[is_zero].max()) > _MAX_CODE:
        return False
    np.copyto(rows[:, :-1], distance.astype(np.uint8), where=is_zero)
    return True
