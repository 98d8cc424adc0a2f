"""What to ask of a person and when, while gestures are recorded: a pure machine in stream time."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

import numpy as np

from streamrnn.core.errors import ConfigError
from streamrnn.core.text import printable
from streamrnn.core.types import I64, NULL_NAME

#: A jump of the frames' time this long breaks what is being done: so much of it is not there.
BREAK_US = 500_000
#: How long the last gesture can still be taken back before the recording ends, seconds.
CLOSING_S = 4.0
#: What the null class is made of: said in turn.
NULL_HINTS = (
    "walk around",
    "scratch your head",
    "type on a keyboard",
    "pick something up and put it down",
    "talk with your hands",
    "drink something",
    "stretch and turn",
    "put the device down and take it again",
)


@dataclass(frozen=True, slots=True)
class GuideConfig:
    """What is to be recorded.

    Attributes
    ----------
    gestures : tuple of str
        Names of the classes, one or more, all different.
    reps : int
        Times that each is done.
    gesture_s : float
        Length of the labelled segment, seconds. Most gestures take about one, and people begin some
        tenths late; what is labelled behind a gesture teaches that its end is the gesture.
    ready_s : float
        Countdown before it.
    rest_s : float
        Rest before each countdown.
    null_s : float
        Length of a segment of anything else; there is one for each time round. 0.0: none.
    seed : int
        Of the order.
    """

    gestures: tuple[str, ...]
    reps: int = 10
    gesture_s: float = 1.5
    ready_s: float = 3.0
    rest_s: float = 1.5
    null_s: float = 6.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense, by `ConfigError`."""
        if not self.gestures or not all(self.gestures):
            raise ConfigError("name the gestures to record: wave,circle,tap")
        for name in self.gestures:
            if self.gestures.count(name) > 1:
                raise ConfigError(f"gesture {printable(name)!r} is named twice")
        if NULL_NAME in self.gestures:
            raise ConfigError(
                f"{NULL_NAME!r} is the name of no gesture: it is recorded by itself (null segments)"
            )
        if not 1 <= self.reps <= 1000:
            raise ConfigError(f"repetitions must be 1 to 1000, got {self.reps}")
        if not 0.2 <= self.gesture_s <= 60.0:
            raise ConfigError(f"a gesture takes 0.2 to 60 s here, got {self.gesture_s:g}")
        for value in (self.ready_s, self.rest_s, self.null_s):
            if not 0.0 <= value <= 600.0:
                raise ConfigError(f"prompts take 0 to 600 s, got {value:g}")


