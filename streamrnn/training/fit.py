"""The training loop: batches to the backend's updates, watched, saved after every epoch.

All random numbers come from one generator whose state is saved with each epoch, so a run gives the
same weights bit for bit when it is repeated, and when it was interrupted and resumed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from streamrnn import __version__
from streamrnn.core.errors import TrainingError
from streamrnn.core.types import F32
from streamrnn.kernels.backend import Backend, Handle, get_backend
from streamrnn.kernels.params import AdamSpec, Batch, LossSpec, OptState
from streamrnn.model.params import init_params
from streamrnn.model.spec import NetworkSpec
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions.session import Session
from streamrnn.training.batches import Plan
from streamrnn.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from streamrnn.training.config import TrainConfig
from streamrnn.training.data import DataSet, prepare
from streamrnn.training.held_out import bundle_of, held_out_of
from streamrnn.training.schedule import one_cycle
from streamrnn.training.targets import class_weights

#: An epoch whose loss is so many times that of guessing has diverged.
DIVERGED = 10.0


class TrainingStopped(TrainingError):
    """The user asked a run to stop; what was done is saved."""


@dataclass(frozen=True, slots=True)
class Progress:
    """News of one epoch.

    Attributes
    ----------
    epoch, n_epochs : int
        Epochs finished, and of how many.
    loss : float
        Mean training loss of the epoch.
    held_out_f1, held_out_loss : float or None
        Score on the held-out sessions; None when nothing is held out.
    seconds_left : float
        If the remaining epochs take as long as those of this run.
    """

    epoch: int
    n_epochs: int
    loss: float
    held_out_f1: float | None
    held_out_loss: float | None
    seconds_left: float


def fit(
    sessions: Sequence[Session],
    config: TrainConfig,
    *,
    checkpoint_dir: Path | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Bundle:
    """Train a model.

    Parameters
    ----------
    sessions : sequence of Session
        Labelled recordings of one device layout.
    config : TrainConfig
    checkpoint_dir : Path or None
        Gets a checkpoint after every epoch; None keeps nothing on disk.
    resume : bool
        Go on from the checkpoint in `checkpoint_dir`; data and configuration must be the same.
    progress : callable, optional
        Called after every epoch.
    should_stop : callable, optional
        Asked before every update.

    Returns
    -------
    Bundle
        The best epoch by held-out event F1 (then loss), or the last when nothing is held out.

    Raises
    ------
    TrainingError
        Nothing to learn from, a run that diverged, a checkpoint of another run.
    TrainingStopped
        `should_stop` said so.
    ConfigError
        A channel or class that does not exist.
    """
    return fit_data(
        prepare(sessions, config),
        config,
        checkpoint_dir=checkpoint_dir,
        resume=resume,
        progress=progress,
        should_stop=should_stop,
    )


def fit_data(
    data: DataSet,
    config: TrainConfig,
    *,
    checkpoint_dir: Path | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Bundle:
    """Train a model on sessions that `prepare` has checked and split; see `fit`."""
    backend = get_backend(config.backend, n_threads=config.threads)
    backend.warm_up(np.dtype(np.float32), training=True)
    run = _Run(data, config, backend, checkpoint_dir, should_stop or (lambda: False))
    if resume:
        run.resume()
    run.to_end(progress or (lambda _: None))
    return run.bundle()


class _Run:
    """One training run; `now` is what a checkpoint holds."""

    def __init__(
        self,
        data: DataSet,
        config: TrainConfig,
        backend: Backend,
        directory: Path | None,
        should_stop: Callable[[], bool],
    ) -> None:
        self.data = data
        self.config = config
        self.backend = backend
        self.directory = directory
        self.should_stop = should_stop
        self.plan = Plan(data, config)
        ends = slice(-1 if config.labels == "trial" else 0, None)
        targets = [piece.targets[ends] for piece in self.plan.pieces]
        weights = class_weights(targets, len(data.labels), config.class_weight_power)
        self.loss = LossSpec(weights, config.label_smoothing)
        self.watch = held_out_of(data, config, backend, weights)
        rng = np.random.default_rng(config.seed)
        spec = NetworkSpec(data.chain.n_outputs, config.hidden, len(data.labels))
        params = init_params(spec, int(rng.integers(2**31)))
        self.now = Checkpoint(
            config=config,
            fingerprint=data.fingerprint(),
            epoch=0,
            params=params,
            opt=OptState.zeros(params),
            rng=rng,
        )

    def resume(self) -> None:
        """Take over the checkpoint, if it is one of this run."""
        if self.directory is None:
            raise TrainingError("nothing to resume from: name the folder of a training run")
        saved = load_checkpoint(self.directory)
        if saved.config != self.config:
            raise TrainingError(
                f"{self.directory} was trained with other options: resume with the same ones"
            )
        if saved.fingerprint != self.now.fingerprint:
            raise TrainingError(
                f"{self.directory} was trained on other sessions: resume with the same ones"
            )
        self.now = replace(saved, config=self.config)

    def to_end(self, progress: Callable[[Progress], None]) -> None:
        """Run all epochs that are left, or until patience runs out."""
        now = self.now
        if now.epoch == 0:
            self._save()
        started, first = time.monotonic(), now.epoch
        while now.epoch < self.config.epochs and not self._out_of_patience():
            loss = self._epoch()
            now.epoch += 1
            score = self._watch()
            self._save()
            seconds = (time.monotonic() - started) / (now.epoch - first)
            left = seconds * (self.config.epochs - now.epoch)
            f1, held_out_loss = score or (None, None)
            progress(Progress(now.epoch, self.config.epochs, loss, f1, held_out_loss, left))

    def bundle(self) -> Bundle:
        """Return the model, with where it came from."""
        now = self.now
        params = now.params if now.best is None else now.best
        return replace(bundle_of(self.data, self.config, params), training=self._provenance())

    def _epoch(self) -> float:
        now, config = self.now, self.config
        slices = self.plan.epoch(now.rng)
        handle = self.backend.upload(now.params)
        state = self.backend.zero_state(handle, self.plan.n_lanes)
        losses = []
        for k, part in enumerate(slices):
            if self.should_stop():
                raise TrainingStopped(self._stopped())
            if len(part.lengths) != state.n_rows:
                state = self.backend.zero_state(handle, len(part.lengths))
            self.backend.reset_rows(state, part.reset)
            mask = dropout_mask(now.rng, len(part.lengths), config.hidden[-1], config.dropout)
            batch = Batch(part.x, part.targets, part.weights, part.lengths, state, mask)
            position = (now.epoch + k / len(slices)) / config.epochs
            losses.append(self._update(handle, batch, position))
        loss = float(np.mean(losses))
        if loss > DIVERGED * math.log(len(self.data.labels)):
            raise TrainingError(self._diverged(f"the loss is {loss:.3g}"))
        # A checkpoint holds plain weights: go on from just these, resumed or not.
        now.params = self.backend.download(handle)
        return loss

    def _update(self, handle: Handle, batch: Batch, position: float) -> float:
        config = self.config
        rate, beta1 = one_cycle(position, config.learning_rate, config.warm_up)
        adam = AdamSpec(
            rate, beta1=beta1, weight_decay=config.weight_decay, clip_norm=config.clip_norm
        )
        result = self.backend.train_step(handle, batch, self.loss, adam, self.now.opt)
        if not (math.isfinite(result.loss) and math.isfinite(result.grad_norm)):
            raise TrainingError(self._diverged("the loss is no longer a finite number"))
        return result.loss

    def _watch(self) -> tuple[float, float] | None:
        if self.watch is None:
            return None
        now = self.now
        f1, loss = self.watch(now.params)
        if not now.best_score or (f1, -loss) > now.best_score:
            now.best_score = (f1, -loss)
            now.best_epoch = now.epoch
            now.best = now.params.copy()
        return f1, loss

    def _out_of_patience(self) -> bool:
        if self.watch is None or not self.config.patience:
            return False
        return self.now.epoch - self.now.best_epoch >= self.config.patience

    def _save(self) -> None:
        if self.directory is not None:
            save_checkpoint(self.directory, self.now)

    def _diverged(self, why: str) -> str:
        kept = (
            f"the checkpoint of epoch {self.now.epoch} in {self.directory} is good"
            if self.directory is not None
            else "nothing was saved"
        )
        return (
            f"training diverged in epoch {self.now.epoch + 1}: {why}; {kept}: "
            f"try a learning_rate below {self.config.learning_rate:g}"
        )

    def _stopped(self) -> str:
        done = f"stopped in epoch {self.now.epoch + 1} of {self.config.epochs}"
        if self.directory is None:
            return f"{done}; nothing was saved"
        return f"{done}; {self.now.epoch} are saved in {self.directory}"

    def _provenance(self) -> dict[str, Any]:
        now, data = self.now, self.data
        counts = np.sum([np.bincount(s.y, minlength=len(data.labels)) for s in data.stretches], 0)
        provenance: dict[str, Any] = {
            "streamrnn": __version__,
            "config": self.config.to_document(),
            "data": self.now.fingerprint,
            "n_frames": data.n_frames,
            "frames_of": dict(zip(data.labels, counts.tolist(), strict=True)),
            "held_out": list(data.held_out_names),
            "epoch": now.best_epoch or now.epoch,
        }
        if now.best_score:
            provenance["held_out_event_f1"] = round(now.best_score[0], 4)
        return provenance


def dropout_mask(rng: np.random.Generator, n_rows: int, n_units: int, share: float) -> F32 | None:
    """Return factors (n_rows, n_units) that drop `share` of the units and scale up the others."""
    if not share:
        return None
    kept = rng.random((n_rows, n_units)) >= share
    mask: F32 = (kept / (1.0 - share)).astype(np.float32)
    return mask
