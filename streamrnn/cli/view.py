"""The live terminal view of ``streamrnn run --view``."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import BinaryIO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamrnn.cli.channel_table import MAX_CHANNELS, ChannelTable, one_line
from streamrnn.cli.live import say
from streamrnn.cli.log_lines import LogLines
from streamrnn.core.records import Event, GapRecord, Record
from streamrnn.core.text import printable
from streamrnn.core.types import Frames, Item
from streamrnn.runtime.damage import damage_of
from streamrnn.runtime.pipeline import Pipeline
from streamrnn.sources.base import Source

#: Pictures a second.
REFRESH_HZ = 12
#: Events that are shown, however small the terminal.
_LEAST_RECORDS = 3


class View:
    """Channels, probabilities, events and counters, drawn on stderr; a context manager and a sink.

    Parameters
    ----------
    source : Source
        Open.
    pipeline : Pipeline
    console : Console
    """

    def __init__(self, source: Source, pipeline: Pipeline, console: Console) -> None:
        self._source = source
        self._pipeline = pipeline
        self._console = console
        rate_hz = source.info.rate_hz or pipeline.bundle.stream_hz
        self._table = ChannelTable(source.info.channel_names, rate_hz)
        self._records: deque[Event | GapRecord] = deque(maxlen=8)
        self._log = LogLines(lambda line: console.print(one_line(line), soft_wrap=True))
        self._live = Live(
            console=console,
            get_renderable=self.picture,
            refresh_per_second=REFRESH_HZ,
            redirect_stdout=False,
            redirect_stderr=True,
        )

    def __enter__(self) -> View:
        """Begin to draw; the log's lines come above."""
        self._log.begin()
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last picture and stop."""
        self._live.stop()
        self._log.end()

    def item(self, item: Item) -> None:
        """Take an item of the stream."""
        if isinstance(item, Frames):
            self._table.push(item)

    def open(self, stream: str, model: str) -> None:
        """Do nothing: the view is open already."""

    def write(self, record: Record) -> None:
        """Take a record."""
        if isinstance(record, Event | GapRecord):
            self._records.append(record)

    def close(self) -> None:
        """Do nothing: the picture stays until the end of the run."""

    def beside(self, out: BinaryIO) -> BinaryIO:
        """Return where JSON lines go: above the picture when they share its terminal."""
        if not out.isatty():
            return out
        return cast(BinaryIO, _Above(self._console))

    def picture(self) -> Group:
        """Return what is to be drawn now; in a small terminal channels go first."""
        console = self._console
        counts = self._counts()
        room = console.height - len(counts.wrap(console, console.width))
        n_labels = len(self._pipeline.bundle.labels)
        n_records = min(len(self._records), max(_LEAST_RECORDS, room - n_labels))
        n_labels = min(n_labels, max(0, room - n_records))
        n_channels = max(0, room - n_records - n_labels)
        parts: list[RenderableType] = [counts]
        if n_records:
            parts.insert(0, self._last_records(n_records))
        if n_labels:
            parts.insert(0, self._probabilities(n_labels))
        if n_channels:
            parts.insert(0, self._channels(n_channels))
        return Group(*parts)

    def _channels(self, n_rows: int = MAX_CHANNELS + 1) -> Table:
        return self._table.draw(n_rows, self._console.width)

    def _probabilities(self, n_rows: int) -> Table:
        table = Table.grid(padding=(0, 1))
        newest = self._pipeline.probabilities.tolist()
        labels = self._pipeline.bundle.labels
        likeliest = sorted(range(len(labels)), key=lambda k: -newest[k])[:n_rows]
        width = min(40, max(1, self._console.width - 24))
        for k in sorted(likeliest):
            bar = one_line("█" * round(newest[k] * width), "green")
            table.add_row(one_line(printable(labels[k], 16)), one_line(f"{newest[k]:.2f}"), bar)
        return table

    def _last_records(self, n_rows: int) -> Group:
        return Group(*(one_line(describe(record)) for record in list(self._records)[-n_rows:]))

    def _counts(self) -> Text:
        pipeline, counters = self._pipeline, self._source.counters
        damaged = damage_of(self._source)
        incomplete = f"{damaged.n_incomplete} incomplete  " if damaged.n_incomplete else ""
        return Text(
            f"{pipeline.n_frames} frames  {pipeline.n_missing} missing  "
            f"{damaged.n_pieces} damaged  {incomplete}"
            f"{counters.n_unplugs} unplugs  {pipeline.n_resets} resets",
            style="dim",
        )


def describe(record: Event | GapRecord) -> str:
    """Return a record as a line for people."""
    at = f"{record.t_us / 1e6:9.2f} s  "
    if isinstance(record, Event):
        name = printable(record.gesture, 24)
        phase = "" if record.phase == "discrete" else f" {record.phase}"
        return f"{at}{name}{phase}  {record.score:.2f}"
    missing = "" if record.n_missing is None else f", {record.n_missing} frames"
    return f"{at}gap: {record.reason}{missing}, {record.action}"


class _Above:
    """Takes JSON lines and prints them above the picture."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, data: bytes) -> int:
        text = Text(data.decode().rstrip("\n"))
        self._console.print(text, soft_wrap=True)
        return len(data)

    def flush(self) -> None:
        """Do nothing: the console has drawn it already."""


def open_view(source: Source, pipeline: Pipeline) -> View | None:
    """Return the view, or None, and say so, when stderr is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        say("--view needs a terminal; running without it")
        return None
    return View(source, pipeline, console)
