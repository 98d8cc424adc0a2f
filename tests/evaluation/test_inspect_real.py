"""What is known of public recordings is found in them, and nothing is made up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from inspect_make import kinds

from streamrnn.evaluation.inspect import Inspector
from streamrnn.sessions.csv_import import import_csv
from streamrnn.sessions.npz_import import GESTURES, import_uhh
from streamrnn.sessions.session import Session


@pytest.fixture
def npz_files(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "uhh_imu_gestures" / "dataSets").glob("*.npz"))


def named(paths: list[Path]) -> Iterator[tuple[str, Session]]:
    for path in paths:
        yield path.stem, import_uhh(path)


@pytest.mark.data
def test_good_recordings_of_five_people_raise_no_alarm(npz_files):
    inspector = Inspector()
    for name, session in named(npz_files):
        inspector.add(name, session)
    inspection = inspector.finish()
    assert [found.kind for found in inspection.findings] == ["claims"]
    assert (inspection.n_sessions, inspection.n_subjects, inspection.n_frames) == (50, 5, 41576)


@pytest.mark.data
def test_one_persons_files_are_pieces_of_the_log_with_frames_cut_out(data_dir, npz_files):
    (log,) = (data_dir / "uhh_imu_gestures").glob("*.csv")
    sensors = {
        f"{s}{axis.upper()}": f"{s}_{axis}" for s in ("fused", "gyro", "acc") for axis in "xyz"
    }
    markers = dict(zip("qwertzuiop", GESTURES, strict=True))
    session = import_csv(
        log, rate_hz=50.0, rename=sensors, onehot=markers, subject="j",
        drop=["nr", *"asdfghjklyx"],
    )  # fmt: skip
    inspector = Inspector()
    for name, recording in named([path for path in npz_files if path.name[:2] in ("j_", "l_")]):
        inspector.add(name, recording)
    inspector.add("log", session, is_test=True)
    found = kinds(inspector.finish())
    shared = found["shared-frames"]
    assert shared.severity == "error"
    assert {place.session for place in shared.places} == {
        "log", *(f"j_{k}_fullSet" for k in range(10))
    }  # fmt: skip
    for k in (6, 7):
        assert f"j_{k}_fullSet from 10 pieces of it, with 441 frames left out" in shared.what
    assert "layout" not in found
