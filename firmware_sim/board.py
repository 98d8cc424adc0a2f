"""A device, its cable and what goes wrong between them: what every link serves."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from firmware_sim.device import Device
from firmware_sim.faults import FaultPlan, Faults

#: Bytes that a link asks for at a time when nothing holds it back.
_BATCH_BYTES = 8192


class Board:
    """A `Device` behind a faulty cable. Pure, as the device is.

    Parameters
    ----------
    device : Device
    faults : FaultPlan, optional
    seed : int
        Of the faults.

    Attributes
    ----------
    now_us : int
        True time that has passed.
    is_plugged : bool
        The cable is in. While it is out, the board runs on unheard.
    """

    def __init__(self, device: Device, faults: FaultPlan | None = None, seed: int = 0) -> None:
        self.device = device
        self.faults = Faults(faults or FaultPlan(), seed)
        self.is_plugged = True
        self._outages = list(self.faults.plan.outages)
        self._first_start_us: int | None = None
        self._edge_us: int | None = None
        self.now_us = 0

    def handle(self, data: bytes) -> None:
        """Take bytes from the host; they are lost while the cable is out."""
        if not self.is_plugged:
            return
        self.device.handle(data)
        if self._first_start_us is None and self.device.has_started:
            self._first_start_us = self.now_us
            self._plan_edge()

    def poll(self, now_us: int) -> list[tuple[bytes, int]]:
        """Return what goes out by `now_us`, but nothing beyond the next plugging or unplugging.

        Returns
        -------
        list of (bytes, int)
            Pieces, and how many new frames each brings. Look at `is_plugged` behind each call.
        """
        is_edge = self._edge_us is not None and self._edge_us <= now_us
        until_us = self._edge_us if is_edge and self._edge_us is not None else now_us
        self.now_us = max(self.now_us, until_us)
        out: list[tuple[bytes, int]] = []
        for packet in self.device.poll_packets(self.now_us):
            if self.is_plugged:
                out += self.faults.apply(packet)
            else:
                self.faults.cut(packet)
        if is_edge:
            self._pass_edge()
        return out

    def next_due_us(self) -> int:
        """Return the true time of the next thing that `poll` will do."""
        due_us = self.device.next_due_us()
        return due_us if self._edge_us is None else min(due_us, self._edge_us)

    def batch_us(self) -> int:
        """Return a step of time that brings some kilobytes while the board streams."""
        hello = self.device.origin.hello
        frames = max(1, _BATCH_BYTES // (hello.frame_bytes + 24))
        return max(1, int(frames * 1e6 / hello.rate_hz))

    @property
    def is_busy(self) -> bool:
        """True while the passing of time alone brings frames, end markers or a replug."""
        return self.device.is_streaming or not self.is_plugged

    @property
    def is_finished(self) -> bool:
        """True when everything has been sent and no outage is left that could be."""
        return self.is_plugged and self.device.is_finished

    @property
    def can_unplug(self) -> bool:
        """True if the cable will be pulled at some time."""
        return bool(self.faults.plan.outages)

    def overrun(self, n_frames: int) -> None:
        """Count frames that the cable threw away, because nobody took them in time."""
        self.faults.truth.n_overrun_frames += n_frames

    def truth(self) -> dict[str, Any]:
        """Return counts of frames sent and of every fault."""
        return {"n_frames_sent": self.device.n_frames_sent, **asdict(self.faults.truth)}

    def _plan_edge(self) -> None:
        self._edge_us = None
        if self._outages and self._first_start_us is not None:
            self._edge_us = self._first_start_us + self._outages[0].start_us

    def _pass_edge(self) -> None:
        outage = self._outages[0]
        if self.is_plugged:
            self.is_plugged = False
            self.faults.truth.n_outages += 1
            self._edge_us = self.now_us + outage.duration_us
            return
        self.is_plugged = True
        self.faults.replug()
        if outage.loses_power:
            self.device.reboot(self.now_us)
        del self._outages[0]
        self._plan_edge()
