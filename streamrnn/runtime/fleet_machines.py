"""The decision machines of many streams: one for each that has something to remember."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np

from streamrnn.core.errors import ConfigError
from streamrnn.core.records import Event
from streamrnn.core.types import F32, F64, I64
from streamrnn.decision.machine import DecisionMachine
from streamrnn.runtime.bundle import Bundle

#: An event, and the place of the stream that it is of.
PlacedEvent = tuple[int, Event]


class Machines:
    """What decides for the streams of a fleet, by their places.

    Parameters
    ----------
    bundle : Bundle
    n_streams : int
        N.

    Attributes
    ----------
    idle : DecisionMachine
        What a stream begins with; its smoother says how all are smoothed.
    """

    def __init__(self, bundle: Bundle, n_streams: int) -> None:
        self.idle = DecisionMachine(bundle.decision, bundle.labels, bundle.rate_hz)
        self._machines: dict[int, DecisionMachine] = {}
        self._is_busy = np.zeros(n_streams, np.bool_)

    def awake(self, rows: I64, activity: F64) -> I64:
        """Return whose frames must be given to `decide`; the others have no effect.

        Parameters
        ----------
        rows : int64 (n,)
        activity : float64 (n,)
            1 less the smoothed probability of the null class, behind the frames.

        Returns
        -------
        int64 (k,)
            Indices among the n.
        """
        return np.flatnonzero(self._is_busy[rows] | (activity > self.idle.idle_up_to))

    def decide(self, rows: I64, means: F64, seq: I64, t_us: I64, energy: F32) -> list[PlacedEvent]:
        """Decide on one frame of each of some streams; see `DecisionMachine.decide`."""
        events: list[PlacedEvent] = []
        found: list[Event] = []
        is_busy = []
        columns = (means, rows, seq, t_us, energy)
        for mean, row, number, at_us, of_frame in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            machine = self._machines.get(row)
            if machine is None:
                machine = self._machines[row] = self._new()
            machine.decide(mean, number, at_us, found, of_frame)
            is_busy.append(not machine.is_idle)
            if machine.is_fresh:
                del self._machines[row]
            if found:
                events += [(row, event) for event in found]
                found.clear()
        self._is_busy[rows] = is_busy
        return events

    def close(self, rows: I64, t_us: I64 | None) -> list[PlacedEvent]:
        """Close open gestures at a break, and return what comes of it."""
        events: list[PlacedEvent] = []
        for r in np.flatnonzero(self._is_busy[rows]).tolist():
            row = int(rows[r])
            found = self._machines[row].reset(None if t_us is None else int(t_us[r]))
            events += [(row, event) for event in found]
        self._is_busy[rows] = False
        return events

    def forget(self, rows: I64) -> None:
        """Let streams begin anew."""
        if self._machines:
            for row in rows.tolist():
                self._set(row, None)

    def snapshot(self, rows: I64) -> tuple[dict[str, Any] | None, ...]:
        """Return what each machine carries, None for one that is as good as new."""
        machines = map(self._machines.get, rows.tolist())
        return tuple(None if m is None else m.snapshot() for m in machines)

    def restored(self, documents: Sequence[dict[str, Any] | None]) -> list[DecisionMachine | None]:
        """Return the machines of a snapshot, for `restore`.

        Raises
        ------
        ValueError
            One that is none of this model.
        """
        return [None if document is None else self._restored(document) for document in documents]

    def restore(self, rows: I64, machines: Sequence[DecisionMachine | None]) -> None:
        """Let streams go on with `machines`."""
        for row, machine in zip(rows.tolist(), machines, strict=True):
            self._set(row, machine)

    def _new(self) -> DecisionMachine:
        """Return a copy of the first one: it shares thresholds, and a smoother that nobody uses."""
        return copy(self.idle)

    def _restored(self, document: dict[str, Any]) -> DecisionMachine:
        machine = self._new()
        try:
            machine.restore(document)
        except ConfigError as error:
            raise ValueError(f"the snapshot does not fit: {error}") from error
        return machine

    def _set(self, row: int, machine: DecisionMachine | None) -> None:
        self._machines.pop(row, None)
        if machine is not None:
            self._machines[row] = machine
        self._is_busy[row] = machine is not None and not machine.is_idle
