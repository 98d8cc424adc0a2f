"""The demo does the whole job with the public commands, and says which."""

from __future__ import annotations

from pathlib import Path

import pytest
from system_make import Command

from streamrnn.cli import demo


def test_the_demo_records_trains_runs_and_reports(
    streamrnn: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "TRAINED_ON", range(1, 4))
    monkeypatch.setattr(demo, "RECORD_S", 20)
    code, out, err = streamrnn("demo", "--out", tmp_path / "kept", "--seconds", "3")
    assert code == 0, err
    commands = [line for line in out.splitlines() if line.startswith("$ ")]
    for name in ("firmware_sim --signals", "streamrnn record", "streamrnn train", "streamrnn run"):
        assert any(name in command for command in commands)
    assert "simulated signals" in out
    for row in ("hit / missed / false", "p50 / p95", "seen / lost", "time in inference"):
        assert row in out
    assert "streamrnn demo --data DIR" in out
    assert (tmp_path / "kept" / "gestures.safetensors").is_file()


def test_a_folder_without_recordings_is_named(streamrnn: Command, tmp_path: Path) -> None:
    code, _, err = streamrnn("demo", "--data", tmp_path)
    assert code == 1
    assert "no recordings" in err
    assert "docs/data.md" in err


@pytest.mark.slow
@pytest.mark.data
def test_the_demo_on_real_people(streamrnn: Command, data_dir: Path) -> None:
    code, out, err = streamrnn("demo", "--data", data_dir)
    assert code == 0, err
    assert "recordings of real people" in out
    assert " ms" not in out.split("recordings of real people")[-1]
