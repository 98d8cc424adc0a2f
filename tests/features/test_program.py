"""Every operation of a feature program, against plain NumPy; a stream's memory is all it has."""

from __future__ import annotations

import itertools

import numpy as np
import plain_operations as plain
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.kernels.features import Builder, FeatureKernel, Program
from streamrnn.kernels.fleet.stages import ManyFeatures
from streamrnn.kernels.live import program_slots

N = 9
GAIN = 0.125
VECTORS = np.arange(N).reshape(3, 3)
seeds = st.integers(0, 2**31)


def frames(seed: int, n: int = 40) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(n, N)) + np.cumsum(rng.normal(size=(n, N)), axis=0)).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = np.nan
    return x


def run(program: Program, x: np.ndarray) -> np.ndarray:
    kernel = FeatureKernel(program)
    out = np.empty((len(x), program.n_outputs), np.float32)
    kernel.push(x, out)
    return out


def scales(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed + 1)
    return rng.normal(size=N), np.exp(rng.normal(size=N))


def operation(name: str, b: Builder, z: np.ndarray, x: np.ndarray):
    """Add one operation; return its places and what they must hold."""
    places = b.samples[:4]
    v, w, u = (z[:, row] for row in VECTORS)
    of = b.samples[VECTORS]
    adaptive = {"prior": 3.0, "settle": 7.0}
    return {
        "samples": lambda: (b.samples, z),
        "lengths": lambda: (b.lengths(of), plain.lengths(z[:, VECTORS])),
        "differences": lambda: (b.differences(places), plain.differences(z[:, :4])),
        "session": lambda: (
            b.adapted(places, **adaptive, is_kept=True, is_centred=True),
            plain.adapted(z[:, :4], **adaptive, is_kept=True, is_centred=True),
        ),
        "running": lambda: (
            b.adapted(of[1], **adaptive, is_kept=False, is_centred=False),
            plain.adapted(w, **adaptive, is_kept=False, is_centred=False),
        ),
        "slow": lambda: (b.slow(places, GAIN), plain.slow(z[:, :4], GAIN)),
        "minus": lambda: (b.minus(places, b.samples[4:8]), z[:, :4] - z[:, 4:8]),
        "split": lambda: (
            b.split(of[:2], of[1:]),
            np.stack([plain.split(v, w), plain.split(w, u)], axis=1),
        ),
        "dots": lambda: (b.dots(of[:1], of[1:2]), plain.dots(v, w)),
        "triples": lambda: (b.triples(of[:1], of[1:2], of[2:]), plain.triples(v, w, u)),
        "directions": lambda: (b.directions(of[:2], 0.5), plain.directions(z[:, VECTORS[:2]], 0.5)),
        "points": lambda: (
            np.concatenate([p.reshape(-1) for p in b.points(of, 1, 0, None, GAIN)]),
            np.concatenate(
                [p.reshape(len(z), -1) for p in plain.points(z[:, VECTORS], 1, [], GAIN)], axis=1
            ),
        ),
        "left hands": lambda: hands(b, z),
    }[name]()


def hands(b: Builder, z: np.ndarray):
    pairs = np.arange(8).reshape(4, 2)
    made = b.points(b.samples[pairs], None, program_slots.MIRROR_LEFT, int(b.samples[8]), GAIN)
    expected = plain.points(z[:, pairs], None, z[:, 8] <= 0.5, GAIN)
    return (
        np.concatenate([p.reshape(-1) for p in made]),
        np.concatenate([p.reshape(len(z), -1) for p in expected], axis=1),
    )


