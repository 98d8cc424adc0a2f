"""A device, its cable and what goes wrong between them: what every link serves."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict
from typing import Any

from firmware_sim.device import Device
from firmware_sim.device.packet import Packet
from firmware_sim.faults import ByteFaults, FaultPlan, PacketFaults
from firmware_sim.faults.hits import generator
from firmware_sim.faults.plan import TIMED_KINDS
from firmware_sim.faults.schedule import Schedule
from firmware_sim.faults.transit import Piece, Transit
from firmware_sim.truth import Reader

#: Bytes that a link asks for at a time when nothing holds it back.
_BATCH_BYTES = 8192
#: Lines of the truth log that are kept for whoever writes it.
_MAX_LOG = 2048


class Board:
    """A `Device` behind a faulty cable. Pure, as the device is.

    Stream time counts from the first START; of a board that prints, from power-up.

    Parameters
    ----------
    device : Device
    faults : FaultPlan, optional
    seed : int
        Of the faults.
    transit_us : float
        Jitter of the way to the host; see `Transit`.

    Attributes
    ----------
    now_us : int
        True time that has passed.
    is_plugged : bool
        The cable is in. While it is out, the board runs on unheard.
    reader : Reader
        What whoever reads every byte must have counted so far.
    plan : FaultPlan
    """

    def __init__(
        self,
        device: Device,
        faults: FaultPlan | None = None,
        seed: int = 0,
        *,
        transit_us: float = 0.0,
    ) -> None:
        self.device = device
        self.plan = faults or FaultPlan()
        self.reader = self._make_reader()
        self.is_plugged = True
        self.now_us = 0
        self._packet_faults = PacketFaults(self.plan, seed)
        self._byte_faults = ByteFaults(self.plan, seed)
        self._is_faultless = not (self._packet_faults or self._byte_faults)
        self._line = Transit(transit_us, seed)
        self._rng = generator(seed, -1 % (1 << 32))
        self._counts = {
            kind: 0 for kind in (*TIMED_KINDS, "outages", "outage_frames", "overrun_frames")
        }
        self._log: deque[dict[str, Any]] = deque(maxlen=_MAX_LOG)
        self._first_start_us: int | None = None
        self._schedule = Schedule()
        self._replug_us: int | None = None

    def _make_reader(self) -> Reader:
        device = self.device
        if device.writer is None:
            return Reader(device.first_index, has_boot_id=bool(device.hello.boot_id))
        from firmware_sim.lines import TextReader  # most boards speak packets

        return TextReader(device.first_index, device.writer.has_seq)

    # ---- the host's side

    def handle(self, data: bytes, now_us: int | None = None) -> None:
        """Take bytes from the host; they are lost while the cable is out.

        `now_us` is the true time, where it is known.
        """
        if not self.is_plugged:
            return
        self.device.handle(data, now_us)
        if self._first_start_us is None and self.device.has_started:
            self._begin_stream()

    def poll(self, now_us: int) -> list[tuple[bytes, int]]:
        """Return what goes out by `now_us`, but nothing beyond the next plugging or unplugging.

        Returns
        -------
        list of (bytes, int)
            Pieces (a copy of a packet each, or text), and how many new frames each brings. Look at
            `is_plugged` behind each call.
        """
        if self._first_start_us is None and self.device.writer is not None:
            self._begin_stream()
        out: list[tuple[bytes, int]] = []
        was_plugged = self.is_plugged
        while was_plugged == self.is_plugged:
            edge_us = self._next_edge_us()
            is_edge = edge_us is not None and edge_us <= now_us
            self.now_us = max(self.now_us, edge_us if is_edge and edge_us is not None else now_us)
            self._advance(out)
            if not is_edge:
                break
            self._pass_edge()
        if self._packet_faults.n_held and self.device.is_finished:
            for packet in self._packet_faults.flush():
                self._put(packet, out)
        return out

    def next_due_us(self) -> int:
        """Return the true time of the next thing that `poll` will do."""
        times = (self.device.next_due_us(), self._next_edge_us(), self._line.next_us)
        return min(time_us for time_us in times if time_us is not None)

    def batch_us(self) -> int:
        """Return a step of time that brings some kilobytes while the board streams."""
        hello = self.device.origin.hello
        frames = max(1, _BATCH_BYTES // (hello.frame_bytes + 24))
        return max(1, int(frames * 1e6 / hello.rate_hz))

    @property
    def is_busy(self) -> bool:
        """True while the passing of time alone brings frames, end markers, a boot or a replug."""
        device = self.device
        if device.writer is not None and not device.is_finished:
            return True  # it asks nobody
        if device.is_streaming or not self.is_plugged or self._line.next_us is not None:
            return True
        if device.uart is not None and device.uart.next_us is not None:
            return True
        return device.is_booting and device.next_due_us() > self.now_us

    @property
    def is_finished(self) -> bool:
        """True when everything has been sent and has arrived."""
        is_over = self.is_plugged and self.device.is_finished and self._line.next_us is None
        return is_over and not self._packet_faults.n_held

    @property
    def can_unplug(self) -> bool:
        """True if the cable will be pulled at some time."""
        return bool(self.plan.outages)

    def overrun(self, n_frames: int) -> None:
        """Count frames that the cable threw away, because nobody took them in time."""
        self._counts["overrun_frames"] += n_frames

    # ---- what really happened

    def truth(self) -> dict[str, Any]:
        """Return the counts of everything; `firmware_sim.truth` says how they hang together.

        Returns
        -------
        dict of str to int or dict
            ``n_frames_sent``, ``n_lost_frames`` and so on; ``host``: the `Counters` that a reader
            of every byte must show.
        """
        device, reader, packets = self.device, self.reader, self._packet_faults
        uart, counts = device.uart, self._counts
        host = asdict(reader.counters)
        host.pop("extra")
        return {
            "n_frames_sent": device.n_frames_sent,
            "n_skipped_frames": device.n_skipped_frames,
            "n_lost_frames": device.n_frames_sent - reader.n_arrived_frames,
            "n_late_frames": reader.n_late_frames,
            "n_duplicate_frames": reader.n_repeated_frames,
            "n_unseen_frames": reader.n_unseen_frames,
            "n_tail_frames": device.next_index - reader.next_index,
            "n_outage_frames": counts["outage_frames"],
            "n_overrun_frames": counts["overrun_frames"],
            "n_fifo_frames": uart.n_dropped_frames if uart else 0,
            "n_fifo_packets": uart.n_dropped_packets if uart else 0,
            "n_dropped_packets": packets.n_dropped,
            "n_duplicated_packets": packets.n_doubled,
            "n_delayed_packets": packets.n_delayed,
            **asdict(self._byte_faults.truth),
            "n_slow_bytes": self._line.n_lost_bytes,
            "n_carried_packets": reader.n_carried_packets,
            "n_damaged_packets": reader.n_carried_packets - reader.n_good_packets,
            "n_invented_packets": reader.n_invented,
            "n_outages": counts["outages"],
            "n_boots": device.n_boots,
            **{f"n_{kind}s": counts[kind] for kind in TIMED_KINDS},
            "host": host,
        }

    def take_log(self) -> list[dict[str, Any]]:
        """Return what happened since the last call, as lines of the truth log, in order.

        Returns
        -------
        list of dict
            ``type`` (fault), ``kind``, ``at_s`` (stream time; None before START), and ``t_us``,
            ``seq`` and ``n_frames`` of the packet that was hit (or the board's clock and next
            index); ``n`` where it was hit several times, ``for_s`` where it lasts. The last
            thousands are kept for whoever is late.
        """
        lines: list[dict[str, Any]] = []
        while self._log:  # one by one: the board may run in another thread
            lines.append(self._log.popleft())
        return lines

    # ---- time

    def _stream_us(self, true_us: int) -> int | None:
        start_us = self._first_start_us
        return None if start_us is None else true_us - start_us

    def _begin_stream(self) -> None:
        """Let stream time begin now."""
        self._first_start_us = self.now_us
        self._schedule = Schedule(self.plan.of(TIMED_KINDS), self.now_us)

    def _next_edge_us(self) -> int | None:
        return self._schedule.next_us if self._replug_us is None else self._replug_us

    def _pass_edge(self) -> None:
        """Let the next thing happen that has its time; while the cable is out, that is a replug."""
        if self._replug_us is not None:
            self._replug_us = None
            self.is_plugged = True
            self.reader.resync()
            return
        _, fault = self._schedule.pop()
        self._counts[fault.kind] += 1
        self._note(fault.kind, None, {"for_s": fault.for_us / 1e6} if fault.for_us else {})
        now_us, device = self.now_us, self.device
        if fault.kind == "stall":
            self._line.stall(now_us, fault.for_us)
        elif fault.kind == "slow_reader":
            self._line.slow_down(now_us, fault.for_us, fault.buffer_bytes, fault.bytes_per_s)
        elif fault.kind == "brownout":
            device.brown_out(now_us, fault.for_us, float(self._rng.random()))
        elif fault.kind == "panic":
            device.panic(now_us, float(self._rng.random()))
        elif fault.kind == "reboot":
            device.reboot(now_us, fault.for_us)
        if fault.pulls_cable:
            self._counts["outages"] += 1
            self.is_plugged = False
            self._replug_us = now_us + fault.for_us
            for piece in self._line.cut():
                self._counts["outage_frames"] += piece.packet.n_frames

    # ---- packets

    def _advance(self, out: list[tuple[bytes, int]]) -> None:
        """Let the device and the line do what they do by `now_us`."""
        packets = self.device.poll_packets(self.now_us)
        if not self.is_plugged:
            self._counts["outage_frames"] += sum(packet.n_frames for packet in packets)
            return
        if self._is_faultless and self._line.is_direct(self.now_us):
            take = self.reader.take
            for packet in packets:
                data = packet.sent
                out.append((data, take(data, packet)))
            return
        for packet in packets:
            if self._packet_faults:
                for copy in self._packet_faults.apply(packet, self._stream_us(packet.at_us)):
                    self._put(copy, out)
                self._note_hits(self._packet_faults.hits, packet)
            else:
                self._put(packet, out)
        for piece in self._line.take(self.now_us):
            out.append((piece.data, self.reader.take(piece.data, piece.packet)))

    def _put(self, packet: Packet, out: list[tuple[bytes, int]]) -> None:
        """Put a packet on the line."""
        data = packet.sent
        if self._byte_faults:
            data = self._byte_faults.apply(data, self._stream_us(packet.at_us))
            self._note_hits(self._byte_faults.hits, packet)
        if self._line.is_direct(packet.at_us):
            out.append((data, self.reader.take(data, packet)))
        else:
            self._line.push(Piece(data, packet), packet.at_us)

    # ---- the log

    def _note_hits(self, hits: list[tuple[str, int]], packet: Packet) -> None:
        for kind, n in hits:
            self._note(kind, packet, {"n": n} if n > 1 else {})

    def _note(self, kind: str, packet: Packet | None, more: dict[str, Any]) -> None:
        at_us = self._stream_us(self.now_us if packet is None else packet.at_us)
        line = {
            "type": "fault",
            "kind": kind,
            "at_s": None if at_us is None else at_us / 1e6,
            "t_us": self.device.clock_us if packet is None else packet.t_us,
            "seq": self.device.next_seq if packet is None else packet.seq,
            "n_frames": 0 if packet is None else packet.n_frames,
        }
        self._log.append(line | more)
