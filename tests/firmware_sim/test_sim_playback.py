"""Law: session -> playback -> decoder gives the same frames, bit for bit, and the same labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_host import acks_in, frames_of, markers_in, same_frames, start

from firmware_sim.device import Device
from firmware_sim.origins.playback import PlaybackOrigin, markers_of
from streamrnn.core.errors import SessionError
from streamrnn.core.types import Channel, End, Frames, Label, Marker, StreamInfo
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import SessionWriter
from streamrnn.wire.decoder import WireDecoder
from streamrnn.wire.encode import Encoder
from streamrnn.wire.packet import frame_time_us
from streamrnn.wire.reference import ReferenceDecoder


def _session(
    x: np.ndarray,
    seq: np.ndarray,
    t_us: np.ndarray,
    labels: list[Label] | None = None,
    rate_hz: float = 100.0,
) -> Session:
    names = [f"c{i}" for i in range(x.shape[1])]
    channels = tuple(Channel(name, "g" if i % 3 else "") for i, name in enumerate(names))
    info = StreamInfo(channels, rate_hz, "glove", "1.2", "b7")
    return Session(info, Frames(x, seq, t_us), t_us * 1000, labels or [])


def _play(session: Session, decoder: object, k: int | None = None) -> tuple[list, Device]:
    device = Device(PlaybackOrigin(session), frames_per_packet=k)
    items = decoder.push(device.poll(0))  # type: ignore[attr-defined]
    device.handle(start())
    while not device.is_finished:
        items += decoder.push(device.poll(device.next_due_us()))  # type: ignore[attr-defined]
    return items, device


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    n = draw(st.integers(1, 60))
    n_channels = draw(st.integers(1, 7))
    rate_hz = draw(st.sampled_from([50.0, 100.0, 333.0, 62.5, 1000.0]))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    # Any finite bits, -0.0 and subnormals among them.
    bits = rng.integers(0, 1 << 32, (n, n_channels), dtype=np.uint64).astype(np.uint32)
    bits[rng.random(bits.shape) < 0.1] = 0x80000000
    x = bits.view(np.float32)
    x = np.where(np.isfinite(x), x, np.float32(1.5))
    steps = np.ones(n, np.int64)
    steps[rng.random(n) < draw(st.sampled_from([0.0, 0.1]))] += rng.integers(1, 500)
    seq = draw(st.integers(0, 2**31)) + np.cumsum(steps)
    t_us = draw(st.integers(0, 10**15)) + frame_time_us(0, seq - seq[0], rate_hz)
    if draw(st.booleans()):  # a jittery clock
        t_us = np.maximum.accumulate(t_us + rng.integers(0, 3000, n))
    labels = []
    for _ in range(draw(st.integers(0, 4))):
        a, b = np.sort(rng.integers(int(t_us[0]), int(t_us[-1]) + 20_000, 2))
        labels.append(Label(draw(st.sampled_from(["wave", "out-in"])), int(a), int(b)))
    labels.sort(key=lambda label: label.start_us)
    return _session(x, seq, t_us, labels, rate_hz)


@settings(max_examples=25)
@given(session=sessions(), k=st.sampled_from([None, 1, 2, 5, 40]))
def test_playback_gives_the_session_back(session: Session, k: int | None) -> None:
    for decoder in (WireDecoder(), ReferenceDecoder()):
        items, device = _play(session, decoder, k)
        assert items[0] == session.info
        same_frames(frames_of(items, session.info.n_channels), session.frames)
        # An exact repetition would be an echo to the decoder; these labels have none of their own.
        assert _distinct(markers_in(items)) == _distinct(markers_of(session.labels))
        assert items[-1] == End(int(session.frames.seq[-1]) + 1)
        n_jumps = int(np.sum(np.diff(session.frames.seq) - 1))
        assert decoder.counters.n_lost_frames == n_jumps
        assert device.truth == markers_of(session.labels)


def _distinct(markers: list[Marker]) -> list[Marker]:
    return [m for i, m in enumerate(markers) if i == 0 or m != markers[i - 1]]


def test_long_sessions_and_labels_at_the_edges_of_what_is_fetched() -> None:
    n = 2000
    seq = np.arange(n, dtype=np.int64)
    t_us = 5_000_000 + frame_time_us(0, seq, 100.0)
    x = np.random.default_rng(1).normal(size=(n, 6)).astype(np.float32)
    labels = [
        Label("a", int(t_us[i]), int(t_us[i]) + d)
        for i, d in [(0, 30_000), (511, 10_000), (512, 20_000), (1000, 0), (1990, 10_000_000)]
    ]
    session = _session(x, seq, t_us, labels)
    items, _ = _play(session, WireDecoder(), 4)
    same_frames(frames_of(items), session.frames)
    assert markers_in(items) == markers_of(labels)


def test_the_pace_is_that_of_the_recording() -> None:
    seq = np.array([10, 11, 40], np.int64)
    t_us = np.array([7_000_000, 7_010_000, 7_300_000], np.int64)
    device = Device(PlaybackOrigin(_session(np.ones((3, 2), np.float32), seq, t_us)))
    device.poll(500_000)
    device.handle(start())
    sent = [
        (now, p.n_frames) for now in range(500_000, 900_000, 1000)
        for p in device.poll_packets(now) if p.n_frames
    ]  # fmt: skip
    assert sent == [(500_000, 1), (510_000, 1), (800_000, 1)]


def test_a_pause_does_not_change_recorded_times() -> None:
    seq = np.arange(20, dtype=np.int64)
    t_us = 1000 + frame_time_us(0, seq, 100.0)
    session = _session(np.ones((20, 2), np.float32), seq, t_us)
    device = Device(PlaybackOrigin(session))
    decoder = ReferenceDecoder()
    items = decoder.push(device.poll(0))
    encoder = Encoder()
    for now, command in [(0, "START"), (50_000, "STOP"), (900_000, "START")]:
        items += decoder.push(device.poll(now))
        device.handle(encoder.command(now + 1, command))
    items += decoder.push(device.poll(3_000_000))
    same_frames(frames_of(items, 2), session.frames)


def test_a_session_file(tmp_path: Path) -> None:
    seq = np.arange(150, dtype=np.int64)
    t_us = 123_456 + frame_time_us(0, seq, 100.0)
    x = np.random.default_rng(2).normal(size=(150, 6)).astype(np.float32)
    session = _session(x, seq, t_us, [Label("twist", int(t_us[20]), int(t_us[90]))])
    path = tmp_path / "one.mcap"
    with SessionWriter(path, session.info) as writer:
        writer.write(session.frames)
        for marker in markers_of(session.labels):
            writer.mark(marker)
    from_path, _ = _play_path(path)
    same_frames(frames_of(from_path), session.frames)
    assert markers_in(from_path) == markers_of(session.labels)


def _play_path(path: Path) -> tuple[list, Device]:
    device = Device(PlaybackOrigin(path))
    decoder = ReferenceDecoder()
    device.handle(start())
    return decoder.push(device.poll(100_000_000)), device


def test_a_recording_has_the_rate_that_it_has() -> None:
    seq = np.arange(5, dtype=np.int64)
    session = _session(np.ones((5, 1), np.float32), seq, seq * 10_000)
    device = Device(PlaybackOrigin(session))
    decoder = ReferenceDecoder()
    decoder.push(device.poll(0))
    device.handle(Encoder().command(1, "SET_RATE", {"rate_hz": 50}))
    (ack,) = acks_in(decoder.push(device.poll(0)))
    assert (ack.ok, ack.message) == (False, "this board cannot do 50 Hz")


@pytest.mark.parametrize(
    ("t_us", "rate_hz"),
    [([0, 20_000, 40_000, 61_000], 50.0), ([5, 5, 5], 1.0), ([7], 1.0), ([0, 3, 6], 333333.0)],
)
def test_a_recording_without_a_rate_gets_that_of_its_times(t_us: list[int], rate_hz: float) -> None:
    times = np.array(t_us, np.int64)
    session = _session(
        np.zeros((len(times), 1), np.float32), np.arange(len(times)), times, rate_hz=0.0
    )
    origin = PlaybackOrigin(session)
    assert origin.hello.rate_hz == pytest.approx(rate_hz, rel=1e-6)
    items, _ = _play(session, ReferenceDecoder())
    same_frames(frames_of(items, 1), session.frames)


def test_an_empty_session_ends_at_once() -> None:
    none = np.empty(0, np.int64)
    items, _ = _play(_session(np.empty((0, 2), np.float32), none, none), ReferenceDecoder())
    assert items[-1] == End(0)


def test_what_the_wire_cannot_carry(tmp_path: Path) -> None:
    seq = np.arange(2, dtype=np.int64)
    with pytest.raises(SessionError, match="below 0"):
        PlaybackOrigin(_session(np.zeros((2, 1), np.float32), seq, seq - 5))
    with pytest.raises(SessionError, match="label 'a' begins at -3 us"):
        PlaybackOrigin(_session(np.zeros((2, 1), np.float32), seq, seq, [Label("a", -3, 5)]))
    with pytest.raises(SessionError, match="cannot carry"):
        PlaybackOrigin(_session(np.zeros((2, 300), np.float32), seq, seq))
    with pytest.raises(SessionError, match="none"):
        PlaybackOrigin(tmp_path / "none.mcap")


def test_several_sessions_are_one_stream() -> None:
    seq = np.arange(5, dtype=np.int64)
    session = _session(np.ones((5, 1), np.float32), seq, 40_000 + seq * 10_000)
    block = PlaybackOrigin(session, session).next(1000)
    assert block.seq.tolist() == list(range(10))
    assert block.t_us.tolist() == [40_000 + n * 10_000 for n in range(10)]
