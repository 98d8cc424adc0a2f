"""frame -> features -> network -> smoothed probabilities, with all that is carried between frames.

Two engines do the same arithmetic in the same order and give the same bits: one compiled call a
frame where the backend has it, and stage by stage anywhere else.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import Protocol

import numpy as np

from streamrnn.core.types import F32, F64, I64
from streamrnn.decision.machine import DecisionMachine
from streamrnn.features.chain import FeatureChain
from streamrnn.kernels.live.pusher import LARGEST_SAMPLE, Pusher
from streamrnn.kernels.pointwise import softmax_rows
from streamrnn.model.network import Network
from streamrnn.model.window import WindowNetwork
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.latency import StageTimer

#: The first stages are not timed until the processor's counter has been compared for so long.
_CALIBRATION_NS = 5_000_000


class Engine(Protocol):
    """What a pipeline drives.

    Attributes
    ----------
    newest : float32 (n,)
        The model's columns of the newest frame; overwritten by the next.
    probabilities : float32 (C,)
        Of the newest frame; overwritten by the next.
    smoothed : float64 (C,)
        The same, smoothed over time.
    energy : float32 (1,)
        Of the newest frame; overwritten by the next. Low = strange, see `softmax_rows`.
    """

    newest: F32
    probabilities: F32
    smoothed: F64
    energy: F32

    def push(self, x: F32) -> int:
        """Take one frame, float32 (1, columns of the stream).

        Returns
        -------
        int
            The strongest class; -1 for a damaged frame, which changes nothing.
        """
        ...

    def run(self, x: F32) -> tuple[F32, F64, F32]:
        """Take good frames, float32 (N, n).

        Returns
        -------
        probabilities : float32 (N, C)
        smoothed : float64 (N, C)
        energy : float32 (N,)
        """
        ...

    def ahead(self) -> None:
        """Do what can be done for the next frame before it is there; changes no result."""
        ...

    def reset(self) -> None:
        """Forget all frames."""
        ...


def open_engine(
    bundle: Bundle,
    network: Network | WindowNetwork,
    decision: DecisionMachine,
    columns: I64,
    n_columns: int,
    *,
    apart: StageTimer | None = None,
) -> Engine:
    """Return the engine for a network and a stream.

    Parameters
    ----------
    bundle : Bundle
    network : Network or WindowNetwork
        With the bundle's weights.
    decision : DecisionMachine
        Its smoother is the engine's last stage.
    columns : int64 (n,)
        The model's among the stream's columns.
    n_columns : int
        How many the stream has.
    apart : StageTimer, optional
        Gets the stages ``features`` and ``cell`` of each call's newest frame.
    """
    chain = FeatureChain.from_document(bundle.features.to_document())
    row = network.row()
    if row is None:
        return StagedEngine(network, chain, decision, columns, apart)
    pusher = Pusher(
        row, chain.kernel, decision.smoother, columns, n_columns,
        temperature=decision.config.temperature,
    )  # fmt: skip
    return FusedEngine(pusher) if apart is None else TimedEngine(pusher, apart)


class FusedEngine:
    """One compiled call a frame; see `Engine`."""

    def __init__(self, pusher: Pusher) -> None:
        self._pusher = pusher
        self.newest = pusher.picked
        self.probabilities = pusher.probabilities
        self.smoothed = pusher.smoothed
        self.energy = pusher.energy
        self.push = pusher.push_frame
        self.run = pusher.push_rows
        self.ahead = pusher.ahead
        self.reset = pusher.reset


class TimedEngine(FusedEngine):
    """The same call, which notes the time between its stages; see `Engine`.

    A timer gets ``features`` and ``cell`` of the newest frame of each call, and its `last_ns` is
    where the decision on that frame begins, with softmax and smoothing.
    """

    def __init__(self, pusher: Pusher, timer: StageTimer) -> None:
        super().__init__(pusher)
        pusher.note_times(True)
        self.push = self._push
        self.run = self._run
        self._timer = timer
        self._begin: tuple[int, int] | None = None

    def _push(self, x: F32) -> int:
        strongest = self._pusher.push_frame(x)
        if strongest >= 0:
            self._note()
        return int(strongest)

    def _run(self, x: F32) -> tuple[F32, F64, F32]:
        result = self._pusher.push_rows(x)
        self._note()
        return result

    def _note(self) -> None:
        now_ns = perf_counter_ns()
        ticks = self._pusher.ticks.tolist()
        self._timer.last_ns = now_ns
        if self._begin is None:
            self._begin = now_ns, ticks[3]
            return
        passed_ns, n_ticks = now_ns - self._begin[0], ticks[3] - self._begin[1]
        if passed_ns < _CALIBRATION_NS or n_ticks <= 0:
            return
        ns_per_tick = passed_ns / n_ticks
        self._timer.add("features", round((ticks[1] - ticks[0]) * ns_per_tick))
        self._timer.add("cell", round((ticks[2] - ticks[1]) * ns_per_tick))
        self._timer.last_ns -= round((ticks[3] - ticks[2]) * ns_per_tick)


class StagedEngine:
    """Stage after stage, on any backend and in any precision; see `Engine`.

    A timer, if there is one, gets the stages ``features`` and ``cell``.
    """

    def __init__(
        self,
        network: Network | WindowNetwork,
        chain: FeatureChain,
        decision: DecisionMachine,
        columns: I64,
        timer: StageTimer | None = None,
    ) -> None:
        self._timer = timer
        self._network = network
        self._chain = chain
        self._smoother = decision.smoother
        self._columns = columns
        self._state = network.new_state(1)
        self._n_classes = len(decision.labels)
        self.newest: F32 = np.zeros(len(columns), np.float32)
        self.probabilities: F32 = np.zeros(self._n_classes, np.float32)
        self.smoothed = self._smoother.value
        self.energy: F32 = np.zeros(1, np.float32)
        self._temperature = decision.config.temperature

    def push(self, x: F32) -> int:
        """See `Engine`."""
        picked = np.ascontiguousarray(x[:, self._columns])
        if not (np.abs(picked) < LARGEST_SAMPLE).all():
            return -1
        self.run(picked)
        return int(self.smoothed.argmax())

    def run(self, x: F32) -> tuple[F32, F64, F32]:
        """See `Engine`."""
        timer = self._timer
        mark = timer.start() if timer else 0
        features = self._chain.push(x)
        if timer:
            mark = timer.lap("features", mark)
        probabilities = self._logits(features)
        if timer:
            timer.lap("cell", mark)
        energy = softmax_rows(probabilities, probabilities, self._temperature)
        self.newest[:] = x[-1]
        self.probabilities[:] = probabilities[-1]
        self.energy[:] = energy[-1]
        return probabilities, self._smoother.push(probabilities), energy

    def ahead(self) -> None:
        """Do nothing: no stage can begin before its frame."""

    def reset(self) -> None:
        """See `Engine`."""
        self._chain.reset()
        self._state = self._network.new_state(1)

    def _logits(self, features: F32) -> F32:
        """Advance the state over (N, I) features; `forward` equals repeated `step`, bit for bit."""
        x = features.astype(self._network.dtype, copy=False)
        if len(x) == 1:
            logits = np.empty((1, self._n_classes), x.dtype)
            self._network.step(x, self._state, logits)
        else:
            logits = self._network.forward(x[:, None, :], self._state).reshape(len(x), -1)
        return logits.astype(np.float32, copy=False)
