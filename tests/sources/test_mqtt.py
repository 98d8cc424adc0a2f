from __future__ import annotations

import contextlib
import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from broker import Broker, free_port
from message_make import HELLO, text_messages, wire_messages

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.core.types import End, Frames, Gap, Item
from streamrnn.sources import open_source, public_url
from streamrnn.sources.messages.mqtt import MqttAddress, MqttCarrier, open_link
from streamrnn.sources.stream import StreamSource
from streamrnn.wire.packet import Command
from streamrnn.wire.reference import ReferenceDecoder


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@contextlib.contextmanager
def publisher(broker: Broker) -> Iterator[mqtt.Client]:
    """A board's side: connected, and working by itself."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    wait_for(client.is_connected)
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def wait_for(is_so: Callable[[], bool], limit_s: float = 10.0) -> None:
    end = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


def send(client: mqtt.Client, topic: str, *messages: bytes, **more: Any) -> None:
    for message in messages:
        client.publish(topic, message, **more).wait_for_publish(5.0)


def open_while(source: StreamSource, act: Callable[[], None]) -> None:
    """Open a source; `act` once it listens."""
    receive = source.link._carrier.receive  # type: ignore[attr-defined]
    acted = []

    def receive_and_act(timeout_s: float) -> Any:
        if not acted:
            acted.append(True)
            act()
        return receive(timeout_s)

    source.link._carrier.receive = receive_and_act  # type: ignore[attr-defined]
    source.open()


def frames_of(source: StreamSource, n: int, limit_s: float = 10.0) -> list[Item]:
    items: list[Item] = []
    end = time.monotonic() + limit_s
    while sum(len(item) for item in items if isinstance(item, Frames)) < n:
        assert time.monotonic() < end, items
        items += source.read(0.05)
        if items and isinstance(items[-1], End):
            break
    return items


def source_of(broker: Broker, rest: str) -> StreamSource:
    source = open_source(f"mqtt:127.0.0.1:{broker.port}/{rest}")
    assert isinstance(source, StreamSource)
    return source


@pytest.mark.parametrize("qos", [0, 1])
def test_packets_and_commands_go_through_the_broker(broker: Broker, qos: int) -> None:
    source = source_of(broker, f"hand/left?qos={qos}")
    head, *frames = wire_messages(50)
    heard: list[bytes] = []
    with publisher(broker) as board:
        board.on_message = lambda _c, _d, message: heard.append(message.payload)
        board.subscribe("hand/left/cmd")
        open_while(source, lambda: send(board, "hand/left", head, qos=qos))
        assert source.info.name == HELLO.name
        wait_for(lambda: not source.read(0.02) and bool(heard))
        send(board, "hand/left", *frames, qos=qos)
        items = frames_of(source, 50)
        source.close()

        def names() -> list[str]:
            items = ReferenceDecoder().push(b"".join(heard))
            return [item.name for item in items if isinstance(item, Command)]

        wait_for(lambda: names()[-1:] == ["STOP"])
    assert names()[0] == "START"
    seq = [int(s) for item in items if isinstance(item, Frames) for s in item.seq]
    assert seq == list(range(50))


def test_the_first_topic_of_a_wildcard_wins_and_old_messages_do_not(broker: Broker) -> None:
    source = source_of(broker, "lab/%23?rate=100")
    lines = text_messages(20, end="")
    with publisher(broker) as board:
        send(board, "lab/old", b"7,7,7\n", retain=True, qos=1)

        def both() -> None:
            for line in lines:
                send(board, "lab/a", line)
                send(board, "lab/b", b"9,9,9")
                send(board, "lab/a/cmd", b"from another reader")

        open_while(source, both)
        items = frames_of(source, 20)
        time.sleep(0.05)
        source.read(0.05)
    source.close()
    assert next(len(item.x[0]) for item in items if isinstance(item, Frames)) == 2
    extra = source.counters.extra
    assert extra["n_retained_messages"] == 1
    assert extra["n_foreign_messages"] == 20


def test_a_broker_that_restarts_is_an_unplug(broker: Broker) -> None:
    source = source_of(broker, "hand")
    head, *frames = wire_messages(20)
    with publisher(broker) as board:
        open_while(source, lambda: send(board, "hand", head))
        send(board, "hand", *frames[:10])
        items = frames_of(source, 10)
        broker.stop()
        end = time.monotonic() + 10
        while not any(isinstance(item, Gap) for item in items):
            assert time.monotonic() < end
            items += source.read(0.05)
        assert source.read(0.3) == []
        broker.start()
    with publisher(broker) as board:
        end = time.monotonic() + 10
        while source.counters.n_unplugs == 0:
            assert time.monotonic() < end
            source.read(0.05)
        source.read(0.05)
        send(board, "hand", *frames[10:])
        items += frames_of(source, 10)
    source.close()
    seq = [int(s) for item in items if isinstance(item, Frames) for s in item.seq]
    assert seq == list(range(20))
    assert source.counters.n_unplugs == 1


def test_who_you_are_is_asked_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    broker = Broker(tmp_path, f"allow_anonymous false\npassword_file {tmp_path}/who\nuser root\n")
    # mosquitto's own form of the password 'sesame': PBKDF2 with SHA-512.
    (tmp_path / "who").write_text(hashed("ali", "sesame"))
    (tmp_path / "who").chmod(0o600)
    broker.start()
    try:
        with pytest.raises(SourceError, match=r"refuses.*MQTT_USERNAME"):
            source_of(broker, "t").open()
        monkeypatch.setenv("MQTT_USERNAME", "ali")
        monkeypatch.setenv("MQTT_PASSWORD", "sesame")
        for rest in ("t", "t?user=ali&password=sesame"):
            link = open_link(f"127.0.0.1:{broker.port}/{rest}")
            link.open()
            assert "sesame" not in f"{link.name} {link.silence_hint} {vars(link._carrier)}"
            link.close()
        with pytest.raises(SourceError, match="refuses") as caught:
            source_of(broker, "t?user=ali&password=wrongword").open()
        assert "wrongword" not in str(caught.value)
    finally:
        broker.stop()
    assert "sesame" not in caplog.text


def hashed(user: str, password: str) -> str:
    """Return a line of mosquitto's password file (its format 7)."""
    import base64
    import hashlib

    salt, n = b"0123456789ab", 101
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, n)
    parts = [base64.b64encode(part).decode() for part in (salt, key)]
    return f"{user}:$7${n}${parts[0]}${parts[1]}\n"


