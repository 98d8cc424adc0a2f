"""What the tests of the simulator share: a host that starts a board and reads it to its end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from streamrnn.core.link import Link, LinkLostError
from streamrnn.core.types import Counters, End, Frames, Item, Marker, StreamInfo
from streamrnn.wire.encode import Encoder
from streamrnn.wire.packet import Ack, WireItem
from streamrnn.wire.reference import ReferenceDecoder

ENCODER = Encoder()


@contextmanager
def run_program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A simulator in a process of its own, as a user runs it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "firmware_sim", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def start(request_id: int = 1) -> bytes:
    return ENCODER.command(request_id, "START")


def frames_of(items: Sequence[WireItem], n_channels: int = 6) -> Frames:
    return Frames.join([i for i in items if isinstance(i, Frames)], n_channels)


def markers_in(items: Sequence[WireItem]) -> list[Marker]:
    return [item for item in items if isinstance(item, Marker)]


def acks_in(items: Sequence[WireItem]) -> list[Ack]:
    return [item for item in items if isinstance(item, Ack)]


def same_frames(a: Frames, b: Frames) -> None:
    """Assert that the bits, the indices and the times are the same."""
    np.testing.assert_array_equal(a.x.view(np.uint32), b.x.view(np.uint32))
    np.testing.assert_array_equal(a.seq, b.seq)
    np.testing.assert_array_equal(a.t_us, b.t_us)


def read_to_end(link: Link, limit_s: float = 20.0) -> tuple[list[Item], Counters]:
    """Start a board and read until it says that it is over; come back when it was unplugged."""
    decoder = ReferenceDecoder()
    items: list[WireItem] = []
    deadline = time.monotonic() + limit_s
    link.open()
    seen = 0
    while time.monotonic() < deadline:
        try:
            items += decoder.push(link.read(0.05))
        except EOFError:
            break
        except LinkLostError:
            link.close()
            while time.monotonic() < deadline:
                try:
                    link.open()
                    break
                except OSError:
                    time.sleep(0.01)
            link.write(ENCODER.command(7, "START"))
        if any(isinstance(item, End) for item in items):
            break
        infos = sum(isinstance(item, StreamInfo) for item in items)
        if infos > seen:  # the first time, and after a boot
            seen = infos
            link.write(start(seen))
    else:
        raise AssertionError("the stream did not end")
    return items, decoder.counters  # type: ignore[return-value]
