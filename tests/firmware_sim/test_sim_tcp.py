"""A board that listens on TCP, read through the product's own link."""

from __future__ import annotations

import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_host import ENCODER, frames_of, read_to_end, start

from firmware_sim.board import Board
from firmware_sim.cables.choose import make_server
from firmware_sim.cables.server import QUEUE_BYTES, BoardServer
from firmware_sim.device import Device
from firmware_sim.faults import parse_faults
from firmware_sim.signals import SignalOrigin, simulate
from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.sources.tcp import TcpLink
from streamrnn.wire.encode import frame_packet
from streamrnn.wire.packet import PacketType
from streamrnn.wire.reference import ReferenceDecoder

#: Commands whose checksum is right and whose content makes no sense.
HOSTILE = [
    ENCODER.command(1, "SET_RATE", {"rate_hz": 1e300}),
    ENCODER.command(2, "SET_RATE", {"rate_hz": [1]}),
    ENCODER.command(3, "SET_RATE", {"rate_hz": -5}),
    frame_packet(PacketType.CMD, b'{"id":4,"cmd":"FORMAT_DISK"}', seq=0, t_us=0),
    frame_packet(PacketType.CMD, b'{"id":' + b"[" * 3000, seq=0, t_us=0),
    ENCODER.ping(7),
    b"\0" * 50,
]


def _board(seconds: float | None = None, faults: str = "") -> Board:
    return Board(Device(SignalOrigin(1, 3, seconds=seconds)), parse_faults(faults))


def _serve(board: Board, speed: float = 0.0, link: str = "tcp") -> BoardServer:
    return make_server(board, link, speed=speed)


def _port(server: BoardServer) -> int:
    return int(server.path.rpartition(":")[2])


def _link(server: BoardServer) -> TcpLink:
    return TcpLink("127.0.0.1", _port(server))


def _read_on(link: TcpLink, data: bytearray) -> None:
    """Read until the link says why it cannot go on."""
    while True:
        data += link.read(2.0)


def test_as_fast_as_it_is_read_and_nothing_is_lost() -> None:
    with _serve(_board(30.0)) as server:
        assert server.path.startswith("tcp:127.0.0.1:")
        link = _link(server)
        items, counters = read_to_end(link)
        link.close()
        assert server.finished.wait(5.0)
    assert server.error is None
    assert counters.n_lost_frames == counters.n_bad_crc == 0
    assert frames_of(items).x.tobytes() == simulate(3, 1, 30.0)[0].x.tobytes()


def test_the_end_closes_the_connection() -> None:
    with _serve(_board(0.5)) as server:
        link = TcpLink("127.0.0.1", _port(server), reconnect=False)
        link.open()
        link.write(start())
        data = bytearray()
        with pytest.raises(EOFError):
            _read_on(link, data)
        assert len(frames_of(ReferenceDecoder().push(bytes(data)))) == 50
        link.close()


def test_one_client_at_a_time_and_the_next_one_begins_at_a_packet() -> None:
    with _serve(_board()) as server:
        first = _link(server)
        first.open()
        first.write(start())
        assert first.read(2.0)
        second = _link(server)
        second.open()
        with pytest.raises(LinkLostError):
            second.read(2.0)
        second.close()
        assert first.read(2.0)  # it is none the worse for it
        time.sleep(0.1)  # the board waits in the middle of a packet now
        first.close()
        third = _link(server)
        decoder = ReferenceDecoder()
        items: list = []
        deadline = time.monotonic() + 5.0
        third.open()
        third.write(ENCODER.command(1, "DESCRIBE"))
        while len(frames_of(items)) < 1000 and time.monotonic() < deadline:
            items += decoder.push(third.read(0.5))
        third.close()
    assert len(frames_of(items)) >= 1000
    assert decoder.counters.n_bad_framing == decoder.counters.n_bad_crc == 0


@pytest.mark.parametrize("speed", [0.0, 20.0])
def test_an_unplug_refuses_connections_for_a_while(speed: float) -> None:
    board = _board(6.0, "unplug@2s:2s")
    with _serve(board, speed) as server:
        link = _link(server)
        items, counters = read_to_end(link)
        link.close()
    # In real time the board does not wait until the client has found it again.
    n_overrun = board.truth()["n_overrun_frames"]
    assert n_overrun == 0 or speed > 0
    assert len(frames_of(items)) == 400 - n_overrun
    assert counters.n_lost_frames == 200 + n_overrun
    assert server.n_plugged == 2


