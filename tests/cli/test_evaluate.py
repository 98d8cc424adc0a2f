"""``streamrnn evaluate`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from streamrnn import cli
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.decision.machine import DecisionConfig
from streamrnn.features.chain import FeatureChain
from streamrnn.kernels.params import LayerParams, Params
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import write_session


def run_main(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main(list(argv))
    out = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out.out, out.err


@pytest.fixture
def model(tmp_path: Path) -> str:
    """Write a model without memory: class ``up`` while the channel is above 0."""
    w_ih = np.array([[0], [0], [5], [0]], np.float32)
    layer = LayerParams(w_ih, np.zeros((4, 1), np.float32), np.array([10, -10, 0, 10], np.float32))
    params = Params((layer,), np.array([[-9], [9]], np.float32), np.zeros(2, np.float32))
    channels = (Channel("level"),)
    chain = FeatureChain.plain(channels)
    bundle = Bundle(params, chain, ("none", "up"), 50.0, channels, DecisionConfig(min_ms=100))
    bundle.save(tmp_path / "m.safetensors")
    return str(tmp_path / "m.safetensors")


def recorded(
    path: Path, labels: list[Label], *, missing: int = 0, device: str = "bench", **metadata: str
) -> str:
    seq = np.arange(100, dtype=np.int64)
    seq[80:] += missing
    x = np.full((100, 1), -1.0, np.float32)
    x[10:30] = 1.0
    x[50:70] = 1.0
    frames = Frames(x, seq, seq * 20_000)
    info = StreamInfo((Channel("level"),), 50.0, device)
    session = Session(info, frames, frames.t_us * 1000, labels, metadata=metadata)
    write_session(path, session)
    return str(path)


UP = Label("up", 200_000, 600_000, "import")


def test_the_table_counts_and_tells_the_delay(capsys, model, tmp_path):
    file = recorded(tmp_path / "a.mcap", [UP, Label("down", 1_000_000, 1_400_000)], missing=50)
    code, out, err = run_main(capsys, "evaluate", model, file)
    assert code == 0, err
    assert "1 sessions, 100 frames" in out
    assert "delay from onset to event: p50 400, p95 400 ms" in out
    assert "gaps: 1" in out
    assert "taken for another: down for up, 1 times" in out
    assert "never taught down" in err


def test_a_nominal_rate_gives_frames_not_milliseconds(capsys, model, tmp_path):
    file = recorded(tmp_path / "a.mcap", [UP], rate="nominal")
    _, out, _ = run_main(capsys, "evaluate", model, file)
    assert "p50 20, p95 20 frames (the rate is nominal)" in out
    assert " ms" not in out


def test_a_stricter_overlap_and_another_decision_can_be_asked_for(capsys, model, tmp_path):
    file = recorded(tmp_path / "a.mcap", [Label("up", 200_000, 1_200_000, "import")])
    for arguments, n_hit in (((), 1), (("--min-iou", "0.9"), 0)):
        _, out, _ = run_main(capsys, "evaluate", model, file, "--json", *arguments)
        assert json.loads(out)["total"]["n_hit"] == n_hit
    config = tmp_path / "c.toml"
    config.write_text("[decision]\nmin_ms = 5000\n")
    _, out, _ = run_main(capsys, "evaluate", model, file, "--json", "--config", str(config))
    assert json.loads(out)["total"]["n_found"] == 0


def test_without_labels_every_event_is_false_and_that_is_said(capsys, model, tmp_path):
    file = recorded(tmp_path / "a.mcap", [])
    events = tmp_path / "e.jsonl"
    code, out, err = run_main(capsys, "evaluate", model, file, "--events", str(events), "--json")
    assert code == 0
    assert "no labels" in err
    assert json.loads(out)["total"]["n_false"] == 2
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert [line["gesture"] for line in lines] == ["up", "up"]
    assert lines[0]["stream"] == "bench"


def test_mistakes_are_one_line(capsys, model, tmp_path):
    file = recorded(tmp_path / "a.mcap", [UP])
    nowhere = str(tmp_path / "no" / "e.jsonl")
    for arguments, code, message in (
        ((model, str(tmp_path / "none.mcap")), 1, "none.mcap"),
        ((file, file), 1, "a.mcap"),
        ((model, file, "--events", nowhere), 1, "cannot write"),
        ((model, "absent.mcap", "--backend", "cpus"), 2, "no backend 'cpus' (did you mean 'cpu'?)"),
        ((model, file, "--min-iou", "2"), 2, "min-iou"),
    ):
        got, _, err = run_main(capsys, "evaluate", *arguments)
        assert got == code
        assert message in err.splitlines()[-1]


@pytest.mark.parametrize("output", ["a.mcap", "other.mcap", "m.safetensors", "c.toml", "old.jsonl"])
def test_events_never_replace_an_input_and_another_file_only_when_asked(
    capsys, model, tmp_path, output
):
    file = recorded(tmp_path / "a.mcap", [UP])
    recorded(tmp_path / "other.mcap", [UP])
    (tmp_path / "c.toml").write_text("[decision]\nmin_ms = 100\n")
    (tmp_path / "old.jsonl").write_text("{}\n")
    path = tmp_path / output
    before = path.read_bytes()
    arguments = (model, file, "--config", str(tmp_path / "c.toml"), "--events", str(path))
    code, out, err = run_main(capsys, "evaluate", *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert output in err
    assert path.read_bytes() == before
    code, _, err = run_main(capsys, "evaluate", *arguments, "--overwrite")
    assert (code, path.read_bytes() == before) == (
        (0, False) if output == "old.jsonl" else (2, True)
    )


@pytest.mark.parametrize("device", ["", "bench"])
def test_the_events_are_byte_for_byte_those_of_a_run(capsys, model, tmp_path, device):
    file = recorded(tmp_path / "a.mcap", [UP], missing=50, device=device)
    events = tmp_path / "e.jsonl"
    code, _, err = run_main(capsys, "evaluate", model, file, "--events", str(events))
    assert code == 0, err
    code, out, err = run_main(capsys, "run", model, "--source", f"file:{file}", "--no-stats")
    assert code == 0, err
    assert out == events.read_text()
    assert ('"stream"' in out) == bool(device)
    assert len(out.splitlines()) == 3


def test_the_table_shows_every_name_whole_at_any_width(capsys, model, tmp_path, monkeypatch):
    long = "hand turned out and back"
    file = recorded(tmp_path / "a.mcap", [UP, Label(long, 1_000_000, 1_400_000)])
    _, out, _ = run_main(capsys, "evaluate", model, file)
    table = [line for line in out.splitlines() if line.startswith(("gesture ", "up ", f"{long} "))]
    assert len(table) == 3
    assert len(table[0].split()) == 9
    assert max(map(len, out.splitlines())) <= 80
    monkeypatch.setenv("COLUMNS", "40")
    narrow = run_main(capsys, "evaluate", model, file)[1]
    assert [line.split() for line in narrow.splitlines()] == [
        line.split() for line in out.splitlines()
    ]


def test_a_session_that_does_not_fit_is_named(capsys, model, tmp_path):
    file = recorded(tmp_path / "a.mcap", [UP])
    other = tmp_path / "odd.mcap"
    frames = Frames(np.zeros((9, 1), np.float32), np.arange(9), np.arange(9) * 20_000)
    info = StreamInfo((Channel("height"),), 50.0)
    write_session(other, Session(info, frames, frames.t_us, []))
    code, _, err = run_main(capsys, "evaluate", model, file, str(other))
    assert code == 2
    assert "odd.mcap: the stream lacks level" in err
