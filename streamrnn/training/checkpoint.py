"""A training run on disk: weights, the optimiser's memory, random state, position.

One safetensors file, replaced whole after every epoch, so that a run killed at any time goes on
from the last epoch that was finished and ends in the same weights, bit for bit.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from streamrnn.core.errors import TrainingError
from streamrnn.kernels.params import LayerParams, OptState, Params
from streamrnn.model.window import WindowParams
from streamrnn.training.config import TrainConfig

FILE_NAME = "checkpoint.safetensors"
FORMAT = 2
#: A larger file is not one of ours.
MAX_BYTES = 1 << 31
_KEY = "streamrnn-checkpoint"
_OPTIONAL = ("average", "best")


@dataclass(slots=True, eq=False)
class Checkpoint:
    """All that a run needs to go on.

    Attributes
    ----------
    config : TrainConfig
    fingerprint : str
        Digest of the training data.
    epoch : int
        Epochs finished.
    params : Params
    opt : OptState
    rng : np.random.Generator
        Behind the draws of the finished epochs.
    average : Params or None
        Mean of the weights over the updates; None when `TrainConfig.average` is off.
    curve : list of tuple of float
        ``(loss,)`` of each finished epoch, or ``(loss, held-out event F1, held-out loss)``.
    best : Params or None
        Weights of the best epoch by held-out score; None when nothing is held out.
    best_score : tuple of float
        ``(event F1, -loss)`` of that epoch; empty at first.
    best_epoch : int
        0 at first.
    """

    config: TrainConfig
    fingerprint: str
    epoch: int
    params: Params
    opt: OptState
    rng: np.random.Generator
    average: Params | None = None
    curve: list[tuple[float, ...]] = field(default_factory=list)
    best: Params | None = None
    best_score: tuple[float, ...] = ()
    best_epoch: int = 0


def save_checkpoint(directory: Path, state: Checkpoint) -> None:
    """Write the checkpoint of `directory`, replacing the one before it at once.

    Raises
    ------
    TrainingError
        The folder cannot be written.
    """
    from safetensors.numpy import save

    groups = {"params": state.params, "m": state.opt.m, "v": state.opt.v}
    for name in _OPTIONAL:
        group = getattr(state, name)
        if group is not None:
            groups[name] = group
    tensors = {
        f"{name}.{n}": np.ascontiguousarray(array)
        for name, params in groups.items()
        for n, array in enumerate(params.arrays())
    }
    document = {
        "format": FORMAT,
        "config": state.config.to_document(),
        "fingerprint": state.fingerprint,
        "epoch": state.epoch,
        "window": getattr(state.params, "window", 0),
        "n_updates": state.opt.n_updates,
        "rng": state.rng.bit_generator.state,
        "curve": state.curve,
        "best_score": list(state.best_score),
        "best_epoch": state.best_epoch,
    }
    data = save(tensors, {_KEY: json.dumps(document)})
    path = directory / FILE_NAME
    temporary = path.with_suffix(".tmp")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise TrainingError(f"cannot write the checkpoint {path}: {error.strerror}") from error


def remove_checkpoint(directory: Path) -> None:
    """Remove the checkpoint of `directory`, and the folder if nothing else stands in it."""
    path = directory / FILE_NAME
    for file in (path, path.with_suffix(".tmp")):
        file.unlink(missing_ok=True)
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


def load_checkpoint(directory: Path) -> Checkpoint:
    """Read the checkpoint of `directory`.

    Raises
    ------
    TrainingError
        There is none, or it cannot be trusted.
    """
    path = directory / FILE_NAME
    tensors, document = _read(path)
    try:
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}, expected {FORMAT}")
        config = TrainConfig.from_document(document["config"], path.name)
        window = int(document["window"])
        if (config.model == "mlp-window") != (window > 0):
            raise ValueError("its weights are not of the model that its options name")
        groups = {
            name: _params(tensors, name, len(config.hidden), window)
            for name in ("params", "m", "v", *_OPTIONAL)
            if name not in _OPTIONAL or f"{name}.0" in tensors
        }
        rng = np.random.default_rng()
        rng.bit_generator.state = document["rng"]
        if (config.average > 0) != ("average" in groups):
            raise ValueError("its mean of the weights and its options do not fit together")
        return Checkpoint(
            config=config,
            fingerprint=str(document["fingerprint"]),
            epoch=int(document["epoch"]),
            params=groups["params"],
            opt=OptState(groups["m"], groups["v"], int(document["n_updates"])),
            rng=rng,
            average=groups.get("average"),
            curve=[tuple(float(v) for v in row) for row in document["curve"]],
            best=groups.get("best"),
            best_score=tuple(float(v) for v in document["best_score"]),
            best_epoch=int(document["best_epoch"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path} is not a checkpoint of this program: {error}") from error


def _read(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise TrainingError(f"no checkpoint in {path.parent}: name the folder of a training run")
    if path.stat().st_size > MAX_BYTES:
        raise TrainingError(f"{path} is too large to be a checkpoint")
    try:
        with safe_open(path, framework="numpy") as file:
            document = json.loads((file.metadata() or {})[_KEY])
            if not isinstance(document, dict):
                raise ValueError("its document is not an object")
            return {name: file.get_tensor(name) for name in file.keys()}, document
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise TrainingError(f"{path} is damaged, or not a checkpoint: {error}") from error


def _params(tensors: dict[str, npt.NDArray[Any]], group: str, n_layers: int, window: int) -> Params:
    n_arrays = 4 if window else 3 * n_layers + 2
    arrays = [tensors[f"{group}.{n}"] for n in range(n_arrays)]
    reference = [tensors[f"params.{n}"] for n in range(n_arrays)]
    for array, like in zip(arrays, reference, strict=True):
        if array.shape != like.shape or array.dtype != like.dtype:
            raise ValueError(f"{group} does not have the form of the weights")
        if not np.isfinite(array).all():
            raise ValueError(f"{group} holds numbers that are not finite")
    if window:
        w_in, b_in, w_out, b_out = arrays
        if w_in.shape[1] % window:
            raise ValueError(f"{w_in.shape[1]} weights a unit for a window of {window} frames")
        return cast(Params, WindowParams(w_in, b_in, w_out, b_out, window))
    layers = tuple(LayerParams(*arrays[3 * n : 3 * n + 3]) for n in range(n_layers))
    return Params(layers, arrays[-2], arrays[-1])
