"""Streams of worn or held motion sensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.accuracy.sets.archive import need, tar_members, zip_members
from benchmarks.accuracy.sets.build import numbers, session_of, stream, triad
from streamrnn.core.types import NULL_NAME, Channel, Frames
from streamrnn.sessions.csv_import import import_csv
from streamrnn.sessions.npz_import import GESTURES, NOMINAL_RATE_HZ, SENSORS, import_uhh
from streamrnn.sessions.session import Session

UHH_PERSONS = ("j", "l", "na", "ni", "s")
#: Marker columns of the uncut log that stand for gestures 0 to 9, and those without a meaning. The
#: keys lie in a row, q to p, but u and i changed places: the frames of file j_6 stand where i is
#: marked, those of j_7 where u is, and the other people's files 6 and 7 agree with j's.
_UNCUT_KEYS, _UNCUT_OTHERS = "qwertziuop", "asdfghjklyx"
_ACTRECTUT_CLASSES = (
    NULL_NAME, "open window", "drink", "water plant", "close window", "cut", "chop", "stir",
    "book", "forehand", "backhand", "smash",
)  # fmt: skip
_MYO_CLASSES = (
    NULL_NAME, "flexion", "extension", "radial deviation", "ulnar deviation", "pronation",
    "supination", "fist",
)  # fmt: skip
PHASES = (NULL_NAME, "Preparation", "Stroke", "Hold", "Retraction")
_VIDEOS = ("a1", "a2", "a3", "b1", "b3", "c1", "c3")
_KINECT_HZ = 30.0
#: A step of the Kinect's clock above this is a break; below, frames came late or early.
_BREAK_US = 1_000_000


def uhh_imu_gestures(data: Path) -> list[Session]:
    """Return 50 recordings, ten gestures of each of five people; `uhh_uncut` is separate."""
    folder = data / "uhh_imu_gestures" / "dataSets"
    return [
        import_uhh(need(folder / f"{person}_{gesture}_fullSet.npz"))
        for person in UHH_PERSONS
        for gesture in range(len(GESTURES))
    ]


def uhh_uncut(data: Path) -> list[Session]:
    """Return the one long log of person j with all ten gestures, nothing cut out."""
    path = need(data / "uhh_imu_gestures" / "2016-03-13-19-29-04-j_full_set.csv")
    session = import_csv(
        path,
        rate_hz=NOMINAL_RATE_HZ,
        onehot=dict(zip(_UNCUT_KEYS, GESTURES, strict=True)),
        drop=("nr", *_UNCUT_OTHERS),
        rename={f"{s}{axis.upper()}": f"{s}_{axis}" for s in SENSORS for axis in "xyz"},
        subject="j",
    )
    session.metadata |= {"rate": "nominal", "part": "uncut"}
    return [session]


def actrectut_gesture(data: Path) -> list[Session]:
    """Return the recordings of two people, 11 gestures 26 times each."""
    from scipy.io import loadmat

    channels: tuple[Channel, ...] = ()
    for place in ("hand", "lower_arm", "upper_arm"):
        rates = triad(f"gyr_{place}")[:2]
        channels += (*triad(f"acc_{place}", "mg"), *rates)
    sessions = []
    for subject in (1, 2):
        path = need(data / "actrectut_gesture" / f"subject{subject}_gesture_data.mat")
        content = loadmat(path, variable_names=("data", "labels"))
        y = content["labels"].ravel().astype(np.int64) - 1
        sessions.append(
            stream(
                content["data"], channels, 32.0, y, _ACTRECTUT_CLASSES,
                rate_is="stated", subject=f"s{subject}", source=path.name,
            )
        )  # fmt: skip
    return sessions


def myo_emg(data: Path) -> list[Session]:
    """Return 56 recordings of an armband: 5 people, 7 sessions, 8 files each."""
    path = data / "myo_emg" / "readings_right_hand.tar.xz"
    channels = tuple(Channel(f"emg_{k}") for k in range(1, 9))
    sessions = []
    for name, text in tar_members(path):
        *_, session, file = name.split("/")
        table = numbers(text, 9)
        gesture = _MYO_CLASSES[int(file.removesuffix(".txt"))]
        sessions.append(
            stream(
                table[:, :8], channels, 200.0, table[:, 8].astype(np.int64), _MYO_CLASSES,
                rate_is="stated", subject=session.partition("-")[0], session=session,
                gesture=gesture, source=name,
            )
        )  # fmt: skip
    return sessions


def gesture_phase(data: Path) -> list[Session]:
    """Return seven videos of three people; rest is the null class.

    The Kinect's clock jitters by several periods, so frames are counted as they came; six videos
    hold one jump of 40 s, which is a break.
    """
    members = dict(zip_members(data / "gesture_phase" / "gesture_phase_dataset.zip"))
    return [_video(video, members[f"{video}_raw.csv"]) for video in _VIDEOS]


def _video(video: str, content: bytes) -> Session:
    header, *rows = content.decode("utf-8-sig").splitlines()
    names = header.split(",")[:-2]
    cells = [row.split(",") for row in rows if row]
    x = np.array([row[:-2] for row in cells], np.float32)
    t_us = np.array([int(row[-2]) for row in cells], np.int64) * 1000
    y = np.array([_phase(row[-1]) for row in cells], np.int64)
    steps = np.diff(t_us)
    jumps = np.where(steps >= _BREAK_US, np.rint(steps * _KINECT_HZ / 1e6), 1.0)
    seq = np.concatenate([[0.0], np.cumsum(jumps)]).astype(np.int64)
    metadata = {"rate": "stated", "subject": video[0], "video": video, "source": f"{video}_raw.csv"}
    channels = [Channel(f"{name[:-1]}_{name[-1]}") for name in names]
    frames = Frames(x, seq, t_us)
    return session_of(frames, channels, _KINECT_HZ, metadata, y=y, names=PHASES)


def _phase(word: str) -> int:
    """Return the class of a phase's name; cases differ, and one row is in Portuguese."""
    word = {"preparação": "preparation"}.get(word.strip().lower(), word.strip().lower())
    return 0 if word == "rest" else PHASES.index(word.capitalize())
