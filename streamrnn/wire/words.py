"""What a board says in plain words between its data: boot messages, panics, logs."""

from __future__ import annotations

import re
from typing import Any, Protocol

from streamrnn.core.text import printable

#: Longest text that is kept, in characters.
MAX_WORDS = 200

_WORD = re.compile(rb"[A-Za-z]{3}")
_PANIC = re.compile(
    rb"guru meditation|panic|abort\(|assert|brownout|stack (smash|overflow)|hard ?fault"
    rb"|fatal|watchdog|wdt|exception|traceback",
    re.IGNORECASE,
)
_BOOT = re.compile(rb"rst:0x|reset|reboot|boot|backtrace", re.IGNORECASE)
_ASCII = bytes(range(0x80))
#: What no text holds; colours begin with an escape.
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]")
#: A line of plain numbers, up to its end.
_NUMBERS = re.compile(rb"(?:\A|[\r\n])[ \t]*+[-+.$0-9][-+.0-9eE,; \t]*+(?=[*\r\n]|\Z)")
#: Bytes that are kept of what has no end yet: a panic with its registers.
_MAX_UNENDED = 4096
#: Bytes between two packets that may be one.
_MIN_PACKET = 20
#: A line between other bytes: long enough to be no accident, up to its end.
_LINE_AMONG_BYTES = re.compile(rb"[\x20-\x7e\t]{8,}+(?=[\r\n])")
_LINE = re.compile(rb"[^\r\n\x00]++")


class Words:
    """The newest text that is no data.

    Lines with no data between belong together. Of such a block the most telling line is kept: what
    a panic says, before what a boot says, before anything else; of panic lines the first, of others
    the newest.

    Attributes
    ----------
    last : str
        That line, escaped, at most `MAX_WORDS` characters; ``""`` when there was none.
    n_lines : int
        Lines of text so far.
    n_pieces : int
        Lines, or packets, that were refused and were such text: no damage.
    """

    def __init__(self) -> None:
        self.last = ""
        self.n_lines = self.n_pieces = 0
        self._weight = -1  # of `last` in the block that goes on; -1: none goes on

    def take(self, line: bytes) -> None:
        """Take a line that is no data; one without words, or of bytes, says nothing."""
        self.n_pieces += self._hear(line)

    def _hear(self, line: bytes) -> bool:
        """Keep a line if it is text; return whether it is."""
        head = line[: 2 * MAX_WORDS]
        if not _is_text(head):
            return False
        self.n_lines += 1
        weight = 2 if _PANIC.search(head) else 1 if _BOOT.search(head) else 0
        if weight > self._weight or weight == self._weight < 2:
            self._weight = weight
            self.last = _shown(head)
        return True

    def take_back(self, line: bytes) -> None:
        """Forget a line that has turned out to be data."""
        is_text = _is_text(line[: 2 * MAX_WORDS])
        self.n_lines -= is_text
        self.n_pieces -= is_text
        if self.last == _shown(line[: 2 * MAX_WORDS]):
            self.last = ""
            self._weight = -1

    def end_block(self) -> None:
        """Note that data came: what is said next is another matter."""
        self._weight = -1

    def take_from_lines(self, data: bytes) -> None:
        """Take the lines with words in them out of whole lines of numbers."""
        at = 0
        while word := _WORD.search(data, at):
            ends = (data.rfind(end, at, word.start()) for end in (b"\n", b"\r"))
            start = max(at, 1 + max(ends))
            if _NUMBERS.search(data[at:start]):
                self.end_block()
            line = _LINE.match(data, start)
            at = line.end() if line else word.end()
            self.take(data[start:at])
        if _NUMBERS.search(data[at:]):
            self.end_block()

    def take_from_packets(self, data: bytes) -> None:
        """Take what looks like lines of text out of whole packets."""
        for packet in data.split(b"\0"):
            lines = _LINE_AMONG_BYTES.findall(packet)
            self.n_pieces += any([self._hear(line) for line in lines])
            if not lines and len(packet) >= _MIN_PACKET:
                self.end_block()


def _is_text(line: bytes) -> bool:
    n_foreign = len(line.translate(None, _ASCII))
    is_bytes = _CONTROL.search(line) is not None or 10 * n_foreign > len(line)
    return _WORD.search(line) is not None and not is_bytes


def _shown(line: bytes) -> str:
    return printable(line.decode("utf-8", "backslashreplace").strip(), MAX_WORDS)


def _line_end(data: bytes) -> int:
    """Return where the last line ends, -1 if none does."""
    return max(data.rfind(b"\n"), data.rfind(b"\r"))


class Reader(Protocol):
    """A compiled decoder, which counts what it refuses and does not hand it up."""

    @property
    def n_refused(self) -> int:
        """Lines or packets refused so far."""

    def push(self, data: bytes) -> list[Any]:
        """Take bytes."""


class Listener:
    """Pass bytes on to a compiled decoder, and listen for words where it refuses some.

    Parameters
    ----------
    decoder : Reader
    words : Words
    is_wire : bool
        Packets end in a zero byte; else lines do, in CR or LF.
    """

    def __init__(self, decoder: Reader, words: Words, is_wire: bool) -> None:
        self._decoder = decoder
        self._words = words
        self._take = words.take_from_packets if is_wire else words.take_from_lines
        self._is_wire = is_wire
        self._unended = b""
        self._n_refused = decoder.n_refused

    @property
    def last(self) -> str:
        """The newest words; a board that panics and falls silent ends no packet behind them."""
        words = Words()
        words.last = self._words.last
        if self._is_wire:
            words.take_from_packets(self._unended)
        return words.last

    def push(self, data: bytes | bytearray | memoryview) -> list[Any]:
        """Return what the decoder makes of the bytes."""
        if not isinstance(data, bytes):
            data = bytes(data)
        items = self._decoder.push(data)
        end = 1 + (data.rfind(0) if self._is_wire else _line_end(data))
        if not end:
            self._unended = (self._unended + data)[-_MAX_UNENDED:]
            return items
        if self._decoder.n_refused != self._n_refused:
            self._n_refused = self._decoder.n_refused
            self._take(self._unended + data[:end])
        elif items:
            self._words.end_block()
        self._unended = data[end:][-_MAX_UNENDED:]
        return items
