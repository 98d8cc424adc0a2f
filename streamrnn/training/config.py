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
from streamrnn.core.text import did_you_mean, printable
from streamrnn.decision.machine import DecisionConfig
from streamrnn.features.config import FeatureConfig

#: Epochs are raised at most so many times to reach `TrainConfig.min_updates`.
EPOCHS_TIMES = 20

_SECTIONS = ("training", "augment", "features", "decision")

_BOUNDS: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "seed": (0, 2**63 - 1),
    "min_updates": (0, 1_000_000),
    "class_updates": (0, 100_000),
    "folds": (0, 100),
    "fold_epochs": (0.01, 1),
    "average": (0, 0.9999),
    "learning_rate": (0, 1e6),
    "warm_up": (0, 1),
    "weight_decay": (0, 1e3),
    "clip_norm": (0, 1e9),
    "label_smoothing": (0, 0.95),
    "class_weight_power": (0, 2),
    "null_cap": (0.01, 1),
    "dropout": (0, 0.95),
    "n_lanes": (1, 4096),
    "slice_frames": (0, 100_000),
    "reset_probability": (0, 1),
    "batch_size": (1, 4096),
    "row_trials": (1, 100),
    "row_single": (0, 1),
    "row_null": (0, 1),
    "ramp_power": (0, 10),
    "head_fraction": (0, 0.95),
    "head_weight": (0, 1),
    "boundary_fraction": (0, 1),
    "held_out_fraction": (0, 0.95),
    "patience": (0, 100_000),
    "max_gap_ms": (0, 1000),
    "threads": (1, 1024),
}


