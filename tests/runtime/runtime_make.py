"""Small models and streams for the tests of the runtime."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import cache

import numpy as np

from streamrnn.core.records import Record, to_json_line
from streamrnn.core.types import Channel, Counters, Frames, Item, StreamInfo
from streamrnn.decision.machine import DecisionConfig
from streamrnn.features.chain import FeatureChain, FeatureConfig
from streamrnn.kernels import get_backend
from streamrnn.kernels.backend import Backend
from streamrnn.model.network import Network
from streamrnn.model.params import init_params
from streamrnn.model.spec import NetworkSpec
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.pipeline import Pipeline
from streamrnn.sources.timing import TimingReport

RATE_HZ = 100.0
CHANNELS = tuple(Channel(name, "g") for name in ("acc_x", "acc_y", "acc_z"))
INFO = StreamInfo(CHANNELS, RATE_HZ, "dev", "1", "boot")
LABELS = ("none", "left", "right")


@cache
def bundle(fire: str = "end", max_gap_ms: float = 50.0, seed: int = 1) -> Bundle:
    """Return a model that decides at random, but often."""
    x = np.random.default_rng(seed).normal(size=(200, 3)).astype(np.float32)
    config = FeatureConfig(differences=True)
    features = FeatureChain.fit([x], CHANNELS, RATE_HZ, config)
    params = init_params(NetworkSpec(features.n_outputs, (8, 4), 3), seed=seed)
    # Spread the logits, so that each class is the likeliest now and then.
    network = Network(params, get_backend("numpy"))
    z = features.push(make_frames(500).x)
    logits = network.forward(z[:, None, :], network.new_state())[:, 0]
    params.w_out[:] *= 4.0 / logits.std(axis=0)[:, None]
    params.b_out[:] = -(logits - params.b_out).mean(axis=0) * 4.0 / logits.std(axis=0)
    features.reset()
    decision = DecisionConfig(enter=0.7, exit=0.5, min_ms=20.0, smooth_ms=15.0, fire=fire)
    return Bundle(params, features, LABELS, RATE_HZ, CHANNELS, decision, max_gap_ms, {"by": "test"})


@cache
def backend(name: str = "cpu") -> Backend:
    return get_backend(name)


def make_frames(n: int, seed: int = 0, first: int = 0) -> Frames:
    """Return n frames without a gap: a slow random walk with noise."""
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.normal(size=(n, 3)), axis=0) * 0.3 + rng.normal(size=(n, 3))
    seq = np.arange(first, first + n)
    return Frames(x.astype(np.float32), seq, seq * 10_000)


def without(frames: Frames, lost: Iterable[int]) -> Frames:
    """Return the frames but those of some indices."""
    keep = ~np.isin(np.arange(len(frames)), list(lost))
    return Frames(frames.x[keep], frames.seq[keep], frames.t_us[keep])


def run(items: Iterable[Item], model: Bundle | None = None, kernel: str = "cpu") -> list[str]:
    """Return the records of a stream as lines."""
    pipeline = Pipeline(model or bundle(), backend(kernel))
    pipeline.start(INFO)
    records: list[Record] = []
    for item in items:
        records += pipeline.push(item)
    return lines(records + pipeline.finish())


def lines(records: Iterable[Record]) -> list[str]:
    return [to_json_line(record) for record in records]


class ListSource:
    """A source in memory that gives prepared lists of items."""

    name = "list:"
    timing: TimingReport | None = None

    def __init__(
        self,
        *reads: list[Item] | Exception,
        live: bool = False,
        info: StreamInfo = INFO,
        hold: threading.Event | None = None,
    ) -> None:
        self.live = live
        self.info = info
        self.counters = Counters()
        self.n_reads = 0
        self._reads = list(reads)
        self._hold = hold

    def open(self) -> None:
        """Nothing to open."""

    def read(self, timeout_s: float) -> list[Item]:
        self.n_reads += 1
        if not self._reads:
            if self._hold is not None:
                self._hold.wait(timeout_s)
            return []
        read = self._reads.pop(0)
        if isinstance(read, Exception):
            raise read
        self.counters.n_frames += sum(len(i) for i in read if isinstance(i, Frames))
        return read

    def close(self) -> None:
        """Nothing to close."""


class ListSink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.opened: tuple[str, str] | None = None
        self.n_closed = 0

    def open(self, stream: str, model: str) -> None:
        self.opened = stream, model

    def write(self, record: Record) -> None:
        self.records.append(record)

    def close(self) -> None:
        self.n_closed += 1
