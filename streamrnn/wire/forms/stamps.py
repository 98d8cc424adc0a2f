"""Sequence and time of frames, from columns that may wrap around, repeat, fall back, or lie."""

from __future__ import annotations

from dataclasses import dataclass

from streamrnn.wire.forms.columns import Layout
from streamrnn.wire.options import TIME_UNITS
from streamrnn.wire.unwrap import signed_step

#: A counter that is behind by no more than this many frames repeats itself; by more, it booted.
MAX_FRAMES_BEHIND = 16
#: A counter or clock that is ahead by more than this is believed when the next line says so too.
MAX_FRAMES_AHEAD = 1000
MAX_AHEAD_US = 60_000_000
#: A clock that falls back by no more than this only trembles.
MAX_BACK_US = 1_000_000

#: Largest counter, and largest time in us: beyond it a float skips whole numbers.
MAX_EXACT = 1 << 53

#: Counters of unknown width: what may lie between two lines across the wrap-around.
_WRAPS = ((8, 32), (16, 1 << 10), (32, 1 << 16))
#: Where clocks of 32 bits turn over: us, and ms. One of us may be sent as ms or s.
_CLOCK_TURNS_US = (1 << 32, 1000 << 32)


@dataclass(frozen=True, slots=True)
class Mark:
    """What a line says of its place.

    Attributes
    ----------
    count : int
        Its counter, as sent; 0 without one.
    clock_us : float
        Its clock, as sent, in microseconds; 0.0 without one.
    """

    count: int
    clock_us: float


@dataclass(frozen=True, slots=True)
class Step:
    """From one line to another.

    Attributes
    ----------
    n_frames : int
        By the counter; 1 without one.
    us : float
        By the clock; 0.0 without one.
    """

    n_frames: int
    us: float

    @property
    def is_backward(self) -> bool:
        """True if the device booted between."""
        return self.us < -MAX_BACK_US or self.n_frames < -MAX_FRAMES_BEHIND

    @property
    def is_odd(self) -> bool:
        """True if another line must confirm it: a digit may be wrong."""
        return self.is_backward or self.us > MAX_AHEAD_US or self.n_frames > MAX_FRAMES_AHEAD


class Ruler:
    """Measure the steps between lines, and so say where each stands in the stream.

    Attributes
    ----------
    seq : int
        Index of the newest line.
    t_us : int
        Its time.
    """

    def __init__(self, layout: Layout) -> None:
        self._has_seq = layout.seq >= 0
        self._has_clock = layout.clock >= 0 or layout.has_stamps
        unit = "ms" if layout.has_stamps else layout.clock_unit
        self._us = TIME_UNITS[unit]
        self._turns_us = _CLOCK_TURNS_US[:1] if unit == "us" else _CLOCK_TURNS_US
        self._bits = layout.seq_bits
        self.last: Mark | None = None
        self.seq = self.t_us = -1
        self._largest = 0
        self._turned_us = 0  # what the clock's wrap-arounds add

    def mark(self, count: float, clock: float) -> Mark | None:
        """Return what a line says of its place; None if that is no place."""
        clock_us = clock * self._us
        if not (0 <= count <= MAX_EXACT and count.is_integer() and 0 <= clock_us <= MAX_EXACT):
            return None
        return Mark(int(count), clock_us)

    def step(self, start: Mark, stop: Mark) -> Step:
        """Return the step from one line to another."""
        n_frames = self._frames_between(start.count, stop.count) if self._has_seq else 1
        us = stop.clock_us - start.clock_us
        if us < -MAX_BACK_US:
            across = (us + turn_us for turn_us in self._turns_us)
            us = next((short_us for short_us in across if 0 < short_us < MAX_AHEAD_US), us)
        return Step(n_frames, us)

    def begin(self, mark: Mark) -> None:
        """Take the first line, of all or since a boot."""
        self.last = mark
        self.seq = mark.count
        self._largest = mark.count
        self._turned_us = 0
        self.t_us = round(mark.clock_us)

    def go_on(self, mark: Mark, step: Step) -> None:
        """Take a line that follows."""
        self._turned_us += round(step.us - (mark.clock_us - (self.last or mark).clock_us))
        self.last = mark
        self.seq += step.n_frames
        self._largest = max(self._largest, mark.count)
        self.t_us = max(self.t_us, round(mark.clock_us) + self._turned_us)

    def _frames_between(self, last: int, count: int) -> int:
        if self._bits:
            return signed_step(count, last, self._bits)
        if count < last:
            for bits, most in _WRAPS:
                if self._largest >> bits == 0 and (count - last) % (1 << bits) <= most:
                    return (count - last) % (1 << bits)
        return count - last
