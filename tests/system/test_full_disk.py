"""A disk that is full, or refuses, at every command that writes: one line, nothing lost."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from system_make import Command

SIM = "sim:?seconds=20&speed=0&seed=3"


@contextmanager
def at_most(n_bytes: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes: what a full disk looks like to a program."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def writers(model: Path, session: Path, csv: Path, out: Path) -> dict[str, list[object]]:
    """Every command that writes a file, to `out`."""
    run = ["run", "--source", SIM]
    return {
        "record": ["record", SIM, "-o", out],
        "record --raw": ["record", SIM, "-o", out, "--raw"],
        "run --record": [*run, "--record", out],
        "run --explain": [*run, "--explain", out],
        "run --latency-picture": [*run, "--latency-picture", out],
        "import": ["import", csv, "-o", out],
        "train": ["train", session, "-o", out, "--epochs", "2", "--hidden", "8"],
        "evaluate --events": ["evaluate", model, session, "--events", out],
        "evaluate --html": ["evaluate", model, session, "--html", out],
        "evaluate --explain": ["evaluate", model, session, "--explain", out],
        "calibrate": ["calibrate", model, session.with_name("carl.mcap"), "-o", out],
    }


NAMES = list(writers(Path("m"), Path("s"), Path("c"), Path("o")))
SUFFIX = {
    "run --latency-picture": ".svg", "train": ".safetensors", "calibrate": ".safetensors",
    "run --explain": ".jsonl", "evaluate --events": ".jsonl", "evaluate --explain": ".jsonl",
    "evaluate --html": ".html",
}  # fmt: skip


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    rows = "".join(f"{n / 100:.2f},{n % 7},{n % 5}.5\n" for n in range(3000))
    path.write_text("t,acc_x,acc_y\n" + rows)
    return path


@pytest.fixture
def inputs(trained: tuple[Path, Path]) -> tuple[Path, Path]:
    """The model, and a session beside which another one lies that it was not trained on."""
    from system_make import write_session

    model, session = trained
    if not session.with_name("carl.mcap").exists():
        write_session(session.with_name("carl.mcap"), subject="carl", n_frames=900)
    return model, session


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_bytes", [0, 100])
def test_a_full_disk_is_one_line(
    name: str,
    n_bytes: int,
    streamrnn: Command,
    inputs: tuple[Path, Path],
    csv: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / f"out{SUFFIX.get(name, '.mcap')}"
    with at_most(n_bytes):
        code, _, err = streamrnn(*writers(*inputs, csv, out)[name])
    last = err.strip().splitlines()[-1]
    assert code == 1, err
    assert last.startswith("streamrnn: ")
    assert "File too large" in last
    assert out.stem in last
    assert "Traceback" not in err
    left = [p.name for p in tmp_path.iterdir() if "part" in p.name or "tmp" in p.name]
    assert not left


# A recording may be told a folder, and finds a name in it.
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("record")])
def test_a_folder_in_the_way_is_one_line(
    name: str, streamrnn: Command, inputs: tuple[Path, Path], csv: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"out{SUFFIX.get(name, '.mcap')}"
    out.mkdir()
    (out / "kept").touch()
    code, _, err = streamrnn(*writers(*inputs, csv, out)[name])
    assert code in (1, 2), err
    assert "Traceback" not in err
    assert out.name in err.strip().splitlines()[-1]
    assert (out / "kept").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--source", SIM],
        ["evaluate", "MODEL", "SESSION", "--json"],
        ["inspect", "SESSION", "--json"],
        ["info", "SESSION"],
    ],
)
def test_output_that_goes_nowhere_is_one_line(
    arguments: list[str], inputs: tuple[Path, Path]
) -> None:
    names = {"MODEL": str(inputs[0]), "SESSION": str(inputs[1])}
    words = [names.get(word, word) for word in arguments]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "streamrnn", *words],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1] == "streamrnn: No space left on device"
