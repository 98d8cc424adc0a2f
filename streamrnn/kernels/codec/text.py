"""The streaming reader of text lines: numbers by comma, semicolon, tab or space; a line a frame."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamrnn.core.types import F32, I64, U8
from streamrnn.kernels.codec.memory import (
    SLACK,
    Address,
    add,
    address_of,
    copy32,
    get,
    load_u8,
    load_u64,
    lowest_bit,
    matches32,
    put,
    store_f32,
    store_u8,
)
from streamrnn.kernels.jit import kernel, scalar, specialise

# Slots of the state, which belongs to the kernel.
POSITION = 0  # where to read on
LINE_BYTES = 1  # of the unfinished line
DISCARDING = 2  # 1: inside a line that is too long
ROWS = 3  # lines in the columns; the caller takes them and writes 0
N_VALUES = 4  # values of the line that was read last (single-line mode)
N_OVERSIZE = 5
N_BAD_CHECKSUM = 6
N_JUNK = 7  # not numbers
N_BAD_ARITY = 8
MAX_LINE = 9
MAX_VALUES = 10
# Addresses of the arrays of `TextColumns`.
INPUT = 11
LINE = 12
X = 13
STATE_SLOTS = 14

# Results of `TextColumns.parse`.
ALL_READ = 0
IS_FULL = 1
ONE_LINE = 2

# What stands in `state[N_VALUES]` for a line that holds no frame.
JUNK = -1
BAD_CHECKSUM = -2
OVERSIZE = -3

# Largest power of ten behind the mantissa's 18 digits that can matter to a float32.
_MOST_TENS = 80
TENS = np.array([float(f"1e{n}") for n in range(_MOST_TENS + 1)])

_NL, _CR, _SPACE, _TAB = 10, 13, 32, 9
_COMMA, _SEMICOLON, _STAR, _DOLLAR = 44, 59, 42, 36
_PLUS, _MINUS, _DOT, _ZERO, _NINE, _E = 43, 45, 46, 48, 57, 101


@kernel
def _char(line: Address, i: int) -> int:
    return int(load_u8(line, i))


@kernel
def _is_blank(c: int) -> bool:
    return c == _SPACE or c == _TAB  # noqa: PLR1714 - a tuple is searched in a loop


@kernel
def _is_digit(c: int) -> bool:
    return _ZERO <= c <= _NINE


@kernel
def _hex_digit(c: int) -> int:
    if _is_digit(c):
        return c - _ZERO
    c |= 32
    return c - 87 if 97 <= c <= 102 else -1


@kernel
def _checked_span(line: Address, start: int, n: int) -> tuple[int, int]:
    """Return the span of a line's values, without ``$`` and ``*HH``; a stop < 0 says what is wrong.

    NMEA 0183: HH is the exclusive or of all characters between ``$`` and ``*``.
    """
    while n > start and _is_blank(_char(line, n - 1)):
        n -= 1
    has_dollar = n > start and _char(line, start) == _DOLLAR
    if has_dollar:
        start += 1
    if n - start >= 3 and _char(line, n - 3) == _STAR:
        parity = 0
        for i in range(start, n - 3):
            parity ^= _char(line, i)
        high = _hex_digit(_char(line, n - 2))
        low = _hex_digit(_char(line, n - 1))
        if high < 0 or low < 0 or parity != 16 * high + low:
            return 0, BAD_CHECKSUM
        return start, n - 3
    return (0, JUNK) if has_dollar else (start, n)


@kernel
def _digit_run(word: np.uint64) -> int:
    """Return how many of the 8 characters in `word` ^ ``"00000000"`` are digits, up to another."""
    above_nine = (word + np.uint64(0x7676767676767676)) | word
    high_bits = above_nine & np.uint64(0x8080808080808080)
    if high_bits == 0:
        return 8
    bit: int = lowest_bit(high_bits)
    return bit >> 3


@kernel
def _digits_value(word: np.uint64, n: int) -> int:
    """Return the number that the n lowest bytes spell, 1 <= n <= 8; `word` ^ ``"00000000"``.

    Neighbours are joined in pairs, then in fours, then in eights (Lemire, "Quickly parsing eight
    digits", 2018).
    """
    word = word << np.uint64(64 - 8 * n)
    word = word * np.uint64(10) + (word >> np.uint64(8))
    low = (word & np.uint64(0x000000FF000000FF)) * np.uint64(0x000F424000000064)
    high = ((word >> np.uint64(16)) & np.uint64(0x000000FF000000FF)) * np.uint64(0x0000271000000001)
    return int((low + high) >> np.uint64(32))


@kernel
def _parse_plain(line: Address, i: int, values: Address, at: int, negative: bool) -> int:
    """Do what `_parse_number` does for ``1234.5678``: up to 8 digits on each side, no exponent.

    Return the index behind the number, or -1 if it is no such number. It must not end with the
    readable part of `line`, but 16 bytes or more before.
    """
    zeros = np.uint64(0x3030303030303030)
    word = load_u64(line, i) ^ zeros
    n_whole = _digit_run(word)
    if n_whole < 1 or n_whole > 7:
        return -1
    value = np.float64(_digits_value(word, n_whole))
    i += n_whole
    if _char(line, i) == _DOT:
        word = load_u64(line, i + 1) ^ zeros
        n = _digit_run(word)
        if n < 1 or n > 7:
            return -1
        i += 1 + n
        # Both are whole numbers below 2**53, so this is the quotient that `_parse_number` rounds.
        value = (value * TENS[n] + np.float64(_digits_value(word, n))) / TENS[n]
    if (_char(line, i) | 32) == _E:
        return -1
    store_f32(values, 4 * at, np.float32(-value if negative else value))
    return i


@kernel
def _parse_number(line: Address, i: int, stop: int, values: Address, at: int) -> int:
    """Write the number at ``line[i:]`` to ``values[at]``; return the index behind it, or -1."""
    negative = _char(line, i) == _MINUS
    if negative or _char(line, i) == _PLUS:
        i += 1
    end = _parse_plain(line, i, values, at, negative)
    if end >= 0:
        return end
    digits = 0
    exponent = 0
    mantissa = np.int64(0)
    seen_dot = False
    while i < stop:
        c = _char(line, i)
        if _is_digit(c):
            digits += 1
            if mantissa < 100_000_000_000_000_000:
                mantissa = 10 * mantissa + (c - _ZERO)
                exponent -= seen_dot
            else:
                exponent += not seen_dot
        elif c == _DOT and not seen_dot:
            seen_dot = True
        else:
            break
        i += 1
    if digits == 0:
        return -1
    if i < stop and (_char(line, i) | 32) == _E:
        i += 1
        down = i < stop and _char(line, i) == _MINUS
        if i < stop and (down or _char(line, i) == _PLUS):
            i += 1
        if i == stop or not _is_digit(_char(line, i)):
            return -1
        power = 0
        while i < stop and _is_digit(_char(line, i)):
            power = min(10 * power + _char(line, i) - _ZERO, 9999)
            i += 1
        exponent += -power if down else power
    value: Any = np.float64(mantissa)
    if exponent < -_MOST_TENS:
        value = 0.0
    elif exponent < 0:
        value /= TENS[-exponent]
    elif mantissa != 0:
        value *= TENS[min(exponent, _MOST_TENS)]
    single = np.float32(-value if negative else value)
    if not np.isfinite(single):
        return -1
    store_f32(values, 4 * at, single)
    return i


@kernel
def _parse_line(line: Address, start: int, n: int, most: int, values: Address, to: int) -> int:
    """Write the numbers of ``line[start:n]`` to ``values[to:]``; return how many, or what is wrong.

    Commas and semicolons separate hard: two of them with nothing between miss a value, which is
    junk; one behind the last value is let pass. Blanks separate softly. Values behind `most` are
    checked and counted, and written over the last.
    """
    i, stop = _checked_span(line, start, n)
    if stop < 0:
        return stop
    count = 0
    after_value = False
    after_hard = True
    while i < stop:
        c = _char(line, i)
        if _is_blank(c):
            i += 1
            after_value = False
        elif c == _COMMA or c == _SEMICOLON:  # noqa: PLR1714
            if after_hard:
                return JUNK
            i += 1
            after_hard = True
            after_value = False
        else:
            if after_value:
                return JUNK
            i = _parse_number(line, i, stop, values, to + min(count, most - 1))
            if i < 0:
                return JUNK
            count += 1
            after_value = True
            after_hard = False
    return count


@kernel
def _find_line_end(data: Address, start: int, stop: int) -> int:
    """Return the index of the first CR or LF in ``data[start:stop]``, or `stop`."""
    i = start
    while i < stop:
        mask = matches32(data, i, np.uint8(_NL)) | matches32(data, i, np.uint8(_CR))
        if mask != 0:
            found: int = i + lowest_bit(mask)
            return min(found, stop)
        i += 32
    return stop


@kernel
def _count_line(state: Address, n_values: int, n_channels: int) -> None:
    """Account for one line in bulk."""
    if n_values == n_channels:
        add(state, ROWS, 1)
    elif n_values == JUNK:
        add(state, N_JUNK, 1)
    elif n_values == BAD_CHECKSUM:
        add(state, N_BAD_CHECKSUM, 1)
    elif n_values == OVERSIZE:
        add(state, N_OVERSIZE, 1)
    elif n_values > 0:
        add(state, N_BAD_ARITY, 1)


@kernel
def parse_lines(state: Address, n: int, n_channels: int) -> int:
    """Read lines from the input up to byte `n`, or to something for the caller to do.

    Parameters
    ----------
    state : int
        Address of the slots of a `TextColumns`.
    n, n_channels : int
        See `TextColumns.parse`, also for the result.
    """
    data, line, x = get(state, INPUT), get(state, LINE), get(state, X)
    max_values = get(state, MAX_VALUES)
    at = get(state, POSITION)
    while at < n:
        end = _find_line_end(data, at, n)
        kept = get(state, LINE_BYTES)
        row = get(state, ROWS)
        if n_channels > 0 and (row + 1) * n_channels > max_values:
            put(state, POSITION, at)
            return IS_FULL
        if kept + end - at > get(state, MAX_LINE):
            put(state, DISCARDING, 1)
        discarding = get(state, DISCARDING)
        source, start, stop = data, at, end
        if discarding == 0 and (kept > 0 or end == n):
            for i in range(0, end - at, 32):
                copy32(line, kept + i, data, at + i)
            source, start, stop = line, 0, kept + end - at
            put(state, LINE_BYTES, stop)
            store_u8(line, stop, np.uint8(_NL))  # ends the last number, as it does in the input
        if end == n:
            at = n
            break
        most = n_channels if n_channels > 0 else max_values
        n_values = OVERSIZE
        if discarding == 0:
            n_values = _parse_line(source, start, stop, most, x, row * n_channels)
        put(state, LINE_BYTES, 0)
        put(state, DISCARDING, 0)
        at = end + 1
        if n_channels > 0:
            _count_line(state, n_values, n_channels)
        elif n_values != 0:
            put(state, N_VALUES, n_values)
            put(state, POSITION, at)
            return ONE_LINE
    put(state, POSITION, at)
    return ALL_READ


class TextColumns:
    """The arrays that the text kernel reads and writes, and the kernel behind a safe door.

    Parameters
    ----------
    piece_bytes : int
        Bytes that `parse` takes at once.
    max_line : int
        Longest line, in bytes without its end.
    max_values : int
        Samples that the columns hold; at least half of `max_line`.

    Attributes
    ----------
    state : int64 (STATE_SLOTS,)
        See the names of the slots.
    input : uint8 (>= piece_bytes,)
        The caller's to write.
    x : float32 (max_values,)
        Samples, a line a row.
    """

    def __init__(self, piece_bytes: int, max_line: int, max_values: int) -> None:
        if max_values < (max_line + 1) // 2:
            raise ValueError(f"max_values must be at least {(max_line + 1) // 2}, got {max_values}")
        specialise(parse_lines, (scalar(np.int64),) * 3)
        self.state: I64 = np.zeros(STATE_SLOTS, np.int64)
        self.input: U8 = np.zeros(piece_bytes + SLACK, np.uint8)
        self.x: F32 = np.zeros(max_values, np.float32)
        self._line: U8 = np.zeros(max_line + SLACK, np.uint8)
        self._piece_bytes = piece_bytes
        self._state_address = address_of(self.state)
        self.state[MAX_LINE], self.state[MAX_VALUES] = max_line, max_values
        self.state[INPUT], self.state[LINE] = address_of(self.input), address_of(self._line)
        self.state[X] = address_of(self.x)

    def parse(self, n: int, n_channels: int) -> int:
        """Read lines from ``input[state[POSITION] : n]``, up to the end or to something to do.

        Parameters
        ----------
        n : int
            End of the bytes in `input`.
        n_channels : int
            Values of a line. 0: read a single line of any number of values, and count nothing.

        Returns
        -------
        int
            ALL_READ; ``state[ROWS]`` lines may wait. IS_FULL: `x` has no room for another line;
            take the rows and call again. ONE_LINE: ``state[N_VALUES]`` values stand in `x`, or it
            is JUNK, BAD_CHECKSUM or OVERSIZE.
        """
        if n > self._piece_bytes or n_channels > len(self.x):
            raise ValueError(f"n must be 0..{self._piece_bytes}, n_channels 0..{len(self.x)}")
        return parse_lines(self._state_address, n, n_channels)
