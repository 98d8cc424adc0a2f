"""Sessions onto disk, so that a kill or a full disk costs a second and no more.

The MCAP form is https://mcap.dev/spec; docs/formats.md says how a session uses it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from streamrnn.core.errors import SessionError
from streamrnn.core.text import printable
from streamrnn.core.types import I64, Frames, Label, Marker, StreamInfo
from streamrnn.sessions import form
from streamrnn.sessions.disk import later_part_paths, part_path, sync_folder
from streamrnn.sessions.label_book import LabelBook, boundary, retraction
from streamrnn.sessions.part import Part
from streamrnn.sessions.session import Session, frame_period_us

#: With the time that a batch and the disk take, a kill costs less than a second.
FLUSH_NS = 750_000_000
ROTATE_NS = 3600 * 1_000_000_000
ROTATE_BYTES = 64_000_000
#: A jump that 32 bits of sequence cannot tell from one backwards.
_FAR_AHEAD = 2**31 - 2
_EXISTS = "{} exists already: name another file (`streamrnn record` can replace it: --overwrite)"


class SessionWriter:
    """Writes one session, as one MCAP file or as a row of them.

    Everything given is on disk at most one second later (flush and fsync), as long as something is
    written or `tick` is called. A part ends after an hour or 64 MB; the next is ``name-002.mcap``.

    Parameters
    ----------
    path : Path
        The file, or the first of its parts.
    info : StreamInfo
        Channels, rate and device.
    metadata : mapping of str to str
        ``subject``, ``placement``, ``notes``, ``source`` and whatever else is worth knowing.
    overwrite : bool
        Whether existing files may be replaced.
    clock : callable
        Nanoseconds since 1970; default arrival time of frames, and paces flush and rotation.
    rotate_bytes, rotate_ns : int
        Size and age at which a part ends.

    Raises
    ------
    SessionError
        The file exists, its folder does not, or the disk refuses. After a failed write nothing more
        is written, and what was written before stays readable.
    """

    def __init__(
        self,
        path: Path,
        info: StreamInfo,
        metadata: Mapping[str, str] | None = None,
        *,
        overwrite: bool = False,
        clock: Callable[[], int] = time.time_ns,
        rotate_bytes: int = ROTATE_BYTES,
        rotate_ns: int = ROTATE_NS,
    ) -> None:
        if not 1 <= info.n_channels <= form.MAX_CHANNELS:
            raise SessionError(
                f"a session has 1 to {form.MAX_CHANNELS} channels, got {info.n_channels}"
            )
        self.path = Path(path)
        self.info = info
        self.n_frames = 0
        self.n_parts = 0
        self._metadata = dict(metadata or {})
        self._closing: dict[str, str] = {}
        self._overwrite = overwrite
        self._clock = clock
        # Parts know each other by this; from the content alone, so that an import can be repeated.
        said = f"{form.Document(info, self._metadata).to_json()}{clock()}"
        self._session = hashlib.blake2b(said.encode(), digest_size=12).hexdigest()
        self._rotate_bytes = rotate_bytes
        self._rotate_ns = rotate_ns
        self._next_seq = 0
        self._last_t_us = 0
        self._last_period_us = frame_period_us(info.rate_hz, np.empty(0, np.int64))
        self._labels = LabelBook()
        self._open = True
        self._is_dirty = False
        self._check_target()
        with self._disk():
            self._begin_part()

    # ---- what is recorded

    def write(self, frames: Frames, host_ns: I64 | int | None = None) -> None:
        """Append frames.

        Parameters
        ----------
        frames : Frames
            ``seq`` above, and ``t_us`` not below, those already written.
        host_ns : int64 (N,) or int or None
            When they arrived; None means now.

        Raises
        ------
        SessionError
            Frames that go back in sequence or time (a device that booted anew needs a new session),
            or the disk refused.
        """
        if not len(frames):
            return
        self._check_frames(frames)
        now = self._clock()
        log = np.broadcast_to(np.asarray(now if host_ns is None else host_ns), len(frames)).tolist()
        if min(log) < 0:
            raise SessionError(f"host time is negative: {min(log)} ns")
        data = form.frames_to_cdr(frames.x)
        size = form.frame_data_bytes(self.info.n_channels)
        with self._disk():
            add = self._part.add
            for i, (seq, t_us) in enumerate(
                zip(frames.seq.tolist(), frames.t_us.tolist(), strict=True)
            ):
                if seq - self._next_seq > _FAR_AHEAD:
                    self._add_json(form.SEQ_ID, {"seq": seq}, t_us, log[i])
                row = data[i * size : (i + 1) * size]
                add(form.FRAMES_ID, log[i], row, t_us * 1000, seq & 0xFFFFFFFF)
                self._next_seq = seq + 1
            if len(frames) > 1 and not self.info.rate_hz:
                self._last_period_us = frame_period_us(0.0, frames.t_us)
            self._last_t_us = int(frames.t_us[-1])
            self.n_frames += len(frames)
            self._pace(now)

    def begin(
        self, name: str, t_us: int | None = None, source: str = "", confidence: float = 1.0
    ) -> int:
        """Begin a label.

        Parameters
        ----------
        name : str
            Class name.
        t_us : int or None
            Device time; None means that of the frame behind the newest one.
        source : str
            Who says so: ``"keys"``, ``"board"``, ``"guide"``.
        confidence : float
            0..1, stored with the label.

        Returns
        -------
        int
            Its number within the session, for `end` and `undo`.
        """
        at_us = self._behind_us() if t_us is None else t_us
        label = Label(name, at_us, at_us, source, confidence)
        number = self._labels.begin(label)
        self._write_boundary(number, label, "start")
        return number

    def end(self, number: int, t_us: int | None = None) -> None:
        """End an open label; one that is not open is a `SessionError`."""
        label = self._labels.end(number, self._behind_us() if t_us is None else t_us)
        self._write_boundary(number, label, "end")

    @property
    def newest_label(self) -> int | None:
        """Number of the newest label that was not taken back."""
        return self._labels.newest()

    def undo(self, number: int | None = None) -> Label:
        """Take a label back, open or ended: readers leave it out.

        Parameters
        ----------
        number : int or None
            None: the newest of those that were not taken back.

        Returns
        -------
        Label
            As far as it was known.

        Raises
        ------
        SessionError
            There is none, or it is further back than the last 10,000; or the disk refused.
        """
        number = self.newest_label if number is None else number
        if number is None:
            raise SessionError("there is no label to take back")
        label = self._labels.undo(number)
        self._retract(number)
        return label

    def mark(
        self,
        label: Marker | str,
        phase: str = "",
        t_us: int | None = None,
        source: str = "",
        confidence: float = 1.0,
    ) -> None:
        """Append a label boundary: ``mark(Marker(...))`` or ``mark("left", "start", t_us)``.

        Parameters
        ----------
        label : Marker or str
            The boundary, or the name of the class; then `phase` and `t_us` say the rest.
        phase : {"start", "end"}
            An end closes the newest open label of that name and, if one is given, of that source.
            An end without a start is refused.
        t_us, source, confidence
            As `begin` has them.
        """
        if isinstance(label, Marker):
            name, phase, t_us = label.label, label.phase, label.t_us
        else:
            name = label
        if phase == "start":
            self.begin(name, t_us, source, confidence)
        elif phase == "end":
            self.end(self._labels.newest_open(name, source), t_us)
        else:
            raise SessionError(f"a label boundary is 'start' or 'end', got {printable(phase)!r}")

    def event(self, record: Mapping[str, Any]) -> None:
        """Append an event record (docs/formats.md, "Events"), as ``to_dict()`` gives it."""
        t_us = record.get("t_us")
        with self._disk():
            at = t_us if isinstance(t_us, int) else self._last_t_us
            self._add_json(form.EVENTS_ID, dict(record), at, self._clock())
            self._pace(self._clock())

    def raw(self, data: bytes, host_ns: int | None = None) -> None:
        """Append undecoded bytes as one read returned them, for byte-exact replay."""
        now = self._clock()
        with self._disk():
            log = now if host_ns is None else host_ns
            self._part.add(form.RAW_ID, log, data, self._last_t_us * 1000)
            self._pace(now)

    def remember(self, metadata: Mapping[str, str]) -> None:
        """Add to the metadata what is known only now; it is written when the session is closed."""
        self._closing.update(metadata)

    # ---- files

    def tick(self) -> None:
        """Put on disk what has waited for long enough: call it now and then if frames may stop."""
        if self._open and self._is_dirty:
            with self._disk():
                self._pace(self._clock(), is_new=False)

    def flush(self) -> None:
        """Put everything given so far on disk."""
        with self._disk():
            self._part.flush()
            self._flushed_ns = self._clock()
            self._is_dirty = False

    def close(self) -> None:
        """End open labels behind the last frame and finish the file; harmless when closed."""
        if not self._open:
            return
        for number, opened in list(self._labels.open.items()):
            self.end(number, max(opened.start_us, self._behind_us()))
        with self._disk():
            self._part.finish(closing=self._closing)
        self._open = False

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; an error that already travels is not hidden by another one."""
        try:
            self.close()
        except SessionError:
            if error is None:
                raise

    # ---- inside

    def _check_target(self) -> None:
        if not self.path.parent.is_dir():
            raise SessionError(f"no such folder: {self.path.parent} (for {self.path.name})")
        if self.path.is_dir():
            raise SessionError(f"{self.path} is a folder, not a file to write")
        if not self._overwrite:
            for path in (self.path, *later_part_paths(self.path)):
                if path.exists():
                    raise SessionError(_EXISTS.format(path))

    def _check_frames(self, frames: Frames) -> None:
        if frames.x.shape != (len(frames), self.info.n_channels):
            raise SessionError(
                f"frames of shape {frames.x.shape} do not fit {self.info.n_channels} channels"
            )
        seq, t_us = frames.seq, frames.t_us
        if seq[0] < self._next_seq or (np.diff(seq) <= 0).any():
            raise SessionError(
                f"frame {int(seq[0])} does not follow frame {self._next_seq - 1}: "
                "a device that booted anew needs a new session"
            )
        if t_us[0] < self._last_t_us or (np.diff(t_us) < 0).any() or t_us[-1] > form.MAX_T_US:
            raise SessionError(
                f"device time goes from {self._last_t_us} us to {int(t_us[0])} us: "
                "it must never go back within a session, nor be negative"
            )

    def _begin_part(self) -> None:
        self.n_parts += 1
        path = part_path(self.path, self.n_parts)
        document = form.Document(self.info, self._metadata, self._session, self.n_parts)
        now = self._clock()
        self._part = Part(path, document, self._overwrite, now, self._last_t_us)
        self._flushed_ns = now
        self._is_dirty = False
        if self._next_seq > _FAR_AHEAD:
            # A part says for itself where the 32-bit sequence of its frames stands.
            self._add_json(form.SEQ_ID, {"seq": self._next_seq}, self._last_t_us, now)
        for number, opened in self._labels.open.items():
            self._add_boundary(number, opened, "start", now)
            self._is_dirty = True

    def _pace(self, now: int, is_new: bool = True) -> None:
        self._is_dirty = self._is_dirty or is_new
        part = self._part
        if part.n_bytes >= self._rotate_bytes or abs(now - part.begun_ns) >= self._rotate_ns:
            part.finish(part_path(self.path, self.n_parts + 1).name)
            self._begin_part()
        elif abs(now - self._flushed_ns) >= FLUSH_NS:  # abs: the wall clock may be set back
            part.flush()
            self._flushed_ns = now
            self._is_dirty = False

    def _behind_us(self) -> int:
        return self._last_t_us + self._last_period_us if self.n_frames else 0

    def _write_boundary(self, number: int, label: Label, phase: str) -> None:
        now = self._clock()
        with self._disk():
            self._add_boundary(number, label, phase, now)
            self._pace(now)

    def _retract(self, number: int) -> None:
        now = self._clock()
        with self._disk():
            self._add_json(form.LABELS_ID, retraction(number), self._last_t_us, now)
            self._pace(now)

    def _add_boundary(self, number: int, label: Label, phase: str, now: int) -> None:
        t_us = label.end_us if phase == "end" else label.start_us
        self._add_json(form.LABELS_ID, boundary(number, label, phase), t_us, now)

    def _add_json(self, channel: int, document: dict[str, Any], t_us: int, now: int) -> None:
        text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
        at = min(max(t_us, 0), form.MAX_T_US) * 1000
        self._part.add(channel, now, text, at)

    @contextmanager
    def _disk(self) -> Iterator[None]:
        if not self._open:
            raise SessionError(f"{self.path} is closed")
        try:
            yield
        except OSError as error:
            self._open = False
            if hasattr(self, "_part"):
                self._part.abandon()
            kept = "what was recorded before it can be read" if self.n_frames else "nothing is kept"
            where = part_path(self.path, max(self.n_parts, 1))
            raise SessionError(f"cannot write {where}: {error.strerror or error}; {kept}") from None


