"""Which form a stream has, wire or text, found out without losing a byte."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from streamrnn.core.types import Counters
from streamrnn.kernels.codec.columns import Bytes, prepare
from streamrnn.wire.decoder import WireDecoder
from streamrnn.wire.forms.decoder import LineDecoder
from streamrnn.wire.options import StreamOptions
from streamrnn.wire.packet import WireItem
from streamrnn.wire.text import TextDecoder
from streamrnn.wire.words import Listener, Words

#: What may end a packet or a line, and so decide.
_ENDS = re.compile(rb"[\x00\r\n]")


class Detector:
    """Decode a stream whose form nobody has told.

    All decoders read along until one of them is sure: a packet with a right checksum is a wire
    stream, 3 neighbouring lines that agree are text of one form. Each keeps what it needs, so
    nothing is sniffed away. Both kernels are compiled here, so that nothing compiles later; that of
    text is loaded when plain numbers come. Use one detector from one thread at a time.

    Parameters
    ----------
    options : StreamOptions, optional
        What the user said of the stream.
    rate_hz : float
        For text; see `TextDecoder`. 0: what the options say.

    Attributes
    ----------
    format : {None, "wire", "numbers", "named", "teleplot", "json"}
        None while nothing is sure.
    push : callable
        Takes `bytes`, a `bytearray` or a `memoryview` of any length, which may be overwritten
        behind the call; returns a list of what it completes. Nothing that arrives can raise.
    """

    def __init__(self, options: StreamOptions | None = None, rate_hz: float = 0.0) -> None:
        prepare()
        self._options = options or StreamOptions()
        self._rate_hz = rate_hz or self._options.rate_hz
        self._words = Words()
        self._wire = WireDecoder()
        self._begin()

    def _begin(self) -> None:
        self._lines = LineDecoder(self._options, self._rate_hz, self._words)
        self.format: str | None = None
        self._decoder: WireDecoder | LineDecoder | TextDecoder = self._wire
        self._listener: Listener | None = None
        self.push: Callable[[Bytes], list[Any]] = self._detect
        if self._options.format == "wire":
            self._decide("wire", self._wire)
        elif self._options.format != "auto":
            self._decoder = self._lines

    @property
    def is_text(self) -> bool:
        """True once the stream is known to be text, in whatever form."""
        return self.format not in (None, "wire")

    @property
    def is_counted(self) -> bool:
        """True for text without a clock: times are counted, not measured."""
        return self.is_text and self._lines.is_counted

    @property
    def has_seq(self) -> bool:
        """True if the stream numbers its frames, so that lost ones are known."""
        return self.format == "wire" or (self.is_text and self._lines.has_seq)

    @property
    def decoder(self) -> WireDecoder | LineDecoder | TextDecoder:
        """The decoder in use; the wire's while nothing is sure."""
        return self._decoder

    @property
    def counters(self) -> Counters:
        """Of the decoder in use."""
        return self._decoder.counters

    @property
    def last_words(self) -> str:
        """The newest text between the data: a panic, a boot message, a log; escaped, bounded."""
        return self._words.last if self._listener is None else self._listener.last

    @property
    def n_text_lines(self) -> int:
        """Lines of such text so far."""
        return self._words.n_lines

    @property
    def n_text_refused(self) -> int:
        """Lines or packets that were refused because they were such text: no damage."""
        return self._words.n_pieces

    @property
    def trouble(self) -> str:
        """Why lines that could be read are refused: the options do not fit them; else ``""``."""
        return "" if self.format else self._lines.trouble

    def reset(self) -> None:
        """Forget form and stream. The wire's counters go on."""
        self._wire.reset()
        self._begin()

    def resync(self) -> None:
        """Forget only an unfinished packet or line, as when a link was lost and found again."""
        self._wire.resync()
        self._lines.resync()
        if self._decoder is not self._wire and self._decoder is not self._lines:
            self._decoder.resync()

    def _detect(self, data: Bytes) -> list[WireItem]:
        """See `push`, while nothing is sure.

        A piece holds at most one end, so that it does not matter how the bytes were cut.
        """
        if self.format is not None:
            return self.push(data)
        start = 0
        data = bytes(data)
        for match in _ENDS.finditer(data):
            items = self._sniff(data[start : match.end()])
            start = match.end()
            if items is not None:
                return [*items, *self.push(data[start:])]
        return self._sniff(data[start:]) or []

    def _sniff(self, piece: bytes) -> list[WireItem] | None:
        """Let all decoders read; return the items once one is sure, None before."""
        if self._options.format == "auto":
            n_good = self._wire.n_checked
            items = self._wire.push(piece)
            if self._wire.n_checked > n_good:
                # Lines until now; without a zero byte between them they are one run of bytes.
                self._words.n_pieces = min(self._words.n_pieces, self._wire.n_refused)
                self._decide("wire", self._wire)
                return items
        lines = self._lines.push(piece)
        if not self._lines.form:
            return None
        self._decide(self._lines.form, self._lines.bulk or self._lines)
        return [*lines]

    def _decide(self, form: str, decoder: WireDecoder | LineDecoder | TextDecoder) -> None:
        self.format, self._decoder = form, decoder
        if isinstance(decoder, LineDecoder):
            self.push = decoder.push  # it hears words itself
        else:
            self._listener = Listener(decoder, self._words, form == "wire")
            self.push = self._listener.push
