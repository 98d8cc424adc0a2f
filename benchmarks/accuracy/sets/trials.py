"""Trials: one gesture a recording, and nothing else in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.accuracy.sets.archive import need, tar_members, zip_members
from benchmarks.accuracy.sets.build import UNSTATED_RATE_HZ, numbers, triad, trial
from streamrnn.core.types import NULL_NAME, Channel
from streamrnn.sessions.session import Session

_IMU = (
    *(Channel(f"a{axis}", "g") for axis in "xyz"),
    *(Channel(f"g{axis}", "deg/s") for axis in "xyz"),
)
_SPELLS = ("AlohomoraCharm", "ArrestoMomentumCharm", "AvadaKedavra", "LocomotorCharm", "Revelio")
_SPELL_FRAMES = 119
_PLANE = (Channel("x"), Channel("y"))
_LIBRAS = (
    "curved swing", "horizontal swing", "vertical swing", "anti-clockwise arc", "clockwise arc",
    "circle", "horizontal straight-line", "vertical straight-line", "horizontal zigzag",
    "vertical zigzag", "horizontal wavy", "vertical wavy", "face-up curve", "face-down curve",
    "tremble",
)  # fmt: skip


def glove_mpu6500(data: Path) -> list[Session]:
    """Return 1106 trials of six gestures and none; part train (gesture_data) or test."""
    sessions = []
    for name, text in tar_members(data / "glove_mpu6500" / "glove_csv.tar.xz"):
        folder, label, _ = name.split("/")[-3:]
        # The loop of the firmware waits 5 ms; how long it took is not stated.
        sessions.append(
            trial(
                numbers(text, 6, skip_lines=1), _IMU, 200.0, label, rate_is="nominal",
                part="test" if folder == "test_data" else "train", source=name,
            )
        )  # fmt: skip
    return sessions


def magic_wand_digits(data: Path) -> list[Session]:
    """Return 1000 drawn digits; of each digit, 80 are part train and 20 part test."""
    sessions = []
    for name, text in zip_members(data / "magic_wand_digits" / "strokes.zip"):
        for stroke in json.loads(text)["strokes"]:
            points = np.array([(p["x"], p["y"]) for p in stroke["strokePoints"]], np.float64)
            index = int(stroke["index"])
            sessions.append(
                trial(
                    points, _PLANE, 25.0, str(stroke["label"]), rate_is="nominal",
                    part="test" if index >= 80 else "train", index=str(index), source=name,
                )
            )  # fmt: skip
    return sessions


def magic_wand_spells(data: Path) -> list[Session]:
    """Return 125 trials, 25 of each of five spells, and the fold 0 to 4 that tests each."""
    sessions = []
    for spell in _SPELLS:
        path = need(data / "magic_wand_spells" / f"{spell}.csv")
        table = numbers(path.read_bytes(), 6, skip_lines=1).reshape(-1, _SPELL_FRAMES, 6)
        for index, x in enumerate(table):
            sessions.append(
                trial(
                    x, _IMU, 119.0, spell, rate_is="stated",
                    fold=str(index * 5 // len(table)), index=str(index), source=path.name,
                )
            )  # fmt: skip
    return sessions


def libras(data: Path) -> list[Session]:
    """Return 360 paths of a hand, 15 signs; who made them is not known."""
    path = need(data / "libras" / "movement_libras.data")
    table = numbers(path.read_bytes(), 91)
    # 45 frames of a video of about 7 s.
    return [
        trial(row[:90].reshape(45, 2), _PLANE, 45 / 7, _LIBRAS[int(row[90]) - 1],
              rate_is="nominal", source=path.name)
        for row in table
    ]  # fmt: skip


def japanese_vowels(data: Path) -> list[Session]:
    """Return 640 utterances of nine speakers, 12 cepstra; the class is the speaker."""
    channels = [Channel(f"lpc_{k}") for k in range(1, 13)]
    return _uea(data, "JapaneseVowels", channels, UNSTATED_RATE_HZ, "nominal")


def basic_motions(data: Path) -> list[Session]:
    """Return 80 pieces of four activities, with a smart watch."""
    return _uea(data, "BasicMotions", (*triad("acc"), *triad("gyro")), 10.0, "stated")


def gun_point(data: Path) -> list[Session]:
    """Return 200 movements of a hand, its place from the side."""
    return _uea(data, "GunPoint", (Channel("x"),), 30.0, "stated")


def pickup_gesture_wiimote_z(data: Path) -> list[Session]:
    """Return 100 pick-up gestures of ten people; the class is the person."""
    return _uea(data, "PickupGestureWiimoteZ", (Channel("acc_z"),), UNSTATED_RATE_HZ, "nominal")


def _uea(
    data: Path, name: str, channels: Sequence[Channel], rate_hz: float, rate_is: str
) -> list[Session]:
    sessions = []
    for part in ("train", "test"):
        path = need(data / "uea_ucr" / name / f"{name}_{part.upper()}.ts")
        _, _, cases = path.read_text(encoding="utf-8").partition("@data")
        for line in cases.split():
            *dimensions, label = line.split(":")
            x = np.array([row.split(",") for row in dimensions], np.float64).T
            sessions.append(
                trial(x, channels, rate_hz, label, rate_is=rate_is, part=part, source=path.name)
            )
    return sessions


def edge_impulse_xiao(data: Path) -> list[Session]:
    """Return 96 recordings of 10 s, each of one gesture over and over; idle is the null class."""
    members = dict(zip_members(data / "edge_impulse_xiao" / "imu-acc-export.zip"))
    sessions = []
    for entry in json.loads(members["info.labels"])["files"]:
        content = json.loads(members[entry["path"]])["payload"]
        label = entry["label"]["label"]
        sessions.append(
            trial(
                np.array(content["values"], np.float64),
                [Channel(sensor["name"], sensor["units"]) for sensor in content["sensors"]],
                round(1000.0 / content["interval_ms"], 3),
                NULL_NAME if label == "idle" else label,
                rate_is="stated",
                part="test" if entry["category"] == "testing" else "train",
                source=entry["path"],
            )
        )
    return sessions
