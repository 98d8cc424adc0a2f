from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.sources.decoded.stamps import (
    PackageCounter,
    StampClock,
    StampCounter,
    stride_of,
)

RATES = st.sampled_from([50.0, 100.0, 250.0, 1000.0])
SEEDS = st.integers(0, 2**32 - 1)


@given(RATES, SEEDS, st.floats(0, 0.5), st.floats(-500, 500))
def test_jitter_and_drift_invent_no_gap(
    rate_hz: float, seed: int, jitter: float, ppm: float
) -> None:
    choice = np.random.default_rng(seed)
    n = np.arange(int(30 * rate_hz))
    stamps = (n + choice.uniform(-jitter, jitter, len(n))) / rate_hz * (1 + ppm * 1e-6) + 1e4
    assert StampCounter(rate_hz).seq(stamps).tolist() == n.tolist()


@given(st.sampled_from([50.0, 250.0]), SEEDS, st.floats(-0.05, 0.05), st.integers(1, 200))
def test_another_rate_than_was_said_is_no_gap_and_hides_none(
    rate_hz: float, seed: int, wrong: float, n_missing: int
) -> None:
    true = np.arange(int(80 * rate_hz))
    true[int(60 * rate_hz) :] += n_missing
    jitter = np.random.default_rng(seed).uniform(-0.05, 0.05, len(true))
    stamps = (true + jitter) / rate_hz * (1 + wrong)
    assert StampCounter(rate_hz).seq(stamps).tolist() == true.tolist()


@given(RATES, SEEDS, st.sampled_from([0.02, 0.1, 0.2]))
def test_blocks_with_one_stamp_each_invent_no_gap(
    rate_hz: float, seed: int, block_s: float
) -> None:
    """A program that reads its device every so often, and stamps what it got when it got it."""
    block = max(1, int(block_s * rate_hz))
    n = np.arange(int(20 * rate_hz))
    late = np.random.default_rng(seed).uniform(0, 0.005, len(n) // block + 1)
    stamps = (n // block + 1) * block / rate_hz + late[n // block]
    assert StampCounter(rate_hz).seq(stamps).tolist() == n.tolist()


@given(RATES, SEEDS, st.lists(st.tuples(st.floats(0.2, 1), st.integers(1, 500)), max_size=5))
def test_what_is_missing_shows(rate_hz: float, seed: int, gaps: list[tuple[float, int]]) -> None:
    """Once the counter knows how even the stamps are, a single frame shows."""
    steady = int(20 * rate_hz)
    true = np.arange(int(30 * rate_hz))
    for where, n_missing in sorted(gaps):
        at = steady + int(where * (len(true) - steady) * 0.9)
        true[at:] += n_missing
    choice = np.random.default_rng(seed)
    stamps = (true + choice.uniform(-0.05, 0.05, len(true))) / rate_hz
    assert StampCounter(rate_hz).seq(stamps).tolist() == true.tolist()


@given(SEEDS, st.integers(1, 50))
def test_blocks_do_not_matter(seed: int, longest: int) -> None:
    choice = np.random.default_rng(seed)
    stamps = np.cumsum(choice.exponential(0.01, 500)) + choice.normal(0, 0.02, 500)
    stamps[choice.integers(0, 500, 3)] = np.nan
    whole, cut = StampCounter(100.0), StampCounter(100.0)
    clock, cut_clock = StampClock(100.0), StampClock(100.0)
    edges = np.unique(choice.integers(0, 500, 500 // longest))
    parts = np.split(stamps, edges)
    assert whole.seq(stamps).tolist() == [s for part in parts for s in cut.seq(part).tolist()]
    assert clock.t_us(stamps).tolist() == [t for p in parts for t in cut_clock.t_us(p).tolist()]


@given(st.lists(st.floats(width=64), max_size=60))
def test_whatever_stamps_say_numbers_grow_and_times_do_not_fall(stamps: list[float]) -> None:
    array = np.array(stamps, float)
    seq = StampCounter(100.0).seq(array)
    t_us = StampClock(100.0).t_us(array)
    packages = PackageCounter(8, 1, 100.0).seq(np.arange(len(stamps)) * 7 % 256, array)
    assert (np.diff(seq) > 0).all()
    assert (np.diff(packages) > 0).all()
    assert (np.diff(t_us) >= 0).all()
    assert len(t_us) == 0 or t_us[-1] < 1 << 62


def test_a_loss_that_is_known_is_measured_whatever_the_jitter() -> None:
    counter = StampCounter(100.0)
    jitter = np.random.default_rng(1).uniform(-0.3, 0.3, 500)
    counter.seq(np.arange(500) / 100 + jitter)
    counter.resume()
    (seq,) = counter.seq(np.array([9.0]))
    assert abs(seq - 900) < 40


def test_a_clock_that_is_set_back_goes_on() -> None:
    clock = StampClock(100.0)
    before = clock.t_us(np.arange(100) / 100 + 1000.0)
    behind = clock.t_us(np.arange(100) / 100 + 10.0)
    assert np.diff(np.concatenate([before, behind])).tolist() == pytest.approx([10_000] * 199)


@given(st.sampled_from([8, 16]), st.sampled_from([1, 2]), SEEDS)
def test_a_counter_that_wraps_shows_each_missing_frame(bits: int, stride: int, seed: int) -> None:
    choice = np.random.default_rng(seed)
    missing = (choice.random(2000) < 0.02) * choice.geometric(0.01, 2000)
    # A loss of just one round of the counter, or several, looks like none.
    missing[missing % ((1 << bits) // stride) == 0] = 0
    true = np.cumsum(1 + missing)
    true -= true[0]
    packages = (true * stride + int(choice.integers(0, 99)) * stride) % (1 << bits)
    stamps = (true + choice.uniform(0, 0.4, len(true))) / 250.0
    assert stride_of(packages[:200], bits) == stride
    counter = PackageCounter(bits, stride, 250.0)
    assert counter.seq(packages, stamps).tolist() == true.tolist()


@given(st.floats(0, 100), SEEDS)
def test_a_board_that_only_paused_lost_nothing(pause_s: float, seed: int) -> None:
    n = np.arange(300)
    stamps = n / 250 + np.where(n > 100 + seed % 100, pause_s, 0.0)
    assert PackageCounter(8, 1, 250.0).seq(n % 256, stamps).tolist() == n.tolist()


def test_a_counter_with_another_end_loses_nothing() -> None:
    n = np.arange(1000)
    packages, stamps = n % 201, n / 200.0
    assert PackageCounter(8, 1, 200.0).seq(packages, stamps).tolist() == n.tolist()


def test_a_counter_of_packages_is_not_one_of_frames() -> None:
    assert stride_of(np.arange(32) // 12, 8) == 0
    assert stride_of(np.array([7]), 8) == 0
    assert stride_of(np.random.default_rng(1).integers(0, 256, 32), 8) == 0
