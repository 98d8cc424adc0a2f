"""Filters and resampling, against scipy and plain loops over fractions."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from streamrnn.kernels.condition import (
    MOST_FRAMES,
    ConditionKernel,
    FrameConditioner,
    ManyConditioned,
)
from streamrnn.kernels.live.slots import LARGEST_SAMPLE

NO_SECTIONS = np.empty((0, 6))
BAND = signal.butter(4, [20.0, 90.0], "bandpass", fs=200.0, output="sos")
LOW = signal.butter(2, 5.0, fs=200.0, output="sos")
RATIOS = st.one_of(
    st.sampled_from([Fraction(1), Fraction(2), Fraction(10), Fraction(119, 104), Fraction(1, 2)]),
    st.fractions(Fraction(1, 2), Fraction(7), max_denominator=40),
)


def make(ratio=Fraction(1), sections=NO_SECTIONS, smoothing=NO_SECTIONS, rectify=False, n=2):
    return ConditionKernel(sections, smoothing, rectify=rectify, ratio=ratio, n_channels=n)


def frames(n, seed=0, channels=2):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, channels)) * 3 + 7).astype(np.float32)


def steady(sos, x0):
    """Return the state of a cascade in which `x0` has always been."""
    return signal.sosfilt_zi(sos)[:, :, None] * x0


def by_scipy(x):
    """Return band-pass, absolute values and envelope."""
    u, _ = signal.sosfilt(BAND, x.astype(np.float64), axis=0, zi=steady(BAND, x[0]))
    u = np.abs(u)
    return signal.sosfilt(LOW, u, axis=0, zi=steady(LOW, u[0]))[0]


def by_fractions(u, ratio):
    """Return the model frames of the definition, and the frame that completes each."""
    y, by, m = [], [], 0
    if ratio == 1:
        return u, list(range(len(u)))
    while True:
        begin, end = m * ratio, (m + 1) * ratio
        last = -(-begin // 1) if ratio < 1 else -(-end // 1) - 1
        if last >= len(u):
            return np.array(y).reshape(-1, u.shape[1]), by
        if ratio < 1:
            before, share = int(begin // 1), begin % 1
            line = u[before]
            if share:
                line = line + (u[before + 1] - line) * float(share)
            y.append(line)
        else:
            parts = [
                (min(end, Fraction(i + 1)) - max(begin, Fraction(i)), u[i])
                for i in range(int(begin // 1), last + 1)
            ]
            y.append(sum(float(part / ratio) * frame for part, frame in parts))
        by.append(int(last))
        m += 1


def test_a_cascade_is_scipys_from_a_steady_start():
    x = frames(600)
    y, by = make(Fraction(1), BAND, LOW, rectify=True).push(x)
    expected = by_scipy(x)
    assert by.tolist() == list(range(600))
    # float64 inside: what differs is the last rounding to float32
    np.testing.assert_allclose(y, expected, rtol=1.2e-7, atol=1e-12)


@given(RATIOS, st.integers(0, 200))
def test_resampling_is_its_definition(ratio, n):
    x = frames(n)
    y, by = make(ratio).push(x)
    expected, expected_by = by_fractions(x.astype(np.float64), ratio)
    assert by.tolist() == expected_by
    np.testing.assert_allclose(y, expected.astype(np.float32), rtol=1.2e-7)


@given(RATIOS)
@settings(max_examples=20)
def test_all_of_it_is_filter_then_rectify_then_envelope_then_resampling(ratio):
    x = frames(150, 3)
    y, by = make(ratio, BAND, LOW, rectify=True).push(x)
    expected, expected_by = by_fractions(by_scipy(x), ratio)
    assert by.tolist() == expected_by
    np.testing.assert_allclose(y, expected, rtol=3e-7, atol=1e-12)


@given(st.integers(1, 12))
def test_a_whole_ratio_is_the_plain_mean(k):
    x = frames(20 * k)
    y, by = make(Fraction(k)).push(x)
    mean = x.astype(np.float64).reshape(20, k, 2).mean(axis=1)
    np.testing.assert_allclose(y, mean, rtol=1.2e-7)
    assert by.tolist() == list(range(k - 1, 20 * k, k))


def test_positions_never_drift():
    ratio, n = Fraction(10_007, 9_001), 300_000
    ramp = np.arange(n, dtype=np.float32)[:, None]
    y, by = make(ratio, n=1).push(ramp)
    whole = n * ratio.denominator // ratio.numerator
    assert len(y) == whole
    # the mean over period m of a staircase: its middle, to within a half of one frame
    middle = (np.arange(whole) + 0.5) * float(ratio) - 0.5
    assert np.abs(y[:, 0] - middle).max() < 0.5
    assert by[-1] == -(-(whole * ratio) // 1) - 1


@given(RATIOS, st.lists(st.integers(0, 90), max_size=8), st.integers(0, 40), st.booleans())
def test_any_cuts_and_a_reset_give_the_same_bits(ratio, cuts, n_before, filtered):
    x = frames(90)
    options = {"sections": BAND, "smoothing": LOW, "rectify": True} if filtered else {}
    whole, whole_by = make(ratio, **options).push(x)
    kernel = make(ratio, **options)
    kernel.push(frames(n_before, 9))
    kernel.reset()
    edges = sorted({0, 90, *cuts})
    parts = [(a, *kernel.push(x[a:b])) for a, b in itertools.pairwise(edges)]
    assert np.concatenate([y for _, y, _ in parts]).tobytes() == whole.tobytes()
    assert np.concatenate([a + by for a, _, by in parts]).tolist() == whole_by.tolist()


@given(RATIOS, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_a_stream_among_many_has_the_bits_of_one_alone(ratio, random):
    n_streams, n = 5, 40
    xs = [frames(n, seed) for seed in range(n_streams)]
    expected = [make(ratio, BAND, LOW, rectify=True).push(x) for x in xs]
    kernel = make(ratio, BAND, LOW, rectify=True)
    many = ManyConditioned(kernel, n_streams)
    many.states[:] = 5.0
    many.reset(np.arange(n_streams))
    at, got = [0] * n_streams, [[] for _ in range(n_streams)]
    while any(a < n for a in at):
        ready = [k for k in range(n_streams) if at[k] < n]
        rows = np.array(random.sample(ready, random.randint(1, len(ready))))
        y, counts = many.push(np.stack([xs[k][at[k]] for k in rows]), rows)
        assert y.shape == (len(rows), MOST_FRAMES, 2)
        for r, k in enumerate(rows.tolist()):
            got[k] += list(y[r, : counts[r]])
            at[k] += 1
    for (y, _), rows in zip(expected, got, strict=True):
        assert np.array(rows).reshape(-1, 2).tobytes() == y.tobytes()
    assert kernel.fits(many.states)


@given(RATIOS, st.lists(st.sampled_from(["frame", "row", "odd", "bad"]), max_size=60))
def test_one_compiled_call_a_frame_has_the_same_bits(ratio, ways):
    """A frame has all columns of the stream, in its order; damaged ones change nothing."""
    columns, x = np.array([3, 0]), frames(60, 5, channels=4)
    kernel = make(ratio, BAND, LOW, rectify=True)
    front = FrameConditioner(kernel, columns, 4)
    got, taken = [], []
    for frame, way in zip(x, ways, strict=False):
        if way == "bad":
            spoilt = frame.copy()
            spoilt[3] = np.nan
            assert front.push(spoilt) == front.push(np.repeat(spoilt, 2)[::2]) == -1
            continue
        taken.append(frame[columns])
        if way == "row":
            got += list(front.push_rows(taken[-1][None])[0])
        else:
            n = front.push(frame if way == "frame" else np.repeat(frame, 2)[::2])
            got += [f[0].copy() for f in front.frames[:n]]
        assert front.newest.tolist() == taken[-1].tolist()
    expected, _ = make(ratio, BAND, LOW, rectify=True).push(
        np.array(taken, np.float32).reshape(-1, 2)
    )
    assert np.array(got).reshape(-1, 2).tobytes() == expected.tobytes()


def test_a_frame_that_is_none_is_refused():
    front = FrameConditioner(make(), np.array([0, 1]), 3)
    unused = np.array([1, 2, np.nan], np.float32)
    assert front.push(unused) == 1
    for bad in (np.zeros(2, np.float32), np.zeros(3), [1.0, 2.0, 3.0]):
        with pytest.raises(ValueError, match="expected float32 of 3"):
            front.push(bad)
    for columns in ([0], [0, 3], [-1, 0]):
        with pytest.raises(ValueError, match=r"expected 2 of 0\.\.2"):
            FrameConditioner(make(), np.array(columns), 3)


def test_a_constant_signal_stays_what_it_is_and_a_band_pass_says_nothing():
    x = np.full((500, 2), 1013.25, np.float32)
    for ratio in (Fraction(119, 104), Fraction(2, 3), Fraction(3)):
        assert (make(ratio, smoothing=LOW).push(x)[0] == x[0]).all()
        np.testing.assert_allclose(make(ratio, BAND, rectify=True).push(x)[0], 0.0, atol=1e-9)


def test_plausible_samples_never_become_anything_else():
    largest = np.float32(9.9e17)
    x = np.where(np.arange(400)[:, None] % 2, largest, -largest).astype(np.float32)
    resonant = np.array([[1e6, 0.0, 0.0, 1.0, 1.99, 0.995]])
    for ratio in (Fraction(1), Fraction(5, 4), Fraction(2, 3)):
        y, _ = make(ratio, resonant, resonant, n=1).push(x)
        assert (np.abs(y) < LARGEST_SAMPLE).all()


def test_memory_fades_to_zero_and_never_to_numbers_that_are_slow():
    kernel = make(Fraction(1), BAND, LOW, rectify=True)
    kernel.push(frames(50))
    kernel.push(np.zeros((20_000, 2), np.float32))
    memory = kernel._state[0, 4:]
    assert not memory.any()


def test_senseless_arguments_are_refused():
    with pytest.raises(ValueError, match="a0 must be 1"):
        make(sections=np.array([[1.0, 0, 0, 2.0, 0, 0]]))
    with pytest.raises(ValueError, match="1/2 is the least"):
        make(Fraction(49, 100))
    with pytest.raises(ValueError, match="x is float64"):
        make().push(np.zeros((3, 2)))
    kernel = make(Fraction(3, 2))
    states = kernel.new_states(2)
    assert kernel.fits(states)
    for column, value in ((0, -1.0), (0, 0.5), (0, 4.0), (1, 2.0), (2, np.nan)):
        bad = states.copy()
        bad[1, column] = value
        assert not kernel.fits(bad)
