"""The firmware's state machine."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_host import ENCODER, acks_in, frames_of, markers_in, same_frames, start

from firmware_sim.device import Device
from firmware_sim.signals import SignalOrigin, simulate
from streamrnn.core.types import End, StreamInfo
from streamrnn.wire.packet import Pong
from streamrnn.wire.reference import ReferenceDecoder


def _device(seconds: float | None = 2.0, rate_hz: float = 100.0, **options: object) -> Device:
    return Device(SignalOrigin(1, 3, rate_hz, seconds=seconds), **options)  # type: ignore[arg-type]


class Host:
    """Polls a device at given times and keeps what it says."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.decoder = ReferenceDecoder()
        self.items: list = []

    def poll(self, now_us: int) -> list:
        new = self.decoder.push(self.device.poll(now_us))
        self.items += new
        return new


def test_hello_every_second_until_start_then_every_five() -> None:
    device = _device(seconds=30.0)
    counts = [device.poll(t).count(b"simulated IMU") for t in range(0, 3_000_001, 250_000)]
    assert counts == [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]
    device.handle(start())
    times = [t for t in range(3_000_000, 20_000_000, 10_000) if b"simulated IMU" in device.poll(t)]
    assert np.diff(times).tolist() == [5_000_000] * (len(times) - 1)
    assert len(times) >= 3


def test_it_streams_the_frames_of_its_origin() -> None:
    host = Host(_device(seconds=5.0))
    assert host.poll(0)[0].rate_hz == 100.0
    host.device.handle(start())
    for t in range(0, 6_000_000, 7_000):
        host.poll(t)
    expected, labels = simulate(3, 1, 5.0)
    same_frames(frames_of(host.items), expected)
    starts = [m.t_us for m in markers_in(host.items) if m.phase == "start"]
    assert starts == [label.start_us for label in labels]
    assert host.items[-1] == End(500)
    assert host.decoder.counters.n_lost_frames == 0
    assert host.device.is_finished


def test_frames_leave_when_they_are_due_and_not_before() -> None:
    host = Host(_device())
    host.poll(0)
    host.device.handle(start())
    assert len(frames_of(host.poll(0))) == 1
    assert host.device.next_due_us() == 10_000
    assert host.poll(9_999) == []
    assert len(frames_of(host.poll(10_000))) == 1
    assert len(frames_of(host.poll(1_000_000))) == 99


def test_the_clock_of_frames_starts_with_start() -> None:
    host = Host(_device())
    host.poll(1_234_567)
    host.device.handle(start())
    host.poll(9_000_000)
    frames = frames_of(host.items)
    assert frames.t_us[0] == 1_234_567
    assert frames.seq[0] == 0
    assert markers_in(host.items)[0].t_us == 1_234_567 + 150_000
    assert host.device.truth == markers_in(host.items)


@settings(max_examples=20)
@given(times=st.lists(st.integers(0, 400_000), min_size=1, max_size=30))
def test_when_it_is_polled_changes_no_byte(times: list[int]) -> None:
    lazy, eager = _device(seconds=1.0), _device(seconds=1.0)
    for device in (lazy, eager):
        device.handle(start())
    moments = sorted(set(itertools.accumulate(times)))
    a = b"".join(lazy.poll(t) for t in moments) + lazy.poll(20_000_000)
    b = b"".join(eager.poll(t) for t in range(0, 20_000_001, 5_000))
    assert a == b


@pytest.mark.parametrize("rate_hz", [50.0, 100.0, 1000.0, 1600.0, 333.0])
def test_packets_hold_as_many_frames_as_make_a_hundred_a_second(rate_hz: float) -> None:
    device = _device(seconds=3.0, rate_hz=rate_hz)
    device.handle(start())
    sizes = [p.n_frames for p in device.poll_packets(10_000_000) if p.n_frames]
    assert max(sizes) == max(1, round(rate_hz / 100))
    assert sum(sizes) == round(3 * rate_hz)
    device = _device(seconds=3.0, rate_hz=rate_hz, frames_per_packet=7)
    device.handle(start())
    assert max(p.n_frames for p in device.poll_packets(10_000_000)) == 7


def test_a_label_boundary_stands_between_the_frames_that_it_divides() -> None:
    host = Host(_device(seconds=10.0, frames_per_packet=13))
    host.device.handle(start())
    host.poll(20_000_000)
    last_us = -1
    for item in host.items:
        if hasattr(item, "phase"):
            assert item.t_us > last_us
            boundary_us = item.t_us
        elif hasattr(item, "seq"):
            if last_us >= 0:
                assert item.t_us[0] >= boundary_us
            last_us = int(item.t_us[-1])


def test_commands_are_answered_each_time_and_done_once() -> None:
    host = Host(_device(seconds=1.0))
    host.poll(0)
    host.device.handle(start(5))
    host.device.handle(start(5))
    assert [(a.request_id, a.ok) for a in acks_in(host.poll(0))] == [(5, True)] * 2
    host.poll(300_000)
    host.device.handle(ENCODER.command(6, "STOP") * 2)
    assert [(a.request_id, a.ok) for a in acks_in(host.poll(300_000))] == [(6, True)] * 2
    assert host.poll(900_000) == []
    host.device.handle(start(7))
    host.poll(3_000_000)
    frames = frames_of(host.items)
    # Nothing is lost by a pause: the stream goes on later.
    np.testing.assert_array_equal(frames.seq, np.arange(100))
    steps = np.diff(frames.t_us)
    assert sorted(set(steps.tolist())) == [10_000, 600_000]
    assert host.items[-1] == End(100)


