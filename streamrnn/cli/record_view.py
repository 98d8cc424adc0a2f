"""What a person sees while recording: a picture on a terminal, else plain lines."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.align import Align
from rich.box import HEAVY
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streamrnn.cli.channel_table import ChannelTable, one_line
from streamrnn.cli.live import say, times
from streamrnn.cli.log_lines import LogLines
from streamrnn.cli.record_file import progress
from streamrnn.core.text import printable
from streamrnn.core.types import Frames, Item
from streamrnn.runtime.flow import Flow
from streamrnn.runtime.guide import Prompt, Step
from streamrnn.runtime.recording import Recording

#: Pictures, and plain lines of progress, come this often, seconds.
REFRESH_S, LINE_S = 0.08, 1.0
#: So many remarks are shown, for so long.
_MAX_REMARKS, _REMARK_S = 4, 30.0
_BAR = 30
_PROMPT_ROWS = 5


def words(prompt: Prompt) -> tuple[str, str]:
    """Return what to say of a prompt: in large, and the line below."""
    name = printable(prompt.gesture, 40)
    count = f"{math.ceil(prompt.left_s)}" if prompt.left_s > 0 else ""
    after = f"next: {name}" if name else ""
    return {
        "waiting": ("waiting for frames ...", ""),
        "rest": ("rest: hold still", after),
        "ready": (f"get ready: {name}", count),
        "now": (f"NOW: {name}", f"{prompt.left_s:.1f} s"),
        "null": ("do anything else", f"for example: {prompt.hint}"),
        "paused": ("paused", "space goes on; do none of the gestures meanwhile"),
        "away": ("the device is away", "plug it in again: it goes on by itself"),
        "closing": ("done, thank you", "u takes the last one back"),
        "over": ("over", ""),
    }[prompt.kind]


_STYLES = {
    "now": "bold white on green4",
    "ready": "bold black on yellow",
    "null": "bold white on dark_magenta",
    "away": "bold white on red3",
    "paused": "bold white on grey39",
}


class Screen(Protocol):
    """Shows a recording; a context manager."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last picture."""
        ...

    def items(self, items: Sequence[Item]) -> None:
        """Take what came."""
        ...

    def steps(self, steps: Sequence[Step]) -> None:
        """Take what the guide says."""
        ...

    def remark(self, text: str) -> None:
        """Show a line that must be seen."""
        ...

    def draw(self) -> None:
        """Show how it stands, if it is time to."""
        ...


