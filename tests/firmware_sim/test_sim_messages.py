"""Boards that send a piece a datagram or a message: UDP, and MQTT through a real broker."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mosquitto_broker import free_port, running_broker
from sim_host import ENCODER, frames_of, start

from firmware_sim.board import Board
from firmware_sim.cables.choose import make_server
from firmware_sim.device import Device
from firmware_sim.faults import parse_faults
from firmware_sim.raw import raw_board
from firmware_sim.signals import SignalOrigin, simulate
from streamrnn.core.errors import SourceError
from streamrnn.core.types import End
from streamrnn.wire.reference import ReferenceDecoder

LIMIT_S = 10.0


def _board(seconds: float | None = None, faults: str = "") -> Board:
    return Board(Device(SignalOrigin(1, 3, seconds=seconds)), parse_faults(faults))


def _until(is_done: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_done():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


# ---- UDP


class UdpHost:
    """A program that waits for datagrams."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.socket.settimeout(0.5)
        self.decoder = ReferenceDecoder()
        self.items: list = []
        self.datagrams: list[bytes] = []
        self.board: Any = None

    def read(self) -> bytes:
        try:
            data, self.board = self.socket.recvfrom(65536)
        except TimeoutError:
            return b""
        self.datagrams.append(data)
        self.items += self.decoder.push(data)
        return data

    def read_to_end(self) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not any(isinstance(item, End) for item in self.items):
            assert time.monotonic() < deadline
            self.read()

    def close(self) -> None:
        self.socket.close()


def test_udp_sends_a_packet_a_datagram_and_obeys_what_comes_back() -> None:
    port = free_port()
    board = _board(3.0)
    host = UdpHost(port)
    with make_server(board, f"udp:{port}", speed=10.0) as server:
        assert server.path == f"udp:127.0.0.1:{port}"
        host.read()
        host.socket.sendto(start(), host.board)
        host.read_to_end()
        assert server.finished.wait(5.0)
    host.close()
    assert frames_of(host.items).x.tobytes() == simulate(3, 1, 3.0)[0].x.tobytes()
    assert all(data.endswith(b"\0") and data.count(b"\0") == 1 for data in host.datagrams)
    assert board.truth()["n_overrun_frames"] == 0


def test_udp_takes_no_commands_from_strangers() -> None:
    port = free_port()
    board = _board()
    host = UdpHost(port)
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with make_server(board, f"udp:127.0.0.1:{port}", speed=5.0):
        host.read()
        stranger.sendto(start(), host.board)
        host.socket.sendto(ENCODER.command(4, "DESCRIBE"), host.board)
        _until(lambda: host.read() and len(host.datagrams) > 2)
        assert not board.device.has_started
    stranger.close()
    host.close()


def test_udp_to_a_port_where_nobody_listens_counts_what_is_lost() -> None:
    port = free_port()
    board = _board(4.0)
    host = UdpHost(port)
    with make_server(board, f"udp:{port}", speed=10.0):
        host.read()
        host.socket.sendto(start(), host.board)
        while not len(frames_of(host.items)):
            host.read()
        host.close()  # nobody reads the middle
        n_before = board.device.n_frames_sent
        _until(lambda: board.device.n_frames_sent > n_before + 50)
        again = UdpHost(port)
        again.decoder, again.items = host.decoder, host.items
        again.read_to_end()
        again.close()
    n_overrun = board.truth()["n_overrun_frames"]
    assert n_overrun >= 40
    # What stood in the first socket's buffer when it was closed is lost too, and not known.
    assert len(frames_of(host.items)) <= 400 - n_overrun
    assert host.decoder.counters.n_lost_frames == 400 - len(frames_of(host.items))


def test_udp_plays_a_file_from_its_first_byte_on_whenever_someone_listens(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "dump").write_bytes(content := b"".join(b"%d;\n" % i for i in range(300)))
    with make_server(raw_board(tmp_path / "dump", 1000.0), f"udp:{port}"):
        time.sleep(0.4)  # it would have begun by now
        host = UdpHost(port)
        while host.read():
            pass
        host.close()
    assert b"".join(host.datagrams) == content


def test_udp_unplugged_is_silent() -> None:
    port = free_port()
    host = UdpHost(port)
    with make_server(_board(3.0, "unplug@1s:1s"), f"udp:{port}", speed=10.0):
        host.read()
        host.socket.sendto(start(), host.board)
        host.read_to_end()
    host.close()
    assert len(frames_of(host.items)) == 200
    assert host.decoder.counters.n_lost_frames == 100


# ---- MQTT


class MqttHost:
    """A program that subscribes to a board's topic."""

    def __init__(self, port: int, topic: str) -> None:
        mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.messages: list[bytes] = []
        self.is_subscribed = False
        self.topic = topic
        self.client.on_connect = lambda client, *_: client.subscribe(topic, qos=0)
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = lambda _client, _user, message: self.messages.append(
            bytes(message.payload)
        )
        self.client.reconnect_delay_set(0.2, 0.2)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        _until(lambda: self.is_subscribed)

    def _on_subscribe(self, *_: Any) -> None:
        self.is_subscribed = True

    def command(self, data: bytes) -> None:
        self.client.publish(f"{self.topic}/cmd", data)

    def items(self) -> list:
        return ReferenceDecoder().push(b"".join(self.messages))

    def ended(self) -> bool:
        return any(isinstance(item, End) for item in self.items())

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_mqtt_publishes_a_packet_a_message_and_listens_to_commands(tmp_path: Path) -> None:
    with running_broker(tmp_path) as broker:
        host = MqttHost(broker.port, "lab/glove")
        link = f"mqtt:127.0.0.1:{broker.port}/lab/glove"
        with make_server(_board(2.0), link, speed=10.0) as server:
            assert server.path == link
            _until(lambda: host.messages)
            host.command(bytes(1_000_000))  # the board is spared it
            host.command(start())
            _until(host.ended)
            assert server.finished.wait(5.0)
        host.close()
    assert server.error is None
    assert frames_of(host.items()).x.tobytes() == simulate(3, 1, 2.0)[0].x.tobytes()
    assert all(message.count(b"\0") == 1 for message in host.messages)


def test_mqtt_finds_a_broker_that_was_away_again(tmp_path: Path) -> None:
    with running_broker(tmp_path) as broker:
        host = MqttHost(broker.port, "glove")
        board = _board()
        with make_server(board, f"mqtt:127.0.0.1:{broker.port}/glove", speed=1.0) as server:
            _until(lambda: host.messages)
            host.command(start())
            _until(lambda: board.device.is_streaming)
            broker.stop()
            _until(lambda: board.truth()["n_overrun_frames"] > 5)
            host.is_subscribed = False
            broker.start()
            _until(lambda: host.is_subscribed)
            n_before = len(host.messages)
            _until(lambda: len(host.messages) > n_before + 5)
            assert server.error is None
        host.close()


def test_mqtt_without_a_broker_says_so() -> None:
    with pytest.raises(SourceError, match=r"no MQTT broker at .*is one running"):
        make_server(_board(), f"mqtt:127.0.0.1:{free_port()}/x").start()
