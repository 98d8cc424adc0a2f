"""``run --latency``: every stage from the board to the sink, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from system_make import Command


def test_every_stage_is_shown_and_no_event_changes(streamrnn: Command, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "latency.svg"
    address = "sim:?seconds=2.5&packet=5&seed=4"
    code, timed, err = streamrnn("run", "--source", address, "--latency-picture", picture)
    assert code == 0, err
    stages = ["device", "link", "decode", "filter", "features", "cell", "decision", "sink"]
    rows = [line.split("  ")[0].strip() for line in err.splitlines()]
    assert [row for row in rows if row in stages] == stages
    assert any(row.startswith("arrival to result") for row in rows)
    assert all(stage in picture.read_text() for stage in stages)
    *events, stats = map(json.loads, timed.splitlines())
    assert stats["stages_us"]["device"]["p50_us"] == pytest.approx(40_000, rel=0.13)
    assert events
    code, plain, err = streamrnn("run", "--source", address + "&speed=0", "--no-stats")
    assert code == 0
    for key in ("gesture", "seq", "score"):  # the board's clock began to run at another moment
        assert [json.loads(line)[key] for line in plain.splitlines()] == [e[key] for e in events]
    assert "cell" not in err


def test_a_file_has_no_journey(
    streamrnn: Command, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    model, session = trained
    code, out, err = streamrnn("run", model, "--source", f"file:{session}", "--latency")
    assert code == 0, err
    stages = json.loads(out.splitlines()[-1])["stages_us"]
    assert "decision" in stages
    assert not stages.keys() & {"device", "link", "decode"}
