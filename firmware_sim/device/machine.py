"""The firmware of the simulated board: a state machine without threads, clocks or cables.

Time comes in as an argument, bytes go in and out. What it says is in docs/wire.md.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import TYPE_CHECKING, Any

from firmware_sim.device.clock import DriftingClock, Jitter
from firmware_sim.device.fetch import Fetcher
from firmware_sim.device.hardware import Hardware
from firmware_sim.device.packer import Packer
from firmware_sim.device.packet import Packet
from firmware_sim.device.requests import Requests
from firmware_sim.device.texts import PANIC
from firmware_sim.device.uart import Uart
from firmware_sim.origins.origin import Origin
from streamrnn.core.types import Marker
from streamrnn.wire.encode import Encoder
from streamrnn.wire.packet import DELIMITER, Command, PacketType, Ping, frame_time_us
from streamrnn.wire.schema import Hello

if TYPE_CHECKING:
    from firmware_sim.lines.forms import LineWriter

#: HELLO before START, and after it, so that a listener can always join.
HELLO_IDLE_US = 1_000_000
HELLO_STREAMING_US = 5_000_000
#: The end marker is said this often, this far apart, in case one is lost.
N_END_MARKERS = 3
END_MARKER_US = 50_000
#: A board that says no HELLO says it in ages.
_NEVER_US = 1 << 62
#: Packets a second that a board sends when it may choose.
_PACKETS_PER_S = 100.0
#: Label boundaries that are remembered.
_MAX_TRUTH = 8192
_HELLO, _DATA = PacketType.HELLO, PacketType.DATA


class Device:
    """A board that streams the frames of an origin.

    Parameters
    ----------
    origin : Origin
    writer : LineWriter, optional
        It prints lines instead of packets: it streams from power-up, hears nothing, and says
        neither labels nor the end.
    **hardware
        What it is made of; see `Hardware`.

    Attributes
    ----------
    truth : list of Marker
        Label boundaries that were sent, on the clock of the frames: the last some thousands.
    n_frames_sent : int
        Frames that the firmware sampled and numbered since it was made.
    n_skipped_frames : int
        Frames missing in the origin itself (a recording with losses).
    n_boots : int
        Times that it booted again.
    first_index, next_index : int
        Index over all boots of the stream's first frame, and behind the last that was sent.
    uart : Uart or None
    writer : LineWriter or None

    Notes
    -----
    `now_us` is true time, microseconds, never falling; the board is switched on at 0. Its own clock
    starts at each boot and runs with its drift. The frames of an origin that keeps its time (a
    recording) carry the recorded times, and are sent at the recorded pace.
    """

    def __init__(
        self,
        origin: Origin,
        writer: LineWriter | None = None,
        **hardware: Any,
    ) -> None:
        made_of = Hardware(**hardware)
        self.origin = origin
        self.writer = writer
        self.truth: list[Marker] = []
        self.n_frames_sent = 0
        self.n_skipped_frames = 0
        self.n_boots = 0
        self.uart = Uart(made_of.baud, made_of.fifo_bytes) if made_of.baud else None
        self._wanted_k = made_of.frames_per_packet if writer is None else 1
        self._boot_delay_us = made_of.boot_us
        self._banner = made_of.banner
        self._clock = DriftingClock(made_of.drift_ppm, made_of.wander_ppm, made_of.seed)
        self._jitter = Jitter(made_of.jitter_us, made_of.seed) if made_of.jitter_us else None
        self._encoder = Encoder()
        self._make_fetcher()
        #: `seq` of this boot's first frame, in the origin, and of the stream's.
        self._first_seq = 0
        self.first_index = self.next_index = self._fetcher.next_seq
        self._now_us = 0
        self._begin(0)

    def _make_fetcher(self) -> None:
        hello = self.origin.hello
        k = self._wanted_k or round(hello.rate_hz / _PACKETS_PER_S)
        self._k = min(max(k, 1), hello.max_frames)
        self._fetcher = Fetcher(self.origin, self._k)

    def _make_packer(self) -> None:
        self._schema = self.origin.hello.schema_id
        is_steady = self._jitter is None
        self._packer: Packer | LineWriter = self.writer or Packer(
            self._fetcher, self._k, self._schema, is_steady=is_steady
        )

    def _begin(self, power_us: int) -> None:
        """Forget everything; the power is on from `power_us`."""
        self._requests = Requests(self._act)
        self._replies: deque[Packet] = deque()
        self._make_packer()
        self._power_us = power_us
        self._clock.restart(power_us)
        self._clock_us = 0
        self._last_t_us = 0
        self._has_greeted = False
        self._is_up = False
        #: What the board's clock showed when the origin's time 0 was due; None before START.
        self._pace_us: int | None = None
        self._is_streaming = False
        self._n_ends = N_END_MARKERS
        self._next_end_us = 0
        self._next_hello_us = self._boot_delay_us

    def reboot(self, now_us: int, dark_us: int = 0) -> None:
        """Lose power for a while, and boot: `seq`, clock and boot id start anew.

        The origin waits meanwhile. What the UART had not sent is lost.
        """
        if self.uart is not None:
            self.uart.cut(now_us)
        self.n_boots += 1
        self._first_seq = self._fetcher.next_seq
        self._begin(now_us + dark_us)

    def brown_out(self, now_us: int, dark_us: int, where: float) -> None:
        """Lose power in the middle of a packet, for a while, and boot.

        Parameters
        ----------
        now_us, dark_us : int
            When, and for how long.
        where : float
            0..1, where the packet is cut when no UART knows that.
        """
        cut = self._cut(now_us, where)
        self.reboot(now_us, dark_us)
        self._replies.extend(cut)

    def panic(self, now_us: int, where: float) -> None:
        """Crash in the middle of a packet, print why, and boot; see `brown_out`."""
        cut = self._cut(now_us, where)
        self.reboot(now_us)
        self._replies.extend([*cut, Packet(PANIC, None, at_us=now_us)])

    def _cut(self, now_us: int, where: float) -> list[Packet]:
        """Return the packet that is being sent, cut."""
        if self.uart is not None:
            packet = self.uart.cut(now_us)
            return [] if packet is None else [packet]
        if not self._is_streaming:
            return []
        packets = self._send()
        # Of what goes out together, the last is cut; without a UART all others are out at once.
        last = packets.pop() if packets else None
        if last is not None:
            n_sent = 1 + int(where * (len(last.data) - 2))
            packets.append(last._replace(n_sent=n_sent))
        return packets

    @property
    def hello(self) -> Hello:
        """What the board says of itself now."""
        hello = self.origin.hello
        if not self.n_boots:
            return hello
        # Readers cut it at 64 characters, and must see the difference.
        return dataclasses.replace(hello, boot_id=f"{hello.boot_id[:48]}+{self.n_boots}")

    @property
    def next_seq(self) -> int:
        """Index of the next frame in this boot."""
        return self._fetcher.next_seq - self._first_seq

    @property
    def clock_us(self) -> int:
        """What the board's clock shows, as it stamps its packets."""
        return self._stamp_us()

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
        if not self.has_started or not self._fetcher.is_over or self.is_streaming:
            return False
        return self.uart is None or self.uart.next_us is None

    @property
    def is_booting(self) -> bool:
        """True from a loss of power to the first HELLO."""
        return not self._is_up

    # ---- in

    def handle(self, data: bytes, now_us: int | None = None) -> None:
        """Take bytes from the host; the answers come with the next `poll`.

        A PONG carries the board's clock at `now_us`, true time, where that is known: links that run
        in real time poll seldom, and read when something comes.
        """
        if self.writer is not None:
            return
        if self._now_us < self._power_us or self._clock_us < self._boot_delay_us:
            return
        for item in self._requests.read(data, self._clock_us):
            t_us = self._stamp_us()
            if isinstance(item, Ping):
                if now_us is not None:
                    behind_us = self._clock.board_us(max(now_us, self._now_us)) - self._clock_us
                    t_us += max(0, behind_us)
                pong = self._encoder.pong(item.token, self.next_seq, t_us)
                self._replies.append(self._packet(pong, PacketType.PONG, t_us))
                continue
            request_id = item.command.request_id
            ack = self._encoder.ack(request_id, item.ok, item.message, self.next_seq, t_us)
            self._replies.append(self._packet(ack, PacketType.ACK, t_us))
            if item.command.name == "DESCRIBE":
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
        self._make_packer()
        self._next_hello_us = self._clock_us
        return True, ""

    # ---- out

    def poll(self, now_us: int) -> bytes:
        """Return everything due by `now_us`."""
        return b"".join(packet.sent for packet in self.poll_packets(now_us))

    def poll_packets(self, now_us: int) -> list[Packet]:
        """Return the packets that have left by `now_us`, in the order of their times."""
        self._now_us = now_us = max(now_us, self._now_us)
        packets = list(self._replies)
        self._replies.clear()
        if now_us >= self._power_us:
            if not self._has_greeted:
                self._has_greeted = True
                if self._banner:
                    packets.append(self._packet(self._banner, None, 0))
            self._act_until(max(self._clock.board_us(now_us), self._clock_us), packets)
        if self.uart is None:
            return packets
        for packet in packets:
            if packet.n_sent:
                continue
            self.uart.offer(packet)
        return [p for p in packets if p.n_sent] + self.uart.take(now_us)

    def _act_until(self, until_us: int, packets: list[Packet]) -> None:
        """Do what is due by `until_us`, board time."""
        while (due_us := self._due_us()) <= until_us:
            # A late poll must not let HELLOs pile up: the clock shows each thing's own time.
            self._clock_us = max(self._clock_us, due_us)
            if self._next_hello_us <= due_us:
                packets += self._say_hello()
            elif self._is_streaming:
                packets += self._send()
            else:
                packets.append(self._say_end())
        self._clock_us = until_us

    def next_due_us(self) -> int:
        """Return the true time at which `poll` will have something."""
        if self._replies:
            return self._now_us
        if not self._has_greeted and self._banner:
            due_us = self._power_us
        else:
            due_us = self._clock.true_us(self._due_us())
        if self.uart is None or self.uart.next_us is None:
            return due_us
        return min(due_us, self.uart.next_us)

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

    def _packet(
        self,
        data: bytes,
        kind: PacketType | None,
        t_us: int,
        seq: int | None = None,
        n_frames: int = 0,
    ) -> Packet:
        seq = self.next_seq if seq is None else seq
        return Packet(
            data,
            kind,
            n_frames,
            seq,
            t_us,
            self._clock.true_us(self._clock_us),
            self.n_boots,
            self._first_seq + seq,
            self._schema if kind is _HELLO or kind is _DATA else 0,
        )

    def _say_hello(self) -> list[Packet]:
        if self.writer is not None:
            # It begins to print where another board introduces itself.
            self._is_up = True
            self._next_hello_us = _NEVER_US
            self._start()
            return []
        idle = self._pace_us is None
        self._next_hello_us = self._clock_us + (HELLO_IDLE_US if idle else HELLO_STREAMING_US)
        t_us = self._stamp_us()
        data = self._encoder.hello(self.hello, self.next_seq, t_us)
        packets = [self._packet(data, _HELLO, t_us)]
        if not self._is_up:
            self._is_up = True
            if self.n_boots or self._banner:
                # What the line holds from before the boot must not spoil the first packet.
                packets.insert(0, self._packet(DELIMITER, None, t_us))
        return packets

    def _send(self) -> list[Packet]:
        """Return the next DATA packet and the label boundaries before it, or the end."""
        assert self._pace_us is not None
        shift_us = 0 if self.origin.keeps_time else self._pace_us
        cut = self._fetcher.take()
        packets: list[Packet] = []
        seq = cut.seq - self._first_seq
        for marker in cut.markers:
            sent = dataclasses.replace(marker, t_us=marker.t_us + shift_us)
            self._note(sent)
            if self.writer is not None:
                continue
            payload = {"kind": "label", "label": sent.label, "phase": sent.phase}
            data = self._encoder.event(payload, seq, sent.t_us)
            packets.append(self._packet(data, PacketType.EVENT, sent.t_us, seq))
        if cut.n_frames:
            t_us = cut.t_us + shift_us
            if self._jitter is not None:
                t_us = max(t_us + self._jitter.next_us(), self._last_t_us)
                behind = cut.n_frames - 1
                self._last_t_us = frame_time_us(t_us, behind, self.origin.hello.rate_hz)
            data = self._packer.pack(cut, seq, t_us)
            packets.append(self._packet(data, _DATA, t_us, seq, cut.n_frames))
            self.n_frames_sent += cut.n_frames
            self.n_skipped_frames += cut.seq - self.next_index
            self.next_index = cut.seq + cut.n_frames
        if self._fetcher.is_over:
            self._is_streaming = False
            self._announce_end()
        return packets

    def _note(self, marker: Marker) -> None:
        self.truth.append(marker)
        if len(self.truth) > _MAX_TRUTH:
            del self.truth[: _MAX_TRUTH // 2]

    def _announce_end(self) -> None:
        self._n_ends = 0 if self.writer is None else N_END_MARKERS
        self._next_end_us = self._clock_us

    def _say_end(self) -> Packet:
        self._n_ends += 1
        self._next_end_us = self._clock_us + END_MARKER_US
        t_us = self._stamp_us()
        data = self._encoder.event({"kind": "end"}, self.next_seq, t_us)
        return self._packet(data, PacketType.EVENT, t_us)._replace(is_end=True)
