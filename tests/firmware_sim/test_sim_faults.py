"""What goes wrong is drawn from a seed, and the host's counters tell the truth about it."""

from __future__ import annotations

import pytest
from sim_host import frames_of, read_to_end, start

from firmware_sim.board import Board
from firmware_sim.cables.memory import MemoryLink
from firmware_sim.device import Device
from firmware_sim.faults import Fault, FaultPlan, fault_from_table, parse_faults
from firmware_sim.signals import SignalOrigin
from streamrnn.core.errors import ConfigError
from streamrnn.core.types import Gap
from streamrnn.wire.decoder import WireDecoder


def _board(spec: str, seed: int = 0, seconds: float = 8.0, k: int | None = None) -> Board:
    device = Device(SignalOrigin(1, 3, seconds=seconds), frames_per_packet=k)
    return Board(device, parse_faults(spec), seed)


def _all_bytes(board: Board) -> bytes:
    """Return everything that a board sends, started at once."""
    board.handle(start())
    out = []
    while not board.is_finished:
        out += [data for data, _ in board.poll(board.next_due_us())]
    return b"".join(out)


def test_the_same_seed_does_the_same_damage_and_another_one_another() -> None:
    spec = "drop:0.05,dup:0.05,flip:1e-4"
    first, again, other = (_all_bytes(_board(spec, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_shares_are_kept() -> None:
    board = _board("drop:0.1,dup:0.2,flip:1e-3", seconds=60.0)
    data = _all_bytes(board)
    truth = board.truth()
    assert 0.08 < truth["n_dropped_packets"] / 6100 < 0.12
    assert 0.16 < truth["n_duplicated_packets"] / 5500 < 0.24
    assert 0.8e-3 < truth["n_flipped_bits"] / (8 * len(data)) < 1.2e-3


def test_everything_dropped_and_everything_flipped() -> None:
    board = _board("drop:1")
    assert board.truth()["n_dropped_packets"] == 0
    assert _all_bytes(board) == b""
    assert board.truth()["n_lost_frames"] == 800
    board = _board("flip:1", seconds=1.0)
    assert frames_of(WireDecoder().push(_all_bytes(board))).x.size == 0


def test_an_outage_loses_what_was_sent_meanwhile() -> None:
    board = _board("unplug@2s:500ms,unplug@4s:1s")
    items, counters = read_to_end(MemoryLink(board, speed=0))
    frames = frames_of(items)
    truth = board.truth()
    assert truth["n_outages"] == 2
    assert truth["n_outage_frames"] == truth["n_lost_frames"] == counters.n_lost_frames == 150
    assert len(frames) == 650
    jumps = [int(s) for s in frames.seq[1:] - frames.seq[:-1] if s > 1]
    assert jumps == [51, 101]


def test_a_board_that_loses_its_power_boots() -> None:
    board = _board("reboot@2s:1s")
    items, _ = read_to_end(MemoryLink(board, speed=0))
    assert [item for item in items if isinstance(item, Gap)] == [Gap("reboot", restart=True)]
    frames = frames_of(items)
    assert (frames.seq == 0).sum() == 2
    # Without power it samples nothing, so nothing is lost.
    assert len(frames) == 800
    assert board.truth()["n_outage_frames"] == 0


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


@pytest.mark.parametrize(
    "kind", ["drop", "dup", "reorder", "flip", "lose", "insert", "nul", "burst"]
)
def test_a_fault_at_a_time_hits_one_packet_each_time(kind: str) -> None:
    every = {"kind": kind, "every_s": 0.5, "from_s": 1, "to_s": 3.9}
    plan = FaultPlan((fault_from_table(every, "test"),))
    board = Board(Device(SignalOrigin(1, 3, seconds=8.0)), plan)
    _all_bytes(board)
    log = board.take_log()
    assert [line["at_s"] for line in log] == [1.5, 2.0, 2.5, 3.0, 3.5]
    assert {line["kind"] for line in log} == {kind}


def test_times_that_pass_while_the_cable_is_out_count_once() -> None:
    tables = [
        {"kind": "drop", "every_s": 0.1, "from_s": 1, "to_s": 4},
        {"kind": "unplug", "at_s": 2, "for_s": 1},
    ]
    plan = FaultPlan(tuple(fault_from_table(table, "test") for table in tables))
    board = Board(Device(SignalOrigin(1, 3, seconds=8.0)), plan)
    _all_bytes(board)
    # 1.1 to 2.0 s, one for all that came in the second without a cable, and 3.1 to 3.9 s.
    assert board.truth()["n_dropped_packets"] == 10 + 1 + 9


def test_spec_strings() -> None:
    assert parse_faults("") == FaultPlan()
    plan = parse_faults(["drop:0.01, flip:1e-5", "unplug@5s:2s", "reboot@1.5s:20ms", "panic@3s"])
    assert plan.faults == (
        Fault("drop", share=0.01),
        Fault("flip", share=1e-5),
        Fault("unplug", at_us=(5_000_000,), for_us=2_000_000),
        Fault("reboot", at_us=(1_500_000,), for_us=20_000),
        Fault("panic", at_us=(3_000_000,)),
    )
    assert [fault.kind for fault in plan.outages] == ["unplug", "reboot"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dorp:0.1", r"unknown fault 'dorp:0.1' \(did you mean 'drop'\?\); known: drop, dup"),
        ("drop", "the share must be a number in 0..1, got ''"),
        ("drop:2", "the share must be a number in 0..1, got '2'"),
        ("drop:nan", "the share must be a number"),
        ("drop@5s:1s", "write drop@START, as drop@5s"),
        ("unplug:2s", "write unplug@START:DURATION, as unplug@5s:2s"),
        ("unplug@5:2s", "'5' is no time; write 5s or 500ms"),
        ("unplug@5s", "'' is no time"),
        ("unplug@5s:0s", "it must last more than 0 s"),
        ("unplug@5s:99999999999s", "is too long"),
        ("stall@5s:700s", "is too long"),
        ("unplug@5s:2s,reboot@6s:1s", "the outage at 6 s overlaps another"),
    ],
)
def test_specs_that_make_no_sense(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_faults(spec)
