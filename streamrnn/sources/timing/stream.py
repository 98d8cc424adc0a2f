"""Rate, drift and jitter of a stream, fitted as its frames arrive. Pure: there is no clock in it.

Three times are kept apart: the frames' numbers, the device's clock, and the clock of this computer.
The rate is fitted through (number, device time); the drift of the device's clock below
(device time, arrival); without a device clock the rate is fitted below (number, arrival).
"""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from streamrnn.core.types import F64, I64, Frames
from streamrnn.sources.timing.line_fit import fit_below, fit_through
from streamrnn.sources.timing.report import MOST_DRIFT_PPM, TimingReport
from streamrnn.sources.timing.spread import SpreadCounter
from streamrnn.sources.timing.thinned import (
    FIRST,
    HOST_NS,
    MEAN_SEQ,
    MEAN_US,
    N_ARRIVALS,
    N_FRAMES,
    SEQ,
    T_US,
    Thinned,
)

Bools: TypeAlias = npt.NDArray[np.bool_]

#: The first fit needs some arrivals; the next ones come when there are twice as many.
_N_FIRST_FIT = 16
#: Arrivals that wait to be counted: an arrival itself pays for an append only.
N_WAITING = 128
#: ... if nobody finds the time in between, at most as many as this.
_MOST_WAITING = 1024
#: Newest arrivals among which the fastest one is what the others are late against.
_N_RECENT = 256
#: The device's clock jumped if it leaves its pace by more than so many periods, and by this time,
_JUMP_PERIODS = 3
_JUMP_US = 50_000.0
#: and the arrivals say that this time did not pass. Without arrivals, only this is a jump:
_SURE_JUMP_US = 1_000_000.0
#: Clocks that part by this between two arrivals have nothing to do with each other any more.
_APART_NS = 1_000_000_000


class DeviceClock(Protocol):
    """Knows how the device's clock stands to this computer's."""

    @property
    def round_trip_us(self) -> float | None:
        """The shortest round trip, microseconds."""
        ...

    def host_ns(self, t_us: int) -> float | None:
        """Return when the device's clock showed `t_us`, on this computer's; None when unknown."""
        ...


