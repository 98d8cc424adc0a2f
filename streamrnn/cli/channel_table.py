"""The newest seconds of each channel as lines of blocks."""

from __future__ import annotations

from collections import deque

import numpy as np
from rich.table import Table
from rich.text import Text

from streamrnn.cli.sparkline import sparkline
from streamrnn.core.text import printable
from streamrnn.core.types import Frames

#: Channels shown; a device may have hundreds.
MAX_CHANNELS = 12
_WIDTH = 60
_HISTORY_S = 3.0


def one_line(text: str, style: str = "") -> Text:
    """Return text that is cut where the terminal ends, so that it takes one row."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


class ChannelTable:
    """Keeps some seconds of a stream and draws them.

    Parameters
    ----------
    names : tuple of str
        Of the channels.
    rate_hz : float
        Above 0.
    """

    def __init__(self, names: tuple[str, ...], rate_hz: float) -> None:
        self._names = names
        self._n_frames = max(1, round(rate_hz * _HISTORY_S))
        self._blocks: deque[Frames] = deque(maxlen=max(8, self._n_frames))

    def push(self, frames: Frames) -> None:
        """Take frames."""
        if len(frames):
            self._blocks.append(frames[-self._n_frames :])

    def draw(self, n_rows: int, console_width: int) -> Table:
        """Return the channels in at most so many rows; the last says how many are not shown."""
        names = self._names
        table = Table.grid(padding=(0, 1))
        blocks = [b for b in list(self._blocks) if b.x.shape[1] == len(names)]
        if not blocks:
            table.add_row(Text("waiting for frames ...", style="dim"))
            return table
        x = np.concatenate([b.x for b in blocks])[-self._n_frames :]
        n_shown = min(len(names), MAX_CHANNELS)
        if n_shown > n_rows or (n_shown == n_rows and n_shown < len(names)):
            n_shown = max(0, n_rows - 1)
        width = min(_WIDTH, max(1, console_width - 28))
        for column, name in enumerate(names[:n_shown]):
            line = sparkline(x[:, column], width)
            value = f"{x[-1, column]:.2f}"
            table.add_row(one_line(printable(name, 16)), one_line(line, "cyan"), one_line(value))
        if n_shown < len(names):
            table.add_row(one_line(f"and {len(names) - n_shown} more channels", "dim"))
        return table
