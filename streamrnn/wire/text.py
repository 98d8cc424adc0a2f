"""Text lines as a stream: the form of plain ``Serial.println`` sketches and data forwarders.

Text has no integrity check (unless a line ends in an NMEA ``*HH``), no clock and no sequence: a
lost line leaves no trace. docs/wire.md says so to the user.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from streamrnn.core.types import F32, Channel, Counters, Frames, Item, StreamInfo
from streamrnn.kernels.codec import slots as at
from streamrnn.kernels.codec.columns import Bytes, TextColumns
from streamrnn.wire.packet import frame_time_us

#: Longest line, in bytes without its end.
MAX_LINE = 512
#: Neighbouring lines with the same number of values that settle how many channels there are.
N_AGREEING = 3
#: Bytes that the kernel gets at once.
PIECE_BYTES = 1 << 14
#: Samples that the columns hold.
MAX_SAMPLES = 1 << 16

#: Where a line that holds no frame is counted.
_COUNTED_AT = {
    at.JUNK: at.N_JUNK,
    at.BAD_CHECKSUM: at.N_BAD_CHECKSUM,
    at.OVERSIZE: at.N_OVERSIZE,
}


class TextDecoder:
    """Turn lines of numbers into frames.

    The first line may be the rest of one: when it does not fit it is dropped and counted in
    ``counters.extra["n_half_lines"]``. A line without its end is never believed.

    Parameters
    ----------
    n_channels : int or None
        Values of a line; None: the first 3 neighbouring lines that agree settle it.
    rate_hz : float
        Frames a second, for the times; 0: unknown, and all times are 0.
    """

    def __init__(self, n_channels: int | None = None, rate_hz: float = 0.0) -> None:
        if n_channels is not None and not 1 <= n_channels <= MAX_LINE // 2:
            raise ValueError(f"n_channels must be 1..{MAX_LINE // 2}, got {n_channels}")
        self._asked_channels = n_channels or 0
        self._rate_hz = rate_hz
        self._counters = Counters(extra={"n_half_lines": 0})
        self._columns = TextColumns(PIECE_BYTES, MAX_LINE, MAX_SAMPLES)
        self._state = self._columns.state
        self._x = self._columns.x
        self._blocks: list[F32] = []
        self._held: list[F32] = []
        self.push: Callable[[Bytes], list[Item]] = self._columns.method(self._work)
        self._is_first_held = False
        self.reset()

    @property
    def n_channels(self) -> int | None:
        """Values of a line; None while it is not settled."""
        return self._n_channels or None

    @property
    def counters(self) -> Counters:
        """What happened so far; the same object each time."""
        c, state = self._counters, self._state
        c.n_bytes = state[at.N_BYTES]
        c.n_packets = c.n_frames
        c.n_bad_crc = state[at.N_BAD_CHECKSUM]
        c.n_oversize = state[at.N_OVERSIZE]
        c.n_bad_content = state[at.N_JUNK] + state[at.N_BAD_ARITY]
        return c

    def reset(self) -> None:
        """Forget the stream: channels, sequence and unfinished line. Counters go on."""
        self.resync()
        self._n_channels = self._asked_channels
        self._seq = 0
        self._said_info = False

    def resync(self) -> None:
        """Forget only an unfinished line, as when a link was lost and found again."""
        self._drop_held()
        self._columns.forget_unfinished()
        self._is_first = True
        self._state[at.N_CHANNELS] = 0

    def _work(self, data: Bytes) -> list[Item]:
        """Do what `push` cannot: take other things than `bytes`, and hand up what was completed."""
        state = self._state
        todo, state[at.TODO] = state[at.TODO], 0
        if not todo:
            if not isinstance(data, bytes):
                return self.push(bytes(memoryview(data)))
            todo = self._columns.take(data)
        while todo:
            self._take_rows()
            if todo & at.HAS_LINE:
                self._take_line(state[at.N_VALUES])
            elif todo == at.HAS_ROWS:
                break
            todo = self._columns.resume()
        items: list[Item] = []
        if self._blocks:
            self._flush(items)
        return items

    def _take_rows(self) -> None:
        """Copy the kernel's rows out of the columns."""
        n = self._state[at.ROWS]
        if n:
            n_values = n * self._n_channels
            self._blocks.append(self._x[:n_values].copy().reshape(n, self._n_channels))
            self._state[at.ROWS] = 0

    def _take_line(self, n_values: int) -> None:
        """Act on a single line: the first of all, or one before the channels are settled."""
        is_first, self._is_first = self._is_first, False
        self._state[at.N_CHANNELS] = self._n_channels
        if n_values < 0:
            self._drop_held()
            self._count_dropped(_COUNTED_AT[n_values], is_first)
            return
        row = self._x[None, :n_values].copy()
        if self._n_channels:
            if n_values == self._n_channels:
                self._blocks.append(row)
            else:
                self._count_dropped(at.N_BAD_ARITY, is_first)
            return
        if self._held and self._held[0].shape != row.shape:
            self._drop_held()
        self._is_first_held |= is_first
        self._held.append(row)
        if len(self._held) == N_AGREEING:
            self._n_channels = self._state[at.N_CHANNELS] = n_values
            self._blocks += self._held
            self._held = []

    def _count_dropped(self, slot: int, is_first: bool) -> None:
        if is_first:
            self._counters.extra["n_half_lines"] += 1
        else:
            self._state[slot] += 1

    def _drop_held(self) -> None:
        """Give up lines that waited for others to agree with them."""
        for index in range(len(self._held)):
            self._count_dropped(at.N_BAD_ARITY, self._is_first_held and index == 0)
        self._held = []
        self._is_first_held = False

    def _flush(self, items: list[Item]) -> None:
        """Append the frames so far to `items`, as one block."""
        if not self._said_info:
            self._said_info = True
            channels = tuple(Channel(f"ch{i}") for i in range(self._n_channels))
            items.append(StreamInfo(channels, self._rate_hz))
        x = self._blocks[0] if len(self._blocks) == 1 else np.concatenate(self._blocks)
        self._blocks = []
        seq = np.arange(self._seq, self._seq + len(x))
        self._seq += len(x)
        self._counters.n_frames += len(x)
        t_us = frame_time_us(0, seq, self._rate_hz) if self._rate_hz > 0 else np.zeros_like(seq)
        items.append(Frames(x, seq, t_us))
