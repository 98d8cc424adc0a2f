"""``streamrnn train`` as a user meets it."""

from __future__ import annotations

import json
import os
import shlex
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
from streamrnn.training.recipe import RecipeProgress

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
    assert "3 sessions of 3 people, 320 frames to train on, 2 gestures (down, up)" in lines[0]
    assert "held out: kim" in lines[0]
    assert lines[1].startswith("features: p, q: ")
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert [line.split()[1] for line in epochs[:2]] == ["1/2", "2/2"]
    assert "held-out event F1" in epochs[0]
    assert any(line.startswith("5 gestures of 1 person: ") for line in lines)
    assert lines[-1].endswith(f"-> {model}")
    bundle = Bundle.load(model)
    assert bundle.params.hidden_sizes == (6,)
    assert bundle.training["held_out"] == ["kim"]


def test_no_option_is_needed_and_what_is_known_is_said(capsys, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(
        "[training]\nhidden = [6]\nepochs = 12\nmin_updates = 0\nlearning_rate = 0.03\n"
    )
    code, out, err = run_main(capsys, "train", str(folder), "--config", "c.toml")
    assert (code, out) == (0, ""), err
    bundle = Bundle.load(tmp_path / "model.safetensors")
    facts = bundle.training["cross_validation"]
    assert (facts["by"], facts["n_gestures"], facts["n_people"]) == ("subject", 15, 3)
    lines = err.splitlines()
    assert facts["summary"] in lines
    assert any(line.startswith("asked: each person's recordings by a model") for line in lines)
    shown = [line.split()[1] for line in lines if line.startswith("cross-validation ")]
    assert sorted(set(shown)) == ["1/3", "2/3", "3/3"]
    assert lines[-1].endswith("-> model.safetensors")
    assert sorted(entry["name"] for entry in bundle.training["sessions"]) == [
        "kim.mcap", "lou.mcap", "max.mcap",
    ]  # fmt: skip


def test_ctrl_c_among_the_folds_resumes_to_the_same_bytes(capsys, folder, tmp_path, monkeypatch):
    whole, model = tmp_path / "whole.safetensors", tmp_path / "m.safetensors"
    options = ("--backend", "numpy", "--hidden", "6", "--epochs", "4", "--folds", "2")
    assert run_main(capsys, "train", str(folder), "-o", str(whole), *options)[0] == 0

    def interrupt(told: RecipeProgress) -> str:
        if told.part == 2:
            os.kill(os.getpid(), 2)
        return _line(told)

    with monkeypatch.context() as patch:
        patch.setattr("streamrnn.cli.train._line", interrupt)
        code, _, err = run_main(capsys, "train", str(folder), "-o", str(model), *options)
    assert code == 130
    assert err.splitlines()[-1].startswith(
        "cross-validation 2 of 2: stopped in epoch 2 of 2; 1 are saved in "
    )
    again = ("train", str(folder), "-o", str(model), "--resume", str(tmp_path / "m.training"))
    code, _, err = run_main(capsys, *again)
    assert code == 0, err
    assert "cross-validation 1/2" not in err
    assert model.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("model", ["lstm", "mlp-window"])
def test_features_and_models_can_be_named(capsys, folder, tmp_path, model):
    path = tmp_path / "m.safetensors"
    arguments = ("train", str(folder), "-o", str(path), *OPTIONS, "--model", model)
    code, _, err = run_main(capsys, *arguments, "--features", "plain")
    assert code == 0, err
    assert Bundle.load(path).features.n_outputs == 2
    file = tmp_path / "f.toml"
    file.write_text("[features]\ndifferences = true\n")
    code, _, err = run_main(capsys, *arguments, "--features", str(file))
    assert code == 0, err
    bundle = Bundle.load(path)
    assert bundle.features.n_outputs == 4
    assert bundle.training["config"]["training"]["model"] == model
    file.write_text("[decision]\n")
    code, _, err = run_main(capsys, *arguments, "--features", str(file))
    assert code == 2
    assert "has no table [features]" in err


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

    def interrupt(news: RecipeProgress) -> str:
        os.kill(os.getpid(), 2)
        return _line(news)

    with monkeypatch.context() as patch:
        patch.setattr("streamrnn.cli.train._line", interrupt)
        code, _, err = run_main(capsys, "train", str(folder), "-o", str(model), *OPTIONS)
    assert code == 130
    assert not model.exists()
    directory = tmp_path / "m.training"
    again = ("train", str(folder), "-o", str(model), "--resume", str(directory))
    assert err.splitlines()[-1] == (
        f"stopped in epoch 2 of 2; 1 are saved in {directory}: "
        f"go on with: {shlex.join(['streamrnn', *again])}"
    )
    code, _, err = run_main(capsys, *again, "--epochs", "7")
    assert code == 2
    assert "keeps its options: leave out --epochs" in err
    code, _, err = run_main(capsys, *again)
    assert code == 0, err
    assert model.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(("first", "then"), [("numpy", "cpu"), ("cpu", "numpy")])
def test_a_run_goes_on_with_another_backend(capsys, folder, tmp_path, monkeypatch, first, then):
    whole, model = tmp_path / "whole.safetensors", tmp_path / "m.safetensors"
    options = ("--hidden", "6", "--epochs", "3", "--held-out", "kim")
    assert run_main(capsys, "train", str(folder), "-o", str(whole), *options)[0] == 0

    def interrupt(news: RecipeProgress) -> str:
        os.kill(os.getpid(), 2)
        return _line(news)

    with monkeypatch.context() as patch:
        patch.setattr("streamrnn.cli.train._line", interrupt)
        run_main(capsys, "train", str(folder), "-o", str(model), "--backend", first, *options)
    again = ("train", str(folder), "-o", str(model), "--resume", str(tmp_path / "m.training"))
    code, _, err = run_main(capsys, *again, "--backend", then)
    assert code == 0, err
    got, expected = Bundle.load(model), Bundle.load(whole)
    assert got.training["config"]["training"]["backend"] == then
    for a, b in zip(got.params.arrays(), expected.params.arrays(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_threads_change_no_byte_of_a_model(capsys, folder, tmp_path):
    models = []
    file = tmp_path / "c.toml"
    file.write_text("[training]\nthreads = 3\n")
    for n, options in enumerate(((), ("--threads", "2"), ("--config", str(file)))):
        model = tmp_path / f"{n}.safetensors"
        code, _, err = run_main(
            capsys, "train", str(folder), "-o", str(model), "--epochs", "2", *options
        )
        assert code == 0, err
        models.append(model.read_bytes())
    assert models[0] == models[1] == models[2]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--held-out", "joe"), 2, "no subject 'joe' to hold out; there are kim, lou, max"),
        (("--epochs", "0"), 2, "epochs must be within 1..100000, got 0"),
        (("--threads", "0"), 2, "threads must be within 1..1024, got 0"),
        (("--labels", "frames"), 2, "'frames' is not one of 'auto', 'frame', 'rows', 'trial'"),
        (("--backend", "cpus"), 2, "known: numpy, cpu, cuda, auto"),
        (("--config", "nothing.toml"), 2, "nothing.toml: No such file"),
        (("--resume", "nowhere"), 1, "no checkpoint in nowhere"),
        (("--folds", "-1"), 2, "folds must be within 0..100, got -1"),
        (("--folds", "1"), 2, "folds must be 0 (do not cross-validate) or 2 and more, got 1"),
        (("--model", "mlp"), 2, "'mlp' is not one of 'lstm', 'mlp-window'"),
        (("--features", "nothing.toml"), 2, "cannot read nothing.toml"),
    ],
)
def test_mistakes_are_one_line(capsys, folder, tmp_path, arguments, code, message):
    model = tmp_path / "m.safetensors"
    got, _, err = run_main(capsys, "train", str(folder), "-o", str(model), *arguments)
    assert got == code, err
    assert message in err.splitlines()[-1]
    assert not model.exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ann.CSV", "is no session yet: turn it into one with streamrnn import"),
        ("ann.npz", "is no session yet: turn it into one with streamrnn import"),
        ("m.safetensors", "is a model: give sessions (*.mcap) here"),
    ],
)
@pytest.mark.parametrize("command", ["train", "inspect"])
def test_what_is_no_session_is_told_what_to_do(capsys, tmp_path, command, name, words):
    file = tmp_path / name
    code, _, err = run_main(capsys, command, str(file))
    assert (code, err) == (1, f"streamrnn: no such file: {file}\n")
    file.write_text("x,y\n1,2\n")
    code, _, err = run_main(capsys, command, str(file))
    assert (code, err) == (1, f"streamrnn: {file} {words}\n")