def test_nonsense_from_a_broker_is_a_lost_link() -> None:
    choice = random.Random(1)
    kinds = (0x20, 0x30, 0x32, 0x34, 0x40, 0x62, 0x90, 0xD0, 0xE0, 0x00)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for n in range(30):
                client, _ = server.accept()
                with client, contextlib.suppress(OSError):
                    client.settimeout(5.0)
                    client.recv(1000)
                    if n % 3:
                        client.sendall(b"\x20\x02\0\0")  # CONNACK, and SUBACK
                        client.recv(1000)
                        client.sendall(b"\x90\x03\0\1\0")
                    body = choice.randbytes(choice.randrange(12))
                    client.sendall(bytes([choice.choice(kinds), len(body)]) + body)
                    client.sendall(choice.randbytes(20))

        thread = threading.Thread(target=serve)
        thread.start()
        for _ in range(30):
            link = open_link(f"127.0.0.1:{server.getsockname()[1]}/t")
            with pytest.raises((SourceError, LinkLostError)):  # noqa: PT012 - either may see it
                link.open()
                for _ in range(1000):
                    link.read(0.01)
            link.close()
        thread.join()


def test_a_broker_that_is_back_and_dumb_holds_nobody_up_for_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answers in ((b"\x20\x02\0\0", b"\x90\x03\0\1\0", b""), ()):
                client, _ = server.accept()
                with client:
                    client.settimeout(5.0)
                    for answer in answers:
                        client.recv(1000)
                        client.sendall(answer)
                    client.recv(1000)
                    client.recv(1000)

        thread = threading.Thread(target=serve)
        thread.start()
        carrier = MqttCarrier(MqttAddress("127.0.0.1", server.getsockname()[1], "t"))
        carrier.open()
        carrier.close()
        with pytest.raises(SourceError, match="did not answer in 2 s"):
            carrier.open()
        thread.join()


