"""`streamrnn info` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from streamrnn import cli
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.model.file import ModelFile, save_model
from streamrnn.model.params import init_params
from streamrnn.model.spec import NetworkSpec, WindowSpec
from streamrnn.model.window import init_window_params
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import write_session


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            cli.main(["info", *arguments])
        out = capsys.readouterr()
        return int(stop.value.code or 0), out.out, out.err

    return run


def make_session(path: Path, n: int = 100) -> None:
    seq = np.concatenate([np.arange(n // 2), np.arange(n // 2 + 5, n + 5)])
    info = StreamInfo((Channel("acc_x", "g"), Channel("b\x1b[2J")), 100.0, "board", "1.2", "77")
    x = np.ones((n, 2), np.float32)
    x[0, 0] = np.inf
    session = Session(
        info, Frames(x, seq, seq * 10_000), seq, [Label("left", 0, 250_000)],
        [{"type": "event"}], {"subject": "ann"},
    )  # fmt: skip
    write_session(path, session)


def make_model(path: Path, **change: object) -> None:
    params = init_params(NetworkSpec(6, (16, 8), 3), 0)
    document: dict[str, object] = {
        "labels": ["none", "left", "right"], "rate_hz": 100.0,
        "channels": [{"name": "acc_x", "unit": "g"}], "max_gap_ms": 100.0,
        "features": {"kind": "scale"}, "decision": {"enter": 0.5}, "training": {"epochs": 3},
    }  # fmt: skip
    save_model(path, ModelFile(params, {**document, **change}))


def test_a_session(call, tmp_path: Path) -> None:
    make_session(tmp_path / "a.mcap")
    code, out, err = call("a.mcap")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "a.mcap",
        "  session   100 frames, 1.05 s, 100 Hz nominal, 100.00 Hz by its timestamps",
        "  channels  2: acc_x [g], b\\x1b[2J",
        "  gaps      1, 5 frames missing, the longest takes 0.060 s",
        "  labels    left 1 (0.2 s)",
        "  events    1 records",
        "  samples   1 are not finite",
        "  name      board",
        "  firmware  1.2",
        "  boot_id   77",
        "  subject   ann",
    ]


def test_counted_times_say_nothing_of_the_rate(call, tmp_path: Path) -> None:
    seq = np.arange(100)
    info = StreamInfo((Channel("ch0"),), 200.0)
    for name, host_ns in (("a", 10**18 + seq * 10_000_000), ("b", np.full(100, 10**18))):
        session = Session(
            info, Frames(np.ones((100, 1), np.float32), seq, seq * 5000), host_ns,
            metadata={"clock": "counted"},
        )  # fmt: skip
        write_session(tmp_path / f"{name}.mcap", session)
    _, out, _ = call("a.mcap", "b.mcap")
    first, second = (line for line in out.splitlines() if line.startswith("  session"))
    start = "  session   100 frames, 0.50 s, 200 Hz nominal, timestamps are counted at the stated "
    assert first == start + "rate; by arrival: 100.00 Hz"
    assert second == start + "rate; by arrival: unknown"
    _, out, _ = call("a.mcap", "--json")
    document = json.loads(out)
    assert (document["fitted_rate_hz"], document["arrival_rate_hz"]) == (0.0, 100.0)


def test_a_files_name_is_not_obeyed(call, tmp_path: Path) -> None:
    name = "a\x1b]0;owned\x07\x1b[31m.mcap"
    make_session(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[:-600])
    code, out, _ = call(name)
    assert code == 0
    assert out.splitlines()[0] == "a\\x1b]0;owned\\x07\\x1b[31m.mcap"
    assert "\x1b" not in out
    code, _, err = call(name.replace("a", "b"))
    assert code == 1
    assert "\x1b" not in err


def test_a_damaged_session_says_so(call, tmp_path: Path) -> None:
    make_session(tmp_path / "a.mcap")
    data = (tmp_path / "a.mcap").read_bytes()
    (tmp_path / "a.mcap").write_bytes(data[:-600])
    code, out, _ = call(".")
    assert code == 0
    assert "  PROBLEM   the" in out or "  PROBLEM   its" in out


def test_json_of_both_kinds(call, tmp_path: Path) -> None:
    make_session(tmp_path / "a.mcap")
    make_model(tmp_path / "m.safetensors")
    code, out, _ = call("a.mcap", "m.safetensors", "--json")
    session, model = map(json.loads, out.splitlines())
    assert code == 0
    assert (session["kind"], session["file"], session["gaps"]["n_missing"]) == (
        "session", "a.mcap", 5
    )  # fmt: skip
    assert (model["kind"], model["labels"][1], model["spec"]["hidden"]) == (
        "model",
        "left",
        [16, 8],
    )


def test_a_model(call, tmp_path: Path) -> None:
    make_model(tmp_path / "m.safetensors")
    code, out, _ = call("m.safetensors")
    lines = out.splitlines()
    assert code == 0
    assert lines[1] == "  model     LSTM 6 -> 16 + 8 -> 3, float32"
    assert lines[2].startswith("  hash      sha256:")
    assert lines[3:6] == [
        "  labels    3: none, left, right",
        "  channels  1: acc_x [g]",
        "  rate      100 Hz; gaps up to 100 ms are filled",
    ]
    assert lines[6:] == ["  features  kind scale", "  decision  enter 0.5"]


def test_a_model_says_what_it_knows_in_words(call, tmp_path: Path) -> None:
    decision = {
        "enter": 0.123456789, "fire": "end", "hold": 1.0, "ood": None, "refractory_ms": 0.0,
        "require_null_between": False, "per_class": {"left": {"enter": 0.75}},
    }  # fmt: skip
    people = [{"name": f"{n}.mcap", "subject": n, "sha256": "0"} for n in ("ben", "ann", "ben")]
    training = {
        "sessions": people, "epoch": 7, "n_updates": 90, "features": ["all squashed", "50 Hz"],
        "cross_validation": {"summary": "6 gestures: 5 of 6 found"},
    }  # fmt: skip
    calibration = {
        "max_false_per_hour": 0.5, "claim": "not shown: too short", "chosen": {"n_hit": 4},
        "data": {"n_gestures": 6},
    }  # fmt: skip
    make_model(
        tmp_path / "m.safetensors", decision=decision, training=training, calibration=calibration
    )
    code, out, _ = call("m.safetensors")
    assert code == 0
    assert out.splitlines()[6:] == [
        "  features  all squashed",
        "  features  50 Hz",
        "  decision  enter 0.123457, fire end, hold 1",
        "  decision  left: enter 0.75",
        "  training  3 recordings of ann, ben",
        "  training  epoch 7, 90 updates",
        "  training  6 gestures: 5 of 6 found",
        "  budget    0.5 false activations an hour; not shown: too short",
        "  budget    it finds 4 of 6 gestures there",
    ]
    assert json.loads(call("m.safetensors", "--json")[1])["decision"] == decision


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent", None, "no such file: absent"),
        ("x.bin", b"hello", "neither a session (.mcap) nor a model"),
        ("x.mcap", b"hello", "not an MCAP file"),
        ("x.mcap", b"", "x.mcap is empty"),
        ("x.safetensors", b"hello", "not a streamrnn model"),
        ("y/z", b"", "cannot read x.bin/z: Not a directory"),
    ],
)
def test_garbage_gets_one_line(
    call, tmp_path: Path, name: str, content: bytes | None, words: str
):  # fmt: skip
    if name == "y/z":
        (tmp_path / "x.bin").touch()
        name = "x.bin/z"
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    code, out, err = call(name)
    assert (code, out) == (1, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_model_without_its_description_and_a_folder_without_sessions(call, tmp_path) -> None:
    make_model(tmp_path / "m.safetensors", channels=3)
    code, _, err = call("m.safetensors")
    assert code == 1
    assert "description in the model file is incomplete" in err
    code, _, err = call(".")
    assert code == 1
    assert "no session (*.mcap) in the folder ." in err


def test_a_window_network(call, tmp_path: Path) -> None:
    params = init_window_params(WindowSpec(6, 25, 64, 3), 0)
    document = {
        "labels": ["none", "left", "right"], "rate_hz": 100.0, "max_gap_ms": 100.0,
        "channels": [{"name": "acc_x", "unit": "g"}],
    }  # fmt: skip
    save_model(tmp_path / "w.safetensors", ModelFile(params, document))
    code, out, _ = call("w.safetensors")
    assert code == 0
    assert out.splitlines()[1] == "  model     MLP on windows 25 frames x 6 -> 64 -> 3, float32"
