"""The way to the host: late, silent for a while, or with too little room, but always in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.device.packet import Packet
from firmware_sim.faults.transit import Piece, Transit


def _piece(n: int, size: int = 10) -> Piece:
    data = bytes([n % 256]) * size
    return Piece(data, Packet(data, None, seq=n))


@given(
    gaps=st.lists(st.integers(0, 5000), min_size=1, max_size=60),
    transit_us=st.sampled_from([0.0, 100.0, 20_000.0]),
    stall_at=st.integers(0, 50),
)
def test_nothing_overtakes_and_nothing_is_early(
    gaps: list[int], transit_us: float, stall_at: int
) -> None:
    line = Transit(transit_us, seed=1)
    at_us, sent, got = 0, {}, []
    for n, gap in enumerate(gaps):
        at_us += gap
        got += [(at_us, p.packet.seq) for p in line.take(at_us)]
        if n == stall_at:
            line.stall(at_us, 30_000)
        sent[n] = at_us
        line.push(_piece(n), at_us)
    got += [(at_us + 100_000, p.packet.seq) for p in line.take(at_us + 100_000)]
    assert [n for _, n in got] == list(range(len(gaps)))
    assert all(time_us >= sent[n] for time_us, n in got)
    assert line.next_us is None


def test_a_stall_is_silent_and_then_gives_everything_at_once() -> None:
    line = Transit()
    assert line.is_direct(0)
    line.stall(1000, 500)
    assert not line.is_direct(1499)
    for n in range(5):
        line.push(_piece(n), 1000 + 100 * n)
    assert line.next_us == 1500
    assert line.take(1499) == []
    assert len(line.take(1500)) == 5
    assert line.is_direct(1500)


def test_a_slow_reader_gets_what_finds_room() -> None:
    line = Transit()
    line.slow_down(0, 1_000_000, 25, 0.0)
    for n in range(4):
        line.push(_piece(n), 100 * n)
    pieces = line.take(1_000_000)
    assert [len(piece.data) for piece in pieces] == [10, 10, 5, 0]
    assert line.n_lost_bytes == 15
    assert line.is_direct(1_000_000)


def test_a_reader_that_is_only_slow_makes_room_as_it_reads() -> None:
    line = Transit()
    line.slow_down(0, 10_000_000, 100, 1000.0)
    got = []
    for n in range(200):  # 2000 bytes a second
        line.push(_piece(n), 5000 * n)
        got += line.take(5000 * n)
    got += line.take(10_000_000)
    n_bytes = sum(len(piece.data) for piece in got)
    assert n_bytes == 2000 - line.n_lost_bytes
    assert n_bytes == pytest.approx(1000 + 100, abs=20)


def test_what_is_on_the_way_when_the_cable_is_pulled_is_lost() -> None:
    line = Transit(1e6)
    line.push(_piece(1), 0)
    line.stall(0, 1000)
    assert [piece.packet.seq for piece in line.cut()] == [1]
    assert line.next_us is None