def test_a_message_of_megabytes_is_not_taken_in() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.settimeout(5.0)
                client.recv(1000)
                client.sendall(b"\x20\x02\0\0")
                client.recv(1000)
                client.sendall(b"\x90\x03\0\1\0")
                client.sendall(b"\x30\xff\xff\xff\x7f\0\1t")  # all of 256 MB are to follow
                client.recv(1000)

        thread = threading.Thread(target=serve)
        thread.start()
        link = open_link(f"127.0.0.1:{server.getsockname()[1]}/t")
        link.open()
        with pytest.raises(LinkLostError, match="a message of 268 MB is no stream"):
            link.read(5.0)
        link.close()
        thread.join()


def test_nobody_listens_is_one_line() -> None:
    with pytest.raises(SourceError, match=r"cannot connect to mqtt:127.0.0.1:\d+/t: .*refused"):
        open_source(f"mqtt:127.0.0.1:{free_port()}/t").open()
    for host in ("no.such.host.invalid", "a..b"):
        with pytest.raises(SourceError, match="cannot connect"):
            open_source(f"mqtt:{host}/t").open()


def test_a_carrier_that_is_closed_is_lost() -> None:
    carrier = MqttCarrier(MqttAddress("127.0.0.1", 1, "t"))
    with pytest.raises(LinkLostError):
        carrier.receive(0.0)
    with pytest.raises(LinkLostError):
        carrier.send("t", b"x")
    carrier.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mqtt:", "needs an address: mqtt:localhost/glove"),
        ("mqtt:localhost", "needs a topic"),
        ("mqtt:localhost/", "needs a topic"),
        ("mqtt:/glove", "needs HOST"),
        ("mqtt:localhost:x/glove", "got 'localhost:x'"),
        ("mqtt:localhost/a%23", "no topic"),
        ("mqtt:localhost/#/a", "no topic"),
        ("mqtt:localhost/a+/b", "no topic"),
        ("mqtt:localhost/a?qos=2", "qos must be 0 or 1"),
        ("mqtt:localhost/a?tls=maybe", "tls must be yes or no"),
        ("mqtt:localhost/a?usr=x", "did you mean 'user'"),
    ],
)
def test_senseless_addresses_are_named(url: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(url)
    assert words in str(caught.value)


def test_an_address_has_defaults() -> None:
    assert open_link("host/a/b").name == "mqtt:host/a/b"
    assert open_link("host:1884/a").name == "mqtt:host:1884/a"
    secure = open_link("ali:se%2Fsame@host/a?tls=yes")._carrier
    assert secure.name == "mqtt:host/a"
    address = secure._address  # type: ignore[attr-defined]
    assert (address.port, address.user, address.password) == (8883, "ali", "se/same")
    assert "sesame" not in repr(address)


def test_no_url_is_kept_with_a_password() -> None:
    url = "mqtt://ali:sesame@host/a?rate=50&password=sesame&user=ali"
    assert public_url(url) == "mqtt:host/a?rate=50"
    assert public_url("mqtt:host/a@b") == "mqtt:host/a@b"
    assert public_url("file:a@b.mcap?x") == "file:a@b.mcap?x"
    assert public_url("sim:?person=3") == "sim:?person=3"
