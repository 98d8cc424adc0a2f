"""What goes wrong is drawn from a seed, and the host's counters tell the truth about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_host import frames_of, read_to_end, start

from firmware_sim.board import Board
from firmware_sim.device import Device
from firmware_sim.faults import FaultPlan, Outage, parse_faults
from firmware_sim.memory import MemoryLink
from firmware_sim.signals import SignalOrigin, simulate
from streamrnn.core.errors import ConfigError
from streamrnn.core.types import Gap
from streamrnn.wire.decoder import WireDecoder


def _board(spec: str, seed: int = 0, seconds: float = 8.0, k: int | None = None) -> Board:
    device = Device(SignalOrigin(1, 3, seconds=seconds), frames_per_packet=k)
    return Board(device, parse_faults(spec), seed)


def _all_bytes(board: Board) -> bytes:
    """Return everything that a board sends after a HELLO that arrives."""
    board.faults, faults = Board(board.device).faults, board.faults
    hello = b"".join(data for data, _ in board.poll(0))
    board.faults = faults
    board.handle(start())
    out = [hello]
    while not board.is_finished:
        out += [data for data, _ in board.poll(board.next_due_us())]
    return b"".join(out)


@given(
    seed=st.integers(0, 10_000),
    k=st.sampled_from([1, 3, 10]),
    spec=st.sampled_from(
        [
            "",
            "drop:0.05",
            "dup:0.05",
            "flip:1e-4",
            "lose:5e-4",
            "insert:5e-4",
            "drop:0.05,dup:0.1,flip:3e-4,lose:3e-4,insert:3e-4",
        ]
    ),
)
def test_the_host_counts_what_really_happened(seed: int, k: int, spec: str) -> None:
    board = _board(spec, seed, k=k)
    data = _all_bytes(board)
    decoder = WireDecoder()
    frames = frames_of(decoder.push(data))
    truth, counters = board.faults.truth, decoder.counters
    n_ends = data.count(b'"end"}')
    assert len(frames) == 800 - truth.n_lost_frames
    assert counters.n_duplicate_frames == truth.n_duplicate_frames
    if n_ends:  # else the host cannot know how long the stream was meant to be
        last_lost = 800 - 1 - int(frames.seq[-1])
        assert counters.n_lost_frames in (truth.n_lost_frames, truth.n_lost_frames - last_lost)
    # No damaged packet becomes a frame.
    expected = simulate(3, 1, 8.0)[0]
    assert frames.x.tobytes() == expected.x[frames.seq].tobytes()
    if "drop" not in spec and not truth.n_damaged_packets:
        assert len(frames) == 800


def test_the_same_seed_does_the_same_damage_and_another_one_another() -> None:
    spec = "drop:0.05,dup:0.05,flip:1e-4"
    first, again, other = (_all_bytes(_board(spec, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_shares_are_kept() -> None:
    board = _board("drop:0.1,dup:0.2,flip:1e-3", seconds=60.0)
    data = _all_bytes(board)
    truth = board.faults.truth
    assert 0.08 < truth.n_dropped_packets / 6100 < 0.12
    assert 0.16 < truth.n_duplicated_packets / 5500 < 0.24
    assert 0.8e-3 < truth.n_flipped_bits / (8 * len(data)) < 1.2e-3


def test_everything_dropped_and_everything_flipped() -> None:
    board = _board("drop:1")
    assert board.faults.truth.n_dropped_packets == 0
    decoder = WireDecoder()
    decoder.push(_all_bytes(board))
    assert board.truth()["n_lost_frames"] == 800
    board = _board("flip:1", seconds=1.0)
    assert frames_of(WireDecoder().push(_all_bytes(board))).x.size == 0


def test_an_outage_loses_what_was_sent_meanwhile() -> None:
    board = _board("unplug@2s:500ms,unplug@4s:1s")
    items, counters = read_to_end(MemoryLink(board, speed=0))
    frames = frames_of(items)
    truth = board.faults.truth
    assert truth.n_outages == 2
    assert truth.n_outage_frames == truth.n_lost_frames == counters.n_lost_frames == 150
    assert len(frames) == 650
    jumps = [int(s) for s in frames.seq[1:] - frames.seq[:-1] if s > 1]
    assert jumps == [51, 101]


def test_a_board_that_loses_its_power_boots() -> None:
    board = _board("reboot@2s:1s")
    items, _ = read_to_end(MemoryLink(board, speed=0))
    assert [item for item in items if isinstance(item, Gap)] == [Gap("reboot", restart=True)]
    frames = frames_of(items)
    assert (frames.seq == 0).sum() == 2
    assert len(frames) == 800 - board.faults.truth.n_outage_frames


def test_what_the_host_says_into_a_pulled_cable_is_lost() -> None:
    board = _board("unplug@1s:1s")
    board.poll(0)
    board.handle(start())
    board.poll(1_000_000)
    assert not board.is_plugged
    board.handle(start(99))
    board.poll(5_000_000)
    assert board.is_plugged
    assert not any(b'"id":99' in data for data, _ in board.poll(5_000_000))


def test_spec_strings() -> None:
    assert parse_faults("") == FaultPlan()
    plan = parse_faults(["drop:0.01, flip:1e-5", "unplug@5s:2s", "reboot@1.5s:20ms"])
    assert plan.rates == {"drop": 0.01, "flip": 1e-5}
    assert plan.outages == (Outage(1_500_000, 20_000, True), Outage(5_000_000, 2_000_000, False))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dorp:0.1", r"unknown fault 'dorp:0.1' \(did you mean 'drop'\?\); known: drop, dup"),
        ("drop", "the share must be a number in 0..1, got ''"),
        ("drop:2", "the share must be a number in 0..1, got '2'"),
        ("drop:nan", "the share must be a number"),
        ("drop@5s:1", "unknown fault"),
        ("unplug:2s", "write unplug@START:DURATION, as unplug@5s:2s"),
        ("unplug@5:2s", "'5' is no time; write 5s or 500ms"),
        ("unplug@5s", "'' is no time"),
        ("unplug@5s:99999999999s", "is too long"),
        ("unplug@5s:2s,reboot@6s:1s", "the outage at 6 s overlaps another"),
    ],
)
def test_specs_that_make_no_sense(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_faults(spec)
