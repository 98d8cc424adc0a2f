"""Pieces of session files into one `Session`, and an account of what is missing."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamrnn.core.errors import SessionError
from streamrnn.core.text import counted, printable
from streamrnn.core.types import I64, Frames, Label
from streamrnn.sessions import form
from streamrnn.sessions.chunk import FrameRun, MalformedChunkError, Message, split
from streamrnn.sessions.scan import IndexCount, MetadataRecord, Tail
from streamrnn.sessions.session import Session, frame_period_us

#: Most labels and events of a session.
MAX_SMALL_RECORDS = 1_000_000


@dataclass(slots=True)
class _Break:
    """A damaged place: how many frames stand before it, and how many it held, if that is known."""

    n_before: int
    n_missing: int | None = None


@dataclass(slots=True)
class _LabelBounds:
    """What is known of a label so far; `n_before` frames were read when it started."""

    name: str
    start_us: int
    end_us: int | None
    source: str
    confidence: float
    n_before: int


class Assembly:
    """Takes the pieces of a session's parts in order; `session` gives the result.

    Attributes
    ----------
    document : Document or None
        The first good description in the present part.
    problems : list of str
    next_part : str
        Name of the part that should follow, ``""`` if none.
    n_pieces : int
        Counted by the caller.
    """

    def __init__(self) -> None:
        self.document: form.Document | None = None
        self.problems: list[str] = []
        self.next_part = ""
        self.n_pieces = 0
        self.first_part = 0
        self.session_id = ""
        self._part = 1
        self._first: form.Document | None = None
        self._closing: dict[str, str] = {}
        self._bad_document = False
        self._blocks: list[Frames] = []
        self._host: list[I64] = []
        self._n_frames = 0
        self._n_chunks = 0
        self._next_seq = 0
        self._last_t_us = 0
        self._pending: str = ""
        self._breaks: list[_Break] = []
        self._labels: dict[int, _LabelBounds] = {}
        self._undone: set[int] = set()
        self._events: list[dict[str, Any]] = []
        self._n_bad_records = 0
        self._n_outside = 0
        self._tail = Tail(False, False)

    @property
    def n_channels(self) -> int | None:
        """Number of channels, None while the session document is not known."""
        return None if self.document is None else self.document.info.n_channels

    def begin_part(self, part: int) -> None:
        """Expect part number `part` of the same session; those between are missing."""
        if not self._tail.complete or part != self._part + 1:
            self._breaks.append(_Break(self._n_frames))
        for missing in range(self._part + 1, part):
            self.problems.append(f"its part {missing} is missing or damaged")
        self._part = part
        self.document = None
        self.next_part = ""
        self._pending = ""

    # ---- pieces

    def chunk(self, data: bytes) -> None:
        """Take a good chunk; on a malformed one nothing of it is kept.

        Raises
        ------
        MalformedChunkError
            Its records make no sense.
        SessionError
            Its session document is of a newer version, or there are too many records.
        """
        if self.document is None:
            text = _document_text(data)
            if text is not None:
                self._adopt(form.Document.from_json(text))
        next_seq, t_us = self._next_seq, self._last_t_us
        blocks: list[Frames] = []
        host: list[I64] = []
        messages: list[tuple[int, Message]] = []
        n_frames = self._n_frames
        for item in split(data, self.n_channels) if self.document is not None else ():
            if isinstance(item, Message):
                if item.channel == form.SEQ_ID:
                    next_seq = _full_seq(item, next_seq)
                messages.append((n_frames, item))
                continue
            block = _frames(item, next_seq, t_us)
            next_seq, t_us = int(block.seq[-1]) + 1, int(block.t_us[-1])
            blocks.append(block)
            host.append(item["log_time"].astype(np.int64))
            n_frames += len(block)
        self._pending = "good" if blocks else ""
        self._n_chunks += 1
        self._blocks += blocks
        self._host += host
        self._n_frames, self._next_seq, self._last_t_us = n_frames, next_seq, t_us
        for n_before, message in messages:
            self._message(n_before, message)

    def index(self, piece: IndexCount) -> None:
        """Take a message index: it says how many frames a damaged chunk held."""
        n_frames = piece.n_messages if piece.channel == form.FRAMES_ID else 0
        if n_frames and self._pending == "":
            self.damage()  # the record before should have been a chunk, and was not seen as one
        if self._pending == "bad":
            self._breaks[-1].n_missing = (self._breaks[-1].n_missing or 0) + n_frames
        elif n_frames:
            self._pending = ""

    def metadata(self, piece: MetadataRecord) -> None:
        """Take a Metadata record."""
        if piece.name == form.NEXT_PART_NAME:
            self.next_part = piece.values.get("name", "")
        elif piece.name == form.CLOSING_NAME:
            self._closing = piece.values
        elif piece.name == form.METADATA_NAME and self.document is None:
            try:
                self._adopt(form.Document.from_record(piece.values))
            except form.NewerFormatError:
                raise
            except SessionError:
                self._bad_document = True

    def damage(self) -> None:
        """Take note of a damaged place."""
        self._breaks.append(_Break(self._n_frames))
        self._n_chunks += 1
        self._pending = "bad"

    def tail(self, piece: Tail) -> None:
        """Take the end of a part."""
        self._tail = piece

    def why_no_document(self) -> str:
        """Return what to say of a file that does not describe itself."""
        if self._bad_document or self._breaks:
            return "its description is damaged, nothing can be read"
        if not self._tail.complete and self.n_pieces <= 1:
            return "it was cut before its description ended, nothing can be read"
        return "it is an MCAP file, but not a streamrnn session"

    # ---- result

    def session(self) -> Session:
        """Return the session."""
        if self._first is None:
            raise SessionError(self.why_no_document())
        info = self._first.info
        frames = Frames.join(self._blocks, info.n_channels)
        host = np.concatenate(self._host) if self._host else np.empty(0, np.int64)
        metadata = {**self._closing, **self._first.metadata}
        session = Session(info, frames, host, [], self._events, metadata, self.problems)
        self._say_damage(session)
        self._say_tail(session)
        session.labels = self._finished_labels(session)
        if self._n_bad_records:
            n_bad = counted(self._n_bad_records, "label or event record")
            self.problems.append(f"{n_bad} of no sense left out")
        return session

    # ---- inside

    def _adopt(self, document: form.Document) -> None:
        self.document = document
        if self._first is None:
            self._first = document
            self.first_part = document.part
            self.session_id = document.session
            if document.part > 1:
                self.problems.append(f"this is part {document.part} of a session, read alone")
        elif document.info != self._first.info:
            raise SessionError("its channels are not those of the first part")

    def _message(self, n_before: int, message: Message) -> None:
        if message.channel not in (form.LABELS_ID, form.EVENTS_ID):
            return
        n_records = len(self._labels) + len(self._undone) + len(self._events)
        if n_records >= MAX_SMALL_RECORDS:
            raise SessionError(f"it has more than {MAX_SMALL_RECORDS} labels and events")
        try:
            record = form.load_json(message.data)
            if message.channel == form.EVENTS_ID:
                self._events.append(record)
            else:
                self._label(record, n_before)
        except (SessionError, KeyError, TypeError, ValueError, OverflowError):
            self._n_bad_records += 1

    def _label(self, record: dict[str, Any], n_before: int) -> None:
        number = record["id"]
        if record["phase"] == "undo" and isinstance(number, int) and abs(number) <= form.MAX_T_US:
            self._undone.add(number)
            return
        start_us = record["start_us"]
        end_us = record["end_us"] if record["phase"] == "end" else None
        for value in (number, start_us, start_us if end_us is None else end_us):
            if not isinstance(value, int) or abs(value) > form.MAX_T_US:
                raise TypeError("label bounds are not whole numbers of a sensible size")
        known = self._labels.get(number)
        begin_us = start_us if known is None else known.start_us
        if end_us is not None and end_us < begin_us:
            raise TypeError("a label ends before it starts")
        if known is not None:
            known.end_us = end_us if end_us is not None else known.end_us
            return
        self._labels[number] = _LabelBounds(
            str(record["label"]),
            start_us,
            end_us,
            str(record.get("source", "")),
            float(record.get("confidence", 1.0)),
            n_before,
        )

    def _finished_labels(self, session: Session) -> list[Label]:
        """Return the labels; one without an end goes to where the recording was still whole."""
        known = self._labels.keys() | self._undone
        n_lost = max(known, default=-1) + 1 - len(known)
        if n_lost:
            self.problems.append(f"{counted(n_lost, 'label')} stood in the missing part")
        labels: list[Label] = []
        for number in sorted(self._labels):
            bounds = self._labels[number]
            end_us = bounds.end_us
            if end_us is None and number in self._undone:
                end_us = bounds.start_us  # given up before its end
            elif end_us is None:
                end_us = max(bounds.start_us, self._whole_until_us(session, bounds.n_before))
                name = printable(bounds.name, 40)
                self.problems.append(
                    f"label {name!r} has no end: taken to end at "
                    f"{(end_us - session.start_us) / 1e6:.2f} s"
                )
            label = Label(bounds.name, bounds.start_us, end_us, bounds.source, bounds.confidence)
            (session.undone if number in self._undone else labels).append(label)
        session.undone.sort(key=lambda label: label.start_us)
        return sorted(labels, key=lambda label: label.start_us)

    def _whole_until_us(self, session: Session, n_before: int) -> int:
        t_us = session.frames.t_us
        for place in self._breaks:
            if n_before <= place.n_before < len(t_us):
                period_us = frame_period_us(session.info.rate_hz, t_us)
                return int(t_us[place.n_before - 1]) + period_us if place.n_before else 0
        return session.end_us

    def _say_damage(self, session: Session) -> None:
        if not self._breaks:
            return
        frames = session.frames
        missing, unknown = 0, 0
        for n_before, same in itertools.groupby(self._breaks, key=lambda place: place.n_before):
            counts = [place.n_missing for place in same]
            if None not in counts:
                missing += sum(count or 0 for count in counts)
            elif 0 < n_before < len(frames):
                missing += int(frames.seq[n_before] - frames.seq[n_before - 1]) - 1
            else:
                unknown += 1
        rate_hz = session.info.rate_hz
        seconds = f" ({missing / rate_hz:.2f} s)" if rate_hz > 0 else ""
        lost = f"{counted(missing, 'frame')}{seconds} missing"
        if unknown:
            lost = f"at least {lost}" if missing else "how many frames are missing is not known"
        verb = "is" if len(self._breaks) == 1 else "are"
        self.problems.append(
            f"{len(self._breaks)} of {counted(self._n_chunks, 'chunk')} {verb} damaged: {lost}"
        )

    def _say_tail(self, session: Session) -> None:
        if self._tail.finished:
            return
        if self._tail.complete:
            self.problems.append("its closing summary is cut off; no frame is missing")
            return
        at = f"after {session.duration_s:.2f} s ({counted(len(session), 'frame')})"
        cut_s = self._tail.cut_ns / 1e9
        known = f": about {cut_s:.2f} s of it" if cut_s else ""
        self.problems.append(
            f"the file ends early, it was cut or the recorder was killed: what came {at} is "
            f"missing{known}"
        )


def _document_text(data: bytes) -> bytes | None:
    """Return the session document of a first chunk, or None where there is none."""
    try:
        for item in split(data, None):
            if isinstance(item, Message) and item.channel == form.SESSION_ID:
                return item.data if item.data.startswith(b'{"format":') else None
    except MalformedChunkError:
        return None
    return None


def _full_seq(message: Message, next_seq: int) -> int:
    """Return the sequence number that a ``/seq`` record announces."""
    try:
        seq = form.load_json(message.data).get("seq")
    except SessionError as error:
        raise MalformedChunkError(str(error)) from None
    if not isinstance(seq, int) or not next_seq <= seq < 2**63 - 1:
        raise MalformedChunkError("a sequence record makes no sense")
    return seq


def _frames(run: FrameRun, next_seq: int, last_t_us: int) -> Frames:
    seq = form.unwrap_sequence(run["sequence"].astype(np.int64), next_seq)
    t_us = (run["publish_time"] // 1000).astype(np.int64)
    back = np.diff(seq, prepend=next_seq - 1) <= 0
    if back.any() or (np.diff(t_us, prepend=last_t_us) < 0).any():
        raise MalformedChunkError("frames go back in sequence or time")
    return Frames(np.array(run["x"], np.float32, order="C"), seq, t_us)
