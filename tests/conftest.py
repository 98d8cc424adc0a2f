"""Fixtures for all tests, and a loud word about what was skipped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Compiled kernels make first examples slow, and the machine may be shared: no deadlines.
settings.register_profile(
    "streamrnn", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50
)
settings.load_profile("streamrnn")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real recordings; the test is skipped when STREAMRNN_DATA names none."""
    name = os.environ.get("STREAMRNN_DATA", "")
    if not name:
        pytest.skip("STREAMRNN_DATA is not set: no real recordings")
    path = Path(name)
    if not path.is_dir():
        pytest.fail(f"STREAMRNN_DATA names no folder: {name}")
    return path


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None] | None:
    """List every skipped test by reason, so that a green run hides nothing."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return None
    reasons: dict[str, list[str]] = {}
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons.setdefault(reason.removeprefix("Skipped: "), []).append(report.nodeid)
    terminalreporter.section("SKIPPED TESTS", sep="!")
    for reason, names in sorted(reasons.items()):
        terminalreporter.line(f"{len(names)} skipped: {reason}")
        for name in sorted(names):
            terminalreporter.line(f"    {name}")
    return None
