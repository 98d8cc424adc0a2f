"""The same by coverage-guided fuzzing (`make test-slow`); STREAMRNN_FUZZ_S: seconds a target."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from fuzz_seeds import seeds
from fuzz_targets import TARGETS

#: Has a shell start a program: the fuzzer judges by the most memory that its process ever had, and
#: Linux counts in what the process that starts it has, which here may be a long run of tests.
_APART = ("sh", "-c", '"$@"; exit $?', "sh")
#: Nothing that is read may take longer, seconds, or more memory, MiB: the interpreter, NumPy and
#: the fuzzer itself take some 200 of them.
_SLOWEST_S, _MOST_MIB = 5, 512


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", TARGETS)
def test_a_guided_fuzzer_finds_nothing(name: str, tmp_path: Path) -> None:
    if find_spec("atheris") is None:
        pytest.skip("atheris is not installed: pip install 'streamrnn[fuzz]'")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for n, data in enumerate(seeds(name)):
        (corpus / f"seed{n}").write_bytes(data)
    program = str(Path(__file__).with_name("fuzz_atheris.py"))
    run_s = int(os.environ.get("STREAMRNN_FUZZ_S", "20"))
    done = subprocess.run(
        [
            *_APART, sys.executable, program, name, str(corpus),
            f"-max_total_time={run_s}", f"-timeout={_SLOWEST_S}", f"-rss_limit_mb={_MOST_MIB}",
            "-max_len=20000", f"-artifact_prefix={tmp_path}/",
        ],
        capture_output=True, text=True, errors="replace", timeout=run_s + 120, check=False,
    )  # fmt: skip
    found = [path.read_bytes()[:400] for path in tmp_path.iterdir() if path.is_file()]
    assert done.returncode == 0, f"{found}\n{done.stderr[-4000:]}"
