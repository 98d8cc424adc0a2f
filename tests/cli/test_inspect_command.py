"""``streamrnn inspect`` as a user meets it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamrnn import cli
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import write_session

PERIOD_US = 20_000


def recorded(path: Path, seed: int, *, name: str = "wave", subject: str = "anna") -> Session:
    """Write a minute of noise with twenty gestures of two classes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3000, 3)).astype(np.float32)
    starts = np.arange(20) * 150 + rng.integers(20, 60, 20)
    labels = [
        Label((name, "push")[n % 2], int(a) * PERIOD_US, int(a + 30 + n) * PERIOD_US)
        for n, a in enumerate(starts)
    ]
    seq = np.arange(3000, dtype=np.int64)
    frames = Frames(x, seq, seq * PERIOD_US)
    info = StreamInfo(tuple(Channel(f"tilt_{axis}", "deg") for axis in "xyz"), 50.0)
    session = Session(info, frames, frames.t_us * 1000, labels, metadata={"subject": subject})
    write_session(path, session, overwrite=True)
    return session


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            cli.main(["inspect", *arguments])
        out = capsys.readouterr()
        return int(stop.value.code or 0), out.out, out.err

    return run


def test_a_good_folder(call, tmp_path: Path) -> None:
    recorded(tmp_path / "a.mcap", 1)
    recorded(tmp_path / "b.mcap", 2, subject="ben")
    code, out, err = call(".", "--strict")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("2 recordings, 2 people, 6000 frames, 2.0 min at 50 Hz; 3 channels")
    assert [line.split()[:2] for line in lines if line.startswith(("push", "wave"))] == [
        ["push", "20"], ["wave", "20"]
    ]  # fmt: skip
    assert [line.split()[:3] for line in lines if line.startswith(("anna", "ben"))] == [
        ["anna", "1", "20"], ["ben", "1", "20"]
    ]  # fmt: skip
    assert lines[-1] == "1 note"
    assert max(map(len, lines)) <= 80


def test_errors_are_said_with_what_to_do_and_end_a_strict_run(call, tmp_path: Path) -> None:
    session = recorded(tmp_path / "a.mcap", 1)
    recorded(tmp_path / "b.mcap", 2, subject="ben")
    write_session(tmp_path / "t.mcap", replace(session, labels=session.labels[:4]))
    for arguments, expected in (((), 0), (("--strict",), 1)):
        code, out, _ = call("a.mcap", "b.mcap", "--test", "t.mcap", *arguments)
        assert code == expected
        assert "error: a.mcap, t.mcap hold the same frames, for training and for testing" in out
        assert "    -> Keep one of them." in out
        assert "1 error, 2 notes" in out
    assert "in test" in out


def test_json_says_all_of_it(call, tmp_path: Path) -> None:
    session = recorded(tmp_path / "a.mcap", 1)
    session.frames.x[100:120, 1] = np.nan
    write_session(tmp_path / "a.mcap", session, overwrite=True)
    code, out, err = call("a.mcap", "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["n_frames"] == 3000
    found = {one["kind"]: one for one in document["findings"]}
    assert found["not-finite"]["places"] == [{"session": "a.mcap", "channel": "tilt_y", "t_s": 2.0}]


def test_names_from_files_are_not_obeyed(call, tmp_path: Path) -> None:
    recorded(tmp_path / "a\x1b[2J.mcap", 1, name="\x1b]0;owned\x07", subject="\x1b[31mx")
    code, out, _ = call(".")
    assert code == 0
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\\x1b]0;owned" in out


def test_files_of_the_same_name_are_told_apart(call, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        recorded(tmp_path / folder / "a.mcap", 1)
    _, out, _ = call("one", "two")
    assert "one/a.mcap, two/a.mcap hold the same frames" in out


def test_mistakes_are_one_line(call, tmp_path: Path) -> None:
    (tmp_path / "x.mcap").write_bytes(b"hello")
    for arguments, code, words in (
        (("absent.mcap",), 1, "no such file: absent.mcap"),
        (("x.mcap",), 1, "not an MCAP file"),
        ((), 2, "SESSIONS"),
    ):
        got, out, err = call(*arguments)
        assert (got, out) == (code, "")
        assert words in err
        assert err.count("\n") == 1
