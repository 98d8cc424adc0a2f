"""Slots of the states that the codec kernels share with Python: places in an int64 array.

A state is also the context of the built-in method `push`, so it begins as one (see `pycall`).
"""

from __future__ import annotations

from streamrnn.kernels.pycall import N_HEAD

# Of both.
LIST_TYPE, NO_ITEMS = range(N_HEAD, N_HEAD + 2)  # what makes an empty list
TODO = N_HEAD + 2  # what a push left to do, where Python was called for it
SOURCE = N_HEAD + 3  # address of the bytes that are still to be read ...
SOURCE_BYTES = N_HEAD + 4  # ... and how many they are
BUFFER = N_HEAD + 5  # address of the buffer, and the bytes that it takes at once
PIECE_BYTES = N_HEAD + 6
BEGIN = N_HEAD + 7  # address of the unfinished packet or line in the buffer ...
SCANNED = N_HEAD + 8  # ... up to where there is no end in it ...
FILLED = N_HEAD + 9  # ... and of the first byte that is not there yet
DISCARDING = N_HEAD + 10  # 1: inside a packet or line that is too long
ROWS = N_HEAD + 11  # frames in the columns; Python takes them and writes 0
N_CHANNELS = N_HEAD + 12
N_BYTES = N_HEAD + 13
N_OVERSIZE = N_HEAD + 14
X = N_HEAD + 15  # address of the samples
_N_SHARED = N_HEAD + 16

# Of packets. The sequence is Python's to set ...
EXPECTED = _N_SHARED  # index of the next frame, unwrapped
LAST_T_US = _N_SHARED + 1  # time of the last frame
# ... the layout is set by `PacketColumns.set_layout` ...
SCHEMA_ID = _N_SHARED + 2  # of the DATA packets to take; -1: none
FRAME_BYTES = _N_SHARED + 3  # of one frame in a payload
FRAMES_A_BYTE = _N_SHARED + 4  # 2**32 / FRAME_BYTES, rounded up
N_GROUPS = _N_SHARED + 5
MAX_ROWS = _N_SHARED + 6
# ... and the rest belongs to the kernel.
PACKET_AT = _N_SHARED + 7  # address of the packet that is handed up
PACKET_BYTES = _N_SHARED + 8  # its length without its checksum
N_PACKETS = _N_SHARED + 9
N_FRAMES = _N_SHARED + 10
N_LOST = _N_SHARED + 11
N_DUPLICATE = _N_SHARED + 12
N_BAD_CRC = _N_SHARED + 13
N_BAD_FRAMING = _N_SHARED + 14
N_BAD_CONTENT = _N_SHARED + 15
MAX_ENCODED = _N_SHARED + 16
MAX_DECODED = _N_SHARED + 17
MAX_T_US = _N_SHARED + 18
# Addresses of the arrays of `PacketColumns`.
PACKET = _N_SHARED + 19
GROUPS = _N_SHARED + 20
SCALES = _N_SHARED + 21
OFFSETS = _N_SHARED + 22
DELAYS = _N_SHARED + 23
SEQ = _N_SHARED + 24
T_US = _N_SHARED + 25
N_PACKET_SLOTS = _N_SHARED + 26

# Of text.
N_VALUES = _N_SHARED  # values of the line that was read last (single-line mode)
N_BAD_CHECKSUM = _N_SHARED + 1
N_JUNK = _N_SHARED + 2  # not numbers
N_BAD_ARITY = _N_SHARED + 3
MAX_LINE = _N_SHARED + 4
MAX_VALUES = _N_SHARED + 5
N_TEXT_SLOTS = _N_SHARED + 6

# Bits of what is to do: nothing; frames wait; a packet is handed up, or a single line was read; the
# columns have no room.
HAS_ROWS = 1
HAS_PACKET = HAS_LINE = 2
IS_FULL = 4

# What stands in N_VALUES for a line that holds no frame.
JUNK = -1
BAD_CHECKSUM = -2
OVERSIZE = -3

#: Lanes of the vectors that write columns: that many elements behind the last are touched.
LANES = 16
#: Bytes that may be touched before and behind what is meant.
SLACK = 64
#: Bytes behind a packet that may be read to undo its COBS.
COBS_SLACK = 4 * 255 + SLACK