NAMES = [
    "samples", "lengths", "differences", "session", "running", "slow", "minus", "split", "dots",
    "triples", "directions", "points", "left hands",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@given(seeds)
def test_an_operation_equals_plain_numpy(name, seed):
    offset, scale = scales(seed)
    x = frames(seed)
    z = plain.load(x, offset, scale)
    b = Builder(offset, scale)
    places, expected = operation(name, b, z, x)
    b.store(places, "none")
    got = run(b.done(), x)
    # a float32's rounding, and that of some float64 sums which cancel
    np.testing.assert_allclose(got, expected.reshape(got.shape), rtol=1e-6, atol=1e-9)


@given(seeds)
def test_stores_squash_and_scale(seed):
    x = frames(seed)
    offset, scale = scales(seed)
    gains = np.exp(np.random.default_rng(seed).normal(size=N))
    z = plain.load(x, offset, scale) * gains
    b = Builder(offset, scale)
    for squash in ("none", "asinh", "log"):
        b.store(b.samples, squash, gains)
    expected = [z, np.arcsinh(2 * z), np.log1p(4 * np.maximum(z, 0))]
    np.testing.assert_allclose(run(b.done(), x), np.concatenate(expected, 1), rtol=1e-6, atol=1e-9)


def everything(seed: int) -> Program:
    """Return a program with every operation."""
    offset, scale = scales(seed)
    b = Builder(offset, scale)
    x = frames(seed)
    for name in NAMES:
        b.store(operation(name, b, plain.load(x, offset, scale), x)[0], "asinh")
    return b.done()


@given(seeds, st.lists(st.integers(0, 40), max_size=5))
def test_any_chunking_and_a_reset_give_the_same_bits(seed, cuts):
    program, x = everything(seed), frames(seed)
    kernel, whole = FeatureKernel(program), run(program, x)
    out = np.empty_like(whole)
    for _ in range(2):
        kernel.reset()
        for a, z in itertools.pairwise([0, *sorted(cuts), len(x)]):
            kernel.push(x[a:z], out[a:z])
        assert out.tobytes() == whole.tobytes()


@given(seeds)
def test_a_stream_of_many_gives_the_bits_that_it_gives_alone(seed):
    program, rng = everything(seed), np.random.default_rng(seed)
    many = ManyFeatures(FeatureKernel(program), 5)
    inputs = [frames(seed + row, 12) for row in range(5)]
    for x in inputs:
        x[np.isnan(x)] = 0
    done: list[list[np.ndarray]] = [[] for _ in inputs]
    while any(len(own) < 12 for own in done):
        rows = rng.permutation([row for row in range(5) if len(done[row]) < 12])[:3]
        rows = np.ascontiguousarray(rows, np.int64)
        x = np.array([inputs[row][len(done[row])] for row in rows])
        for row, features in zip(rows, many.push(x, rows), strict=True):
            done[row].append(features.copy())
    for row, x in enumerate(inputs):
        assert np.array(done[row]).tobytes() == run(program, x).tobytes()


@given(seeds, st.sampled_from([0.0, 1e-30, 1e18, 3e38]))
def test_no_sample_makes_a_feature_that_is_not_finite(seed, size):
    rng = np.random.default_rng(seed)
    wild = np.array([np.nan, np.inf, -np.inf, 0.0, size, -size, 1.0], np.float32)
    x = rng.choice(wild, (30, N))
    assert np.isfinite(run(everything(seed), x)).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda b: b.store([N], "none"), "beyond the 9 that there are"),
        (lambda b: b.store([-1], "none"), "beyond the 9 that there are"),
        (lambda b: b.store([0], "none", [1.0, 2.0]), "2 gains for 1 places"),
        (lambda b: b.minus([0, 1], [2]), "2 places less 1"),
        (lambda b: b.split(VECTORS, VECTORS[:2]), "expected of 3"),
        (lambda b: b.points(VECTORS, 3, 0, None, GAIN), "reference 3 of 3 points"),
        (lambda b: b.points(VECTORS, None, program_slots.MIRROR_LEFT, None, GAIN), "which hand"),
        (lambda b: b.slow([0], np.inf) is None or b.done(), "numbers must be finite"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_kernel_gets_it(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong(Builder(np.zeros(N), np.ones(N)))
