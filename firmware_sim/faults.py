"""Faults on the way from the board to the host, drawn from a seed and counted.

Spec strings, joined by commas: ``drop:0.01`` and ``dup:0.01`` (share of packets lost, and sent
twice), ``flip:1e-5`` (share of bits), ``lose:1e-5`` and ``insert:1e-5`` (share of bytes lost, and
of places where a byte comes in), ``unplug@5s:2s`` (the cable is out from 5 s after the first START
for 2 s; the board runs on), ``reboot@5s:2s`` (the same, but the board loses its power).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from firmware_sim.device import Packet
from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean

RATES = ("drop", "dup", "flip", "lose", "insert")
OUTAGES = ("unplug", "reboot")
_DOMAIN = 0xFA17
_TIME = re.compile(r"(\d+(?:\.\d*)?)(ms|s)")


@dataclass(frozen=True, slots=True)
class Outage:
    """The cable is out for a while.

    Attributes
    ----------
    start_us, duration_us : int
        From the first START on.
    loses_power : bool
        The board boots when it is plugged in again.
    """

    start_us: int
    duration_us: int
    loses_power: bool


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What goes wrong: probabilities by name, and outages in the order of their times."""

    rates: dict[str, float] = field(default_factory=dict)
    outages: tuple[Outage, ...] = ()


def parse_faults(specs: str | Sequence[str]) -> FaultPlan:
    """Return the plan that spec strings ask for.

    Raises
    ------
    ConfigError
        One line naming the spec that makes no sense.
    """
    texts = [specs] if isinstance(specs, str) else specs
    rates: dict[str, float] = {}
    outages: list[Outage] = []
    for spec in (part.strip() for text in texts for part in text.split(",")):
        if not spec:
            continue
        name, _, value = spec.partition(":")
        what, at, start = name.partition("@")
        if what in OUTAGES:
            if not at:
                raise ConfigError(f"fault {spec!r}: write {what}@START:DURATION, as {what}@5s:2s")
            outages.append(Outage(_time_us(spec, start), _time_us(spec, value), what == "reboot"))
        elif what in RATES and not at:
            rates[what] = _share(spec, value)
        else:
            known = (*RATES, *OUTAGES)
            hint = did_you_mean(what, known)
            raise ConfigError(f"unknown fault {spec!r}{hint}; known: {', '.join(known)}")
    outages.sort(key=lambda outage: outage.start_us)
    for first, second in itertools.pairwise(outages):
        if second.start_us < first.start_us + first.duration_us:
            raise ConfigError(f"faults: the outage at {second.start_us / 1e6:g} s overlaps another")
    return FaultPlan(rates, tuple(outages))


def _time_us(spec: str, text: str) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ConfigError(f"fault {spec!r}: {text!r} is no time; write 5s or 500ms")
    value_us = round(float(match[1]) * (1e6 if match[2] == "s" else 1e3))
    if not 0 <= value_us <= 10**13:
        raise ConfigError(f"fault {spec!r}: {text!r} is too long")
    return value_us


def _share(spec: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"fault {spec!r}: the share must be a number in 0..1, got {text!r}")
    return value


@dataclass(slots=True)
class FaultTruth:
    """What really happened, for a test to hold the host's counters to.

    Attributes
    ----------
    n_dropped_packets, n_duplicated_packets : int
    n_flipped_bits, n_lost_bytes, n_inserted_bytes : int
    n_damaged_packets : int
        Copies of packets that did not arrive as they were sent, in one piece.
    n_lost_frames : int
        Frames of which no undamaged copy went out.
    n_duplicate_frames : int
        Undamaged frames behind the first copy of each.
    n_outages, n_outage_frames : int
        Cables pulled, and frames lost by that (counted in `n_lost_frames` too).
    n_overrun_frames : int
        Frames thrown away because nobody read them in time (not in `n_lost_frames`).
    """

    n_dropped_packets: int = 0
    n_duplicated_packets: int = 0
    n_flipped_bits: int = 0
    n_lost_bytes: int = 0
    n_inserted_bytes: int = 0
    n_damaged_packets: int = 0
    n_lost_frames: int = 0
    n_duplicate_frames: int = 0
    n_outages: int = 0
    n_outage_frames: int = 0
    n_overrun_frames: int = 0


