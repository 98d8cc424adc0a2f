"""What a calibration found, as it stands in a model file (docs/formats.md, "Calibration")."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError

#: More points or sessions than this are no calibration's.
MAX_POINTS, MAX_SESSIONS = 256, 100_000


@dataclass(frozen=True, slots=True)
class Point:
    """What a decision does to the recordings that it was chosen on.

    Attributes
    ----------
    threshold : float
        Common `enter`, 0..1.
    n_false : int
        False activations: events that overlap no true gesture.
    false_per_hour, upper_per_hour : float
        The same an hour of null time, and the upper bound of what was seen.
    n_hit : int
        True gestures found with the right class.
    recall, miss_rate : float
        Share of the true gestures found, and not found, 0..1.
    n_confused, n_repeated : int
        Other events that are no hits: on a gesture of another class, or its second.
    """

    threshold: float
    n_false: int
    false_per_hour: float
    upper_per_hour: float
    n_hit: int
    recall: float
    miss_rate: float
    n_confused: int
    n_repeated: int

    def __post_init__(self) -> None:
        shares = (self.threshold, self.recall, self.miss_rate)
        counts = (self.n_false, self.n_hit, self.n_confused, self.n_repeated)
        rates = (self.false_per_hour, self.upper_per_hour)
        if not all(0.0 <= value <= 1.0 for value in shares):
            raise ConfigError(f"a share is not within 0..1: {shares}")
        if not all(value >= 0 and math.isfinite(value) for value in (*counts, *rates)):
            raise ConfigError(f"a count or a rate is below 0 or not finite: {counts}, {rates}")


@dataclass(frozen=True, slots=True)
class Checked:
    """What the same choice comes to where it is made on some people and counted on others.

    Attributes
    ----------
    n_parts : int
        Of the recordings; each was counted by what was chosen on the others. 1: nothing could be
        checked.
    n_false, n_hit : int
    false_per_hour, upper_per_hour, recall : float
        As in `Point`.
    """

    n_parts: int
    n_false: int
    false_per_hour: float
    upper_per_hour: float
    n_hit: int
    recall: float

    def __post_init__(self) -> None:
        values = (self.n_parts, self.n_false, self.false_per_hour, self.upper_per_hour, self.n_hit)
        if not all(value >= 0 and math.isfinite(value) for value in values):
            raise ConfigError(f"a count or a rate is below 0 or not finite: {values}")
        if not 0.0 <= self.recall <= 1.0:
            raise ConfigError(f"a share is not within 0..1: {self.recall}")


@dataclass(frozen=True, slots=True)
class Data:
    """The recordings that a calibration stands on.

    Attributes
    ----------
    n_sessions, n_subjects, n_gestures : int
        Subjects are 0 where nobody said who.
    null_h, duration_h : float
        Hours outside every true gesture, and in all.
    sessions : tuple of str
        Digest of each session's frames.
    """

    n_sessions: int
    n_subjects: int
    n_gestures: int
    null_h: float
    duration_h: float
    sessions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        numbers = (self.n_sessions, self.n_subjects, self.n_gestures, self.null_h, self.duration_h)
        if not all(value >= 0 and math.isfinite(value) for value in numbers):
            raise ConfigError(f"a number is below 0 or not finite: {numbers}")
        if len(self.sessions) > MAX_SESSIONS:
            raise ConfigError(f"{len(self.sessions)} sessions, at most {MAX_SESSIONS} can be")


@dataclass(frozen=True, slots=True)
class Calibration:
    """A budget, the point chosen for it, and what the data show.

    Attributes
    ----------
    max_false_per_hour : float
        The budget, > 0.
    confidence : float
        Of the upper bounds, 0..1.
    is_shown : bool
        The upper bound of what was seen keeps the budget.
    claim : str
        What can be said, one line.
    data : Data
    chosen, without_budget : Point
        The decision that was taken, and the one with the highest recall.
    checked : Checked
        What the claim stands on.
    curve : tuple of Point
        False activations against misses: the best of all decisions that were tried. Each point
        misses more than the one before, and has fewer false activations.
    """

    max_false_per_hour: float
    confidence: float
    is_shown: bool
    claim: str
    data: Data
    chosen: Point
    checked: Checked
    without_budget: Point
    curve: tuple[Point, ...]

    def __post_init__(self) -> None:
        if not 0.0 < self.max_false_per_hour < math.inf:
            raise ConfigError(f"max_false_per_hour must be above 0, got {self.max_false_per_hour}")
        if not 0.0 < self.confidence < 1.0:
            raise ConfigError(f"confidence must be within 0..1, got {self.confidence}")
        if len(self.curve) > MAX_POINTS:
            raise ConfigError(f"a curve of {len(self.curve)} points, at most {MAX_POINTS} can be")
        upper = max(self.chosen.upper_per_hour, self.checked.upper_per_hour)
        if self.is_shown and upper > self.max_false_per_hour:
            raise ConfigError("it claims a budget that its upper bound does not keep")

    def to_document(self) -> dict[str, Any]:
        """Return the calibration as JSON values."""
        document = asdict(self)
        document["data"]["sessions"] = list(self.data.sessions)
        document["curve"] = list(document["curve"])
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Calibration:
        """Return the calibration that a document describes.

        Raises
        ------
        ConfigError
            Unknown or missing keys, wrong types, or values that cannot be.
        """
        where = "calibration"
        values = from_mapping(_Flat, document, where)
        return cls(
            values.max_false_per_hour,
            values.confidence,
            values.is_shown,
            values.claim,
            from_mapping(Data, values.data, f"{where}: data"),
            from_mapping(Point, values.chosen, f"{where}: chosen"),
            from_mapping(Checked, values.checked, f"{where}: checked"),
            from_mapping(Point, values.without_budget, f"{where}: without_budget"),
            tuple(from_mapping(Point, point, f"{where}: curve") for point in values.curve),
        )


@dataclass(frozen=True)
class _Flat:
    """The outermost keys of a document; see `Calibration`."""

    max_false_per_hour: float
    confidence: float
    is_shown: bool
    claim: str
    data: dict[str, Any]
    chosen: dict[str, Any]
    checked: dict[str, Any]
    without_budget: dict[str, Any]
    curve: tuple[dict[str, Any], ...]
