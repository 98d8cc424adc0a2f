"""What a host counts is what the truth says that it must, for every kind of fault."""

from __future__ import annotations

import itertools
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_host import frames_of, start

from firmware_sim.board import Board
from firmware_sim.device import Device
from firmware_sim.device.texts import BANNER
from firmware_sim.faults import KINDS, checked_plan, fault_from_table
from firmware_sim.signals import SignalOrigin
from streamrnn.core.types import Gap
from streamrnn.wire.decoder import WireDecoder
from streamrnn.wire.packet import WireItem
from streamrnn.wire.reference import ReferenceDecoder

SECONDS = 8.0
#: One fault of each kind, hit often enough to meet itself.
TABLES: dict[str, list[dict[str, object]]] = {
    "drop": [{"share": 0.05}],
    "dup": [{"share": 0.05}],
    "reorder": [{"share": 0.05, "packets": 3}],
    "flip": [{"share": 3e-4}],
    "lose": [{"share": 1e-3, "bytes": 3}],
    "insert": [{"share": 1e-3, "bytes": 2}],
    "burst": [{"share": 5e-4, "bits": 9, "within": 60}],
    "nul": [{"share": 1e-3, "bytes": 2}],
    "stall": [{"every_s": 0.7, "for_s": 0.2}],
    "unplug": [{"every_s": 1.9, "for_s": 0.3}],
    "reboot": [{"at_s": [1.0, 3.5], "for_s": 0.5}, {"at_s": 6}],
    "brownout": [{"every_s": 2.3, "for_s": 0.05}],
    "panic": [{"every_s": 2.7}],
    "slow_reader": [{"every_s": 1.5, "for_s": 1.0, "buffer_bytes": 700, "bytes_per_s": 2000}],
}


def make(kinds: list[str], seed: int = 0, *, k: int | None = None, **options: object) -> Board:
    origin = SignalOrigin(1, 3, seconds=SECONDS)
    tables = [{"kind": kind, **table} for kind in kinds for table in TABLES[kind]]
    plan = checked_plan(fault_from_table(table, "test") for table in tables)
    transit_us = float(options.pop("transit_us", 0.0))  # type: ignore[arg-type]
    device = Device(origin, frames_per_packet=k, **options)  # type: ignore[arg-type]
    return Board(device, plan, seed, transit_us=transit_us)


class Host:
    """Reads a board to its end with both decoders; starts it whenever it booted."""

    def __init__(self, board: Board, step_us: int = 50_000) -> None:
        self.board = board
        self.decoder = WireDecoder()
        self.items: list[WireItem] = []
        self.data = bytearray()
        oracle = ReferenceDecoder()
        n_plugged, n_asked, now_us = 0, -1, 0
        while not board.is_finished and now_us < 60_000_000:
            now_us += step_us
            was_plugged = board.is_plugged
            pieces = board.poll(now_us)
            data = b"".join(piece for piece, _ in pieces)
            self.data += data
            new = self.decoder.push(data)
            oracle.push(data)
            assert sum(n for _, n in pieces) == sum(len(i) for i in new if hasattr(i, "seq"))
            self.items += new
            now_us = max(now_us, board.now_us)
            if board.is_plugged and not was_plugged:
                self.decoder.resync()
                oracle.resync()
                n_plugged += 1
            n_asked += 1
            if not board.device.has_started and n_asked % 4 == 0:
                board.handle(b"\0" + start(n_asked + 1))
        assert asdict(oracle.counters) == asdict(self.decoder.counters)
        self.n_plugged = n_plugged


def check_laws(board: Board, host: Host) -> None:
    truth, counters = board.truth(), host.decoder.counters
    assert asdict(counters) == asdict(board.reader.counters)
    assert truth["host"]["n_frames"] == counters.n_frames == len(frames_of(host.items))
    n_known = counters.n_frames + counters.n_lost_frames
    n_unknown = truth["n_unseen_frames"] + truth["n_tail_frames"]
    assert n_known + n_unknown == truth["n_frames_sent"] + truth["n_skipped_frames"]
    n_arrived = counters.n_frames + truth["n_late_frames"]
    assert n_arrived == truth["n_frames_sent"] - truth["n_lost_frames"]
    n_again = truth["n_duplicate_frames"] + truth["n_late_frames"]
    assert counters.n_duplicate_frames == n_again
    assert host.n_plugged == truth["n_outages"]
    n_boots = sum(isinstance(item, Gap) and item.restart for item in host.items)
    assert n_boots == board.reader.n_boots
    assert truth["n_invented_packets"] == 0


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=7)
@given(seed=st.integers(0, 10_000), k=st.sampled_from([1, 3, 10]))
def test_the_host_counts_what_the_truth_says(kind: str, seed: int, k: int) -> None:
    board = make([kind], seed, k=k)
    check_laws(board, Host(board))


@settings(max_examples=8)
@given(boot_id=st.sampled_from(["", "b"]), seed=st.integers(0, 10_000), packets=st.integers(1, 40))
def test_a_late_hello_is_a_boot_for_those_alone_who_cannot_tell_boots_apart(
    boot_id: str, seed: int, packets: int
) -> None:
    origin = SignalOrigin(1, 3, seconds=SECONDS)
    origin.hello = replace(origin.hello, boot_id=boot_id)
    table = {"kind": "reorder", "share": 0.3, "packets": packets}
    board = Board(Device(origin), checked_plan([fault_from_table(table, "test")]), seed)
    check_laws(board, Host(board))
    assert not boot_id or board.reader.n_boots == 0


@settings(max_examples=25)
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=2, max_size=5, unique=True),
    seed=st.integers(0, 10_000),
    step_us=st.sampled_from([3_000, 50_000, 400_000]),
    boot_us=st.sampled_from([0, 120_000]),
    banner=st.sampled_from([b"", BANNER]),
    baud=st.sampled_from([0, 31_250, 115_200]),
    transit_us=st.sampled_from([0.0, 20_000.0]),
)
def test_several_faults_at_once(
    kinds: list[str],
    seed: int,
    step_us: int,
    boot_us: int,
    banner: bytes,
    baud: int,
    transit_us: float,
) -> None:
    if {"unplug", "reboot"} <= set(kinds):
        kinds.remove("reboot")
    board = make(
        kinds,
        seed,
        boot_us=boot_us,
        banner=banner,
        baud=baud,
        fifo_bytes=600,
        transit_us=transit_us,
    )
    check_laws(board, Host(board, step_us))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "reorder"])
@settings(max_examples=4)
@given(steps=st.lists(st.integers(7_000, 900_000), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_when_a_board_is_polled_changes_no_byte_and_no_count(
    kind: str, steps: list[int], seed: int
) -> None:
    def run(step_sizes: list[int]) -> tuple[bytes, dict[str, object], list[dict[str, object]]]:
        board = make([kind], seed, transit_us=3000.0, jitter_us=200.0, baud=57_600)
        out = [data for data, _ in board.poll(0)]
        board.handle(b"\0" + start())
        now_us = 0
        for step_us in itertools.cycle(step_sizes):
            if now_us >= 14_000_000:
                break
            now_us = min(now_us + step_us, 14_000_000)
            while True:
                was_plugged = board.is_plugged
                out += [data for data, _ in board.poll(now_us)]
                if board.is_plugged == was_plugged:
                    break
        return b"".join(out), board.truth(), board.take_log()

    assert run(steps) == run([10_000])
