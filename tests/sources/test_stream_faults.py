"""What a stream source makes of devices and cables that misbehave."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from fake_board import FakeBoard
from script_link import ENCODER, HELLO, ScriptLink, data, scripted

from streamrnn.core.errors import SourceError, SourceTimeout
from streamrnn.core.link import LinkLostError
from streamrnn.core.types import End, Frames, Gap, Item, StreamInfo
from streamrnn.sources.serial import SerialLink
from streamrnn.sources.stream import StreamSource
from streamrnn.wire.packet import Ping
from streamrnn.wire.reference import ReferenceDecoder
from streamrnn.wire.schema import ChannelGroup, Hello

START_ACK = ENCODER.ack(1, True)
PANIC = b"\r\nGuru Meditation Error: Core  0 panic'ed (LoadProhibited)\r\n"


def read_for(source: StreamSource, link: ScriptLink, span_s: float) -> list[Item]:
    """Read for a while of the link's own time."""
    items: list[Item] = []
    until_s = link.now_s + span_s
    while link.now_s < until_s:
        items += source.read(0.1)
    return items


def seqs(items: list[Item]) -> list[int]:
    return [int(s) for item in items if isinstance(item, Frames) for s in item.seq]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


# ---- before frames


def test_a_link_that_goes_away_while_it_is_opened_may_come_back() -> None:
    """Boards that boot when their port is opened do that."""
    link = ScriptLink(b"\0\x01\x02", LinkLostError, ENCODER.hello(HELLO), can_return=True)
    source = scripted(link)
    open_link = link.open

    def open_slowly() -> None:
        if len(link.chunks) == 1 and link.now_s < 0.2:
            link.now_s += 0.05
            raise SourceError("still booting")
        open_link()

    link.open = open_slowly  # type: ignore[method-assign]
    source.open()
    assert source.info.name == "mem"
    assert source.counters.n_unplugs == 0


def test_a_link_that_goes_away_while_it_is_opened_and_stays_away() -> None:
    link = ScriptLink(LinkLostError, can_return=True)
    source = scripted(link)
    was_opened = False
    open_link = link.open

    def open_once() -> None:
        nonlocal was_opened
        link.now_s += 0.2
        if was_opened:
            raise SourceError("gone")
        was_opened = True
        open_link()

    link.open = open_once  # type: ignore[method-assign]
    with pytest.raises(SourceError, match=r"went away while it was being opened \(gone\)"):
        source.open()
    assert not link.is_open


def test_a_board_that_says_hello_and_nothing_else_is_given_up() -> None:
    link = ScriptLink(*[ENCODER.hello(HELLO, t_us=n) for n in range(5000)])
    source = scripted(link)
    source.open()
    with pytest.raises(SourceTimeout, match="does not answer START"):
        read_for(source, link, 10.0)


def test_a_board_whose_line_to_it_is_cut_still_streams() -> None:
    class DeafLink(ScriptLink):
        def write(self, data: bytes) -> None:
            raise LinkLostError("nothing can be sent")

    link = DeafLink(*[b""] * 20, ENCODER.hello(HELLO), *[data(n) for n in range(3)])
    source = scripted(link)
    source.open()
    assert seqs(read_for(source, link, 0.1)) == [0, 1, 2]
    source.close()


def test_a_line_to_the_board_that_is_cut_is_not_waited_for() -> None:
    class DeafLink(ScriptLink):
        def write(self, data: bytes) -> None:
            raise LinkLostError("nothing can be sent")

    link = DeafLink(ENCODER.hello(HELLO))
    source = scripted(link)
    source.open()
    with pytest.raises(SourceTimeout, match="does not answer START"):
        read_for(source, link, 10.0)


# ---- silence


def test_silence_is_said_once_with_the_last_words_and_the_board_is_prodded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    link = ScriptLink(ENCODER.hello(HELLO), START_ACK, data(0), data(1), PANIC + b"\0")
    source = scripted(link)
    source.open()
    read_for(source, link, 1.9)
    assert said(caplog) == []
    read_for(source, link, 20.0)
    (line,) = said(caplog)
    assert line.startswith("script: is silent since 2.")
    assert "bytes came, but no frame; it last said: Guru Meditation Error" in line
    assert "\x1b" not in line
    assert [c.name for c in link.commands()].count("START") > 5
    link.chunks = [data(2), data(3)]
    assert seqs(read_for(source, link, 1.0)) == [2, 3]
    assert said(caplog)[1:] == [f"script: speaks again after {link.now_s - 1.0:.1f} s"]
    assert source.counters.n_lost_frames == 0


def test_nothing_at_all_is_another_silence(caplog: pytest.LogCaptureFixture) -> None:
    link = ScriptLink(ENCODER.hello(HELLO), data(0))
    source = scripted(link)
    source.open()
    read_for(source, link, 5.0)
    assert said(caplog) == ["script: is silent since 2.0 s: nothing comes"]


