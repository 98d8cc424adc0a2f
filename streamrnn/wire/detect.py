"""Which of the two a stream is, wire or text, found out without losing a byte."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from streamrnn.core.types import Counters
from streamrnn.kernels.codec.columns import Bytes, prepare
from streamrnn.wire.decoder import WireDecoder
from streamrnn.wire.options import StreamOptions
from streamrnn.wire.packet import MAX_ENCODED, WireItem
from streamrnn.wire.text import TextDecoder

#: What may end a packet or a line, and so decide.
_ENDS = re.compile(rb"[\x00\r\n]")


class Detector:
    """Decode a stream whose format nobody has told.

    Both decoders read along until one of them is sure: a packet with a right checksum is a wire
    stream, 3 neighbouring lines with the same number of numbers are text. Each keeps what it needs,
    so nothing is sniffed away. Both are compiled here, so that nothing compiles later; that of text
    is loaded when the first line ends. Use one detector from one thread at a time.

    Parameters
    ----------
    options : StreamOptions, optional
        What the user said of the stream.
    rate_hz : float
        For text; see `TextDecoder`. 0: what the options say.

    Attributes
    ----------
    format : {None, "wire", "numbers"}
        None while nothing is sure.
    push : callable
        Takes `bytes`, a `bytearray` or a `memoryview` of any length, which may be overwritten
        behind the call; returns a list of what it completes. Nothing that arrives can raise. Ask
        for it anew at each call: it is the decoder's own once the format is known.
    """

    def __init__(self, options: StreamOptions | None = None, rate_hz: float = 0.0) -> None:
        prepare()
        self._options = options or StreamOptions()
        self._rate_hz = rate_hz or self._options.rate_hz
        self._wire = WireDecoder()
        self._text: TextDecoder | None = None
        self._begin()

    def _begin(self) -> None:
        self.format: str | None = None
        self._decoder: WireDecoder | TextDecoder = self._wire
        self._unread = bytearray()  # by the text decoder
        self.push: Callable[[Bytes], list[Any]] = self._detect

    @property
    def is_text(self) -> bool:
        """True once the stream is known to be text, in whatever form."""
        return self.format not in (None, "wire")

    @property
    def decoder(self) -> WireDecoder | TextDecoder:
        """The decoder in use; the wire's while nothing is sure."""
        return self._decoder

    @property
    def counters(self) -> Counters:
        """Of the decoder in use."""
        return self._decoder.counters

    def reset(self) -> None:
        """Forget format and stream. Counters go on."""
        self._wire.reset()
        if self._text is not None:
            self._text.reset()
        self._begin()

    def resync(self) -> None:
        """Forget only an unfinished packet or line, as when a link was lost and found again."""
        self._wire.resync()
        self._unread.clear()
        if self._text is not None:
            self._text.resync()

    def _detect(self, data: Bytes) -> list[WireItem]:
        """See `push`, while nothing is sure."""
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
        """Let both decoders read; return the items once one is sure, None before.

        A piece holds at most one end, so that it does not matter how the bytes were cut.
        """
        n_good = self._wire.n_checked
        items = self._wire.push(piece)
        if self._wire.n_checked > n_good:
            return self._decide("wire", self._wire, items)
        self._unread += piece
        if not piece.endswith((b"\r", b"\n")) and len(self._unread) <= MAX_ENCODED:
            return None
        if self._text is None:
            self._text = TextDecoder(rate_hz=self._rate_hz)
        lines = self._text.push(self._unread)
        self._unread.clear()
        if self._text.n_channels is None:
            return None
        return self._decide("numbers", self._text, [*lines])

    def _decide(
        self, name: str, decoder: WireDecoder | TextDecoder, items: list[WireItem]
    ) -> list[WireItem]:
        self.format, self._decoder, self.push = name, decoder, decoder.push
        self._unread.clear()
        return items