def test_a_model_in_no_folder_is_refused_before_training(capsys, folder, tmp_path):
    model = tmp_path / "no" / "m.safetensors"
    code, _, err = run_main(capsys, "train", str(folder), "-o", str(model))
    assert code == 2
    assert "no folder" in err


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    ("sessions", "output", "message"),
    [
        (("kim.mcap", "lou.mcap"), "kim.mcap", "kim.mcap is one of the inputs: name another file"),
        (("lou.mcap", "max.mcap"), "kim.mcap", "kim.mcap: .mcap is a recording's name"),
        ((".",), "new.csv", "new.csv: .csv is a recording's name"),
        ((".",), "new.NPZ", "new.NPZ: .NPZ is a recording's name"),
        ((".",), "./sub/../kim.mcap", "is one of the inputs"),
        ((".",), "link", "link is one of the inputs"),
        ((".",), "notes.txt", "notes.txt exists and is not a streamrnn model"),
        ((".",), ".", ". exists and is not a streamrnn model"),
        ((".",), "sub", "sub exists and is not a streamrnn model"),
        ((".", "--config", "c.toml"), "c.toml", "c.toml is one of the inputs"),
        ((".",), "m.training", "m.training is where the checkpoints go"),
        (("absent.mcap",), "notes.txt", "notes.txt exists and is not"),
    ],
)
def test_no_recording_or_other_file_is_ever_replaced(
    capsys, folder, monkeypatch, sessions, output, message
):
    monkeypatch.chdir(folder)
    (folder / "sub").mkdir()
    (folder / "link").symlink_to("kim.mcap")
    (folder / "notes.txt").write_text("dear diary")
    (folder / "c.toml").write_text("[training]\nepochs = 1\n")
    before = contents(folder)
    code, out, err = run_main(capsys, "train", *sessions, "-o", output)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err
    assert contents(folder) == before


