"""What the whole-system tests share: the command line in this process, a board in another one."""

from __future__ import annotations

from pathlib import Path

import pytest
from system_make import Command, write_session

from streamrnn import cli
from streamrnn.runtime.warmup import compile_usual


@pytest.fixture(autouse=True, scope="session")
def compiled() -> None:
    """Have the kernels compiled before the first command: it would say so on stderr."""
    compile_usual()


@pytest.fixture
def streamrnn(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process; return exit code, stdout and stderr."""

    def run(*argv: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main([str(word) for word in argv])
        out = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, out.out, out.err

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model trained on two short sessions, and one of them."""
    folder = tmp_path_factory.mktemp("trained")
    sessions = [write_session(folder / f"{who}.mcap", subject=who) for who in ("anna", "ben")]
    model = folder / "model.safetensors"
    arguments = [*map(str, sessions), "-o", str(model), "--epochs", "3", "--hidden", "8"]
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", *arguments])
    assert stop.value.code == 0
    return model, sessions[0]
