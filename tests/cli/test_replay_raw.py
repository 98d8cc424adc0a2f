"""Undecoded bytes: recorded, and sent again."""

from __future__ import annotations

from pathlib import Path

import pytest
from live_make import main

from streamrnn.sessions.reader import read_session

BROKEN = "sim:signals?person=101&seconds=20&speed=0&faults=drop:0.01,flip:1e-5,unplug@7s:1s"


def test_a_replay_of_raw_bytes_gives_the_events_of_the_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Lost and damaged packets and a pulled cable included."""
    path = tmp_path / "a.mcap"
    code, live, err = main(
        capsys, "run", "--source", BROKEN, "--record", path, "--raw", "--no-stats"
    )
    assert code == 0
    assert "unplugged once" in err
    assert "damaged packets" in err
    code, replayed, again = main(capsys, "replay", path, "--raw", "--no-stats", "--seed", "3")
    assert (code, replayed) == (0, live)
    assert '"type":"event"' in live
    assert '"reason":"unplug"' in live
    assert again.splitlines()[-1] == err.splitlines()[-1]


def test_a_dump_of_lines_is_a_stream_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    session = tmp_path / "a.mcap"
    main(capsys, "record", "sim:signals?person=101&seconds=10&speed=0", "-o", session)
    rows = read_session(session).frames.x
    dump = tmp_path / "dump.txt"
    dump.write_text("".join(",".join(f"{v:.6g}" for v in row) + "\n" for row in rows))
    code, out, err = main(capsys, "replay", dump, "--raw", "--no-stats")
    assert code == 0
    assert err.splitlines()[-1].startswith("the stream ended: 10.0 s, 1000 frames")
    assert '"gesture"' in out


def test_what_cannot_be_sent_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    session = tmp_path / "a.mcap"
    main(capsys, "record", "sim:signals?seconds=1&speed=0", "-o", session)
    (tmp_path / "empty").touch()
    for argv, said in (
        ((session, "--raw"), "holds no raw bytes: record it with --raw"),
        ((tmp_path / "empty", "--raw"), "is empty: there is nothing to send"),
        ((tmp_path / "absent", "--raw"), "no such file"),
        ((session, "--rate", "50"), "--rate is for --raw"),
    ):
        code, _, err = main(capsys, "replay", *argv)
        assert code in (1, 2)
        assert said in err
    code, _, err = main(capsys, "run", "--source", "sim:", "--raw")
    assert code == 2
    assert "give --record FILE" in err
    code, _, err = main(capsys, "record", f"file:{session}", "-o", tmp_path / "b", "--raw")
    assert code == 2
    assert "no undecoded bytes" in err
