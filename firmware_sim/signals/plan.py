"""What a simulated person does when: gestures, near-gestures, pauses, fidgeting, walking."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from firmware_sim.signals.gestures import (
    GESTURES,
    PITCH,
    ROLL,
    Movement,
    Stroke,
    fidget,
    perform,
    perform_near,
)
from firmware_sim.signals.people import Person
from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean

#: Plans that are not the name of one gesture.
PLANS = ("all", "null")
#: Pauses between two activities.
GAP_S = (0.6, 2.0)
_WALK_S = (3.0, 6.0)
_FIDGET_S = (1.5, 4.0)
#: A passage is rendered at once: long enough for speed, short enough for a quick start.
_PASSAGE_S = 12.0


@dataclass(frozen=True, slots=True)
class Activity:
    """Something done within a passage.

    Attributes
    ----------
    start_s, duration_s : float
        From the beginning of the passage.
    label : str
        The gesture's name; empty for everything that is none.
    """

    start_s: float
    duration_s: float
    label: str = ""


@dataclass(slots=True)
class Passage:
    """Some seconds of one person's doings.

    Attributes
    ----------
    roll_rad, pitch_rad : float
        Posture at its beginning, besides the person's usual one.
    strokes : list of Stroke
        All movements, times from the beginning of the passage.
    walks : list of (float, float)
        Start and duration of bouts of walking.
    activities : list of Activity
    duration_s : float
    last : bool
        Nothing follows within the person's turn.
    """

    roll_rad: float
    pitch_rad: float
    strokes: list[Stroke] = field(default_factory=list)
    walks: list[tuple[float, float]] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)
    duration_s: float = 0.0
    last: bool = False

    def add(self, movement: Movement, label: str = "") -> None:
        """Append a movement."""
        now = self.duration_s
        self.strokes += [s._replace(start_s=s.start_s + now) for s in movement.strokes]
        self.activities.append(Activity(now, movement.duration_s, label))
        self.duration_s += movement.duration_s

    def posture(self) -> tuple[float, float]:
        """Return roll and pitch at the end, rad."""
        moved = [sum(s.amount for s in self.strokes if s.axis == axis) for axis in (ROLL, PITCH)]
        return self.roll_rad + moved[0], self.pitch_rad + moved[1]


def check_plan(plan: str) -> None:
    """Raise `ConfigError` unless `plan` is one that `Planner` knows."""
    known = (*PLANS, *GESTURES)
    if plan not in known:
        raise ConfigError(
            f"unknown plan {plan!r}{did_you_mean(plan, known)}; known: {', '.join(known)}"
        )


class Planner:
    """Draws what a person does, passage by passage.

    Parameters
    ----------
    person : Person
    rng : Generator
        Decides what happens; it does not depend on the frame rate.
    plan : str
        As `SignalOrigin` has it.
    lead_s : float
        Stillness before the first activity.
    """

    def __init__(self, person: Person, rng: np.random.Generator, plan: str, lead_s: float) -> None:
        self._person = person
        self._rng = rng
        self._plan = plan
        self._lead_s: float | None = lead_s
        self._deck: list[str] = []
        self._is_first = True
        self._posture = (0.0, 0.0)

    def passage(self, left_s: float | None) -> Passage:
        """Return the next passage.

        Parameters
        ----------
        left_s : float or None
            Time until the end; None: endless. What would not be over in time is not begun: the
            rest is still, and the passage is the last.
        """
        passage = Passage(*self._posture)
        while passage.duration_s < _PASSAGE_S and not passage.last:
            kept = (len(passage.strokes), len(passage.walks), len(passage.activities))
            self._do(passage)
            if left_s is not None and passage.duration_s > left_s:
                del passage.strokes[kept[0] :]
                del passage.walks[kept[1] :]
                del passage.activities[kept[2] :]
                passage.duration_s = left_s
                passage.last = True
        self._posture = passage.posture()
        return passage

    def _do(self, passage: Passage) -> None:
        """Append one pause and one activity."""
        rng = self._rng
        if self._lead_s is not None:
            passage.duration_s += self._lead_s
            self._lead_s = None
        else:
            gap_s = rng.uniform(*GAP_S)
            if rng.random() < self._person.restless:
                passage.add(fidget(self._person, rng, passage.posture(), gap_s))
            else:
                passage.duration_s += gap_s
        what = self._draw()
        if what == "walk":
            walk_s = rng.uniform(*_WALK_S)
            passage.walks.append((passage.duration_s, walk_s))
            passage.duration_s += walk_s
        elif what == "fidget":
            passage.add(fidget(self._person, rng, passage.posture(), rng.uniform(*_FIDGET_S)))
        elif what == "near":
            passage.add(perform_near(self._person, rng))
        else:
            passage.add(perform(what, self._person, rng), what)

    def _draw(self) -> str:
        """Return the next activity from a shuffled deck that holds every gesture once or twice."""
        if self._plan in GESTURES:
            return self._plan
        if not self._deck:
            deck = ["near"] * 3 + ["fidget", "walk"]
            if self._plan == "all":
                deck += GESTURES * 2
            self._deck = [deck[i] for i in self._rng.permutation(len(deck))]
            self._deck.reverse()
            if self._plan == "all" and self._is_first:
                first = next(i for i, what in enumerate(self._deck) if what in GESTURES)
                self._deck[-1], self._deck[first] = self._deck[first], self._deck[-1]
                self._is_first = False
        return self._deck.pop()
