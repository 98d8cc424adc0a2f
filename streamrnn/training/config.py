"""What a training run can be told, and the TOML file that tells it."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean
from streamrnn.decision.machine import DecisionConfig
from streamrnn.features.chain import FeatureConfig

_SECTIONS = ("training", "augment", "features", "decision")


@dataclass(frozen=True)
class AugmentConfig:
    """How a recorded piece is varied each time it is shown. All spreads can be 0 = off.

    Attributes
    ----------
    rotation_deg : float
        Standard deviation of a turn of the whole sensor about a random axis.
    speed : float
        The piece is played at ``exp(U(-speed, speed))`` times its speed; rates and accelerations
        change with it.
    amplitude : float
        Standard deviation of the logarithm of a common factor, and of 0.4 times that for each
        three-axis sensor by itself.
    jitter : float
        White noise, in units of each channel's spread.
    """

    rotation_deg: float = 20.0
    speed: float = 0.35
    amplitude: float = 0.4
    jitter: float = 0.1

    def __post_init__(self) -> None:
        for key, value in asdict(self).items():
            if not (math.isfinite(value) and 0 <= value <= 180):
                raise ConfigError(f"{key} must be 0 or more, got {value}")
        if self.speed > 2:
            raise ConfigError(f"speed must be at most 2, got {self.speed}")


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes
    ----------
    labels : {"frame", "trial"}
        ``frame``: every frame has a class (unlabelled frames are the null class), streams are cut
        into slices and the state is carried on. ``trial``: every labelled interval is one example
        with one class, read to its end and judged at its last frame.
    streams : {"segments", "sessions"}
        For frame labels. ``segments``: sessions are cut in the gaps between gestures and joined
        anew in random order each epoch, so that the order of a recording teaches nothing.
        ``sessions``: each session as it was recorded.
    hidden : tuple of int
        Units of each LSTM layer.
    epochs, seed : int
        Passes over the data; start of all random numbers.
    learning_rate, warm_up, weight_decay, clip_norm : float
        Peak of the one-cycle schedule, its rising share, AdamW's decay, largest gradient norm.
    label_smoothing, class_weight_power, dropout : float
        Loss: smoothing; a class weighs ``(mean count / count) ** power``. Dropout before the head,
        one mask a lane and slice.
    n_lanes, slice_frames : int
        Streams side by side, and frames between two updates; 0 frames: about two gestures.
    reset_probability : float
        Chance that a lane forgets its state before a slice, so that no start state is strange.
    batch_size : int
        Trials side by side (trial labels only).
    head_fraction, boundary_fraction : float
        Frames that the loss ignores: this share of each gesture from its onset (nobody can know the
        class yet), and this share of the median gesture on the far side of both boundaries.
    held_out : tuple of str
        Subjects kept out of training to watch it.
    held_out_fraction : float
        When no subject is named: share of subjects (or sessions, when nobody said who) kept out.
    patience : int
        Stop after so many epochs without a better held-out event F1; 0 = never.
    max_gap_ms : float
        Goes into the model: longest gap that a run fills.
    backend : str
        See `streamrnn.kernels.get_backend`; a run may be resumed on another.
    threads : int
        How many work on one update. It changes no result, so no model or checkpoint holds it.
    features : FeatureConfig
    augment : AugmentConfig
    decision : dict
        Options of `streamrnn.decision.DecisionConfig` that replace those measured on the labels.
    """

    labels: str = "frame"
    streams: str = "segments"
    hidden: tuple[int, ...] = (64,)
    epochs: int = 50
    seed: int = 0
    learning_rate: float = 4e-3
    warm_up: float = 0.2
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    label_smoothing: float = 0.05
    class_weight_power: float = 0.35
    dropout: float = 0.3
    n_lanes: int = 16
    slice_frames: int = 0
    reset_probability: float = 0.1
    batch_size: int = 32
    head_fraction: float = 0.5
    boundary_fraction: float = 0.08
    held_out: tuple[str, ...] = ()
    held_out_fraction: float = 0.2
    patience: int = 0
    max_gap_ms: float = 100.0
    backend: str = field(default="cpu", compare=False)
    threads: int = field(default=1, compare=False)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    decision: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _one_of("labels", self.labels, ("frame", "trial"))
        _one_of("streams", self.streams, ("segments", "sessions"))
        if not 1 <= len(self.hidden) <= 8:
            raise ConfigError(f"hidden must name 1 to 8 layers, got {list(self.hidden)}")
        for size in self.hidden:
            _within("hidden", size, 1, 4096)
        _within("epochs", self.epochs, 1, 100_000)
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("n_lanes", self.n_lanes, 1, 4096)
        _within("batch_size", self.batch_size, 1, 4096)
        _within("slice_frames", self.slice_frames, 0, 100_000)
        _within("threads", self.threads, 1, 1024)
        _within("patience", self.patience, 0, 100_000)
        _within("learning_rate", self.learning_rate, 0, 1e6)
        _within("weight_decay", self.weight_decay, 0, 1e3)
        _within("clip_norm", self.clip_norm, 0, 1e9)
        _within("class_weight_power", self.class_weight_power, 0, 2)
        _within("max_gap_ms", self.max_gap_ms, 0, 1000)
        for key in ("label_smoothing", "dropout", "held_out_fraction", "head_fraction"):
            _within(key, getattr(self, key), 0, 0.95)
        for key in ("warm_up", "reset_probability", "boundary_fraction"):
            _within(key, getattr(self, key), 0, 1)
        from_mapping(DecisionConfig, self.decision, "decision")

    def to_document(self) -> dict[str, Any]:
        """Return the configuration as JSON values, in the sections that `from_document` reads."""
        values = asdict(self)
        del values["threads"]
        sections = {key: values.pop(key) for key in ("augment", "features", "decision")}
        document: dict[str, Any] = _jsonable({"training": values, **sections})
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any], where: str) -> TrainConfig:
        """Return the configuration that the sections of a document describe.

        Parameters
        ----------
        document : mapping
            Tables ``training``, ``augment``, ``features``, ``decision``, each optional.
        where : str
            Where it comes from, for messages.

        Raises
        ------
        ConfigError
            Unknown sections or options (the nearest right one is named), wrong types, nonsense.
        """
        for key in document:
            if key not in _SECTIONS:
                raise ConfigError(f"{where}: unknown section {key!r}{did_you_mean(key, _SECTIONS)}")
        tables = {key: document.get(key, {}) for key in _SECTIONS}
        for key, table in tables.items():
            if not isinstance(table, Mapping):
                raise ConfigError(f"{where}: {key} must be a table, got {table!r}")
        decision = dict(tables["decision"])
        from_mapping(DecisionConfig, decision, f"{where} [decision]")
        values = {
            **tables["training"],
            "features": from_mapping(FeatureConfig, tables["features"], f"{where} [features]"),
            "augment": from_mapping(AugmentConfig, tables["augment"], f"{where} [augment]"),
            "decision": decision,
        }
        return from_mapping(cls, values, f"{where} [training]")


def load_config(path: Path) -> TrainConfig:
    """Read a TOML file; see `TrainConfig.from_document`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from None
    return TrainConfig.from_document(document, path.name)


def _one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{key} must be one of {', '.join(known)}, got {value!r}")


def _within(key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{key} must be within {low:g}..{high:g}, got {value}")


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return value
