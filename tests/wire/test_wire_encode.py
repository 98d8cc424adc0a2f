"""The encoder against PyPI `cobs` and `zlib`, and what it refuses."""

from __future__ import annotations

import random
import zlib

import numpy as np
import pytest
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st
from wire_make import ENCODER, frames_of, make_hello

from streamrnn.core.errors import WireError
from streamrnn.wire.decoder import WireDecoder
from streamrnn.wire.encode import cobs_encode, frame_packet, quantise
from streamrnn.wire.packet import (
    MAX_DECODED,
    MAX_ENCODED,
    MAX_PAYLOAD,
    MAX_T_US,
    Ack,
    Command,
    PacketType,
    Ping,
    Pong,
    frame_time_us,
)


@given(st.binary(max_size=600), st.integers(0, 1000), st.floats(0, 1))
def test_cobs_is_pypi_cobs(head: bytes, n: int, zeros: float) -> None:
    rng = random.Random(n)
    tail = bytes(0 if rng.random() < zeros else rng.randrange(1, 256) for _ in range(n))
    assert cobs_encode(head + tail) == cobs.encode(head + tail)


@given(st.binary(max_size=MAX_PAYLOAD))
def test_a_packet_is_cobs_of_header_payload_and_zlibs_crc(payload: bytes) -> None:
    sent = frame_packet(PacketType.DATA, payload, seq=2**32 + 5, t_us=6, flags=7, schema=8)
    assert sent.endswith(b"\0")
    assert sent.count(b"\0") == 1
    assert len(sent) <= MAX_ENCODED + 1
    decoded = cobs.decode(sent[:-1])
    assert len(decoded) <= MAX_DECODED
    assert decoded[:16] == bytes([1, 2, 7, 8, 5, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0])
    assert decoded[16:-4] == payload
    assert int.from_bytes(decoded[-4:], "little") == zlib.crc32(decoded[:-4])


@given(st.integers(0, 2**32), st.integers(1, 20))
def test_raw_samples_survive_decode_and_quantise(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    hello = make_hello(dtypes=("i16", "f32"), scale=0.0123)
    raw = (
        rng.integers(-32768, 32768, (k, 3)).astype("<i2"),
        rng.standard_normal((k, 3)).astype("<f4"),
    )
    decoder = WireDecoder()
    items = decoder.push(ENCODER.hello(hello) + ENCODER.data(hello, raw, 0, 0))
    x = frames_of(items).x
    scale = np.float32(0.0123)
    assert np.array_equal(x[:, :3], raw[0].astype(np.float32) * scale)
    assert np.array_equal(x[:, 3:], raw[1] * scale)
    assert np.array_equal(quantise(x, hello)[0], raw[0])


def test_quantise_rounds_and_clips_as_a_converter_does() -> None:
    hello = make_hello(scale=0.5, n=1)
    (raw,) = quantise([[0.3], [1e9], [-1e9], [-0.6]], hello)
    assert raw.tolist() == [[1], [32767], [-32768], [-1]]


def test_arguments_that_cannot_be() -> None:
    hello = make_hello()
    two = make_hello(dtypes=("i16", "f32"))
    with pytest.raises(ValueError, match=r"\(k, 3\), got \(2, 2\)"):
        quantise(np.zeros((2, 2)), hello)
    with pytest.raises(ValueError, match="NaN"):
        ENCODER.data(hello, np.full((1, 3), np.nan), 0, 0)
    with pytest.raises(ValueError, match="2 raw arrays expected, got 1"):
        ENCODER.data(two, np.zeros((1, 3), np.int16), 0, 0)
    with pytest.raises(ValueError, match="int16"):
        ENCODER.data(hello, np.zeros((1, 3), np.int32), 0, 0)
    with pytest.raises(ValueError, match="float32"):
        ENCODER.data(two, [np.zeros((2, 3), np.int16), np.zeros((1, 3), np.float32)], 0, 0)
    with pytest.raises(WireError, match="at least one frame"):
        ENCODER.data(hello, np.zeros((0, 3)), 0, 0)
    with pytest.raises(WireError, match="680 frames exceed the 679"):
        ENCODER.data(hello, np.zeros((680, 3)), 0, 0)
    with pytest.raises(WireError, match="exceeds"):
        frame_packet(PacketType.DATA, bytes(MAX_PAYLOAD + 1))
    for t_us in (-1, MAX_T_US + 1):
        with pytest.raises(WireError, match="t_us"):
            ENCODER.hello(hello, 0, t_us)
    with pytest.raises(ValueError, match="no command 'JUMP'"):
        ENCODER.command(1, "JUMP")


def test_small_packets_come_back() -> None:
    sent = (
        ENCODER.command(7, "SET_RATE", {"rate_hz": 200, "why": "t\x1b"})
        + ENCODER.ack(7, False, "not\nnow")
        + ENCODER.ping(9, 1, 2)
        + ENCODER.pong(9, 1, 3)
    )
    assert WireDecoder().push(sent) == [
        Command(7, "SET_RATE", {"rate_hz": 200, "why": "t\\x1b"}),
        Ack(7, False, "not\\nnow"),
        Ping(9, 2),
        Pong(9, 3),
    ]


@given(st.floats(0.001, 1e6), st.integers(0, 10**6), st.integers(0, 2**50))
def test_frame_time_is_the_nearest_microsecond(rate_hz: float, j: int, t_us: int) -> None:
    time_us = frame_time_us(t_us, j, rate_hz)
    assert isinstance(time_us, int)
    exact = j * 1e6 / rate_hz
    assert abs(time_us - t_us - exact) <= 0.5 + 1e-9 * exact
    array = frame_time_us(t_us, np.array([0, j]), rate_hz)
    assert array.dtype == np.int64
    assert array.tolist() == [t_us, time_us]


def test_frame_time_rounds_halves_up_at_whole_rates() -> None:
    assert [frame_time_us(0, j, 80.0) for j in (1, 2)] == [12_500, 25_000]
    assert frame_time_us(0, 1, 400_000.0) == 3  # 2.5
    assert frame_time_us(0, 1, 64_000.0) == 16  # 15.625
    assert frame_time_us(5, 3 * 10**12, 3.0) == 10**18 + 5
