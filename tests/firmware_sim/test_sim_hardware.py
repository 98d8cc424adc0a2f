"""Clock, UART, boots and crashes of the simulated board."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sim_host import ENCODER, frames_of, start

from firmware_sim.device import Device
from firmware_sim.device.clock import DriftingClock, Jitter
from firmware_sim.device.packer import data_packets
from firmware_sim.device.texts import BANNER, PANIC
from firmware_sim.device.uart import BITS_A_BYTE
from firmware_sim.origins.origin import Block
from firmware_sim.signals import SignalOrigin
from streamrnn.core.types import StreamInfo
from streamrnn.wire.encode import frame_packet
from streamrnn.wire.packet import PacketType, Pong
from streamrnn.wire.reference import ReferenceDecoder
from streamrnn.wire.schema import ChannelGroup, Hello


class Counting:
    """An origin of many channels: frame n holds n everywhere."""

    keeps_time = False

    def __init__(self, n_channels: int, rate_hz: float) -> None:
        names = tuple(f"c{i}" for i in range(n_channels))
        self.hello = Hello("m", "1", "b", rate_hz, (ChannelGroup(names, "", "i16", 1.0, 0.0),))
        self._seq = 0

    def next(self, n_max: int) -> Block:
        seq = np.arange(self._seq, self._seq + n_max, dtype=np.int64)
        self._seq += n_max
        raw = np.repeat(seq.astype("<i2")[:, None], self.hello.n_channels, axis=1)
        t_us = seq * round(1e6 / self.hello.rate_hz)
        return Block(np.ascontiguousarray(raw).view(np.uint8), seq, t_us)

    def set_rate(self, rate_hz: float) -> bool:
        return False


def _device(seconds: float | None = 5.0, **options: object) -> Device:
    return Device(SignalOrigin(1, 3, seconds=seconds), **options)  # type: ignore[arg-type]


@given(
    drift_ppm=st.floats(-500, 500),
    wander_ppm=st.sampled_from([0.0, 20.0, 10_000.0]),
    seed=st.integers(0, 100),
    steps=st.lists(st.integers(1, 40_000_000), min_size=1, max_size=40),
)
@example(drift_ppm=11.1115, wander_ppm=0.0, seed=0, steps=[40_000_000] * 40)
def test_true_time_and_board_time_agree(
    drift_ppm: float, wander_ppm: float, seed: int, steps: list[int]
) -> None:
    clock = DriftingClock(drift_ppm, wander_ppm, seed)
    clock.restart(123_456)
    true_us, last = 123_456, 0
    for step in steps:
        true_us += step
        board_us = clock.board_us(true_us)
        assert board_us >= last
        last = board_us
        first = clock.true_us(board_us)
        assert first <= true_us
        later = clock.true_us(board_us + 1 + step % 5_000_000)
        assert later > true_us
    passed = true_us - 123_456
    # The rate is kept in parts per billion.
    limit = 1.0 + passed * (abs(drift_ppm) + 0.0005 + 10 * wander_ppm) * 1e-6
    assert abs(last - passed) <= limit


def test_wander_is_slow_and_as_large_as_asked_for() -> None:
    clock = DriftingClock(0.0, 20.0, 7)
    times = np.arange(0, 20_000) * 10_000_000
    board = np.array([clock.board_us(int(t)) for t in times])
    ppm = (np.diff(board) / 1e7 - 1.0) * 1e6
    assert 15.0 < ppm.std() < 25.0
    assert 0.9 < np.corrcoef(ppm[1:], ppm[:-1])[0, 1] < 1.0


def test_jitter_is_normal_and_bounded() -> None:
    jitter = Jitter(200.0, 1)
    values = np.array([jitter.next_us() for _ in range(5000)])
    assert abs(values.mean()) < 20.0
    assert 190.0 < values.std() < 210.0
    assert np.abs(values).max() <= 600


@pytest.mark.parametrize("k", [1, 4])
def test_sampling_jitter_moves_times_but_never_back(k: int) -> None:
    device = _device(jitter_us=3000.0, frames_per_packet=k)
    decoder = ReferenceDecoder()
    device.handle(start())
    frames = frames_of(decoder.push(device.poll(10_000_000)))
    assert len(frames) == 500
    behind = frames.t_us - np.arange(500) * 10_000
    assert 2000.0 < behind[::k].std() < 4000.0
    assert np.diff(frames.t_us).min() >= 0


@pytest.mark.parametrize("k", [1, 10])
def test_63_channels_at_100_hz_are_too_much_for_115200_baud(k: int) -> None:
    """The share that is lost follows from the bytes on the wire alone."""
    n_decoded = 16 + k * 63 * 2 + 4
    n_bytes = n_decoded + -(-n_decoded // 254) + 1
    share = 1.0 - 115_200 / BITS_A_BYTE / (n_bytes / k * 100.0)
    origin = Counting(63, 100.0)
    device = Device(origin, frames_per_packet=k, baud=115_200, fifo_bytes=4096)
    decoder = ReferenceDecoder()
    device.handle(start())
    data = b"".join(device.poll(t) for t in range(0, 20_000_000, 10_000))
    frames = frames_of(decoder.push(data), 63)
    counters = decoder.counters
    assert len(data) * BITS_A_BYTE <= 115_200 * 20
    assert len(data) * BITS_A_BYTE > 115_200 * 19
    assert counters.n_bad_crc == counters.n_bad_framing == 0
    assert device.uart is not None
    lost = device.uart.n_dropped_frames
    # What was dropped behind the last frame that arrived is not known to a reader yet; the queue
    # holds 0.36 s.
    assert 0 <= lost - counters.n_lost_frames <= 36 + k
    assert lost / device.n_frames_sent == pytest.approx(share, abs=0.025)
    np.testing.assert_array_equal(frames.x[:, 0], frames.seq)


def test_a_uart_delays_but_loses_nothing_that_it_has_time_for() -> None:
    device = _device(baud=115_200, fifo_bytes=1000)
    decoder = ReferenceDecoder()
    device.handle(start())
    at_us, items = 0, []
    while not device.is_finished:
        at_us = device.next_due_us()
        items += decoder.push(device.poll(at_us))
    assert len(frames_of(items)) == 500
    assert decoder.counters.n_lost_frames == 0


@settings(max_examples=20)
@given(times=st.lists(st.integers(0, 300_000), min_size=1, max_size=30))
def test_when_it_is_polled_changes_no_byte(times: list[int]) -> None:
    options = {
        "baud": 57_600,
        "fifo_bytes": 300,
        "drift_ppm": 120.0,
        "wander_ppm": 50.0,
        "jitter_us": 500.0,
        "boot_us": 150_000,
        "banner": BANNER,
    }
    a, b = _device(1.0, **options), _device(1.0, **options)
    out_a, out_b = [a.poll(200_000)], [b.poll(200_000)]
    for device in (a, b):
        device.handle(start())
    now_us = 200_000
    for step in times:
        now_us += step
        out_a.append(a.poll(now_us))
    out_a.append(a.poll(40_000_000))
    out_b += [b.poll(t) for t in range(200_000, 40_000_001, 20_000)]
    assert b"".join(out_a) == b"".join(out_b)


def test_a_board_boots_before_it_speaks_and_hears_nothing_meanwhile() -> None:
    device = _device(boot_us=300_000, banner=BANNER)
    assert device.next_due_us() == 0
    assert device.poll(0) == BANNER
    assert device.next_due_us() == 300_000
    device.poll(100_000)
    device.handle(start(1))
    assert device.poll(299_999) == b""
    assert device.is_booting
    decoder = ReferenceDecoder()
    (info,) = decoder.push(device.poll(300_000))
    assert isinstance(info, StreamInfo)
    assert not device.is_booting
    # The delimiter in front of the first HELLO keeps the banner from spoiling it.
    assert not device.has_started
    device.handle(start(2))
    assert device.has_started


@pytest.mark.parametrize("crash", ["brown_out", "panic"])
@pytest.mark.parametrize("baud", [0, 57_600])
def test_a_crash_costs_the_packet_in_the_middle_of_which_it_came(crash: str, baud: int) -> None:
    device = _device(boot_us=50_000, baud=baud)
    decoder = ReferenceDecoder()
    device.poll(60_000)
    device.handle(start(1))
    data = b"".join(device.poll(t) for t in range(60_000, 1_003_001, 1_000))
    n_before = device.n_frames_sent
    if crash == "panic":
        device.panic(1_003_000, 0.5)
    else:
        device.brown_out(1_003_000, 200_000, 0.5)
    assert device.n_boots == 1
    data += b"".join(device.poll(t) for t in range(1_003_000, 2_000_000, 7_000))
    device.handle(start(1))
    data += b"".join(device.poll(t) for t in range(2_000_000, 9_000_000, 7_000))
    hello = b"\0" + ENCODER.hello(_device().hello)
    items = decoder.push(hello + data)
    boots = [item.boot_id for item in items if isinstance(item, StreamInfo)]
    assert boots[-1] == boots[0] + "+1"
    assert (PANIC in data) == (crash == "panic")
    assert decoder.counters.n_bad_framing + decoder.counters.n_bad_crc == 1
    frames = frames_of(items)
    assert len(frames) == 499
    assert 90 <= n_before <= 95
    assert (frames.seq == 0).sum() == 2


def test_a_dark_board_hears_nothing_and_a_ping_is_stamped_with_its_new_clock() -> None:
    device = _device()
    device.poll(0)
    device.handle(start())
    device.poll(500_000)
    device.reboot(600_000, 400_000)
    device.poll(700_000)
    device.handle(ENCODER.ping(1))
    assert device.poll(999_999) == b""
    decoder = ReferenceDecoder()
    decoder.push(device.poll(1_300_000))
    device.handle(ENCODER.ping(2))
    assert decoder.push(device.poll(1_300_000)) == [Pong(2, 300_000)]


@given(
    n=st.integers(1, 20),
    size=st.integers(1, 600),
    zeros=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_packets_made_many_at_a_time_are_those_made_one_by_one(
    n: int, size: int, zeros: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    raw = rng.integers(1, 256, (n, size), dtype=np.uint8)
    raw[rng.random(raw.shape) < zeros] = 0
    seq = rng.integers(0, 1 << 40, n)
    t_us = rng.integers(0, 1 << 61, n)
    schema = int(rng.integers(256))
    expected = [
        frame_packet(PacketType.DATA, row.tobytes(), seq=int(s), t_us=int(t), schema=schema)
        for row, s, t in zip(raw, seq, t_us, strict=True)
    ]
    assert data_packets(raw.tobytes(), seq, t_us, schema) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baud": 100}, "baud must lie in 300"),
        ({"fifo_bytes": 0}, "fifo_bytes must lie in 1"),
        ({"jitter_us": float("nan")}, "jitter_us must lie in"),
        ({"wander_ppm": -1.0}, "wander_ppm must lie in"),
        ({"boot_us": 61_000_000}, "a boot takes 0..60 s"),
    ],
)
def test_numbers_that_no_board_has(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _device(**options)
