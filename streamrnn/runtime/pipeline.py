"""frame -> features -> state -> decision -> event, as one pure object.

No clock, no thread and no I/O: what it gives out depends on the items alone, and never on how they
were cut into blocks. Live, replayed and offline runs all go through it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from streamrnn.core.records import Event, GapRecord, Record
from streamrnn.core.types import F32, I64, End, Frames, Gap, Item, StreamInfo
from streamrnn.decision.explain import Explain
from streamrnn.decision.watcher import open_machine
from streamrnn.features.conditioner import Conditioner
from streamrnn.kernels.backend import Backend
from streamrnn.kernels.condition import FrameConditioner
from streamrnn.kernels.live.pusher import LARGEST_SAMPLE
from streamrnn.model.window import open_network
from streamrnn.runtime import gaps
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.engine import Engine, open_engine
from streamrnn.runtime.latency import StageTimer

#: Longest block that goes through the network at once; bounds the memory, changes no result.
BLOCK_FRAMES = 65_536


class Block(NamedTuple):
    """What the network says of consecutive frames.

    Attributes
    ----------
    probabilities : float32 (N, C)
        In the order of the labels, after the temperature and before smoothing.
    energy : float32 (N,)
        Low = strange, see `streamrnn.kernels.pointwise.softmax_rows`.
    seq, t_us : int64 (N,)
        Index and device time (microseconds) of each frame.
    """

    probabilities: F32
    energy: F32
    seq: I64
    t_us: I64


#: Sees each block.
Observer = Callable[[Block], None]


class Pipeline:
    """Turns the items of one stream into records.

    Parameters
    ----------
    bundle : Bundle
    backend : Backend
    timer : StageTimer, optional
        Gets the time of the stages ``inference`` and ``decision``; a detailed one ``filter`` (where
        the model has one), ``features`` and ``cell`` instead of ``inference``. None costs nothing.
    observer : callable, optional
        Sees every `Block`, filled frames included.
    explain : callable, optional
        Gets an `Explanation` for each event and each near miss; None costs nothing.

    Attributes
    ----------
    probabilities : float32 (C,)
        Of the newest frame, in the order of the labels; zeros before the first.
    n_frames, n_filled, n_missing, n_invalid, n_resets : int
        Frames of the stream that were taken, filled in, missing, dropped because they held NaN or
        a senseless number (they count as missing too), and times that the state was forgotten.

    Notes
    -----
    Where the model has filters or another rate than the stream, the network sees conditioned
    frames (`streamrnn.features.conditioner`): each has `seq` and `t_us` of the frame of the stream
    that completed it, and so have observed blocks and events. Gaps are the stream's.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        timer: StageTimer | None = None,
        observer: Observer | None = None,
        explain: Explain | None = None,
    ) -> None:
        self.bundle = bundle
        self.timer = timer
        self._apart = timer if timer and timer.is_detailed else None
        self.observer = observer
        self.n_frames = self.n_filled = self.n_missing = self.n_invalid = self.n_resets = 0
        self._network = open_network(bundle.params, backend, bundle.precision)
        self._decision = open_machine(bundle.decision, bundle.labels, bundle.rate_hz, explain)
        self._engine: Engine | None = None
        self._info: StreamInfo | None = None
        self._columns: I64 = np.zeros(0, np.int64)
        self._conditioner: Conditioner | None = None
        self._front: FrameConditioner | None = None  # what it does to this stream's columns
        self._last_seq: int | None = None
        self._last_t_us = 0
        self._pending: Gap | None = None

    @property
    def probabilities(self) -> F32:
        """See the class."""
        if self._engine is None:
            return np.zeros(len(self.bundle.labels), np.float32)
        return self._engine.probabilities

    @property
    def resampled_hz(self) -> tuple[float, float] | None:
        """Rates of the stream and of the network, where the stream has not the expected one."""
        conditioner = self._conditioner
        if conditioner is None or conditioner.stream_hz == self.bundle.stream_hz:
            return None
        return conditioner.stream_hz, conditioner.model_hz

    def twin(self) -> Pipeline:
        """Return a fresh pipeline that shares this one's weights, untimed and unobserved."""
        other = Pipeline(self.bundle, self._network.backend)
        other._network = self._network
        return other

    def start(self, info: StreamInfo) -> None:
        """Take the layout of the stream; needed before the first frames.

        Raises
        ------
        ConfigError
            The stream does not fit the model.
        """
        old = self._info
        if old and (old.channels, old.rate_hz) == (info.channels, info.rate_hz):
            return
        self.bundle.check_stream(info)
        self._columns = self.bundle.column_indices(info)
        self._conditioner = self.bundle.conditioner(info.rate_hz)
        columns, n_columns = self._columns, info.n_channels
        self._front = None
        if self._conditioner is not None:
            self._front = FrameConditioner(self._conditioner.kernel, columns, n_columns)
            columns, n_columns = np.arange(len(columns)), len(columns)
        self._engine = open_engine(
            self.bundle, self._network, self._decision, columns, n_columns, apart=self._apart
        )
        if self._last_seq is not None:
            self._pending = gaps.merge(self._pending, Gap("reboot", restart=True))
        self._info = info

    def push(self, item: Item) -> Sequence[Record]:
        """Take the next item of the stream and return what follows from it, in order."""
        if isinstance(item, Frames):
            return self._push_frames(item)
        if isinstance(item, StreamInfo):
            self.start(item)
        elif isinstance(item, Gap):
            self._pending = gaps.merge(self._pending, item)
        elif isinstance(item, End) and item.next_seq is not None and self._last_seq is not None:
            self.n_missing += max(0, item.next_seq - self._last_seq - 1)
        return []

    def finish(self) -> list[Record]:
        """Close what is open at the end of the stream."""
        return list(self._decision.finish())

    def ahead(self) -> None:
        """Use the time until the next frame; call it when the records are out."""
        if self._engine is not None:
            self._engine.ahead()

    def _push_frames(self, frames: Frames) -> Sequence[Record]:
        engine = self._engine
        if engine is None:
            raise ValueError("frames before the stream's layout: call start() first")
        if len(frames) == 1 and self._pending is None:
            seq = frames.seq.item()
            if self._last_seq is not None and seq == self._last_seq + 1:
                if self._front is not None:
                    return self._push_conditioned(engine, self._front, frames, seq)
                return self._push_next(engine, frames, seq)
        return self._push_block(engine, frames)

    def _push_next(self, engine: Engine, frames: Frames, seq: int) -> Sequence[Record]:
        """Take the frame that follows the last one: what nearly every live frame is."""
        timer = self.timer
        mark = timer.start() if timer else 0
        if engine.push(frames.x) < 0:
            self.n_invalid += 1
            return []
        if timer:
            mark = self._inferred(timer, mark)
        self._last_seq, self._last_t_us = seq, frames.t_us.item()
        self.n_frames += 1
        events: list[Event] = []
        self._decide_newest(engine, frames, seq, events)
        if timer:
            timer.lap("decision", mark)
        return events

    def _push_conditioned(
        self, engine: Engine, front: FrameConditioner, frames: Frames, seq: int
    ) -> Sequence[Record]:
        """Take the frame that follows the last one; it completes some frames of the model."""
        timer = self.timer
        mark = timer.start() if timer else 0
        n = front.push(frames.x)
        if n < 0:
            self.n_invalid += 1
            return []
        if self._apart is not None:
            mark = self._apart.lap("filter", mark)
        self._last_seq, self._last_t_us = seq, frames.t_us.item()
        self.n_frames += 1
        events: list[Event] = []
        for x in front.frames[:n]:
            engine.push(x)
            if timer:
                mark = self._inferred(timer, mark)
            self._decide_newest(engine, frames, seq, events)
            if timer:
                mark = timer.lap("decision", mark)
        return events

    def _inferred(self, timer: StageTimer, mark: int) -> int:
        """Return the mark where the decision begins: smoothing and softmax are part of it."""
        if self._apart is not None:
            return timer.last_ns
        return timer.lap("inference", mark)

    def _decide_newest(self, engine: Engine, frames: Frames, seq: int, events: list[Event]) -> None:
        """Decide on the model's frame that was just taken, which `frames`, one, completed."""
        if self.observer is not None:
            probabilities, energy = engine.probabilities[None].copy(), engine.energy.copy()
            self.observer(Block(probabilities, energy, frames.seq, frames.t_us))
        decision = self._decision
        of_frame = engine.energy.item() if decision.reads_energy else math.inf
        decision.decide(engine.smoothed.tolist(), seq, self._last_t_us, events, of_frame)

    def _push_block(self, engine: Engine, frames: Frames) -> Sequence[Record]:
        """Take any frames: many, the first, behind a gap, or damaged."""
        frames = self._picked(frames)
        records: list[Record] = []
        if len(frames) == 0:
            return records
        for first, behind in gaps.stretches(frames.seq):
            part = frames[first:behind]
            if self._pending is not None or part.seq[0] - 1 != self._last_seq:
                records += self._bridge(engine, part)
            records += self._run(engine, part)
            self.n_frames += behind - first
            self._last_seq, self._last_t_us = int(part.seq[-1]), int(part.t_us[-1])
        return records

    def _picked(self, frames: Frames) -> Frames:
        """Return the model's columns of the frames that are plausible in all of them."""
        x = np.ascontiguousarray(frames.x[:, self._columns])
        plausible = np.abs(x) < LARGEST_SAMPLE  # False for NaN, which would stay in the state
        if plausible.all():
            return Frames(x, frames.seq, frames.t_us)
        good = plausible.all(axis=1)
        self.n_invalid += len(x) - int(good.sum())
        return Frames(x[good], frames.seq[good], frames.t_us[good])

    def _bridge(self, engine: Engine, part: Frames) -> Sequence[Record]:
        """Apply the gap rule between the last frame and the first of `part`."""
        last_seq, pending = self._last_seq, self._pending
        self._pending = None
        if last_seq is None:
            return []
        n_missing = int(part.seq[0]) - last_seq - 1
        reason = "lost" if pending is None else pending.reason
        restart = pending is not None and pending.restart
        if n_missing < 0 and not restart:
            reason, restart = "reboot", True
        if not restart:
            self.n_missing += n_missing
        at = {"seq": int(part.seq[0]), "t_us": int(part.t_us[0])}
        if not restart and gaps.is_short(n_missing, self._stream_hz(), self.bundle.max_gap_ms):
            records: list[Record] = [GapRecord(reason, **at, n_missing=n_missing, action="filled")]
            if n_missing:
                self.n_filled += n_missing
                newest = engine.newest if self._front is None else self._front.newest
                last = Frames(
                    newest[None].copy(),
                    np.array([last_seq], np.int64),
                    np.array([self._last_t_us], np.int64),
                )
                records += self._run(engine, gaps.fill(last, part[:1]))
            return records
        records = list(self._decision.reset(None if restart else int(part.t_us[0])))
        engine.reset()
        if self._front is not None:
            self._front.reset()
        self.n_resets += 1
        missing = None if restart else n_missing
        records.append(GapRecord(reason, **at, n_missing=missing, action="reset"))
        return records

    def _run(self, engine: Engine, frames: Frames) -> Sequence[Record]:
        """Decide on consecutive frames that follow the last ones."""
        if len(frames) > BLOCK_FRAMES:
            starts = range(0, len(frames), BLOCK_FRAMES)
            return [r for n in starts for r in self._run(engine, frames[n : n + BLOCK_FRAMES])]
        timer = self.timer
        mark = timer.start() if timer else 0
        if self._front is not None:
            x, at = self._front.push_rows(frames.x)
            if self._apart is not None:
                mark = self._apart.lap("filter", mark)
            frames = Frames(x, frames.seq[at], frames.t_us[at])
            if len(frames) == 0:
                return []
        probabilities, smoothed, energy = engine.run(frames.x)
        if timer:
            mark = self._inferred(timer, mark)
        if self.observer is not None:
            self.observer(Block(probabilities, energy, frames.seq, frames.t_us))
        events: list[Event] = []
        columns = (smoothed, frames.seq, frames.t_us, energy)
        for p, seq, t_us, of_frame in zip(*(c.tolist() for c in columns), strict=True):
            self._decision.decide(p, seq, t_us, events, of_frame)
        if timer:
            timer.lap("decision", mark)
        return events

    def _stream_hz(self) -> float:
        """Return the rate by which missing frames are counted as time."""
        return self.bundle.rate_hz if self._conditioner is None else self._conditioner.stream_hz
