"""A real source on a faulty board: what it shows is what the truth says."""

from __future__ import annotations

import time
from dataclasses import asdict

import pytest

from firmware_sim.board import Board
from firmware_sim.cables.memory import MemoryLink
from firmware_sim.device import Device
from firmware_sim.faults import KINDS, checked_plan, fault_from_table, parse_faults
from firmware_sim.signals import SignalOrigin, simulate
from streamrnn.core.types import End, Frames, Gap
from streamrnn.sources.stream import StreamSource
from streamrnn.wire.decoder import WireDecoder

TABLES: dict[str, dict[str, object]] = {
    "drop": {"share": 0.03, "from_s": 0.5},
    "dup": {"share": 0.05},
    "reorder": {"share": 0.05, "packets": 2, "from_s": 0.5, "to_s": 4.5},
    "flip": {"share": 2e-4, "from_s": 0.5},
    "lose": {"share": 1e-3, "from_s": 0.5},
    "insert": {"share": 1e-3, "bytes": 3, "from_s": 0.5},
    "burst": {"share": 4e-4, "bits": 6, "within": 32, "from_s": 0.5},
    "nul": {"share": 1e-3, "from_s": 0.5},
    "stall": {"every_s": 1, "for_s": 0.3},
    "unplug": {"every_s": 2, "for_s": 0.4, "to_s": 7},
    "reboot": {"at_s": [1, 4], "for_s": 0.2},
    "brownout": {"at_s": [1.234, 5], "for_s": 0.05},
    "panic": {"at_s": [2.5]},
    "slow_reader": {"every_s": 3, "for_s": 1, "buffer_bytes": 1000},
}


def _read_all(board: Board) -> tuple[StreamSource, list]:
    source = StreamSource(MemoryLink(board, speed=0))
    source.open()
    items: list = []
    deadline_s = time.monotonic() + 60.0
    while not any(isinstance(item, End) for item in items):
        assert time.monotonic() < deadline_s
        items += source.read(0.05)
    source.close()
    return source, items


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_source_shows_what_really_happened(kind: str, seed: int) -> None:
    plan = checked_plan([fault_from_table({"kind": kind, **TABLES[kind]}, "test")])
    origin = SignalOrigin(1, 3, seconds=8.0)
    board = Board(Device(origin, boot_us=30_000), plan, seed)
    source, items = _read_all(board)
    truth, counters = board.truth(), source.counters
    shown, expected = asdict(counters), asdict(board.reader.counters)
    for name in ("n_unplugs", "extra"):
        del shown[name], expected[name]
    assert shown == expected
    assert counters.n_unplugs == truth["n_outages"]
    gaps = [item for item in items if isinstance(item, Gap)]
    assert sum(gap.restart for gap in gaps) == truth["n_boots"]
    assert sum(gap.reason == "unplug" for gap in gaps) == truth["n_outages"]
    frames = [item for item in items if isinstance(item, Frames)]
    n_frames = sum(map(len, frames))
    n_lost = counters.n_lost_frames + truth["n_unseen_frames"] + truth["n_tail_frames"]
    assert n_frames + n_lost == truth["n_frames_sent"] == 800
    if not truth["n_boots"]:
        whole = simulate(3, 1, 8.0)[0]
        joined = Frames.join(frames, 6)
        assert joined.x.tobytes() == whole.x[joined.seq].tobytes()


@pytest.mark.parametrize("k", [1, 10])
@pytest.mark.parametrize("spec", ["flip:2e-5", "lose:1e-4", "insert:1e-4"])
def test_a_fault_of_one_bit_or_byte_costs_one_packet(spec: str, k: int) -> None:
    """Two only where it hits the delimiter between them."""
    device = Device(SignalOrigin(1, 3, seconds=600.0 if k > 1 else 200.0), frames_per_packet=k)
    board = Board(device, parse_faults(spec), 2)
    decoder = WireDecoder()
    decoder.push(b"".join(data for data, _ in board.poll(0)))
    board.handle(b"\0" + board.device._encoder.command(1, "START"))
    while not board.is_finished:
        for data, _ in board.poll(board.next_due_us() + 1_000_000):
            decoder.push(data)
    truth = board.truth()
    assert truth["n_byte_faults"] > 50
    assert 0.9 < truth["n_damaged_packets"] / truth["n_byte_faults"] <= 1.05
    assert asdict(decoder.counters) == asdict(board.reader.counters)


def test_the_log_tells_each_fault_as_it_happens() -> None:
    board = Board(Device(SignalOrigin(1, 3, seconds=3.0)), parse_faults("drop@1s,panic@2s"), 1)
    board.poll(250_000)
    board.handle(board.device._encoder.command(1, "START"))
    assert board.take_log() == []
    board.poll(1_300_000)
    (line,) = board.take_log()
    assert line == {
        "type": "fault",
        "kind": "drop",
        "at_s": 1.0,
        "t_us": 1_250_000,
        "seq": 100,
        "n_frames": 1,
    }
    board.poll(2_300_000)
    (line,) = board.take_log()
    assert (line["kind"], line["at_s"], line["seq"]) == ("panic", 2.0, 201)
    assert board.truth()["n_panics"] == 1
