from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from streamrnn.cli.latency import (
    STAGES,
    check_picture,
    latency_table,
    measured,
    watch_latency,
    write_picture,
)
from streamrnn.core.errors import ConfigError, SessionError
from streamrnn.evaluation.pictures.latency import in_words
from streamrnn.runtime.latency import StageTimer


@pytest.fixture
def timer() -> StageTimer:
    timer = StageTimer()
    for stage, base_ns in (("sink", 40_000), ("decode", 2_000), ("cell", 900), ("link", 3_000_000)):
        for n in range(100):
            timer.add(stage, base_ns + n * base_ns // 50)
    return timer


def drawn(timer: StageTimer, width: int = 110, *, live: bool = False) -> str:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=live, width=width, color_system=None)
    with watch_latency(timer, console, live=live):
        pass
    return screen.getvalue()


def test_stages_stand_in_the_order_of_the_stream(timer: StageTimer) -> None:
    assert [name for name, _ in measured(timer)] == ["link", "decode", "cell", "sink"]
    lines = drawn(timer).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["link", "decode", "cell", "sink"]
    assert lines[1].split()[7:9] == ["8.94", "ms"]  # the longest is exact


def test_longer_stages_stand_further_right(timer: StageTimer) -> None:
    at = {line.split()[0]: line.index("┃") for line in drawn(timer).splitlines()[1:]}
    assert at["cell"] < at["decode"] < at["sink"] < at["link"]


@pytest.mark.parametrize("width", [50, 75, 200])
def test_any_terminal_will_do(timer: StageTimer, width: int) -> None:
    assert max(map(len, drawn(timer, width).splitlines())) <= width
    assert "link" in drawn(timer, width, live=True)


def test_nothing_seen_is_an_empty_table() -> None:
    assert latency_table(StageTimer()).row_count == 0
    assert len(drawn(StageTimer()).splitlines()) <= 2


def test_durations_have_the_unit_that_suits_them() -> None:
    assert [in_words(us) for us in (0.85, 1.0, 12.34, 999.0, 1500.0, 2.5e6)] == [
        "850 ns", "1 us", "12.3 us", "999 us", "1.5 ms", "2.5 s",
    ]  # fmt: skip


def test_the_picture_shows_every_stage(timer: StageTimer, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "latency.svg"
    write_picture(str(path), timer)
    text = path.read_text()
    assert text.startswith("<svg ")
    assert all(name in text for name, _ in measured(timer))
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_that_cannot_be_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.svg"):
        check_picture(str(tmp_path / "latency.png"))
    with pytest.raises(ConfigError, match="no such folder"):
        check_picture(str(tmp_path / "none" / "latency.svg"))
    check_picture(None)


def test_a_folder_in_the_way_is_one_clear_line(timer: StageTimer, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "l.svg").mkdir()
    with pytest.raises(SessionError, match="cannot write"):
        write_picture(str(tmp_path / "l.svg"), timer)
    assert [p.name for p in tmp_path.iterdir()] == ["l.svg"]


def test_every_stage_is_said_in_words() -> None:
    assert all(STAGES.values())
