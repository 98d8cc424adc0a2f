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
class Target:
    """What is asked of one figure.

    Attributes
    ----------
    figure : str
        A column of the table.
    least : float
        Asked for; reached when the mean over the seeds is no less.
    row : str
        A row of the table: ``all``, a group of folds or an extra recording.
    """

    figure: str
    least: float
    row: str = "all"


@dataclass(frozen=True, slots=True)
class Protocol:
    """One set's protocol.

    Attributes
    ----------
    name : str
        Of the set.
    kind : {"events", "frames", "windows", "trials"}
        ``events``: the product's events against labels, by the rules of the set's authors;
        ``frames``: the class of each frame, and events; ``windows``: the class of each window of a
        stream; ``trials``: one class a trial.
    split : function of Path
        Returns the folds that the targets are about.
    targets : tuple of Target
    window_s : float
        Length of a window, in seconds; for trials: how a recording is cut into trials, 0 = not.
    mean_of_folds : bool
        Frame figures of all folds together: their mean, not those of all frames as one.
    others : function of Path or None
        Returns folds that are reported and asked nothing of.
    """

    name: str
    kind: Kind
    split: Callable[[Path], list[Fold]]
    targets: tuple[Target, ...] = ()
    window_s: float = 0.0
    mean_of_folds: bool = False
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


def _trials(
    name: str,
    least: float | None = None,
    split: Callable[[Path], list[Fold]] | None = None,
    window_s: float = 0.0,
) -> Protocol:
    """Return the protocol of a set of trials; its split is the given one unless told."""
    targets = () if least is None else (Target("accuracy", least),)
    given = split or (lambda data: given_split(SETS[name](data)))
    return Protocol(name, "trials", given, targets, window_s)


_ALL = (
    Protocol(
        "uhh_imu_gestures", "events", _uhh,
        (Target("F1 end", 0.94), Target("F1 IoU .5", 0.90), Target("F1 15 frames", 0.75),
         Target("F1 end", 0.85, "uncut")),
    ),
    Protocol(
        "actrectut_gesture", "frames", _actrectut,
        (Target("macro F1", 0.85, "s1"), Target("macro F1", 0.85, "s2"), Target("event F1", 0.92)),
        others=_actrectut_others,
    ),
    Protocol(
        "myo_emg", "windows", _myo, (Target("accuracy", 0.66), Target("macro F1", 0.40)),
        window_s=0.25, mean_of_folds=True,
    ),
    Protocol(
        "gesture_phase", "frames", _gesture_phase, (Target("macro F1", 0.42),),
        mean_of_folds=True, others=_gesture_phase_others,
    ),
    _trials("glove_mpu6500", 0.98),
    _trials("magic_wand_digits", 0.97),
    _trials("magic_wand_spells", 0.95, _spells),
    _trials("libras", 0.89, _libras),
    _trials("JapaneseVowels", 0.965),
    _trials("edge_impulse_xiao", 0.98, window_s=2.0),
    _trials("BasicMotions"),
    _trials("GunPoint"),
    _trials("PickupGestureWiimoteZ"),
)  # fmt: skip
PROTOCOLS = {protocol.name: protocol for protocol in _ALL}
#: Short names on the command line.
ALIASES = {"uhh": "uhh_imu_gestures"}