def test_bytes_without_end_are_a_silence_too(caplog: pytest.LogCaptureFixture) -> None:
    link = ScriptLink(ENCODER.hello(HELLO), data(0), *[b"\x55\xaa"] * 5000)
    source = scripted(link)
    source.open()
    read_for(source, link, 4.0)
    assert len(said(caplog)) == 1
    assert "bytes came, but no frame" in said(caplog)[0]


def test_a_slow_stream_is_not_silent_between_two_frames(caplog: pytest.LogCaptureFixture) -> None:
    slow = Hello("slow", "", "b", 0.5, HELLO.groups)
    link = ScriptLink(ENCODER.hello(slow), data(0))
    source = scripted(link)
    source.open()
    read_for(source, link, 39.0)
    assert said(caplog) == []
    read_for(source, link, 3.0)
    assert len(said(caplog)) == 1


def test_the_end_that_never_comes_is_a_silence_and_no_hang(
    caplog: pytest.LogCaptureFixture,
) -> None:
    link = ScriptLink(ENCODER.hello(HELLO), data(0))
    source = scripted(link)
    source.open()
    read_for(source, link, 60.0)
    link.chunks = [EOFError]
    assert source.read(0.1) == [End()]
    assert len(said(caplog)) == 1


# ---- boots and other devices


def test_a_board_that_refuses_after_a_boot_is_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    again = Hello("mem", "", "b2", 100.0, HELLO.groups)
    link = ScriptLink(ENCODER.hello(HELLO), START_ACK, data(5), PANIC, b"\0" + ENCODER.hello(again))
    source = scripted(link)
    source.open()
    items = read_for(source, link, 0.3)
    assert Gap("reboot", restart=True) in items
    assert said(caplog)[0].startswith("script:: the device has booted; it last said: Guru")
    starts = {c.request_id for c in link.commands() if c.name == "START"}
    link.chunks = [ENCODER.ack(max(starts), False, "the sensor is not ready")]
    read_for(source, link, 2.0)
    assert "refuses to start again: the sensor is not ready" in said(caplog)[1]
    later = {c.request_id for c in link.commands() if c.name == "START"} - starts
    link.chunks = [ENCODER.ack(max(later), True), data(0), data(1)]
    assert seqs(read_for(source, link, 0.3)) == [0, 1]


def test_another_device_at_the_same_port_is_a_new_stream(caplog: pytest.LogCaptureFixture) -> None:
    groups = (ChannelGroup(("x", "y", "z"), "g", "f32"),)
    other = Hello("other\x1b[2J", "", "o", 50.0, groups)
    frame = ENCODER.data(other, np.ones((1, 3)), 7, 140_000)
    link = ScriptLink(
        ENCODER.hello(HELLO), START_ACK, data(100), LinkLostError,
        ENCODER.hello(other, 7), frame, can_return=True,
    )  # fmt: skip
    source = scripted(link)
    source.open()
    items = read_for(source, link, 0.1)
    kinds = [type(item) for item in items]
    assert kinds == [StreamInfo, Frames, Gap, Gap, StreamInfo, Frames]
    assert [item for item in items if isinstance(item, Gap)] == [
        Gap("unplug"),
        Gap("reboot", restart=True),
    ]
    assert source.info.n_channels == 3
    assert seqs(items) == [100, 7]
    lines = said(caplog)
    assert any("another device answers: other\\x1b[2J, not mem" in line for line in lines)
    assert "\x1b" not in "".join(lines)
    assert source.timing is not None
    assert source.timing.nominal_hz == 50.0


# ---- links that come and go


