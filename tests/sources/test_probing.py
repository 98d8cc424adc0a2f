"""Listening to a source for a while, and finding out why one cannot be read."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from baud_board import BaudBoard
from fake_board import FakeBoard
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.errors import SourceError, SourceTimeout
from streamrnn.core.types import Channel, End, Frames, Gap, Item, Marker, StreamInfo
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import write_session
from streamrnn.sources import Source, open_source
from streamrnn.sources.ports import bauds
from streamrnn.sources.probing import opening
from streamrnn.sources.probing.listening import Listener, listen
from streamrnn.sources.probing.opening import Opened, open_or_explain, with_option
from streamrnn.sources.serial import SerialLink
from streamrnn.sources.stream import StreamSource
from streamrnn.sources.tcp import TcpLink

INFO = StreamInfo((Channel("a"), Channel("b", "g")), 100.0)


def frames(x: np.ndarray[tuple[int, int], np.dtype[np.float32]], first: int = 0) -> Frames:
    seq = np.arange(first, first + len(x), dtype=np.int64)
    return Frames(x, seq, seq * 10_000)


@given(
    values=st.lists(
        st.tuples(*[st.one_of(st.integers(-99, 99), st.floats(width=32))] * 2), min_size=1
    ),
    cuts=st.lists(st.integers(0, 50)),
)
def test_any_chunking_gives_the_account_of_the_whole(
    values: list[tuple[float, float]], cuts: list[int]
) -> None:
    x = np.array(values, np.float32)
    listener = Listener(INFO)
    edges = [0, *sorted(min(cut, len(x)) for cut in cuts), len(x)]
    for a, b in pairwise(edges):
        listener.take(frames(x[a:b], a))
    assert listener.n_frames == len(x)
    for k in range(2):
        finite = x[np.isfinite(x[:, k]), k].astype(np.float64)
        if len(finite):
            assert (listener.low[k], listener.high[k]) == (finite.min(), finite.max())
            assert listener.mean[k] == pytest.approx(finite.mean(), rel=1e-9, abs=1e-9 * 3.5e38)
        else:
            assert np.isnan(listener.mean[k])
        assert listener.is_whole[k] == (finite == np.rint(finite)).all()
    assert listener.newest().x.tobytes() == x.tobytes()
    assert listener.span_s == pytest.approx((len(x) - 1) / 100)


def test_memory_is_bounded_and_the_newest_frames_are_kept() -> None:
    listener = Listener(INFO, max_kept=2000)
    for n in range(0, 10_000, 10):
        listener.take(frames(np.full((10, 2), n, np.float32), n))
    kept = listener.newest()
    assert 700 < len(kept) <= 1000 + 256
    assert kept.seq.tolist() == list(range(10_000 - len(kept), 10_000))
    assert listener.n_frames == 10_000
    assert len(listener._kept) + len(listener._pending) < 40


def test_a_restart_does_not_count_as_time_and_new_channels_begin_anew() -> None:
    listener = Listener(INFO)
    listener.take(frames(np.ones((11, 2), np.float32), 500))
    listener.take(Gap("reboot", restart=True))
    listener.take(frames(np.ones((11, 2), np.float32), 0))
    listener.take(Marker("wave", "start", 0))
    assert (listener.n_frames, listener.reboots, listener.n_markers) == (22, 1, 1)
    assert listener.span_s == pytest.approx(0.2)
    assert len(listener.newest()) == 11
    listener.take(StreamInfo((Channel("c"),), 50.0))
    assert (listener.n_frames, listener.info.rate_hz) == (0, 50.0)
    listener.take(frames(np.ones((3, 1), np.float32)))
    assert listener.newest().x.shape == (3, 1)


class Scripted:
    """A source that gives 10 frames a read; a read takes 0.1 s of the clock that tests read."""

    name = "scripted:"
    metadata: dict[str, str] = {}  # noqa: RUF012 - never changed
    timing = None

    def __init__(self, *, live: bool, n_reads: int = 1000) -> None:
        self.live = live
        self.info = INFO
        self.now_s = 0.0
        self._n = 0
        self._n_reads = n_reads

    def read(self, timeout_s: float) -> list[Item]:
        self.now_s += 0.1
        self._n += 1
        if self._n > self._n_reads:
            return [End()]
        return [frames(np.zeros((10, 2), np.float32), 10 * self._n)]


@pytest.mark.parametrize(("live", "n_frames"), [(True, 220), (False, 210)])
def test_listening_takes_as_long_as_was_asked(live: bool, n_frames: int) -> None:
    source = Scripted(live=live)
    listener = Listener(INFO)
    ended = listen(source, listener, 2.0, threading.Event(), clock=lambda: source.now_s)  # type: ignore[arg-type]
    assert (ended, listener.n_frames) == ("done", n_frames)
    assert listener.heard_s == pytest.approx(2.1 if live else 2.0)


def test_listening_ends_with_the_stream_or_when_it_is_stopped() -> None:
    source = Scripted(live=False, n_reads=3)
    listener = Listener(INFO)
    assert listen(source, listener, 9.0, threading.Event()) == "end"  # type: ignore[arg-type]
    assert listener.n_frames == 30
    stop = threading.Event()
    stop.set()
    assert listen(source, listener, 9.0, stop) == "stopped"  # type: ignore[arg-type]


# ---- opening, with a diagnosis


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a board is plugged in; let waiting be short, and few rates usual."""

    def quick(url: str) -> Source:
        source = open_source(url)
        assert isinstance(source, StreamSource)
        source._open_timeout_s, source._garbage_s = 0.6, 0.4
        return source

    monkeypatch.setattr(opening, "open_source", quick)
    monkeypatch.setattr(bauds, "USUAL", (115_200, 9_600, 57_600))
    return tmp_path / "ttyUSB0"


