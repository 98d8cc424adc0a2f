"""What a decision can be told: thresholds and times, for all gestures and for single ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError

#: Ways of giving an event; see `DecisionConfig.fire`.
FIRE = ("end", "start", "sure")
#: Ways of smoothing.
SMOOTHING = ("ema", "mean")
#: Longest time that an option may ask for, milliseconds.
LONGEST_MS = 1e9


@dataclass(frozen=True)
class ClassRule:
    """What can differ from gesture to gesture; see `DecisionConfig`."""

    enter: float
    exit: float
    min_ms: float
    refractory_ms: float
    sure: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.exit <= self.enter < 1.0:
            raise ConfigError(
                f"thresholds must be 0 <= exit <= enter < 1, got {self.exit} and {self.enter}"
            )
        if not 0.0 <= self.sure <= 1.0:
            raise ConfigError(f"sure must be within 0..1, got {self.sure}")
        for key in ("min_ms", "refractory_ms"):
            _check_ms(key, getattr(self, key))


@dataclass(frozen=True)
class DecisionConfig:
    """How probabilities become events.

    Attributes
    ----------
    enter, exit : float
        Thresholds on activity, 0..1, ``exit <= enter``.
    min_ms : float
        Shortest event, in milliseconds of stream time.
    hold : float
        Share, 0..1 and not 0, of the frames of the last `min_ms` that must be active for a run to
        go on. 1: the first frame that is not active ends it. Less: short drops do not.
    refractory_ms : float
        Pause behind an event during which nothing starts; with `refractory_all_ms`, no event of the
        same class.
    refractory_all_ms : float
        Pause behind an event during which no event of any class starts. 0: `refractory_ms` is that.
    require_null_between : bool
        Activity that is there when the pause is over starts nothing until it has been at or below
        `exit` once.
    smooth_ms : float
        How far smoothing reaches back; 0 = off.
    smoothing : {"ema", "mean"}
        An exponential mean with that time constant, or the plain mean of so many frames.
    temperature : float
        What logits are divided by before they become probabilities, > 0; above 1 makes the network
        less sure of itself.
    ood : float or None
        Frames with less energy are strange and count as null; None (or -inf) = off.
        ``energy = log(sum(exp(logits)))``.
    fire : {"end", "start", "sure"}
        One record when a gesture is over; or one as soon as it has lasted `min_ms` (``sure``: and
        its class is sure), and one when it is over.
    sure : float
        With ``fire="sure"``: mean probability of the likeliest class, as far back as `evidence_ms`
        remembers, at which its event is given.
    deadline_ms : float
        With ``fire="sure"``: the event is given at the latest so long after the onset, sure or not;
        0 = never forced.
    evidence_ms : float
        Time constant with which an early decision forgets what the first frames said about the
        class; 0 = it never forgets. At the end of a run all of it counts.
    per_class : dict of str to dict
        ``{"circle": {"enter": 0.7}}``: `enter`, `exit`, `min_ms`, `refractory_ms` or `sure` of one
        class.
    """

    enter: float = 0.5
    exit: float = 0.4
    min_ms: float = 100.0
    hold: float = 1.0
    refractory_ms: float = 0.0
    refractory_all_ms: float = 0.0
    require_null_between: bool = False
    smooth_ms: float = 0.0
    smoothing: str = "ema"
    temperature: float = 1.0
    ood: float | None = None
    fire: str = "end"
    sure: float = 0.8
    deadline_ms: float = 0.0
    evidence_ms: float = 0.0
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.fire not in FIRE:
            raise ConfigError(f"fire must be 'end', 'start' or 'sure', got {self.fire!r}")
        if self.smoothing not in SMOOTHING:
            raise ConfigError(f"smoothing must be 'ema' or 'mean', got {self.smoothing!r}")
        for key in ("smooth_ms", "deadline_ms", "evidence_ms", "refractory_all_ms"):
            _check_ms(key, getattr(self, key))
        if not 0.0 < self.hold <= 1.0:
            raise ConfigError(f"hold must be above 0 and at most 1, got {self.hold}")
        if not 0.01 <= self.temperature <= 100.0:
            raise ConfigError(f"temperature must be within 0.01..100, got {self.temperature}")
        if self.ood is not None and self.ood == -math.inf:
            object.__setattr__(self, "ood", None)  # JSON has no word for it
        if self.ood is not None and not math.isfinite(self.ood):
            raise ConfigError(f"ood must be a finite energy, or -inf for off, got {self.ood}")
        self.rule()
        for name in self.per_class:
            self.rule(name)

    def rule(self, name: str = "") -> ClassRule:
        """Return what holds for the class `name`, its own where it has some."""
        own = self.per_class.get(name)
        if not own:
            return ClassRule(self.enter, self.exit, self.min_ms, self.refractory_ms, self.sure)
        common = {
            "enter": self.enter,
            "exit": self.exit,
            "min_ms": self.min_ms,
            "refractory_ms": self.refractory_ms,
            "sure": self.sure,
        }
        return from_mapping(ClassRule, {**common, **own}, f"per_class.{name}")


def _check_ms(key: str, value: float) -> None:
    if not (math.isfinite(value) and 0 <= value <= LONGEST_MS):
        raise ConfigError(f"{key} must be 0 or more, got {value}")
