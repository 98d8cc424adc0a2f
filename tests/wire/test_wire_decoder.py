"""The laws of both decoders: chunks do not matter, they agree, damage is found and counted."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st
from wire_make import ENCODER, damage, data, flat, frames_of, make_hello, push_cut, random_stream

from streamrnn.core.types import Counters, End, Frames, Gap, Marker, StreamInfo
from streamrnn.kernels import native
from streamrnn.wire.decoder import PIECE_BYTES, WireDecoder
from streamrnn.wire.packet import (
    HEADER,
    MAX_DECODED,
    MAX_ENCODED,
    MAX_T_US,
    PacketType,
    frame_time_us,
)
from streamrnn.wire.reference import ReferenceDecoder, cobs_decode
from streamrnn.wire.text import TextDecoder

DECODERS = [WireDecoder, ReferenceDecoder]
both = pytest.mark.parametrize("make", DECODERS)
CUTS = st.lists(st.integers(1, 300), min_size=1, max_size=5)


def packet(kind: int, payload: bytes, *, version: int = 1, t_us: int = 0) -> bytes:
    """A packet that our encoder would not make."""
    body = HEADER.pack(version, kind, 0, 0, 0, t_us) + payload
    return cobs.encode(body + struct.pack("<I", zlib.crc32(body))) + b"\0"


@given(st.integers(0, 2**32), CUTS)
def test_any_chunking_gives_the_same_and_the_kernel_equals_the_oracle(
    seed: int, cuts: list[int]
) -> None:
    rng = random.Random(seed)
    stream = damage(rng, random_stream(rng), rng.choice([0, 1, 5, 20]))
    whole, cut, oracle = WireDecoder(), WireDecoder(), ReferenceDecoder()
    expected = flat(oracle.push(stream))
    assert flat(whole.push(stream)) == expected
    assert flat(push_cut(cut, stream, cuts)) == expected
    assert whole.counters == cut.counters == oracle.counters


@given(st.integers(0, 2**32), st.integers(1, 12))
def test_damage_never_becomes_a_frame_and_counted_losses_are_the_true_losses(
    seed: int, n_faults: int
) -> None:
    rng = random.Random(seed)
    hello = make_hello(dtypes=("f32", "i16"))
    middle = bytearray()
    n_sent = 0
    for _ in range(60):
        k = rng.randint(1, 5)
        middle += data(hello, n_sent, k)
        n_sent += k
    stream = (
        ENCODER.hello(hello)
        + damage(rng, bytes(middle), n_faults)
        + b"\0"
        + ENCODER.event({"kind": "end"}, n_sent, 10**9)
    )
    sent = flat(WireDecoder().push(ENCODER.hello(hello) + bytes(middle)))
    decoder = WireDecoder()
    items = decoder.push(stream)
    received = [item for item in flat(items) if isinstance(item, tuple)]
    assert set(received) <= set(sent)
    assert len(received) == len(set(received)) == decoder.counters.n_frames
    assert decoder.counters.n_lost_frames == n_sent - len(received)
    assert items[-1] == End(n_sent)


@given(st.integers(0, 2**32), st.binary(max_size=200))
def test_after_any_damage_the_next_whole_packet_decodes(seed: int, noise: bytes) -> None:
    rng = random.Random(seed)
    hello = make_hello()
    decoder = WireDecoder()
    decoder.push(ENCODER.hello(hello))
    decoder.push(damage(rng, data(hello, 0, 3), 2) + noise)
    items = decoder.push(b"\0" + data(hello, 50, 2))
    assert frames_of(items).seq.tolist()[-2:] == [50, 51]


@both
def test_random_bytes_give_no_frames(make: type[WireDecoder]) -> None:
    decoder = make()
    decoder.push(ENCODER.hello(make_hello()))
    noise = np.random.default_rng(1).bytes(200_000)
    assert decoder.push(noise) == []
    counters = decoder.counters
    assert counters.n_frames == counters.n_bad_content == 0
    assert counters.n_bad_crc + counters.n_bad_framing > 500


@both
def test_neighbouring_packets_are_one_block_and_a_repeated_hello_does_not_disturb(
    make: type[WireDecoder],
) -> None:
    hello = make_hello(rate_hz=80.0)
    stream = b"".join(
        [
            b"\0",
            ENCODER.hello(hello, 7, 0),
            data(hello, 7, 2),
            ENCODER.hello(hello, 9, 5_000_000),
            data(hello, 9, 3),
        ]
    )
    info, block = make().push(stream)
    assert info == hello.stream_info()
    assert isinstance(block, Frames)
    assert block.seq.tolist() == [7, 8, 9, 10, 11]
    assert block.t_us.tolist() == [87_500, 100_000, 112_500, 125_000, 137_500]
    assert block.x[:, 0].tolist() == [7, 8, 9, 10, 11]


@both
def test_duplicates_and_overlaps_give_each_frame_once(make: type[WireDecoder]) -> None:
    hello = make_hello()
    decoder = make()
    stream = ENCODER.hello(hello, 0, 0)
    for seq, k in ((0, 4), (0, 4), (2, 4), (1, 2), (5, 1), (6, 1)):
        stream += data(hello, seq, k)
    block = frames_of(decoder.push(stream))
    assert block.seq.tolist() == list(range(7))
    assert block.t_us.tolist() == [10_000 * n for n in range(7)]
    assert decoder.counters.n_duplicate_frames == 4 + 2 + 2 + 1
    assert decoder.counters.n_lost_frames == 0
    assert decoder.counters.n_packets == 7


@both
def test_seq_is_unwrapped_and_a_huge_jump_is_a_step_back(make: type[WireDecoder]) -> None:
    hello = make_hello()
    decoder = make()
    start = 2**32 - 3
    items = decoder.push(ENCODER.hello(hello, start, 0) + data(hello, start, 2, 0))
    items += decoder.push(data(hello, start + 5, 1, 50_000))
    items += decoder.push(data(hello, start + 6 + 2**31, 1, 60_000))
    assert frames_of(items).seq.tolist() == [start, start + 1, start + 5]
    assert decoder.counters.n_lost_frames == 3
    assert decoder.counters.n_duplicate_frames == 1
    items = decoder.push(data(hello, start + 6 + 2**31 - 1, 1, 70_000))
    assert frames_of(items).seq.tolist() == [start + 6 + 2**31 - 1]
    assert decoder.counters.n_lost_frames == 3 + 2**31 - 1


@both
def test_frames_lost_behind_the_first_hello_are_counted(make: type[WireDecoder]) -> None:
    hello = make_hello()
    decoder = make()
    decoder.push(ENCODER.hello(hello, 10, 0) + data(hello, 12))
    assert decoder.counters.n_lost_frames == 2


@both
def test_another_boot_id_is_a_reboot_in_stream_order(make: type[WireDecoder]) -> None:
    first, second = make_hello(boot_id="b1"), make_hello(boot_id="b2")
    decoder = make()
    items = decoder.push(
        ENCODER.hello(first, 0, 0)
        + data(first, 0, 2)
        + data(first, 5, 1)
        + ENCODER.hello(second, 3, 0)
        + data(second, 3, 2)
    )
    assert [type(item) for item in items] == [StreamInfo, Frames, Gap, StreamInfo, Frames]
    assert items[2] == Gap("reboot", restart=True)
    assert items[3] == second.stream_info()
    assert frames_of(items).seq.tolist() == [0, 1, 5, 3, 4]
    assert frames_of(items[3:]).t_us.tolist() == [30_000, 40_000]
    assert decoder.counters.n_lost_frames == 3
    assert decoder.counters.n_duplicate_frames == 0


@both
def test_a_late_hello_of_a_known_boot_is_no_reboot(make: type[WireDecoder]) -> None:
    hello = make_hello(boot_id="b1")
    decoder = make()
    decoder.push(ENCODER.hello(hello, 0, 0) + data(hello, 0, 5))
    # Said behind frame 2, and overtaken by two frames on its way.
    assert decoder.push(ENCODER.hello(hello, 3, 30_000)) == []
    items = decoder.push(data(hello, 5, 2))
    assert frames_of(items).seq.tolist() == [5, 6]
    assert (decoder.counters.n_lost_frames, decoder.counters.n_duplicate_frames) == (0, 0)


@both
def test_without_a_boot_id_a_hello_that_falls_back_is_a_reboot_but_its_echo_is_not(
    make: type[WireDecoder],
) -> None:
    hello = make_hello(boot_id="")
    decoder = make()
    said = ENCODER.hello(hello, 0, 123)
    decoder.push(said + data(hello, 0, 5))
    assert decoder.push(said) == []
    assert decoder.push(data(hello, 0, 5)) == []
    items = decoder.push(ENCODER.hello(hello, 0, 99) + data(hello, 0, 1))
    assert items[0] == Gap("reboot", restart=True)
    assert frames_of(items).seq.tolist() == [0]
    assert len(items) == 2


@both
def test_a_changed_schema_is_a_new_stream_info_on_the_same_clock(make: type[WireDecoder]) -> None:
    old = make_hello(n=3, schema_id=1)
    new = make_hello(n=2, schema_id=2, dtypes=("f32",))
    decoder = make()
    items = decoder.push(
        ENCODER.hello(old, 0, 0)
        + data(old, 0, 2)
        + ENCODER.hello(new, 2, 0)
        + data(new, 2, 2)
        + data(old, 4, 1)
        + data(new, 5, 1)
    )
    blocks = [item for item in items if isinstance(item, Frames)]
    assert [block.x.shape for block in blocks] == [(2, 3), (3, 2)]
    assert items[2] == new.stream_info()
    assert blocks[1].seq.tolist() == [2, 3, 5]
    assert decoder.counters.n_bad_content == 1
    assert decoder.counters.n_lost_frames == 1


@both
def test_another_scale_alone_says_nothing_but_counts_from_then_on(make: type[WireDecoder]) -> None:
    one, half = make_hello(scale=1.0), make_hello(scale=0.5)
    decoder = make()
    raw = np.full((1, 3), 8, np.int16)
    items = decoder.push(
        ENCODER.hello(one, 0, 0)
        + ENCODER.data(one, raw, 0, 0)
        + ENCODER.hello(half, 1, 1)
        + ENCODER.data(half, raw, 1, 1)
    )
    assert [type(item) for item in items] == [StreamInfo, Frames, Frames]
    assert frames_of(items).x[:, 0].tolist() == [8.0, 4.0]


@both
def test_the_end_is_said_once_and_counts_a_lost_tail(make: type[WireDecoder]) -> None:
    hello = make_hello()
    decoder = make()
    decoder.push(ENCODER.hello(hello, 0, 0) + data(hello, 0, 4))
    end = ENCODER.event({"kind": "end"}, 6, 60_000)
    assert decoder.push(end + end) == [End(6)]
    assert decoder.push(end) == []
    assert decoder.counters.n_lost_frames == 2
    items = decoder.push(data(hello, 6, 1) + ENCODER.event({"kind": "end"}, 7, 70_000))
    assert items[-1] == End(7)
    assert decoder.counters.n_lost_frames == 2


@both
def test_labels_keep_their_place_and_are_made_printable(make: type[WireDecoder]) -> None:
    hello = make_hello()
    label = ENCODER.event({"kind": "label", "label": "a\x1b[2J", "phase": "start"}, 1, 5000)
    items = make().push(
        ENCODER.hello(hello, 0, 0) + data(hello, 0) + label + label + data(hello, 1)
    )
    assert [type(item) for item in items] == [StreamInfo, Frames, Marker, Frames]
    assert items[2] == Marker("a\\x1b[2J", "start", 5000)


BAD_CONTENT = {
    "another version": packet(PacketType.DATA, b"\1\0" * 3, version=2),
    "unknown type": packet(77, b""),
    "no frame": packet(PacketType.DATA, b""),
    "half a frame": packet(PacketType.DATA, b"\1" * 7),
    "senseless time": packet(PacketType.DATA, b"\1\0" * 3, t_us=MAX_T_US + 1),
    "senseless time in a ping": packet(PacketType.PING, b"\1" * 8, t_us=2**64 - 1),
    "not JSON": packet(PacketType.HELLO, b"{"),
    "short ping": packet(PacketType.PING, b"\1" * 7),
    "event of no kind": packet(PacketType.EVENT, b"{}"),
    "label without a name": packet(PacketType.EVENT, b'{"kind":"label","label":"","phase":"end"}'),
    "label in no phase": packet(PacketType.EVENT, b'{"kind":"label","label":"a","phase":[]}'),
    "command unknown": packet(PacketType.CMD, b'{"id":1,"cmd":"RM"}'),
    "command without id": packet(PacketType.CMD, b'{"cmd":"STOP"}'),
    "command with nested args": packet(PacketType.CMD, b'{"id":1,"cmd":"STOP","args":{"a":[]}}'),
    "command with args of no object": packet(PacketType.CMD, b'{"id":1,"cmd":"STOP","args":7}'),
    "ack of an id too large": packet(PacketType.ACK, b'{"id":4294967296,"ok":true}'),
    "ack without ok": packet(PacketType.ACK, b'{"id":1,"ok":1}'),
    "ack that is a list": packet(PacketType.ACK, b"[1]"),
    "ack too deep": packet(PacketType.ACK, b'{"a":' + b"[" * 4000),
}


@both
@pytest.mark.parametrize("name", BAD_CONTENT)
def test_senseless_content_is_dropped_and_counted(make: type[WireDecoder], name: str) -> None:
    decoder = make()
    decoder.push(ENCODER.hello(make_hello(), 0, 0))
    assert decoder.push(BAD_CONTENT[name]) == []
    assert decoder.counters.n_bad_content == 1
    assert decoder.counters.n_packets == 1


@both
def test_before_the_first_hello_nothing_is_understood(make: type[WireDecoder]) -> None:
    decoder = make()
    label = ENCODER.event({"kind": "label", "label": "a", "phase": "start"}, 0, 0)
    assert decoder.push(data(make_hello(), 0) + label) == []
    assert decoder.counters.n_bad_content == 2


@both
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_spoils_its_packet(
    make: type[WireDecoder], value: float
) -> None:
    hello = make_hello(dtypes=("f32",), n=1)
    raw = np.array([[1.0], [value], [2.0]], np.float32)
    decoder = make()
    items = decoder.push(
        ENCODER.hello(hello, 0, 0) + ENCODER.data(hello, [raw], 0, 0) + data(hello, 3, 1)
    )
    assert frames_of(items).seq.tolist() == [3]
    assert decoder.counters.n_bad_content == 1
    assert decoder.counters.n_lost_frames == 3


@both
def test_overflow_in_scaling_spoils_the_packet_too(make: type[WireDecoder]) -> None:
    hello = make_hello(scale=1e38, n=1)
    decoder = make()
    raw = np.array([[4]], np.int16)
    items = decoder.push(ENCODER.hello(hello, 0, 0) + ENCODER.data(hello, raw, 0, 0))
    assert len(items) == 1
    assert decoder.counters.n_bad_content == 1


@both
def test_oversize_is_counted_once_and_bounded(make: type[WireDecoder]) -> None:
    hello = make_hello()
    decoder = make()
    decoder.push(ENCODER.hello(hello, 0, 0))
    for _ in range(20):
        decoder.push(b"\7" * 10_000)
    assert decoder.counters.n_oversize == 1
    assert frames_of(decoder.push(b"\0" + data(hello, 0))).seq.tolist() == [0]
    # As long as a packet can be, but decoded longer: zeros cost COBS nothing.
    decoder.push(b"\1" * MAX_ENCODED + b"\0")
    assert decoder.counters.n_oversize == 2
    decoder.push(b"\1" * (MAX_DECODED + 1) + b"\0")
    assert decoder.counters.n_oversize == 2
    assert decoder.counters.n_bad_crc == 1


@both
def test_time_never_falls_within_a_boot(make: type[WireDecoder]) -> None:
    hello = make_hello()
    items = make().push(
        ENCODER.hello(hello, 0, 0) + data(hello, 0, 3, 1000) + data(hello, 3, 2, 15_000)
    )
    assert frames_of(items).t_us.tolist() == [1000, 11_000, 21_000, 21_000, 25_000]


@both
def test_resync_forgets_the_unfinished_packet_and_reset_the_stream(
    make: type[WireDecoder],
) -> None:
    hello = make_hello()
    decoder = make()
    decoder.push(ENCODER.hello(hello, 0, 0) + data(hello, 0) + data(hello, 1)[:9])
    decoder.resync()
    assert frames_of(decoder.push(data(hello, 2))).seq.tolist() == [2]
    assert decoder.counters.n_bad_framing == 0
    decoder.push(b"\7" * 5000)
    decoder.resync()
    decoder.reset()
    assert decoder.push(data(hello, 3)) == []
    items = decoder.push(ENCODER.hello(hello, 0, 0) + data(hello, 0))
    assert isinstance(items[0], StreamInfo)
    assert frames_of(items).seq.tolist() == [0]
    assert decoder.counters.n_frames == 3


@given(st.floats(0.001, 1e6), st.integers(0, 2**40))
def test_frame_times_are_the_one_function_in_both(rate_hz: float, t_us: int) -> None:
    hello = make_hello(rate_hz=rate_hz, n=1)
    stream = ENCODER.hello(hello, 0, 0) + data(hello, 0, 300, t_us)
    expected = [frame_time_us(t_us, j, rate_hz) for j in range(300)]
    assert frames_of(WireDecoder().push(stream)).t_us.tolist() == expected
    assert frames_of(ReferenceDecoder().push(stream)).t_us.tolist() == expected


def test_a_long_push_gives_one_block_that_outlives_the_next() -> None:
    hello = make_hello(n=1)
    n = 3 * PIECE_BYTES // 200
    stream = b"".join(data(hello, 90 * i, 90) for i in range(n))
    assert len(stream) > 2 * PIECE_BYTES
    decoder = WireDecoder()
    decoder.push(ENCODER.hello(hello, 0, 0))
    (block,) = decoder.push(stream)
    assert isinstance(block, Frames)
    before = block.x.copy()
    decoder.push(data(hello, 90 * n, 90))
    assert np.array_equal(block.x, before)
    assert block.seq.tolist() == list(range(90 * n))


@given(st.integers(0, 2**32), CUTS, st.floats(0, 1))
def test_frames_that_are_kept_never_change(seed: int, cuts: list[int], share: float) -> None:
    rng = random.Random(seed)
    hello = make_hello(n=rng.choice([1, 6, 40]))
    stream = b"".join(data(hello, 9 * n, 9) for n in range(400))
    stream += data(hello, 3600, hello.max_frames) + ENCODER.hello(hello, 5, 5)
    text = b"".join(b"%d,%d,%d\n" % (n, 7 * n, -n) for n in range(4000))
    wire = WireDecoder()
    wire.push(ENCODER.hello(hello))
    for decoder, sent in ((wire, stream), (TextDecoder(3, 100.0), text)):
        kept = []
        for at in range(0, len(sent), size := 50 * cuts[0]):
            for item in decoder.push(sent[at : at + size]):
                if isinstance(item, Frames) and rng.random() < share:
                    part = rng.choice([item, item.x, item[::2].t_us, memoryview(item.seq)])
                    kept.append((part, flat([part]) if part is item else bytes(part)))
        for part, before in kept:
            assert (flat([part]) if isinstance(part, Frames) else bytes(part)) == before


def test_memory_stays_the_same_and_nothing_compiles_later() -> None:
    hello = make_hello(dtypes=("i16", "f32"))
    decoder = WireDecoder()
    decoder.push(ENCODER.hello(hello, 0, 0))
    stream = data(hello, 0, 9) + b"\3noise\0" + b"\7" * 5000 + b"\0"
    decoder.push(stream)
    n_compiled = native.n_compiled()
    tracemalloc.start()
    try:
        for _ in range(200):
            decoder.push(stream)
            decoder.push(memoryview(stream)[::2])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    assert native.n_compiled() == n_compiled


def test_memory_that_nobody_holds_is_used_again() -> None:
    hello = make_hello()
    decoder = WireDecoder()
    decoder.push(ENCODER.hello(hello))
    before: list[int] = []
    for n in range(3000):
        (frames,) = decoder.push(data(hello, 9 * n, 9))
        assert isinstance(frames, Frames)
        before.append(frames.x.__array_interface__["data"][0])
    assert len(set(before)) < 1000


def test_a_pushed_buffer_may_be_overwritten_and_resized() -> None:
    hello = make_hello()
    stream = ENCODER.hello(hello) + b"".join(data(hello, n) for n in range(5))
    decoder, buffer, items = WireDecoder(), bytearray(7), []
    for at in range(0, len(stream), 7):
        buffer[:] = stream[at : at + 7]
        items += decoder.push(buffer)
    assert frames_of(items).seq.tolist() == list(range(5))
    assert decoder.push(memoryview(stream)[:0]) == []
    for wrong in ("text", 7, None):
        with pytest.raises(TypeError):
            decoder.push(wrong)  # type: ignore[arg-type]


def test_counters_are_one_object_that_keeps_what_others_add() -> None:
    decoder = WireDecoder()
    counters = decoder.counters
    counters.n_unplugs += 1
    decoder.push(b"12\0")
    assert decoder.counters is counters
    assert counters == Counters(n_bytes=3, n_bad_framing=1, n_unplugs=1)


def test_the_oracles_cobs_is_pypi_cobs() -> None:
    rng = random.Random(4)
    for n in (0, 1, 2, 253, 254, 255, 508, 600):
        for zeros in (0.0, 0.3, 1.0):
            plain = bytes(0 if rng.random() < zeros else rng.randrange(1, 256) for _ in range(n))
            assert cobs_decode(cobs.encode(plain)) == plain
    assert cobs_decode(b"\5abc") is None