def test_a_link_that_flaps_is_one_unplug_and_costs_no_processor(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class FlappingLink(ScriptLink):
        n_opened = 0

        def open(self) -> None:
            self.n_opened += 1

        def read(self, timeout_s: float) -> bytes:
            if not self.chunks:
                raise LinkLostError("gone again")
            return super().read(timeout_s)

    link = FlappingLink(ENCODER.hello(HELLO), data(0), can_return=True)
    source = StreamSource(link)
    source.open()
    items: list[Item] = []
    begin_s, begin_cpu_s = time.monotonic(), time.process_time()
    while time.monotonic() - begin_s < 0.5:
        items += source.read(0.1)
    assert [item for item in items if isinstance(item, Gap)] == [Gap("unplug")]
    assert link.n_opened <= 28
    assert time.process_time() - begin_cpu_s < 0.25
    assert said(caplog) == ["script: went away; waiting for it to come back"]
    link.chunks = [data(1)]
    while not seqs(items := source.read(0.1)):
        assert time.monotonic() < begin_s + 20
    assert seqs(items) == [1]
    assert said(caplog)[1:] == ["script: is back"]
    assert source.counters.n_unplugs == 1


def test_a_poll_takes_no_longer_than_it_may() -> None:
    link = ScriptLink(ENCODER.hello(HELLO), data(0), LinkLostError, can_return=True)
    source = StreamSource(link)
    source.open()
    for _ in range(3):
        source.read(0.0)
    link.opening_fails = 10**6
    for _ in range(20):
        assert source.read(0.001) == []
    # 20 ms of waiting and one try
    assert 10**6 - link.opening_fails <= 3
    source.close()


def test_twenty_replugs_bring_every_frame_once(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "tty")
    board.plug()
    source = StreamSource(SerialLink(str(board.path)))
    source.open()
    items: list[Item] = []
    for cycle in range(20):
        n_before = len(seqs(items))
        end = time.monotonic() + 20
        while len(seqs(items)) < n_before + 2:
            assert time.monotonic() < end
            items += source.read(0.02)
        if cycle % 5 == 4:
            board.unplug()
            board.reboot()
            board.boot_id = f"boot-{cycle}"
        else:
            board.unplug()
        board.plug()
    source.close()
    board.close()
    epochs: list[list[int]] = [[]]
    for item in items:
        if isinstance(item, Gap) and item.restart:
            epochs.append([])
        elif isinstance(item, Frames):
            epochs[-1] += item.seq.tolist()
            assert (item.x[:, 0] == item.seq).all()
    assert len(epochs) == 4
    for epoch in epochs:
        assert epoch == sorted(set(epoch))
    assert source.counters.n_unplugs >= 19


# ---- time


def test_a_board_tells_its_clock_and_so_the_delay_is_known(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "tty")
    board.plug()
    source = StreamSource(SerialLink(str(board.path)))
    source.open()
    end = time.monotonic() + 20
    while source.timing is None or source.timing.delay is None:
        assert time.monotonic() < end
        source.read(0.02)
    report = source.timing
    assert report.round_trip_us is not None
    assert 0 < report.round_trip_us < 1e6
    assert "delay" in report.to_dict()
    source.close()
    board.close()


def pings(link: ScriptLink) -> int:
    return sum(isinstance(item, Ping) for item in ReferenceDecoder().push(link.written))


def test_only_a_board_that_answers_commands_is_asked_for_its_clock() -> None:
    asked = ScriptLink(ENCODER.hello(HELLO), *[b""] * 3, START_ACK, *[data(n) for n in range(900)])
    source = scripted(asked)
    source.open()
    read_for(source, asked, 0.8)
    assert pings(asked) == 8
    unasked = ScriptLink(ENCODER.hello(HELLO) + data(0), *[data(n) for n in range(1, 900)])
    source = scripted(unasked)
    source.open()
    read_for(source, unasked, 0.8)
    assert unasked.commands() == []
    assert pings(unasked) == 0


def test_a_rate_that_nobody_says_is_measured_and_no_line_is_lost() -> None:
    lines = [b"%d,%d\n" % (n, -n) for n in range(4000)]  # 1 ms each
    link = ScriptLink(*lines)
    source = scripted(link)
    source.open()
    assert source.info.rate_hz == 0.0
    source.measure(3.0)
    assert source.info.rate_hz == 1000.0
    assert source.metadata == {"clock": "counted", "rate": "measured"}
    items = read_for(source, link, 1.2)
    (info,) = [item for item in items if isinstance(item, StreamInfo)]
    assert info == source.info
    frames = Frames.join([item for item in items if isinstance(item, Frames)], 2)
    assert frames.x[:, 0].tolist() == list(range(4000))
    assert frames.seq.tolist() == list(range(4000))
    assert (frames.t_us == frames.seq * 1000).all()
    report = source.timing
    assert report is not None
    assert report.nominal_hz == 1000.0


def test_a_rate_that_is_known_is_not_measured() -> None:
    link = ScriptLink(*[b"1,2\n"] * 10)
    source = scripted(link, rate_hz=50.0)
    source.open()
    source.measure(100.0)
    assert link.now_s < 1.0
    assert source.info.rate_hz == 50.0


def test_too_few_lines_leave_the_rate_unknown() -> None:
    link = ScriptLink(b"1,2\n", b"3,4\n", b"5,6\n")
    source = scripted(link)
    source.open()
    source.measure(1.0)
    assert source.info.rate_hz == 0.0
    assert len(seqs(source.read(0.1))) == 3


def test_a_wire_stream_off_its_rate_is_said_by_its_own_clock(
    caplog: pytest.LogCaptureFixture,
) -> None:
    x = np.zeros((1, 2))
    link = ScriptLink(
        ENCODER.hello(HELLO), *[ENCODER.data(HELLO, x, n, n * 12_500) for n in range(700)]
    )
    source = scripted(link)
    source.open()
    read_for(source, link, 1.0)
    (line,) = said(caplog)
    assert "frames come at 80 Hz by the device's clock, not at 100 Hz" in line
