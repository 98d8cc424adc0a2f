"""The firmware of the simulated board: a state machine without threads, clocks or cables.

Time comes in as an argument, bytes go in and out. What it says is in docs/wire.md.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from dataclasses import dataclass

from firmware_sim.fetch import Fetcher
from firmware_sim.origin import Origin
from streamrnn.core.types import Marker
from streamrnn.wire.encode import Encoder, frame_packet
from streamrnn.wire.packet import Command, PacketType, Ping
from streamrnn.wire.reference import ReferenceDecoder
from streamrnn.wire.schema import Hello

#: HELLO before START, and after it, so that a listener can always join.
HELLO_IDLE_US = 1_000_000
HELLO_STREAMING_US = 5_000_000
#: The end marker is said this often, this far apart, in case one is lost.
N_END_MARKERS = 3
END_MARKER_US = 50_000
#: A request that comes again within this time is a retry; later, another host may count anew.
RETRY_US = 2_000_000
#: Packets a second that a board sends when it may choose.
_PACKETS_PER_S = 100.0


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet on its way out.

    Attributes
    ----------
    data : bytes
        Framed, with its delimiter.
    kind : PacketType
    n_frames : int
        Frames in it; 0 unless it is DATA.
    """

    data: bytes
    kind: PacketType
    n_frames: int = 0


