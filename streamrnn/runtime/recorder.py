"""The items of a stream into a session file."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from streamrnn.core.errors import SessionError
from streamrnn.core.records import Event, GapRecord, Record, Stats
from streamrnn.core.text import printable
from streamrnn.core.types import I64, Frames, Gap, Item, Label, Marker, StreamInfo
from streamrnn.sessions.writer import SessionWriter
from streamrnn.sources.tap import Tape
from streamrnn.sources.timing.report import TimingReport, full_text

_LOG = logging.getLogger(__name__)

#: A device that booted leaves a gap at least this long, so that no replay bridges it.
RESTART_GAP_US = 2_000_000
#: A device may begin so many labels before it ends one, and so many names are counted apart.
MAX_OPEN, MAX_NAMES = 100, 1000
_OTHERS = "(others)"
_MAX_WARNINGS = 20
#: A block that spans more than this had waited somewhere.
_WAITED_NS = 200_000_000


class Recorder:
    """Writes one stream as one session, over unplugged cables and reboots. It is a sink as well.

    Sequence numbers and device times of a session only go forward. When the device boots, and both
    start anew, its frames are moved behind those before, by the time that the host saw pass, and
    labels and events with them.

    Parameters
    ----------
    path : Path
    info : StreamInfo
    metadata : mapping of str to str
        ``subject``, ``notes``, ``source``, ...
    overwrite : bool
        Replace an existing file.
    clock_ns : callable
        Nanoseconds since 1970.

    Attributes
    ----------
    n_frames, n_missing : int
        Frames written, and missing between those written.
    labels : Counter of str
        Labels begun and not taken back, by name.
    open_label : str
        The label that a key began, ``""`` when there is none.
    newest : Frames or None
        What was written last, as it was written: its times are those of the session.

    Raises
    ------
    SessionError
        The file exists, or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        info: StreamInfo,
        metadata: Mapping[str, str],
        *,
        overwrite: bool = False,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.info = info
        self.n_frames = self.n_missing = 0
        self.labels: Counter[str] = Counter()
        self.newest: Frames | None = None
        self._n_warnings = 0
        self._is_counted = metadata.get("clock") == "counted"
        self._clock_ns = clock_ns
        self._writer = SessionWriter(path, info, metadata, overwrite=overwrite, clock=clock_ns)
        self._open_markers: list[tuple[str, int]] = []
        self._toggled: tuple[str, int] | None = None
        self._early: list[Marker] = []
        self._restarted = False
        self._seq_shift = self._t_shift_us = 0
        self._event_seq_shift = self._event_t_shift_us = 0
        self._last_seq = self._last_t_us = 0
        self._last_host_ns = 0

    def push(self, item: Item) -> None:
        """Write one item."""
        if isinstance(item, Frames):
            if len(item):
                self._write(item)
        elif isinstance(item, Marker):
            if self._restarted:
                self._early.append(item)  # its time can be moved once the next frame is seen
            else:
                self._mark(item)
        elif isinstance(item, Gap):
            self._restarted = self._restarted or (item.restart and self.n_frames > 0)
            self._writer.flush()
        elif isinstance(item, StreamInfo) and item.channels != self.info.channels:
            raise SessionError(
                "the device changed its channels: what came before is kept; start a new recording"
            )

    def open(self, stream: str, model: str) -> None:
        """Do nothing: a recorder is a sink too, and open from the start."""

    def write(self, record: Record) -> None:
        """Write an event record; of the run's statistics the session keeps the timing."""
        if isinstance(record, GapRecord) and record.n_missing is None:
            # Events before this one tell of frames before the boot, though its frames are here.
            self._event_seq_shift = self._seq_shift
            self._event_t_shift_us = self._t_shift_us
        elif isinstance(record, Event):
            self._writer.event(self._moved(record).to_dict())
        elif isinstance(record, Stats):
            self._remember(record.values.get("timing", {}))

    def remember(self, timing: TimingReport | None) -> None:
        """Keep with the session what the stream's times told in all; the last call counts."""
        if timing is not None:
            self._remember(timing.to_dict())

    def _remember(self, timing: Mapping[str, Any]) -> None:
        text = full_text(timing) if timing else ""
        if text:
            self._writer.remember({"timing": text})

    # ---- labels, all in the times of the session

    @property
    def n_labels(self) -> int:
        """Labels begun and not taken back."""
        return self.labels.total()

    @property
    def open_label(self) -> str:
        """The label that a key began."""
        return self._toggled[0] if self._toggled else ""

    def toggle(self, label: str) -> None:
        """Begin a label behind the newest frame, or end it; beginning another one ends it too."""
        before, self._toggled = self._toggled, None
        if before:
            self._writer.end(before[1])
        if not before or before[0] != label:
            self._toggled = label, self.begin(label, None, "keys")

    def begin(self, label: str, t_us: int | None, source: str) -> int:
        """Begin a label, behind the newest frame if `t_us` is None; return its number."""
        number = self._writer.begin(label, t_us, source)
        is_new = label not in self.labels
        self.labels[_OTHERS if is_new and len(self.labels) >= MAX_NAMES else label] += 1
        return number

    def end(self, number: int, t_us: int) -> None:
        """End a label."""
        self._writer.end(number, t_us)

    def undo(self, number: int | None = None) -> Label | None:
        """Take a label back, the newest if none is named; return it, None if there is none."""
        number = self._writer.newest_label if number is None else number
        if number is None:
            return None
        label = self._writer.undo(number)
        self.labels[label.name if label.name in self.labels else _OTHERS] -= 1
        self._open_markers = [entry for entry in self._open_markers if entry[1] != number]
        if self._toggled and self._toggled[1] == number:
            self._toggled = None
        return label

    # ---- files

    def tick(self, tape: Tape | None = None) -> None:
        """Put on disk what has waited for long enough; call it when nothing comes, too.

        Parameters
        ----------
        tape : Tape, optional
            Undecoded bytes, written first.
        """
        if tape is not None:
            for data, host_ns in tape.take():
                self._writer.raw(data, host_ns)
        self._writer.tick()

    def close(self) -> None:
        """End open labels and finish the file."""
        self._writer.close()

    def _write(self, frames: Frames) -> None:
        now_ns = self._clock_ns()
        if self._restarted:
            self._move(frames, now_ns)
        if self._seq_shift or self._t_shift_us:
            frames = Frames(frames.x, frames.seq + self._seq_shift, frames.t_us + self._t_shift_us)
        for marker in self._early:
            self._mark(marker)
        self._early.clear()
        self._writer.write(frames, self._arrivals(frames, now_ns))
        self.newest = frames
        span = int(frames.seq[-1] - frames.seq[0]) + 1
        if self.n_frames:
            span += int(frames.seq[0]) - self._last_seq - 1
        self.n_missing += span - len(frames)
        self.n_frames += len(frames)
        self._last_seq, self._last_t_us = int(frames.seq[-1]), int(frames.t_us[-1])
        self._last_host_ns = now_ns

    def _arrivals(self, frames: Frames, now_ns: int) -> I64 | int:
        """Return when frames arrived.

        Where times are only counted, arrivals are all that tells the true rate; so a block that had
        waited is set back to when it must have come.
        """
        if not self._is_counted or len(frames) < 2:
            return now_ns
        back_ns = 1000 * (frames.t_us[-1] - frames.t_us)
        if back_ns[0] < _WAITED_NS:
            return now_ns
        arrived_ns: I64 = np.maximum(now_ns - back_ns, self._last_host_ns)
        return arrived_ns

    def _move(self, frames: Frames, now_ns: int) -> None:
        """Find the shift that puts the frames of a new boot behind the last one."""
        self._restarted = False
        gap_us = max(RESTART_GAP_US, (now_ns - self._last_host_ns) // 1000)
        n_gap = max(1, round(gap_us * self.info.rate_hz / 1e6))
        self._seq_shift = self._last_seq + 1 + n_gap - int(frames.seq[0])
        self._t_shift_us = self._last_t_us + gap_us - int(frames.t_us[0])
        self.n_missing -= n_gap  # how many were missed is not known

    def _moved(self, event: Event) -> Event:
        shift_us = self._event_t_shift_us
        return replace(
            event,
            seq=event.seq + self._event_seq_shift,
            t_us=event.t_us + shift_us,
            onset_us=event.onset_us + shift_us,
            end_us=None if event.end_us is None else event.end_us + shift_us,
        )

    def _mark(self, marker: Marker) -> None:
        t_us = max(0, marker.t_us + self._t_shift_us)
        if marker.phase == "start":
            if len(self._open_markers) >= MAX_OPEN:
                self._warn(f"label %s left out: {MAX_OPEN} others have no end yet", marker)
                return
            self._open_markers.append((marker.label, self.begin(marker.label, t_us, "board")))
            return
        for entry in reversed(self._open_markers):
            if entry[0] == marker.label:
                self._open_markers.remove(entry)
                self._writer.end(entry[1], t_us)
                return
        # The recording began within it, or it was taken back.
        self._warn("label %s ends, but its start was not seen", marker)

    def _warn(self, text: str, marker: Marker) -> None:
        """Say what is wrong with a label; not for ever, for a device may send anything."""
        self._n_warnings += 1
        if self._n_warnings <= _MAX_WARNINGS:
            _LOG.warning(text, printable(marker.label))
