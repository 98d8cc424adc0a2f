"""Readers: a folder of recordings to the product's sessions, one function a set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.accuracy.sets import motion, trials
from streamrnn.sessions.session import Session

Reader = Callable[[Path], list[Session]]

SETS: dict[str, Reader] = {
    "uhh_imu_gestures": motion.uhh_imu_gestures,
    "uhh_uncut": motion.uhh_uncut,
    "actrectut_gesture": motion.actrectut_gesture,
    "gesture_phase": motion.gesture_phase,
    "myo_emg": motion.myo_emg,
    "glove_mpu6500": trials.glove_mpu6500,
    "magic_wand_digits": trials.magic_wand_digits,
    "magic_wand_spells": trials.magic_wand_spells,
    "libras": trials.libras,
    "JapaneseVowels": trials.japanese_vowels,
    "BasicMotions": trials.basic_motions,
    "GunPoint": trials.gun_point,
    "PickupGestureWiimoteZ": trials.pickup_gesture_wiimote_z,
    "edge_impulse_xiao": trials.edge_impulse_xiao,
}