Plugged = Callable[..., FakeBoard]


@pytest.fixture
def plugged(path: Path) -> Iterator[Plugged]:
    boards: list[FakeBoard] = []

    def plug(lines: bytes, baud: int = 115_200) -> FakeBoard:
        board = BaudBoard(path, baud, lines) if lines else FakeBoard(path, answers=False)
        board.plug()
        boards.append(board)
        return board

    yield plug
    for board in boards:
        board.close()


def send_and_end(server: socket.socket, text: bytes) -> threading.Thread:
    def serve() -> None:
        client, _ = server.accept()
        with client:
            client.sendall(text)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"1,2,3\n4,5,6\n", "12 bytes came, too few to tell what they are: it takes three lines"),
        (b"hi\nto \x1b[2J 'you'\nthere\n", r"""it says "to \x1b[2J 'you'": print"""),
        (b"hi\n\x1b Brownout detector\n", r"crashes: it says '\x1b Brownout detector'"),
    ],
)
def test_what_text_says_is_shown_as_it_is(text: bytes, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = send_and_end(server, text)
        url = f"tcp:127.0.0.1:{server.getsockname()[1]}?reconnect=no"
        with pytest.raises(SourceError) as caught:
            open_or_explain(url, print)
        thread.join()
    assert words in str(caught.value)


def test_the_right_baud_rate_is_found_and_used(path: Path, plugged: Plugged) -> None:
    plugged(b"1,2,3\n", 57_600)
    said: list[str] = []
    opened = open_or_explain(f"serial:{path}?format=auto&baud=9600", said.append)
    assert isinstance(opened.link, SerialLink)
    assert opened.link.baud == 57_600
    assert opened.source.info.n_channels == 3
    assert opened.url == f"serial:{path}?format=auto&baud=57600"
    assert opened.notes == (
        "wrong baud rate: it speaks at 57600, not 9600: add baud=57600 to the address",
    )
    assert said == [f"serial:{path} makes no sense at 9600 baud; trying 2 other rates ..."]
    opened.source.close()


def refused(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        open_or_explain(f"serial:{path}", lambda _: None)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"serial:{path}")


def test_nothing_fits(path: Path, plugged: Plugged) -> None:
    plugged(b"\x01\x80\xff\xfe\x07\x99" * 5, 4_711)
    assert refused(path).endswith(
        "bytes came, and they make no sense at 115200 baud or any of 2 usual rates: set an unusual "
        "rate by baud=, and check that the grounds are connected and that the device sends packets "
        "or lines of numbers"
    )


def test_a_silent_board(path: Path, plugged: Plugged) -> None:
    plugged(b"")
    with pytest.raises(SourceTimeout, match="is silent, at 115200 baud and 2 other rates: is the"):
        open_or_explain(f"serial:{path}", lambda _: None)


def test_text_that_is_no_numbers_is_shown(path: Path, plugged: Plugged) -> None:
    plugged(b"Hello from setup()\r\n")
    assert refused(path) == (
        ": text comes, but no lines of numbers; it says 'Hello from setup()': print the values of "
        "a frame in one line, separated by commas"
    )


def test_lines_that_do_not_fit_the_options_are_no_trouble_of_the_board(
    path: Path, plugged: Plugged
) -> None:
    plugged(b"1,2,3\r\n")
    with pytest.raises(SourceError) as caught:
        open_or_explain(f"serial:{path}?names=a,b", lambda _: None)
    assert "no lines of numbers" not in str(caught.value)
    assert "names" in str(caught.value)


def test_a_program_that_crashes_is_named(path: Path, plugged: Plugged) -> None:
    plugged(b"rst:0x8 (TG1WDT_SYS_RESET)\r\nGuru Meditation Error: Core  0 panic'ed\r\n")
    assert refused(path) == (
        ": the device's program crashes: it says \"Guru Meditation Error: Core  0 panic'ed\""
    )


def test_a_port_that_is_not_there_is_not_listened_to(path: Path) -> None:
    said: list[str] = []
    with pytest.raises(SourceError, match="no such port"):
        open_or_explain(f"serial:{path}", said.append)
    assert said == []


def test_another_protocol_on_a_network_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TcpLink, "open", lambda link: None)
    monkeypatch.setattr(
        TcpLink, "read", lambda link, timeout_s: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"
    )
    monkeypatch.setattr(TcpLink, "write", lambda link, data: None)
    monkeypatch.setattr(
        opening, "open_source",
        lambda url: StreamSource(TcpLink("h", 1), garbage_s=0.05),
    )  # fmt: skip
    with pytest.raises(
        SourceError, match=r"the first are 16 03 01 02 00 01 00 01\): does it speak"
    ):
        open_or_explain("tcp:h:1", lambda _: None)


def test_a_source_of_frames_is_opened_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    block = frames(np.zeros((3, 2), np.float32))
    write_session(path, Session(INFO, block, np.zeros(3, np.int64)))
    opened = open_or_explain(f"file:{path}", lambda _: None)
    assert isinstance(opened, Opened)
    assert opened.link is None
    opened.source.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("serial:/dev/x", "serial:/dev/x?baud=9600"),
        ("serial:/dev/x?baud=1&rate=50", "serial:/dev/x?rate=50&baud=9600"),
        ("serial:usb=A?names=a,b&baud=1", "serial:usb=A?names=a,b&baud=9600"),
    ],
)
def test_an_option_is_set_in_an_address(url: str, expected: str) -> None:
    assert with_option(url, "baud", "9600") == expected