class _Places:
    """Positions in an endless row, each hit with one probability."""

    def __init__(self, rng: np.random.Generator, share: float) -> None:
        self._rng = rng
        self._share = share
        self._next = int(rng.geometric(share)) - 1 if share else -1

    def within(self, n: int) -> list[int]:
        """Return the hits among the next `n` positions."""
        if not self._share:
            return []
        hits = []
        while self._next < n:
            hits.append(self._next)
            self._next += int(self._rng.geometric(self._share))
        self._next -= n
        return hits


class Faults:
    """Damages packets on their way out.

    Parameters
    ----------
    plan : FaultPlan
    seed : int
        >= 0.

    Attributes
    ----------
    truth : FaultTruth
    """

    def __init__(self, plan: FaultPlan, seed: int = 0) -> None:
        self.plan = plan
        self.truth = FaultTruth()
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([_DOMAIN, seed])))
        places = [_Places(rng, plan.rates.get(name, 0.0)) for name in RATES]
        self._drop, self._dup, self._flip, self._lose, self._insert = places
        self._rng = rng
        self._is_open = False

    def apply(self, packet: Packet) -> list[tuple[bytes, int]]:
        """Return what becomes of a packet.

        Returns
        -------
        list of (bytes, int)
            Each copy as it goes out, and how many frames arrive by it that had not yet.
        """
        if self._drop.within(1):
            self.truth.n_dropped_packets += 1
            self.truth.n_lost_frames += packet.n_frames
            return []
        n_copies = 1 + len(self._dup.within(1))
        self.truth.n_duplicated_packets += n_copies - 1
        copies: list[tuple[bytes, int]] = []
        n_good = 0
        for _ in range(n_copies):
            data, is_good = self._damage(packet.data)
            self.truth.n_damaged_packets += not is_good
            copies.append((data, packet.n_frames if is_good and not n_good else 0))
            n_good += is_good
        if not n_good:
            self.truth.n_lost_frames += packet.n_frames
        elif n_good > 1:
            self.truth.n_duplicate_frames += packet.n_frames
        return copies

    def cut(self, packet: Packet) -> None:
        """Count a packet that was sent while the cable was out."""
        self.truth.n_lost_frames += packet.n_frames
        self.truth.n_outage_frames += packet.n_frames

    def replug(self) -> None:
        """Forget an unfinished packet: the host starts afresh with the next one."""
        self._is_open = False

    def _damage(self, data: bytes) -> tuple[bytes, bool]:
        """Return a copy as it arrives, and whether a decoder can read it.

        A packet is also lost when the delimiter before it was: the two run together.
        """
        was_open = self._is_open
        flips = self._flip.within(8 * len(data))
        losses = self._lose.within(len(data))
        inserts = self._insert.within(len(data))
        if not (flips or losses or inserts):
            self._is_open = False
            return data, not was_open
        out = bytearray(data)
        for bit in flips:
            out[bit >> 3] ^= 1 << (bit & 7)
        for place in sorted([(p, 0) for p in losses] + [(p, 1) for p in inserts], reverse=True):
            if place[1]:
                out.insert(place[0], int(self._rng.integers(1, 256)))
            else:
                del out[place[0]]
        self.truth.n_flipped_bits += len(flips)
        self.truth.n_lost_bytes += len(losses)
        self.truth.n_inserted_bytes += len(inserts)
        # What stands behind the last delimiter runs into the next packet.
        self._is_open = bool(out) and out[-1] != 0 if out else was_open
        is_good = bytes(out) == data and not was_open
        return bytes(out), is_good
