"""``streamrnn train`` as a user meets it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import numpy as np
import pytest

from streamrnn import cli
from streamrnn.cli.train import _line
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import write_session
from streamrnn.training.fit import Progress

OPTIONS = ("--backend", "numpy", "--hidden", "6", "--epochs", "2", "--held-out", "kim")


def swells(seed: int, subject: str) -> Session:
    """Return a session in which now one channel swells up and now the other."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.1, (160, 2)).astype(np.float32)
    labels = []
    for k in range(5):
        a = 10 + 30 * k
        x[a : a + 15, k % 2] += 2 * np.sin(np.arange(15) / 15 * np.pi)
        labels.append(Label(("up", "down")[k % 2], a * 20_000, (a + 15) * 20_000, "import"))
    seq = np.arange(len(x), dtype=np.int64)
    frames = Frames(x, seq, seq * 20_000)
    info = StreamInfo((Channel("p"), Channel("q")), 50.0, "bench")
    return Session(info, frames, frames.t_us * 1000, labels, metadata={"subject": subject})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for n, subject in enumerate(("kim", "lou", "max")):
        write_session(recordings / f"{subject}.mcap", swells(n, subject))
    return recordings


def run_main(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main(list(argv))
    out = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out.out, out.err


def test_training_writes_a_model_and_says_how_it_went(capsys, folder, tmp_path):
    model = tmp_path / "m.safetensors"
    code, out, err = run_main(capsys, "train", str(folder), "-o", str(model), *OPTIONS)
    assert (code, out) == (0, "")
    lines = err.splitlines()
    assert "3 sessions, 320 frames to train on, 2 gestures (down, up)" in lines[0]
    assert "held out: kim" in lines[0]
    assert [line.split()[1] for line in lines[1:3]] == ["1/2", "2/2"]
    assert "held-out event F1" in lines[1]
    assert lines[-1].endswith(f"-> {model}")
    bundle = Bundle.load(model)
    assert bundle.params.hidden_sizes == (6,)
    assert bundle.training["held_out"] == ["kim"]


def test_options_beat_the_file_and_the_file_beats_the_defaults(capsys, folder, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text(
        "[training]\nseed = 5\nepochs = 9\nbackend = 'numpy'\n[decision]\nenter = 0.7\n"
    )
    model = tmp_path / "m.safetensors"
    arguments = ("train", str(folder), "-o", str(model), "--config", str(config))
    code, _, err = run_main(capsys, *arguments, "--epochs", "1", "--labels", "trial")
    assert code == 0, err
    bundle = Bundle.load(model)
    options = bundle.training["config"]["training"]
    assert (options["seed"], options["epochs"], options["labels"]) == (5, 1, "trial")
    assert bundle.decision.enter == 0.7


def test_ctrl_c_saves_and_resuming_gives_the_same_bytes(capsys, folder, tmp_path, monkeypatch):
    whole, model = tmp_path / "whole.safetensors", tmp_path / "m.safetensors"
    assert run_main(capsys, "train", str(folder), "-o", str(whole), *OPTIONS)[0] == 0

    def interrupt(news: Progress) -> str:
        os.kill(os.getpid(), 2)
        return _line(news)

    with monkeypatch.context() as patch:
        patch.setattr("streamrnn.cli.train._line", interrupt)
        code, _, err = run_main(capsys, "train", str(folder), "-o", str(model), *OPTIONS)
    assert code == 130
    assert not model.exists()
    directory = tmp_path / "m.training"
    assert err.splitlines()[-1] == (
        f"stopped in epoch 2 of 2; 1 are saved: go on with --resume {directory}"
    )
    again = ("train", str(folder), "-o", str(model), "--resume", str(directory))
    code, _, err = run_main(capsys, *again, "--epochs", "7")
    assert code == 2
    assert "keeps its options: leave out --epochs" in err
    code, _, err = run_main(capsys, *again)
    assert code == 0, err
    assert model.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--held-out", "joe"), 1, "no subject 'joe' to hold out; there are kim, lou, max"),
        (("--epochs", "0"), 2, "epochs must be within 1..100000, got 0"),
        (("--labels", "frames"), 2, "'frames' is not one of 'frame', 'trial'"),
        (("--backend", "cuda9"), 1, "no backend 'cuda9'"),
        (("--config", "nothing.toml"), 2, "nothing.toml: No such file"),
        (("--resume", "nowhere"), 1, "no checkpoint in nowhere"),
    ],
)
def test_mistakes_are_one_line(capsys, folder, tmp_path, arguments, code, message):
    model = tmp_path / "m.safetensors"
    got, _, err = run_main(capsys, "train", str(folder), "-o", str(model), *arguments)
    assert got == code, err
    assert message in err.splitlines()[-1]
    assert not model.exists()


def test_a_model_in_no_folder_is_refused_before_training(capsys, folder, tmp_path):
    model = tmp_path / "no" / "m.safetensors"
    code, _, err = run_main(capsys, "train", str(folder), "-o", str(model))
    assert code == 2
    assert "no folder" in err


def test_a_terminal_gets_a_bar(capsys, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    model = tmp_path / "m.safetensors"
    code, _, err = run_main(capsys, "train", str(folder), "-o", str(model), *OPTIONS)
    assert code == 0
    assert "━" in err
    assert "epoch 2/2" in click.unstyle(err)


def test_evaluate_scores_the_trained_model(capsys, folder, tmp_path):
    model = tmp_path / "m.safetensors"
    lasting = (*OPTIONS[:4], "--epochs", "12", *OPTIONS[6:])
    assert run_main(capsys, "train", str(folder), "-o", str(model), *lasting)[0] == 0
    events = tmp_path / "events.jsonl"
    arguments = ("evaluate", str(model), str(folder / "kim.mcap"), "--backend", "numpy")
    code, out, err = run_main(capsys, *arguments, "--json", "--events", str(events))
    assert code == 0, err
    report = json.loads(out)
    assert report["total"]["n_true"] == 5
    assert report["model"].startswith("sha256:")
    records = [json.loads(line) for line in events.read_text().splitlines()]
    assert len(records) == report["total"]["n_found"]
    assert all(record["model"] == report["model"] for record in records)
