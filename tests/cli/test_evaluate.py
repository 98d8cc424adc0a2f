"""``streamrnn evaluate`` as a user meets it."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamrnn import cli
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.decision.machine import DecisionConfig
from streamrnn.features.chain import FeatureChain
from streamrnn.kernels.params import LayerParams, Params
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions.digest import frames_digest
from streamrnn.sessions.reader import read_session
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import write_session
from streamrnn.training.fit import TrainingStopped


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
    said = " ".join(out.split())
    assert "1 session, 100 frames" in said
    assert "delay from onset to event: p50 400, p95 400 ms (p50 20, p95 20 frames)" in said
    assert "gaps 1" in said
    assert "confused down taken for up, 1 time" in said
    assert "missed 1 of 2 gestures" in said
    assert "false 0 in 1 s without gestures, 0.00 an hour" in said
    assert "'fewer than 0.5 an hour' needs at least 6.0 h" in said
    assert "overlaps the gesture or starts within 200 ms of it" in said
    assert "never taught down" in err


def test_a_nominal_rate_gives_frames_not_milliseconds(capsys, model, tmp_path):
    file = recorded(tmp_path / "a.mcap", [UP], rate="nominal")
    _, out, _ = run_main(capsys, "evaluate", model, file)
    said = " ".join(out.split())
    assert "p50 20, p95 20 frames (the rate is nominal)" in said
    assert "starts within 10 frames of it" in said
    assert " ms" not in out
    assert "nothing is said of hours" in said


def test_a_stricter_overlap_and_another_decision_can_be_asked_for(capsys, model, tmp_path):
    file = recorded(tmp_path / "a.mcap", [Label("up", 200_000, 1_200_000, "import")])
    for arguments, n_hit in (
        ((), 1), (("--min-iou", "0.9"), 0), (("--onset-tolerance", "20"), 1),
    ):  # fmt: skip
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
        ((model, file, "--events", nowhere), 2, "no folder"),
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
    assert set(table) <= set(narrow.splitlines())
    assert sorted(narrow.split()) == sorted(out.split())
    assert max(map(len, narrow.splitlines())) == max(map(len, table))


def test_a_session_that_does_not_fit_is_named(capsys, model, tmp_path):
    file = recorded(tmp_path / "a.mcap", [UP])
    other = tmp_path / "odd.mcap"
    frames = Frames(np.zeros((9, 1), np.float32), np.arange(9), np.arange(9) * 20_000)
    info = StreamInfo((Channel("height"),), 50.0)
    write_session(other, Session(info, frames, frames.t_us, []))
    code, _, err = run_main(capsys, "evaluate", model, file, str(other))
    assert code == 2
    assert "odd.mcap: the stream lacks level" in err


def test_a_page_is_written_beside_the_table(capsys, model, tmp_path):
    file = recorded(tmp_path / "a.mcap", [UP])
    other = recorded(tmp_path / "b.mcap", [UP, Label("down", 1_000_000, 1_400_000)])
    html = tmp_path / "report.html"
    arguments = ("evaluate", model, file, other, "--html", str(html))
    code, out, err = run_main(capsys, *arguments)
    assert code == 0, err
    assert "all (mean F1)" in out
    text = html.read_text()
    assert "Evaluation of m.safetensors" in text
    assert "Timeline of b.mcap" in text  # it has more mistakes
    assert run_main(capsys, *arguments)[0] == 2
    code, _, err = run_main(capsys, *arguments, "--overwrite", "--timeline", "a.mcap")
    assert code == 0, err
    assert "Timeline of a.mcap" in html.read_text()
    assert "Timeline of b.mcap" not in html.read_text()


def test_without_matplotlib_a_page_is_refused_before_any_work(capsys, model, tmp_path, monkeypatch):
    monkeypatch.setattr("streamrnn.evaluation.pictures.style.find_spec", lambda name: None)
    html = tmp_path / "report.html"
    code, out, err = run_main(capsys, "evaluate", model, "absent.mcap", "--html", str(html))
    assert (code, out) == (1, "")
    assert err.strip() == "streamrnn: pictures need matplotlib: pip install 'streamrnn[report]'"
    assert not html.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("m",), "Missing argument 'SESSIONS...'"),
        (("m", "a", "--min-iou", "0.5", "--onset-tolerance", "9"), "--min-iou or"),
        (("m", "a", "--seed", "1"), "--seed is for --leave-one-out"),
        (("m", "a", "--timeline", "b"), "--timeline chooses what --html draws"),
        (("m", "a", "--leave-one-out", "window"), "'subject', 'session'"),
        (("m", "a", "--events", "x.txt", "--html", "x.txt"), "cannot hold both"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    capsys, model, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    recorded(tmp_path / "a", [UP])
    model_file, *rest = arguments
    code, out, err = run_main(capsys, "evaluate", model if model_file == "m" else "", *rest)
    assert (code, out) == (2, "")
    assert message in err


def test_recordings_that_were_trained_on_are_named(capsys, model, tmp_path):
    a, b = (recorded(tmp_path / f"{name}.mcap", [UP]) for name in "ab")
    assert "was trained on" not in run_main(capsys, "evaluate", model, a, b)[2]
    seen = [{"name": "x", "sha256": frames_digest(read_session(Path(a)))}]
    replace(Bundle.load(Path(model)), training={"sessions": seen}).save(Path(model))
    for files, words in (
        ((a,), "a.mcap: the model was trained on this recording, "),
        ((a, b), "a.mcap and 1 more: the model was trained on these recordings, "),
    ):
        code, out, err = run_main(capsys, "evaluate", model, *files, "--json")
        assert code == 0
        assert json.loads(out)["n_sessions"] == len(files)
        *copies, line = err.splitlines()
        assert line.startswith(words + "so the figures flatter")
        assert len(copies) == len(files) - 1


def test_reasons_for_people_name_the_file_not_the_device(capsys, model, tmp_path):
    files = [recorded(tmp_path / f"{name}.mcap", [UP]) for name in ("anna", "ben")]
    code, _, err = run_main(capsys, "evaluate", model, *files, "--explain", "-")
    assert code == 0
    told = [line.split(":")[0] for line in err.splitlines() if "; frames " in line]
    assert set(told) == {"anna.mcap", "ben.mcap"}


def test_a_timeline_of_no_session_names_the_nearest(capsys, model, tmp_path):
    file = recorded(tmp_path / "anna.mcap", [UP])
    code, _, err = run_main(
        capsys,
        "evaluate",
        model,
        file,
        "--html",
        str(tmp_path / "p.html"),
        "--timeline",
        "ana.mcap",
    )
    assert code == 2
    assert "did you mean 'anna.mcap'?" in err


@pytest.fixture
def people(tmp_path: Path) -> list[str]:
    """Write recordings of three people, of which each does one gesture eight times."""
    files = []
    for k, name in enumerate(("anna", "ben", "carl")):
        rng = np.random.default_rng(k)
        x = rng.normal(0, 0.1, (600, 3)).astype(np.float32)
        labels = []
        for n in range(8):
            a = 40 + 70 * n
            wave = np.sin(np.arange(24) * (0.5 if n % 2 else 1.3))[:, None] * (1.0, 0.3, 0.6)
            x[a : a + 24] += wave
            labels.append(Label("slow" if n % 2 else "fast", a * 20_000, (a + 24) * 20_000, "test"))
        seq = np.arange(600, dtype=np.int64)
        frames = Frames(x, seq, seq * 20_000)
        info = StreamInfo(tuple(Channel(f"gyro_{axis}", "deg/s") for axis in "xyz"), 50.0)
        path = tmp_path / f"{name}.mcap"
        session = Session(info, frames, frames.t_us * 1000, labels, metadata={"subject": name})
        write_session(path, session)
        files.append(str(path))
    return files


def test_each_person_is_left_out_in_turn(capsys, tmp_path, people):
    config = tmp_path / "c.toml"
    config.write_text("[training]\nepochs = 2\nhidden = [8]\nfolds = 2\n")
    events, html = tmp_path / "e.jsonl", tmp_path / "p.html"
    options = ("--leave-one-out", "subject", "--config", str(config), "--seed", "3", "--json")
    code, out, err = run_main(
        capsys, "evaluate", *people, *options, "--events", str(events), "--html", str(html)
    )
    assert code == 0, err
    document = json.loads(out)
    assert [fold["left_out"] for fold in document["folds"]] == ["anna", "ben", "carl"]
    assert [fold["n_frames_trained"] for fold in document["folds"]] == [1200] * 3
    assert document["total"]["n_true"] == 24
    assert document["n_subjects"] == 3
    assert document["model"] is None
    for n, name in enumerate(("anna", "ben", "carl"), 1):
        assert f"{n}/3 without {name}: training 1 of " in err
        assert f"\n{name}: " in err
    assert len(events.read_text().splitlines()) == document["total"]["n_found"]
    assert "Learning curve of 3 trainings." in html.read_text()
    assert json.loads(run_main(capsys, "evaluate", *people, *options)[1]) == document


def test_a_table_says_who_was_left_out(capsys, tmp_path, people):
    config = tmp_path / "c.toml"
    config.write_text("[training]\nepochs = 1\nhidden = [4]\nfolds = 0\n")
    code, out, err = run_main(
        capsys, "evaluate", *people[:2], "--leave-one-out", "session", "--config", str(config)
    )
    assert code == 0, err
    assert "each left out in turn (mean F1)" in out
    rows = [line.split()[:2] for line in out.splitlines() if ".mcap" in line]
    assert rows == [["anna.mcap", "8"], ["ben.mcap", "8"]]
    assert max(map(len, out.splitlines())) <= 80


def test_ctrl_c_ends_it_with_a_word_and_no_report(capsys, tmp_path, people, monkeypatch):
    def train(sessions, config, names, *, progress, should_stop):
        os.kill(os.getpid(), signal.SIGINT)
        assert should_stop()
        raise TrainingStopped("stopped in epoch 1")

    monkeypatch.setattr("streamrnn.training.recipe.train", train)
    html = tmp_path / "p.html"
    code, out, err = run_main(
        capsys, "evaluate", *people, "--leave-one-out", "subject", "--html", str(html)
    )
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "stopped after 0 of 3 were left out: nothing was saved"
    assert not html.exists()