class StreamTiming:
    """Takes the frames of a stream as they arrive, and says what their times tell.

    Memory and the cost of a frame do not grow with the length of the stream. `arrived` is for one
    thread; a report may be asked for by any other.

    Parameters
    ----------
    nominal_hz : float
        The rate that the stream says; 0.0 when it says none.
    has_clock : bool
        False: device times are counted from the frames' numbers, so that they tell nothing.
    has_arrivals : bool
        False: the stream does not run in real time, so that arrivals tell nothing.
    clock : DeviceClock, optional
        Makes delays known.
    """

    def __init__(
        self,
        nominal_hz: float,
        *,
        has_clock: bool = True,
        has_arrivals: bool = True,
        clock: DeviceClock | None = None,
    ) -> None:
        self.nominal_hz = nominal_hz
        self.clock = clock
        self._has_clock = has_clock
        self._has_arrivals = has_arrivals
        self._x = T_US if has_clock else SEQ  # what arrivals are compared with
        self._lock = threading.Lock()  # a report may be asked for while another thread reads
        self._waiting: list[tuple[Frames, int]] = []
        self._period_us = 1e6 / nominal_hz if nominal_hz > 0 else 0.0
        self._thinned = Thinned(has_clock, 1000.0 if has_clock else self._period_us * 1000.0)
        self._group = 0
        self._base: tuple[int, int, int] | None = None
        self._last: F64 | None = None  # the newest arrival
        self._recent = np.empty((0, FIRST + 1))
        self._fit_at = _N_FIRST_FIT
        self._first_us: float | None = None  # of the group
        self._span_us = self._span_before_us = 0.0
        self._n_arrivals = self._n_frames = 0
        self._n_gaps = self._n_missing = self._n_jumps = 0
        self._largest_gap_us = 0.0
        self._arrival, self._interval, self._delay = (SpreadCounter() for _ in range(3))
        self._fitted = TimingReport(nominal_hz)

    def arrived(self, frames: Frames, host_ns: int) -> None:
        """Take frames that one read gave.

        Parameters
        ----------
        frames : Frames
            Not empty; kept for a while.
        host_ns : int
            When the read returned, on a monotonic clock, nanoseconds.
        """
        self._waiting.append((frames, host_ns))
        if len(self._waiting) >= _MOST_WAITING:
            self.catch_up()

    def arrived_long_ago(self, frames: Frames, host_ns: I64) -> None:
        """Take all frames of a recording.

        Parameters
        ----------
        frames : Frames
        host_ns : int64 (N,)
            When each arrived.
        """
        with self._lock:
            self._count()
            starts = np.flatnonzero(np.diff(host_ns, prepend=host_ns[:1] - 1))
            for first in range(0, len(starts), _MOST_WAITING):
                edges = np.append(starts, len(frames))[first : first + _MOST_WAITING + 1]
                some = frames[edges[0] : edges[-1]]
                self._take_all(np.diff(edges), some.seq, some.t_us, host_ns[edges[:-1]])

    @property
    def is_due(self) -> bool:
        """Whether there is something to do for `catch_up`, when there is time."""
        return len(self._waiting) >= N_WAITING

    def catch_up(self) -> None:
        """Count what has arrived; takes some tenths of a millisecond."""
        with self._lock:
            self._count()

    def restarted(self) -> None:
        """Take note that the device's clock and numbers start anew."""
        with self._lock:
            self._count()
            self._begin_group()
            self._base = self._last = None

    def interrupted(self) -> None:
        """Take note that frames do not come for a while, for a reason that is known."""
        with self._lock:
            self._count()
            self._recent = self._recent[:0]

    def delay_ns(self, t_us: int, host_ns: int) -> float | None:
        """Return how long after its own time a frame arrived, in nanoseconds; None when unknown."""
        sent_ns = self.clock.host_ns(t_us) if self.clock is not None else None
        return None if sent_ns is None else host_ns - sent_ns

    def report(self) -> TimingReport:
        """Return what is known now; takes about a millisecond."""
        with self._lock:
            self._count()
            self._fit()
            return self._report()

    def _report(self) -> TimingReport:
        return replace(
            self._fitted,
            nominal_hz=self.nominal_hz,
            span_s=(self._span_before_us + self._span_us) / 1e6,
            n_frames=self._n_frames,
            n_gaps=self._n_gaps,
            n_missing=self._n_missing,
            largest_gap_s=self._largest_gap_us / 1e6,
            n_jumps=self._n_jumps,
            arrival_jitter=self._arrival.spread(),
            interval_jitter=self._interval.spread(),
            delay=self._delay.spread(),
            round_trip_us=None if self.clock is None else self.clock.round_trip_us,
        )

    # ---- counting

    def _count(self) -> None:
        n_waiting = len(self._waiting)
        if not n_waiting:
            return
        # The list itself stays: another thread may be about to append.
        waiting = self._waiting[:n_waiting]
        del self._waiting[:n_waiting]
        self._take_all(
            np.array([len(frames) for frames, _ in waiting]),
            np.concatenate([frames.seq for frames, _ in waiting]),
            np.concatenate([frames.t_us for frames, _ in waiting]),
            np.array([host_ns for _, host_ns in waiting]),
        )
        if self.clock is not None:
            self._count_delays(self.clock, waiting)

    def _take_all(self, n_frames: I64, seq: I64, t_us: I64, host_ns: I64) -> None:
        """Take arrivals of so many frames each."""
        self._n_frames += len(seq)
        self._n_arrivals += len(n_frames)
        if self._base is None:
            self._base = int(seq[0]), int(t_us[0]), int(host_ns[0])
        seq, t_us = seq - self._base[0], t_us - self._base[1]
        rows = _rows(n_frames, seq, t_us, host_ns - self._base[2])
        rows[:, FIRST] = (t_us if self._has_clock else seq)[np.cumsum(n_frames) - n_frames]
        breaks = self._breaks(rows)
        self._count_intervals(seq, t_us, rows, np.repeat(breaks, n_frames))
        self._last = rows[-1]
        for number, part in enumerate(np.split(rows, np.flatnonzero(breaks))):
            if number:
                self._begin_group()
                # The clock may have jumped among the frames of this arrival.
                self._first_us = float(self._now_us(part)[0])
            if len(part):
                self._take(part)

    def _breaks(self, rows: F64) -> Bools:
        """Return which arrivals begin a new group: a clock has jumped before them."""
        breaks = np.zeros(len(rows), bool)
        steps = np.diff(rows, axis=0, prepend=rows[:1] if self._last is None else self._last[None])
        left_us = np.abs(steps[:, T_US] - steps[:, SEQ] * self._period_us)
        apart_ns = np.abs(steps[:, T_US] * 1e3 - steps[:, HOST_NS])
        if self._has_clock and self._period_us:
            jumps = left_us > max(_JUMP_PERIODS * self._period_us, _JUMP_US)
            sure = apart_ns > left_us * 500.0 if self._has_arrivals else left_us > _SURE_JUMP_US
            breaks = jumps & sure
            self._n_jumps += int(breaks.sum())
        if self._has_arrivals and not self._has_clock:
            apart_ns = np.abs(steps[:, SEQ] * self._period_us * 1e3 - steps[:, HOST_NS])
        if self._has_arrivals and self._period_us:
            breaks |= apart_ns > _APART_NS
        return breaks

    def _count_intervals(self, seq: I64, t_us: I64, rows: F64, is_broken: Bools) -> None:
        """Count gaps, and how even the device's pace is."""
        if self._last is None:
            d_seq, d_us, usable = np.diff(seq), np.diff(t_us), ~is_broken[1:]
            paces_ns = np.diff(rows[:, HOST_NS])
        else:
            d_seq = np.diff(seq, prepend=int(self._last[SEQ]))
            d_us = np.diff(t_us, prepend=int(self._last[T_US]))
            paces_ns = np.diff(rows[:, HOST_NS], prepend=self._last[HOST_NS])
            usable = ~is_broken
        self._n_gaps += int((d_seq > 1).sum())
        self._n_missing += int((d_seq - 1).sum())
        if not self._has_clock:
            if self._has_arrivals and len(paces_ns):
                self._largest_gap_us = max(self._largest_gap_us, float(paces_ns.max()) / 1e3)
            return
        if usable.any():
            self._largest_gap_us = max(self._largest_gap_us, float(d_us[usable].max()))
        steady = usable & (d_seq == 1)
        if self._period_us and steady.any():
            self._interval.add(np.abs(d_us[steady] - self._period_us))

    def _begin_group(self) -> None:
        self._group += 1
        self._span_before_us += self._span_us
        self._span_us = 0.0
        self._first_us = None
        self._recent = self._recent[:0]

    def _now_us(self, rows: F64) -> F64:
        """Return the best time that there is."""
        return rows[:, T_US] if self._has_clock else rows[:, HOST_NS] / 1e3

    def _take(self, rows: F64) -> None:
        """Take arrivals of the newest group."""
        now_us = self._now_us(rows)
        if self._first_us is None:
            self._first_us = float(rows[0, FIRST] if self._has_clock else now_us[0])
        self._span_us = float(now_us[-1]) - self._first_us
        self._thinned.add(rows, self._group)
        if self._n_arrivals >= self._fit_at:
            self._fit()
        if not self._has_arrivals:
            return
        # Late against the fastest of the neighbours: clocks wander over hours.
        near = np.concatenate([self._recent, rows])
        fastest_ns = near[:, HOST_NS] - self._thinned.slope * near[:, self._x]
        oldest_ns = rows[:, HOST_NS] - self._thinned.slope * rows[:, FIRST]
        self._arrival.add((oldest_ns - fastest_ns.min()) / 1e3)
        self._recent = near[-_N_RECENT:]

    def _count_delays(self, clock: DeviceClock, arrivals: list[tuple[Frames, int]]) -> None:
        known = [
            host_ns - sent_ns
            for frames, host_ns in arrivals
            if (sent_ns := clock.host_ns(int(frames.t_us[-1]))) is not None
        ]
        # What is known to half of a round trip may seem to come before it was sent.
        self._delay.add(np.maximum(known, 0.0) / 1e3)

    # ---- fitting

    def _fit(self) -> None:
        self._fit_at = max(_N_FIRST_FIT, 2 * self._n_arrivals)
        rows, groups = self._thinned.table()
        device_hz = error_ppm = None
        if self._has_clock and len(rows):
            period_us, error_us = fit_through(
                rows[:, MEAN_SEQ], rows[:, MEAN_US], groups, rows[:, N_FRAMES]
            )
            if period_us > 0.0:
                self._period_us = period_us
                device_hz, error_ppm = 1e6 / period_us, error_us / period_us * 1e6
        host_hz = drift_ppm = drift_error_ppm = None
        slope, error = self._fit_arrivals(rows, groups)
        if slope > 0.0:
            drift = 1000.0 / slope - 1.0 if self._has_clock else 0.0
            if not self._has_clock:
                host_hz, error_ppm = 1e9 / slope, error / slope * 1e6
                self._period_us = slope / 1e3
            elif device_hz is not None and abs(drift) * 1e6 <= MOST_DRIFT_PPM:
                host_hz = device_hz * (1.0 + drift)
                drift_ppm, drift_error_ppm = drift * 1e6, error / slope * 1e6
            if host_hz is not None:
                self._thinned.slope = slope
        self._fitted = replace(
            self._fitted,
            device_hz=device_hz,
            host_hz=host_hz,
            error_ppm=error_ppm,
            drift_ppm=drift_ppm,
            drift_error_ppm=drift_error_ppm,
        )

    def _fit_arrivals(self, rows: F64, groups: I64) -> tuple[float, float]:
        """Return nanoseconds a microsecond of the device, or a frame, and the standard error."""
        if not self._has_arrivals or not len(rows):
            return math.nan, math.inf
        x, y = rows[:, self._x], rows[:, HOST_NS]
        slope = fit_below(x, y, groups)
        through, error = fit_through(x, y, groups, np.ones(len(rows)))
        # The line below is the better one if delays are never negative; if not, the two differ.
        return slope, math.hypot(error, (slope - through) / 2)


def _rows(n_frames: I64, seq: I64, t_us: I64, host_ns: I64) -> F64:
    """Return one row of `Thinned` for each arrival."""
    ends = np.cumsum(n_frames)
    starts = ends - n_frames
    rows = np.empty((len(n_frames), FIRST + 1))
    rows[:, N_ARRIVALS] = 1
    rows[:, N_FRAMES] = n_frames
    rows[:, MEAN_SEQ] = np.add.reduceat(seq, starts) / n_frames
    rows[:, MEAN_US] = np.add.reduceat(t_us, starts) / n_frames
    rows[:, SEQ], rows[:, T_US], rows[:, HOST_NS] = seq[ends - 1], t_us[ends - 1], host_ns
    return rows
