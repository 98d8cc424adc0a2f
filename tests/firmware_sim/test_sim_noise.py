"""Each noise model is what its formula says, for blocks of any size."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.origins.noise import Noise, NoisyOrigin, from_rows, noise_from_table
from firmware_sim.origins.origin import Block, to_rows
from firmware_sim.signals import SignalOrigin
from streamrnn.core.errors import ConfigError
from streamrnn.wire.encode import quantise
from streamrnn.wire.schema import ChannelGroup, Hello

RATE_HZ = 200.0
TABLES = {
    "white": {"density": 0.002},
    "walk": {"rate_per_sqrt_s": 0.01},
    "quantise": {"step": 0.25},
    "spikes": {"share": 0.01, "size": 5.0},
    "dropout": {"every_s": 1.0, "for_s": 0.1},
    "saturate": {"limit": 0.5},
    "hum": {"size": 0.2, "hz": 50.0, "harmonics": 3},
}


class Constant:
    """An origin of two channels of one value, in float32."""

    keeps_time = False

    def __init__(self, value: float = 1.0) -> None:
        group = ChannelGroup(("a", "b"), "g", "f32", 1.0, 0.0)
        self.hello = Hello("c", "1", "b", RATE_HZ, (group,))
        self._value = value
        self._seq = 0

    def next(self, n_max: int) -> Block:
        seq = np.arange(self._seq, self._seq + n_max, dtype=np.int64)
        self._seq += n_max
        rows = to_rows(quantise(np.full((n_max, 2), self._value), self.hello))
        return Block(rows, seq, seq * 5000)

    def set_rate(self, rate_hz: float) -> bool:
        return False


def _make(kind: str, **more: object) -> Noise:
    return noise_from_table({"kind": kind, **TABLES[kind], **more}, "test")


def _run(noises: list[Noise], n: int, seed: int = 1, value: float = 1.0) -> np.ndarray:
    origin = NoisyOrigin(Constant(value), noises, seed)
    return from_rows(origin.next(n).rows, origin.hello)


@pytest.mark.parametrize("kind", TABLES)
@settings(max_examples=15)
@given(sizes=st.lists(st.integers(1, 200), min_size=1, max_size=5))
def test_the_size_of_the_blocks_changes_nothing(kind: str, sizes: list[int]) -> None:
    origin = NoisyOrigin(Constant(), [_make(kind)], 5)
    parts, n = [], 0
    for size in itertools.cycle(sizes):
        parts.append(origin.next(size).rows)
        n += size
        if n >= 1500:
            break
    whole = NoisyOrigin(Constant(), [_make(kind)], 5).next(n).rows
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_white_noise_has_the_density_that_is_asked_for() -> None:
    x = _run([_make("white")], 100_000) - 1.0
    assert x.std() == pytest.approx(0.002 * np.sqrt(RATE_HZ / 2), rel=0.01)
    assert abs(np.corrcoef(x[1:, 0], x[:-1, 0])[0, 1]) < 0.01
    assert abs(np.corrcoef(x[:, 0], x[:, 1])[0, 1]) < 0.01


def test_a_bias_walks_with_the_square_root_of_time() -> None:
    seconds = 4
    ends = [_run([_make("walk")], int(seconds * RATE_HZ), s)[-1] - 1.0 for s in range(400)]
    assert np.std(ends) == pytest.approx(0.01 * np.sqrt(seconds), rel=0.1)


def test_quantised_saturated_and_humming() -> None:
    x = _run([_make("white"), _make("quantise")], 1000, value=0.6)
    assert set(np.unique(x)) <= {0.0, 0.25, 0.5, 0.75, 1.0}
    assert _run([_make("saturate")], 10).tolist() == [[0.5, 0.5]] * 10
    assert _run([_make("saturate")], 10, value=-3.0).tolist() == [[-0.5, -0.5]] * 10
    x = _run([_make("hum")], 20_000) - 1.0
    spectrum = np.abs(np.fft.rfft(x[:, 0] * np.hanning(len(x)))) / (len(x) / 4)
    hz = np.fft.rfftfreq(len(x), 1 / RATE_HZ)
    assert hz[spectrum.argmax()] == pytest.approx(50.0, abs=0.11)
    assert spectrum.max() == pytest.approx(0.2, rel=0.2)
    # The third harmonic, 150 Hz, is beyond the half of 200 Hz and comes back at 50 Hz or so.
    assert x[:, 0].std() == pytest.approx(0.2 / np.sqrt(2) * np.sqrt(1 + 1 / 9), rel=0.05)


def test_spikes_are_as_many_and_as_large_as_asked_for() -> None:
    x = _run([_make("spikes")], 100_000) - 1.0
    hit = np.abs(x) > 1e-6
    assert hit.mean() == pytest.approx(0.01, rel=0.1)
    assert x[hit].std() == pytest.approx(5.0, rel=0.1)


def test_dropouts_hit_all_channels_and_last_as_long_as_asked_for() -> None:
    x = _run([_make("dropout")], 400_000)
    is_out = x[:, 0] == 0.0
    np.testing.assert_array_equal(is_out, x[:, 1] == 0.0)
    starts = np.flatnonzero(is_out[1:] & ~is_out[:-1])
    assert is_out.mean() == pytest.approx(0.1 / 1.1, rel=0.1)
    assert is_out.sum() / len(starts) / RATE_HZ == pytest.approx(0.1, rel=0.1)


def test_only_the_channels_that_are_named_have_it() -> None:
    x = _run([_make("saturate", channels=["b"])], 3)
    assert x.tolist() == [[1.0, 0.5]] * 3


def test_the_samples_of_a_board_stay_in_its_range_and_its_rate_may_change() -> None:
    origin = NoisyOrigin(SignalOrigin(1, 3), [_make("spikes", share=0.5, size=1e6)], 3)
    raw = origin.next(200).rows.view("<i2")
    assert (raw.min(), raw.max()) == (-32768, 32767)
    assert origin.set_rate(50.0)
    assert origin.hello.rate_hz == 50.0
    assert not origin.set_rate(-1.0)
    assert origin.next(1).seq.tolist() == [0]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "needs a kind; known: white"),
        ({"kind": "whit", "density": 1}, "unknown kind 'whit' \\(did you mean 'white'"),
        ({"kind": "white"}, "option 'density' is missing"),
        ({"kind": "white", "densty": 1}, "unknown option 'densty' \\(did you mean 'density'"),
        ({"kind": "white", "density": 0}, "density must be more than 0"),
        ({"kind": "spikes", "share": 2, "size": 1}, "share must be more than 0, at most 1, got 2"),
        ({"kind": "hum", "size": float("inf")}, "size must be more than 0, got inf"),
        ({"kind": "hum", "size": 1, "harmonics": 10**9}, "harmonics must be .* at most 99"),
    ],
)
def test_tables_that_make_no_sense(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        noise_from_table(table, "test")


def test_a_channel_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"no channel 'acx_x' \(did you mean 'acc_x'"):
        NoisyOrigin(SignalOrigin(1, 3), [_make("white", channels=["acx_x"])])
