"""A carrier in memory, and streams to carry."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from streamrnn.core.errors import SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.wire.encode import Encoder
from streamrnn.wire.schema import ChannelGroup, Hello

HELLO = Hello("board", "1", "boot", 100.0, (ChannelGroup(("a", "b"), "g", "i16", 1.0, 0.0),))


def wire_messages(n_frames: int, hello: Hello = HELLO) -> list[bytes]:
    """HELLO, one packet a frame, and the end."""
    encoder = Encoder()
    frames = [
        encoder.data(hello, (np.array([[n, -n]], np.int16),), n, n * 10_000)
        for n in range(n_frames)
    ]
    return [
        encoder.hello(hello, 0),
        *frames,
        encoder.event({"kind": "end"}, n_frames, n_frames * 10_000),
    ]


def text_messages(n_frames: int, end: str = "\n") -> list[bytes]:
    """One line a frame."""
    return [f"{n},{n / 8:.3f}{end}".encode() for n in range(n_frames)]


class MemoryCarrier:
    """Gives what a test puts in; time passes while nothing is there."""

    name = "memory:"
    hint = ""

    def __init__(self) -> None:
        self.extra: dict[str, int] = {}
        self.inbox: list[tuple[Hashable, bytes]] = []
        self.sent: list[tuple[Hashable, bytes]] = []
        self.now_s = 0.0
        self.n_opened = 0
        self.is_open = self.is_broken = False

    def clock(self) -> float:
        return self.now_s

    def open(self) -> None:
        if self.is_broken:
            raise SourceError("not there")
        self.n_opened += 1
        self.is_open = True

    def receive(self, timeout_s: float) -> list[tuple[Hashable, bytes]]:
        assert self.is_open
        if self.is_broken:
            raise LinkLostError("broken")
        if not self.inbox:
            self.now_s += timeout_s
            return []
        self.now_s += 0.001
        return [self.inbox.pop(0)]

    def send(self, to: Hashable, data: bytes) -> None:
        self.sent.append((to, data))

    def close(self) -> None:
        self.is_open = False
