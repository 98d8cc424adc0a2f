"""Which of the two a stream is, wire or text, found out without losing a byte."""

from __future__ import annotations

import re

from streamrnn.core.types import Counters
from streamrnn.wire.decoder import WireDecoder
from streamrnn.wire.packet import WireItem
from streamrnn.wire.text import TextDecoder

#: What may end a packet or a line, and so decide.
_ENDS = re.compile(rb"[\x00\r\n]")


class Detector:
    """Decode a stream whose format nobody has told.

    Both decoders read along until one of them is sure: a packet with a right checksum is a wire
    stream, 3 neighbouring lines with the same number of numbers are text. Each keeps what it needs,
    so nothing is sniffed away.

    Parameters
    ----------
    rate_hz : float
        For text; see `TextDecoder`.

    Attributes
    ----------
    format : {None, "wire", "text"}
        None while nothing is sure.
    """

    def __init__(self, rate_hz: float = 0.0) -> None:
        self._wire = WireDecoder()
        self._text = TextDecoder(rate_hz=rate_hz)
        self.format: str | None = None
        self._decoder: WireDecoder | TextDecoder = self._wire

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
        self._text.reset()
        self.format = None
        self._decoder = self._wire

    def resync(self) -> None:
        """Forget only an unfinished packet or line, as when a link was lost and found again."""
        self._wire.resync()
        self._text.resync()

    def push(self, data: bytes | bytearray | memoryview) -> list[WireItem]:
        """Return what `data` completes; nothing that arrives can raise.

        Parameters
        ----------
        data : bytes, bytearray or memoryview
            Any length; copied.
        """
        if self.format is not None:
            return [*self._decoder.push(data)]
        start = 0
        data = bytes(data)
        for match in _ENDS.finditer(data):
            items = self._sniff(data[start : match.end()])
            start = match.end()
            if items is not None:
                return [*items, *self._decoder.push(data[start:])]
        return self._sniff(data[start:]) or []

    def _sniff(self, piece: bytes) -> list[WireItem] | None:
        """Let both decoders read; return the items once one is sure, None before.

        A piece holds at most one end, so that it does not matter how the bytes were cut.
        """
        n_good = self._wire.n_checked
        wire_items = self._wire.push(piece)
        text_items = self._text.push(piece)
        if self._wire.n_checked > n_good:
            self.format, self._decoder = "wire", self._wire
            return wire_items
        if self._text.n_channels is not None:
            self.format, self._decoder = "text", self._text
            return [*text_items]
        return None