class Device:
    """A board that streams the frames of an origin.

    Parameters
    ----------
    origin : Origin
    frames_per_packet : int, optional
        Most frames in one DATA packet; by default as many as make about 100 packets a second.
    drift_ppm : float
        How much faster the board's clock runs than true time, parts per million.

    Attributes
    ----------
    truth : list of Marker
        Label boundaries that were sent, on the clock of the frames.
    n_frames_sent : int
        Since it was made.

    Notes
    -----
    `now_us` is true time, microseconds, never falling; the board is switched on at 0. Its own clock
    starts at each boot and runs with its drift. The frames of an origin that keeps its time (a
    recording) carry the recorded times, and are sent at the recorded pace.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        frames_per_packet: int | None = None,
        drift_ppm: float = 0.0,
    ) -> None:
        if frames_per_packet is not None and frames_per_packet < 1:
            raise ValueError(f"frames_per_packet must be 1 or more, got {frames_per_packet}")
        if not abs(drift_ppm) <= 100_000:
            raise ValueError(f"drift_ppm must lie in -100000..100000, got {drift_ppm}")
        self.origin = origin
        self.truth: list[Marker] = []
        self.n_frames_sent = 0
        self._wanted_k = frames_per_packet
        self._rate_ppb = 1_000_000_000 + round(drift_ppm * 1000.0)
        self._encoder = Encoder()
        self._n_boots = 0
        self._make_fetcher()
        self._boot(0)

    def _make_fetcher(self) -> None:
        hello = self.origin.hello
        k = self._wanted_k or round(hello.rate_hz / _PACKETS_PER_S)
        self._fetcher = Fetcher(self.origin, min(max(k, 1), hello.max_frames))

    def _boot(self, now_us: int) -> None:
        self._decoder = ReferenceDecoder()
        self._last: tuple[int, str, int] | None = None
        self._answer = (True, "")
        self._replies: deque[Packet] = deque()
        self._boot_us = now_us
        self._clock_us = 0
        #: What the board's clock showed when the origin's time 0 was due; None before START.
        self._pace_us: int | None = None
        self._is_streaming = False
        self._n_ends = N_END_MARKERS
        self._next_end_us = 0
        self._next_hello_us = 0
        self._first_seq = self._fetcher.next_seq if self._n_boots else 0

    def reboot(self, now_us: int) -> None:
        """Lose power and boot: `seq`, clock and boot id start anew; the origin goes on."""
        self._n_boots += 1
        self._boot(now_us)

    @property
    def hello(self) -> Hello:
        """What the board says of itself now."""
        hello = self.origin.hello
        if not self._n_boots:
            return hello
        return dataclasses.replace(hello, boot_id=f"{hello.boot_id}+{self._n_boots}")

    @property
    def next_seq(self) -> int:
        """Index of the next frame in this boot."""
        return self._fetcher.next_seq - self._first_seq

    @property
    def has_started(self) -> bool:
        """True from the first START of this boot."""
        return self._pace_us is not None

    @property
    def is_streaming(self) -> bool:
        """True while frames or end markers are to be sent."""
        return self._is_streaming or self._n_ends < N_END_MARKERS

    @property
    def is_finished(self) -> bool:
        """True when the origin is over and every end marker has been sent."""
        return self.has_started and self._fetcher.is_over and not self.is_streaming

    # ---- in

    def handle(self, data: bytes) -> None:
        """Take bytes from the host; the answers come with the next `poll`."""
        for item in self._decoder.push(data):
            if isinstance(item, Command):
                self._obey(item)
            elif isinstance(item, Ping):
                pong = self._encoder.pong(item.token, self.next_seq, self._stamp_us())
                self._replies.append(Packet(pong, PacketType.PONG))

    def _obey(self, command: Command) -> None:
        """Act on a command once, and answer it however often it is sent."""
        last, clock_us = self._last, self._clock_us
        is_retry = last is not None and last[:2] == (command.request_id, command.name)
        if last is None or not is_retry or clock_us - last[2] > RETRY_US:
            self._answer = self._act(command)
        self._last = (command.request_id, command.name, clock_us)
        ack = self._encoder.ack(command.request_id, *self._answer, self.next_seq, self._stamp_us())
        self._replies.append(Packet(ack, PacketType.ACK))
        if command.name == "DESCRIBE":
            self._next_hello_us = self._clock_us

    def _act(self, command: Command) -> tuple[bool, str]:
        if command.name == "START":
            self._start()
        elif command.name == "STOP":
            self._is_streaming = False
        elif command.name == "SET_RATE":
            return self._set_rate(command.args.get("rate_hz"))
        return True, ""

    def _start(self) -> None:
        if self._is_streaming:
            return
        if self._pace_us is None:
            self._next_hello_us = self._clock_us
        self._pace_us = self._clock_us - self._fetcher.next_us
        if self._fetcher.is_over:
            self._announce_end()
        else:
            self._is_streaming = True

    def _set_rate(self, rate_hz: object) -> tuple[bool, str]:
        if isinstance(rate_hz, bool) or not isinstance(rate_hz, int | float):
            return False, "SET_RATE needs a number rate_hz"
        if rate_hz == self.origin.hello.rate_hz:
            return True, ""
        if self.n_frames_sent or self.has_started:
            return False, "the rate can only be set before START"
        if not self.origin.set_rate(rate_hz):
            return False, f"this board cannot do {rate_hz:g} Hz"
        self._make_fetcher()
        self._next_hello_us = self._clock_us
        return True, ""

    # ---- out

    def poll(self, now_us: int) -> bytes:
        """Return everything due by `now_us`."""
        return b"".join(packet.data for packet in self.poll_packets(now_us))

    def poll_packets(self, now_us: int) -> list[Packet]:
        """Return the packets due by `now_us`, in the order of their times."""
        until_us = max((now_us - self._boot_us) * self._rate_ppb // 1_000_000_000, self._clock_us)
        packets = list(self._replies)
        self._replies.clear()
        while (due_us := self._due_us()) <= until_us:
            # A late poll must not let HELLOs pile up: the clock shows each thing's own time.
            self._clock_us = max(self._clock_us, due_us)
            if self._next_hello_us <= due_us:
                packets.append(self._say_hello())
            elif self._is_streaming:
                packets += self._send()
            else:
                packets.append(self._say_end())
        self._clock_us = until_us
        return packets

    def next_due_us(self) -> int:
        """Return the true time at which `poll` will have something."""
        if self._replies:
            return self._boot_us + -(-self._clock_us * 1_000_000_000 // self._rate_ppb)
        return self._boot_us + -(-self._due_us() * 1_000_000_000 // self._rate_ppb)

    def _due_us(self) -> int:
        due_us = self._next_hello_us
        if self._is_streaming:
            assert self._pace_us is not None
            due_us = min(due_us, self._pace_us + self._fetcher.due_us)
        elif self._n_ends < N_END_MARKERS:
            due_us = min(due_us, self._next_end_us)
        return due_us

    def _stamp_us(self) -> int:
        """Return the board's clock; that of a recording from START on."""
        if self._pace_us is None or not self.origin.keeps_time:
            return self._clock_us
        return max(self._clock_us - self._pace_us + self._fetcher.base_us, 0)

    def _say_hello(self) -> Packet:
        idle = self._pace_us is None
        self._next_hello_us = self._clock_us + (HELLO_IDLE_US if idle else HELLO_STREAMING_US)
        data = self._encoder.hello(self.hello, self.next_seq, self._stamp_us())
        return Packet(data, PacketType.HELLO)

    def _send(self) -> list[Packet]:
        """Return the next DATA packet and the label boundaries before it, or the end."""
        assert self._pace_us is not None
        shift_us = 0 if self.origin.keeps_time else self._pace_us
        cut = self._fetcher.take()
        packets: list[Packet] = []
        seq = cut.seq - self._first_seq
        for marker in cut.markers:
            sent = dataclasses.replace(marker, t_us=marker.t_us + shift_us)
            self.truth.append(sent)
            payload = {"kind": "label", "label": sent.label, "phase": sent.phase}
            data = self._encoder.event(payload, seq, sent.t_us)
            packets.append(Packet(data, PacketType.EVENT))
        if cut.n_frames:
            data = frame_packet(
                PacketType.DATA,
                cut.payload,
                seq=seq,
                t_us=cut.t_us + shift_us,
                schema=self.origin.hello.schema_id,
            )
            packets.append(Packet(data, PacketType.DATA, cut.n_frames))
            self.n_frames_sent += cut.n_frames
        if self._fetcher.is_over:
            self._is_streaming = False
            self._announce_end()
        return packets

    def _announce_end(self) -> None:
        self._n_ends = 0
        self._next_end_us = self._clock_us

    def _say_end(self) -> Packet:
        self._n_ends += 1
        self._next_end_us = self._clock_us + END_MARKER_US
        data = self._encoder.event({"kind": "end"}, self.next_seq, self._stamp_us())
        return Packet(data, PacketType.EVENT)
