"""The origin `signals`: an IMU on the hand of a simulated person who gestures, idles and walks.

The hand's pose is a sum of smooth strokes, posture, sway and gait. What the sensor reads follows
from the pose by the kinematics of a rigid body (see `_sense`), so gravity is always there and
turns with the hand. Everything is drawn from the seeds: the same arguments give the same bytes,
whatever the sizes of the blocks that are asked for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from firmware_sim.origins.origin import Block, to_rows
from firmware_sim.signals.gestures import GESTURES
from firmware_sim.signals.people import Person, make_person
from firmware_sim.signals.plan import Activity, Planner, check_plan
from firmware_sim.signals.render import render
from streamrnn.core.errors import ConfigError
from streamrnn.core.types import F64, U8, Frames, Label, Marker
from streamrnn.wire.encode import quantise
from streamrnn.wire.packet import frame_time_us
from streamrnn.wire.schema import ChannelGroup, Hello

#: +-16 g and +-2000 dps on 16 bits, as the common IMUs have it; both scales are exact in float32.
ACC_SCALE_G = 16.0 / 32768.0
GYRO_SCALE_DPS = 2000.0 / 32768.0
MAX_RATE_HZ = 10_000.0
#: A stranger to the people 0..99 whom models are trained on.
DEFAULT_PERSON = 100
#: The stream of this seed begins with a short gesture: whoever tries the board sees an event soon.
DEFAULT_SEED = 3
#: How long each of several people holds the board when the stream has no end.
TURN_S = 12.0
#: The board changes hands: the posture of one person fades into the next one's.
_HAND_OVER_S = 0.5
_SEED_DOMAIN = 0x51A7


def signal_groups() -> tuple[ChannelGroup, ...]:
    """Return the channels of the simulated IMU."""
    acc = ChannelGroup(("acc_x", "acc_y", "acc_z"), "g", "i16", ACC_SCALE_G, 0.0)
    gyro = ChannelGroup(("gyro_x", "gyro_y", "gyro_z"), "dps", "i16", GYRO_SCALE_DPS, 0.0)
    return acc, gyro


class SignalOrigin:
    """Frames of a 6-axis IMU: acc_x..z in g, gyro_x..z in dps.

    Parameters
    ----------
    seed : int
        What is done when, and the noise; >= 0.
    person : int
        Who does it; >= 0.
    rate_hz : float
        Frames a second, up to 10,000.
    people : sequence of int, optional
        Several people, one after another, instead of `person`. Each holds the board for an equal
        share of `seconds`, or for `TURN_S` in turn when there is no end.
    seconds : float, optional
        Length of the stream; endless by default.
    lead_s : float
        The first gesture begins this long after the start.
    plan : str
        ``"all"``: gestures and near-gestures in random order, with pauses, fidgeting and walking;
        ``"null"``: the same without gestures; or the name of one gesture, repeated with pauses.

    Raises
    ------
    ConfigError
        A value that makes no sense.
    """

    keeps_time = False

    def __init__(
        self,
        seed: int = 1,
        person: int = DEFAULT_PERSON,
        rate_hz: float = 100.0,
        *,
        people: Sequence[int] | None = None,
        seconds: float | None = None,
        lead_s: float = 0.15,
        plan: str = "all",
    ) -> None:
        numbers = tuple(people) if people else (person,)
        _check(seed, numbers, rate_hz, seconds, lead_s)
        check_plan(plan)
        self.seed = seed
        self.people = numbers
        self.seconds = seconds
        self.lead_s = lead_s
        self.plan = plan
        self._set(rate_hz)

    def _set(self, rate_hz: float) -> None:
        whole = rate_hz == int(rate_hz)
        self.hello = Hello(
            name="simulated IMU",
            firmware="sim-1",
            boot_id=f"sim-{self.seed}-{'.'.join(str(number) for number in self.people)}",
            rate_hz=float(int(rate_hz)) if whole else rate_hz,
            groups=signal_groups(),
        )
        self._chunks = self._generate(rate_hz)
        self._rows: U8 = np.empty((0, self.hello.frame_bytes), np.uint8)
        self._marks: list[tuple[int, Marker]] = []
        self._seq = 0
        self._is_over = False

    def set_rate(self, rate_hz: float) -> bool:
        """Start anew with another rate."""
        if not 0.0 < rate_hz <= MAX_RATE_HZ:
            return False
        self._set(rate_hz)
        return True

    def next(self, n_max: int) -> Block:
        """Return the next `n_max` frames; fewer, or none, when `seconds` are over."""
        while len(self._rows) < n_max and not self._is_over:
            rows, marks = next(self._chunks, (None, []))
            if rows is None:
                self._is_over = True
            else:
                self._rows = np.concatenate([self._rows, rows])
                self._marks += marks
        rows, self._rows = self._rows[:n_max], self._rows[n_max:]
        seq = np.arange(self._seq, self._seq + len(rows), dtype=np.int64)
        self._seq += len(rows)
        # The boundary behind the very last frame has no frame that it could wait for.
        limit = self._seq + (self._is_over and not len(self._rows))
        markers = [marker for index, marker in self._marks if index < limit]
        self._marks = self._marks[len(markers) :]
        return Block(rows, seq, frame_time_us(0, seq, self.hello.rate_hz), markers)

    def _generate(self, rate_hz: float) -> Iterator[tuple[U8, list[tuple[int, Marker]]]]:
        """Yield the bytes of some seconds at a time, and the boundaries in them by frame index."""
        start = 0
        for x, activities in self._perform(rate_hz):
            marks: list[tuple[int, Marker]] = []
            for activity in activities:
                if activity.label:
                    bounds = (activity.start_s, activity.start_s + activity.duration_s)
                    for phase, at_s in zip(("start", "end"), bounds, strict=True):
                        index = start + math.ceil(at_s * rate_hz - 1e-9)
                        t_us = frame_time_us(0, index, self.hello.rate_hz)
                        marks.append((index, Marker(activity.label, phase, t_us)))
            yield to_rows(quantise(x, self.hello)), marks
            start += len(x)

    def _perform(self, rate_hz: float) -> Iterator[tuple[F64, list[Activity]]]:
        plan_rng, noise_rng = (
            np.random.Generator(np.random.PCG64(sequence))
            for sequence in np.random.SeedSequence([_SEED_DOMAIN, self.seed, *self.people]).spawn(2)
        )
        share_s = TURN_S if self.seconds is None else self.seconds / len(self.people)
        start, last = 0, None
        for turn in itertools.count() if self.seconds is None else range(len(self.people)):
            person = make_person(self.people[turn % len(self.people)])
            endless = self.seconds is None and len(self.people) == 1
            end = None if endless else round((turn + 1) * share_s * rate_hz)
            planner = Planner(person, plan_rng, self.plan, 1.0 if turn else self.lead_s)
            while end is None or start < end:
                passage = planner.passage(None if end is None else (end - start) / rate_hz)
                n = math.ceil(passage.duration_s * rate_hz - 1e-9)
                x = render(person, passage, start, n, rate_hz=rate_hz, rng=noise_rng)
                if last is not None:
                    _fade(x, last, rate_hz)
                yield x, passage.activities
                start += n
                last = None
            last = x[-1].copy()


def _fade(x: F64, last: F64, rate_hz: float) -> None:
    """Let the first frames of `x` come from the reading `last`, in place."""
    n = min(len(x), max(1, int(_HAND_OVER_S * rate_hz)))
    weight = ((np.arange(n) + 1.0) / (n + 1.0))[:, None]
    x[:n] = weight * x[:n] + (1.0 - weight) * last


def _check(
    seed: int, people: tuple[int, ...], rate_hz: float, seconds: float | None, lead_s: float
) -> None:
    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, got {seed}")
    for person in people:
        if person < 0:
            raise ConfigError(f"person must be 0 or more, got {person}")
    if not 0.0 < rate_hz <= MAX_RATE_HZ:
        raise ConfigError(f"rate must lie in 0..{MAX_RATE_HZ:g} Hz, got {rate_hz:g}")
    if seconds is not None and not 0.0 < seconds < math.inf:
        raise ConfigError(f"seconds must be more than 0, got {seconds:g}")
    if not 0.0 <= lead_s < math.inf:
        raise ConfigError(f"lead must be 0 s or more, got {lead_s:g}")


def simulate(
    person: int,
    seed: int,
    seconds: float,
    rate_hz: float = 100.0,
    *,
    lead_s: float = 0.15,
    plan: str = "all",
) -> tuple[Frames, list[Label]]:
    """Return a whole stream at once, as a decoder would give it, without a wire.

    Returns
    -------
    Frames
        float32 (round(seconds * rate_hz), 6), g and dps; `t_us` from 0.
    list of Label
        The gestures in it.
    """
    origin = SignalOrigin(seed, person, rate_hz, seconds=seconds, lead_s=lead_s, plan=plan)
    raw: list[U8] = []
    labels: list[Label] = []
    onset_us = 0
    while len(block := origin.next(1 << 20)):
        raw.append(block.rows)
        for marker in block.markers:
            if marker.phase == "start":
                onset_us = marker.t_us
            else:
                labels.append(Label(marker.label, onset_us, marker.t_us, source="board"))
    values = np.concatenate(raw).view("<i2").astype(np.float32)
    scale = np.repeat(np.array([ACC_SCALE_G, GYRO_SCALE_DPS], np.float32), 3)
    seq = np.arange(len(values), dtype=np.int64)
    frames = Frames(values * scale, seq, frame_time_us(0, seq, origin.hello.rate_hz))
    return frames, labels


__all__ = ["DEFAULT_PERSON", "GESTURES", "Person", "SignalOrigin", "signal_groups", "simulate"]
