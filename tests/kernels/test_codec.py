"""The codec kernels by themselves; tests/wire holds the decoders on them to their laws."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.kernels.codec import packets, text
from streamrnn.kernels.codec.cobs import cobs_decode, find_zero
from streamrnn.kernels.codec.crc import crc32
from streamrnn.kernels.codec.memory import SLACK, address_of
from streamrnn.wire.encode import frame_packet
from streamrnn.wire.packet import PacketType


def buffer(data: bytes, filler: int = 0xAA) -> np.ndarray:
    """`data` with slack behind it that must not matter."""
    return np.frombuffer(bytearray(data + bytes([filler]) * SLACK), np.uint8)


@given(st.binary(max_size=300), st.integers(0, 9))
def test_crc_is_zlibs_at_any_alignment(data: bytes, shift: int) -> None:
    a = buffer(bytes(shift) + data)
    assert int(crc32(address_of(a) + shift, len(data))) == zlib.crc32(data)


@given(st.binary(max_size=200), st.integers(0, 50))
def test_the_first_zero_is_found_and_the_slack_does_not_matter(data: bytes, start: int) -> None:
    a = buffer(data, filler=0)
    start = min(start, len(data))
    found = data.find(0, start)
    expected = found if found >= 0 else len(data)
    assert find_zero(address_of(a), start, len(data)) == expected


@given(st.integers(0, 2**32), st.integers(0, 800), st.floats(0, 1))
def test_cobs_is_pypi_cobs_and_stays_in_its_bounds(seed: int, n: int, zeros: float) -> None:
    rng = np.random.default_rng(seed)
    plain = rng.integers(1, 256, n, np.uint8)
    plain[rng.random(n) < zeros] = 0
    encoded = cobs.encode(plain.tobytes())
    source = buffer(b"\7\7" + encoded)
    target = np.full(len(encoded) + SLACK + 64, 0x55, np.uint8)
    length = cobs_decode(address_of(source), 2, 2 + len(encoded), address_of(target))
    assert length == n
    assert np.array_equal(target[:n], plain)
    assert (target[len(encoded) + SLACK :] == 0x55).all()
    # As PyPI's decoder, which allows a run of 0 behind a full one.
    assert cobs_decode(address_of(source), 2, 1 + len(encoded), address_of(target)) in (
        -1,
        n - 1,
        n,
    )


def test_a_run_beyond_the_packet_is_an_error() -> None:
    source = buffer(b"\5abc")
    target = np.zeros(64, np.uint8)
    assert cobs_decode(address_of(source), 0, 4, address_of(target)) == -1


def make_columns(n_rows: int) -> packets.PacketColumns:
    columns = packets.PacketColumns(8192, 4096, 4113, 1 << 60)
    groups = np.array([[0, 1]])
    offsets_us = np.arange(2038) * 10
    columns.set_layout(0, groups, np.ones((1, 2), np.float32), offsets_us, n_rows)
    return columns


def test_full_columns_stop_before_the_packet_that_does_not_fit() -> None:
    columns = make_columns(2038)
    sent = b"".join(
        frame_packet(PacketType.DATA, bytes(2 * 1000), seq=1000 * n) for n in range(3)
    ) + frame_packet(PacketType.PING, b"12345678")
    # The second half comes later, so that the packet that does not fit is one that was carried.
    n = len(sent) - 700
    columns.input[:n] = np.frombuffer(sent[:n], np.uint8)
    taken = []
    columns.state[packets.POSITION] = 0
    assert columns.decode(n) == packets.HAS_ROWS
    columns.input[: len(sent) - n] = np.frombuffer(sent[n:], np.uint8)
    columns.state[packets.POSITION] = 0
    assert columns.decode(len(sent) - n) == packets.HAS_ROWS | packets.IS_FULL
    for expected in (packets.HAS_ROWS | packets.HAS_PACKET, 0):
        taken += columns.seq[: columns.state[packets.ROWS]].tolist()
        assert (columns.x[: columns.state[packets.ROWS]] == 1.0).all()
        columns.state[packets.ROWS] = 0
        assert columns.decode(len(sent) - n) == expected
    assert taken == list(range(3000))
    assert columns.packet[16 : columns.state[packets.PACKET_BYTES]].tobytes() == b"12345678"


def test_the_doors_check_what_the_kernels_cannot() -> None:
    columns = make_columns(2038)
    with pytest.raises(ValueError, match=r"0\.\.8192"):
        columns.decode(8193)
    with pytest.raises(ValueError, match="2038 frames fit"):
        make_columns(2037)
    lines = text.TextColumns(100, 50, 25)
    with pytest.raises(ValueError, match=r"0\.\.100"):
        lines.parse(101, 1)
    with pytest.raises(ValueError, match=r"0\.\.25"):
        lines.parse(100, 26)
    with pytest.raises(ValueError, match="at least 25"):
        text.TextColumns(100, 50, 24)
    with pytest.raises(ValueError, match="writable"):
        address_of(np.frombuffer(b"12", np.uint8))


def test_scaling_rounds_twice() -> None:
    """One multiply and one add, each rounded: a fused one would give another bit here."""
    raw, scale, offset = np.float32(3), np.float32(1 / 3), np.float32(-1)
    assert packets.scale_sample(raw, scale, offset) == raw * scale + offset
    rng = np.random.default_rng(0)
    for a, b, c in rng.standard_normal((50, 3)).astype(np.float32):
        assert packets.scale_sample(a, b, c) == a * b + c
