"""Which rates fit, what is refused, and that a specification comes back from its document."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamrnn.core.errors import ConfigError
from streamrnn.features import filters
from streamrnn.features.conditioner import Conditioner, SignalSpec

MUSCLE = filters.muscle(200.0, mains_hz=50.0)
STABLE = (1.0, 0.0, 0.0, 1.0, -0.5, 0.1)


def test_a_specification_comes_back_from_json():
    assert SignalSpec.from_document(json.loads(json.dumps(MUSCLE.to_document()))) == MUSCLE
    plain = SignalSpec(119.0)
    assert SignalSpec.from_document(plain.to_document()) == plain
    assert MUSCLE.has_filters
    assert not plain.has_filters


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"input_hz": 0.0}, "input_hz must be within"),
        ({"input_hz": float("nan")}, "input_hz must be within"),
        ({"input_hz": "200"}, "input_hz must be float"),
        ({"sections": [[1.0, 0.0, 0.0, 1.0, 0.0]]}, r"sections\[0\] must be six numbers"),
        ({"sections": [[1.0, 0.0, 0.0, 1.0, 0.0, float("inf")]]}, "six numbers within"),
        ({"sections": [[1e7, 0.0, 0.0, 1.0, 0.0, 0.0]]}, "six numbers within"),
        ({"smoothing": [STABLE, [1.0, 0, 0, 2.0, 0, 0]]}, r"smoothing\[1\]: a0, the fourth"),
        ({"smoothing": [[1.0, 0.0, 0.0, 1.0, 0.0, 1.0]]}, "a pole that is not inside"),
        ({"sections": [[1.0, 0.0, 0.0, 1.0, -2.0, 1.0]]}, "a pole that is not inside"),
        ({"sections": [STABLE] * 9}, "9 sections, at most 8"),
        ({"rectify": 1}, "rectify must be bool"),
        ({"notch": 50}, "unknown option 'notch'"),
    ],
)
def test_what_no_model_may_say_is_refused(change, what):
    with pytest.raises(ConfigError, match=what):
        SignalSpec.from_document({**MUSCLE.to_document(), **change})


@given(st.complex_numbers(max_magnitude=3.0))
@example(0.99999 + 0j)  # two poles on one place
def test_a_section_is_accepted_if_its_poles_are_inside_the_unit_circle(pole):
    a1, a2 = -2 * pole.real, abs(pole) ** 2
    section = (1.0, 0.0, 0.0, 1.0, a1, a2)
    if abs(pole) < 1 - 1e-6:
        SignalSpec(100.0, (section,))
    elif abs(pole) > 1 + 1e-6:
        with pytest.raises(ConfigError):
            SignalSpec(100.0, (section,))


@pytest.mark.parametrize(
    ("spec", "stream_hz"),
    [
        (None, 100.0),
        (None, 104.9),
        (None, 95.1),
        (None, 0.0),
        (SignalSpec(100.0), 102.0),
        (SignalSpec(200.0), 101.0),
    ],
)
def test_nothing_stands_between_a_stream_at_the_models_rate(spec, stream_hz):
    assert Conditioner.needed(spec, 3, stream_hz, 100.0) is None


@pytest.mark.parametrize(
    ("spec", "stream_hz", "ratio", "counts_as"),
    [
        (None, 119.0, Fraction(119, 100), 119.0),
        (None, 50.0, Fraction(1, 2), 50.0),
        (None, 1000.0, Fraction(10), 1000.0),
        (SignalSpec(200.0), 0.0, Fraction(2), 200.0),
        (SignalSpec(200.0), 196.0, Fraction(2), 200.0),
        (SignalSpec(200.0), 119.0, Fraction(119, 100), 119.0),
        (MUSCLE, 204.0, Fraction(2), 200.0),
    ],
)
def test_a_stream_counts_as_the_expected_rate_or_is_resampled(spec, stream_hz, ratio, counts_as):
    made = Conditioner.needed(spec, 3, stream_hz, 100.0)
    assert made is not None
    assert (made.ratio, made.stream_hz, made.is_resampling) == (ratio, counts_as, True)


def test_rates_of_any_digits_become_a_ratio_that_is_right_to_1e_8():
    made = Conditioner(None, 1, 119.047619, 66.666667)
    assert float(made.ratio) == pytest.approx(119.047619 / 66.666667, rel=1e-8)
    assert Conditioner(None, 1, 200.0, 66.666667).ratio == 3


def test_filters_alone_keep_the_rate():
    made = Conditioner.needed(MUSCLE, 2, 200.0, 200.0)
    assert made is not None
    assert not made.is_resampling
    y, at = made.push(np.ones((5, 2), np.float32))
    assert y.shape == (5, 2)
    assert at.tolist() == [0, 1, 2, 3, 4]


def test_streams_that_cannot_be_made_to_fit_are_refused_in_one_line():
    with pytest.raises(ConfigError, match="49 Hz, less than half of the model's 100 Hz"):
        Conditioner.needed(None, 3, 49.0, 100.0)
    with pytest.raises(ConfigError, match="119 Hz, the model's filters are made for 200 Hz"):
        Conditioner.needed(MUSCLE, 3, 119.0, 100.0)
