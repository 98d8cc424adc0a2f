"""Every fault of the simulator, and what the production source counts of it.

The board knows what went out and follows what arrives by the rules of the wire, without a decoder
(`firmware_sim.truth`); the source reads the same bytes and decodes them. The counters must agree
number for number, and obey the laws that stand between them and what really happened.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import Any

from benchmarks.reliability.bar import Check, Form, Outcome
from firmware_sim.board import Board
from firmware_sim.cables.memory import MemoryLink
from firmware_sim.faults import BYTE_KINDS, KINDS
from firmware_sim.options import make_board
from firmware_sim.scenario import scenario_from
from streamrnn.core.types import End, Frames, Gap
from streamrnn.sources.stream import StreamSource

LIMIT = 1.05
#: Byte faults so rare that two of them seldom meet in one packet.
_RARE = {"flip": 2e-5, "lose": 1.5e-4, "insert": 1.5e-4}
#: Faults that come at times come up to this share of a run.
_UNTIL = 0.8
#: One scenario for each kind, hit often enough to meet itself.
TABLES: dict[str, list[dict[str, Any]]] = {
    "drop": [{"share": 0.03}],
    "dup": [{"share": 0.03}],
    "reorder": [{"share": 0.03, "packets": 3}],
    "flip": [{"share": 2e-4}],
    "lose": [{"share": 8e-4, "bytes": 3}],
    "insert": [{"share": 8e-4, "bytes": 2}],
    "burst": [{"share": 4e-4, "bits": 9, "within": 32}],
    "nul": [{"share": 8e-4, "bytes": 2}],
    "stall": [{"every_s": 2.0, "for_s": 0.3}],
    "unplug": [{"every_s": 3.1, "for_s": 0.4}],
    "reboot": [{"every_s": 4.3, "for_s": 0.5}],
    "brownout": [{"every_s": 3.7, "for_s": 0.05}],
    "panic": [{"every_s": 4.1}],
    "slow_reader": [{"every_s": 3.0, "for_s": 1.5, "buffer_bytes": 700, "bytes_per_s": 1500}],
}
#: Several at once: bits and bytes, packets, time.
MIXED = {
    "bytes together": ("flip", "lose", "insert", "burst", "nul"),
    "packets together": ("drop", "dup", "reorder", "flip"),
    "a bad day": ("flip", "lose", "dup", "drop", "unplug", "brownout", "slow_reader"),
}


def run(form: Form) -> Outcome:
    """Run every scenario with several seeds."""
    seconds, n_seeds = form.pick((8.0, 2), (60.0, 20))
    scenarios = {kind: [kind] for kind in KINDS} | {name: list(k) for name, k in MIXED.items()}
    rows, totals = [], Counter[str]()
    broken: list[dict[str, Any]] = []
    with _quiet():
        for name, kinds in scenarios.items():
            tables = [{"kind": kind, **table} for kind in kinds for table in TABLES[kind]]
            seen: Counter[str] = Counter()
            for seed in range(n_seeds):
                for k in (1, 10):
                    board = _board(tables, seed, k, seconds)
                    problems = _disagreements(board, _read(board))
                    broken += [{"scenario": name, "seed": seed, "k": k, "what": problems}] * bool(
                        problems
                    )
                    seen["runs"] += 1
                    seen["differ"] += bool(problems)
                    _add(seen, board)
            rows.append(_row(name, seen))
            totals += seen
            form.say(f"{name}: {seen['runs']} runs")
        share = {kind: _lost_per_fault(kind, form) for kind in _RARE}
    worst = max(share.values())
    return Outcome(
        checks=[
            Check(
                f"counters of {totals['runs']:,} runs with {totals['faults']:,} faults equal the "
                "truth",
                f"{totals['differ']} differ", not totals["differ"],
            ),
            Check(
                f"packets lost by a bit or byte fault: <= {LIMIT:g}",
                ", ".join(f"{kind} {value:.3f}" for kind, value in share.items()),
                worst <= LIMIT,
            ),
        ],
        rows=rows,
        settings={"seconds": seconds, "n_seeds": n_seeds, "frames_a_packet": [1, 10]},
        figures={"lost_per_fault": share, "broken": broken[:20]},
    )  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the source from telling of each unplugged cable."""
    log = logging.getLogger("streamrnn")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _board(tables: list[dict[str, Any]], seed: int, k: int, seconds: float) -> Board:
    board = {"person": 1 + seed % 9, "seconds": seconds, "frames_per_packet": k}
    # What happens behind the last frame reaches no reader: he is told of the end and stops.
    tables = [t if "share" in t else {**t, "to_s": _UNTIL * seconds} for t in tables]
    return make_board(scenario_from({"seed": seed, "board": board, "fault": tables}))


