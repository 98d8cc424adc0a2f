from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.link import Link, LinkLostError
from streamrnn.sources.tap import Tape, TapLink


class Pieces:
    """A link that gives pieces; None among them is a lost cable."""

    name = "pieces"
    can_return = True
    waits = True

    def __init__(self, pieces: list[bytes | None]) -> None:
        self.pieces = pieces
        self.calls: list[object] = []

    def open(self) -> None:
        self.calls.append("open")

    def read(self, timeout_s: float) -> bytes:
        if not self.pieces:
            raise EOFError
        piece = self.pieces.pop(0)
        if piece is None:
            raise LinkLostError("gone")
        return piece

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def close(self) -> None:
        self.calls.append("close")


def read_all(link: Link) -> list[bytes]:
    got = []
    while True:
        try:
            got.append(link.read(0.0))
        except LinkLostError:
            got.append(b"lost")
        except EOFError:
            return got


@given(pieces=st.lists(st.none() | st.binary(max_size=20)), every=st.integers(1, 4))
def test_what_is_noted_is_what_was_read(pieces: list[bytes | None], every: int) -> None:
    tape = Tape()
    link = TapLink(Pieces(list(pieces)), tape)
    got = read_all(link)
    assert got == [b"lost" if piece is None else piece for piece in pieces]
    noted = tape.take()
    assert [data for data, _ in noted] == [piece or b"" for piece in pieces if piece != b""]
    assert [ns for _, ns in noted] == sorted(ns for _, ns in noted)
    assert tape.take() == []


def test_all_else_is_the_links_own() -> None:
    inner = Pieces([])
    link = TapLink(inner, Tape())
    assert isinstance(link, Link)
    assert (link.name, link.can_return, link.waits) == ("pieces", True, True)
    assert not hasattr(link, "no_such_thing")
    link.open()
    link.write(b"x")
    link.close()
    assert inner.calls == ["open", b"x", "close"]
    with pytest.raises(EOFError):
        link.read(0.0)


@given(sizes=st.lists(st.integers(0, 40)))
def test_a_tape_that_nobody_takes_keeps_the_newest(sizes: list[int]) -> None:
    tape = Tape(max_bytes=64)
    for n, size in enumerate(sizes):
        tape(bytes([n % 256]) * size, n)
    kept = tape.take()
    n_kept = sum(len(data) for data, _ in kept)
    assert n_kept <= 64
    assert n_kept + tape.n_dropped_bytes == sum(sizes)
    assert [n for _, n in kept] == list(range(len(sizes)))[len(sizes) - len(kept) :]