class Lines:
    """Plain lines, for a file, a pipe or a terminal without pictures.

    Parameters
    ----------
    flow : Flow
    recording : Recording
    """

    def __init__(self, flow: Flow, recording: Recording) -> None:
        self._flow = flow
        self._recording = recording
        self._shown_s, self._shown_n = time.monotonic(), 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Do nothing."""

    def items(self, items: Sequence[Item]) -> None:
        """Note what had waited: it says nothing of the rate."""
        if not self._shown_n and (n_frames := self._recording.recorder.n_frames):
            self._shown_s, self._shown_n = time.monotonic(), n_frames

    def steps(self, steps: Sequence[Step]) -> None:
        """Say each prompt, and what became of a gesture."""
        guide = self._recording.guide
        for step in steps:
            name = printable(step.gesture, 40)
            if step.kind == "rest" and guide is not None:
                done = sum(guide.n_done.values())
                wanted = guide.config.reps * len(guide.config.gestures)
                say(f"rest ({done} of {wanted} done)")
            elif step.kind in ("ready", "now", "null", "paused", "away", "closing"):
                hint = guide.prompt.hint if guide is not None else ""
                large, below = words(Prompt(step.kind, step.gesture, hint, 0.0))
                say(f"{large}, {below}" if hint and step.kind == "null" else large)
            elif step.kind in ("dropped", "undone"):
                say(f"{name} does not count: it will be asked for again, unless it was skipped")

    def remark(self, text: str) -> None:
        """Say it."""
        say(f"! {text}")

    def draw(self) -> None:
        """Say the counts once a second where no prompts are said."""
        now_s = time.monotonic()
        if self._recording.guide is None and now_s - self._shown_s >= LINE_S:
            n_frames = self._recording.recorder.n_frames
            rate = (n_frames - self._shown_n) / (now_s - self._shown_s)
            self._shown_s, self._shown_n = now_s, n_frames
            say(f"{progress(self._flow, self._recording)}, {rate:.0f} frames/s")


class Picture:
    """A live picture on stderr.

    Parameters
    ----------
    flow : Flow
    recording : Recording
    console : Console
    help_line : str
        The keys.
    bell : bool
        Ring the terminal's bell when a gesture is to be done.
    """

    def __init__(
        self, flow: Flow, recording: Recording, console: Console, help_line: str, bell: bool
    ) -> None:
        self._flow = flow
        self._recording = recording
        self._console = console
        self._help = help_line
        self._bell = bell
        info = recording.source.info
        self._table = ChannelTable(info.channel_names, info.rate_hz or 100.0)
        self._remarks: deque[tuple[float, str]] = deque(maxlen=_MAX_REMARKS)
        self._arrived: deque[tuple[float, int]] = deque(maxlen=100)
        self._drawn_s = 0.0
        self._log = LogLines(self.remark)
        # Drawn by the loop itself: what is shown is then never half of something.
        self._live = Live(console=console, get_renderable=self.picture, auto_refresh=False)

    def __enter__(self) -> Self:
        """Begin to draw, and take the log's lines into the picture."""
        self._log.begin()
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last picture."""
        self._live.refresh()
        self._live.stop()
        self._log.end()

    def items(self, items: Sequence[Item]) -> None:
        """Take frames."""
        for item in items:
            if isinstance(item, Frames):
                self._table.push(item)
                self._arrived.append((time.monotonic(), self._recording.recorder.n_frames))

    def steps(self, steps: Sequence[Step]) -> None:
        """Ring when a gesture is to be done."""
        for step in steps:
            if step.kind == "now" and self._bell:
                self._console.bell()

    def remark(self, text: str) -> None:
        """Show it for a while; what is wrong is said again at the end."""
        self._remarks.append((time.monotonic(), text))

    def draw(self) -> None:
        """Draw, some times a second."""
        now_s = time.monotonic()
        if now_s - self._drawn_s >= REFRESH_S:
            self._drawn_s = now_s
            self._live.refresh()

    def picture(self) -> RenderableType:
        """Return what is to be drawn now.

        In a small terminal channels go first, then the older remarks, then the single gestures.
        """
        while self._remarks and time.monotonic() - self._remarks[0][0] > _REMARK_S:
            self._remarks.popleft()
        console, parts = self._console, list[RenderableType]()
        counts, keys = Text(self._counts(), "dim"), Text(self._help, "bold")
        n_left = console.height - 1 - _n_rows(counts, console) - _n_rows(keys, console)
        guide = self._recording.guide
        remarks = [Text(f"! {printable(text, 300)}", "yellow") for _, text in self._remarks]
        if guide is not None:
            parts.append(self._prompt(guide.prompt))
            n_left -= _PROMPT_ROWS
            n_newest = _n_rows(remarks[-1], console) if remarks else 0
            gestures = self._gestures(n_left - n_newest)
            parts.append(gestures)
            n_left -= gestures.row_count
        n_rows = [_n_rows(remark, console) for remark in remarks]
        while remarks and sum(n_rows) > n_left:
            del remarks[0], n_rows[0]
        n_left -= sum(n_rows)
        if n_left > 0:
            parts.append(self._table.draw(n_left, console.width))
        return Group(*parts, *remarks, counts, keys)

    def _prompt(self, prompt: Prompt) -> RenderableType:
        large, below = words(prompt)
        style = _STYLES.get(prompt.kind, "bold")
        text = Text(f"{large}\n", justify="center", no_wrap=True, overflow="ellipsis")
        text.append(f"{below}\n" if below else "\n")
        text.append(_bar(prompt, self._length_s(prompt)))
        return Panel(Align.center(text), box=HEAVY, style=style)

    def _length_s(self, prompt: Prompt) -> float:
        guide = self._recording.guide
        if guide is None:
            return 0.0
        c = guide.config
        lengths = {"rest": c.rest_s, "ready": c.ready_s, "now": c.gesture_s, "null": c.null_s}
        return lengths.get(prompt.kind, 0.0)

    def _gestures(self, n_rows: int) -> Table:
        """Return how often each gesture was done; in fewer rows, how often all of them."""
        guide = self._recording.guide
        table = Table.grid(padding=(0, 1))
        if guide is None or n_rows < 1:
            return table
        reps, n_done, n_skipped = guide.config.reps, guide.n_done, guide.n_skipped
        left_s = round(guide.left_s)
        left = "" if guide.is_over else f"about {left_s // 60}:{left_s % 60:02d} left"
        if n_rows <= len(n_done):
            text = f"{sum(n_done.values())} of {reps * len(n_done)} done"
            table.add_row(one_line(f"{text}, {left}" if left else text))
            return table
        for name, n in n_done.items():
            bar = "█" * round(20 * n / reps)
            skipped = f"({n_skipped[name]} skipped)" if n_skipped[name] else ""
            count = f"{n} of {reps}"
            table.add_row(one_line(printable(name, 24)), one_line(f"{bar:░<20}", "green"),
                          one_line(count), one_line(skipped, "dim"))  # fmt: skip
        if left:
            table.add_row(one_line(left, "dim"))
        return table

    def _counts(self) -> str:
        recording = self._recording
        recorder = recording.recorder
        total = recorder.n_frames + recorder.n_missing
        lost = 100 * recorder.n_missing / total if total else 0.0
        text = f"{progress(self._flow, recording)} ({lost:.1f} %), {self._rate():.1f} frames/s"
        n_unplugs = recording.source.counters.n_unplugs
        return f"{text}, unplugged {times(n_unplugs)}" if n_unplugs else text

    def _rate(self) -> float:
        if len(self._arrived) < 2:
            return 0.0
        (first_s, first), (last_s, last) = self._arrived[0], self._arrived[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0


def _n_rows(text: Text, console: Console) -> int:
    """Return how many rows a text takes."""
    return max(1, len(text.wrap(console, console.width)))


def _bar(prompt: Prompt, length_s: float) -> str:
    if length_s <= 0:
        return ""
    n = min(_BAR, round(_BAR * prompt.left_s / length_s))
    return "━" * n + " " * (_BAR - n)


def open_screen(flow: Flow, recording: Recording, help_line: str, bell: bool) -> Screen:
    """Return a picture where stderr is a terminal, else plain lines."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        if help_line:
            say(help_line)
        return Lines(flow, recording)
    return Picture(flow, recording, console, help_line, bell)