def test_while_it_is_unplugged_nobody_gets_in() -> None:
    with _serve(_board(60.0, "unplug@100ms:30s"), 1.0) as server:
        link = _link(server)
        link.open()
        link.write(start())
        with pytest.raises(LinkLostError):
            _read_on(link, bytearray())
        with pytest.raises(SourceError, match="refused"):
            link.open()


@pytest.mark.parametrize("speed", [800.0, 1e6])  # 1e6: all of it is due at the first poll
def test_a_reader_that_stops_reading_costs_frames_and_not_memory(speed: float) -> None:
    board = _board(100.0)
    with _serve(board, speed) as server:
        stuck = socket.create_connection(("127.0.0.1", _port(server)))
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        stuck.sendall(start())
        deadline = time.monotonic() + 10.0
        while board.device.n_frames_sent < 10_000 and time.monotonic() < deadline:
            time.sleep(0.02)
        # What was sent last may be on its way into the queue, of which only so much is kept.
        while server._n_queued > QUEUE_BYTES and time.monotonic() < deadline:
            time.sleep(0.02)
        n_held = server._n_queued
        decoder = ReferenceDecoder()
        items: list = []
        stuck.settimeout(10.0)
        while data := stuck.recv(65536):
            items += decoder.push(data)
        stuck.close()
    n_overrun = board.truth()["n_overrun_frames"]
    assert n_held <= QUEUE_BYTES
    assert n_overrun > 1000
    assert len(frames_of(items)) == 10_000 - n_overrun
    assert decoder.counters.n_lost_frames == n_overrun
    assert decoder.counters.n_bad_crc == decoder.counters.n_bad_framing == 0


def test_without_a_client_frames_are_lost_and_counted_and_a_late_one_gets_no_old_ones() -> None:
    board = _board(40.0)
    with _serve(board, 60.0) as server:
        link = _link(server)
        link.open()
        link.write(start())
        link.read(1.0)
        link.close()
        deadline = time.monotonic() + 10.0
        while board.device.n_frames_sent < 2000 and time.monotonic() < deadline:
            time.sleep(0.01)
        again = _link(server)
        again.open()
        items = ReferenceDecoder().push(again.read(2.0))
        again.close()
    assert board.truth()["n_overrun_frames"] > 1000
    assert all(frames.seq[0] > 1900 for frames in items if hasattr(frames, "seq"))


def test_a_port_that_is_taken() -> None:
    with (
        _serve(_board()) as server,
        pytest.raises(SourceError, match="cannot listen on tcp"),
    ):
        _serve(_board(), link=server.path).start()


def test_other_machines_are_let_in_only_when_asked_for() -> None:
    with _serve(_board(), link="tcp:0") as server:
        assert server.path.startswith("tcp:127.0.0.1:")
    with _serve(_board(), link="tcp:0.0.0.0:0") as server:
        assert server.path.startswith("tcp:0.0.0.0:")
    with pytest.raises(ConfigError, match="write HOST:PORT"):
        _serve(_board(), link="tcp:a b:1")


def test_it_stops_at_once_with_a_client_that_does_not_read() -> None:
    with _serve(_board()) as server:
        stuck = socket.create_connection(("127.0.0.1", _port(server)))
        stuck.sendall(start())
        time.sleep(0.2)
        begin_s = time.monotonic()
        server.stop()
        assert time.monotonic() - begin_s < 1.0
        stuck.close()


def test_a_host_that_asks_and_never_reads_costs_no_memory() -> None:
    board = _board()
    with _serve(board) as server:
        client = socket.create_connection(("127.0.0.1", _port(server)))
        client.settimeout(5.0)
        client.sendall(start())
        for _ in range(50):
            client.sendall(ENCODER.ping(7) * 1000)
        n_waiting = len(board.device._replies)
        client.close()
        assert server.error is None
    assert n_waiting < 3000


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(HOSTILE)), max_size=12))
@settings(max_examples=25)
def test_whatever_a_client_says_the_board_goes_on(words: list[bytes]) -> None:
    with _serve(_board(), 1.0) as server:
        rude = socket.create_connection(("127.0.0.1", _port(server)))
        rude.sendall(b"".join(words))
        rude.close()
        link = _link(server)
        deadline = time.monotonic() + 5.0
        data = b""
        while not data and time.monotonic() < deadline:
            try:  # until the board has seen the other one go, it turns this one away
                link.open()
                link.write(b"\0" + ENCODER.command(1, "DESCRIBE"))
                data = link.read(1.0)
            except OSError:
                time.sleep(0.005)
        link.close()
        assert data
        assert server.error is None
