"""`doctor` says what it finds and whether that is well; `warmup` compiles once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from live_make import main

from streamrnn.kernels import build, host, native, store
from streamrnn.kernels.cuda import catalogue, cubins, driver
from streamrnn.kernels.cuda.kernel import Kernel
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
    monkeypatch.setattr(health, "_network_error", lambda *_: float("inf"))
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
    def fails(*_: str) -> float:
        raise health.StreamRNNError("cannot compile the kernels of infer-f4: no Numba")

    monkeypatch.setattr(health, "_network_error", fails)
    code, out, _ = main(capsys, "doctor", "--json")
    assert code == 1
    assert json.loads(out)["problems"][-1] == "cannot compile the kernels of infer-f4: no Numba"


def test_no_gpu_is_one_calm_line(capsys: pytest.CaptureFixture[str], no_gpu: None) -> None:
    code, out, _ = main(capsys, "doctor", "--no-bench")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("gpu")]
    assert line == "gpu       none: no NVIDIA driver is installed here (libcuda.so.1 was not found)"


KERNELS = [Kernel(name, "nowhere", "make", "f4*") for name in ("a", "b", "c")]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be a GPU with three kernels, one of which was compiled, and a compiler."""
    device = SimpleNamespace(
        name="Fake H100",
        capability=(9, 0),
        n_multiprocessors=132,
        n_bytes=80 << 30,
        n_free_bytes=79 << 30,
        driver_version=(13, 0),
    )
    monkeypatch.setattr(driver, "open_device", lambda: device)
    monkeypatch.setattr(catalogue, "catalogue", lambda capability: KERNELS)
    monkeypatch.setattr(cubins, "is_ready", lambda kernel, capability: kernel.name == "a")
    monkeypatch.setattr(cubins, "has_compiler", lambda: True)
    monkeypatch.setattr(cubins, "tools", lambda: {"numba-cuda": "0.30.4"})
    monkeypatch.setattr(cubins, "codes", lambda kernels, capability: {})
    monkeypatch.setattr(health, "_network_error", lambda *_: 1e-7)


def test_a_gpu_is_described_and_checked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, gpu: None
) -> None:
    code, out, _ = main(capsys, "doctor", "--no-bench")
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("gpu")] == [
        "gpu       Fake H100 (sm_90a), 132 multiprocessors, 80896 of 81920 MiB free, driver knows"
        " CUDA 13.0",
        "gpu code  1 of 3 kernels were compiled before; compiler: numba-cuda 0.30.4",
        "gpu check the network is within 1e-07 of plain NumPy",
    ]
    monkeypatch.setattr(health, "_network_error", lambda name="cpu": float(name == "cuda"))
    code, out, _ = main(capsys, "doctor", "--no-bench")
    assert code == 1
    assert "PROBLEM   the network on the GPU is off by 1 from plain NumPy: please report it" in out


def test_a_gpu_without_a_compiler_is_no_problem(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, gpu: None
) -> None:
    monkeypatch.delenv(cubins.VARIABLE, raising=False)
    monkeypatch.setattr(cubins, "has_compiler", lambda: False)
    code, out, _ = main(capsys, "doctor", "--no-bench")
    assert code == 0
    assert "gpu check none: there is no compiler for CUDA kernels: pip install" in out


def test_a_warm_up_compiles_the_gpus_kernels_too(
    capsys: pytest.CaptureFixture[str], gpu: None
) -> None:
    code, out, err = main(capsys, "warmup", "--backend", "auto")
    assert (code, err) == (0, "backend cuda: Fake H100\n")
    assert "gpu     3 kernels, 2 of them compiled now" in out


def test_a_warm_up_for_a_gpu_that_is_not_there_is_one_line(
    capsys: pytest.CaptureFixture[str], no_gpu: None
) -> None:
    code, out, err = main(capsys, "warmup", "--backend", "cuda")
    assert (code, out) == (1, "")
    assert err.startswith("streamrnn: no NVIDIA driver is installed here")


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
