"""frame -> features -> state -> decision -> event, as one pure object.

No clock, no thread and no I/O: what it gives out depends on the items alone, and never on how they
were cut into blocks. Live, replayed and offline runs all go through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from streamrnn.core.records import GapRecord, Record
from streamrnn.core.types import F32, I64, End, Frames, Gap, Item, StreamInfo
from streamrnn.decision.machine import DecisionMachine
from streamrnn.features.chain import FeatureChain
from streamrnn.kernels.backend import Backend
from streamrnn.kernels.pointwise import softmax_rows
from streamrnn.model.network import Network
from streamrnn.runtime import gaps
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.latency import StageTimer

#: Longest block that goes through the network at once; bounds the memory, changes no result.
BLOCK_FRAMES = 65_536

#: A sample from here up (and NaN) is damage, not a reading: its frame counts as missing.
LARGEST_SAMPLE = np.float32(1e18)

#: Called with the probabilities (N, C), seq (N,) and t_us (N,) of each block.
Observer = Callable[[F32, I64, I64], None]


class Pipeline:
    """Turns the items of one stream into records.

    Parameters
    ----------
    bundle : Bundle
    backend : Backend
    timer : StageTimer, optional
        Gets the time of each stage; None costs nothing.
    observer : callable, optional
        Sees every block's probabilities, filled frames included.

    Attributes
    ----------
    probabilities : float32 (C,)
        Of the newest frame, in the order of the labels; zeros before the first.
    n_frames, n_filled, n_missing, n_invalid, n_resets : int
        Frames decided on, filled in, missing, dropped because they held NaN or a
        senseless number (they count as missing too), and times that the state was forgotten.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        timer: StageTimer | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.bundle = bundle
        self.timer = timer
        self.observer = observer
        self.probabilities: F32 = np.zeros(len(bundle.labels), np.float32)
        self.n_frames = self.n_filled = self.n_missing = self.n_invalid = self.n_resets = 0
        self._network = Network(bundle.params, backend)
        self._features = FeatureChain.from_document(bundle.features.to_document())
        self._decision = DecisionMachine(bundle.decision, bundle.labels, bundle.rate_hz)
        self._state = self._network.new_state(1)
        self._dtype = bundle.params.dtype
        self._info: StreamInfo | None = None
        self._columns: I64 | None = None
        self._last: Frames | None = None
        self._next_seq = -1
        self._pending: Gap | None = None

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
        columns = self.bundle.column_indices(info)
        same = np.array_equal(columns, np.arange(info.n_channels))
        self._columns = None if same else columns
        if self._last is not None:
            self._pending = gaps.merge(self._pending, Gap("reboot", restart=True))
        self._info = info

    def push(self, item: Item) -> list[Record]:
        """Take the next item of the stream and return what follows from it, in order."""
        if isinstance(item, Frames):
            return self._push_frames(item)
        if isinstance(item, StreamInfo):
            self.start(item)
        elif isinstance(item, Gap):
            self._pending = gaps.merge(self._pending, item)
        elif isinstance(item, End) and item.next_seq is not None and self._last is not None:
            self.n_missing += max(0, item.next_seq - int(self._last.seq[0]) - 1)
        return []

    def finish(self) -> list[Record]:
        """Close what is open at the end of the stream."""
        return list(self._decision.finish())

    def _push_frames(self, frames: Frames) -> list[Record]:
        if self._info is None:
            raise ValueError("frames before the stream's layout: call start() first")
        frames = self._picked(frames)
        records: list[Record] = []
        if len(frames) == 0:
            return records
        for first, behind in gaps.stretches(frames.seq):
            n = behind - first
            part = frames if n == len(frames) else frames[first:behind]
            if self._pending is not None or part.seq[0] != self._next_seq:
                records += self._bridge(part)
            records += self._run(part)
            self.n_frames += n
            self._last = part if n == 1 else part[-1:]
            self._next_seq = int(self._last.seq[0]) + 1
        return records

    def _picked(self, frames: Frames) -> Frames:
        """Return the model's columns of the frames that are plausible in all of them."""
        x = frames.x
        if self._columns is not None:
            x = np.ascontiguousarray(x[:, self._columns])
        plausible = np.abs(x) < LARGEST_SAMPLE  # False for NaN, which would stay in the state
        if plausible.all():
            return Frames(x, frames.seq, frames.t_us)
        good = plausible.all(axis=1)
        self.n_invalid += len(x) - int(good.sum())
        return Frames(x[good], frames.seq[good], frames.t_us[good])

    def _bridge(self, part: Frames) -> Sequence[Record]:
        """Apply the gap rule between the last frame and the first of `part`."""
        last, pending = self._last, self._pending
        self._pending = None
        if last is None:
            return []
        n_missing = int(part.seq[0]) - int(last.seq[0]) - 1
        reason = "lost" if pending is None else pending.reason
        restart = pending is not None and pending.restart
        if n_missing < 0 and not restart:
            reason, restart = "reboot", True
        if not restart:
            self.n_missing += n_missing
        at = {"seq": int(part.seq[0]), "t_us": int(part.t_us[0])}
        if not restart and gaps.is_short(n_missing, self.bundle.rate_hz, self.bundle.max_gap_ms):
            records: list[Record] = [GapRecord(reason, **at, n_missing=n_missing, action="filled")]
            if n_missing:
                self.n_filled += n_missing
                records += self._run(gaps.fill(last, part[:1]))
            return records
        records = list(self._decision.reset(None if restart else int(part.t_us[0])))
        self._features.reset()
        self._state = self._network.new_state(1)
        self.n_resets += 1
        missing = None if restart else n_missing
        records.append(GapRecord(reason, **at, n_missing=missing, action="reset"))
        return records

    def _run(self, frames: Frames) -> Sequence[Record]:
        """Decide on consecutive frames that follow the last ones."""
        if len(frames) > BLOCK_FRAMES:
            starts = range(0, len(frames), BLOCK_FRAMES)
            return [r for n in starts for r in self._run(frames[n : n + BLOCK_FRAMES])]
        timer = self.timer
        mark = timer.start() if timer else 0
        features = self._features.push(frames.x)
        mark = timer.lap("features", mark) if timer else 0
        probabilities = self._logits(features)
        softmax_rows(probabilities, probabilities)
        self.probabilities = probabilities[-1]
        mark = timer.lap("network", mark) if timer else 0
        if self.observer is not None:
            self.observer(probabilities, frames.seq, frames.t_us)
        events = self._decision.push(probabilities, frames.seq, frames.t_us)
        if timer:
            timer.lap("decision", mark)
        return events

    def _logits(self, features: F32) -> F32:
        """Advance the state over (N, I) features; `forward` equals repeated `step`, bit for bit."""
        x = features if features.dtype == self._dtype else features.astype(self._dtype)
        if len(x) == 1:
            logits = np.empty((1, len(self.bundle.labels)), self._dtype)
            self._network.step(x, self._state, logits)
        else:
            logits = self._network.forward(x[:, None, :], self._state).reshape(len(x), -1)
        return logits if logits.dtype == np.float32 else logits.astype(np.float32)
