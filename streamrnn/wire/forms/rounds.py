"""One variable a line: a frame is a round in which each variable came once."""

from __future__ import annotations

from streamrnn.wire.forms.columns import tells_place
from streamrnn.wire.forms.lines import Reading
from streamrnn.wire.options import MAX_COLUMNS

#: Neighbouring lines or rounds that must agree before anything is believed.
N_AGREEING = 3


class Rounds:
    """Put the variables of a round together.

    Three rounds with the same variables in the same order settle which they are. Where a round
    begins nobody says: where the lines' own times change, if those of a round are the same; else
    at the variable that the user named first, at a clock or counter, or at the first name of the
    alphabet, so that it is the same whenever one starts to listen. A round in which a variable is
    missing or doubled is counted and dropped.

    Parameters
    ----------
    first : bytes
        The variable that begins a round; empty: not known.

    Attributes
    ----------
    names : tuple of bytes
        The variables of a round; empty while they are not settled.
    units : dict of bytes to bytes
        What the lines say of the variables' units.
    n_incomplete : int
        Rounds dropped.
    n_others : int
        Lines with a variable that is none of the round's.
    n_good : int
        Lines that could be read.
    """

    def __init__(self, first: bytes = b"") -> None:
        self._first = first
        self.units: dict[bytes, bytes] = {}
        self.n_incomplete = self.n_others = self.n_good = 0
        self._held: list[Reading] = []
        self._n_seen = 0
        self._last_seen: dict[bytes, int] = {}
        self._has_common_stamps = False
        self._begin(())

    def take(self, reading: Reading) -> list[Reading]:
        """Take the line of one variable; return what it completes."""
        self.n_good += 1
        if self.names:
            return self._add(reading)
        self._held.append(reading)
        if len(self._held) > N_AGREEING * MAX_COLUMNS:
            del self._held[: N_AGREEING * MAX_COLUMNS // 2]
            self.n_incomplete += 1
        if not self._learn(reading.names[0]):
            return []
        held, self._held = self._held, []
        return [complete for line in held for complete in self._add(line)]

    def forget_unfinished(self) -> None:
        """Forget the round that has begun, as when lines were lost."""
        if self._round or self._held:
            self.n_incomplete += 1
        self._held.clear()
        self._last_seen.clear()
        self._start()

    def _begin(self, order: tuple[bytes, ...]) -> None:
        self.names = order
        self._index = {name: index for index, name in enumerate(order)}
        self._start()

    def _start(self) -> None:
        self._round: list[Reading] = []
        self._at = -1

    def _learn(self, name: bytes) -> bool:
        """Settle the variables if the newest lines repeat themselves."""
        now, before = self._n_seen, self._last_seen.get(name, self._n_seen)
        self._n_seen += 1
        if len(self._last_seen) > N_AGREEING * MAX_COLUMNS:
            self._last_seen.clear()
        self._last_seen[name] = now
        period = now - before
        lines = self._held[-N_AGREEING * period :] if period else []
        if not 0 < period <= MAX_COLUMNS or len(lines) < N_AGREEING * period:
            return False
        cycle = [line.names[0] for line in lines]
        if len(set(cycle)) != period or cycle[period:] != cycle[:-period]:
            return False
        stamps = [line.stamps[:1] for line in lines]
        phases = {i % period for i in range(1, len(lines)) if stamps[i] != stamps[i - 1]}
        self._has_common_stamps = len(phases) == 1 and period > 1
        start = phases.pop() if self._has_common_stamps else self._start_of(cycle[:period])
        self._begin(tuple(cycle[start : start + period]))
        return True

    def _start_of(self, cycle: list[bytes]) -> int:
        """Return which variable of a cycle begins a round."""
        if self._first in cycle:
            return cycle.index(self._first)
        places = [tells_place(name) for name in cycle]
        begins = [name for i, name in enumerate(cycle) if places[i] and not places[i - 1]]
        return cycle.index(min(begins or cycle))

    def _add(self, reading: Reading) -> list[Reading]:
        """Add a line to the round; return the frames that this completes."""
        name = reading.names[0]
        index = self._index.get(name)
        if index is None:
            self.n_others += 1
            return []
        if reading.unit:
            self.units.setdefault(name, reading.unit)
        if index <= self._at or (self._round and self._belongs_to_another(reading)):
            self.n_incomplete += 1
            self._start()
        self._round.append(reading)
        self._at = index
        if index < len(self.names) - 1:
            return []
        complete = self._round
        self._start()
        if len(complete) < len(self.names) or len({len(r.values) for r in complete}) > 1:
            self.n_incomplete += 1
            return []
        first = complete[0]
        return [
            Reading(self.names, [line.values[k] for line in complete], first.stamps[k : k + 1])
            for k in range(len(first.values))
        ]

    def _belongs_to_another(self, reading: Reading) -> bool:
        return self._has_common_stamps and reading.stamps[:1] != self._round[0].stamps[:1]
