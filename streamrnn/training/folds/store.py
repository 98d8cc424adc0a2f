"""What models said of recordings that they never saw, on disk: one safetensors file a fold.

A digest over everything in it stands in the file, so damage is noticed before anything is decided
on it. Nothing in it is code.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamrnn.core.errors import TrainingError
from streamrnn.core.text import printable
from streamrnn.evaluation.events import Segment
from streamrnn.evaluation.heldout import HeldOutRun
from streamrnn.sessions.digest import frames_digest
from streamrnn.training.checkpoint import FILE_NAME, remove_checkpoint
from streamrnn.training.config import TrainConfig
from streamrnn.training.folds.splits import Fold

logger = logging.getLogger(__name__)

FORMAT = 1
#: A larger file is not one of ours.
MAX_BYTES = 1 << 31
_NAME = "streamrnn-fold"
_ARRAYS: dict[str, tuple[str, int]] = {
    "probabilities": ("float32", 2),
    "energy": ("float32", 1),
    "seq": ("int64", 1),
    "t_us": ("int64", 1),
    "breaks": ("int64", 2),
    "y": ("int64", 1),
}
_FACTS = ("name", "subject", "rate_hz", "null_s", "duration_s")
_Tensors = dict[str, npt.NDArray[Any]]


class FoldStore:
    """What stays on disk of one part.

    Parameters
    ----------
    directory : Path or None
        Of the whole run; None keeps nothing.
    n : int
        Which part.
    fold : Fold
    config : TrainConfig
    resume : bool
        Whether what stands there may be taken over; if not it is removed.
    """

    def __init__(
        self, directory: Path | None, n: int, fold: Fold, config: TrainConfig, *, resume: bool
    ) -> None:
        self._path = None if directory is None else directory / f"fold-{n}.safetensors"
        #: Folder of the part's training run.
        self.checkpoints = None if directory is None else directory / f"fold-{n}"
        if self._path is None:
            return
        self._key = _key(fold, config)
        if not resume:
            self._path.unlink(missing_ok=True)
            self._clear()

    @property
    def has_checkpoint(self) -> bool:
        """Whether a training run of this part can be gone on with."""
        return self.checkpoints is not None and (self.checkpoints / FILE_NAME).is_file()

    def load(self) -> list[HeldOutRun] | None:
        """Return the runs that were kept, None where there are none of this part."""
        if self._path is None or not self._path.is_file():
            return None
        return load_runs(self._path, self._key)

    def save(self, runs: Sequence[HeldOutRun]) -> None:
        """Keep the runs of a finished part; its checkpoint is no longer needed."""
        if self._path is not None:
            save_runs(self._path, self._key, runs)
            self._clear()

    def _clear(self) -> None:
        if self.checkpoints is not None:
            remove_checkpoint(self.checkpoints)


def _key(fold: Fold, config: TrainConfig) -> str:
    """Return a digest of all that the runs of a part depend on."""
    options = config.to_document()
    del options["training"]["backend"]  # may change on the way
    facts: list[Any] = [options]
    for session in (*fold.training, *fold.left_out):
        labels = [(label.name, label.start_us, label.end_us) for label in session.labels]
        facts.append([frames_digest(session), labels, session.subject])
    facts += [len(fold.training), fold.left_out_names]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def save_runs(path: Path, key: str, runs: Sequence[HeldOutRun]) -> None:
    """Write the runs of one fold, replacing the file at once.

    Parameters
    ----------
    path : Path
    key : str
        Says of which sessions and options the runs are.
    runs : sequence of HeldOutRun

    Raises
    ------
    TrainingError
        The file cannot be written.
    """
    from safetensors.numpy import save

    tensors = {
        f"{n}.{name}": np.ascontiguousarray(getattr(run, name))
        for n, run in enumerate(runs)
        for name in _ARRAYS
    }
    document: dict[str, Any] = {"format": FORMAT, "key": key, "runs": [_facts(r) for r in runs]}
    document["digest"] = _digest(tensors, document)
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(save(tensors, {_NAME: json.dumps(document)}))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise TrainingError(f"cannot write {path}: {error.strerror}") from error


def load_runs(path: Path, key: str) -> list[HeldOutRun] | None:
    """Return the runs of a file; None, and a word about it, where they cannot be trusted.

    Parameters
    ----------
    path : Path
    key : str
        What `save_runs` was given; runs of other sessions or options are not taken.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("it is too large")
        with safe_open(path, framework="numpy") as file:
            document = json.loads((file.metadata() or {})[_NAME])
            tensors: _Tensors = {name: file.get_tensor(name) for name in file.keys()}
        digest = document.pop("digest")
        if document["format"] != FORMAT or document["key"] != key:
            raise ValueError("it is of other sessions or options")
        if digest != _digest(tensors, document):
            raise ValueError("its digest is wrong")
        return [_run(n, facts, tensors) for n, facts in enumerate(document["runs"])]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        logger.warning("%s is not used, its part is trained anew: %s", path, printable(str(error)))
        return None


def _facts(run: HeldOutRun) -> dict[str, Any]:
    facts = {name: getattr(run, name) for name in _FACTS}
    truth = [[s.start, s.end, s.label] for s in run.truth]
    return {**facts, "labels": list(run.labels), "truth": truth}


def _run(n: int, facts: Mapping[str, Any], tensors: _Tensors) -> HeldOutRun:
    arrays: dict[str, Any] = {name: tensors[f"{n}.{name}"] for name in _ARRAYS}
    for name, (dtype, n_axes) in _ARRAYS.items():
        if arrays[name].dtype != np.dtype(dtype) or arrays[name].ndim != n_axes:
            raise ValueError(f"{name} is {arrays[name].dtype} with {arrays[name].ndim} axes")
    return HeldOutRun(
        **{name: facts[name] for name in _FACTS},
        labels=tuple(facts["labels"]),
        truth=[Segment(start, end, label) for start, end, label in facts["truth"]],
        **arrays,
    )


def _digest(tensors: _Tensors, document: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
