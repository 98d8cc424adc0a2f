"""What is known of the time of a stream."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamrnn.sources.timing.spread import Spread

#: Rates are believed when they were watched for this long and two standard errors are 0.1 %.
SETTLED_S = 5.0
SETTLED_PPM = 500.0
#: A drift is worth showing when it is known to this.
SHOWN_DRIFT_PPM = 5.0
#: Beyond this the stream does not run in real time, and the two clocks have nothing in common.
MOST_DRIFT_PPM = 50_000.0


@dataclass(frozen=True, slots=True)
class TimingReport:
    """Rate, drift, jitter and gaps of a stream so far. What is not known is None.

    Attributes
    ----------
    nominal_hz : float
        What the stream says; 0.0 when it says nothing.
    span_s : float
        From the first frame to the last, by the device's clock if it has one; boots left out.
    n_frames : int
        Frames that came.
    device_hz : float or None
        Frames a second of the device's clock. None for a stream without one.
    host_hz : float or None
        Frames a second of this computer's clock. None when the stream does not run in real time.
    error_ppm : float or None
        Standard error of the rate, in millionths of it.
    drift_ppm, drift_error_ppm : float or None
        How much faster the device's clock runs than this computer's, millionths, and the
        standard error of that. With arrivals that scatter by s seconds and come r times a second,
        it is about ``3.5e6 s / (T sqrt(T r))`` after T seconds: at 100 Hz and 0.3 ms 9 ppm after
        5 s, 0.2 ppm after a minute.
    n_gaps, n_missing, n_duplicates : int
        Places where frames are missing, frames missing, frames that came twice (and were dropped).
    largest_gap_s : float
        The longest time without a frame.
    n_jumps : int
        Times that the device's clock jumped.
    arrival_jitter : Spread or None
        How much later than the fastest ones frames arrive.
    interval_jitter : Spread or None
        How far the time from a frame to the next is from the mean, by the device's clock.
    delay : Spread or None
        Time from a frame's own time to its arrival; needs a board that answers PING.
    round_trip_us : float or None
        The shortest PING; the delay is known to half of that.
    """

    nominal_hz: float
    span_s: float = 0.0
    n_frames: int = 0
    device_hz: float | None = None
    host_hz: float | None = None
    error_ppm: float | None = None
    drift_ppm: float | None = None
    drift_error_ppm: float | None = None
    n_gaps: int = 0
    n_missing: int = 0
    n_duplicates: int = 0
    largest_gap_s: float = 0.0
    n_jumps: int = 0
    arrival_jitter: Spread | None = None
    interval_jitter: Spread | None = None
    delay: Spread | None = None
    round_trip_us: float | None = None

    @property
    def rate_hz(self) -> float | None:
        """The rate by the device's clock where there is one, else by this computer's."""
        return self.host_hz if self.device_hz is None else self.device_hz

    @property
    def is_settled(self) -> bool:
        """Whether the rate is known within 0.1 %, from 5 s or more."""
        return (
            self.rate_hz is not None
            and self.span_s >= SETTLED_S
            and self.error_ppm is not None
            and self.error_ppm <= SETTLED_PPM
        )

    def to_text(self) -> str:
        """Return ``"at 99.98 Hz (board's clock +35 ppm)"``; ``""`` while the rate is not known."""
        return rate_text(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the form of docs/formats.md: plain values, only those that are known."""
        rounded = {
            "nominal_hz": (self.nominal_hz or None, 6),
            "device_hz": (self.device_hz, 6),
            "host_hz": (self.host_hz, 6),
            "error_ppm": (self.error_ppm, 2),
            "drift_ppm": (self.drift_ppm, 2),
            "drift_error_ppm": (self.drift_error_ppm, 2),
            "span_s": (self.span_s, 3),
            "largest_gap_s": (self.largest_gap_s, 6),
            "round_trip_us": (self.round_trip_us, 1),
        }
        document: dict[str, Any] = {"is_settled": self.is_settled}
        for key, (value, n_decimals) in rounded.items():
            if value is not None and math.isfinite(value):
                document[key] = round(value, n_decimals)
        for key in ("n_frames", "n_gaps", "n_missing", "n_duplicates", "n_jumps"):
            document[key] = getattr(self, key)
        for key in ("arrival_jitter", "interval_jitter", "delay"):
            spread = getattr(self, key)
            if spread is not None:
                document[key] = spread.to_dict()
        return document


def rate_text(document: Mapping[str, Any]) -> str:
    """Return `TimingReport.to_text` of a report's dict."""
    rate_hz = document.get("device_hz", document.get("host_hz"))
    if not document["is_settled"] or rate_hz is None:
        return ""
    text = f"at {rate_hz:.{2 if rate_hz < 200 else 1}f} Hz"
    if document.get("drift_error_ppm", math.inf) > SHOWN_DRIFT_PPM:
        return text
    return f"{text} (board's clock {document['drift_ppm']:+.0f} ppm)"


def full_text(document: Mapping[str, Any]) -> str:
    """Return what a recording keeps of a report's dict, in one line; ``""`` if that is nothing."""
    parts = []
    if document["is_settled"]:
        rate_hz = document.get("device_hz", document.get("host_hz"))
        by = "its clock" if "device_hz" in document else "arrival"
        parts.append(f"{rate_hz:.7g} Hz by {by} (+-{document['error_ppm']:.3g} ppm)")
    if document.get("drift_error_ppm", math.inf) <= SHOWN_DRIFT_PPM:
        parts.append(
            f"clock {document['drift_ppm']:+.1f} ppm (+-{document['drift_error_ppm']:.2g})"
        )
    if jitter := document.get("arrival_jitter"):
        p95_ms, max_ms = jitter["p95_us"] / 1e3, jitter["max_us"] / 1e3
        parts.append(f"late by {p95_ms:.1f} ms (95 %), {max_ms:.1f} ms at most")
    for key, what in (("n_duplicates", "duplicate frames"), ("n_jumps", "jumps of its clock")):
        if document[key]:
            parts.append(f"{document[key]} {what}")
    return ", ".join(parts)
