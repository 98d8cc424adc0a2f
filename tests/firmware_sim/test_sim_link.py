"""Links within the process, and the addresses that make them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sim_host import frames_of, read_to_end, same_frames, start

from firmware_sim.cables.memory import MemoryLink
from firmware_sim.cables.pace import Pace
from firmware_sim.cables.pty_link import PtyLink
from firmware_sim.device import Device
from firmware_sim.link import open_link
from firmware_sim.signals import DEFAULT_PERSON, SignalOrigin, simulate
from streamrnn.core.errors import ConfigError, SessionError, SourceError
from streamrnn.core.link import Link, LinkLostError
from streamrnn.core.registry import Registry
from streamrnn.core.types import Frames, Label, StreamInfo
from streamrnn.sessions.writer import SessionWriter


def _read_on(link: Link) -> None:
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        link.read(0.05)


@pytest.mark.parametrize("kind", ["memory", "pty"])
def test_a_whole_stream_as_fast_as_it_is_read(kind: str) -> None:
    link = open_link(f"signals?person=3&seed=1&seconds=30&speed=0&link={kind}")
    assert isinstance(link, Link)
    begin_s = time.monotonic()
    items, counters = read_to_end(link)
    link.close()
    assert time.monotonic() - begin_s < 10.0
    frames = frames_of(items)
    expected, _ = simulate(3, 1, 30.0)
    assert frames.x.tobytes() == expected.x.tobytes()
    assert counters.n_lost_frames == 0


def test_at_speed_0_the_same_calls_give_the_same_bytes() -> None:
    def read() -> list[bytes]:
        link = open_link("signals?seconds=20&speed=0&faults=drop:0.05,flip:1e-4")
        link.open()
        parts = [link.read(0.01)]
        link.write(start())
        try:
            while True:
                parts.append(link.read(0.01))
        except EOFError:
            return parts

    assert read() == read()


def test_real_time_takes_its_time_and_a_late_reader_gets_everything() -> None:
    link = open_link("?seconds=0.4")
    link.open()
    assert link.read(0.05)
    link.write(start())
    begin_s = time.monotonic()
    n_bytes = len(link.read(0.05))
    assert n_bytes < 36 * 25  # an answer, HELLO, and a frame or a few
    time.sleep(0.3)
    assert len(link.read(0.0)) > 20 * 36
    with pytest.raises(EOFError, match="the stream is over"):
        _read_on(link)
    assert 0.4 <= time.monotonic() - begin_s < 2.0


def test_a_read_waits_no_longer_than_it_may() -> None:
    link = MemoryLink(Device(SignalOrigin(1, 1)))
    link.open()
    assert link.read(0.0)
    begin_s = time.monotonic()
    assert link.read(0.05) == b""
    assert 0.045 <= time.monotonic() - begin_s < 0.5


def test_an_idle_board_at_speed_0_waits_for_start() -> None:
    link = open_link("signals?speed=0")
    link.open()
    n_hello = sum(b"simulated" in link.read(0.25) for _ in range(9))
    assert n_hello == 3
    link.write(start())
    assert len(link.read(0.25)) > 1000


def test_unplugged_at_speed_1() -> None:
    link = open_link("signals?seconds=0.6&faults=unplug@100ms:200ms")
    items, counters = read_to_end(link)
    assert len(frames_of(items)) + counters.n_lost_frames == 60
    assert 18 <= counters.n_lost_frames <= 22
    link.close()


def test_a_board_that_is_out_cannot_be_opened() -> None:
    link = open_link("signals?faults=unplug@50ms:400ms")
    link.open()
    link.read(0.1)
    link.write(start())
    with pytest.raises(LinkLostError, match="the board was unplugged"):
        _read_on(link)
    with pytest.raises(SourceError, match="the board is unplugged"):
        link.open()
    with pytest.raises(LinkLostError, match="is not open"):
        link.read(0.0)
    with pytest.raises(LinkLostError, match="is not open"):
        link.write(start())
    time.sleep(0.42)
    link.open()
    assert link.read(0.5)


def test_a_pty_link_comes_back_after_an_unplug() -> None:
    link = open_link("signals?seconds=3&speed=0&link=pty&faults=unplug@1s:500ms")
    items, counters = read_to_end(link)
    link.close()
    assert counters.n_lost_frames == 50
    assert len(frames_of(items)) == 250


def test_a_pty_link_that_is_not_open() -> None:
    link = open_link("signals?link=pty")
    assert isinstance(link, PtyLink)
    with pytest.raises(LinkLostError, match="is not open"):
        link.read(0.0)
    with pytest.raises(LinkLostError, match="is not open"):
        link.write(b"x")
    link.close()
    link.open()
    assert b"simulated" in link.read(1.0)
    assert link.read(0.01) == b""
    link.close()
    link.close()


def test_a_pty_link_reads_to_the_end_and_no_further() -> None:
    link = open_link("signals?seconds=0.2&speed=0&link=pty")
    link.open()
    link.read(1.0)
    link.write(start())
    with pytest.raises(EOFError, match="the stream is over"):
        _read_on(link)
    link.close()


def test_playback_by_address(tmp_path: Path) -> None:
    expected, _ = simulate(2, 5, 3.0)
    info = SignalOrigin().hello.stream_info()
    path = tmp_path / "a b&c.mcap"
    with SessionWriter(path, info) as writer:
        writer.write(Frames(expected.x, expected.seq, expected.t_us))
    name = str(path).replace(" ", "%20").replace("&", "%26")
    items, _ = read_to_end(open_link(f"playback?file={name}&speed=0"))
    assert items[0] == StreamInfo(info.channels, 100.0, info.name, info.firmware, info.boot_id)
    same_frames(frames_of(items), expected)


def test_the_default_is_a_stranger_in_real_time() -> None:
    link = open_link("")
    assert isinstance(link, MemoryLink)
    assert link.name == "sim:"
    origin = link.board.device.origin
    assert isinstance(origin, SignalOrigin)
    assert origin.people == (DEFAULT_PERSON,)
    assert origin.seconds is None


def test_every_option_reaches_its_place() -> None:
    link = open_link(
        "signals?people=4,5&seed=9&rate=50&seconds=12&lead=1.5&plan=twist&packet=3&drift=20"
        "&faults=drop:0.5&speed=2&link=memory&"
    )
    assert isinstance(link, MemoryLink)
    origin = link.board.device.origin
    assert isinstance(origin, SignalOrigin)
    assert (origin.people, origin.seed, origin.seconds) == ((4, 5), 9, 12.0)
    assert (origin.lead_s, origin.plan, origin.hello.rate_hz) == (1.5, "twist", 50.0)
    assert [(f.kind, f.share) for f in link.board.plan.faults] == [("drop", 0.5)]


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("signal", r"unknown origin 'signal' \(did you mean 'signals'\?\)"),
        (
            "signals?persn=3",
            r"sim:signals\?persn=3: unknown option 'persn' \(did you mean 'person'",
        ),
        ("signals?person=three", "person must be a whole number, got 'three'"),
        ("signals?people=1,x", "people must be whole numbers as 1,2,3, got '1,x'"),
        ("signals?person=-3", "person must be 0 or more"),
        ("signals?rate=fast", "rate must be a number of Hz, got 'fast'"),
        ("signals?rate=nan", "rate must lie in"),
        ("signals?speed=-1", "speed must be 0"),
        ("signals?speed", "speed must be a number, got ''"),
        ("signals?link=usb", "link must be memory or pty, got 'usb'"),
        ("signals?link=pty&speed=nan", "speed must be 0"),
        ("signals?packet=0", "frames_per_packet must be 1 or more"),
        ("signals?drift=1e9", "drift_ppm must lie in"),
        ("signals?faults=dorp:1", "did you mean 'drop'"),
        ("signals?plan=twits", "did you mean 'twist'"),
        ("playback", "playback needs the name of a session file"),
    ],
)
def test_addresses_that_make_no_sense(rest: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        open_link(rest)
    assert "\n" not in str(caught.value)


def test_a_session_that_is_not_there() -> None:
    with pytest.raises(SessionError):
        open_link("playback?file=/nowhere/none.mcap")


def test_the_entry_point_is_found() -> None:
    registry: Registry[Link] = Registry("link", "streamrnn.links", {})
    assert registry.get("sim") is open_link


def test_pace() -> None:
    now = [100.0]
    pace = Pace(4.0, clock=lambda: now[0])
    now[0] = 101.0
    assert pace.now_us() == 4_000_000
    assert pace.wait_s(8_000_000) == pytest.approx(1.0, abs=1e-6)
    assert pace.wait_s(1) == 0.0
    free = Pace(0.0, clock=lambda: now[0])
    assert free.is_free
    assert free.advance(5_000_000) == 5_000_000
    now[0] = 102.0
    assert free.now_us() == 6_000_000
    assert free.advance(3) == 6_000_000


def test_labels_of_the_stream_are_its_truth() -> None:
    link = open_link("signals?person=2&seed=1&seconds=10&speed=0")
    read_to_end(link)
    assert isinstance(link, MemoryLink)
    truth = link.board.device.truth
    _, labels = simulate(2, 1, 10.0)
    shift = truth[0].t_us - labels[0].start_us
    pairs = zip(truth[::2], truth[1::2], strict=True)
    got = [Label(a.label, a.t_us - shift, b.t_us - shift, "board") for a, b in pairs]
    assert got == labels
