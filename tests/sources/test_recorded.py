from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.errors import SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.sources.recorded import Expected, RecordedLink


class Sender:
    """Gives bytes in pieces of its own, then goes away."""

    name = "sender"
    can_return = True

    def __init__(self, data: bytes, piece: int) -> None:
        self.data = data
        self.piece = piece
        self.n_opened = self.n_closed = 0

    def open(self) -> None:
        self.n_opened += 1

    def read(self, timeout_s: float) -> bytes:
        if not self.data:
            raise LinkLostError("over")
        data, self.data = self.data[: self.piece], self.data[self.piece :]
        return data

    def write(self, data: bytes) -> None:
        raise AssertionError("the recording is deaf")

    def close(self) -> None:
        self.n_closed += 1


def reads_of(link: RecordedLink) -> list[bytes]:
    """Return the bytes between two losses."""
    link.open()
    found = [b""]
    while True:
        try:
            found[-1] += link.read(0.0)
            link.write(b"START")
        except LinkLostError:
            link.close()
            link.open()
            found.append(b"")
        except EOFError:
            link.close()
            return found


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=8),
    piece=st.integers(1, 64),
)
def test_exactly_the_recorded_bytes_and_losses(pieces: list[bytes], piece: int) -> None:
    recorded = [data for k, data in enumerate(pieces) for data in (b"", data)[k == 0 :]]
    sender = Sender(b"".join(pieces) + b"and more", piece)
    link = RecordedLink(sender, Expected.of(recorded))
    assert reads_of(link) == pieces
    assert link.is_whole
    assert (sender.n_opened, sender.n_closed) == (1, 1)


def test_a_loss_at_the_very_end_comes_before_the_end() -> None:
    link = RecordedLink(Sender(b"ab", 9), Expected.of([b"ab", b""]))
    assert reads_of(link) == [b"ab", b""]


def test_fewer_or_other_bytes_are_noticed() -> None:
    link = RecordedLink(Sender(b"abc", 2), Expected.of([b"abcd"]))
    with pytest.raises(SourceError, match="sender ended after 3 of 4 bytes"):
        reads_of(link)
    link.let_go()
    other = RecordedLink(Sender(b"abxd", 2), Expected.of([b"abcd"]))
    reads_of(other)
    assert not other.is_whole


def test_what_follows_the_end_of_a_stream_is_read_too() -> None:
    """The packet that ends it comes twice; whoever decodes stops at the first."""
    link = RecordedLink(Sender(b"abcdefgh", 3), Expected.of([b"abcde", b"", b"fgh"]))
    link.open()
    assert link.read(0.0) == b"abc"
    assert not link.is_whole
    link.finish()
    assert link.is_whole
    short = RecordedLink(Sender(b"ab", 3), Expected.of([b"abcde"]))
    short.open()
    short.finish()
    assert not short.is_whole
