"""Many boards, one model: what a server holds that decides for all of them.

A stream of a fleet gets the same bits as the same frames in a `Pipeline` of their own, whatever
streams it is ticked together with. Like a pipeline, a fleet is pure: no clock, no thread, no I/O.
"""

from __future__ import annotations

from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamrnn.core.errors import ConfigError
from streamrnn.core.records import Event
from streamrnn.core.types import F32, I64, NULL_CLASS
from streamrnn.decision.machine import DecisionMachine
from streamrnn.features.chain import FeatureChain
from streamrnn.kernels.arguments import as_argument
from streamrnn.kernels.backend import Backend, get_backend
from streamrnn.kernels.fleet import stages
from streamrnn.kernels.live.pusher import LARGEST_SAMPLE
from streamrnn.model.window import WindowParams
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.fleet_snapshot import N_SMOOTHED, FleetSnapshot, fingerprint
from streamrnn.runtime.places import Places

#: An event, and the stream that it is of.
StreamEvent = tuple[int, Event]


class Fleet:
    """Up to N streams of one model, ticked together.

    A stream gets an id when it joins. Its place is given to another when it has left; its id never
    is, so a late frame of a board that is gone is refused and does not end up in another's stream.

    What a pipeline does between frames is left to the caller, who alone knows of it: behind a gap
    that is longer than the model's ``max_gap_ms``, `reset` the stream; frames that are to be filled
    in (`streamrnn.runtime.gaps`) are ticked like any others.

    Parameters
    ----------
    model : Bundle or path of a model file
    n_streams : int
        N, 1 or more. Memory for all of them is taken at once.
    backend : str or Backend
        See `streamrnn.kernels.get_backend`.
    precision : {"exact", "bf16"} or None
        See `Backend.upload`; None takes the bundle's.

    Raises
    ------
    ModelFileError, ConfigError, BackendUnavailable
        The model cannot be read, there is no such backend, or it has not enough memory.

    Attributes
    ----------
    bundle : Bundle
    n_streams : int
    n_invalid : int
        Damaged frames so far; see `tick`.
    """

    def __init__(
        self,
        model: Bundle | Path | str,
        n_streams: int,
        *,
        backend: Backend | str = "cpu",
        precision: str | None = None,
    ) -> None:
        self.bundle = bundle = model if isinstance(model, Bundle) else Bundle.load(model)
        if isinstance(bundle.params, WindowParams):
            raise ConfigError(
                "a fleet runs recurrent networks, and this model is a window network: run each "
                "stream in a pipeline of its own, or train with model lstm"
            )
        device = get_backend(backend) if isinstance(backend, str) else backend
        self._dtype = bundle.params.dtype
        device.warm_up(self._dtype)
        handle = device.upload(bundle.params, precision=precision or bundle.precision)
        self._streams = device.streams(handle, n_streams)
        self.n_streams, self.n_invalid = n_streams, 0
        self._chain = FeatureChain.from_document(bundle.features.to_document())
        self._features = stages.ManyFeatures(self._chain.kernel, n_streams)
        self._idle = DecisionMachine(bundle.decision, bundle.labels, bundle.rate_hz)
        self._smoothed = stages.ManySmoothed(
            self._idle.smoother, n_streams, bundle.decision.temperature
        )
        self._machines: dict[int, DecisionMachine] = {}
        self._is_busy = np.zeros(n_streams, np.bool_)
        self._n_frames: I64 = np.zeros(n_streams, np.int64)
        self._places = Places(n_streams)

    # ---- who is there

    @cached_property
    def _model(self) -> str:
        return fingerprint(self.bundle)

    @property
    def n_free(self) -> int:
        """How many more streams can join."""
        return self._places.n_free

    @property
    def ids(self) -> I64:
        """The streams that have joined, int64: the order in which ``ids=None`` takes them."""
        return self._places.ids[self._places.taken]

    def join(self, n: int = 1) -> I64:
        """Take in `n` fresh streams.

        Returns
        -------
        int64 (n,)
            Their ids, 0 or more.

        Raises
        ------
        ValueError
            There is no room; nobody has joined then.
        """
        return self._places.ids[self._places.take(n)]

    def leave(self, ids: I64) -> list[StreamEvent]:
        """Let streams go; return what `reset` returns.

        Raises
        ------
        ValueError
            A stream that is not there, or that is named twice.
        """
        rows = self._rows(ids)
        events = self._closed(rows, None)
        self._forget(rows)
        self._places.give_back(rows)
        return events

    def reset(self, ids: I64 | None = None, t_us: I64 | None = None) -> list[StreamEvent]:
        """Forget all frames of streams: behind a gap that is too long to fill, or a reboot.

        Parameters
        ----------
        ids : int64 (n,) or None
            None means all that have joined.
        t_us : int64 (n,) or None
            Device time of each stream's first frame behind the gap, if its clock went on.

        Returns
        -------
        list of (int, Event)
            The ends of gestures that were going on (see `DecisionMachine.reset`), each with its
            stream's id.

        Raises
        ------
        ValueError
            A stream that is not there, or that is named twice.
        """
        rows = self._rows(ids)
        if t_us is not None:
            t_us = as_argument("t_us", t_us, np.int64, (len(rows),))
        events = self._closed(rows, t_us)
        self._forget(rows)
        return events

    # ---- frames

    def tick(self, frames: F32, ids: I64 | None = None) -> F32:
        """Take one frame of each of some streams.

        Parameters
        ----------
        frames : float32 (n, channels)
            Raw samples, in the order of ``bundle.channels``. A frame with a sample that is NaN or
            beyond 1e18 is damaged: it changes nothing but its stream's count of frames.
        ids : int64 (n,) or None
            Whose they are, in any order, each at most once; None means all that have joined.

        Returns
        -------
        float32 (n, C)
            Probabilities, not smoothed, in the order of the labels; NaN for a damaged frame.

        Raises
        ------
        ValueError
            Another shape or dtype, a stream that is not there or that is named twice; no stream
            has changed then.
        """
        return self._tick(frames, self._rows(ids))[0]

    def decide(
        self,
        frames: F32,
        ids: I64 | None = None,
        *,
        seq: I64 | None = None,
        t_us: I64 | None = None,
    ) -> tuple[F32, list[StreamEvent]]:
        """Take one frame of each of some streams, as `tick`, and decide on it.

        Events need every frame: a stream is ticked by this method or by `tick`, not by turns.

        Parameters
        ----------
        frames, ids
            See `tick`.
        seq, t_us : int64 (n,) or None
            Index and device time (microseconds) of each frame. None: the frames that came before,
            and that many periods of the model's rate.

        Returns
        -------
        probabilities : float32 (n, C)
        events : list of (int, Event)
            What the frames complete, each with its stream's id, in the order of `ids`.
        """
        rows = self._rows(ids)
        if seq is not None:
            seq = as_argument("seq", seq, np.int64, (len(rows),))
        if t_us is not None:
            t_us = as_argument("t_us", t_us, np.int64, (len(rows),))
        if seq is None:
            seq = self._n_frames[rows]
        if t_us is None:
            t_us = (self._n_frames[rows] * 1e6 / self.bundle.rate_hz).astype(np.int64)
        probabilities, energy, is_good = self._tick(frames, rows)
        activity = 1.0 - self._smoothed.means[rows, NULL_CLASS]
        awake = self._is_busy[rows] | (activity > self._idle.idle_up_to)
        if is_good is not None:
            awake &= is_good
        at = np.flatnonzero(awake)
        return probabilities, (
            self._decide(rows[at], seq[at], t_us[at], energy[at]) if len(at) else []
        )

    # ---- streams that move

    def snapshot(self, ids: I64 | None = None) -> FleetSnapshot:
        """Return a copy of all that streams carry, in the order of `ids`.

        They can go on from there in any fleet of the same model, in another process or on another
        backend. Raises as `tick`.
        """
        rows = self._rows(ids)
        machines = map(self._machines.get, rows.tolist())
        counts = (self._smoothed.n_seen, self._n_frames)
        return FleetSnapshot(
            model=self._model,
            state=self._streams.snapshot(rows),
            features=self._features.memory[rows],
            means=self._smoothed.means[rows],
            recent=self._smoothed.recent[rows, 1:],
            counts=np.stack([count[rows] for count in counts], axis=1),
            decisions=tuple(None if m is None else m.snapshot() for m in machines),
        )

    def restore(self, snapshot: FleetSnapshot, ids: I64 | None = None) -> I64:
        """Let streams go on where those of a snapshot were.

        Parameters
        ----------
        snapshot : FleetSnapshot
        ids : int64 (n,) or None
            Which streams; what they carry is overwritten. None: as many join.

        Returns
        -------
        int64 (n,)
            Their ids, in the order of the snapshot.

        Raises
        ------
        ValueError
            The snapshot is of another model, or does not fit; no room; or as `tick`. No stream has
            changed then.
        """
        n_memory, n_classes = self._features.memory.shape[1], len(self.bundle.labels)
        if snapshot.model != self._model:
            raise ValueError("the snapshot is of streams of another model")
        recent = self._smoothed.recent
        if (
            snapshot.features.shape[1] != n_memory
            or snapshot.means.shape[1] != n_classes
            or snapshot.recent.shape[1:] != recent[:, 1:].shape[1:]
        ):
            raise ValueError("the snapshot's arrays do not fit its model")
        if ids is not None and len(self._rows(ids)) != len(snapshot):
            raise ValueError(f"{len(ids)} streams for a snapshot of {len(snapshot)}")
        machines = [self._restored_machine(document) for document in snapshot.decisions]
        joined = self.join(len(snapshot)) if ids is None else None
        rows = self._rows(ids if joined is None else joined)
        try:
            self._streams.restore(snapshot.state, rows)
        except ValueError:
            if joined is not None:
                self.leave(joined)
            raise
        self._features.memory[rows] = snapshot.features
        self._smoothed.means[rows] = snapshot.means
        was_seen = np.arange(snapshot.recent.shape[1]) < snapshot.counts[:, N_SMOOTHED, None]
        recent[rows, 1:] = np.where(was_seen[:, :, None], snapshot.recent, 0.0)
        recent[rows, :1] = recent[rows, 1:].sum(axis=1, keepdims=True)  # exact in any order
        for count, values in zip(
            (self._smoothed.n_seen, self._n_frames),
            snapshot.counts.T,
            strict=True,
        ):
            count[rows] = values
        for row, machine in zip(rows.tolist(), machines, strict=True):
            self._set_machine(row, machine)
        return self._places.ids[rows]

    # ---- inside

    def _rows(self, ids: I64 | None) -> I64:
        """Return the places of streams."""
        return self._places.taken if ids is None else self._places.of(ids)

    def _tick(self, frames: F32, rows: I64) -> tuple[F32, F32, npt.NDArray[np.bool_] | None]:
        """Return probabilities, energy, and which frames were good; None for all."""
        x = as_argument("frames", frames, np.float32, (len(rows), len(self.bundle.channels)))
        plausible = np.abs(x) < LARGEST_SAMPLE  # False for NaN, which would stay in the state
        if plausible.all():
            is_good = None
            probabilities, energy = self._advance(x, rows)
        else:
            is_good = plausible.all(axis=1)
            self.n_invalid += len(x) - int(is_good.sum())
            probabilities = np.full((len(x), len(self.bundle.labels)), np.nan, np.float32)
            energy = np.full(len(x), np.nan, np.float32)
            probabilities[is_good], energy[is_good] = self._advance(x[is_good], rows[is_good])
        self._n_frames[rows] += 1
        return probabilities, energy, is_good

    def _advance(self, x: F32, rows: I64) -> tuple[F32, F32]:
        """Take good frames."""
        n, n_classes = len(rows), len(self.bundle.labels)
        features = self._features.push(x, rows).astype(self._dtype, copy=False)
        logits = np.empty((n, n_classes), self._dtype)
        is_all = n == self.n_streams and rows is self._places.taken
        self._streams.tick(features, logits, None if is_all else rows)
        probabilities = logits.astype(np.float32, copy=False)
        return probabilities, self._smoothed.push(probabilities, rows)

    def _decide(self, rows: I64, seq: I64, t_us: I64, energy: F32) -> list[StreamEvent]:
        """Let the machines of streams decide on the frames that were just taken."""
        events: list[StreamEvent] = []
        found: list[Event] = []
        is_busy = []
        means = self._smoothed.means[rows].tolist()
        columns = (rows, seq, t_us, energy)
        frames = zip(means, *(column.tolist() for column in columns), strict=True)
        for mean, row, number, at_us, of_frame in frames:
            machine = self._machines.get(row)
            if machine is None:
                machine = self._machines[row] = self._new_machine()
            machine.decide(mean, number, at_us, found, of_frame)
            is_busy.append(not machine.is_idle)
            if machine.is_fresh:
                del self._machines[row]
            if found:
                stream = int(self._places.ids[row])
                events += [(stream, event) for event in found]
                found.clear()
        self._is_busy[rows] = is_busy
        return events

    def _closed(self, rows: I64, t_us: I64 | None) -> list[StreamEvent]:
        """Close open gestures at a break, and return what comes of it."""
        events: list[StreamEvent] = []
        for r in np.flatnonzero(self._is_busy[rows]).tolist():
            row = int(rows[r])
            found = self._machines[row].reset(None if t_us is None else int(t_us[r]))
            events += [(int(self._places.ids[row]), event) for event in found]
        self._is_busy[rows] = False
        return events

    def _forget(self, rows: I64) -> None:
        if self._machines:
            for row in rows.tolist():
                self._set_machine(row, None)
        self._streams.reset(rows)
        self._features.reset(rows)
        self._smoothed.reset(rows)
        self._n_frames[rows] = 0

    def _new_machine(self) -> DecisionMachine:
        """Return a copy of the first one: it shares thresholds, and a smoother that nobody uses."""
        return copy(self._idle)

    def _restored_machine(self, document: dict[str, Any] | None) -> DecisionMachine | None:
        if document is None:
            return None
        machine = self._new_machine()
        try:
            machine.restore(document)
        except ConfigError as error:
            raise ValueError(f"the snapshot does not fit: {error}") from error
        return machine

    def _set_machine(self, row: int, machine: DecisionMachine | None) -> None:
        self._machines.pop(row, None)
        if machine is not None:
            self._machines[row] = machine
        self._is_busy[row] = machine is not None and not machine.is_idle
