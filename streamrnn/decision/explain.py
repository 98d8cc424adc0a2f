"""Why there is an event, and why there is none where there nearly was one: the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: Activity that stays below `enter` by less than this is a near miss.
NEAR_MARGIN = 0.1

#: What is told of frames that started nothing; what stands later outweighs what stands before.
IDLE_REASONS = ("below_enter", "refractory", "no_null", "strange")
#: All reasons, of the start of a gesture, of its end, and of a near miss.
REASONS = ("lasted", "sure", "deadline", "exit", "break", "too_short", *IDLE_REASONS)

#: The reasons for people; what was measured stands in the braces, the option follows.
_WHY = {
    "lasted": "it has lasted{}",
    "sure": "its share of{} is sure enough",
    "deadline": "it has lasted{} and must be out",
    "exit": "over, as activity fell to{}",
    "break": "over, as the stream broke off",
    "too_short": "it lasted only{}",
    "refractory": "too soon:{} behind the last event",
    "no_null": "activity had not fallen since the last event, only to{}",
    "strange": "unlike all that was trained on, energy{}",
    "below_enter": "activity reached only{}",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why there is an event, or why there is none where there nearly was one.

    Attributes
    ----------
    kind : {"event", "near_miss"}
    reason : str
        Of a ``start``: ``lasted``, ``sure`` or ``deadline``. Of the end of a gesture: ``exit``,
        ``strange`` or ``break`` (of the stream). Of a near miss: ``too_short``, ``refractory``,
        ``no_null``, ``strange`` or ``below_enter``.
    gesture : str
        The leading class.
    phase : str or None
        The event's; None of a near miss.
    seq, t_us : int
        The frame at which this was known; of an event, the record's own.
    from_seq, from_us, to_seq, to_us : int
        First and last frame that it is about.
    n_frames : int
        Frames that count: all of a near miss, of a run the active ones.
    mean_activity, peak_activity : float
        Over these frames, 0..1.
    threshold : str or None
        The option that decided; None for a break.
    limit, value : float or None
        Its value, and what was measured against it, in the option's unit.
    share : float
        Mean probability of `gesture` over these frames, 0..1; of a run, as far as it remembers
        them (`evidence_ms`).
    runner_up : str or None
        The gesture that came second; None where there is only one.
    runner_up_share : float or None
    energy : float or None
        The least of these frames; None where nobody measured it.
    """

    kind: str
    reason: str
    gesture: str
    phase: str | None
    seq: int
    t_us: int
    from_seq: int
    from_us: int
    to_seq: int
    to_us: int
    n_frames: int
    mean_activity: float
    peak_activity: float
    threshold: str | None
    limit: float | None
    value: float | None
    share: float
    runner_up: str | None
    runner_up_share: float | None
    energy: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the record's own keys, in order."""
        document: dict[str, Any] = {"type": "explain"}
        for name in self.__slots__:
            value = getattr(self, name)
            document[name] = round(value, 6) if isinstance(value, float) else value
        return document

    def sentence(self) -> str:
        """Return the same as a line for people."""
        what = f"{self.phase} {self.gesture}" if self.phase else f"no {self.gesture}"
        unit = " ms" if (self.threshold or "").endswith("_ms") else ""
        measured = "" if self.value is None else f" {self.value:.4g}{unit}"
        why = _WHY[self.reason].format(measured)
        if self.limit is not None:
            why += f" ({self.threshold} {self.limit:g})"
        parts = [
            f"{self.t_us / 1e6:.3f} s: {what}: {why}",
            f"frames {self.from_seq}..{self.to_seq}",
            f"activity {self.mean_activity:.2f} on average, {self.peak_activity:.2f} at most",
        ]
        share = f"share {self.share:.2f}"
        if self.runner_up is not None:
            share += f", then {self.runner_up} {self.runner_up_share:.2f}"
        return "; ".join([*parts, share])


Explain = Callable[[Explanation], None]
