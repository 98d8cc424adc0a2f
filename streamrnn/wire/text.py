"""Text lines as a stream: the form of plain ``Serial.println`` sketches and data forwarders.

Text has no integrity check (unless a line ends in an NMEA ``*HH``), no clock and no sequence: a
lost line leaves no trace. docs/wire.md says so to the user.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from streamrnn.core.types import F32, I64, Channel, Counters, Frames, Item, StreamInfo
from streamrnn.kernels.codec import slots as at
from streamrnn.kernels.codec.columns import Bytes, TextColumns
from streamrnn.wire.packet import frame_time_us

#: Longest line, in bytes without its end.
MAX_LINE = 512
#: Neighbouring lines with the same number of values that settle how many channels there are.
N_AGREEING = 3
#: Size of the blocks of which frames are views: what a single frame that is kept keeps alive.
BLOCK_BYTES = 1 << 16
#: Bytes that the kernel gets at once.
PIECE_BYTES = 1 << 14

#: Where a line that holds no frame is counted.
_COUNTED_AT = {
    at.JUNK: at.N_JUNK,
    at.BAD_CHECKSUM: at.N_BAD_CHECKSUM,
    at.OVERSIZE: at.N_OVERSIZE,
}


class TextDecoder:
    """Turn lines of numbers into frames.

    The first line may be the rest of one: when it does not fit it is dropped and counted in
    ``counters.extra["n_half_lines"]``. A line without its end is never believed. Use one decoder
    from one thread at a time.

    Parameters
    ----------
    n_channels : int or None
        Values of a line; None: the first 3 neighbouring lines that agree settle it.
    rate_hz : float
        Frames a second, for the times; 0: unknown, and all times are 0.
    channels : tuple of Channel
        What the values are; empty: ``ch0``, ``ch1``, ...
    before : Counters, optional
        What was counted by a reader of the lines before; its count goes on here.
    """

    def __init__(
        self,
        n_channels: int | None = None,
        rate_hz: float = 0.0,
        channels: tuple[Channel, ...] = (),
        before: Counters | None = None,
    ) -> None:
        if n_channels is not None and not 1 <= n_channels <= MAX_LINE // 2:
            raise ValueError(f"n_channels must be 1..{MAX_LINE // 2}, got {n_channels}")
        self._asked_channels = n_channels or 0
        self._rate_hz = rate_hz
        self._channels = channels
        self._counters = Counters(extra={"n_half_lines": 0})
        self._columns = TextColumns(PIECE_BYTES, MAX_LINE, self._times_us)
        self._state = self._columns.state
        self._held: list[F32] = []
        self.push: Callable[[Bytes], list[Item]] = self._columns.method(self._work)
        self._is_first_held = False
        self.reset()
        if before is not None:
            self._continue(before)

    @property
    def n_channels(self) -> int | None:
        """Values of a line; None while it is not settled."""
        return self._n_channels or None

    @property
    def counters(self) -> Counters:
        """What happened so far; the same object each time."""
        c, state = self._counters, self._state
        c.n_bytes = state[at.N_BYTES]
        c.n_packets = c.n_frames = state[at.N_FRAMES]
        c.n_bad_crc = state[at.N_BAD_CHECKSUM]
        c.n_oversize = state[at.N_OVERSIZE]
        c.n_bad_content = state[at.N_JUNK] + state[at.N_BAD_ARITY]
        return c

    @property
    def n_refused(self) -> int:
        """Lines that were no numbers."""
        return self._state[at.N_JUNK] + self._counters.extra["n_half_lines"]

    def reset(self) -> None:
        """Forget the stream: channels, sequence and unfinished line. Counters go on."""
        self._n_channels = 0
        self._columns.next_seq = 0
        self._columns.on_rows(self._first_rows)
        if self._asked_channels:
            self._settle(self._asked_channels)
        self.resync()

    def resync(self) -> None:
        """Forget only an unfinished line, as when a link was lost and found again."""
        self._drop_held()
        self._columns.forget_unfinished()
        self._is_first = True
        self._state[at.N_CHANNELS] = 0

    def _continue(self, before: Counters) -> None:
        """Go on with another reader's count, behind its first line."""
        state = self._state
        state[at.N_BYTES] = before.n_bytes
        state[at.N_BAD_CHECKSUM] = before.n_bad_crc
        state[at.N_OVERSIZE] = before.n_oversize
        state[at.N_JUNK] = before.n_bad_content
        self._counters.extra.update(before.extra)
        self._is_first = False
        state[at.N_CHANNELS] = self._n_channels

    def _work(self, data: Bytes) -> list[Item]:
        """Do what `push` cannot: take other things than `bytes`, and hand up what was completed."""
        state, columns = self._state, self._columns
        todo, state[at.TODO] = state[at.TODO], 0
        if not todo:
            if not isinstance(data, bytes):
                return self.push(bytes(memoryview(data)))
            todo = columns.take(data)
        blocks: list[Frames] = []
        while todo > at.HAS_ROWS:
            if todo & at.HAS_LINE:
                self._take_line(state[at.N_VALUES])
            if state[at.ROWS] == state[at.MAX_ROWS] and state[at.N_CHANNELS]:
                blocks += columns.hand_up_if_any()
                columns.new_block()
            todo = columns.resume()
        blocks += columns.hand_up_if_any()
        if not blocks:
            return []
        return [*self._info(), Frames.join(blocks, self._n_channels)]

    def _first_rows(self, _: Bytes) -> list[Item]:
        """Hand up the first frames."""
        return [*self._info(), *self._columns.hand_up()]

    def _info(self) -> list[Item]:
        """Return what the stream says of itself, the first time."""
        if not self._columns.on_rows(self._columns.hand_up):
            return []
        channels = self._channels or tuple(Channel(f"ch{i}") for i in range(self._n_channels))
        return [StreamInfo(channels, self._rate_hz)]

    def _take_line(self, n_values: int) -> None:
        """Act on a line read alone: the first of all, or one before the channels are settled."""
        is_first, self._is_first = self._is_first, False
        row = self._columns.line[: max(n_values, 0)]
        self._state[at.N_CHANNELS] = self._n_channels
        if n_values < 0:
            self._drop_held()
            self._count_dropped(_COUNTED_AT[n_values], is_first)
        elif not self._n_channels:
            self._hold(row.copy(), is_first)
        elif n_values == self._n_channels:
            self._columns.append(row)
        else:
            self._count_dropped(at.N_BAD_ARITY, is_first)

    def _hold(self, row: F32, is_first: bool) -> None:
        """Keep a row until enough neighbours agree with it, and so settle the channels."""
        if self._held and self._held[0].shape != row.shape:
            self._drop_held()
        self._is_first_held |= is_first
        self._held.append(row)
        if len(self._held) == N_AGREEING:
            self._settle(row.size)
            for held in self._held:
                self._columns.append(held)
            self._held = []

    def _settle(self, n_channels: int) -> None:
        self._n_channels = n_channels
        self._columns.set_layout(n_channels, BLOCK_BYTES // (4 * n_channels + 16))

    def _times_us(self, seq: I64) -> I64:
        """Return the times of frames."""
        return frame_time_us(0, seq, self._rate_hz) if self._rate_hz > 0 else np.zeros_like(seq)

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
