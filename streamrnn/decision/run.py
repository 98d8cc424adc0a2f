"""The run of activity that is going on: what it has seen, and who leads it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError


@dataclass(slots=True)
class Run:
    """Consecutive frames in which a gesture is seen.

    Attributes
    ----------
    onset_us : int
        Device time of the first frame.
    sums : list of float
        Summed probabilities of the active frames, C of them.
    rising : list of float
        The same, frame n counted n times.
    n_frames : int
        How many there were.
    leader : int
        The class with the largest rising sum; once the run has fired, the class that it fired with.
    last_us : int
        Device time of the newest active frame.
    fired : bool
        Its ``start`` is out.
    evidence, weight : list of float or None, and float
        Sums of probabilities and of ones that forget; None where sums never do.
    quiet_us : int or None
        Device time of the first frame behind the newest active one.
    drops : int
        A bit a frame, the newest lowest: 1 for a frame that was not active. Kept only where a run
        outlives such frames.
    """

    onset_us: int
    sums: list[float]
    rising: list[float]
    n_frames: int
    leader: int
    last_us: int
    fired: bool = False
    evidence: list[float] | None = None
    weight: float = 0.0
    quiet_us: int | None = None
    drops: int = 0

    def add(self, p: list[float], t_us: int, keep: float) -> None:
        """Take an active frame; `keep` is the share of older evidence that is left."""
        self.n_frames = n = self.n_frames + 1
        self.sums = [a + b for a, b in zip(self.sums, p, strict=True)]
        rising = self.rising = [a + n * b for a, b in zip(self.rising, p, strict=True)]
        self.last_us = t_us
        self.quiet_us = None
        if self.evidence is not None:
            self.evidence = [a * keep + b for a, b in zip(self.evidence, p, strict=True)]
            self.weight = self.weight * keep + 1.0
        if not self.fired:
            self.leader = max(range(1, len(rising)), key=rising.__getitem__)

    def candidate(self) -> int:
        """Return the class that an early decision would take: the one with most evidence."""
        if self.evidence is None or self.fired:
            return self.leader
        return max(range(1, len(self.evidence)), key=self.evidence.__getitem__)

    def shares(self) -> list[float]:
        """Return each class's mean probability over the run, as far as the run remembers."""
        if self.evidence is None:
            return [value / self.n_frames for value in self.sums]
        return [value / self.weight for value in self.evidence]

    def share(self, k: int) -> float:
        """Return that of class `k`."""
        if self.evidence is None:
            return self.sums[k] / self.n_frames
        return self.evidence[k] / self.weight

    @property
    def score(self) -> float:
        """Mean probability of the leader over all active frames, 0..1."""
        return min(max(self.sums[self.leader] / self.n_frames, 0.0), 1.0)

    def to_document(self) -> dict[str, Any]:
        """Return the run as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Document:
    """A run as JSON values; see `Run`."""

    onset_us: int
    sums: tuple[float, ...]
    n_frames: int
    leader: int
    fired: bool
    rising: tuple[float, ...]
    last_us: int | None = None
    evidence: tuple[float, ...] | None = None
    weight: float = 0.0
    quiet_us: int | None = None
    drops: int = 0


def run_from_document(
    document: Mapping[str, Any], n_classes: int, last_us: int, *, forgets: bool
) -> Run:
    """Return the run that `Run.to_document` wrote.

    Parameters
    ----------
    document : mapping
    n_classes : int
        C.
    last_us : int
        Device time of the stream's newest frame.
    forgets : bool
        Whether evidence is kept besides sums.

    Raises
    ------
    ConfigError
        Unknown or missing keys, wrong types, or a run of other classes.
    """
    known = from_mapping(_Document, document, "decision: run")
    vectors = (known.sums, known.rising, known.evidence or known.sums)
    is_whole = all(len(vector) == n_classes for vector in vectors)
    if not is_whole or not 0 < known.leader < n_classes or known.n_frames < 1 or known.drops < 0:
        raise ConfigError(f"decision: a run that is not over {n_classes} classes")
    if not all(map(math.isfinite, (known.weight, *(v for vector in vectors for v in vector)))):
        raise ConfigError("decision: a run whose sums are not finite")
    if known.evidence is not None and known.weight < 1.0:
        raise ConfigError("decision: a run whose evidence has no weight")
    run = Run(
        onset_us=known.onset_us,
        sums=list(known.sums),
        rising=list(known.rising),
        n_frames=known.n_frames,
        leader=known.leader,
        last_us=last_us if known.last_us is None else known.last_us,
        fired=known.fired,
        quiet_us=known.quiet_us,
        drops=known.drops,
    )
    if forgets:
        run.evidence = list(known.evidence or known.sums)
        run.weight = float(known.n_frames) if known.evidence is None else known.weight
    return run
