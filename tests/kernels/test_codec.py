"""The codec kernels by themselves; tests/wire holds the decoders on them to their laws."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.kernels import native
from streamrnn.kernels.codec import slots as at
from streamrnn.kernels.codec.columns import PacketColumns
from streamrnn.kernels.native import Unit
from streamrnn.wire.encode import frame_packet
from streamrnn.wire.packet import PacketType

SEARCHES = {"find_zero": "i8 i8 -> i8", "find_line_end": "i8 i8 -> i8"}
CHECKSUMS = {"crc32_by_tables": "i8 i8 -> i8"}
if "+pclmul" in native.processor()[1].split(","):
    CHECKSUMS["crc32_by_folding"] = "i8 i8 -> i8"
PARTS = Unit(
    "codec_parts",
    "codec_kernels",
    {**SEARCHES, **CHECKSUMS, "undo_cobs": "i8 i8 i8 i8* -> i8"},
    sources=("codec/*.py",),
)


@pytest.fixture(scope="module")
def parts() -> native.Library:
    return native.load(PARTS)


def buffer(data: bytes, filler: int = 0xAA) -> np.ndarray:
    """`data` with slack around it that must not matter."""
    slack = bytes([filler])
    return np.frombuffer(bytearray(slack * at.SLACK + data + slack * at.COBS_SLACK), np.uint8)


def start_of(a: np.ndarray) -> int:
    return native.address(a) + at.SLACK


@pytest.mark.parametrize("name", CHECKSUMS)
@given(data=st.binary(min_size=4, max_size=300), shift=st.integers(0, 17))
def test_every_crc_is_zlibs_at_any_alignment(
    parts: native.Library, name: str, data: bytes, shift: int
) -> None:
    a = buffer(bytes(range(shift)) + data)
    assert getattr(parts, name)(start_of(a) + shift, len(data)) == zlib.crc32(data)


@pytest.mark.parametrize("name", CHECKSUMS)
def test_every_crc_is_zlibs_for_all_that_a_packet_can_be(parts: native.Library, name: str) -> None:
    data = np.random.default_rng(0).bytes(4113)
    a = buffer(data)
    for n in (*range(4, 200), 4092, 4096, 4113):
        assert getattr(parts, name)(start_of(a), n) == zlib.crc32(data[:n])


@given(
    data=st.lists(st.sampled_from([0, 10, 13, 1, 255]), max_size=200).map(bytes),
    n=st.integers(0, 200),
    start=st.integers(0, 50),
    filler=st.sampled_from([0, 10]),
)
def test_ends_are_found_and_the_slack_does_not_matter(
    parts: native.Library, data: bytes, n: int, start: int, filler: int
) -> None:
    data = data.ljust(n, b"x")
    a = buffer(data, filler)
    base = start_of(a)
    start = min(start, len(data))
    for find, ends in ((parts.find_zero, b"\0"), (parts.find_line_end, b"\r\n")):
        expected = next((i for i in range(start, len(data)) if data[i] in ends), len(data))
        assert find(base + start, base + len(data)) == base + expected


def undo(parts: native.Library, encoded: bytes) -> tuple[int, bytes, np.ndarray, np.ndarray]:
    """Undo COBS; return the length, the packet, the source and the target."""
    source, target = buffer(encoded + b"\0", 0x55), buffer(bytes(len(encoded)), 0x55)
    where = np.zeros(1, np.int64)
    start = start_of(source)
    n = parts.undo_cobs(start, start + len(encoded), start_of(target), native.address(where))
    for memory in (source, target):
        i = int(where[0]) - native.address(memory)
        if 0 <= i < len(memory):
            return n, memory[i : i + max(n, 0)].tobytes(), source, target
    raise AssertionError("the packet stands nowhere")


@given(st.integers(0, 2**32), st.integers(0, 800), st.floats(0, 1))
def test_cobs_is_pypi_cobs_and_stays_in_its_bounds(
    parts: native.Library, seed: int, n: int, zeros: float
) -> None:
    rng = np.random.default_rng(seed)
    plain = rng.integers(1, 256, n, np.uint8)
    plain[rng.random(n) < zeros] = 0
    encoded = cobs.encode(plain.tobytes())
    length, packet, source, target = undo(parts, encoded)
    assert (length, packet) == (n, plain.tobytes())
    assert (source[: at.SLACK] == 0x55).all()
    assert (source[at.SLACK + len(encoded) + 1 :] == 0x55).all()
    assert (target[at.SLACK + len(encoded) + at.SLACK :] == 0x55).all()
    # As PyPI's decoder, which allows a run of 0 behind a full one.
    assert undo(parts, encoded[:-1])[0] in (-1, n - 1, n)


@given(st.binary(min_size=1, max_size=600))
def test_runs_that_lead_anywhere_change_nothing_outside(parts: native.Library, raw: bytes) -> None:
    encoded = raw.replace(b"\0", b"\1")
    length, packet, source, _ = undo(parts, encoded)
    assert (source[: at.SLACK] == 0x55).all()
    assert (source[at.SLACK + len(encoded) + 1 :] == 0x55).all()
    try:
        expected = cobs.decode(encoded)
    except cobs.DecodeError:
        assert length == -1
    else:
        assert packet == expected


def make_columns(n_rows: int, groups: list[list[int]] | None = None) -> PacketColumns:
    columns = PacketColumns(8192, 4096, 4113, 1 << 60)
    kinds = np.array(groups or [[0, 1]])
    delays_us = np.arange(2038) * 10
    columns.set_layout(0, kinds, np.ones((len(kinds), 2), np.float32), delays_us, n_rows)
    return columns


def test_full_columns_stop_before_the_packet_that_does_not_fit() -> None:
    columns = make_columns(2038)
    sent = b"".join(
        frame_packet(PacketType.DATA, bytes(2 * 1000), seq=1000 * n) for n in range(3)
    ) + frame_packet(PacketType.PING, b"12345678")
    # The second half comes later, so that the packet that does not fit is one that was cut.
    n = len(sent) - 700
    assert columns.take(sent[:n]) == at.HAS_ROWS
    assert columns.take(sent[n:]) == at.HAS_ROWS | at.IS_FULL
    (first,) = columns.hand_up_if_any()
    assert columns.hand_up_if_any() == []
    assert columns.resume() == at.IS_FULL
    columns.new_block()
    assert columns.resume() == at.HAS_ROWS | at.HAS_PACKET
    (second,) = columns.hand_up_if_any()
    assert columns.resume() == 0
    assert [*first.seq, *second.seq] == list(range(3000))
    assert (first.x == 1.0).all()
    assert (second.x == 1.0).all()
    assert columns.packet[16:] == b"12345678"


def test_a_block_holds_at_least_one_packet() -> None:
    with pytest.raises(ValueError, match="2038 frames fit"):
        make_columns(2037)


def test_scaling_rounds_twice() -> None:
    """One multiply and one add, each rounded: a fused one would give another bit here."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((40, 2)).astype(np.float32)
    factors[0] = 1 / 3, -1
    integers = rng.integers(-32768, 32768, 40).astype("<i2")
    integers[0] = 3
    floats = rng.standard_normal(40).astype("<f4")
    fused = np.float32(np.float64(3) * factors[0, 0] - 1)
    assert np.float32(3) * factors[0, 0] + factors[0, 1] != fused
    for kind, raw in enumerate((integers, floats)):
        columns = PacketColumns(8192, 4096, 4113, 1 << 60)
        kinds = np.array([[kind, 1]] * 40)
        columns.set_layout(0, kinds, factors, np.arange(50), 50)
        columns.take(frame_packet(PacketType.DATA, raw.tobytes()))
        (frames,) = columns.hand_up_if_any()
        expected = raw.astype(np.float32) * factors[:, 0] + factors[:, 1]
        assert frames.x.tobytes() == expected.astype(np.float32).tobytes()
