from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_board import FakeBoard
from script_link import ENCODER, HELLO, ScriptLink, data, scripted

from streamrnn.core.errors import SourceError, SourceTimeout
from streamrnn.core.link import LinkLostError
from streamrnn.core.types import End, Frames, Gap, Item, StreamInfo
from streamrnn.sources.chopped import ChoppedLink
from streamrnn.sources.serial import SerialLink
from streamrnn.sources.stream import StreamSource
from streamrnn.wire.schema import Hello


@pytest.fixture
def board(tmp_path: Path) -> Iterator[FakeBoard]:
    board = FakeBoard(tmp_path / "ttyFAKE")
    board.plug()
    yield board
    board.close()


def frames_until(source: StreamSource, n: int, limit_s: float = 5.0) -> list[Item]:
    """Read until n frames came; return all items."""
    items: list[Item] = []
    n_seen = 0
    end = time.monotonic() + limit_s
    while n_seen < n:
        assert time.monotonic() < end, items
        new = source.read(0.05)
        n_seen += sum(len(item) for item in new if isinstance(item, Frames))
        items += new
    return items


def read_times(source: StreamSource, n: int) -> None:
    for _ in range(n):
        source.read(0.1)


def seqs(items: list[Item]) -> list[int]:
    return [int(s) for item in items if isinstance(item, Frames) for s in item.seq]


def test_a_board_that_was_sending_already_is_not_damaged() -> None:
    link = ScriptLink(data(0), data(1), data(2), ENCODER.hello(HELLO, 3), data(3), b"x\0", data(4))
    source = scripted(link)
    source.open()
    items = frames_until(source, 2)
    assert seqs(items) == [3, 4]
    counters = source.counters
    assert counters.n_bad_content == 0
    assert counters.n_bad_crc + counters.n_bad_framing == 1
    assert counters.extra["n_unexplained_packets"] == 3


def test_silent_board_is_asked_and_started(board: FakeBoard) -> None:
    source = StreamSource(SerialLink(str(board.path)))
    source.open()
    assert source.info.name == "fake"
    assert source.info.channel_names == ("a", "b")
    assert [c.name for c in board.commands] == ["DESCRIBE"]  # nothing flows before the first read
    items = frames_until(source, 5)
    assert isinstance(items[0], StreamInfo)
    assert seqs(items)[:5] == [0, 1, 2, 3, 4]
    x = next(i for i in items if isinstance(i, Frames)).x
    assert x[0].tolist() == [0.0, 0.0]
    source.close()
    end = time.monotonic() + 2
    while board.streaming and time.monotonic() < end:
        time.sleep(0.005)
    assert [c.name for c in board.commands] == ["DESCRIBE", "START", "STOP"]


def test_unplug_is_a_gap_and_frames_are_back_at_once(board: FakeBoard) -> None:
    source = StreamSource(SerialLink(str(board.path)))
    source.open()
    before = seqs(frames_until(source, 3))
    board.unplug()
    items: list[Item] = []
    while not any(isinstance(i, Gap) for i in items):
        items += source.read(0.05)
    assert source.read(0.05) == []
    board.next_seq += 50  # it went on measuring meanwhile
    replugged = time.monotonic()
    board.plug()
    back = frames_until(source, 1)
    assert time.monotonic() - replugged < 2.0  # benchmarks/reliability says how soon it really is
    assert [i for i in items if isinstance(i, Gap)] == [Gap("unplug")]
    assert seqs(back)[0] >= before[-1] + 50
    assert source.counters.n_unplugs == 1
    source.close()


def test_reboot_while_unplugged_restarts_the_stream(board: FakeBoard) -> None:
    source = StreamSource(SerialLink(str(board.path)))
    source.open()
    frames_until(source, 3)
    board.unplug()
    board.reboot()
    board.plug()
    items = frames_until(source, 3)
    gaps = [i for i in items if isinstance(i, Gap)]
    assert gaps == [Gap("unplug"), Gap("reboot", restart=True)]
    assert seqs(items[items.index(gaps[1]) :])[:3] == [0, 1, 2]
    assert source.info.boot_id == "boot-2"
    source.close()