@dataclass(frozen=True)
class AugmentConfig:
    """How a recorded piece is varied each time it is shown. All spreads can be 0 = off.

    Which variations a channel takes part in follows from its name and unit
    (`streamrnn.features.sensors`), never from the name of a data set.

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
        White noise, in units of each channel's spread, or of twice its steps where these are less.
    warp : float
        Inside the piece the speed swings smoothly about its mean: standard deviation of its
        logarithm.
    channel_gain : float
        Standard deviation of the logarithm of a factor for each channel that belongs to no
        three-axis sensor and no position (an electrode sits better or worse).
    returns : float
        Chance that the way back follows a gesture: it backwards, as null (cut streams only, and
        only where a channel feels motion).
    dropout : float
        Chance that a channel of which nothing is known lies at rest for a whole piece; never the
        only sensor.
    session_gain : float
        Standard deviation of the logarithm of a factor for each sensor, drawn once a session and
        epoch.
    ring_shift : int
        Electrodes in a ring are moved round by up to so many whole places: an armband is put on
        turned. 0: as it was worn.
    plane_deg : float
        Standard deviation of a turn of positions in their plane.
    """

    rotation_deg: float = 20.0
    speed: float = 0.35
    amplitude: float = 0.4
    jitter: float = 0.1
    warp: float = 0.15
    channel_gain: float = 0.0
    returns: float = 0.2
    dropout: float = 0.1
    session_gain: float = 0.0
    ring_shift: int = 0
    plane_deg: float = 0.0

    def __post_init__(self) -> None:
        for key, value in asdict(self).items():
            if not (math.isfinite(value) and 0 <= value <= 180):
                raise ConfigError(f"{key} must be 0 or more, got {value}")
        for key in ("speed", "warp", "channel_gain", "session_gain"):
            if getattr(self, key) > 2:
                raise ConfigError(f"{key} must be at most 2, got {getattr(self, key)}")
        if self.dropout > 0.95:
            raise ConfigError(f"dropout must be at most 0.95, got {self.dropout}")
        if self.returns > 1:
            raise ConfigError(f"returns must be at most 1, got {self.returns}")


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes
    ----------
    labels : {"auto", "frame", "rows", "trial"}
        ``frame``: every frame has a class (unlabelled frames are the null class), streams are cut
        into slices and the state is carried on. ``rows``: every labelled interval is a trial, and
        each row of a batch starts afresh with one trial, or some with null between them.
        ``trial``: every labelled interval is one example, judged at its last frame alone.
        ``auto``: ``rows`` where every session is one labelled trial from end to end or has no
        label at all, else ``frame``.
    streams : {"auto", "segments", "sessions"}
        For frame labels. ``segments``: sessions are cut in the gaps between gestures and joined
        anew in random order each epoch, so that the order of a recording teaches nothing.
        ``sessions``: each session as it was recorded. ``auto``: ``segments`` where most gestures
        have null between them.
    model : {"lstm", "mlp-window"}
        The recurrent network, or a small perceptron on windows to compare it with.
    hidden : tuple of int
        Units of each LSTM layer.
    epochs, seed : int
        Passes over the data; start of all random numbers.
    min_updates : int
        Small sets are passed over more often, until so many updates are made (at most
        `EPOCHS_TIMES` times `epochs`); 0 = off.
    class_updates : int
        Or so many for each gesture, if that is more.
    folds : int
        Cross-validation before the model itself is trained, in at most so many parts; 0 = off.
    fold_epochs : float
        Share of the epochs that each of these parts is trained for.
    average : float
        The model is an exponential mean of the weights over the updates, with this decay a update;
        0 = the last weights.
    learning_rate, warm_up, weight_decay, clip_norm : float
        Peak of the one-cycle schedule, its rising share, AdamW's decay, largest gradient norm.
    label_smoothing, class_weight_power, dropout : float
        Loss: smoothing; a gesture weighs ``(mean count / count) ** power``. Dropout before the
        head, one mask a lane and slice.
    null_cap : float
        The null class has at most this share of the loss; 1 = no cap.
    n_lanes, slice_frames : int
        Streams side by side, and frames between two updates; 0 frames: about two gestures.
    reset_probability : float
        Chance that a lane forgets its state before a slice, so that no start state is strange.
    batch_size : int
        Rows side by side (rows and trials only).
    row_trials : int
        Rows only: a row has up to so many trials.
    row_single : float
        Share of the rows that are a single trial with nothing before or behind it.
    row_gap : tuple of two float
        Shortest and longest null between trials, as shares of the median gesture.
    row_null : float
        Weight of that null's frames in the loss: made up, much of it looks as a gesture's end.
    ramp_power : float
        Rows only: frame t of n in a trial weighs ``(t / n) ** ramp_power``.
    head_fraction, head_weight, boundary_fraction : float
        The head of each gesture, this share of it from its onset, weighs less in the loss (nobody
        can know the class yet): `head_weight`, 0..1. Not at all count this share of the median
        gesture on the far side of both boundaries.
    ramp : {"step", "linear"}
        How the weight goes from `head_weight` to 1: at the end of the head, or all along it.
    held_out : tuple of str
        Subjects kept out of training to watch it; there is no cross-validation then.
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
        Options of `streamrnn.decision.DecisionConfig` that replace those that were measured.
    """

    labels: str = "auto"
    streams: str = "auto"
    model: str = "lstm"
    hidden: tuple[int, ...] = (64,)
    epochs: int = 50
    seed: int = 0
    min_updates: int = 1500
    class_updates: int = 100
    folds: int = 4
    fold_epochs: float = 0.5
    average: float = 0.99
    learning_rate: float = 4e-3
    warm_up: float = 0.2
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    label_smoothing: float = 0.05
    class_weight_power: float = 0.35
    null_cap: float = 1.0
    dropout: float = 0.3
    n_lanes: int = 16
    slice_frames: int = 0
    reset_probability: float = 0.1
    batch_size: int = 32
    row_trials: int = 3
    row_single: float = 0.5
    row_gap: tuple[float, ...] = (0.2, 1.0)
    row_null: float = 0.3
    ramp_power: float = 2.0
    head_fraction: float = 0.5
    head_weight: float = 0.1
    ramp: str = "linear"
    boundary_fraction: float = 0.08
    held_out: tuple[str, ...] = ()
    held_out_fraction: float = 0.0
    patience: int = 0
    max_gap_ms: float = 100.0
    backend: str = field(default="cpu", compare=False)
    threads: int = field(default=1, compare=False)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    decision: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _one_of("labels", self.labels, ("auto", "frame", "rows", "trial"))
        _one_of("streams", self.streams, ("auto", "segments", "sessions"))
        _one_of("model", self.model, ("lstm", "mlp-window"))
        _one_of("ramp", self.ramp, ("step", "linear"))
        if not 1 <= len(self.hidden) <= 8:
            raise ConfigError(f"hidden must name 1 to 8 layers, got {list(self.hidden)}")
        for size in self.hidden:
            _within("hidden", size, 1, 4096)
        if len(self.row_gap) != 2 or not 0 <= self.row_gap[0] <= self.row_gap[1] <= 100:
            raise ConfigError(
                "row_gap must be the shortest and the longest gap, within 0..100, "
                f"got {list(self.row_gap)}"
            )
        for key, (low, high) in _BOUNDS.items():
            _within(key, getattr(self, key), low, high)
        if self.folds == 1:
            raise ConfigError("folds must be 0 (do not cross-validate) or 2 and more, got 1")
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
                raise ConfigError(f"{where}: {key} must be a table: [{key}]")
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
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not a TOML file: {printable(str(error), 160)}") from None
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
