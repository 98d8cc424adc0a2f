"""A real mosquitto for a test."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Broker:
    """A broker on a port of its own; may be stopped and started again.

    Parameters
    ----------
    folder : Path
        For its configuration.
    more : str
        Lines of the configuration.
    """

    def __init__(self, folder: Path, more: str = "allow_anonymous true\n") -> None:
        program = shutil.which(
            "mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
        )
        if program is None:
            pytest.skip("mosquitto is not installed: nothing of MQTT is tested")
        self.program = program
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\npersistence false\nlog_dest none\n{more}"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen([self.program, "-c", str(self.config)])
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
            except OSError:
                assert self._process.poll() is None, "mosquitto ended"
                time.sleep(0.01)
            else:
                return
        pytest.fail("mosquitto does not answer")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
