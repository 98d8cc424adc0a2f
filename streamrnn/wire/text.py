"""Text lines as a stream: the form of plain ``Serial.println`` sketches and data forwarders.

Text has no integrity check (unless a line ends in an NMEA ``*HH``), no clock and no sequence: a
lost line leaves no trace. docs/wire.md says so to the user.
"""

from __future__ import annotations

import numpy as np

from streamrnn.core.types import F32, Channel, Counters, Frames, Item, StreamInfo
from streamrnn.kernels.codec import text
from streamrnn.wire.packet import byte_view, frame_time_us

#: Longest line, in bytes without its end.
MAX_LINE = 512
#: Neighbouring lines with the same number of values that settle how many channels there are.
N_AGREEING = 3
#: Bytes that the kernel gets at once.
PIECE_BYTES = 1 << 16
#: Samples that the columns hold.
MAX_SAMPLES = 1 << 16

#: Where a line that holds no frame is counted.
_COUNTED_AT = {
    text.JUNK: text.N_JUNK,
    text.BAD_CHECKSUM: text.N_BAD_CHECKSUM,
    text.OVERSIZE: text.N_OVERSIZE,
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
        self._columns = text.TextColumns(PIECE_BYTES, MAX_LINE, MAX_SAMPLES)
        self._state = self._columns.state
        self._input = self._columns.input.data
        self._x = self._columns.x
        self._blocks: list[F32] = []
        self._held: list[F32] = []
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
        c.n_packets = c.n_frames
        c.n_bad_crc = int(state[text.N_BAD_CHECKSUM])
        c.n_oversize = int(state[text.N_OVERSIZE])
        c.n_bad_content = int(state[text.N_JUNK] + state[text.N_BAD_ARITY])
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
        self._state[text.LINE_BYTES] = 0
        self._state[text.DISCARDING] = 0
        self._is_first = True

    def push(self, data: bytes | bytearray | memoryview) -> list[Item]:
        """Return what `data` completes.

        Parameters
        ----------
        data : bytes, bytearray or memoryview
            Any length; copied.

        Returns
        -------
        list
            A `StreamInfo` before the first frames; neighbouring lines are one block.
        """
        view = byte_view(data)
        items: list[Item] = []
        for start in range(0, len(view), PIECE_BYTES):
            piece = view[start : start + PIECE_BYTES]
            self._input[: len(piece)] = piece
            self._parse(len(piece))
        if self._blocks:
            self._flush(items)
        return items

    def _parse(self, n: int) -> None:
        self._counters.n_bytes += n
        self._state[text.POSITION] = 0
        while True:
            in_bulk = self._n_channels and not self._is_first
            todo = self._columns.parse(n, self._n_channels if in_bulk else 0)
            if todo == text.ONE_LINE:
                self._take_line(int(self._state[text.N_VALUES]))
                continue
            self._take_rows()
            if todo == text.ALL_READ:
                return

    def _take_rows(self) -> None:
        """Copy the kernel's rows out of the columns."""
        n = int(self._state[text.ROWS])
        if n:
            n_values = n * self._n_channels
            self._blocks.append(self._x[:n_values].copy().reshape(n, self._n_channels))
            self._state[text.ROWS] = 0

    def _take_line(self, n_values: int) -> None:
        """Act on a single line: the first of all, or one before the channels are settled."""
        is_first, self._is_first = self._is_first, False
        if n_values < 0:
            self._drop_held()
            self._count_dropped(_COUNTED_AT[n_values], is_first)
            return
        row = self._x[None, :n_values].copy()
        if self._n_channels:
            if n_values == self._n_channels:
                self._blocks.append(row)
            else:
                self._count_dropped(text.N_BAD_ARITY, is_first)
            return
        if self._held and self._held[0].shape != row.shape:
            self._drop_held()
        self._is_first_held |= is_first
        self._held.append(row)
        if len(self._held) == N_AGREEING:
            self._n_channels = n_values
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
            self._count_dropped(text.N_BAD_ARITY, self._is_first_held and index == 0)
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
