"""Text lines of any form to frames, one line after the other."""

from __future__ import annotations

from streamrnn.core.types import Counters, Item
from streamrnn.wire.forms.agreement import READERS, Agreement
from streamrnn.wire.forms.columns import Layout
from streamrnn.wire.forms.lines import (
    BAD_CHECKSUM,
    BLANK,
    JUNK,
    MAX_LINE,
    NOTE,
    OVERSIZE,
    LineSplitter,
    Reading,
    payload,
)
from streamrnn.wire.forms.rounds import Rounds
from streamrnn.wire.forms.rows import Rows
from streamrnn.wire.options import StreamOptions
from streamrnn.wire.text import TextDecoder
from streamrnn.wire.words import Words

_SHORT_FORMS = ("numbers", "teleplot")


class LineDecoder:
    """Find out the form of a text stream, and turn its lines into frames.

    Lines that hold no frame are counted and dropped; nothing that arrives can raise. A line without
    its end is never believed. Use one decoder from one thread at a time.

    Parameters
    ----------
    options : StreamOptions, optional
    rate_hz : float
        Frames a second, for the times where no column is a clock; 0: unknown.
    words : Words, optional
        Gets the lines that are no data.

    Attributes
    ----------
    form : str
        ``"numbers"``, ``"named"``, ``"teleplot"``, ``"json"``; ``""`` while it is not settled.
    trouble : str
        Why lines that could be read were refused: what the user said does not fit them.
    bulk : TextDecoder or None
        Goes on in place of this decoder where lines are plain numbers without clock and sequence.
    """

    def __init__(
        self, options: StreamOptions | None = None, rate_hz: float = 0.0, words: Words | None = None
    ) -> None:
        self._options = options or StreamOptions()
        self._rate_hz = rate_hz or self._options.rate_hz
        self._words = words or Words()
        self._counters = Counters(extra={"n_half_lines": 0})
        self._splitter = LineSplitter()
        self._agreement = Agreement(self._options)
        self._before = b""  # the line before, if it held no values
        self._is_first = True
        self._is_first_held = self._was_first_before = False
        self._n_notes = 0
        self._first_waits_for = ""  # the form in which the first line would make sense
        self.form = ""
        self.bulk: TextDecoder | None = None
        self._layout: Layout | None = None
        self._names: tuple[bytes, ...] = ()
        self._n_values = 0
        self._rounds: Rounds | None = None
        self._rows: Rows | None = None

    @property
    def trouble(self) -> str:
        """See the class."""
        return self._agreement.trouble

    @property
    def is_counted(self) -> bool:
        """True if times are counted, because nothing in a line tells them."""
        layout = self._layout
        return layout is None or (layout.clock < 0 and not layout.has_stamps)

    @property
    def has_seq(self) -> bool:
        """True if lines carry a counter, so that lost frames are known."""
        return self._layout is not None and self._layout.seq >= 0

    @property
    def counters(self) -> Counters:
        """What happened so far; the same object each time."""
        rounds = self._rounds
        if rounds is not None:
            self._counters.extra["n_incomplete_frames"] = rounds.n_incomplete
            self._counters.extra["n_other_variables"] = rounds.n_others
        return self._counters

    def push(self, data: bytes | bytearray | memoryview) -> list[Item]:
        """Take bytes of any length, cut anywhere; return what they complete.

        While the form is not settled, `data` holds at most one end of a line.
        """
        self._counters.n_bytes += len(data)
        for line in self._splitter.take(bytes(data)):
            if self._rows is None:
                items = self._settle_with(line)
                if items is not None:
                    return items
            else:
                self._take(line, self._rows)
        return [] if self._rows is None else self._rows.flush()

    def resync(self) -> None:
        """Forget only what is unfinished, as when a link was lost and found again."""
        self._splitter.forget()
        self._is_first = True
        if self._rows is None:
            self._drop(self._agreement.give_up())
        else:
            self._rows.forget_unsure()
            if self._rounds is not None:
                self._rounds.forget_unfinished()

    # -- before the form is settled -----------------------------------------------------------

    def _settle_with(self, line: bytes | None) -> list[Item] | None:
        """Take a line; return the first items once the form is settled, None before."""
        body = OVERSIZE if line is None else payload(line)
        if body == BLANK:
            return None
        is_first, self._is_first = self._is_first, False
        form, reading = ("", body) if isinstance(body, int) else self._agreement.read(body)
        if isinstance(reading, int):
            self._drop(self._agreement.give_up())
            self._count_wrong(line, reading, is_first)
            self._before, self._was_first_before = line or b"", is_first
            return None
        n_dropped = self._agreement.take(form, reading, line or b"", self._before)
        self._drop(n_dropped)
        self._is_first_held |= is_first and bool(self._agreement.lines)
        if is_first and not self._agreement.lines:
            self._first_waits_for = form
        self._before = b""
        layout = self._agreement.layout
        return None if layout is None else self._settle(layout)

    def _settle(self, layout: Layout) -> list[Item]:
        """Begin with the lines that agree; return the first items."""
        agreement, counters = self._agreement, self._counters
        self.form, self._layout, self._rounds = agreement.form, layout, agreement.rounds
        self._names, self._n_values = agreement.names, len(agreement.readings[0].values)
        self._count_others()
        if agreement.used_header:
            self._uncount_header(agreement.header)
        if self.form == "numbers" and layout.is_plain:
            lines = b"\n".join([*agreement.lines, b""])
            counters.n_bytes -= len(lines)
            n_channels = len(layout.channels)
            self.bulk = TextDecoder(n_channels, self._rate_hz, layout.channels, counters)
            return self.bulk.push(lines)
        rows = self._rows = Rows(layout, self._rate_hz, counters)
        counters.n_packets = self._rounds.n_good if self._rounds else len(agreement.readings)
        for reading in agreement.readings:
            rows.take(self._in_order(reading) or reading)
        return rows.flush()

    def _drop(self, n_lines: int) -> None:
        """Count lines that waited for others to agree with them."""
        if n_lines and self._is_first_held:
            self._counters.extra["n_half_lines"] += 1
            n_lines -= 1
            self._is_first_held = False
        self._counters.n_bad_content += n_lines

    def _count_others(self) -> None:
        """Count the lines that would have made sense in another form only."""
        n_lines = self._agreement.n_other_rounds()
        waited_for = self.form if self._rounds else ""
        if self.form == "teleplot":
            self._counters.extra["n_log_lines"] = self._n_notes
        else:
            n_lines += self._n_notes
        self._is_first_held = self._first_waits_for not in ("", waited_for)
        self._drop(n_lines)

    def _uncount_header(self, line: bytes) -> None:
        """Take back what was counted for the line that has turned out to name the columns."""
        self._words.take_back(line)
        if self._was_first_before:
            self._counters.extra["n_half_lines"] -= 1
        else:
            self._counters.n_bad_content -= 1

    # -- afterwards ---------------------------------------------------------------------------

    def _take(self, line: bytes | None, rows: Rows) -> None:
        """Take a line of the settled form."""
        body = OVERSIZE if line is None else payload(line)
        if isinstance(body, int):
            reading: Reading | int = body
        elif line is not None and len(line) > MAX_LINE and self.form in _SHORT_FORMS:
            reading = OVERSIZE
        else:
            reading = READERS[self.form](body)
        if reading == BLANK:
            return
        is_first, self._is_first = self._is_first, False
        if isinstance(reading, int):
            self._count_wrong(line, reading, is_first)
            return
        self._words.end_block()
        if self._rounds is None:
            ordered = self._in_order(reading)
            if ordered is None:
                self._count_other_arity(is_first)
            else:
                self._counters.n_packets += 1
                rows.take(ordered)
        elif len(reading.names) == 1:
            self._counters.n_packets += 1
            for frame in self._rounds.take(reading):
                rows.take(frame)
        else:
            self._count_other_arity(is_first)

    def _in_order(self, reading: Reading) -> Reading | None:
        """Return a reading whose values stand in the settled order; None if it has others."""
        n_values = len(reading.values)
        if reading.names == self._names:
            is_same = bool(self._names) or n_values == self._n_values
            return reading if is_same else None
        if n_values != len(self._names) or not reading.names:
            return None
        by_name = dict(zip(reading.names, reading.values, strict=True))
        if len(by_name) != n_values or not all(name in by_name for name in self._names):
            return None
        values = [by_name[name] for name in self._names]
        return Reading(self._names, values, reading.stamps)

    def _count_other_arity(self, is_first: bool) -> None:
        if is_first:
            self._counters.extra["n_half_lines"] += 1
        else:
            self._counters.n_bad_content += 1

    def _count_wrong(self, line: bytes | None, what: int, is_first: bool) -> None:
        """Count a line that holds no frame."""
        counters = self._counters
        if what == NOTE and self._rows is None:
            self._n_notes += 1
            self._first_waits_for = "teleplot" if is_first else self._first_waits_for
        elif what == NOTE:
            counters.extra["n_log_lines"] = counters.extra.get("n_log_lines", 0) + 1
        elif is_first:
            counters.extra["n_half_lines"] += 1
        elif what == BAD_CHECKSUM:
            counters.n_bad_crc += 1
        elif what == OVERSIZE:
            counters.n_oversize += 1
        else:
            counters.n_bad_content += 1
        if what == JUNK and line is not None and not self._is_damaged_data(line):
            self._words.take(line)

    def _is_damaged_data(self, line: bytes) -> bool:
        """Return whether a line of junk looks like data that did not come through whole."""
        return b'":' in line or any(name + b":" in line for name in self._names)
