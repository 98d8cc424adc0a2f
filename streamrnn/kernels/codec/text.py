"""The streaming reader of text lines: numbers by comma, semicolon, tab or space; a line a frame."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamrnn.kernels.codec import slots as at
from streamrnn.kernels.codec.buffer import answer, begin, refill, waiting
from streamrnn.kernels.codec.memory import (
    Address,
    add,
    get,
    load_byte,
    load_u64,
    lowest_bit,
    matches32,
    matches64,
    put,
    store_f32,
    ten_from32,
)
from streamrnn.kernels.jit import apart, kernel
from streamrnn.kernels.objects import bytes_data, bytes_size, fall_back, is_bytes, slots_of

# Largest power of ten behind the mantissa's 18 digits that can matter to a float32.
_MOST_TENS = 80
TENS = np.array([float(f"1e{n}") for n in range(_MOST_TENS + 1)])
SIGNS = np.array([1.0, -1.0])

_NL, _CR, _SPACE, _TAB = 10, 13, 32, 9
_COMMA, _SEMICOLON, _STAR, _DOLLAR = 44, 59, 42, 36
_PLUS, _MINUS, _DOT, _ZERO, _NINE, _E = 43, 45, 46, 48, 57, 101
_NONE, _ONE = np.uint64(0), np.uint64(1)


@kernel
def _is_blank(c: int) -> bool:
    return c == _SPACE or c == _TAB  # noqa: PLR1714 - a tuple is searched in a loop


@kernel
def _is_hard(c: int) -> bool:
    """Return whether a character separates values, so that there must be one before it."""
    return c == _COMMA or c == _SEMICOLON  # noqa: PLR1714


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
def _digits_value(word: np.uint64, n: int) -> int:
    """Return the number that the n lowest of 8 characters spell, 0 <= n <= 7; the rest is anything.

    Neighbours are joined in pairs, then in fours, then in eights (Lemire, "Quickly parsing eight
    digits", 2018).
    """
    word = ((word & np.uint64(0x0F0F0F0F0F0F0F0F)) << np.uint64(56 - 8 * n)) << np.uint64(8)
    word = word * np.uint64(10) + (word >> np.uint64(8))
    low = (word & np.uint64(0x000000FF000000FF)) * np.uint64(0x000F424000000064)
    high = ((word >> np.uint64(16)) & np.uint64(0x000000FF000000FF)) * np.uint64(0x0000271000000001)
    return int(np.int64((low + high) >> np.uint64(32)))


@kernel
def _parse_plain(i: Address, value: Address) -> Address:
    """Do what `_parse_number` does for ``-1234.5678``: up to 7 digits on each side, no exponent.

    A space may stand before it. There is no branch but the last, because signs and numbers of
    digits cannot be guessed; where the number ends depends on as little as possible, because the
    next one waits for it.

    Returns
    -------
    int
        Address of what is behind the number, or 0 if it is no such number; some `value` is written.
    """
    digits, minus = ten_from32(i, _ZERO), matches32(i, _MINUS)
    signs = minus | matches32(i, _PLUS)
    n_blank = matches32(i, _SPACE) & _ONE
    n_before = n_blank + ((signs >> n_blank) & _ONE)
    n = lowest_bit(~(digits | matches32(i, _DOT)) >> n_before)
    others = ~digits >> n_before
    n_whole = lowest_bit(others)
    has_dot = n_whole < n
    n_more = n - n_whole - has_dot
    i += int(np.int64(n_before))
    whole = _digits_value(load_u64(i), n_whole & 7)
    more = _digits_value(load_u64(i + n_whole + 1), n_more & 7)
    tens = TENS[np.uint64(n_more & 7)]
    # Both are whole numbers below 2**53, so this is the quotient that `_parse_number` rounds.
    number = (np.float64(whole) * tens + np.float64(more)) / tens
    store_f32(value, np.float32(number * SIGNS[(minus >> n_blank) & _ONE]))
    dots = others & ((_ONE << np.uint64(n & 63)) - _ONE)
    i += n
    if (
        (n_whole | n_more) > 7
        or n == has_dot  # no digit
        or dots & (dots - _ONE) != _NONE  # more than one
        or (load_byte(i) | 32) == _E
    ):
        return 0
    return i


@apart
def _parse_number(i: Address, stop: Address, value: Address) -> Address:
    """Write the number at `i`; return where what is behind it stands, or 0 if there is none."""
    is_negative = load_byte(i) == _MINUS
    if is_negative or load_byte(i) == _PLUS:
        i += 1
    digits = 0
    exponent = 0
    mantissa = 0
    seen_dot = False
    while i < stop:
        c = load_byte(i)
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
        return 0
    if i < stop and (load_byte(i) | 32) == _E:
        i += 1
        down = i < stop and load_byte(i) == _MINUS
        if i < stop and (down or load_byte(i) == _PLUS):
            i += 1
        if i == stop or not _is_digit(load_byte(i)):
            return 0
        power = 0
        while i < stop and _is_digit(load_byte(i)):
            power = min(10 * power + load_byte(i) - _ZERO, 9999)
            i += 1
        exponent += -power if down else power
    number: Any = np.float64(mantissa)
    if exponent < -_MOST_TENS:
        number = 0.0
    elif exponent < 0:
        number /= TENS[np.uint64(-exponent)]
    elif mantissa != 0:
        number *= TENS[np.uint64(min(exponent, _MOST_TENS))]
    single = np.float32(-number if is_negative else number)
    if not np.isfinite(single):
        return 0
    store_f32(value, single)
    return i


@kernel
def _checked_span(start: Address, stop: Address) -> tuple[Address, Address]:
    """Return the span of a line's values, without ``$`` and ``*HH``; a stop < 0 says what is wrong.

    NMEA 0183: HH is the exclusive or of all characters between ``$`` and ``*``.
    """
    while stop > start and _is_blank(load_byte(stop - 1)):
        stop -= 1
    has_dollar = stop > start and load_byte(start) == _DOLLAR
    if has_dollar:
        start += 1
    if stop - start >= 3 and load_byte(stop - 3) == _STAR:
        parity = 0
        i = start
        while i < stop - 3:
            parity ^= load_byte(i)
            i += 1
        high = _hex_digit(load_byte(stop - 2))
        low = _hex_digit(load_byte(stop - 1))
        if high < 0 or low < 0 or parity != 16 * high + low:
            return 0, at.BAD_CHECKSUM
        return start, stop - 3
    return (0, at.JUNK) if has_dollar else (start, stop)


@apart
def _parse_any_line(start: Address, stop: Address, most: int, values: Address) -> int:
    """Write the numbers of a line to `values`; return how many, or what is wrong.

    Commas and semicolons separate hard: two of them with nothing between miss a value, which is
    junk; one behind the last value is let pass. Blanks separate softly. Values behind `most` are
    checked and counted, and written over the last.
    """
    i, stop = _checked_span(start, stop)
    if stop < 0:
        return stop
    count = 0
    after_value = False
    after_hard = True
    while i < stop:
        c = load_byte(i)
        if _is_blank(c):
            i += 1
            after_value = False
        elif _is_hard(c):
            if after_hard:
                return at.JUNK
            i += 1
            after_hard = True
            after_value = False
        else:
            if after_value:
                return at.JUNK
            i = _parse_number(i, stop, values + 4 * min(count, most - 1))
            if i == 0:
                return at.JUNK
            count += 1
            after_value = True
            after_hard = False
    return count


@kernel
def _parse_even_line(start: Address, stop: Address, n: int, values: Address) -> bool:
    """Do what `_parse_any_line` does for `n` values with a separator, and perhaps a space, between.

    Return False if it is another line. At `stop` stands the line's end, which stops any number.
    """
    i = start
    last = values + 4 * (n - 1)
    while True:
        end = _parse_plain(i, values)
        if end == 0:
            end = _parse_number(i + int(load_byte(i) == _SPACE), stop, values)
            if end == 0:
                return False
        c = load_byte(end)
        is_hard = _is_hard(c)
        if values == last:
            return end + int(is_hard) == stop
        if not (is_hard or _is_blank(c)):
            return False
        i = end + 1
        values += 4


@kernel
def _find_line_end(start: Address, stop: Address) -> Address:
    """Return where the first CR or LF from `start` on is, or `stop`."""
    i = start
    while i < stop:
        mask = matches64(i, _NL) | matches64(i, _CR)
        if mask != 0:
            found: int = i + lowest_bit(mask)
            return min(found, stop)
        i += 64
    return stop


@kernel
def _take_line(state: Address, start: Address, stop: Address, is_whole: bool) -> int:
    """Read one line that is not empty; return HAS_LINE if it is for the caller, else 0."""
    n_channels = get(state, at.N_CHANNELS)
    n_values = at.OVERSIZE
    if n_channels == 0:
        if is_whole:
            n_values = _parse_any_line(start, stop, get(state, at.MAX_VALUES), get(state, at.LINE))
        put(state, at.N_VALUES, n_values)
        return at.HAS_LINE if n_values != 0 else 0
    if is_whole:
        x = get(state, at.X) + 4 * n_channels * get(state, at.ROWS)
        n_values = n_channels
        if not _parse_even_line(start, stop, n_channels, x):
            n_values = _parse_any_line(start, stop, n_channels, x)
    if n_values == n_channels:
        add(state, at.ROWS, 1)
        add(state, at.N_FRAMES, 1)
    elif n_values == at.JUNK:
        add(state, at.N_JUNK, 1)
    elif n_values == at.BAD_CHECKSUM:
        add(state, at.N_BAD_CHECKSUM, 1)
    elif n_values == at.OVERSIZE:
        add(state, at.N_OVERSIZE, 1)
    elif n_values > 0:
        add(state, at.N_BAD_ARITY, 1)
    return 0


@kernel
def _read_buffer(state: Address) -> int:
    """Read what the buffer holds, or up to something for the caller to do."""
    longest, filled = get(state, at.MAX_LINE), get(state, at.FILLED)
    start, end = get(state, at.BEGIN), get(state, at.SCANNED)
    todo = 0
    while end < filled and todo == 0:
        end = _find_line_end(end, filled)
        is_short = get(state, at.DISCARDING) == 0 and end - start <= longest
        if end == filled:
            if not is_short:
                put(state, at.DISCARDING, 1)
                start = end
        elif get(state, at.ROWS) == get(state, at.MAX_ROWS) and get(state, at.N_CHANNELS) > 0:
            todo = at.IS_FULL
        else:
            if end > start or not is_short:
                todo = _take_line(state, start, end, is_short)
            put(state, at.DISCARDING, 0)
            end += 1
            start = end
    put(state, at.BEGIN, start)
    put(state, at.SCANNED, end)
    return todo


@kernel
def resume(state: Address) -> int:
    """Entry: read what was begun, up to its end or to something for the caller to do.

    Returns
    -------
    int
        0: all is read and there is nothing to do. Else bits. HAS_ROWS: frames wait from TAKEN to
        ROWS. IS_FULL: the block has no room for another; take the rows, give a new block and
        resume. HAS_LINE: a line was read alone, because N_CHANNELS is 0: N_VALUES values stand at
        LINE, or it is JUNK, BAD_CHECKSUM or OVERSIZE; resume.
    """
    todo = _read_buffer(state)
    while todo == 0 and refill(state):
        todo = _read_buffer(state)
    return todo | int(waiting(state))


@kernel
def take(state: Address, source: Address, n: int) -> int:
    """Entry: read `n` bytes; see `resume`."""
    begin(state, source, n)
    return int(resume(state))


@kernel
def push(context: int, argument: int) -> int:
    """Entry, the built-in method: read `bytes`; call Python when there is something to do."""
    state = slots_of(context)
    if not is_bytes(state, argument):
        return int(fall_back(state, argument))
    return answer(state, take(state, bytes_data(argument), bytes_size(argument)), argument)
