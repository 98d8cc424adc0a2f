"""The report's document has the keys that docs/formats.md names, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamrnn.core.types import Label
from streamrnn.evaluation.leave_out import leave_one_out, turns
from streamrnn.evaluation.report import Report
from streamrnn.kernels.backend import get_backend
from streamrnn.sessions.npz_import import import_uhh

from evaluation_make import follower, session_of  # isort: skip

FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"
UP = Label("up", 200_000, 600_000)
DOWN = Label("down", 1_000_000, 1_400_000)


def section() -> str:
    text = FORMATS.read_text()
    return text[text.index("## Reports") :]


def keys_of(value: object, path: str = "") -> set[str]:
    """Return all keys that a program would meet; the values under names of classes once."""
    if isinstance(value, list):
        return set().union(*(keys_of(item, path) for item in value))
    if not isinstance(value, dict):
        return set()
    if path == "classes":
        return set().union(*(keys_of(item) for item in value.values()))
    return set(value) | set().union(*(keys_of(item, key) for key, item in value.items()))


def test_every_key_is_documented_and_every_documented_key_is_there():
    sessions = [session_of([UP, DOWN], subject="anna"), session_of([UP], subject="ben")]
    names = ["a.mcap", "b.mcap"]
    report = leave_one_out(
        sessions, names, turns(sessions, names, "subject"), train=lambda *_: follower(),
        backend=get_backend("numpy"), report=Report(("down", "up")),
    )  # fmt: skip
    document = report.to_dict()
    rows = [line for line in section().splitlines() if line.startswith("| `")]
    first = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert first == document.keys()
    named = set(re.findall(r"`(\w+)`", section()))
    assert keys_of(document) - named == {"subject", "name"}


@pytest.mark.data
def test_a_short_training_is_told_of_a_stranger(data_dir):
    from streamrnn.training.config import TrainConfig
    from streamrnn.training.recipe import train

    folder = data_dir / "uhh_imu_gestures" / "dataSets"
    names = [f"{p}_{g}_fullSet.npz" for p in ("l", "na", "ni", "s") for g in range(10)]
    sessions = [import_uhh(folder / name) for name in names]
    config = TrainConfig(epochs=10, hidden=(32,), folds=0)
    turn = next(turn for turn in turns(sessions, names, "subject") if turn.name == "l")
    report = leave_one_out(
        sessions, names, [turn], train=lambda n, own, called: train(own, config, called),
        backend=get_backend("cpu"), report=Report(()),
    )  # fmt: skip
    document = report.to_dict()
    assert document["macro_f1"] >= 0.8
    assert document["total"]["n_true"] == 100
    assert document["delay_ms"] is None  # nobody knows the rate of these recordings
    assert document["false_activations"]["per_hour"] is None
    assert 15 <= document["delay_frames"]["p50"] <= 60
    assert document["frames"]["accuracy"] >= 0.7
    assert document["calibration"]["frames"]["ece"] <= 0.2
