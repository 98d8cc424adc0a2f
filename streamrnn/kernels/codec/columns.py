"""The arrays that the codec kernels read and write, and the kernels behind a safe door."""

from __future__ import annotations

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
#: What an empty list is made from; kernels hold its address.
_NO_ITEMS: tuple[()] = ()


class _Columns:
    """What both have in common: a state, a buffer, and the block of columns that is being filled.

    A block is written once and never again: what is handed up are views of it.

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
        self._taken = 0
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
        rows = slice(start, stop)
        return [Frames(self._x[rows], self._seq[rows], self._t_us[rows])]

    def hand_up_if_any(self) -> list[Frames]:
        """Return the rows that nobody has taken yet, if there are any, as one block of frames."""
        state = self.state
        if state[at.ROWS] == self._taken:
            return []
        state[at.TAKEN] = state[at.ROWS]
        return self.hand_up()

    def new_block(self) -> None:
        """Begin a new block; rows of the old one that were not taken are lost.

        The arrays of a block are one piece of memory, with room behind each for whole vectors.
        """
        state = self.state
        n_rows, n_channels = state[at.MAX_ROWS], state[at.N_CHANNELS]
        n_stamps = n_rows + at.LANES
        block = np.empty(2 * n_stamps + n_rows * n_channels // 2 + at.LANES, np.int64)
        self._seq, self._t_us = block[:n_rows], block[n_stamps : n_stamps + n_rows]
        x = block[2 * n_stamps :].view(np.float32)
        self._x: F32 = x[: n_rows * n_channels].reshape(n_rows, n_channels)
        start = native.address(block)
        state[at.X] = start + 16 * n_stamps
        state[at.ROWS] = state[at.TAKEN] = self._taken = 0
        self._name_stamps(start, start + 8 * n_stamps)

    def _name_stamps(self, seq: int, t_us: int) -> None:
        """Take the addresses of the new block's seq and times."""


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
            Frames that a block holds; at least those of one packet.
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
        state[at.MAX_ROWS] = n_rows
        for slot, array in (
            (at.GROUPS, self._groups),
            (at.SCALES, self._scales),
            (at.OFFSETS, self._offsets),
            (at.DELAYS, self._delays),
        ):
            state[slot] = native.address(array)
        self.new_block()

    def _name_stamps(self, seq: int, t_us: int) -> None:
        self.state[at.SEQ], self.state[at.T_US] = seq, t_us


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
        self.state[at.N_CHANNELS], self.state[at.MAX_ROWS] = n_channels, n_rows
        self.new_block()

    def append(self, row: F32) -> None:
        """Append a frame to the block, which must not be full."""
        state = self.state
        self._x[state[at.ROWS]] = row
        state[at.ROWS] += 1
        state[at.N_FRAMES] += 1

    def _name_stamps(self, seq: int, t_us: int) -> None:
        n_rows = self.state[at.MAX_ROWS]
        self._seq[:] = np.arange(self.next_seq, self.next_seq + n_rows)
        self._t_us[:] = self._stamp(self._seq)
        self.next_seq += n_rows


def prepare() -> None:
    """Compile both kernels, if they never were on this machine."""
    native.prepare([native.part_of(PACKETS), native.part_of(TEXT)])
