"""A link in memory whose bytes are written in advance, with a clock of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamrnn.core.errors import SourceError
from streamrnn.sources.stream import StreamSource
from streamrnn.wire.decoder import WireDecoder
from streamrnn.wire.encode import Encoder
from streamrnn.wire.packet import Command
from streamrnn.wire.schema import ChannelGroup, Hello

HELLO = Hello("mem", "", "b", 100.0, (ChannelGroup(("a", "b"), "", "f32", 1.0, 0.0),))
ENCODER = Encoder()


class ScriptLink:
    """A link in memory: what it gives is written in advance; time passes when it has nothing."""

    can_return = False
    name = "script:"

    def __init__(self, *chunks: bytes | type[Exception], can_return: bool = False) -> None:
        self.chunks = list(chunks)
        self.written = b""
        self.now_s = 0.0
        self.can_return = can_return
        self.is_open = False
        self.opening_fails = 0

    def open(self) -> None:
        if self.opening_fails:
            self.opening_fails -= 1
            self.now_s += 0.02
            raise SourceError("not there")
        self.is_open = True

    def read(self, timeout_s: float) -> bytes:
        if not self.chunks:
            self.now_s += timeout_s
            return b""
        chunk = self.chunks.pop(0)
        if isinstance(chunk, bytes):
            self.now_s += 0.001
            return chunk
        raise chunk("gone")

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_open = False

    def commands(self) -> list[Command]:
        return [i for i in WireDecoder().push(self.written) if isinstance(i, Command)]


def scripted(link: ScriptLink, **options: Any) -> StreamSource:
    return StreamSource(link, clock=lambda: link.now_s, **options)


def data(first: int, n: int = 1) -> bytes:
    x = np.full((n, 2), first, np.float32)
    return ENCODER.data(HELLO, (x,), first, first * 10_000)
