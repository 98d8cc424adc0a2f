"""Frame numbers out of time stamps, and out of counters that wrap around. Pure."""

from __future__ import annotations

import math

import numpy as np

from streamrnn.core.types import F64, I64

#: How far apart stamps may be at first from where they should be, and how fast that is forgotten.
_FIRST_SPREAD_S = 0.25
_SPREAD_TAU_S = 3.0
#: How fast the line on which stamps should lie follows those that come, and by how much a stream's
#: rate may be another one than it says.
_LINE_TAU_S = 5.0
_WRONG_RATE = 0.1
#: Frames are missing when a stamp is later than so many of the usual deviations, and than this
#: part of a period.
_DEVIATIONS = 3.0
_PERIODS = 0.75
#: A clock that goes back by more than this was set.
_SET_BACK_S = 1.0
#: More than this is no gap: the clock was set.
_LONGEST_GAP_S = 86_400.0
#: How near to the time that passed a number of missing frames must be, beyond a counter's range.
_NEAR_PERIODS, _NEAR_SHARE = 8.0, 0.03
#: Stamps beyond this (3,000 years) are nonsense.
_LAST_STAMP_S = 1e11


class StampClock:
    """Microseconds of time stamps that never go back.

    A clock that was set back goes on from where it was: its stamps are moved.

    Parameters
    ----------
    rate_hz : float
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_s = 1.0 / rate_hz
        self.restart()

    def restart(self) -> None:
        """Begin anew."""
        self._shift_s = 0.0
        self._last_s = -math.inf
        self._last_us = 0

    def t_us(self, stamps_s: F64) -> I64:
        """Return the times of a block.

        Parameters
        ----------
        stamps_s : float64 (N,)
            In seconds; what is not finite, or before 0, is taken for one period after the one
            before it.

        Returns
        -------
        int64 (N,)
            Never decreasing.
        """
        times = np.empty(len(stamps_s), np.int64)
        for n, stamp_s in enumerate(stamps_s.tolist()):
            next_s = max(self._last_s, 0.0) + self._period_s
            at_s = stamp_s + self._shift_s if 0.0 <= stamp_s < _LAST_STAMP_S else next_s
            if at_s < self._last_s - _SET_BACK_S:
                self._shift_s += next_s - at_s
                at_s = next_s
            self._last_s = at_s
            self._last_us = max(self._last_us, round(self._last_s * 1e6))
            times[n] = self._last_us
        return times


class StampCounter:
    """Numbers frames by their time stamps, so that missing ones show.

    Stamps should lie on a line, one period apart. Where a stamp is later than jitter explains, as
    learnt from the stamps before it, frames are missing. The line follows a clock that drifts, and
    a rate that is not quite what was said. Only the stamps count, not how they were cut into
    blocks.

    Parameters
    ----------
    rate_hz : float
    """

    def __init__(self, rate_hz: float) -> None:
        self._nominal_s = self._period_s = 1.0 / rate_hz
        self._decay = math.exp(-1.0 / (rate_hz * _SPREAD_TAU_S))
        # A loop of second order that does not swing: on place and slope of the line.
        self._follow = min(0.5, 1.0 / (rate_hz * _LINE_TAU_S))
        self._spread_s = _FIRST_SPREAD_S
        self._next_s: float | None = None  # where the next stamp should be
        self._resumes = False
        self.next_seq = 0

    def resume(self) -> None:
        """Take note that frames were missing just now: any delay of the next stamp counts."""
        self._resumes = True

    def seq(self, stamps_s: F64) -> I64:
        """Return the numbers of a block of frames.

        Parameters
        ----------
        stamps_s : float64 (N,)

        Returns
        -------
        int64 (N,)
            Strictly increasing.
        """
        return np.array([self._count(stamp_s) for stamp_s in stamps_s.tolist()], np.int64)

    def _count(self, stamp_s: float) -> int:
        if not math.isfinite(stamp_s):
            self.next_seq += 1
            return self.next_seq - 1
        if self._next_s is None:
            self._next_s = stamp_s
        late_s = stamp_s - self._next_s
        limit_s = max(_PERIODS * self._period_s, _DEVIATIONS * self._spread_s)
        if self._resumes:
            limit_s = _PERIODS * self._period_s
        if abs(late_s) > _LONGEST_GAP_S or (self._resumes and late_s < -limit_s):
            late_s = 0.0
        elif late_s > limit_s:
            n_missing = round(late_s / self._period_s)
            self.next_seq += n_missing
            late_s -= n_missing * self._period_s
        self._resumes = False
        self._spread_s = max(abs(late_s), self._spread_s * self._decay)
        period_s = self._period_s + late_s * self._follow**2
        low, high = self._nominal_s * (1 - _WRONG_RATE), self._nominal_s * (1 + _WRONG_RATE)
        self._period_s = min(max(period_s, low), high)
        self._next_s = stamp_s - late_s * (1.0 - 2.0 * self._follow) + self._period_s
        self.next_seq += 1
        return self.next_seq - 1


class PackageCounter:
    """Numbers frames by a device's counter of packages, which wraps around.

    Parameters
    ----------
    bits : int
        Width of the counter.
    stride : int
        By how much it grows from frame to frame.
    rate_hz : float
        Says what a counter of few bits cannot: how often it wrapped while frames were missing. A
        counter that wraps at another number than 2**bits steps by a lot, though little time has
        passed: then nothing is missing.
    """

    def __init__(self, bits: int, stride: int, rate_hz: float) -> None:
        self._modulus = 1 << bits
        self._stride = stride
        self._rate_hz = rate_hz
        self._last: tuple[int, float] | None = None
        self.next_seq = 0

    def resume(self) -> None:
        """Take note that frames were missing: only the time stamps tell how many."""
        if self._last is not None:
            self._last = (-1, self._last[1])

    def seq(self, packages: I64, stamps_s: F64) -> I64:
        """Return the numbers of a block of frames, strictly increasing."""
        pairs = zip(packages.tolist(), stamps_s.tolist(), strict=True)
        return np.array([self._count(*pair) for pair in pairs], np.int64)

    def _count(self, package: int, stamp_s: float) -> int:
        if self._last is not None:
            last, last_s = self._last
            passed = (stamp_s - last_s) * self._rate_hz  # periods
            if not 0.0 <= passed < _LONGEST_GAP_S * self._rate_hz:
                passed = 0.0
            step = (package - last) % self._modulus // self._stride if last >= 0 else 0
            if last < 0:
                step = round(passed)
            elif step - 1 > 2.0 * passed:
                step = 1  # so much cannot be missing
            else:
                # Whole rounds of the counter went by if the time says just that; a board that only
                # paused goes on where it was.
                around = self._modulus // self._stride
                all_steps = step + max(0, round((passed - step) / around)) * around
                is_near = abs(passed - all_steps) <= _NEAR_PERIODS + _NEAR_SHARE * passed
                step = all_steps if step != 1 and is_near else step
            self.next_seq += max(0, step - 1)
        self._last = (package, stamp_s)
        self.next_seq += 1
        return self.next_seq - 1


def stride_of(packages: I64, bits: int) -> int:
    """Return by how much a counter grows from frame to frame; 0 if it does not count frames.

    Parameters
    ----------
    packages : int64 (N,)
        Of the first frames.
    bits : int
        Width of the counter.
    """
    if len(packages) < 2:
        return 0
    steps = np.diff(packages) % (1 << bits)
    values, counts = np.unique(steps, return_counts=True)
    most = int(np.argmax(counts))
    return int(values[most]) if counts[most] >= 0.8 * len(steps) else 0
