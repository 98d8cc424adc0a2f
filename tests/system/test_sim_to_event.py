"""From the simulated board to events and back: the whole job through the public commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from system_make import Command, board, events_of, write_session

from streamrnn.sessions.reader import read_session


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three simulated people, recorded through a real pseudo-terminal."""
    from streamrnn import cli

    folder = tmp_path_factory.mktemp("people")
    paths = []
    for person in (1, 2, 3):
        path = folder / f"person-{person}.mcap"
        arguments = ("--person", str(person), "--seed", str(person), "--seconds", "40")
        with board("--signals", *arguments, "--speed", "0") as port, pytest.raises(SystemExit):
            cli.main(["record", f"serial:{port}", "-o", str(path), "--subject", f"p{person}"])
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def model(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    from streamrnn import cli

    path = tmp_path_factory.mktemp("model") / "gestures.safetensors"
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", *map(str, recordings), "-o", str(path), "--epochs", "80"])
    assert stop.value.code == 0
    return path


def test_every_frame_that_the_board_sent_is_in_the_recording(recordings: list[Path]) -> None:
    for path in recordings:
        session = read_session(path)
        assert session.problems == []
        assert np.array_equal(session.frames.seq, np.arange(len(session)))
        assert len(session) == 4000
        assert {label.source for label in session.labels} == {"board"}
        assert len({label.name for label in session.labels}) >= 4


def test_info_tells_what_was_recorded(streamrnn: Command, recordings: list[Path]) -> None:
    code, out, _ = streamrnn("info", recordings[0])
    assert code == 0
    for words in ("acc_x", "gyro_z", "100", "p1", "40"):
        assert words in out


def test_replay_run_and_evaluate_give_the_same_events(
    streamrnn: Command, recordings: list[Path], model: Path, tmp_path: Path
) -> None:
    session = recordings[2]
    written = tmp_path / "events.jsonl"
    assert streamrnn("evaluate", model, session, "--events", written)[0] == 0
    offline = [line for line in written.read_text().splitlines() if '"type":"event"' in line]
    code, from_file, err = streamrnn("run", model, "--source", f"file:{session}")
    assert code == 0
    assert "4000 frames" in err
    code, replayed, _ = streamrnn("replay", session, "--model", model, "--seed", "5")
    assert code == 0
    assert len(offline) >= 3
    assert [li for li in from_file.splitlines() if '"type":"event"' in li] == offline
    assert [li for li in replayed.splitlines() if '"type":"event"' in li] == offline
    for event in events_of(from_file):
        assert event["onset_us"] < event["end_us"] <= event["t_us"] + 10_000


def test_a_live_run_records_what_it_saw(streamrnn: Command, model: Path, tmp_path: Path) -> None:
    live = tmp_path / "live.mcap"
    arguments = ("--person", "9", "--seconds", "30", "--speed", "0")
    with board("--signals", *arguments) as port:
        code, out, _ = streamrnn(
            "run", model, "--source", f"serial:{port}", "--record", live, "--lossless"
        )
    assert code == 0
    stats = json.loads(out.splitlines()[-1])
    assert stats["type"] == "stats"
    assert (stats["n_frames"], stats["n_missing_frames"]) == (3000, 0)
    session = read_session(live)
    assert len(session) == 3000
    got = [(e["gesture"], e["onset_us"], e["end_us"]) for e in session.events]
    assert got == [(e["gesture"], e["onset_us"], e["end_us"]) for e in events_of(out)]
    assert session.labels


def test_an_unplugged_board_is_a_gap_and_the_run_goes_on(
    streamrnn: Command, model: Path, tmp_path: Path
) -> None:
    port = tmp_path / "board"
    arguments = ("--seconds", "4", "--path", str(port), "--fault", "unplug@1s:0.5s")
    with board("--signals", *arguments):
        code, out, _ = streamrnn("run", model, "--source", f"serial:{port}")
    assert code == 0
    records = [json.loads(line) for line in out.splitlines()]
    gaps = [record for record in records if record["type"] == "gap"]
    assert [gap["reason"] for gap in gaps] == ["unplug"]
    stats = records[-1]
    assert stats["source"]["n_unplugs"] == 1
    assert stats["n_frames"] + stats["n_missing_frames"] == 400


def test_columns_without_names_are_taken_in_order_and_that_is_said(
    streamrnn: Command, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    model, _ = trained
    nameless = write_session(tmp_path / "n.mcap", names=("ch0", "ch1", "ch2"))
    named = write_session(tmp_path / "a.mcap")
    code, out, err = streamrnn("run", model, "--source", f"file:{nameless}", "--no-stats")
    assert code == 0
    line = (
        "the stream names no channels: its columns are taken for acc_x, acc_y, acc_z, in this order"
    )
    assert err.splitlines()[0] == line
    code, same, err = streamrnn("run", model, "--source", f"file:{named}", "--no-stats")
    assert code == 0
    assert line not in err
    assert out == same
