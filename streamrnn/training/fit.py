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
from typing import Any, cast

import numpy as np

from streamrnn import __version__
from streamrnn.core.errors import TrainingError
from streamrnn.core.types import F32, I64
from streamrnn.kernels.backend import Backend, Handle, get_backend
from streamrnn.kernels.params import AdamSpec, Batch, LossSpec, OptState, Params
from streamrnn.model.params import init_params
from streamrnn.model.spec import NetworkSpec
from streamrnn.model.window import init_window_params
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions.session import Session
from streamrnn.training.batches import Plan
from streamrnn.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from streamrnn.training.config import TrainConfig
from streamrnn.training.data import DataSet, prepare
from streamrnn.training.held_out import bundle_of, held_out_of
from streamrnn.training.schedule import one_cycle
from streamrnn.training.targets import class_weights
from streamrnn.training.window import WindowTrainer, window_spec

#: An epoch whose loss is so many times that of guessing has diverged.
DIVERGED = 10.0
#: The mean of the weights takes in every so-manieth update: a copy of the weights costs something.
AVERAGE_EVERY = 4
#: A run of very many short epochs is watched and saved about so many times.
MAX_LOOKS = 100
#: Points of a learning curve in a model.
MAX_POINTS = 200


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
        Score on the held-out sessions; None when nothing is held out, or nobody looked.
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
    run = TrainingRun(data, config, backend, checkpoint_dir, should_stop)
    if resume:
        run.resume()
    run.to_end(progress)
    return run.bundle()


