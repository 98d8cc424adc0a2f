"""The device under test, how long the tests may take, and a loud word about what was skipped.

    make test-gpu PYTHON=python3

needs a GPU, its driver, NumPy, Numba, llvmlite, pytest, and either the CUDA compiler or kernels
that were compiled elsewhere (`make gpu-kernels`); with PyTorch it compares with that too. Without a
GPU it ends at once.

For work on these tests, STREAMRNN_GPU may name what stands in for the GPU, with small sizes:
``interpreter`` (the compiled PTX, read by a program) or ``cpu`` (the cpu backend: shows that the
tests are sound, and nothing of CUDA).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
#: The folders of the laws and of the interpreter, which do not depend on the other tests.
_SHARED = (HERE.parent / "kernels", HERE.parent / "kernels" / "cuda")
MODE = os.environ.get("STREAMRNN_GPU", "")
_STARTED_S = time.monotonic()
#: Read by the plain run of all tests, which must not look for a GPU.
_OWN_INI = HERE / "pytest.ini"
_backends = {}


def pytest_addoption(parser):
    parser.addoption(
        "--budget-s",
        type=float,
        default=200.0,
        help="tests that have not begun by then are skipped",
    )


def pytest_configure(config):
    if config.inipath != _OWN_INI:
        return
    sys.path[:0] = [str(HERE), *map(str, _SHARED)]
    pytest.register_assert_rewrite(
        "laws", "update_laws", "ways_laws", "golden_laws", "streams_laws", "rnn_make"
    )
    from streamrnn.core.errors import BackendUnavailable

    try:
        _backends["tested"] = _make()
    except BackendUnavailable as error:
        raise pytest.UsageError(f"no GPU: {error}") from None
    except ModuleNotFoundError as missing:
        raise pytest.UsageError(f"{missing.name} is not installed, and is needed") from None


def pytest_ignore_collect(config):
    """Leave this folder to `make test-gpu`."""
    return True if config.inipath != _OWN_INI else None


def pytest_collection_modifyitems(config, items):
    """Ask first what matters most, should the time be spent before the end."""
    if config.inipath != _OWN_INI:
        return
    order = ("laws", "gradients", "training", "bf16", "fleet", "bits", "limits")
    items.sort(key=lambda item: order.index(item.path.stem.removeprefix("test_gpu_")))


def pytest_sessionstart(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and _backends:
        reporter.write_line(f"on {name_of(_backends['tested'])}")


def _make():
    from streamrnn.kernels import get_backend

    if MODE == "cpu":
        return get_backend("cpu")
    if MODE == "interpreter":
        from simulated import SimulatedDevice

        from streamrnn.kernels.cuda.backend import CudaBackend

        return CudaBackend(SimulatedDevice(memory_bytes=64 << 20))
    if MODE:
        raise pytest.UsageError(f"STREAMRNN_GPU is {MODE!r}, expected interpreter, cpu or nothing")
    return get_backend("cuda")


def name_of(backend):
    device = getattr(backend, "device", None)
    return MODE or getattr(device, "name", "a GPU")


@pytest.fixture(autouse=True)
def _in_time(request):
    """Begin no test when the time is spent."""
    budget_s = request.config.getoption("--budget-s")
    if time.monotonic() - _STARTED_S > budget_s:
        pytest.skip(f"the budget of {budget_s:g} s is spent")


@pytest.fixture(scope="session")
def backend():
    """The backend under test."""
    return _backends["tested"]


@pytest.fixture(scope="session")
def cpu():
    """The compiled kernels of the processor, whose bits a GPU in exact precision gives."""
    from streamrnn.core.errors import StreamRNNError
    from streamrnn.kernels import get_backend, host

    if not host.features().get("fma", host.features().get("neon", False)):
        pytest.skip("this processor has no fused multiply-add: its bits are others")
    made = get_backend("cpu", n_threads=min(8, os.cpu_count() or 1))
    try:
        made.warm_up(np.dtype("float32"), training=True)
    except (StreamRNNError, ImportError, OSError) as error:
        pytest.skip(f"the CPU kernels cannot be compiled here: {error}")
    return made


@pytest.fixture(scope="session")
def torch():
    """PyTorch with the device that its part of a comparison runs on, as `torch.where`."""
    module = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not MODE and not module.cuda.is_available():
        pytest.skip("this PyTorch sees no GPU")
    return module


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter):
    """List what was skipped by reason, so that a green run hides nothing."""
    reasons = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons.setdefault(reason.removeprefix("Skipped: "), []).append(report.nodeid)
    for reason, names in sorted(reasons.items()):
        terminalreporter.line(f"SKIPPED {len(names)}: {reason}; first: {names[0]}")