def write_session(path: Path, session: Session, *, overwrite: bool = False) -> None:
    """Write a whole session as one file: under a temporary name, then renamed.

    Raises
    ------
    SessionError
        As `SessionWriter`; then nothing stands at `path` that was not there before.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise SessionError(_EXISTS.format(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    first_ns = int(session.host_ns[0]) if len(session) else 0
    try:
        with SessionWriter(
            temporary,
            session.info,
            session.metadata,
            overwrite=True,
            clock=lambda: first_ns,
            rotate_bytes=2**63,
        ) as writer:
            _write_all(writer, session)
        os.replace(temporary, path)
    except OSError as error:
        raise SessionError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _write_all(writer: SessionWriter, session: Session) -> None:
    """Interleave labels with the frames, so that a viewer and a cut file have them in place."""
    bounds = []
    for n, label in enumerate([*session.labels, *session.undone]):
        is_undone = n >= len(session.labels)
        bounds.append((label.start_us, 1, n, label, False))
        bounds.append((max(label.end_us, label.start_us), 0, n, label, is_undone))
    t_us = session.frames.t_us
    done = 0
    for at_us, is_start, n, label, is_undone in sorted(bounds, key=lambda item: item[:3]):
        upto = int(np.searchsorted(t_us, at_us))
        writer.write(session.frames[done:upto], session.host_ns[done:upto])
        done = max(done, upto)
        writer._write_boundary(n, label, "start" if is_start else "end")
        if is_undone:
            writer._retract(n)
    writer.write(session.frames[done:], session.host_ns[done:])
    for record in session.events:
        writer.event(record)
