"""`streamrnn import` as a user calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamrnn import cli
from streamrnn.sessions.reader import read_session

CSV = "t_ms,acc_x,nr,label\n0,1,0,left\n10,2,1,left\n20,3,2,0\n"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(CSV)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            cli.main(["import", *arguments])
        out = capsys.readouterr()
        return int(stop.value.code or 0), out.out, out.err

    return run


def test_one_line_a_file(call, tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("t_ms;x\n0;1\n10;2\n")
    code, out, err = call("a.csv", "b.csv", "--out-dir", "new/deep", "--subject", "ann")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "new/deep/a.mcap: 3 frames, 2 channels, 100 Hz (fitted), 0.0 s, labels: left 1",
        "new/deep/b.mcap: 2 frames, 1 channels, 100 Hz (fitted), 0.0 s, labels: none",
    ]
    assert read_session(tmp_path / "new/deep/a.mcap").subject == "ann"


def test_a_files_name_is_not_obeyed(call, tmp_path: Path) -> None:
    (tmp_path / "c\x1b[2J.csv").write_text(CSV)
    code, out, _ = call("c\x1b[2J.csv")
    assert code == 0
    assert out.startswith("c\\x1b[2J.mcap: 3 frames")


def test_options_reach_the_importer(call, tmp_path: Path) -> None:
    (tmp_path / "raw.csv").write_text("1,2,0\n3,4,1\n")
    code, _, err = call(
        "raw.csv", "-o", "x.mcap", "--rate", "50", "--channels", "a,b,q", "--onehot", "q=go",
        "--rename", "a=gyro_x", "--unit", "gyro=rad/s", "--unit", "b=g",
    )  # fmt: skip
    assert (code, err) == (0, "")
    session = read_session(tmp_path / "x.mcap")
    assert [(c.name, c.unit) for c in session.info.channels] == [("gyro_x", "rad/s"), ("b", "g")]
    assert [(x.name, x.start_us, x.end_us) for x in session.labels] == [("go", 20_000, 40_000)]
    code, _, _ = call("a.csv", "--drop", "nr,label", "--label", "up", "--overwrite")
    assert code == 0
    assert read_session(tmp_path / "a.mcap").labels[0].end_us == 30_000


def test_npz(call, tmp_path: Path) -> None:
    x = np.zeros((4, 3))
    np.savez(tmp_path / "j_9_fullSet.npz", acc=x, gyro=x, fused=x, targets=x)
    code, out, _ = call("j_9_fullSet.npz", "--subject", "other")
    assert code == 0
    assert "4 frames, 9 channels, 50 Hz (nominal)" in out
    assert read_session(tmp_path / "j_9_fullSet.mcap").subject == "other"
    code, _, err = call("j_9_fullSet.npz", "--rate", "5", "-o", "y.mcap")
    assert (code, err) == (
        2, "streamrnn: j_9_fullSet.npz: .npz recordings take no options but --subject (rate_hz)\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "Missing argument 'FILES...'"),
        (["a.csv", "b.csv", "-o", "x.mcap"], 2, "-o names one session, but 2 files came"),
        (["a.csv", "-o", "x.mcap", "--out-dir", "d"], 2, "both say where to write"),
        (["a.csv", "sub/a.csv", "--out-dir", "d"], 2, "would both become d/a.mcap"),
        (["a.csv", "--onehot", "q"], 2, "--onehot takes name=value, got 'q'"),
        (["a.csv", "--wat"], 2, "No such option"),
        (["a.csv", "--rate", "0"], 2, "--rate must be above 0"),
        (["absent.csv"], 1, "no such file: absent.csv"),
        (["a.csv", "-o", "no/x.mcap"], 1, "no such folder: no"),
        (["a.csv", "--label-column", "nr", "--drop", "x"], 1, "has no column 'x'"),
        (["a.csv", "--drop", "label", "--label-column", "acc"], 1, "(did you mean 'acc_x'?)"),
    ],
)
def test_mistakes(call, tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    got, out, err = call(*arguments)
    assert (got, out) == (code, "")
    assert words in err
    assert err.count("\n") == 1
    assert not list(tmp_path.rglob("*.mcap"))
    assert not list(tmp_path.rglob("*.tmp"))


def test_nothing_is_written_for_a_bad_file_and_nothing_replaced(call, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("t_ms,x\n0,1\n10,nan\n")
    code, _, err = call("bad.csv")
    assert code == 1
    assert "bad.csv line 3, column 'x': nan is not a sample" in err
    (tmp_path / "a.mcap").write_bytes(b"dear")
    code, _, err = call("a.csv")
    assert (code, (tmp_path / "a.mcap").read_bytes()) == (1, b"dear")
    assert "a.mcap exists already" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.mcap", "bad.csv"]


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (("semi.csv", "-o", "semi.csv", "--overwrite"), "semi.csv"),
        (("semi.csv", "-o", "./semi.csv"), "semi.csv"),
        (("semi.csv", "--labels", "l.csv", "-o", "l.csv", "--overwrite"), "l.csv"),
        (("semi.mcap", "a.csv", "--overwrite"), "semi.mcap"),
    ],
)
def test_a_source_is_never_replaced(call, tmp_path: Path, arguments, kept) -> None:
    (tmp_path / "semi.csv").write_text("t_ms;x\n0;1\n10;2\n")
    (tmp_path / "l.csv").write_text("start,end,label\n0,10,up\n")
    (tmp_path / "semi.mcap").write_text("t_ms;x\n0;1\n10;2\n")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err == f"streamrnn: {kept} is one of the inputs: name another file to write\n"
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_label_column_beside_labels_is_no_channel(call, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("start,end,label\n0,10,up\n")
    for cells in (("left", "", "3"), ("1", "0", "1")):
        rows = "".join(f"{10 * n},{n},{cell}\n" for n, cell in enumerate(cells))
        (tmp_path / "b.csv").write_text("t_ms,acc_x,Label\n" + rows)
        for way in (("--labels", "l.csv"), ("--label", "up")):
            code, _, err = call("b.csv", *way, "--overwrite")
            assert code == 1
            assert err == (
                "streamrnn: b.csv: labels come from elsewhere, so column 'Label' would be a "
                "channel: leave it out with --drop Label\n"
            )
        assert call("b.csv", "--labels", "l.csv", "--drop", "Label", "--overwrite")[0] == 0
