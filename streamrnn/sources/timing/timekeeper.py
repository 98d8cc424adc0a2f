"""All that a live stream's clocks need: fits, probes of the board's clock, a measured rate."""

from __future__ import annotations

import math
from dataclasses import replace

from streamrnn.core.types import Frames, Item, StreamInfo
from streamrnn.sources.timing import StreamTiming, TimingReport
from streamrnn.sources.timing.clocksync import ClockSync
from streamrnn.sources.watch import rate_trouble, round_rate_hz
from streamrnn.wire.packet import Pong, frame_time_us


class Timekeeper:
    """Watches the times of a stream. It is told the time, in seconds of one monotonic clock.

    Attributes
    ----------
    measured_hz : float
        Rate of a stream that does not say it, once it was measured; 0.0 before.
    ping_s : float
        When `ping` wants to be called.
    """

    def __init__(self) -> None:
        self.measured_hz = 0.0
        self.ping_s = math.inf
        self._clocks = ClockSync()
        self._timing: StreamTiming | None = None
        self._is_counted = self._is_asked = self._must_check = False

    def begin(
        self, info: StreamInfo, *, is_counted: bool, is_board: bool, has_arrivals: bool
    ) -> None:
        """Take what a stream says of itself; the same rate again changes nothing.

        Parameters
        ----------
        info : StreamInfo
        is_counted : bool
            Its times are counted, not measured.
        is_board : bool
            It takes commands.
        has_arrivals : bool
            It runs in real time.
        """
        self._is_asked = is_board and has_arrivals
        if self._timing is not None and self._timing.nominal_hz == info.rate_hz:
            return
        self._is_counted, self._must_check = is_counted, has_arrivals
        self._timing = StreamTiming(
            info.rate_hz,
            has_clock=not is_counted,
            has_arrivals=has_arrivals,
            clock=self._clocks if is_board else None,
        )

    def arrived(self, frames: Frames, now_s: float) -> None:
        """Take frames."""
        if self._timing is not None:
            self._timing.arrived(frames, round(now_s * 1e9))

    def delay_ns(self, t_us: int, now_s: float) -> float | None:
        """Return how long after its own time a frame arrived, nanoseconds; None when unknown."""
        return None if self._timing is None else self._timing.delay_ns(t_us, round(now_s * 1e9))

    def restarted(self) -> None:
        """Take note that the device's clock starts anew."""
        self._clocks.restarted()
        self.ping_s = math.inf
        if self._timing is not None:
            self._timing.restarted()

    def interrupted(self) -> None:
        """Take note that the link was lost; text without a clock has no times across that."""
        if self._timing is not None and self._is_counted:
            self._timing.restarted()
        elif self._timing is not None:
            self._timing.interrupted()

    def returned(self) -> None:
        """Take note that the link is back."""
        self._clocks.probe_again()
        self.ping_s = math.inf

    def acknowledged(self) -> None:
        """Take note that the board answered a command: it listens, and may be asked for its clock.

        What sends without being asked may be a file behind a socket, which is not written to.
        """
        if self._is_asked and self.ping_s == math.inf:
            self.ping_s = self._clocks.due_s

    def report(self) -> TimingReport | None:
        """Return what is known."""
        return None if self._timing is None else self._timing.report()

    def catch_up(self) -> str:
        """Do what is due while there is time; return what must be said of the rate, once."""
        timing = self._timing
        if timing is None or not timing.is_due:
            return ""
        timing.catch_up()
        if not self._must_check:
            return ""
        report = timing.report()
        trouble = rate_trouble(report)
        self._must_check = not (trouble or report.is_settled)
        return trouble

    # -- the board's clock --------------------------------------------------------------------

    def ping(self, now_s: float) -> bytes:
        """Return the PING to be sent now, often nothing."""
        packet = self._clocks.due(round(now_s * 1e9))
        self.ping_s = self._clocks.due_s
        return packet

    def ponged(self, pong: Pong, now_s: float) -> None:
        """Take a PONG."""
        self._clocks.answered(pong, round(now_s * 1e9))

    # -- a measured rate ----------------------------------------------------------------------

    def measure(self) -> bool:
        """Take the fitted rate, or a round one near it, for the stream's; False: none is known."""
        report = self.report()
        if report is None or report.rate_hz is None or self._timing is None:
            return False
        self.measured_hz = round_rate_hz(report.rate_hz)
        self._timing.nominal_hz = self.measured_hz
        return True

    def rated(self, info: StreamInfo) -> StreamInfo:
        """Return what a stream says of itself, with the measured rate if it has none."""
        return info if info.rate_hz else replace(info, rate_hz=self.measured_hz)

    def stamped(self, item: Item) -> Item:
        """Return an item with the times that the measured rate gives."""
        if not self.measured_hz:
            return item
        if isinstance(item, StreamInfo):
            return self.rated(item)
        if isinstance(item, Frames) and self._is_counted:
            return replace(item, t_us=frame_time_us(0, item.seq, self.measured_hz))
        return item