def test_chopped_reads_give_the_same_frames(board: FakeBoard) -> None:
    source = StreamSource(ChoppedLink(SerialLink(str(board.path)), seed=1, max_bytes=5))
    source.open()
    got = seqs(frames_until(source, 20))
    assert got == list(range(len(got)))
    source.close()


def test_a_text_stream_is_never_written_to() -> None:
    link = ScriptLink(b"1,", *[b""] * 20, b"2\r\n3,4\r\n5,6\r\n", b"7,8\n")
    source = scripted(link, rate_hz=50.0)
    source.open()
    assert source.info.rate_hz == 50.0
    items = frames_until(source, 4)
    assert [i.x.tolist() for i in items if isinstance(i, Frames)] == [
        [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        [[7.0, 8.0]],
    ]
    source.close()
    assert link.written == b""


@pytest.mark.parametrize(("rate_hz", "warned"), [(1000.0, False), (500.0, True), (0.0, False)])
def test_text_at_another_rate_than_stated_is_said_once(
    rate_hz: float, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    link = ScriptLink(*[b"1,2\n"] * 7000)  # 1 ms each
    source = scripted(link, rate_hz=rate_hz)
    source.open()
    assert source.metadata == {"clock": "counted"}
    n = sum(len(item) for item in frames_until(source, 7000) if isinstance(item, Frames))
    assert n == 7000
    said = [record.getMessage() for record in caplog.records]
    if warned:
        assert len(said) == 1
        assert "lines come at 1000 Hz, not at 500 Hz" in said[0]
    else:
        assert said == []


def test_the_rate_of_a_link_that_waits_is_nobodys_business(
    caplog: pytest.LogCaptureFixture,
) -> None:
    link = ScriptLink(*[b"1,2\n"] * 7000)
    link.waits = True  # type: ignore[attr-defined]
    source = scripted(link, rate_hz=100.0)
    source.open()
    frames_until(source, 7000)
    assert caplog.records == []


def test_a_text_stream_that_comes_back_starts_anew() -> None:
    lines = b"1,2\n3,4\n5,6\n"
    link = ScriptLink(lines + b"99", LinkLostError, b"9,9\n7,8\n", can_return=True)
    source = scripted(link, rate_hz=50.0)
    source.open()
    items = frames_until(source, 5)
    assert Gap("unplug", restart=True) in items
    assert [999.0, 9.0] not in [row for i in items if isinstance(i, Frames) for row in i.x.tolist()]


def test_numbered_lines_count_what_an_unplug_cost() -> None:
    lines = [b"seq:%d,x:1\n" % n for n in range(20)]
    link = ScriptLink(b"".join(lines[:6]), LinkLostError, b"".join(lines[10:]), can_return=True)
    source = scripted(link, rate_hz=50.0)
    source.open()
    items = frames_until(source, 15)
    assert Gap("unplug") in items
    assert not any(isinstance(item, Gap) and item.restart for item in items)
    assert source.counters.n_lost_frames == 4


def test_start_is_repeated_with_the_same_id_then_given_up() -> None:
    link = ScriptLink(ENCODER.hello(HELLO))
    source = scripted(link)
    source.open()
    with pytest.raises(SourceTimeout, match="does not answer START"):
        read_times(source, 100)
    starts = [c for c in link.commands() if c.name == "START"]
    assert len(starts) == 4
    assert len({c.request_id for c in starts}) == 1


def test_frames_are_as_good_as_an_answer() -> None:
    link = ScriptLink(ENCODER.hello(HELLO), data(0), data(1))
    source = scripted(link)
    source.open()
    assert seqs(frames_until(source, 2)) == [0, 1]
    for _ in range(15):  # silence behind the first frame is no error
        source.read(0.1)
    assert [c.name for c in link.commands()] == ["START"]


def test_a_board_that_acks_but_sends_nothing_times_out() -> None:
    link = ScriptLink(ENCODER.hello(HELLO), ENCODER.ack(1, True))
    source = scripted(link)
    source.open()
    with pytest.raises(SourceTimeout, match="no frame came"):
        read_times(source, 1000)


def test_a_refusal_is_said(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "tty", ok=False)
    board.plug()
    source = StreamSource(SerialLink(str(board.path)))
    source.open()
    with pytest.raises(SourceError, match="refuses to start: no sensor"):
        read_times(source, 50)
    source.close()
    board.close()


def test_reboot_without_unplug_is_started_again() -> None:
    again = Hello("mem", "", "b2", 100.0, HELLO.groups)
    link = ScriptLink(ENCODER.hello(HELLO), data(0), data(1), ENCODER.hello(again))
    source = scripted(link)
    source.open()
    items = frames_until(source, 2)
    for _ in range(3):
        items += source.read(0.1)
    assert Gap("reboot", restart=True) in items
    link.chunks = [data(0), data(1)]
    assert seqs(frames_until(source, 2)) == [0, 1]
    assert [c.name for c in link.commands()].count("START") >= 2


def test_silence_is_a_timeout() -> None:
    link = ScriptLink()
    with pytest.raises(SourceTimeout, match=r"silent: nothing came in 5 s"):
        scripted(link).open()
    assert not link.is_open
    assert {c.name for c in link.commands()} == {"DESCRIBE"}


def test_garbage_is_named_with_the_likely_cause() -> None:
    noise = np.random.default_rng(0).integers(1, 256, 64, np.uint8).tobytes()
    link = ScriptLink(*[noise] * 5000)
    with pytest.raises(
        SourceError, match=r"no wire packets or number lines in \d+ bytes: is it the right"
    ):
        scripted(link).open()
    assert 2.0 <= link.now_s < 2.2


def test_packets_without_hello_are_named() -> None:
    link = ScriptLink(*[data(n) for n in range(10_000)])
    with pytest.raises(SourceError, match="but no HELLO"):
        scripted(link).open()


def test_an_end_before_the_first_frame_is_an_error() -> None:
    with pytest.raises(SourceError, match="ended after 3 bytes"):
        scripted(ScriptLink(b"1,2", EOFError)).open()


def test_a_link_lost_while_opening_is_an_error() -> None:
    with pytest.raises(SourceError, match="went away while"):
        scripted(ScriptLink(LinkLostError)).open()


def test_end_of_the_link_is_the_end_of_the_stream() -> None:
    source = scripted(ScriptLink(ENCODER.hello(HELLO) + data(0), EOFError))
    source.open()
    items = frames_until(source, 1)
    while not isinstance(items[-1], End):
        items += source.read(0.1)
    assert source.read(0.1) == []


def test_the_boards_end_ends_the_stream_and_nothing_follows() -> None:
    end = ENCODER.event({"kind": "end"}, 1, 10_000)
    source = scripted(ScriptLink(ENCODER.hello(HELLO), data(0) + end + end, data(1)))
    source.open()
    items = frames_until(source, 1)
    assert items[-1] == End(1)
    assert source.read(0.1) == []


def test_a_link_that_cannot_return_is_an_error() -> None:
    source = scripted(ScriptLink(ENCODER.hello(HELLO) + data(0), LinkLostError))
    source.open()
    frames_until(source, 1)
    with pytest.raises(SourceError, match="went away"):
        read_times(source, 5)


def test_a_link_that_goes_again_at_once_is_waited_for_again() -> None:
    class FlakyLink(ScriptLink):
        n_refused = 1

        def write(self, data: bytes) -> None:
            if self.now_s > 0.05 and self.n_refused:
                self.n_refused -= 1
                raise LinkLostError("gone again")
            super().write(data)

    link = FlakyLink(ENCODER.hello(HELLO), data(0), LinkLostError, data(1), can_return=True)
    source = scripted(link)
    source.open()
    items = frames_until(source, 1)
    link.now_s = 0.1
    items += frames_until(source, 1)
    # it was not back really: nothing came between
    assert [i for i in items if isinstance(i, Gap)] == [Gap("unplug")]
    assert seqs(items) == [0, 1]
    assert source.counters.n_unplugs == 1


def test_info_needs_an_open_source() -> None:
    with pytest.raises(ValueError, match="not open"):
        _ = scripted(ScriptLink()).info
