"""The fault proxy: between real sockets, with real damage, against its own counts."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sim_host import frames_of, read_to_end

from firmware_sim.__main__ import main
from firmware_sim.board import Board
from firmware_sim.cables.choose import make_server
from firmware_sim.device import Device
from firmware_sim.faults import parse_faults
from firmware_sim.proxy import FaultProxy
from firmware_sim.signals import SignalOrigin
from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.sources.tcp import TcpLink

LIMIT_S = 10.0


class Server:
    """Gives what it is told to whoever connects, and keeps what they say."""

    def __init__(self, content: bytes, pieces: int = 1, pause_s: float = 0.0) -> None:
        self.heard = b""
        self._content = content
        self._size = max(1, len(content) // pieces)
        self._pause_s = pause_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = ("127.0.0.1", int(self._listener.getsockname()[1]))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                client.settimeout(LIMIT_S)
                try:
                    for at in range(0, len(self._content), self._size):
                        client.sendall(self._content[at : at + self._size])
                        time.sleep(self._pause_s)
                    client.shutdown(socket.SHUT_WR)
                    while data := client.recv(65536):
                        self.heard += data
                except OSError:
                    continue

    def close(self) -> None:
        # A closed listener does not wake its `accept`; a connection does.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(LIMIT_S)


@contextmanager
def _proxied(
    content: bytes, specs: str = "", *, seed: int = 1, pieces: int = 1, pause_s: float = 0.0
) -> Iterator[tuple[Server, FaultProxy]]:
    server = Server(content, pieces, pause_s)
    try:
        with FaultProxy("127.0.0.1", 0, server.address, parse_faults(specs), seed) as proxy:
            yield server, proxy
            assert proxy.error is None
    finally:
        server.close()


def _connect(proxy: FaultProxy) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", int(proxy.address.rpartition(":")[2])), LIMIT_S)
    client.settimeout(LIMIT_S)
    return client


def _read_all(client: socket.socket) -> bytes:
    data = b""
    while part := client.recv(65536):
        data += part
    return data


def _until(is_done: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_done():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


CONTENT = bytes(range(256)) * 800


def test_without_faults_it_is_a_wire_in_both_directions() -> None:
    with _proxied(CONTENT) as (server, proxy):
        client = _connect(proxy)
        client.sendall(b"hello" * 1000)
        client.shutdown(socket.SHUT_WR)
        assert _read_all(client) == CONTENT
        client.close()
        _until(lambda: len(server.heard) == 5000)
        truth = proxy.truth()
    assert truth["n_bytes_in"] == truth["n_bytes_out"] == len(CONTENT)
    assert truth["n_bytes_back"] == 5000
    assert truth["n_connections"] == 1


@pytest.mark.parametrize(
    "spec", ["flip:1e-4", "lose:1e-3", "insert:1e-3", "burst:1e-4", "nul:1e-3"]
)
def test_damage_is_what_it_says(spec: str) -> None:
    with _proxied(CONTENT, spec) as (_, proxy):
        client = _connect(proxy)
        data = _read_all(client)
        client.close()
        truth = proxy.truth()
        log = proxy.take_log()
    assert data != CONTENT
    assert len(data) == truth["n_bytes_out"]
    assert len(data) == len(CONTENT) - truth["n_lost_bytes"] + truth["n_inserted_bytes"]
    if len(data) == len(CONTENT):
        changed = sum((a ^ b).bit_count() for a, b in zip(data, CONTENT, strict=True))
        assert changed == truth["n_flipped_bits"] > 10
    assert sum(line.get("n", 1) for line in log) == truth["n_byte_faults"] > 5
    assert {line["kind"] for line in log} == {spec.partition(":")[0]}


def test_the_same_seed_does_the_same_damage() -> None:
    results = set()
    for seed, pieces in ((7, 1), (7, 50), (8, 1)):
        with _proxied(CONTENT, "flip:1e-4,lose:1e-4", seed=seed, pieces=pieces) as (_, proxy):
            client = _connect(proxy)
            results.add(_read_all(client))
            client.close()
    assert len(results) == 2


def test_an_unplug_closes_the_connection_and_refuses_others_for_a_while() -> None:
    with _proxied(CONTENT, "unplug@200ms:500ms", pieces=100, pause_s=0.02) as (_, proxy):
        client = _connect(proxy)
        data = _read_all(client)
        client.close()
        begin_s = time.monotonic()
        with pytest.raises(ConnectionRefusedError):
            _connect(proxy)
        again = None
        while again is None and time.monotonic() < begin_s + LIMIT_S:
            try:
                again = _connect(proxy)
            except ConnectionRefusedError:
                time.sleep(0.01)
        assert again is not None
        assert time.monotonic() - begin_s > 0.3
        assert again.recv(10) == CONTENT[:10]
        again.close()
        truth = proxy.truth()
    assert data == CONTENT[: len(data)]
    assert 0 < len(data) < len(CONTENT)
    assert truth["n_unplugs"] == 1
    assert truth["n_connections"] == 2


def test_a_stall_keeps_everything_back_and_loses_nothing() -> None:
    with _proxied(CONTENT, "stall@50ms:400ms", pieces=20, pause_s=0.01) as (_, proxy):
        client = _connect(proxy)
        data, longest_s, last_s = b"", 0.0, time.monotonic()
        while part := client.recv(65536):
            data += part
            longest_s, last_s = max(longest_s, time.monotonic() - last_s), time.monotonic()
        client.close()
        assert proxy.truth()["n_stalls"] == 1
    assert data == CONTENT
    assert longest_s > 0.2


def test_a_slow_line_loses_what_it_cannot_keep(tmp_path: Path) -> None:
    scenario = tmp_path / "slow.toml"
    scenario.write_text(
        '[[fault]]\nkind = "slow_reader"\nat_s = 0\nfor_s = 0.5\n'
        "bytes_per_s = 20000\nbuffer_bytes = 1000\n"
    )
    from firmware_sim.scenario import read_scenario

    plan = read_scenario(scenario).faults
    assert not isinstance(plan, str)
    server = Server(CONTENT, pieces=60, pause_s=0.01)
    with FaultProxy("127.0.0.1", 0, server.address, plan) as proxy:
        client = _connect(proxy)
        data = _read_all(client)
        client.close()
        truth = proxy.truth()
    server.close()
    assert truth["n_slow_bytes"] > 10_000
    assert len(data) == len(CONTENT) - truth["n_slow_bytes"] == truth["n_bytes_out"]


def test_a_client_that_does_not_read_makes_the_server_wait() -> None:
    with _proxied(bytes(30_000_000)) as (_, proxy):
        client = _connect(proxy)
        _until(lambda: proxy.truth()["n_bytes_in"] > 100_000)
        time.sleep(0.2)
        n_in, n_out = proxy.truth()["n_bytes_in"], proxy.truth()["n_bytes_out"]
        assert n_in < 30_000_000  # the rest is the server's
        assert n_in - n_out <= 65_536 + 16_384
        client.close()


def test_frames_lost_by_flipped_bits_are_those_of_damaged_packets() -> None:
    board = Board(Device(SignalOrigin(1, 3, seconds=60.0)))
    with make_server(board, "tcp", speed=0.0) as server:
        target = ("127.0.0.1", int(server.path.rpartition(":")[2]))
        with FaultProxy("127.0.0.1", 0, target, parse_faults("flip:2e-5"), 5) as proxy:
            link = TcpLink("127.0.0.1", int(proxy.address.rpartition(":")[2]))
            items, counters = read_to_end(link)
            link.close()
            n_flipped = proxy.truth()["n_flipped_bits"]
    assert n_flipped > 10
    assert len(frames_of(items)) + counters.n_lost_frames == 6000
    assert 0 < counters.n_lost_frames <= 1.05 * n_flipped + 3
    assert counters.n_bad_crc + counters.n_bad_framing > 0


def test_a_server_that_is_not_there_closes_the_client() -> None:
    server = Server(b"")
    server.close()
    with FaultProxy("127.0.0.1", 0, server.address, parse_faults("")) as proxy:
        client = _connect(proxy)
        assert client.recv(10) == b""
        client.close()
        assert proxy.truth()["n_refused"] == 1


def test_the_program(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    server = Server(CONTENT)
    command = [sys.executable, "-m", "firmware_sim", "proxy", "0", f"tcp:{server.address[1]}"]
    process = subprocess.Popen(
        [*command, "--fault", "flip:1e-4", "--seed", "3", "--truth", str(truth)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert address.startswith("tcp:127.0.0.1:")
    client = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), LIMIT_S)
    data = _read_all(client)
    client.close()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=LIMIT_S)
    server.close()
    assert process.returncode == 0
    assert stderr == ""
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    assert lines[-1]["n_bytes_out"] == len(data) == len(CONTENT)
    assert sum(line.get("n", 1) for line in lines[:-1]) == lines[-1]["n_byte_faults"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["0", "0"], "TARGET: port 0"),
        (["x y", "1"], "LISTEN: write HOST:PORT"),
        (["0", "1", "--fault", "drop:0.1"], "fault 'drop' needs a simulated board"),
        (["0", "1", "--fault", "filp:0.1"], "did you mean 'flip'"),
        (["0", "1", "--seed", "-1"], "--seed must be 0 or more"),
        (["0", "1", "--scenario", "/nowhere/x.toml"], "/nowhere/x.toml"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["proxy", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_a_port_that_is_taken_and_a_fault_that_needs_a_board() -> None:
    with _proxied(b"x") as (server, _), pytest.raises(SourceError, match="cannot listen"):
        FaultProxy(*server.address, server.address, parse_faults("")).start()
    with pytest.raises(ConfigError, match="a connection can have flip"):
        FaultProxy("127.0.0.1", 0, ("127.0.0.1", 1), parse_faults("reboot@1s:1s"))