@dataclass(frozen=True, slots=True)
class Step:
    """A change, and the stream time at which it holds.

    Attributes
    ----------
    kind : str
        A prompt begins: ``rest``, ``ready``, ``now`` (the label of `gesture` begins), ``null``,
        ``paused``, ``away``, ``closing``, ``over``. Or a label changes: ``ended`` (it is good),
        ``dropped`` (it is void, and may be asked for again), ``undone`` (the newest good one is
        void and asked for again). Each ``now`` has one ``ended`` or ``dropped`` behind it.
    gesture : str
        ``""`` where none is meant.
    t_us : int
    """

    kind: str
    gesture: str
    t_us: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a person should see now.

    Attributes
    ----------
    kind : str
        ``waiting`` (no frame came yet), or as in `Step`.
    gesture : str
        What is to be done; of a ``rest``, what comes next (``""``: anything else, or nothing).
    hint : str
        What to do in a null segment.
    left_s : float
        Until the next prompt; 0.0 where that is not known.
    """

    kind: str
    gesture: str
    hint: str
    left_s: float


class Guide:
    """Leads through a recording; it is told the times of frames and says what changes.

    Nothing but these times moves it, so that labels are in the device's time, however late frames
    arrive, and any cutting of the frames gives the same labels.

    Parameters
    ----------
    config : GuideConfig

    Attributes
    ----------
    is_over : bool
        True when everything was done, or `finish` was called.
    n_skipped : dict of str to int
        Repetitions that were skipped, by gesture.
    """

    def __init__(self, config: GuideConfig) -> None:
        self.config = config
        self.n_skipped = dict.fromkeys(config.gestures, 0)
        self._queue = deque(_order(config))
        self._done: list[str] = []
        self._kind = "waiting"
        self._current = ""
        self._begun_us = self._now_us = 0
        self._until_us: int | None = None
        self._n_nulls = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be asked."""
        return self._kind == "over"

    @property
    def prompt(self) -> Prompt:
        """What a person should see now."""
        left_us = 0 if self._until_us is None else max(0, self._until_us - self._now_us)
        gesture = self._current
        if self._kind == "rest":
            gesture = self._queue[0] if self._queue else ""
        hint = NULL_HINTS[(self._n_nulls - 1) % len(NULL_HINTS)] if self._kind == "null" else ""
        return Prompt(self._kind, gesture, hint, left_us / 1e6)

    @property
    def n_done(self) -> dict[str, int]:
        """Good repetitions so far, by gesture."""
        return {name: self._done.count(name) for name in self.config.gestures}

    @property
    def left_s(self) -> float:
        """About how long all that is left will take, seconds."""
        c = self.config
        n_nulls = self._queue.count("")
        gestures_s = (len(self._queue) - n_nulls) * (c.rest_s + c.ready_s + c.gesture_s)
        present_s = self.prompt.left_s + (c.gesture_s if self._kind == "ready" else 0.0)
        return gestures_s + n_nulls * (c.rest_s + c.null_s) + present_s

    # ---- what happens to it

    def push(self, t_us: I64) -> list[Step]:
        """Take the times of frames.

        Parameters
        ----------
        t_us : int64 (N,)
            Device time, microseconds, never decreasing.
        """
        steps: list[Step] = []
        if not len(t_us) or self.is_over:
            return steps
        if self._kind in ("waiting", "away"):
            self._advance(int(t_us[0]), steps)
        for k in np.flatnonzero(np.diff(t_us, prepend=self._now_us) > BREAK_US).tolist():
            if k:
                self._advance(int(t_us[k - 1]), steps)
            self._interrupt(steps)
            self._advance(int(t_us[k]), steps)
        self._advance(int(t_us[-1]), steps)
        return steps

    def interrupt(self) -> list[Step]:
        """Take note that the device is away: what is being done is asked for again."""
        steps: list[Step] = []
        if self._kind not in ("waiting", "paused", "over"):
            self._interrupt(steps)
        return steps

    def late(self, t_us: int) -> list[Step]:
        """Go on to a time behind frames that came all at once: nobody could follow the prompts.

        What is being done is asked for again.
        """
        steps: list[Step] = []
        if self._kind in ("rest", "ready", "now", "null"):
            self._now_us = t_us
            self._give_up(steps, again=True)
            self._rest(t_us, steps)
        elif not self.is_over:
            self._advance(t_us, steps)
        return steps

    def undo(self) -> list[Step]:
        """Take back the gesture that is being done, or else the newest; it is asked for again."""
        steps: list[Step] = []
        if self._kind == "now":
            self._give_up(steps, again=True)
            self._rest(self._now_us, steps)
        elif self._done and not self.is_over:
            gesture = self._done.pop()
            self._queue.appendleft(gesture)
            steps.append(Step("undone", gesture, self._now_us))
            if self._kind == "closing":
                self._rest(self._now_us, steps)
        return steps

    def skip(self) -> list[Step]:
        """Leave out what is being done, or else what would come next."""
        steps: list[Step] = []
        if self._kind in ("ready", "now", "null"):
            self._give_up(steps, again=False)
            self._rest(self._now_us, steps)
        elif self._kind == "closing":
            self._begin("over", self._now_us, None, steps)
        elif self._kind == "rest" and self._queue:
            self._count_skipped(self._queue.popleft())
        return steps

    def toggle_pause(self) -> list[Step]:
        """Wait, or go on. What is being done is asked for again."""
        steps: list[Step] = []
        if self._kind == "paused":
            self._rest(self._now_us, steps)
        elif self._kind not in ("waiting", "away", "over"):
            self._give_up(steps, again=True)
            self._begin("paused", self._now_us, None, steps)
        return steps

    def finish(self) -> list[Step]:
        """End; a gesture that is being done is void."""
        steps: list[Step] = []
        if not self.is_over:
            self._give_up(steps, again=True)
            self._begin("over", self._now_us, None, steps)
        return steps

    # ---- inside

    def _advance(self, t_us: int, steps: list[Step]) -> None:
        """Go on to a time; what was due before it happens at the time at which it was due."""
        if self._kind in ("waiting", "away"):
            self._now_us = t_us
            self._rest(t_us, steps)
        while self._until_us is not None and t_us >= self._until_us:
            self._next(self._until_us, steps)
        self._now_us = t_us

    def _next(self, at_us: int, steps: list[Step]) -> None:
        c = self.config
        if self._kind == "ready":
            self._begin("now", at_us, c.gesture_s, steps)
            return
        if self._kind == "closing":
            self._begin("over", at_us, None, steps)
            return
        if self._kind == "now":
            steps.append(Step("ended", self._current, at_us))
            self._done.append(self._current)
        if self._kind in ("now", "null"):
            self._rest(at_us, steps)
        elif not self._queue:
            self._begin("closing", at_us, CLOSING_S, steps)
        else:
            self._current = self._queue.popleft()
            if self._current:
                self._begin("ready", at_us, c.ready_s, steps)
            else:
                self._n_nulls += 1
                self._begin("null", at_us, c.null_s, steps)

    def _rest(self, at_us: int, steps: list[Step]) -> None:
        self._current = ""
        self._begin("rest", at_us, self.config.rest_s, steps)

    def _begin(self, kind: str, at_us: int, length_s: float | None, steps: list[Step]) -> None:
        self._kind = kind
        self._until_us = None if length_s is None else at_us + round(length_s * 1e6)
        steps.append(Step(kind, self._current, at_us))

    def _interrupt(self, steps: list[Step]) -> None:
        if self._kind in ("waiting", "paused", "away", "over"):
            return
        self._give_up(steps, again=True)
        self._begin("away", self._now_us, None, steps)

    def _give_up(self, steps: list[Step], *, again: bool) -> None:
        """Stop what is being done; a label that is open is void."""
        if self._kind not in ("ready", "now", "null"):
            return
        if self._kind == "now":
            steps.append(Step("dropped", self._current, self._now_us))
        if again:
            self._queue.appendleft(self._current)
        else:
            self._count_skipped(self._current)
        self._current = ""

    def _count_skipped(self, gesture: str) -> None:
        if gesture:
            self.n_skipped[gesture] += 1


def _order(config: GuideConfig) -> list[str]:
    """Return what is to be done in turn, ``""`` for anything else.

    Each time round has every gesture once, so that whoever stops early has some of each.
    """
    draw = random.Random(config.seed)
    order: list[str] = []
    for _ in range(config.reps):
        turn = [*config.gestures, *([""] if config.null_s > 0 else [])]
        draw.shuffle(turn)
        order += turn
    return order
