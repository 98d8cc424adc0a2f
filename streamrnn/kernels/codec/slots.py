"""Slots of the states that the codec kernels share with Python: places in an int64 array.

A state is also the context of the built-in method `push`, so it begins as one (see `pycall`).
"""

from __future__ import annotations

from streamrnn.kernels.pycall import N_HEAD

# Of both.
LIST_TYPE, NO_ITEMS = range(N_HEAD, N_HEAD + 2)  # what makes an empty list
HAND_UP = N_HEAD + 2  # the Python function that a push calls when there are only rows to take
TODO = N_HEAD + 3  # what a push left to do, where it calls its fallback
SOURCE = N_HEAD + 4  # address of the bytes that are still to be read ...
SOURCE_BYTES = N_HEAD + 5  # ... and how many they are
BUFFER = N_HEAD + 6  # address of the buffer, and the bytes that it takes at once
PIECE_BYTES = N_HEAD + 7
BEGIN = N_HEAD + 8  # address of the unfinished packet or line in the buffer ...
SCANNED = N_HEAD + 9  # ... up to where there is no end in it ...
FILLED = N_HEAD + 10  # ... and of the first byte that is not there yet
DISCARDING = N_HEAD + 11  # 1: inside a packet or line that is too long
X = N_HEAD + 12  # address of the samples of the block in use
N_CHANNELS = N_HEAD + 13
MAX_ROWS = N_HEAD + 14  # frames that the block holds ...
ROWS = N_HEAD + 15  # ... that are there ...
TAKEN = N_HEAD + 16  # ... and that Python has taken
N_BYTES = N_HEAD + 17
N_FRAMES = N_HEAD + 18
N_OVERSIZE = N_HEAD + 19
_N_SHARED = N_HEAD + 20

# Of packets. The sequence is Python's to set ...
EXPECTED = _N_SHARED  # index of the next frame, unwrapped
LAST_T_US = _N_SHARED + 1  # time of the last frame
# ... the layout is set by `PacketColumns.set_layout` ...
SCHEMA_ID = _N_SHARED + 2  # of the DATA packets to take; -1: none
FRAME_BYTES = _N_SHARED + 3  # of one frame in a payload
FRAMES_A_BYTE = _N_SHARED + 4  # 2**32 / FRAME_BYTES, rounded up
N_GROUPS = _N_SHARED + 5
# ... and the rest belongs to the kernel.
PACKET_AT = _N_SHARED + 6  # address of the packet that is handed up
PACKET_BYTES = _N_SHARED + 7  # its length without its checksum
N_PACKETS = _N_SHARED + 8
N_LOST = _N_SHARED + 9
N_DUPLICATE = _N_SHARED + 10
N_BAD_CRC = _N_SHARED + 11
N_BAD_FRAMING = _N_SHARED + 12
N_BAD_CONTENT = _N_SHARED + 13
MAX_ENCODED = _N_SHARED + 14
MAX_DECODED = _N_SHARED + 15
MAX_T_US = _N_SHARED + 16
# Addresses of the arrays of `PacketColumns`.
PACKET = _N_SHARED + 17
GROUPS = _N_SHARED + 18
SCALES = _N_SHARED + 19
OFFSETS = _N_SHARED + 20
DELAYS = _N_SHARED + 21
SEQ = _N_SHARED + 22
T_US = _N_SHARED + 23
N_PACKET_SLOTS = _N_SHARED + 24

# Of text. A line is read alone while N_CHANNELS is 0.
LINE = _N_SHARED  # address of the values of such a line ...
MAX_VALUES = _N_SHARED + 1  # ... which it has at most ...
N_VALUES = _N_SHARED + 2  # ... and has
N_BAD_CHECKSUM = _N_SHARED + 3
N_JUNK = _N_SHARED + 4  # not numbers
N_BAD_ARITY = _N_SHARED + 5
MAX_LINE = _N_SHARED + 6
N_TEXT_SLOTS = _N_SHARED + 7

# Bits of what is to do: nothing; frames wait; a packet is handed up, or a line was read alone; the
# block has no room.
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