class _Heard:
    """What a reader of the production source was given."""

    def __init__(self) -> None:
        self.counters: dict[str, Any] = {}
        self.n_frames = self.n_boots = self.n_invented = 0


def _read(board: Board) -> _Heard:
    """Read a board to its end."""
    heard = _Heard()
    with closing(StreamSource(MemoryLink(board, 0.0))) as source:
        source.open()
        last = -1
        is_over = False
        while not is_over:
            for item in source.read(0.05):
                if isinstance(item, Frames):
                    heard.n_frames += len(item)
                    heard.n_invented += int((item.seq <= last).sum())
                    last = int(item.seq[-1])
                elif isinstance(item, Gap):
                    heard.n_boots += item.reason == "reboot"
                    last = -1 if item.restart else last
                is_over = is_over or isinstance(item, End)
        heard.counters = asdict(source.counters)
    return heard


def _disagreements(board: Board, heard: _Heard) -> list[str]:
    """Return where counters and truth differ, in words."""
    truth, counters = board.truth(), heard.counters
    wrong = [
        f"{name}: {counters[name]}, not {n}"
        for name, n in truth["host"].items()
        if counters[name] != (truth["n_outages"] if name == "n_unplugs" else n)
    ]
    n_all = truth["n_frames_sent"] + truth["n_skipped_frames"]
    n_unknown = truth["n_unseen_frames"] + truth["n_tail_frames"]
    laws = {
        "frames known and unknown": counters["n_frames"] + counters["n_lost_frames"] + n_unknown
        == n_all,
        "frames that arrived": counters["n_frames"] + truth["n_late_frames"]
        == truth["n_frames_sent"] - truth["n_lost_frames"],
        "frames twice": counters["n_duplicate_frames"]
        == truth["n_duplicate_frames"] + truth["n_late_frames"],
        "frames given": heard.n_frames == counters["n_frames"],
        "boots": heard.n_boots == board.reader.n_boots,
        "order": not heard.n_invented,
        "no more frames than were sent": truth["n_lost_frames"] >= 0,
        "invented packets": not truth["n_invented_packets"],
    }
    return wrong + [name for name, holds in laws.items() if not holds]


def _add(seen: Counter[str], board: Board) -> None:
    truth = board.truth()
    packets = ("n_dropped_packets", "n_duplicated_packets", "n_delayed_packets")
    timed = [f"n_{kind}s" for kind in KINDS if kind not in BYTE_KINDS and f"n_{kind}s" in truth]
    seen["faults"] += sum(truth[name] for name in ("n_byte_faults", *packets, *timed))
    seen["frames"] += truth["n_frames_sent"]
    seen["lost"] += truth["n_lost_frames"]
    seen["damaged"] += truth["n_damaged_packets"]


def _row(name: str, seen: Counter[str]) -> dict[str, Any]:
    return {
        "fault": name, "runs": seen["runs"], "faults": seen["faults"], "frames": seen["frames"],
        "frames lost": seen["lost"], "packets damaged": seen["damaged"],
        "runs whose counters differ": seen["differ"],
    }  # fmt: skip


def _lost_per_fault(kind: str, form: Form) -> float:
    """Return how many packets one fault of a kind costs, where faults are rare."""
    n_faults = n_damaged = 0
    for seed in range(form.pick(4, 40)):
        board = _board([{"kind": kind, "share": _RARE[kind]}], seed, 1, 120.0)
        heard = _read(board)
        if _disagreements(board, heard):
            raise AssertionError(f"{kind}, seed {seed}: {_disagreements(board, heard)}")
        n_faults += board.truth()["n_byte_faults"]
        n_damaged += board.truth()["n_damaged_packets"]
    return n_damaged / max(n_faults, 1)
