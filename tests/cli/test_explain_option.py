"""``--explain``: one reason for each event, the same live, replayed and offline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from live_make import main, records_of

from streamrnn.cli.live import SAMPLE

SIM = "sim:signals?person=101&seconds=12&speed=0"


@pytest.fixture
def session(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "a.mcap"
    assert main(capsys, "record", SIM, "-o", path)[0] == 0
    return path


def test_live_and_replayed_runs_give_the_same_reasons(
    session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live, replayed, plain = tmp_path / "live.jsonl", tmp_path / "replayed.jsonl", "--no-stats"
    code, out, _ = main(capsys, "run", "--source", f"file:{session}", plain, "--explain", live)
    assert code == 0
    again = main(capsys, "replay", session, plain, "--explain", replayed)
    assert again[:2] == (0, out)
    assert live.read_bytes() == replayed.read_bytes()
    told = records_of(live.read_text())
    assert {r["type"] for r in told} == {"explain"}
    events = [r for r in records_of(out) if r["type"] == "event"]
    keys = ("gesture", "phase", "seq", "t_us", "stream", "model")
    about = [[r[k] for k in keys] for r in told if r["kind"] == "event"]
    assert about == [[r[k] for k in keys] for r in events]
    assert main(capsys, "run", "--source", f"file:{session}", plain)[1] == out


def test_for_people_it_is_a_line_on_stderr(
    session: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = main(capsys, "run", "--source", f"file:{session}", "--explain", "-")
    assert code == 0
    n_events = sum(r["type"] == "event" for r in records_of(out))
    lines = [line for line in err.splitlines() if "; frames " in line]
    assert sum(" s: no " not in line for line in lines) == n_events > 0


def test_nothing_is_lost_to_it(
    session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there.jsonl"
    there.write_text(json.dumps({}))
    before = session.read_bytes()
    for path, words in (
        (session, "is one of the inputs"),
        (tmp_path / "new.mcap", "is a recording's name"),
        (there, "exists already"),
        (tmp_path / "no" / "folder", "cannot write"),
    ):
        for command in (["run", "--source", f"file:{session}"], ["replay", session]):
            code, out, err = main(capsys, *command, "--explain", path)
            assert code in (1, 2)
            assert not out
            assert words in err
    assert session.read_bytes() == before
    assert there.read_text() == "{}"


def test_offline_reasons_are_those_of_a_live_run(
    session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live, offline = tmp_path / "live.jsonl", tmp_path / "offline.jsonl"
    code, _, _ = main(capsys, "run", "--source", f"file:{session}", "--explain", live)
    assert code == 0
    asked = ["evaluate", SAMPLE, session, "--explain"]
    assert main(capsys, *asked, offline)[0] == 0
    assert offline.read_bytes() == live.read_bytes()
    code, _, err = main(capsys, *asked, offline)
    assert code != 0
    assert "exists already" in err
    assert main(capsys, *asked, offline, "--overwrite")[0] == 0
    assert offline.read_bytes() == live.read_bytes()
    alone = ["evaluate", session, "--leave-one-out", "session", "--explain", "-"]
    assert "--explain is for a MODEL" in main(capsys, *alone)[2]
