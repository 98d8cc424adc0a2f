"""Several boards in one process, and the program's links, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from mosquitto_broker import free_port, running_broker
from sim_host import ENCODER, frames_of, read_to_end, run_program

from streamrnn.core.types import StreamInfo
from streamrnn.sources.serial import SerialLink
from streamrnn.sources.tcp import TcpLink


def _addresses(process: subprocess.Popen[str], n: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(n)]


def test_three_boards_on_tcp_are_three_boards(tmp_path: Path) -> None:
    truth = str(tmp_path / "truth-{n}.jsonl")
    arguments = ["--boards", "3", "--link", "tcp", "--seconds", "2", "--speed", "0"]
    infos: list[StreamInfo] = []
    samples: set[bytes] = set()
    with run_program(*arguments, "--truth", truth) as process:
        addresses = _addresses(process, 3)
        for address in addresses:
            link = TcpLink("127.0.0.1", int(address.rpartition(":")[2]))
            items, _ = read_to_end(link)
            link.close()
            infos += [item for item in items if isinstance(item, StreamInfo)][:1]
            samples.add(frames_of(items).x.tobytes())
        assert process.wait(10.0) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert len(set(addresses)) == len(samples) == 3
    assert [info.name[-2:] for info in infos] == [" 1", " 2", " 3"]
    assert len({info.boot_id for info in infos}) == 3
    for n in (1, 2, 3):
        line = (tmp_path / f"truth-{n}.jsonl").read_text().splitlines()[-1]
        assert json.loads(line)["n_frames_sent"] == 200


def test_two_boards_on_terminals_and_an_end_by_signal(tmp_path: Path) -> None:
    arguments = ["--boards", "2", "--path", str(tmp_path / "tty{n}")]
    with run_program(*arguments) as process:
        paths = _addresses(process, 2)
        assert paths == [str(tmp_path / "tty1"), str(tmp_path / "tty2")]
        link = SerialLink(paths[1])
        link.open()
        link.write(ENCODER.command(1, "DESCRIBE"))
        assert link.read(3.0)
        n_threads = len(os.listdir(f"/proc/{process.pid}/task"))
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=10.0)
        link.close()
    assert process.returncode == 0
    assert stderr == ""
    assert list(tmp_path.iterdir()) == []  # no symbolic link is left
    assert n_threads <= 4


def test_a_program_with_a_client_that_does_not_read_ends_by_signal() -> None:
    arguments = ["--link", "tcp:0", "--speed", "0"]
    with run_program(*arguments) as process:
        (address,) = _addresses(process, 1)
        link = TcpLink("127.0.0.1", int(address.rpartition(":")[2]))
        link.open()
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(5.0) == 0
        link.close()


def test_udp_boards_count_their_ports_up_and_mqtt_boards_their_topics(tmp_path: Path) -> None:
    port = min(free_port(), 60_000)
    with run_program("--boards", "2", "--link", f"udp:{port}") as process:
        addresses = _addresses(process, 2)
    assert addresses == [f"udp:127.0.0.1:{port}", f"udp:127.0.0.1:{port + 1}"]
    with running_broker(tmp_path) as broker:
        link = f"mqtt:127.0.0.1:{broker.port}/glove/{{n}}"
        with run_program("--boards", "2", "--link", link) as process:
            addresses = _addresses(process, 2)
    assert [address[-8:] for address in addresses] == ["/glove/1", "/glove/2"]
