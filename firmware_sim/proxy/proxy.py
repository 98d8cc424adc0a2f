"""The proxy itself: it listens, connects on, and lets things go wrong on the way to the client."""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from dataclasses import asdict
from typing import Any

from firmware_sim.cables.address import shown
from firmware_sim.cables.tcp import listen
from firmware_sim.cables.worker import Worker
from firmware_sim.faults import BYTE_KINDS, ByteFaults, FaultPlan
from firmware_sim.faults.schedule import Schedule
from firmware_sim.proxy.lane import MAX_WAITING_BYTES, Connection, Lane
from streamrnn.core.errors import ConfigError, SourceError

#: What can go wrong without knowledge of packets and without a board.
TIMED_KINDS = ("unplug", "stall", "slow_reader")
PROXY_KINDS = (*BYTE_KINDS, *TIMED_KINDS)
MAX_CONNECTIONS = 16
_CONNECT_S = 2.0
_SLOW_TICK_S = 0.02
_MOST_S = 1.0
_MAX_LOG = 8192
_BYTES = ("bytes_in", "bytes_out", "bytes_back", "slow_bytes", "cut_bytes")
_COUNTS = (*_BYTES, "connections", "refused", *(f"{kind}s" for kind in TIMED_KINDS))


class FaultProxy(Worker):
    """Stands between clients and a server; damages what the server says. It runs in a thread.

    What the clients say passes unharmed. Times count from the first byte of the server on.

    Parameters
    ----------
    host, port
        Where it listens; port 0: any that is free.
    target : (str, int)
        Host and port of the server; each client gets a connection of its own.
    plan : FaultPlan
        Faults of `PROXY_KINDS`. ``unplug`` closes all connections and refuses new ones for a while;
        ``stall`` keeps everything back for a while; while ``slow_reader`` lasts, so many bytes a
        second pass, and what `buffer_bytes` cannot hold is lost.
    seed : int

    Attributes
    ----------
    error : BaseException or None
        What ended it, if `stop` did not.

    Raises
    ------
    ConfigError
        A fault that needs a simulated board.
    """

    def __init__(
        self, host: str, port: int, target: tuple[str, int], plan: FaultPlan, seed: int = 0
    ) -> None:
        for fault in plan.faults:
            if fault.kind not in PROXY_KINDS:
                known = ", ".join(PROXY_KINDS)
                raise ConfigError(
                    f"fault {fault.kind!r} needs a simulated board; a connection can have {known}"
                )
        super().__init__("proxy")
        self.error: BaseException | None = None
        self._host, self._port, self._target = host, port, target
        self._plan = plan
        self._faults = ByteFaults(plan, seed)
        self._listener: socket.socket | None = None
        self._connections: list[Connection] = []
        self._start_s: float | None = None
        self._schedule = Schedule()
        self._replug_us = self._stalled_until_us = self._slow_until_us = 0
        self._room, self._bytes_per_us, self._allowed, self._allowed_us = 0, 0.0, 0.0, 0
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._log: deque[dict[str, Any]] = deque(maxlen=_MAX_LOG)

    @property
    def address(self) -> str:
        """``tcp:HOST:PORT`` where it listens."""
        return f"tcp:{shown(self._host, self._port)}"

    def _prepare(self) -> None:
        """Listen, or raise `SourceError`."""
        try:
            self._listen()
        except OSError as error:
            raise SourceError(f"cannot listen on {self.address}: {error.strerror}") from error

    def truth(self) -> dict[str, Any]:
        """Return counts of bytes and of every fault.

        ``n_bytes_in`` came from servers, ``n_bytes_out`` went to clients, ``n_bytes_back`` went the
        other way. When everything has passed,
        n_bytes_out == n_bytes_in - n_lost_bytes + n_inserted_bytes - n_slow_bytes - n_cut_bytes;
        the last are those that were under way when a connection was closed.
        """
        return {
            **{f"n_{key}": n for key, n in self._counts.items()},
            **asdict(self._faults.truth),
        }

    def take_log(self) -> list[dict[str, Any]]:
        """Return the faults since the last call: their kind, time and byte; the last thousands."""
        return [self._log.popleft() for _ in range(len(self._log))]

    # ---- the thread

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as error:
            self.error = error
        finally:
            self._cut_all()
            if self._listener is not None:
                self._listener.close()
                self._listener = None

    def _listen(self) -> None:
        self._listener = listen(self._host, self._port)
        self._port = self._listener.getsockname()[1]

    def _now_us(self) -> int:
        return 0 if self._start_s is None else int((time.monotonic() - self._start_s) * 1e6)

    def _turn(self) -> bool:
        """Wait until something can be done, and do it; False to stop."""
        self._pass_edges(self._now_us())
        now_us = self._now_us()
        readers: dict[int, tuple[Connection, Lane]] = {}
        writers: dict[int, tuple[Connection, Lane]] = {}
        for c in self._connections:
            for lane in (c.to_client, c.to_server):
                if lane.has_room:
                    readers[lane.source.fileno()] = c, lane
                if lane.wants_to_write and (lane is c.to_server or self._lets_pass(now_us)):
                    writers[lane.sink.fileno()] = c, lane
        listeners = [] if self._listener is None else [self._listener.fileno()]
        timeout_s = self._timeout_s(now_us)
        readable, writable, _ = select.select(
            [self._wake_r, *listeners, *readers], list(writers), [], timeout_s
        )
        if self._wake_r in readable:
            return False
        for fd in writable:
            self._write(*writers[fd])
        for fd in readable:
            if fd in readers:
                self._read(*readers[fd])
            else:
                self._accept()
        for c in [c for c in self._connections if c.is_over]:
            self._cut(c)
        return True

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            client, _ = self._listener.accept()
        except OSError:  # gone again already
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            client.close()
            return
        try:
            server = socket.create_connection(self._target, _CONNECT_S)
        except OSError:
            self._counts["refused"] += 1
            client.close()
            return
        self._counts["connections"] += 1
        self._connections.append(Connection(client, server))

    def _read(self, c: Connection, lane: Lane) -> None:
        data = lane.read()
        if lane is c.to_server:
            self._counts["bytes_back"] += len(data)
            lane.waiting += data
            return
        if data and self._start_s is None:
            self._start_s = time.monotonic()
            self._schedule = Schedule(self._plan.of(TIMED_KINDS))
        now_us = self._now_us()
        data = self._damage(data, now_us)
        if now_us < self._slow_until_us:
            n_kept = max(0, min(len(data), self._room - len(lane.waiting)))
            self._counts["slow_bytes"] += len(data) - n_kept
            data = data[:n_kept]
        lane.waiting += data

    def _write(self, c: Connection, lane: Lane) -> None:
        if lane is c.to_server:
            lane.write()
            return
        now_us, n_most = self._now_us(), MAX_WAITING_BYTES
        if now_us < self._slow_until_us:
            n_most = int(self._allowed)
        n_taken = lane.write(n_most)
        self._allowed -= n_taken
        self._counts["bytes_out"] += n_taken

    def _cut(self, c: Connection) -> None:
        self._counts["cut_bytes"] += len(c.to_client.waiting)
        self._connections.remove(c)
        c.close()

    def _cut_all(self) -> None:
        for c in list(self._connections):
            self._cut(c)

    # ---- what goes wrong

    def _damage(self, data: bytes, now_us: int) -> bytes:
        offset = self._counts["bytes_in"]
        self._counts["bytes_in"] += len(data)
        if not data or not self._faults:
            return data
        data = self._faults.apply(data, now_us)
        for kind, n in self._faults.hits:
            self._note(kind, now_us, offset, {"n": n} if n > 1 else {})
        return data

    def _lets_pass(self, now_us: int) -> bool:
        """Return whether clients may get something now."""
        if now_us < self._stalled_until_us:
            return False
        if now_us < self._slow_until_us:
            passed_us, self._allowed_us = now_us - self._allowed_us, now_us
            most = max(1.0, self._bytes_per_us * 1e6 * _SLOW_TICK_S * 2)
            self._allowed = min(self._allowed + passed_us * self._bytes_per_us, most)
            return self._allowed >= 1.0
        return True

    def _timeout_s(self, now_us: int) -> float:
        times = [t for t in (self._replug_us, self._stalled_until_us) if t > now_us]
        if (edge_us := self._schedule.next_us) is not None:
            times.append(edge_us)
        if now_us < self._slow_until_us:
            times.append(now_us + int(_SLOW_TICK_S * 1e6))
        return min([_MOST_S, *((t - now_us) / 1e6 for t in times if t >= now_us)])

    def _pass_edges(self, now_us: int) -> None:
        if self._replug_us and now_us >= self._replug_us:
            self._replug_us = 0
            self._listen()
        while (edge_us := self._schedule.next_us) is not None and edge_us <= now_us:
            time_us, fault = self._schedule.pop()
            self._counts[f"{fault.kind}s"] += 1
            self._note(fault.kind, time_us, self._counts["bytes_in"], {"for_s": fault.for_us / 1e6})
            until_us = now_us + fault.for_us
            if fault.kind == "stall":
                self._stalled_until_us = max(self._stalled_until_us, until_us)
            elif fault.kind == "slow_reader":
                self._slow_until_us = max(self._slow_until_us, until_us)
                self._room, self._bytes_per_us = fault.buffer_bytes, fault.bytes_per_s / 1e6
                self._allowed, self._allowed_us = 0.0, now_us
            else:
                self._unplug(until_us)

    def _unplug(self, until_us: int) -> None:
        """Close everything; what waits for a client that takes it still arrives."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for c in self._connections:
            self._counts["bytes_out"] += c.to_client.write()
        self._cut_all()
        self._replug_us = max(self._replug_us, until_us)

    def _note(self, kind: str, at_us: int, offset: int, more: dict[str, Any]) -> None:
        line = {"type": "fault", "kind": kind, "at_s": at_us / 1e6, "byte": offset}
        self._log.append(line | more)
