"""The command line as a whole: help is quick, mistakes get one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest

from streamrnn import cli
from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.types import Channel, Frames, StreamInfo
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import write_session


def run_main(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main(list(argv))
    out = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out.out, out.err


def test_help_lists_every_command_and_loads_no_kernel() -> None:
    code = (
        "import sys\n"
        "from streamrnn.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: code = stop.code\n"
        "heavy = {'numba', 'numpy', 'scipy', 'rich', 'serial'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in cli.COMMANDS:
        assert f"  {name} " in done.stdout


def test_each_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in cli.COMMANDS:
        code, out, _ = run_main(capsys, name, "--help")
        assert code == 0
        assert out.startswith(f"Usage: streamrnn {name}")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_main(capsys, "--version")
    assert (code, out) == (0, "streamrnn, version 0.1.0\n")


def test_a_mistyped_command_gets_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run_main(capsys, "trian")
    assert code == 2
    assert err == "streamrnn: no such command 'trian' (did you mean 'train'?)\n"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SourceError("no port\x1b[2J"), 1, "streamrnn: no port\\x1b[2J\n"),
        (ConfigError("two\nlines"), 2, "streamrnn: two lines\n"),
        (FileNotFoundError(2, "No such file or directory", "a.x"), 1,
         "streamrnn: No such file or directory: a.x\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)  # fmt: skip
def test_an_error_is_one_line_on_stderr(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    line: str,
) -> None:
    @click.command()
    def broken() -> None:
        raise error

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: broken)
    got, out, err = run_main(capsys, "run")
    assert (got, out) == (code, "")
    assert err.strip("\n") == line.strip("\n")


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def broken() -> None:
        raise SourceError("no port")

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: broken)
    with pytest.raises(SourceError):
        cli.main(["--debug", "run"])


def test_a_warning_with_a_files_name_gives_a_terminal_no_orders(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2J.mcap"
    seq = np.arange(100)
    frames = Frames(np.zeros((100, 2), np.float32), seq, seq * 10_000)
    write_session(path, Session(StreamInfo((Channel("a"), Channel("b")), 100.0), frames, seq))
    path.write_bytes(path.read_bytes()[:-600])
    done = subprocess.run(
        [sys.executable, "-m", "streamrnn", "record", f"file:{path}", "-o", tmp_path / "b.mcap"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "a\\x1b[2J.mcap: " in done.stderr
    assert "\x1b" not in done.stderr