def test_start_while_it_streams_changes_nothing() -> None:
    a, b = _device(seconds=1.0), _device(seconds=1.0)
    for device in (a, b):
        device.handle(start(1))
    a.poll(100_000)
    a.handle(start(2))
    hello = _device().poll(0)
    rest = ReferenceDecoder().push(hello + a.poll(5_000_000))
    whole = ReferenceDecoder().push(hello + b.poll(5_000_000))
    same_frames(frames_of(rest), frames_of(whole)[11:])


def test_a_number_used_again_by_another_host_is_a_new_request() -> None:
    host = Host(_device(seconds=5.0))
    for at_us, command in [(0, "START"), (100_000, "STOP"), (200_000, "START")]:
        host.device.handle(ENCODER.command(1, command))
        host.poll(at_us)
    host.poll(300_000)
    assert host.device.is_streaming
    host.device.handle(ENCODER.command(1, "STOP"))
    host.poll(5_000_000)
    assert not host.device.is_streaming


def test_describe_brings_hello_at_once() -> None:
    host = Host(_device())
    host.poll(0)
    host.device.handle(start(1))
    host.poll(200_000)
    late = ReferenceDecoder()
    host.device.handle(b"\0" + ENCODER.command(2, "DESCRIBE"))
    items = late.push(host.device.poll(200_000))
    assert acks_in(items)[0].request_id == 2
    assert any(isinstance(item, StreamInfo) for item in items)
    # A listener that joins late sees no loss: HELLO names the next frame.
    assert frames_of(late.push(host.device.poll(300_000))).seq[0] == 21
    assert late.counters.n_lost_frames == 0


def test_the_rate_can_be_set_before_start_only() -> None:
    host = Host(_device(seconds=1.0))
    host.poll(0)

    def set_rate(request_id: int, **args: object) -> tuple[bool, str]:
        host.device.handle(ENCODER.command(request_id, "SET_RATE", args))
        (ack,) = acks_in(host.poll(host.decoder.counters.n_bytes))
        return ack.ok, ack.message

    assert set_rate(1, rate_hz=200) == (True, "")
    assert [i.rate_hz for i in host.items if isinstance(i, StreamInfo)] == [100.0, 200.0]
    assert set_rate(2, rate_hz=-4) == (False, "this board cannot do -4 Hz")
    assert set_rate(3, rate_hz="fast") == (False, "SET_RATE needs a number rate_hz")
    assert set_rate(4, rate_hz=True)[0] is False
    host.device.handle(start(5))
    host.poll(100_000)
    assert set_rate(6, rate_hz=200) == (True, "")
    assert set_rate(7, rate_hz=100) == (False, "the rate can only be set before START")
    host.poll(3_000_000)
    assert len(frames_of(host.items)) == 200


def test_the_end_is_said_three_times_and_again_to_one_who_starts_late() -> None:
    device = _device(seconds=0.5)
    device.handle(start(1))
    ends = [p for p in device.poll_packets(4_000_000) if b'"end"}' in p.data]
    assert len([p for p in ends if b'"kind"' in p.data]) == 3
    assert device.is_finished
    device.handle(start(9))
    assert not device.is_finished
    decoder = ReferenceDecoder()
    decoder.push(_device().poll(0))
    assert decoder.push(device.poll(8_000_000))[-1] == End(50)


def test_the_clock_may_drift() -> None:
    host = Host(_device(seconds=None, drift_ppm=1000.0))
    host.poll(0)
    host.device.handle(start())
    host.poll(10_000_000)
    # 0.1 % fast: in ten seconds it has sampled one frame more.
    assert len(frames_of(host.items)) == 1002
    due_us = host.device.next_due_us()
    assert host.device.poll(due_us - 1) == b""
    assert host.device.poll(due_us)


def test_ping_is_answered_with_the_clock_of_the_board() -> None:
    host = Host(_device())
    host.poll(77_000)
    host.device.handle(ENCODER.ping(4242))
    assert host.device.next_due_us() == 77_000
    assert host.poll(77_000) == [Pong(4242, 77_000)]
    host.device.handle(ENCODER.ping(4243), 79_500)  # between two polls
    assert host.poll(80_000) == [Pong(4243, 79_500)]


@given(st.binary(max_size=400))
def test_garbage_does_not_disturb_it(garbage: bytes) -> None:
    device = _device(seconds=0.2)
    device.handle(garbage)
    device.handle(b"\0" + start(3))
    items = ReferenceDecoder().push(device.poll(5_000_000))
    assert acks_in(items)[-1].request_id == 3
    assert items[-1] == End(20)


def test_after_a_reboot_it_counts_anew_and_waits_for_start() -> None:
    host = Host(_device(seconds=2.0))
    host.poll(0)
    host.device.handle(start(1))
    host.poll(500_000)
    host.device.reboot(800_000)
    host.poll(900_000)
    boots = [i.boot_id for i in host.items if isinstance(i, StreamInfo)]
    assert boots[1] == boots[0] + "+1"
    host.device.handle(start(1))
    frames = frames_of(host.poll(5_000_000))
    assert frames.seq[0] == 0
    assert frames.t_us[0] == 100_000
    assert len(frames) == 200 - 51
    assert host.items[-1] == End(149)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="frames_per_packet must be 1 or more"):
        _device(frames_per_packet=0)
    with pytest.raises(ValueError, match="drift_ppm must lie in"):
        _device(drift_ppm=1e9)
