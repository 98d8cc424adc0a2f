"""Damage to bytes that nobody understands: counted, seeded, and the same for any pieces."""

from __future__ import annotations

import itertools
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.faults import (
    BYTE_KINDS,
    ByteFaults,
    FaultPlan,
    fault_from_table,
)

TABLES: list[dict[str, object]] = [
    {"kind": "flip", "share": 2e-3},
    {"kind": "lose", "share": 5e-3, "bytes": 7},
    {"kind": "insert", "share": 5e-3, "bytes": 3},
    {"kind": "burst", "share": 3e-3, "bits": 12, "within": 200},
    {"kind": "nul", "share": 4e-3, "bytes": 5},
]


def _plan(*tables: dict[str, object]) -> FaultPlan:
    return FaultPlan(tuple(fault_from_table(table, "test") for table in tables))


def _bytes(n: int) -> bytes:
    return bytes((i * 7 + i // 251) % 256 for i in range(n))


def _apply(plan: FaultPlan, data: bytes, sizes: list[int], seed: int) -> tuple[bytes, dict]:
    faults = ByteFaults(plan, seed)
    out, at = [], 0
    for size in itertools.cycle(sizes):
        if at >= len(data):
            break
        out.append(faults.apply(data[at : at + size]))
        at += size
    return b"".join(out), asdict(faults.truth)


@pytest.mark.parametrize("table", TABLES, ids=BYTE_KINDS)
@settings(max_examples=20)
@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_how_bytes_are_cut_changes_nothing(
    table: dict[str, object], sizes: list[int], seed: int
) -> None:
    data = _bytes(3000)
    cut, truth = _apply(_plan(table), data, sizes, seed)
    whole, whole_truth = _apply(_plan(table), data, [len(data)], seed)
    # Runs that reach over the end of all bytes are the only difference.
    n_known = len(data) - 64
    assert cut[:n_known] == whole[:n_known]
    assert abs(truth["n_byte_faults"] - whole_truth["n_byte_faults"]) <= 1


@settings(max_examples=30)
@given(kinds=st.lists(st.sampled_from(TABLES), min_size=1), seed=st.integers(0, 999))
def test_lengths_add_up(kinds: list[dict[str, object]], seed: int) -> None:
    data = _bytes(5000)
    out, truth = _apply(_plan(*kinds), data, [97], seed)
    assert len(out) == len(data) - truth["n_lost_bytes"] + truth["n_inserted_bytes"]
    if all(table["kind"] in ("flip", "burst") for table in kinds):
        n_bits = sum((a ^ b).bit_count() for a, b in zip(data, out, strict=True))
        assert n_bits == truth["n_flipped_bits"]


def test_a_burst_flips_so_many_bits_within_so_many() -> None:
    faults = ByteFaults(_plan({"kind": "burst", "at_s": 1, "bits": 5, "within": 20}), 4)
    data = bytes(400)
    assert faults.apply(data, 999_999) is data
    out = faults.apply(data, 1_000_000)
    places = [8 * i + b for i, byte in enumerate(out) for b in range(8) if byte >> b & 1]
    assert len(places) == 5
    assert places[-1] - places[0] < 20
    assert faults.hits == [("burst", 1)]
    assert faults.apply(data, 2_000_000) is data


def test_what_cancels_out_is_no_fault() -> None:
    # The same bits flipped twice: by two faults that are always there.
    twice = _plan({"kind": "flip", "share": 1}, {"kind": "flip", "share": 1})
    faults = ByteFaults(twice)
    data = _bytes(50)
    assert faults.apply(data) is data
    # Every byte lost, and the byte that comes in its place is the same.
    swap = _plan({"kind": "lose", "share": 1}, {"kind": "nul", "share": 1})
    faults_too = ByteFaults(swap)
    zeros = bytes(20)
    assert faults_too.apply(zeros) is zeros
    for truth in (faults.truth, faults_too.truth):
        assert set(asdict(truth).values()) == {0}
    assert faults.hits == faults_too.hits == []
    assert faults_too.apply(data) == bytes(50)


def test_stretches_of_time() -> None:
    faults = ByteFaults(_plan({"kind": "flip", "share": 1, "from_s": 1, "to_s": 2}))
    is_hit = [faults.apply(b"\0", t) != b"\0" for t in (None, 0, 1_000_000, 1_999_999, 2_000_000)]
    assert is_hit == [False, False, True, True, False]
    # Without a beginning it is there from power-up on.
    faults = ByteFaults(_plan({"kind": "flip", "share": 1, "to_s": 2}))
    assert faults.apply(b"\0", None) == b"\xff"