def test_an_older_model_is_replaced_and_that_is_said(capsys, folder, tmp_path):
    model = tmp_path / "m.safetensors"
    arguments = ("train", str(folder), "-o", str(model), *OPTIONS)
    _, _, err = run_main(capsys, *arguments)
    assert "replaced" not in err
    before = model.read_bytes()
    code, _, err = run_main(capsys, *arguments, "--seed", "3")
    assert code == 0
    assert [line for line in err.splitlines() if "replaced" in line] == [
        f"{model} is a model already: it will be replaced"
    ]
    assert model.read_bytes() != before


def test_an_unknown_backend_is_refused_before_anything_is_read(capsys, tmp_path):
    arguments = ("train", "absent.mcap", "-o", str(tmp_path / "m.safetensors"))
    code, _, err = run_main(capsys, *arguments, "--backend", "nunpy")
    assert code == 2
    assert "no backend 'nunpy' (did you mean 'numpy'?)" in err


def nameless(folder: Path) -> None:
    for n, name in enumerate(("one", "two", "three")):
        write_session(folder / f"{name}.mcap", swells(n, ""))


def test_messages_name_the_files_where_nobody_said_who(capsys, tmp_path):
    nameless(tmp_path)
    model = tmp_path / "m.safetensors"
    arguments = ("train", str(tmp_path), "-o", str(model), *OPTIONS[:6])
    code, _, err = run_main(capsys, *arguments, "--held-out-fraction", "0.2")
    assert code == 0, err
    (watched,) = Bundle.load(model).training["held_out"]
    assert watched in ("one.mcap", "two.mcap", "three.mcap")
    assert err.splitlines()[0].endswith(f"; held out: {watched}")
    code, _, err = run_main(capsys, *arguments, "--held-out", "two.mcap")
    assert code == 0, err
    assert Bundle.load(model).training["held_out"] == ["two.mcap"]
    code, _, err = run_main(capsys, *arguments, "--held-out", "twoo.mcap")
    assert code == 2
    assert err.splitlines()[-1] == (
        "streamrnn: no subject 'twoo.mcap' to hold out (did you mean 'two.mcap'?); "
        "there are one.mcap, three.mcap, two.mcap"
    )


