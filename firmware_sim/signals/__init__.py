"""The origin `signals`: a hand with an IMU.

`people` differ, `plan` says what they do when, `gestures` how, `render` what the sensor reads of
it, and `hand` makes frames of that.
"""

from firmware_sim.signals.gestures import GESTURES
from firmware_sim.signals.hand import (
    ACC_SCALE_G,
    DEFAULT_PERSON,
    DEFAULT_SEED,
    GYRO_SCALE_DPS,
    MAX_RATE_HZ,
    TURN_S,
    SignalOrigin,
    signal_groups,
    simulate,
)
from firmware_sim.signals.people import Person

__all__ = [
    "ACC_SCALE_G",
    "DEFAULT_PERSON",
    "DEFAULT_SEED",
    "GESTURES",
    "GYRO_SCALE_DPS",
    "MAX_RATE_HZ",
    "TURN_S",
    "Person",
    "SignalOrigin",
    "signal_groups",
    "simulate",
]
