from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.sources.tcp import TcpLink, open_link


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def write_twice(link: TcpLink) -> None:
    link.write(b"x")
    link.write(b"x")


def test_bytes_go_both_ways(server: socket.socket) -> None:
    link = open_link(f"127.0.0.1:{port(server)}")
    link.open()
    peer, _ = server.accept()
    with peer:
        assert link.read(0.0) == b""
        peer.sendall(b"abc")
        assert link.read(1.0) == b"abc"
        link.write(b"def")
        assert peer.recv(10) == b"def"
    with pytest.raises(LinkLostError, match="closed by the other end"):
        link.read(1.0)
    link.close()
    link.close()


def test_a_closed_connection_can_be_the_end(server: socket.socket) -> None:
    link = open_link(f"127.0.0.1:{port(server)}?reconnect=no")
    assert not link.can_return
    link.open()
    server.accept()[0].close()
    with pytest.raises(EOFError):
        link.read(1.0)
    link.close()


def test_a_reset_connection_is_a_lost_link(server: socket.socket) -> None:
    link = TcpLink("127.0.0.1", port(server))
    link.open()
    peer, _ = server.accept()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    with pytest.raises(LinkLostError):
        link.read(1.0)
    with pytest.raises(LinkLostError):
        write_twice(link)  # the first write after a reset may still be taken
    link.close()
    with pytest.raises(LinkLostError, match="not connected"):
        link.read(0.0)


def test_nobody_listens(server: socket.socket) -> None:
    free = port(server)
    server.close()
    with pytest.raises(SourceError, match=f"cannot connect to tcp:127.0.0.1:{free}"):
        TcpLink("127.0.0.1", free).open()


@pytest.mark.parametrize("rest", ["host", "host:", ":80", "host:port", "host:0", "host:99999"])
def test_senseless_addresses_are_named(rest: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        open_link(rest)


def test_an_ipv6_address_has_brackets() -> None:
    assert open_link("[::1]:80")._address == ("::1", 80)


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="no keep-alive times here")
def test_a_peer_that_says_nothing_is_asked_soon(server: socket.socket) -> None:
    link = TcpLink("127.0.0.1", port(server))
    link.open()
    connection = link._connected()
    asked = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT]
    idle_s, every_s, times = (connection.getsockopt(socket.IPPROTO_TCP, o) for o in asked)
    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert idle_s + every_s * times <= 6
    link.close()


@pytest.mark.parametrize("host", ["a..b", "x\0y", "no.such.host.invalid"])
def test_a_name_that_no_host_has_is_one_line(host: str) -> None:
    with pytest.raises(SourceError, match="cannot connect to tcp:"):
        TcpLink(host, 80).open()


def test_a_peer_that_never_reads_holds_nobody_up_for_long(server: socket.socket) -> None:
    link = TcpLink("127.0.0.1", port(server))
    link.open()
    peer, _ = server.accept()
    with peer:
        begin_s = time.monotonic()
        with pytest.raises(LinkLostError, match="timed out"):
            link.write(bytes(64 << 20))
        assert time.monotonic() - begin_s < 4.0
    link.close()