def test_files_of_the_same_name_are_told_apart_and_a_misfit_is_named(capsys, tmp_path):
    one, other = tmp_path / "a" / "rec.mcap", tmp_path / "b" / "rec.mcap"
    for path, session in ((one, swells(0, "")), (other, swells(1, ""))):
        path.parent.mkdir()
        if path == other:
            session.info = StreamInfo((Channel("p"), Channel("z")), 50.0)
        write_session(path, session)
    model = tmp_path / "m.safetensors"
    code, _, err = run_main(capsys, "train", str(one), str(other), "-o", str(model))
    assert code == 1
    assert f"{other} has channels p, z, {one} has p, q" in err


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_recordings_that_are_given_twice_are_named(capsys, folder, tmp_path, command):
    file, copy = sorted(folder.iterdir())[0], tmp_path / "copy.mcap"
    copy.write_bytes(file.read_bytes())
    options = {
        "train": ("-o", str(tmp_path / "m.safetensors"), "--epochs", "1", "--folds", "0"),
        "evaluate": ("--leave-one-out", "subject"),
    }[command]
    code, _, err = run_main(capsys, command, str(file), str(copy), *options)
    assert f"copy.mcap holds the same frames as {file.name} and counts twice" in err
    assert code == (0 if command == "train" else 2)


def test_damage_is_said_with_the_files_name(capsys, folder, tmp_path):
    cut = folder / "kim.mcap"
    cut.write_bytes(cut.read_bytes()[:-40])
    model = tmp_path / "m.safetensors"
    _, _, err = run_main(capsys, "train", str(folder), "-o", str(model), *OPTIONS)
    assert err.startswith("kim.mcap: ")


def test_channels_that_are_left_out_are_named(capsys, tmp_path):
    names = ("acc_x", "acc_y", "acc_z", "fused_x", "fused_y")
    for n, subject in enumerate(("kim", "lou")):
        session = swells(n, subject)
        x = np.tile(session.frames.x, (1, 3))[:, :5].copy()
        session.frames = Frames(x, session.frames.seq, session.frames.t_us)
        session.info = StreamInfo(tuple(map(Channel, names)), 50.0)
        write_session(tmp_path / f"{subject}.mcap", session)
    model = tmp_path / "m.safetensors"
    arguments = ("train", str(tmp_path), "-o", str(model), *OPTIONS)
    code, _, err = run_main(capsys, *arguments)
    assert code == 0, err
    assert err.splitlines()[1].startswith("features: fused_x/y: not used")
    config = tmp_path / "c.toml"
    config.write_text("[features]\nchannels = ['acc_x', 'fused_x']\n")
    code, _, err = run_main(capsys, *arguments, "--config", str(config))
    assert code == 0, err
    assert "not used" not in err


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
