from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from message_make import wire_messages

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.core.types import End, Frames, Item
from streamrnn.sources import open_source
from streamrnn.sources.messages.link import MessageLink
from streamrnn.sources.messages.udp import UdpCarrier, open_link
from streamrnn.sources.stream import StreamSource


@pytest.fixture
def carrier() -> Iterator[UdpCarrier]:
    carrier = UdpCarrier("127.0.0.1", 0)
    carrier.open()
    yield carrier
    carrier.close()


def sender(carrier: UdpCarrier) -> socket.socket:
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.connect(("127.0.0.1", carrier.port))
    return peer


def items_of(source: StreamSource) -> list[Item]:
    items: list[Item] = []
    end = time.monotonic() + 5
    while not (items and isinstance(items[-1], End)):
        assert time.monotonic() < end, items
        items += source.read(0.05)
    return items


class Bound(UdpCarrier):
    """Bound before the source opens it, so that datagrams can be there already."""

    def open(self) -> None:
        if self._socket is None:
            super().open()


def test_datagrams_go_both_ways(carrier: UdpCarrier) -> None:
    assert carrier.receive(0.0) == []
    with sender(carrier) as peer:
        peer.send(b"abc")
        peer.send(b"def")
        (first, one), *rest = carrier.receive(1.0)
        rest = rest or carrier.receive(1.0)
        assert (one, rest[0][1]) == (b"abc", b"def")
        carrier.send(first, b"hello")
        peer.settimeout(1.0)
        assert peer.recv(10) == b"hello"


def test_swapped_and_doubled_datagrams_lose_nothing() -> None:
    carrier = Bound("127.0.0.1", 0)
    carrier.open()
    source = StreamSource(MessageLink(carrier))
    messages = wire_messages(200)
    choice = np.random.default_rng(1)
    keys = np.arange(len(messages)) + choice.uniform(0, 4, len(messages))
    keys[0] = -1
    with sender(carrier) as peer:
        for n in np.argsort(keys):
            peer.send(messages[n])
            if n % 10 == 1:
                peer.send(messages[n])
        source.open()
        items = items_of(source)
    source.close()
    seq = np.concatenate([item.seq for item in items if isinstance(item, Frames)])
    assert seq.tolist() == list(range(200))
    counters = source.counters
    assert counters.n_lost_frames == 0
    assert counters.n_duplicate_frames == 20
    assert counters.extra["n_reordered_messages"] > 10


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what did not fit")
def test_what_the_kernel_drops_is_counted(carrier: UdpCarrier) -> None:
    carrier._bound().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    n_sent = 300
    with sender(carrier) as peer:
        for _ in range(n_sent):
            peer.send(b"x" * 500)
        n_taken = len(carrier.receive(1.0))
        peer.send(b"last")  # the count comes with the next datagram that fits
        n_taken += len(carrier.receive(1.0))
    assert n_taken < n_sent
    assert carrier.extra["n_dropped_messages"] == n_sent + 1 - n_taken


def test_a_port_has_one_listener(carrier: UdpCarrier) -> None:
    with pytest.raises(SourceError, match="another program listens on port"):
        UdpCarrier("127.0.0.1", carrier.port).open()


def test_a_closed_socket_is_a_lost_link(carrier: UdpCarrier) -> None:
    carrier.close()
    with pytest.raises(LinkLostError, match="not open"):
        carrier.receive(0.0)


@pytest.mark.parametrize(
    ("rest", "name"),
    [
        ("5005", "udp:127.0.0.1:5005"),
        (":5005", "udp:127.0.0.1:5005"),
        ("0.0.0.0:5005", "udp:0.0.0.0:5005"),
        ("[::1]:5005", "udp:[::1]:5005"),
    ],
)
def test_an_address_says_who_is_heard(rest: str, name: str) -> None:
    assert open_link(rest).name == name


def test_ipv6_works() -> None:
    carrier = UdpCarrier("::1", 0)
    try:
        carrier.open()
    except SourceError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"abc", ("::1", carrier.port))
        assert [data for _, data in carrier.receive(1.0)] == [b"abc"]
    carrier.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("udp:", "needs an address: udp:5005"),
        ("udp:host", "udp:5005; got 'host'"),
        ("udp:0", "got '0'"),
        ("udp:99999", "got '99999'"),
        ("udp:::1:5005", "stands in brackets"),
        ("udp:[::1]5005", "got"),
        ("udp:5005?prot=1", "no option 'prot'"),
    ],
)
def test_senseless_addresses_are_named(url: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(url)
    assert words in str(caught.value)


@pytest.mark.parametrize("host", ["203.0.113.1", "no such host", "a..b", "x\0y"])
def test_an_address_that_cannot_be_bound_is_one_line(host: str) -> None:
    with pytest.raises(SourceError, match="udp:") as caught:
        UdpCarrier(host, 5005).open()
    assert "\n" not in str(caught.value)
