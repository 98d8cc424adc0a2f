from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import numpy as np
import pytest
from live_make import main
from rich.console import Console

from streamrnn.cli.live import load_model
from streamrnn.cli.sparkline import sparkline
from streamrnn.cli.view import View, describe
from streamrnn.core.records import Event, GapRecord, Stats
from streamrnn.core.types import Channel, Frames, Gap, StreamInfo
from streamrnn.kernels import get_backend
from streamrnn.runtime.pipeline import Pipeline
from streamrnn.sources import open_source

EVENT = Event("circle", "start", 100, 1_000_000, 900_000, None, 0.91)


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown() -> Iterator[tuple[View, io.StringIO, Pipeline]]:
    source = open_source("sim:signals?seconds=3&speed=0")
    source.open()
    pipeline = Pipeline(load_model(None), get_backend("cpu"))
    pipeline.start(source.info)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, height=50, color_system=None)
    yield View(source, pipeline, console), screen, pipeline
    source.close()


def test_the_picture_shows_channels_probabilities_events_and_counts(
    shown: tuple[View, io.StringIO, Pipeline],
) -> None:
    view, screen, pipeline = shown
    with view:
        view.open("", "")
        assert "waiting" in str(view._channels().columns[0]._cells)
        seq = np.arange(300)
        x = np.sin(seq[:, None] * np.linspace(0.01, 0.1, 6)).astype(np.float32)
        frames = Frames(x, seq, seq * 10_000)
        view.item(frames)
        view.item(Gap("unplug"))
        pipeline.push(frames)
        view.write(EVENT)
        view.write(GapRecord("unplug", 5, 50_000, None, "reset"))
        view.write(Stats({}))
        above = view.beside(Terminal())
        above.write(b'{"type":"event"}\n')
        above.flush()
        logging.getLogger("streamrnn").warning("board is back\x1b[2J")
        view.close()
    drawn = screen.getvalue()
    assert "board is back" in drawn
    assert "\x1b[2J" not in drawn
    for words in ("acc_x", "gyro_z", "█", "300 frames", "circle start  0.91", '{"type":"event"}'):
        assert words in drawn
    for label in pipeline.bundle.labels:
        assert label in drawn
    assert "gap: unplug, reset" in drawn


def test_json_lines_to_a_file_stay_there(shown: tuple[View, io.StringIO, Pipeline]) -> None:
    out = io.BytesIO()
    assert shown[0].beside(out) is out


def test_many_channels_are_cut_short(shown: tuple[View, io.StringIO, Pipeline]) -> None:
    view, screen, pipeline = shown
    info = StreamInfo(tuple(Channel(f"c{n}") for n in range(30)), 100.0)

    class Wide:
        counters = view._source.counters

    Wide.info = info  # type: ignore[attr-defined]
    view = View(Wide(), pipeline, view._console)  # type: ignore[arg-type]
    seq = np.arange(5)
    view.item(Frames(np.zeros((5, 30), np.float32), seq, seq))
    view._live.console.print(view.picture())
    assert "and 18 more channels" in screen.getvalue()


@pytest.mark.parametrize(("width", "height"), [(50, 12), (50, 20), (30, 8), (100, 24)])
def test_a_small_terminal_loses_channels_first(
    shown: tuple[View, io.StringIO, Pipeline], width: int, height: int
) -> None:
    view, screen, pipeline = shown
    seq = np.arange(300)
    x = np.sin(seq[:, None] * np.linspace(0.01, 0.1, 6)).astype(np.float32)
    frames = Frames(x, seq, seq * 10_000)
    view.item(frames)
    pipeline.push(frames)
    for k in range(20):
        view.write(Event(f"g{k}", "start", 100, 1_000_000, 900_000, None, 0.91))
    console = view._live.console
    console.width, console.height = width, height
    console.print(view.picture())
    drawn = screen.getvalue().rstrip("\n").splitlines()
    assert len(drawn) <= height
    assert max(map(len, drawn)) <= width
    text = " ".join("\n".join(drawn).split())
    for words in ("300 frames", "0 resets", "g17 start", "g18 start", "g19 start"):
        assert words in text
    best = pipeline.bundle.labels[int(pipeline.probabilities.argmax())]
    assert any(line.startswith(best) for line in drawn)
    assert ("acc_x" in text) == (height > 18)


def test_sparklines_span_the_range_of_their_values() -> None:
    ramp = np.arange(8, dtype=np.float32)
    assert sparkline(ramp, 60) == "▁▂▃▄▅▆▇█"
    assert sparkline(ramp, 2) == "▁█"
    assert sparkline(ramp[:0], 60) == ""
    assert sparkline(np.zeros(3, np.float32), 60) == "▄▄▄"
    assert sparkline(np.array([np.nan, 1], np.float32), 60) == "▄▄"


def test_records_are_lines_for_people() -> None:
    assert describe(EVENT) == "     1.00 s  circle start  0.91"
    gap = GapRecord("lost", 5, 50_000, 3, "filled")
    assert describe(gap) == "     0.05 s  gap: lost, 3 frames, filled"


def test_no_terminal_no_view(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = main(
        capsys, "run", "--source", "sim:signals?seconds=2&speed=0", "--view", "--no-stats"
    )
    assert code == 0
    assert err.startswith("--view needs a terminal; running without it\n")
    assert "\x1b" not in out + err


def test_a_run_with_a_view_draws_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()

    def console(*, stderr: bool) -> Console:
        assert stderr  # stdout belongs to the records
        return Console(file=screen, force_terminal=True, width=100, height=50)

    monkeypatch.setattr("streamrnn.cli.view.Console", console)
    code, out, _ = main(capsys, "run", "--source", "sim:signals?seconds=3&speed=0", "--view")
    assert code == 0
    assert "300 frames" in screen.getvalue()
    assert "\x1b" not in out
