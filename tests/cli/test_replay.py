from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from live_make import main, records_of

from streamrnn.cli import replay
from streamrnn.core.errors import SourceError


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording with frames missing."""
    path = tmp_path_factory.mktemp("replay") / "a.mcap"
    source = "sim:signals?person=101&seconds=30&speed=0&faults=drop:0.01"
    done = subprocess.run(
        [sys.executable, "-m", "streamrnn", "record", source, "-o", str(path)], check=False
    )
    assert done.returncode == 0
    return path


def test_replayed_events_are_those_of_the_file_byte_for_byte(
    session: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, from_file, _ = main(capsys, "run", "--source", f"file:{session}", "--no-stats")
    assert code == 0
    code, replayed, err = main(capsys, "replay", session, "--seed", "1")
    assert code == 0
    *lines, stats = replayed.splitlines()
    assert lines == from_file.splitlines()
    assert any('"type":"event"' in line for line in lines)
    assert any('"type":"gap"' in line for line in lines)
    (values,) = records_of(stats)
    assert (values["ended"], values["n_gaps"]) == ("end", values["n_gaps"])
    assert err.startswith("the stream ended: 30.0 s")


def test_lost_frames_are_an_error(
    session: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorter = tmp_path / "short.mcap"
    code, _, _ = main(capsys, "record", f"file:{session}", "-o", shorter, "--duration", "5")
    assert code == 0
    board = replay._board

    @contextmanager
    def other_board(arguments: list[str], speed: float) -> Iterator[str]:
        with board([*arguments[:-1], str(shorter)], speed) as path:
            yield path

    monkeypatch.setattr(replay, "_board", other_board)
    code, _, err = main(capsys, "replay", session, "--no-stats")
    assert code == 1
    assert "frames were lost on the way" in err


def test_a_board_that_does_not_start_is_said() -> None:
    program = "import sys; sys.exit('no such thing')"
    with (
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        pytest.raises(SourceError, match="did not start: no such thing"),
    ):
        replay._port_of(process)
