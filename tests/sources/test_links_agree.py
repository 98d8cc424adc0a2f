"""The same bytes give the same frames, whatever carries them."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from broker import Broker
from message_make import text_messages, wire_messages

from streamrnn.core.types import End, Frames, Item
from streamrnn.sources import open_source
from streamrnn.sources.messages.link import MessageLink
from streamrnn.sources.messages.udp import UdpCarrier
from streamrnn.sources.stdin import StdinLink
from streamrnn.sources.stream import StreamSource

N_FRAMES = 60


def grouped(messages: list[bytes], seed: int) -> list[bytes]:
    """Several packets or lines a message; the last line of each lacks its end."""
    choice = np.random.default_rng(seed)
    groups: list[bytes] = []
    while messages:
        n = int(choice.integers(1, 5))
        groups.append(b"".join(messages[:n]))
        messages = messages[n:]
    return groups


STREAMS = {
    "packets": wire_messages(N_FRAMES),
    "several packets a message": grouped(wire_messages(N_FRAMES), 1),
    "lines": text_messages(N_FRAMES),
    "several lines a message": grouped(text_messages(N_FRAMES), 2),
}


@contextmanager
def over_tcp(messages: list[bytes]) -> Iterator[StreamSource]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                for message in messages:
                    client.sendall(message)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        source = open_source(f"tcp:127.0.0.1:{port}?reconnect=no&rate=100")
        assert isinstance(source, StreamSource)
        yield source
        thread.join()


@contextmanager
def over_udp(messages: list[bytes]) -> Iterator[StreamSource]:
    class Early(UdpCarrier):
        def open(self) -> None:
            if self._socket is None:
                super().open()

    carrier = Early("127.0.0.1", 0)
    carrier.open()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for message in messages:
            peer.sendto(message.removesuffix(b"\n"), ("127.0.0.1", carrier.port))
        yield StreamSource(MessageLink(carrier), 100.0)


@contextmanager
def over_stdin(messages: list[bytes]) -> Iterator[StreamSource]:
    read_fd, write_fd = os.pipe()
    os.write(write_fd, b"".join(messages))
    os.close(write_fd)
    yield StreamSource(StdinLink(read_fd), 100.0)
    os.close(read_fd)


def mqtt_through(broker: Broker) -> Callable[[list[bytes]], object]:
    @contextmanager
    def over_mqtt(messages: list[bytes]) -> Iterator[StreamSource]:
        source = open_source(f"mqtt:127.0.0.1:{broker.port}/t?rate=100")
        assert isinstance(source, StreamSource)
        board = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        board.connect("127.0.0.1", broker.port)
        board.loop_start()
        connect = source.link.open

        def connect_and_send() -> None:
            connect()
            for message in messages:
                board.publish("t", message.removesuffix(b"\n"))

        source.link.open = connect_and_send  # type: ignore[method-assign]
        yield source
        board.disconnect()
        board.loop_stop()

    return over_mqtt


def all_items(source: StreamSource) -> list[Item]:
    """Open and read until all frames are there."""
    source.open()
    items: list[Item] = []
    end = time.monotonic() + 10
    while sum(len(item) for item in items if isinstance(item, Frames)) < N_FRAMES:
        assert time.monotonic() < end, items
        items += source.read(0.05)
        if items and isinstance(items[-1], End):
            break
    source.close()
    return items


def table(items: list[Item]) -> list[object]:
    """What can be compared: the stream's description, and every frame."""
    infos = [item for item in items if not isinstance(item, Frames | End)]
    frames = Frames.join([item for item in items if isinstance(item, Frames)], 2)
    return [infos, frames.x.tobytes(), frames.seq.tolist(), frames.t_us.tolist()]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder: Path = tmp_path_factory.mktemp("broker")
    broker = Broker(folder)
    broker.start()
    yield broker
    broker.stop()


@pytest.mark.parametrize("name", list(STREAMS))
def test_what_carries_a_stream_does_not_matter(name: str, broker: Broker) -> None:
    tables = []
    for over in (over_tcp, over_udp, over_stdin, mqtt_through(broker)):
        with ExitStack() as stack:
            source = stack.enter_context(over(STREAMS[name]))  # type: ignore[arg-type]
            tables.append(table(all_items(source)))
    assert all(other == tables[0] for other in tables[1:])
    assert tables[0][2] == list(range(N_FRAMES))
