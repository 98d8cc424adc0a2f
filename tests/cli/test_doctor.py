"""`doctor` says what it finds and whether that is well; `warmup` compiles once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_make import main

from streamrnn.kernels import build, host, native, store
from streamrnn.runtime import health


def test_a_healthy_machine_is_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_N_BURSTS", 1)
    monkeypatch.setattr(store, "problem", lambda: "")
    code, out, _ = main(capsys, "doctor", "--json")
    found = json.loads(out)
    assert (code, found["problems"]) == (0, [])
    assert found["cpu"]["vector_bits"] in (128, 256, 512)
    assert found["check"]["network_error"] <= found["check"]["tolerance"]
    assert found["bench"]["step"]["bound_us"] > 0.0
    assert found["bench"]["batch"]["us"] > found["bench"]["step"]["us"]
    code, out, _ = main(capsys, "doctor", "--no-bench")
    lines = out.splitlines()
    assert code == 0
    assert lines[-1] == "all is well"
    heads = [line.split()[0] for line in lines]
    assert {"versions", "processor", "vectors", "threads", "ports", "cache"} < set(heads)
    assert "step" not in heads


def test_what_is_wrong_is_said_and_gives_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "problem", lambda: "/c is not writable")
    monkeypatch.setattr(health, "_network_error", lambda: float("inf"))
    monkeypatch.setattr(health, "_decodes", lambda: False)
    code, out, _ = main(capsys, "doctor", "--no-bench")
    assert code == 1
    problems = [line for line in out.splitlines() if line.startswith("PROBLEM")]
    assert len(problems) == 3
    assert "/c is not writable; set STREAMRNN_CACHE_DIR" in problems[0]
    assert "all is well" not in out


def test_a_compiler_that_fails_is_a_problem_and_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> float:
        raise health.StreamRNNError("cannot compile the kernels of infer-f4: no Numba")

    monkeypatch.setattr(health, "_network_error", fails)
    code, out, _ = main(capsys, "doctor", "--json")
    assert code == 1
    assert json.loads(out)["problems"][-1] == "cannot compile the kernels of infer-f4: no Numba"


@pytest.fixture
def new_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let nothing have been compiled, and nothing be; give how many units were asked for."""
    asked: list[int] = []

    def fake(parts: list[native.Part]) -> dict[native.Part, bytes]:
        asked.append(len(parts))
        return dict.fromkeys(parts, b"code")

    monkeypatch.setattr(build, "build", fake)
    monkeypatch.setattr(native, "_codes", {})
    monkeypatch.setattr(native, "_compiled", set())
    monkeypatch.setenv(store.VARIABLE, str(tmp_path))
    store._place.cache_clear()
    yield asked
    store._place.cache_clear()
    store._say_once.cache_clear()


def test_a_second_warm_up_finds_everything_there(
    new_cache: list[int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, out, err = main(capsys, "warmup")
    assert code == 0
    assert f"{new_cache[0]} of {new_cache[0]} units compiled in 0." in out
    assert f"kept    in {tmp_path}/kernels\n" in out
    assert err.startswith("compiling ")
    native._codes.clear()
    code, out, err = main(capsys, "warmup")
    assert (code, err) == (0, "")
    assert f"all {new_cache[0]} units are there" in out
    code, out, _ = main(capsys, "warmup", "--all")
    assert code == 0
    assert f"{new_cache[1]} of {sum(new_cache)} units compiled" in out


def test_a_warm_up_whose_work_is_lost_says_so(
    new_cache: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o777)
    code, out, _ = main(capsys, "warmup")
    assert code == 1
    assert f"kept    nowhere: {tmp_path} can be written to by others\n" in out
    tmp_path.chmod(0o700)
