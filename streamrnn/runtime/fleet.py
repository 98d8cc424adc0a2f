"""Many boards, one model: what a server holds that decides for all of them.

A stream of a fleet gets the same bits as the same frames in a `Pipeline` of their own, whatever
streams it is ticked together with. Like a pipeline, a fleet is pure: no clock, no thread, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from streamrnn.core.errors import ConfigError
from streamrnn.core.records import Event
from streamrnn.core.types import F32, I64, NULL_CLASS
from streamrnn.features.chain import FeatureChain
from streamrnn.kernels.arguments import as_argument
from streamrnn.kernels.backend import Backend, get_backend
from streamrnn.kernels.fleet import stages
from streamrnn.kernels.live.pusher import LARGEST_SAMPLE
from streamrnn.model.window import WindowParams
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.fleet_machines import Machines, PlacedEvent
from streamrnn.runtime.fleet_rates import FleetRates
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
    rate_hz : float
        Nominal rate of the streams; 0: the one that the model expects. A stream of another rate, or
        of a model with filters, is conditioned as in a pipeline (`streamrnn.features.conditioner`).

    Raises
    ------
    ModelFileError, ConfigError, BackendUnavailable
        The model cannot be read, streams of such a rate do not fit it, there is no such backend, or
        it has not enough memory.

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
        rate_hz: float = 0.0,
    ) -> None:
        self.bundle = bundle = model if isinstance(model, Bundle) else Bundle.load(model)
        if isinstance(bundle.params, WindowParams):
            raise ConfigError(
                "a fleet runs recurrent networks, and this model is a window network: run each "
                "stream in a pipeline of its own, or train with model lstm"
            )
        conditioner = bundle.conditioner(rate_hz)
        device = get_backend(backend) if isinstance(backend, str) else backend
        self._dtype = bundle.params.dtype
        device.warm_up(self._dtype)
        handle = device.upload(bundle.params, precision=precision or bundle.precision)
        self._streams = device.streams(handle, n_streams)
        self.n_streams, self.n_invalid = n_streams, 0
        self._chain = FeatureChain.from_document(bundle.features.to_document())
        self._features = stages.ManyFeatures(self._chain.kernel, n_streams)
        self._machines = Machines(bundle, n_streams)
        self._smoothed = stages.ManySmoothed(
            self._machines.idle.smoother, n_streams, bundle.decision.temperature
        )
        self._stream_hz, self._rates = bundle.rate_hz, None
        if conditioner is not None:
            self._stream_hz = conditioner.stream_hz
            self._rates = FleetRates(conditioner, n_streams, len(bundle.labels))
        self._n_frames: I64 = np.zeros(n_streams, np.int64)
        self._places = Places(n_streams)

    # ---- who is there

    @cached_property
    def _model(self) -> str:
        return fingerprint(self.bundle, None if self._rates is None else self._stream_hz)

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
        events = self._named(self._machines.close(rows, None))
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
        events = self._named(self._machines.close(rows, t_us))
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
            Probabilities, not smoothed, in the order of the labels; NaN for a damaged frame. Where
            the model is slower than the streams, a frame that completes none of the model's gives
            those of the last one again, zeros before the first.

        Raises
        ------
        ValueError
            Another shape or dtype, a stream that is not there or that is named twice; no stream
            has changed then.
        """
        return self._take(frames, self._rows(ids), None)[0]

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
            and that many periods of their rate.

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
            t_us = (self._n_frames[rows] * 1e6 / self._stream_hz).astype(np.int64)
        return self._take(frames, rows, (seq, t_us))

    # ---- streams that move

    def snapshot(self, ids: I64 | None = None) -> FleetSnapshot:
        """Return a copy of all that streams carry, in the order of `ids`.

        They can go on from there in any fleet of the same model, in another process or on another
        backend. Raises as `tick`.
        """
        rows = self._rows(ids)
        counts = (self._smoothed.n_seen, self._n_frames)
        return FleetSnapshot(
            model=self._model,
            state=self._streams.snapshot(rows),
            features=self._features.memory[rows],
            means=self._smoothed.means[rows],
            recent=self._smoothed.recent[rows, 1:],
            counts=np.stack([count[rows] for count in counts], axis=1),
            rates=np.empty((len(rows), 0)) if self._rates is None else self._rates.snapshot(rows),
            decisions=self._machines.snapshot(rows),
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
            raise ValueError("the snapshot is of streams of another model, or of another rate")
        recent = self._smoothed.recent
        if (
            snapshot.features.shape[1] != n_memory
            or snapshot.means.shape[1] != n_classes
            or snapshot.recent.shape[1:] != recent[:, 1:].shape[1:]
        ):
            raise ValueError("the snapshot's arrays do not fit its model")
        if self._rates is not None and not self._rates.fits(snapshot.rates):
            raise ValueError("what the snapshot says of the streams' rates does not fit its model")
        if ids is not None and len(self._rows(ids)) != len(snapshot):
            raise ValueError(f"{len(ids)} streams for a snapshot of {len(snapshot)}")
        machines = self._machines.restored(snapshot.decisions)
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
        self._smoothed.n_seen[rows], self._n_frames[rows] = snapshot.counts.T
        if self._rates is not None:
            self._rates.restore(rows, snapshot.rates)
        self._machines.restore(rows, machines)
        return self._places.ids[rows]

    # ---- inside

    def _rows(self, ids: I64 | None) -> I64:
        """Return the places of streams."""
        return self._places.taken if ids is None else self._places.of(ids)

    def _take(
        self, frames: F32, rows: I64, when: tuple[I64, I64] | None
    ) -> tuple[F32, list[StreamEvent]]:
        """Take frames; decide on them where `when` they were is given, as seq and t_us."""
        x = as_argument("frames", frames, np.float32, (len(rows), len(self.bundle.channels)))
        plausible = np.abs(x) < LARGEST_SAMPLE  # False for NaN, which would stay in the state
        if plausible.all() and self._rates is None:
            probabilities, events = self._advance(x, rows, when)
        else:
            good = np.flatnonzero(plausible.all(axis=1))
            probabilities, events = self._take_good(x, rows, when, good)
        self._n_frames[rows] += 1
        return probabilities, events

    def _take_good(
        self, x: F32, rows: I64, when: tuple[I64, I64] | None, good: I64
    ) -> tuple[F32, list[StreamEvent]]:
        """Take those of the frames that are `good`, and through the conditioner if there is one."""
        self.n_invalid += len(x) - len(good)
        probabilities = np.full((len(x), len(self.bundle.labels)), np.nan, np.float32)
        events: list[StreamEvent] = []
        rounds: Iterable[tuple[I64, F32]] = [(np.arange(len(good)), x[good])]
        if self._rates is not None:
            rounds = self._rates.rounds(x[good], rows[good])
            probabilities[good] = self._rates.last[rows[good]]
        for among, y in rounds:
            at = good[among]
            now = None if when is None else (when[0][at], when[1][at])
            probabilities[at], found = self._advance(y, rows[at], now)
            events += found
        if self._rates is not None:
            self._rates.last[rows[good]] = probabilities[good]
            order = {int(n): k for k, n in enumerate(self._places.ids[rows])} if events else {}
            events.sort(key=lambda event: order[event[0]])
        return probabilities, events

    def _advance(
        self, x: F32, rows: I64, when: tuple[I64, I64] | None
    ) -> tuple[F32, list[StreamEvent]]:
        """Take frames at the model's rate."""
        n, n_classes = len(rows), len(self.bundle.labels)
        features = self._features.push(x, rows).astype(self._dtype, copy=False)
        logits = np.empty((n, n_classes), self._dtype)
        is_all = n == self.n_streams and rows is self._places.taken
        self._streams.tick(features, logits, None if is_all else rows)
        probabilities = logits.astype(np.float32, copy=False)
        energy = self._smoothed.push(probabilities, rows)
        return probabilities, [] if when is None else self._decide(rows, *when, energy)

    def _decide(self, rows: I64, seq: I64, t_us: I64, energy: F32) -> list[StreamEvent]:
        """Decide on the frames that were just taken."""
        means = self._smoothed.means
        at = self._machines.awake(rows, 1.0 - means[rows, NULL_CLASS])
        if not len(at):
            return []
        awake = rows[at]
        return self._named(
            self._machines.decide(awake, means[awake], seq[at], t_us[at], energy[at])
        )

    def _named(self, events: list[PlacedEvent]) -> list[StreamEvent]:
        """Return events with the ids of their streams."""
        return [(int(self._places.ids[row]), event) for row, event in events]

    def _forget(self, rows: I64) -> None:
        self._machines.forget(rows)
        self._streams.reset(rows)
        self._features.reset(rows)
        self._smoothed.reset(rows)
        if self._rates is not None:
            self._rates.reset(rows)
        self._n_frames[rows] = 0