class TrainingRun:
    """One training run; `now` is what a checkpoint holds.

    Parameters
    ----------
    data : DataSet
    config : TrainConfig
    backend : Backend
        Warmed up.
    directory : Path or None
        Gets the checkpoints.
    should_stop : callable or None
        Asked before every update.
    """

    def __init__(
        self,
        data: DataSet,
        config: TrainConfig,
        backend: Backend,
        directory: Path | None,
        should_stop: Callable[[], bool] | None,
    ) -> None:
        self.data = data
        self.config = config
        self.backend = cast(Backend, WindowTrainer()) if _is_window(config) else backend
        self.directory = directory
        self.should_stop = should_stop or (lambda: False)
        self.plan = Plan(data, config)
        weights = class_weights(
            self._shown_classes(), len(data.labels), config.class_weight_power, config.null_cap
        )
        self.loss = LossSpec(weights, config.label_smoothing)
        self.watch = held_out_of(data, config, self.backend, weights)
        rng = np.random.default_rng(config.seed)
        params = first_weights(data, config, int(rng.integers(2**31)))
        self.now = Checkpoint(
            config=config,
            fingerprint=data.fingerprint(),
            epoch=0,
            params=params,
            opt=OptState.zeros(params),
            rng=rng,
            average=params.copy() if config.average else None,
        )
        self.every = max(1, self.plan.n_epochs // MAX_LOOKS)
        self.n_saved = 0

    def _shown_classes(self) -> list[I64]:
        """Return the classes that count in the loss, by frames, as an epoch shows them."""
        if self.data.form == "rows":
            shown = self.plan.epoch(np.random.default_rng(self.config.seed))
            return [part.targets[part.weights > 0] for part in shown]
        ends = slice(-1 if self.data.form == "trial" else 0, None)
        return [piece.targets[ends] for piece in self.plan.pieces]

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
        self.n_saved = saved.epoch

    def to_end(self, progress: Callable[[Progress], None] | None = None) -> None:
        """Run all epochs that are left, or until patience runs out."""
        now, n_epochs = self.now, self.plan.n_epochs
        if now.epoch == 0:
            self.save()
        started, first = time.monotonic(), now.epoch
        while now.epoch < n_epochs and not self._out_of_patience():
            loss = self._epoch()
            now.epoch += 1
            score = self._watch()
            now.curve.append((loss, *(score or ())))
            if self._is_due():
                self.save()
            seconds = (time.monotonic() - started) / (now.epoch - first)
            left = seconds * (n_epochs - now.epoch)
            f1, held_out_loss = score or (None, None)
            if progress is not None:
                progress(Progress(now.epoch, n_epochs, loss, f1, held_out_loss, left))

    def bundle(self) -> Bundle:
        """Return the model, with where it came from."""
        now = self.now
        params = self._model() if now.best is None else now.best
        return replace(bundle_of(self.data, self.config, params), training=self._provenance())

    def _model(self) -> Params:
        """Return the weights that a model would have now."""
        now = self.now
        if now.average is None or now.opt.n_updates < AVERAGE_EVERY:
            return now.params
        return now.average

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
            position = (now.epoch + k / len(slices)) / self.plan.n_epochs
            losses.append(self._update(handle, batch, position))
            self._average(handle)
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

    def _average(self, handle: Handle) -> None:
        """Bring the mean of the weights up to date.

        The mean of the first n samples has the factor 1 for the first one, so that the random
        start weights are no part of it (Kingma & Ba 2015, section 3).
        """
        mean, n_updates = self.now.average, self.now.opt.n_updates
        if mean is None or n_updates % AVERAGE_EVERY:
            return
        decay = self.config.average**AVERAGE_EVERY
        share = np.float32((1.0 - decay) / (1.0 - decay ** (n_updates // AVERAGE_EVERY)))
        newest = self.backend.download(handle)
        for total, new in zip(mean.arrays(), newest.arrays(), strict=True):
            np.add(total, share * (new - total), out=total)

    def _is_due(self) -> bool:
        """Whether this epoch is looked at and saved: all are, unless they are very many."""
        return self.now.epoch % self.every == 0 or self.now.epoch == self.plan.n_epochs

    def _watch(self) -> tuple[float, float] | None:
        if self.watch is None or not self._is_due():
            return None
        now = self.now
        f1, loss = self.watch(self._model())
        if not now.best_score or (f1, -loss) > now.best_score:
            now.best_score = (f1, -loss)
            now.best_epoch = now.epoch
            now.best = self._model().copy()
        return f1, loss

    def _out_of_patience(self) -> bool:
        if self.watch is None or not self.config.patience:
            return False
        return self.now.epoch - self.now.best_epoch >= self.config.patience

    def save(self) -> None:
        """Write a checkpoint, if there is a folder for it."""
        if self.directory is not None:
            save_checkpoint(self.directory, self.now)
            self.n_saved = self.now.epoch

    def _diverged(self, why: str) -> str:
        kept = (
            f"the checkpoint of epoch {self.n_saved} in {self.directory} is good"
            if self.directory is not None
            else "nothing was saved"
        )
        return (
            f"training diverged in epoch {self.now.epoch + 1}: {why}; {kept}: "
            f"try a learning_rate below {self.config.learning_rate:g}"
        )

    def _stopped(self) -> str:
        done = f"stopped in epoch {self.now.epoch + 1} of {self.plan.n_epochs}"
        if self.directory is None:
            return f"{done}; nothing was saved"
        return f"{done}; {self.n_saved} are saved in {self.directory}"

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
            "labels": data.form,
            "features": list(data.reasons),
            "epoch": now.best_epoch or now.epoch,
            "n_updates": now.opt.n_updates,
            "learning_curve": learning_curve(now.curve),
        }
        if now.best_score:
            provenance["held_out_event_f1"] = round(now.best_score[0], 4)
        return provenance


def _is_window(config: TrainConfig) -> bool:
    return config.model == "mlp-window"


def first_weights(data: DataSet, config: TrainConfig, seed: int) -> Params:
    """Return the random weights that training begins with."""
    n_inputs, n_classes = data.chain.n_outputs, len(data.labels)
    if _is_window(config):
        window = window_spec(n_inputs, config.hidden[-1], n_classes, data.median_frames)
        # A run goes through the arrays and asks for nothing else.
        return cast(Params, init_window_params(window, seed))
    return init_params(NetworkSpec(n_inputs, config.hidden, n_classes), seed)


def learning_curve(curve: Sequence[tuple[float, ...]]) -> list[dict[str, float]]:
    """Return a run's epochs as JSON values, no more than `MAX_POINTS` of them, the last included.

    Returns
    -------
    list of dict
        ``epoch``, ``loss`` and, where somebody was watched, ``held_out_f1`` and
        ``held_out_loss``.
    """
    keys = ("loss", "held_out_f1", "held_out_loss")
    n = len(curve)
    kept = sorted({n - 1 - k * n // MAX_POINTS for k in range(MAX_POINTS)} if n else ())
    return [
        {"epoch": k + 1}
        | {
            key: round(value, 5)
            for key, value in zip(keys, curve[k], strict=False)
            if math.isfinite(value)
        }
        for k in kept
    ]


def dropout_mask(rng: np.random.Generator, n_rows: int, n_units: int, share: float) -> F32 | None:
    """Return factors (n_rows, n_units) that drop `share` of the units and scale up the others."""
    if not share:
        return None
    kept = rng.random((n_rows, n_units)) >= share
    mask: F32 = (kept / (1.0 - share)).astype(np.float32)
    return mask
