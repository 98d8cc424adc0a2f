from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.sources.timing.clocksync import EVERY_NS, N_FIRST, ClockSync
from streamrnn.wire.packet import Ping, Pong
from streamrnn.wire.reference import ReferenceDecoder


class FarBoard:
    """A board behind a cable that takes its time, both ways."""

    def __init__(self, seed: int, *, drift_ppm: float = 0.0, busy_ns: float = 2e5) -> None:
        self.rng = np.random.default_rng(seed)
        self.drift_ppm = drift_ppm
        self.busy_ns = busy_ns
        self.offset_us = 5_000_000
        self.now_ns = 10**15
        self.longest_wait_ns = 0

    def t_us(self, now_ns: float) -> int:
        return round((now_ns - 10**15) / 1000 * (1 + self.drift_ppm / 1e6)) + self.offset_us

    def run(self, sync: ClockSync, span_s: float, *, deaf: bool = False) -> list[int]:
        """Send what is due for a while; return when."""
        sent_at: list[int] = []
        end_ns = self.now_ns + int(span_s * 1e9)
        while self.now_ns < end_ns:
            packet = sync.due(self.now_ns)
            if packet:
                sent_at.append(self.now_ns)
                (ping,) = ReferenceDecoder().push(packet)
                assert isinstance(ping, Ping)
                there_ns, back_ns = 1e5 + self.rng.exponential(self.busy_ns, 2)
                if not deaf:
                    t_us = self.t_us(self.now_ns + there_ns)
                    sync.answered(Pong(ping.token, t_us), int(self.now_ns + there_ns + back_ns))
            self.now_ns += 20_000_000
        return sent_at


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(-200, 200))
def test_the_clock_is_known_within_half_a_round_trip(seed: int, drift_ppm: float) -> None:
    board, sync = FarBoard(seed, drift_ppm=drift_ppm), ClockSync()
    assert sync.host_ns(0) is None
    for span_s in (1.0, 200.0):
        board.run(sync, span_s)
        shown_ns = sync.host_ns(board.t_us(board.now_ns))
        assert shown_ns is not None
        assert sync.round_trip_us is not None
        # within 5 s of the newest probe, clocks that part by 200 ppm part by 1 ms
        allowed_ns = sync.round_trip_us * 500 + (1e6 if span_s < 20 else 3e5)
        assert abs(shown_ns - board.now_ns) < allowed_ns


def test_eight_probes_then_one_now_and_again() -> None:
    sync = ClockSync()
    sent_at = np.array(FarBoard(0).run(sync, 31.0))
    assert (np.diff(sent_at[:N_FIRST]) <= 60_000_000).all()
    assert (np.diff(sent_at[N_FIRST - 1 :]) >= EVERY_NS).all()
    assert len(sent_at) == N_FIRST + 6
    assert sync.n_answers == len(sent_at)


def test_a_board_that_never_answers_is_left_alone() -> None:
    board, sync = FarBoard(0), ClockSync()
    assert len(board.run(sync, 600.0, deaf=True)) == 12
    assert sync.round_trip_us is None
    sync.probe_again()
    assert len(board.run(sync, 1.0)) == N_FIRST


def test_answers_that_nobody_asked_for_are_ignored() -> None:
    sync = ClockSync()
    board = FarBoard(0)
    board.run(sync, 1.0)
    before = sync.host_ns(0)
    for token in (0, 1, 2**63):
        sync.answered(Pong(token, 0), board.now_ns)
    assert sync.host_ns(0) == before
    assert sync.n_answers == N_FIRST


def test_a_clock_that_jumps_or_starts_anew_is_found_again() -> None:
    board, sync = FarBoard(3), ClockSync()
    board.run(sync, 60.0)
    board.offset_us += 9_000_000
    board.run(sync, 10.0)
    assert sync.host_ns(board.t_us(board.now_ns)) == pytest.approx(board.now_ns, abs=1e6)
    board.offset_us = -60_000_000
    sync.restarted()
    assert sync.host_ns(0) is None
    board.run(sync, 1.0)
    assert sync.host_ns(board.t_us(board.now_ns)) == pytest.approx(board.now_ns, abs=1e6)


def test_nothing_grows() -> None:
    board, sync = FarBoard(1), ClockSync()
    board.run(sync, 3600.0)
    assert len(sync._probes) == 64
    assert len(sync._under_way) <= 8


@given(st.lists(st.integers(0, 1 << 61), min_size=20, max_size=60), st.integers(0, 10**6))
def test_a_board_that_tells_nonsense_does_no_harm(times_us: list[int], trip_ns: int) -> None:
    sync = ClockSync()
    now_ns = 0
    for t_us in times_us:
        now_ns += EVERY_NS
        (ping,) = ReferenceDecoder().push(sync.due(now_ns))
        assert isinstance(ping, Ping)
        sync.answered(Pong(ping.token, t_us), now_ns + trip_ns)
    assert sync.host_ns(0) is not None
