"""A small board on a real pseudo-terminal, independent of the simulator."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import threading
import time
import tty
from pathlib import Path

import numpy as np

from streamrnn.wire.decoder import WireDecoder
from streamrnn.wire.encode import Encoder
from streamrnn.wire.packet import Command, Ping
from streamrnn.wire.schema import ChannelGroup, Hello

RATE_HZ = 100.0


class FakeBoard:
    """Sends frame n as (n, -n); plugged in and out by name.

    Parameters
    ----------
    path : Path
        Symbolic link that stands for the port while the board is plugged in.
    """

    def __init__(self, path: Path, *, answers: bool = True, ok: bool = True) -> None:
        self.path = path
        self.boot_id = "boot-1"
        self.commands: list[Command] = []
        self.next_seq = 0
        self.begin_us = time.perf_counter_ns() // 1000
        self.written_at: list[float] = []
        self._answers = answers
        self._ok = ok
        self._encoder = Encoder()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._fds: tuple[int, int] | None = None
        self.streaming = False

    @property
    def hello(self) -> Hello:
        groups = (ChannelGroup(("a", "b"), "g", "f32", 1.0, 0.0),)
        return Hello("fake", "1.0", self.boot_id, RATE_HZ, groups)

    def plug(self) -> None:
        master, slave = pty.openpty()
        tty.setraw(slave)
        self._fds = master, slave
        temporary = self.path.with_suffix(".new")
        temporary.symlink_to(os.ttyname(slave))
        temporary.replace(self.path)
        self._stop.clear()
        self._thread = threading.Thread(target=self._serve, args=(master,), daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        self.path.unlink()
        self._stop.set()
        assert self._thread is not None
        self._thread.join()
        assert self._fds is not None
        for fd in self._fds:
            os.close(fd)
        self._fds = None

    def reboot(self) -> None:
        """To be called while unplugged."""
        self.boot_id = "boot-2"
        self.next_seq = 0
        self.streaming = False

    def send(self, data: bytes) -> None:
        assert self._fds is not None
        os.write(self._fds[0], data)

    def close(self) -> None:
        if self._fds is not None:
            self.unplug()

    def _serve(self, master: int) -> None:
        decoder = WireDecoder()
        while not self._stop.is_set():
            ready, _, _ = select.select((master,), (), (), 0.002)
            if ready:
                for item in decoder.push(os.read(master, 4096)):
                    if isinstance(item, Command):
                        self.commands.append(item)
                        if self._answers:
                            self._answer(item)
                    elif isinstance(item, Ping) and self._answers:
                        t_us = time.perf_counter_ns() // 1000 - self.begin_us
                        self.send(self._encoder.pong(item.token, self.next_seq, t_us))
            if self.streaming:
                self._send_frames(1)
                time.sleep(0.002)

    def _answer(self, command: Command) -> None:
        if command.name == "DESCRIBE":
            self.send(self._encoder.hello(self.hello, self.next_seq))
        if command.name == "START" and self._ok:
            self.streaming = True
        if command.name == "STOP":
            self.streaming = False
        self.send(self._encoder.ack(command.request_id, self._ok, "" if self._ok else "no sensor"))

    def _send_frames(self, n: int) -> None:
        seq = np.arange(self.next_seq, self.next_seq + n)
        x = np.stack([seq, -seq], axis=1).astype(np.float32)
        t_us = self.next_seq * 10_000
        self.written_at.append(time.monotonic())
        with contextlib.suppress(OSError):
            self.send(self._encoder.data(self.hello, (x,), self.next_seq, t_us))
        self.next_seq += n
