"""Bytes of a wire stream to items: the compiled decoder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from streamrnn.core.errors import WireError
from streamrnn.core.types import Counters, Frames
from streamrnn.kernels.codec import slots as at
from streamrnn.kernels.codec.columns import Bytes, PacketColumns
from streamrnn.wire.control import Control
from streamrnn.wire.packet import (
    MAX_DECODED,
    MAX_ENCODED,
    MAX_T_US,
    WireItem,
    frame_time_us,
)

#: Bytes that are decoded at once.
PIECE_BYTES = 1 << 14
#: Size of the blocks of which frames are views: what a single frame that is kept keeps alive.
BLOCK_BYTES = 1 << 16


class WireDecoder:
    """Turn the bytes of a wire stream into items, in stream order.

    Bytes may be cut anywhere. Damaged packets are dropped and counted, and the next delimiter
    starts afresh; nothing that arrives can raise. Use one decoder from one thread at a time.
    """

    def __init__(self) -> None:
        self._columns = PacketColumns(PIECE_BYTES, MAX_DECODED, MAX_ENCODED, MAX_T_US)
        self._state = self._columns.state
        self._counters = Counters()
        self._control = Control()
        self._blocks: list[Frames] = []
        self.push: Callable[[Bytes], list[WireItem]] = self._columns.method(self._work)
        self.reset()

    @property
    def counters(self) -> Counters:
        """What happened so far; the same object each time."""
        c, state = self._counters, self._state
        c.n_bytes = state[at.N_BYTES]
        c.n_packets = state[at.N_PACKETS]
        c.n_frames = state[at.N_FRAMES]
        c.n_lost_frames = state[at.N_LOST]
        c.n_duplicate_frames = state[at.N_DUPLICATE]
        c.n_bad_crc = state[at.N_BAD_CRC]
        c.n_bad_framing = state[at.N_BAD_FRAMING]
        c.n_oversize = state[at.N_OVERSIZE]
        c.n_bad_content = state[at.N_BAD_CONTENT]
        return c

    @property
    def n_checked(self) -> int:
        """Packets whose checksum was right, whatever they held."""
        return self._state[at.N_PACKETS] + self._state[at.N_BAD_CONTENT]

    @property
    def n_refused(self) -> int:
        """Runs of bytes that were no packets."""
        state = self._state
        return state[at.N_BAD_FRAMING] + state[at.N_BAD_CRC] + state[at.N_OVERSIZE]

    def reset(self) -> None:
        """Forget the stream: schema, sequence and unfinished packet. Counters go on."""
        self.resync()
        self._control = Control()
        self._state[at.EXPECTED] = 0
        self._state[at.LAST_T_US] = 0
        self._set_layout()

    def resync(self) -> None:
        """Forget only an unfinished packet, as when a link was lost and found again."""
        self._columns.forget_unfinished()

    def _work(self, data: Bytes) -> list[WireItem]:
        """Do what `push` cannot: take other things than `bytes`, and hand up what was completed."""
        state = self._state
        todo, state[at.TODO] = state[at.TODO], 0
        if not todo:
            if not isinstance(data, bytes):
                return self.push(bytes(memoryview(data)))
            todo = self._columns.take(data)
        items: list[WireItem] = []
        while todo > at.HAS_ROWS:
            if todo & at.HAS_PACKET:
                self._take_packet(items)
            else:
                self._blocks += self._columns.hand_up_if_any()
                self._columns.new_block()
            todo = self._columns.resume()
        self._flush(items)
        return items

    def _take_packet(self, items: list[WireItem]) -> None:
        """Act on the packet that the kernel handed up."""
        state = self._state
        try:
            outcome = self._control.take(self._columns.packet, state[at.EXPECTED])
        except WireError:
            state[at.N_BAD_CONTENT] += 1
            return
        state[at.N_PACKETS] += 1
        state[at.N_LOST] += outcome.n_lost
        if outcome.items or outcome.is_new_schema:
            self._flush(items)
            items += outcome.items
        if outcome.next_seq is not None:
            state[at.EXPECTED] = outcome.next_seq
        if outcome.is_restart:
            state[at.LAST_T_US] = 0
        if outcome.is_new_schema:
            self._set_layout()

    def _flush(self, items: list[WireItem]) -> None:
        """Append the frames so far to `items`, as one block."""
        self._blocks += self._columns.hand_up_if_any()
        if self._blocks:
            items.append(Frames.join(self._blocks, self._state[at.N_CHANNELS]))
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
            max(2 * hello.max_frames, BLOCK_BYTES // (4 * hello.n_channels + 16)),
        )
