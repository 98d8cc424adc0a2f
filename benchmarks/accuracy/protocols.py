"""The protocol of each set: what is left out, what is scored, what is asked.

A protocol says how recordings are split and scored. It holds nothing that training could be told:
every fold of every set is trained by the same recipe with the same options.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmarks.accuracy.folds import (
    Fold,
    blocks_of_rounds,
    given_split,
    halves,
    leave_one_out,
)
from benchmarks.accuracy.sets import SETS
from streamrnn.sessions.join import join_sessions

#: How a test recording is read and judged (docs/accuracy.md).
Kind = Literal["events", "frames", "windows", "trials"]


@dataclass(frozen=True, slots=True)
class Protocol:
    """One set's protocol.

    Attributes
    ----------
    name : str
        Of the set.
    kind : {"events", "frames", "windows", "trials"}
        ``events``: the product's events against labels; ``frames``: events and the class of each
        frame; ``windows``: the class of each window of a stream; ``trials``: one class a trial.
    split : function of Path
        Returns the folds that the targets are about.
    targets : dict of str to float
        Figure (a key of the mean row) -> least value asked for.
    window_s : float
        Length of a window, in seconds; for trials: how a recording is cut into trials, 0 = not.
    others : function of Path or None
        Returns folds that are reported and asked nothing of.
    """

    name: str
    kind: Kind
    split: Callable[[Path], list[Fold]]
    targets: dict[str, float]
    window_s: float = 0.0
    others: Callable[[Path], list[Fold]] | None = None

    def folds(self, data: Path) -> list[Fold]:
        """Return the folds that the targets are about."""
        return self.split(data)

    def other_folds(self, data: Path) -> list[Fold]:
        """Return the folds that are only reported."""
        return self.others(data) if self.others is not None else []


def _uhh(data: Path) -> list[Fold]:
    """Leave one person out; the ten files of that person are one stream."""
    folds = leave_one_out(SETS["uhh_imu_gestures"](data), "subject")
    uncut = SETS["uhh_uncut"](data)
    return [
        replace(
            fold,
            test=[join_sessions(fold.test)],
            extra={"uncut": uncut} if uncut[0].subject == fold.name else {},
        )
        for fold in folds
    ]


def _actrectut(data: Path) -> list[Fold]:
    return [fold for person in SETS["actrectut_gesture"](data) for fold in blocks_of_rounds(person)]


def _actrectut_others(data: Path) -> list[Fold]:
    return leave_one_out(SETS["actrectut_gesture"](data), "subject", "other person")


def _gesture_phase(data: Path) -> list[Fold]:
    return leave_one_out(SETS["gesture_phase"](data), "video")


def _gesture_phase_others(data: Path) -> list[Fold]:
    return leave_one_out(SETS["gesture_phase"](data), "subject", "other person")


def _myo(data: Path) -> list[Fold]:
    return leave_one_out(SETS["myo_emg"](data), "subject")


def _spells(data: Path) -> list[Fold]:
    return leave_one_out(SETS["magic_wand_spells"](data), "fold")


def _libras(data: Path) -> list[Fold]:
    return halves(SETS["libras"](data))


def _given(name: str) -> Callable[[Path], list[Fold]]:
    return lambda data: given_split(SETS[name](data))


_ALL = (
    Protocol(
        "uhh_imu_gestures", "events", _uhh,
        {"F1 end": 0.94, "F1 IoU .5": 0.90, "F1 15 frames": 0.75, "F1 uncut": 0.85},
    ),
    Protocol(
        "actrectut_gesture", "frames", _actrectut,
        {"frame F1 s1": 0.85, "frame F1 s2": 0.85, "event F1": 0.92},
        others=_actrectut_others,
    ),
    Protocol("myo_emg", "windows", _myo, {"accuracy": 0.66, "macro F1": 0.40}, window_s=0.25),
    Protocol(
        "gesture_phase", "frames", _gesture_phase, {"frame F1": 0.42},
        others=_gesture_phase_others,
    ),
    Protocol("glove_mpu6500", "trials", _given("glove_mpu6500"), {"accuracy": 0.98}),
    Protocol("magic_wand_digits", "trials", _given("magic_wand_digits"), {"accuracy": 0.97}),
    Protocol("magic_wand_spells", "trials", _spells, {"accuracy": 0.95}),
    Protocol("libras", "trials", _libras, {"accuracy": 0.89}),
    Protocol("JapaneseVowels", "trials", _given("JapaneseVowels"), {"accuracy": 0.965}),
    Protocol(
        "edge_impulse_xiao", "trials", _given("edge_impulse_xiao"), {"accuracy": 0.98},
        window_s=2.0,
    ),
    Protocol("BasicMotions", "trials", _given("BasicMotions"), {}),
    Protocol("GunPoint", "trials", _given("GunPoint"), {}),
    Protocol("PickupGestureWiimoteZ", "trials", _given("PickupGestureWiimoteZ"), {}),
)  # fmt: skip
PROTOCOLS = {protocol.name: protocol for protocol in _ALL}
#: Short names on the command line.
ALIASES = {"uhh": "uhh_imu_gestures"}
