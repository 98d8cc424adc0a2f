"""Bytes of a wire stream to items: the compiled decoder."""

from __future__ import annotations

import numpy as np

from streamrnn.core.errors import WireError
from streamrnn.core.types import Counters, Frames
from streamrnn.kernels.codec import packets
from streamrnn.wire.control import Control
from streamrnn.wire.packet import (
    MAX_DECODED,
    MAX_ENCODED,
    MAX_T_US,
    WireItem,
    byte_view,
    frame_time_us,
)

#: Bytes that the kernel gets at once.
PIECE_BYTES = 1 << 16
#: Frames that the columns hold, if that many fit into `COLUMN_BYTES`.
MAX_ROWS = 8192
COLUMN_BYTES = 1 << 18


class WireDecoder:
    """Turn the bytes of a wire stream into items, in stream order.

    Bytes may be cut anywhere. Damaged packets are dropped and counted, and the next delimiter
    starts afresh; nothing that arrives can raise. Use one decoder from one thread at a time.
    """

    def __init__(self) -> None:
        self._columns = packets.PacketColumns(PIECE_BYTES, MAX_DECODED, MAX_ENCODED, MAX_T_US)
        self._state = self._columns.state
        self._input = self._columns.input.data
        self._counters = Counters()
        self._control = Control()
        self._n_bytes = 0
        self._blocks: list[Frames] = []
        self.reset()

    @property
    def counters(self) -> Counters:
        """What happened so far; the same object each time."""
        c, state = self._counters, self._state
        c.n_bytes = self._n_bytes
        c.n_packets = int(state[packets.N_PACKETS])
        c.n_frames = int(state[packets.N_FRAMES])
        c.n_lost_frames = int(state[packets.N_LOST])
        c.n_duplicate_frames = int(state[packets.N_DUPLICATE])
        c.n_bad_crc = int(state[packets.N_BAD_CRC])
        c.n_bad_framing = int(state[packets.N_BAD_FRAMING])
        c.n_oversize = int(state[packets.N_OVERSIZE])
        c.n_bad_content = int(state[packets.N_BAD_CONTENT])
        return c

    @property
    def n_checked(self) -> int:
        """Packets whose checksum was right, whatever they held."""
        return int(self._state[packets.N_PACKETS] + self._state[packets.N_BAD_CONTENT])

    def reset(self) -> None:
        """Forget the stream: schema, sequence and unfinished packet. Counters go on."""
        self.resync()
        self._control = Control()
        self._state[packets.EXPECTED] = 0
        self._state[packets.LAST_T_US] = 0
        self._set_layout()

    def resync(self) -> None:
        """Forget only an unfinished packet, as when a link was lost and found again."""
        self._state[packets.CARRIED] = 0
        self._state[packets.DISCARDING] = 0

    def push(self, data: bytes | bytearray | memoryview) -> list[WireItem]:
        """Return what `data` completes.

        Parameters
        ----------
        data : bytes, bytearray or memoryview
            Any length; copied.

        Returns
        -------
        list
            Frames of neighbouring DATA packets are one block; the arrays are the caller's.
        """
        n = len(data)
        if n <= PIECE_BYTES and not isinstance(data, memoryview):
            self._input[:n] = data
            return self._decode(n, [])
        view = byte_view(data)
        items: list[WireItem] = []
        for start in range(0, len(view), PIECE_BYTES):
            piece = view[start : start + PIECE_BYTES]
            self._input[: len(piece)] = piece
            self._decode(len(piece), items, is_last=start + PIECE_BYTES >= len(view))
        return items

    def _decode(self, n: int, items: list[WireItem], *, is_last: bool = True) -> list[WireItem]:
        self._n_bytes += n
        state = self._state
        state[packets.POSITION] = 0
        while True:
            todo = self._columns.decode(n)
            if todo & packets.HAS_PACKET:
                self._take_packet(items)
            elif todo & packets.IS_FULL:
                self._take_rows()
            else:
                break
        if is_last and (todo or self._blocks):
            self._flush(items)
        return items

    def _take_packet(self, items: list[WireItem]) -> None:
        """Act on the packet that the kernel handed up."""
        state = self._state
        packet = self._columns.packet[: int(state[packets.PACKET_BYTES])].tobytes()
        try:
            outcome = self._control.take(packet, int(state[packets.EXPECTED]))
        except WireError:
            state[packets.N_BAD_CONTENT] += 1
            return
        state[packets.N_PACKETS] += 1
        state[packets.N_LOST] += outcome.n_lost
        if outcome.items or outcome.is_new_schema:
            self._flush(items)
            items += outcome.items
        if outcome.next_seq is not None:
            state[packets.EXPECTED] = outcome.next_seq
        if outcome.is_restart:
            state[packets.LAST_T_US] = 0
        if outcome.is_new_schema:
            self._set_layout()

    def _take_rows(self) -> None:
        """Copy the kernel's rows out of the columns."""
        state = self._state
        n = int(state[packets.ROWS])
        if n == 0:
            return
        n_channels = int(state[packets.N_CHANNELS])
        columns = self._columns
        x = columns.x[: n * n_channels].copy().reshape(n, n_channels)
        self._blocks.append(Frames(x, columns.seq[:n].copy(), columns.t_us[:n].copy()))
        state[packets.ROWS] = 0

    def _flush(self, items: list[WireItem]) -> None:
        """Append the frames so far to `items`, as one block."""
        self._take_rows()
        if self._blocks:
            items.append(Frames.join(self._blocks, int(self._state[packets.N_CHANNELS])))
            self._blocks = []

    def _set_layout(self) -> None:
        """Lay the columns out for the schema in force."""
        hello = self._control.hello
        if hello is None:
            self._columns.clear_layout()
            return
        kinds = [(group.dtype == "f32", len(group.names)) for group in hello.groups]
        factors = [(group.scale, group.offset) for group in hello.groups]
        self._columns.set_layout(
            hello.schema_id,
            np.array(kinds, np.int64),
            np.array(factors, np.float32),
            frame_time_us(0, np.arange(hello.max_frames), hello.rate_hz),
            max(hello.max_frames, min(MAX_ROWS, COLUMN_BYTES // (4 * hello.n_channels))),
        )
