"""How a board's clock stands to this computer's: PING and PONG (docs/wire.md), without I/O.

The board stamps a PONG with its clock. When that was, lies between the PING's departure and the
PONG's arrival: the middle is off by half of the round trip at most, and a short round trip is a
good one. Crystals part by some ten millionths, 1 ms in a minute or so, so a straight line is fitted
through the probes of the last minutes, in which the short ones count.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from streamrnn.sources.timing.line_fit import fit_through
from streamrnn.wire.encode import Encoder
from streamrnn.wire.packet import Pong

#: Probes at the beginning, this far apart; then one now and again.
N_FIRST = 8
_FIRST_EVERY_NS = 50_000_000
EVERY_NS = 5_000_000_000
#: A board that answered none of so many is not asked any more.
_N_DEAF = 12
#: Probes that are remembered: five minutes.
_N_KEPT = 64
#: Probes under way: whatever is older counts as unanswered.
_N_UNDER_WAY = 8
#: A slope is fitted from so many probes over so long a time; before, clocks count as alike.
_N_LINE = 8
_LINE_US = 20_000_000
_MOST_DRIFT = 0.05
#: So much of the shortest round trip is the same both ways, and makes no error.
_SURE_SHARE = 0.8
#: A probe this far off what the others said means that the board's clock jumped.
_JUMP_NS = 50_000_000


class _Probe(NamedTuple):
    t_us: int
    host_ns: int
    round_trip_ns: int


class ClockSync:
    """Says which PING to send when, and what the PONGs tell. It is told the time.

    Attributes
    ----------
    n_answers : int
        PONGs that answered a probe.
    """

    def __init__(self) -> None:
        self.n_answers = 0
        self._encoder = Encoder()
        self._token = 0
        self._under_way: dict[int, int] = {}
        self.restarted()

    def restarted(self) -> None:
        """Take note that the board's clock starts anew."""
        self._probes: deque[_Probe] = deque(maxlen=_N_KEPT)
        self._anchor: _Probe | None = None
        self._ns_per_us = 1000.0
        self.probe_again()

    def probe_again(self) -> None:
        """Begin with a row of probes, as when the board came back."""
        self._under_way.clear()
        self._n_sent = self._n_unanswered = 0
        self._due_ns = 0

    def due(self, now_ns: int) -> bytes:
        """Return the PING to be sent now, often nothing.

        Parameters
        ----------
        now_ns : int
            A monotonic clock, nanoseconds.
        """
        if now_ns < self._due_ns or self._n_unanswered >= _N_DEAF:
            return b""
        self._token += 1
        self._under_way[self._token] = now_ns
        if len(self._under_way) > _N_UNDER_WAY:
            del self._under_way[min(self._under_way)]
        self._n_sent += 1
        self._n_unanswered += 1
        self._due_ns = now_ns + (_FIRST_EVERY_NS if self._n_sent < N_FIRST else EVERY_NS)
        return self._encoder.ping(self._token)

    @property
    def due_s(self) -> float:
        """When `due` will have something, seconds on its clock; infinite: never by itself."""
        return math.inf if self._n_unanswered >= _N_DEAF else self._due_ns / 1e9

    def answered(self, pong: Pong, now_ns: int) -> None:
        """Take a PONG that arrived at `now_ns`; one that nobody asked for is ignored."""
        sent_ns = self._under_way.pop(pong.token, None)
        if sent_ns is None:
            return
        self._n_unanswered = 0
        self.n_answers += 1
        probe = _Probe(pong.t_us, (sent_ns + now_ns) // 2, now_ns - sent_ns)
        expected_ns = self.host_ns(probe.t_us)
        if expected_ns is not None:
            off_ns = abs(expected_ns - probe.host_ns)
            if off_ns > _JUMP_NS + probe.round_trip_ns:
                self._probes.clear()
        self._probes.append(probe)
        self._fit()

    @property
    def round_trip_us(self) -> float | None:
        """The shortest round trip of the last minutes, microseconds."""
        return self._anchor.round_trip_ns / 1e3 if self._anchor else None

    def host_ns(self, t_us: int) -> float | None:
        """Return when the board's clock showed `t_us`.

        Parameters
        ----------
        t_us : int
            The board's clock, microseconds.

        Returns
        -------
        float or None
            On the clock of `due`; right within half of the round trip. None when unknown.
        """
        if self._anchor is None:
            return None
        return self._anchor.host_ns + (t_us - self._anchor.t_us) * self._ns_per_us

    def _fit(self) -> None:
        best = min(self._probes, key=lambda probe: probe.round_trip_ns)
        self._ns_per_us = 1000.0
        self._anchor = best
        if len(self._probes) < _N_LINE or self._probes[-1].t_us - self._probes[0].t_us < _LINE_US:
            return
        table = np.array([(p.t_us - best.t_us, p.host_ns - best.host_ns) for p in self._probes])
        x, y = table.T.astype(float)
        # A probe's middle is off by a share of what its round trip took longer than the shortest.
        trip_ns = np.array([probe.round_trip_ns for probe in self._probes], float)
        weight = np.maximum(trip_ns - _SURE_SHARE * best.round_trip_ns, 1e3) ** -2.0
        slope, _ = fit_through(x, y, np.zeros(len(x), np.int64), weight)
        if abs(slope / 1000.0 - 1.0) < _MOST_DRIFT:
            off_ns = float((weight * (y - slope * x)).sum() / weight.sum())
            self._ns_per_us = slope
            self._anchor = best._replace(host_ns=best.host_ns + round(off_ns))
