"""The arrays that the codec kernels read and write, and the kernels behind a safe door."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import numpy as np

from streamrnn.core.types import F32, I64, U8, Frames
from streamrnn.kernels import native, pycall
from streamrnn.kernels.codec import slots as at
from streamrnn.kernels.codec.units import PACKETS, TEXT
from streamrnn.kernels.native import Unit

#: What a stage gets from a link.
Bytes: TypeAlias = bytes | bytearray | memoryview

_HEADER_AND_TRAILER_BYTES = 20
#: Largest block that is made for a long read.
_MOST_BLOCK_BYTES = 1 << 20
#: Blocks that are kept: one is filled while frames of another are still in use.
_N_BLOCKS = 3
#: What an empty list is made from; kernels hold its address.
_NO_ITEMS: tuple[()] = ()


# What the constructor does, in half of the time: a frozen class looks its attributes up by name.
_new: Any = object.__new__
_set_x, _set_seq, _set_t_us = (cast(Any, Frames).__dict__[k].__set__ for k in ("x", "seq", "t_us"))


class _Block:
    """Columns of frames in one piece of memory, with room behind each for whole vectors.

    Attributes
    ----------
    x : float32 (n_rows, n_channels)
    seq, t_us : int64 (n_rows,)
    seq_at, t_us_at, x_at : int
        Their addresses.
    """

    def __init__(self, n_rows: int, n_channels: int) -> None:
        n_stamps = n_rows + at.LANES
        self._memory = np.empty(2 * n_stamps + n_rows * n_channels // 2 + at.LANES, np.int64)
        self.seq: I64 = self._memory[:n_rows]
        self.t_us: I64 = self._memory[n_stamps : n_stamps + n_rows]
        samples = self._memory[2 * n_stamps :].view(np.float32)[: n_rows * n_channels]
        self.x: F32 = samples.reshape(n_rows, n_channels)
        del samples  # a holder, as all views are
        self.seq_at = native.address(self._memory)
        self.t_us_at, self.x_at = self.seq_at + 8 * n_stamps, self.seq_at + 16 * n_stamps
        self._n_own = sys.getrefcount(self._memory)

    def is_free(self) -> bool:
        """Return whether nobody holds frames of it any more: all views count as its holders."""
        return sys.getrefcount(self._memory) == self._n_own


class _Columns:
    """What both have in common: a state, a buffer, and the block of columns that is being filled.

    What is handed up are views of the block, which nobody writes to while they live.

    Attributes
    ----------
    state : memoryview of int64
        See `slots`; Python's own ints, because it is read at each call.
    """

    def __init__(self, unit: Unit, n_slots: int, most: int, piece_bytes: int) -> None:
        self._lib = native.load(unit)
        self._slots = pycall.context(n_slots - pycall.N_HEAD)
        self.state = cast("memoryview[int]", cast(Any, memoryview)(self._slots))
        self._state_address = native.address(self._slots)
        # What is unfinished is moved to the front only where it overlaps nothing.
        self._memory: U8 = np.zeros(2 * at.SLACK + 2 * most + piece_bytes + at.COBS_SLACK, np.uint8)
        front = native.address(self._memory) + at.SLACK
        state = self.state
        state[at.BUFFER] = state[at.BEGIN] = state[at.SCANNED] = state[at.FILLED] = front
        state[at.PIECE_BYTES] = piece_bytes
        self._taken = self._n_rows = 0
        self._blocks: list[_Block] = []
        state[at.LIST_TYPE], state[at.NO_ITEMS] = id(list), id(_NO_ITEMS)
        self._on_rows: Callable[[Any], list[Any]] = self.hand_up
        self.on_rows(self.hand_up)

    def method(self, work: Callable[[Any], list[Any]]) -> Callable[[Bytes], list[Any]]:
        """Return a built-in method that takes bytes and returns an empty list.

        Parameters
        ----------
        work : callable
            Is called instead, with the same argument, for bytes that are not taken yet
            (``state[TODO]`` is 0) or when there is something else to do than to hand up rows.
        """
        return pycall.method("push", self._lib.address("push"), self._slots, work)

    def on_rows(self, hand_up: Callable[[Any], list[Any]]) -> bool:
        """Set what `push` calls when there are only rows to take; return whether that is new."""
        before, self._on_rows = self._on_rows, hand_up
        self.state[at.HAND_UP] = id(hand_up)
        return before != hand_up

    def take(self, data: bytes) -> int:
        """Read bytes; return what is to do (see the kernels' `resume`)."""
        self._source = np.frombuffer(data, np.uint8)  # stays until all is read
        return int(self._lib.take(self._state_address, self._source.ctypes.data, len(data)))

    def resume(self) -> int:
        """Read on."""
        return int(self._lib.resume(self._state_address))

    def forget_unfinished(self) -> None:
        """Forget the unfinished packet or line."""
        state = self.state
        state[at.BEGIN] = state[at.SCANNED] = state[at.FILLED]
        state[at.DISCARDING] = 0

    def hand_up(self, _: Any = None) -> list[Frames]:
        """Return the rows that nobody has taken yet as one block of frames."""
        start = self._taken
        self._taken = stop = self.state[at.ROWS]
        rows, block = slice(start, stop), self._block
        frames = _new(Frames)
        _set_x(frames, block.x[rows])
        _set_seq(frames, block.seq[rows])
        _set_t_us(frames, block.t_us[rows])
        return [frames]

    def hand_up_if_any(self) -> list[Frames]:
        """Return the rows that nobody has taken yet, if there are any, as one block of frames."""
        state = self.state
        if state[at.ROWS] == self._taken:
            return []
        state[at.TAKEN] = state[at.ROWS]
        return self.hand_up()

    def new_block(self) -> None:
        """Begin a block; rows of the one before that were not taken are lost.

        It may be an older one of which nobody holds frames any more: fresh memory costs more than
        what is written to it.
        """
        state, n_rows, n_channels = self.state, self._n_rows_of_block(), self.state[at.N_CHANNELS]
        fitting = [b for b in self._blocks if len(b.x) >= n_rows and b.x.shape[1] == n_channels]
        block = next(filter(_Block.is_free, fitting), None) or _Block(n_rows, n_channels)
        self._blocks = [block, *(b for b in fitting if b is not block)][:_N_BLOCKS]
        self._block = block
        state[at.X], state[at.MAX_ROWS] = block.x_at, len(block.x)
        state[at.ROWS] = state[at.TAKEN] = self._taken = 0
        self._begin_stamps()

    def _n_rows_of_block(self) -> int:
        """Return how many rows the next block gets."""
        return self._n_rows

    def _begin_stamps(self) -> None:
        """Make the new block's seq and times known."""


class PacketColumns(_Columns):
    """Columns of frames, and the packet kernel.

    Parameters
    ----------
    piece_bytes : int
        Bytes that are decoded at once, so that they stay in the nearest cache.
    max_decoded, max_encoded : int
        Largest packet before and behind COBS, in bytes.
    max_t_us : int
        Packets with a later time are refused.

    """

    def __init__(self, piece_bytes: int, max_decoded: int, max_encoded: int, max_t_us: int) -> None:
        super().__init__(PACKETS, at.N_PACKET_SLOTS, max_encoded, piece_bytes)
        self._packet: U8 = np.zeros(2 * at.SLACK + max_encoded + at.COBS_SLACK, np.uint8)
        state = self.state
        state[at.MAX_DECODED], state[at.MAX_ENCODED] = max_decoded, max_encoded
        state[at.MAX_T_US] = max_t_us
        state[at.PACKET] = native.address(self._packet) + at.SLACK
        self.clear_layout()

    @property
    def packet(self) -> bytes:
        """The packet that is handed up, without its checksum."""
        start = self.state[at.PACKET_AT]
        for memory in (self._memory, self._packet):
            offset = start - memory.ctypes.data
            if 0 <= offset < len(memory):
                return memory[offset : offset + self.state[at.PACKET_BYTES]].tobytes()
        return b""

    def clear_layout(self) -> None:
        """Take no DATA packets."""
        none = np.zeros(0, np.int64)
        self.set_layout(-1, np.zeros((0, 2), np.int64), np.zeros((0, 2), np.float32), none, 0)

    def set_layout(
        self, schema_id: int, groups: I64, factors: F32, delays_us: I64, n_rows: int
    ) -> None:
        """Lay the columns out for a schema; rows that wait in them are lost.

        Parameters
        ----------
        schema_id : int
            Of the DATA packets to take; -1: none.
        groups : int64 (n_groups, 2)
            Of each group: 1 for float32 or 0 for int16, and how many channels.
        factors : float32 (n_groups, 2)
            Of each group: scale and offset.
        delays_us : int64 (most frames that a packet can hold,), ascending
            Time of frame j of a packet, behind the packet's own.
        n_rows : int
            Frames that a block holds, or more for a long read; at least those of one packet.
        """
        n_channels = int(groups[:, 1].sum())
        frame_bytes = max(int((groups[:, 1] * (2 + 2 * groups[:, 0])).sum()), 1)
        state = self.state
        most = (state[at.MAX_DECODED] - _HEADER_AND_TRAILER_BYTES) // frame_bytes
        if schema_id >= 0 and not (0 < most <= len(delays_us) and most <= n_rows):
            raise ValueError(
                f"{most} frames fit into a packet; got {len(delays_us)} delays, {n_rows} rows"
            )
        of_samples = np.repeat(np.asarray(factors, np.float32), groups[:, 1], axis=0)
        if len(groups) and len(set(groups[:, 0].tolist())) == 1:
            # One kind of samples: a whole packet is one group.
            groups = np.array([[groups[0, 0], n_channels]])
            of_samples = np.tile(of_samples, (most, 1))
        slack = np.zeros(at.LANES, np.int64)
        self._scales, self._offsets = (
            np.concatenate((column, slack)).astype(np.float32) for column in of_samples.T
        )
        self._groups = np.array(groups, np.int64, order="C")
        self._delays = np.concatenate((delays_us, slack))
        state[at.SCHEMA_ID], state[at.FRAME_BYTES] = schema_id, frame_bytes
        state[at.FRAMES_A_BYTE] = -(-(1 << 32) // frame_bytes)
        state[at.N_CHANNELS], state[at.N_GROUPS] = n_channels, len(groups)
        self._n_rows = n_rows
        for slot, array in (
            (at.GROUPS, self._groups),
            (at.SCALES, self._scales),
            (at.OFFSETS, self._offsets),
            (at.DELAYS, self._delays),
        ):
            state[slot] = native.address(array)
        self.new_block()

    def _n_rows_of_block(self) -> int:
        # For a long read, what it may hold: blocks that are joined are copied.
        state = self.state
        n_bytes = state[at.SOURCE_BYTES] + state[at.FILLED] - state[at.BEGIN]
        most = _MOST_BLOCK_BYTES // (4 * state[at.N_CHANNELS] + 16)
        return max(self._n_rows, min(n_bytes // state[at.FRAME_BYTES] + 1, most))

    def _begin_stamps(self) -> None:
        self.state[at.SEQ], self.state[at.T_US] = self._block.seq_at, self._block.t_us_at


class TextColumns(_Columns):
    """Columns of frames, and the text kernel.

    Parameters
    ----------
    piece_bytes : int
        Bytes that are read at once, so that they stay in the nearest cache.
    max_line : int
        Longest line, in bytes without its end.
    stamp : callable
        Returns the times of the frames of given seq, int64 microseconds.

    Attributes
    ----------
    line : float32 (most values of a line,)
        Values of a line that was read alone.
    next_seq : int
        Of the first frame of the next block.
    """

    def __init__(self, piece_bytes: int, max_line: int, stamp: Callable[[I64], I64]) -> None:
        super().__init__(TEXT, at.N_TEXT_SLOTS, max_line, piece_bytes)
        self._stamp = stamp
        self.line: F32 = np.zeros((max_line + 1) // 2, np.float32)
        self.next_seq = 0
        state = self.state
        state[at.MAX_LINE], state[at.MAX_VALUES] = max_line, len(self.line)
        state[at.LINE] = native.address(self.line)

    def set_layout(self, n_channels: int, n_rows: int) -> None:
        """Lay a block out for lines of so many values, and read such lines in bulk from now on."""
        self.state[at.N_CHANNELS], self._n_rows = n_channels, n_rows
        self.new_block()

    def append(self, row: F32) -> None:
        """Append a frame to the block, which must not be full."""
        state = self.state
        self._block.x[state[at.ROWS]] = row
        state[at.ROWS] += 1
        state[at.N_FRAMES] += 1

    def _begin_stamps(self) -> None:
        block, start = self._block, self.next_seq
        self.next_seq += len(block.seq)
        block.seq[:] = np.arange(start, self.next_seq)
        block.t_us[:] = self._stamp(block.seq)


def prepare() -> None:
    """Compile both kernels, if they never were on this machine."""
    native.prepare([native.part_of(PACKETS), native.part_of(TEXT)])
