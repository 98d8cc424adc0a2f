"""What happens to bytes, whatever they mean: flip, lose, insert, burst, nul."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from firmware_sim.faults.hits import Hits, generator
from firmware_sim.faults.plan import BYTE_KINDS, Fault, FaultPlan


@dataclass(slots=True)
class ByteTruth:
    """What was done to bytes. What cancelled out (a bit flipped twice) was not done.

    Attributes
    ----------
    n_byte_faults : int
        Faults that hit: each flip, each burst, each run lost or inserted.
    n_flipped_bits, n_lost_bytes, n_inserted_bytes : int
        By all of them together.
    """

    n_byte_faults: int = 0
    n_flipped_bits: int = 0
    n_lost_bytes: int = 0
    n_inserted_bytes: int = 0


class ByteFaults:
    """Damages a stream of bytes without knowledge of packets.

    How the stream is cut into pieces changes nothing, except for faults that come at times.

    Parameters
    ----------
    plan : FaultPlan
        Faults of other kinds are not looked at.
    seed : int
        >= 0.

    Attributes
    ----------
    truth : ByteTruth
    hits : list of (str, int)
        Kinds, and how many faults of each began in the last piece. Empty when they cancelled out.
    """

    def __init__(self, plan: FaultPlan, seed: int = 0) -> None:
        self.truth = ByteTruth()
        self.hits: list[tuple[str, int]] = []
        # Where, and what: two rows of numbers, so that pieces of any size use the same ones.
        self._faults = [
            (fault, Hits(fault, generator(seed, 2 * index)), generator(seed, 2 * index + 1))
            for index, fault in enumerate(plan.faults)
            if fault.kind in BYTE_KINDS
        ]
        # What a fault that began in an earlier piece still has to do.
        self._flips: list[int] = []
        self._n_to_lose = 0

    def __bool__(self) -> bool:
        """Return whether there is anything to do at all."""
        return bool(self._faults)

    def apply(self, data: bytes, stream_us: int | None = None) -> bytes:
        """Return what becomes of the next bytes: `data` itself when nothing does.

        Parameters
        ----------
        data : bytes
        stream_us : int, optional
            When they pass, microseconds from the first START (or, where nobody knows of one, from
            the first byte) on. Faults that come at times, or in a stretch of time, need it.
        """
        self.hits = []
        n = len(data)
        flips, self._flips = self._flips, []
        lost = set(range(min(self._n_to_lose, n)))
        self._n_to_lose -= len(lost)
        inserts: list[tuple[int, bytes]] = []
        for fault, hits, rng in self._faults:
            places = hits.within(8 * n if fault.kind == "flip" else n, stream_us)
            if not places:
                continue
            self.hits.append((fault.kind, len(places)))
            for place in places:
                if fault.kind == "flip":
                    flips.append(place)
                elif fault.kind == "burst":
                    flips += _burst(fault, 8 * place + int(rng.integers(8)), rng)
                elif fault.kind == "lose":
                    lost.update(range(place, min(place + fault.n_bytes, n)))
                    self._n_to_lose = max(self._n_to_lose, place + fault.n_bytes - n)
                elif fault.kind == "insert":
                    inserts.append((place, rng.integers(0, 256, fault.n_bytes, np.uint8).tobytes()))
                else:
                    inserts.append((place, bytes(fault.n_bytes)))
        if not (flips or lost or inserts):
            return data
        return self._change(data, flips, lost, inserts)

    def _change(
        self, data: bytes, flips: list[int], lost: set[int], inserts: list[tuple[int, bytes]]
    ) -> bytes:
        out = bytearray(data)
        masks: dict[int, int] = {}
        for bit in flips:
            if bit >= 8 * len(data):
                self._flips.append(bit - 8 * len(data))
            else:
                masks[bit >> 3] = masks.get(bit >> 3, 0) ^ 1 << (bit & 7)
        for index, mask in masks.items():
            out[index] ^= mask
        # From behind, so that places stay true; a byte is lost before another comes in its place.
        changes = [(place, 1, b"") for place in lost] + [(place, 0, new) for place, new in inserts]
        for place, is_loss, new in sorted(changes, reverse=True):
            if is_loss:
                del out[place]
            else:
                out[place:place] = new
        if out == data:
            self.hits = []
            return data
        truth = self.truth
        truth.n_byte_faults += sum(n for _, n in self.hits)
        truth.n_flipped_bits += sum(m.bit_count() for i, m in masks.items() if i not in lost)
        truth.n_lost_bytes += len(lost)
        truth.n_inserted_bytes += sum(len(new) for _, new in inserts)
        return bytes(out)


def _burst(fault: Fault, first: int, rng: np.random.Generator) -> list[int]:
    """Return the bits that a burst flips: the first one, and others within reach."""
    if fault.n_bits == 1:
        return [first]
    others = rng.choice(fault.within_bits - 1, fault.n_bits - 1, replace=False)
    return [first, *(first + 1 + int(other) for other in others)]
