"""Lines with settled columns to blocks of frames."""

from __future__ import annotations

from operator import itemgetter

import numpy as np

from streamrnn.core.types import Counters, Frames, Gap, Item, StreamInfo
from streamrnn.wire.forms.columns import Layout
from streamrnn.wire.forms.lines import Reading
from streamrnn.wire.forms.stamps import Mark, Ruler, Step
from streamrnn.wire.packet import frame_time_us


class Rows:
    """Collect frames, with sequence and time.

    Sequence and time are the columns' own where the layout has such columns, else counted. Lost and
    repeated frames are counted by the sequence. A line whose place is odd (a step back, or a long
    one ahead) waits for the next: if that goes on from it, the device has booted, or was silent for
    long; if it goes on from the line before, the odd one is dropped as bad content.

    Parameters
    ----------
    layout : Layout
    rate_hz : float
        For times, where no column is a clock; 0: unknown, and all times are 0.
    counters : Counters
        Gets what is found out here.
    """

    def __init__(self, layout: Layout, rate_hz: float, counters: Counters) -> None:
        self._layout = layout
        self._rate_hz = rate_hz
        self._counters = counters
        self._ruler = None if layout.is_plain else Ruler(layout)
        self._has_seq = layout.seq >= 0
        self._has_clock = layout.clock >= 0 or layout.has_stamps
        picks = layout.picks
        self._pick = None if layout.is_plain and picks == tuple(range(len(picks))) else picks
        self._get = itemgetter(*picks) if len(picks) > 1 else None
        self._next_seq = 0
        self._odd: tuple[Reading, Mark] | None = None
        self._values: list[float] = []
        self._seq: list[int] = []
        self._t_us: list[int] = []
        self._items: list[Item] = [StreamInfo(layout.channels, rate_hz)]

    def take(self, reading: Reading) -> None:
        """Take a line's values."""
        ruler, layout = self._ruler, self._layout
        if ruler is None:
            self._append(reading, self._next_seq, 0)
            return
        clock = 0.0
        if layout.has_stamps:
            clock = reading.stamps[0] if reading.stamps else -1.0
        elif layout.clock >= 0:
            clock = reading.values[layout.clock]
        mark = ruler.mark(reading.values[layout.seq] if self._has_seq else 0.0, clock)
        if mark is None:
            self._counters.n_bad_content += 1
        elif ruler.last is None:
            ruler.begin(mark)
            self._append_at(reading, ruler)
        else:
            self._place(reading, mark, ruler, ruler.step(ruler.last, mark))

    def flush(self) -> list[Item]:
        """Return what is complete."""
        self._end_block()
        items, self._items = self._items, []
        return items

    def forget_unsure(self) -> None:
        """Drop the line that waits for another to confirm it."""
        if self._odd is not None:
            self._counters.n_bad_content += 1
            self._odd = None

    def _place(self, reading: Reading, mark: Mark, ruler: Ruler, step: Step) -> None:
        if not step.is_odd:
            self.forget_unsure()
            self._go_on(reading, mark, ruler, step)
            return
        odd, self._odd = self._odd, (reading, mark)
        if odd is None:
            return
        before, after = ruler.step(ruler.last or odd[1], odd[1]), ruler.step(odd[1], mark)
        if after.is_odd or after.n_frames <= 0:
            self._counters.n_bad_content += 1
            return
        self._odd = None
        if before.is_backward:
            self._end_block()
            self._items.append(Gap("reboot", restart=True))
            self._next_seq = 0
            ruler.begin(odd[1])
            self._append_at(odd[0], ruler)
        else:
            self._go_on(*odd, ruler, before)
        self._go_on(reading, mark, ruler, after)

    def _go_on(self, reading: Reading, mark: Mark, ruler: Ruler, step: Step) -> None:
        if step.n_frames <= 0:
            self._counters.n_duplicate_frames += 1
            return
        self._counters.n_lost_frames += step.n_frames - 1
        ruler.go_on(mark, step)
        self._append_at(reading, ruler)

    def _append_at(self, reading: Reading, ruler: Ruler) -> None:
        self._append(reading, ruler.seq if self._has_seq else self._next_seq, ruler.t_us)

    def _append(self, reading: Reading, seq: int, t_us: int) -> None:
        values = reading.values
        if self._pick is None:
            self._values += values
        elif self._get is not None:
            self._values += self._get(values)
        else:
            self._values.append(values[self._pick[0]])
        self._seq.append(seq)
        self._t_us.append(t_us)
        self._next_seq = seq + 1
        self._counters.n_frames += 1

    def _end_block(self) -> None:
        if not self._seq:
            return
        seq = np.array(self._seq, np.int64)
        t_us = np.array(self._t_us, np.int64)
        if not self._has_clock and self._rate_hz > 0:
            t_us = frame_time_us(0, seq, self._rate_hz)
        x = np.array(self._values, np.float32).reshape(len(seq), -1)
        self._items.append(Frames(x, seq, t_us))
        self._values, self._seq, self._t_us = [], [], []
