"""A model file as live objects, and the question whether a stream fits it."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError, ModelFileError
from streamrnn.core.text import printable
from streamrnn.core.types import I64, Channel, StreamInfo
from streamrnn.decision.calibration import Calibration
from streamrnn.decision.machine import DecisionConfig
from streamrnn.features.chain import FeatureChain
from streamrnn.features.conditioner import Conditioner, SignalSpec, counted_rate
from streamrnn.model.file import (
    FORMAT,
    ModelFile,
    load_model,
    model_hash,
    save_model,
    spec_document,
)
from streamrnn.model.window import Weights

#: The longest gap that a model may ask to have filled.
MAX_GAP_LIMIT_MS = 1000.0


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """All that a run needs, and all that a model file holds.

    Attributes
    ----------
    params : Params or WindowParams
        Weights; ``n_inputs`` is the features' width, ``n_classes`` the number of labels.
    features : FeatureChain
        Fitted feature chain over `channels`.
    labels : tuple of str
        Class names, the null class first.
    rate_hz : float
        Frame rate of the network, > 0.
    channels : tuple of Channel
        What the features read, in order.
    decision : DecisionConfig
        How probabilities become events.
    max_gap_ms : float
        Gaps up to this long are filled, longer ones reset; 0..1000.
    training : dict
        Provenance, JSON-ready; not used by a run.
    model_hash : str
        ``sha256:...`` of the file, ``""`` when it came from none.
    precision : {"exact", "bf16"}
        How a run holds the weights (see `streamrnn.kernels.backend.Backend.upload`); its own
        choice, and not in the file.
    signal : SignalSpec or None
        What is done to a stream's samples before anything else, and at which rate; None: the
        stream has the network's rate and is taken as it comes.
    calibration : dict
        What `streamrnn calibrate` found (see `streamrnn.decision.calibration.Calibration`), of this
        decision; empty when nobody calibrated it.
    """

    params: Weights
    features: FeatureChain
    labels: tuple[str, ...]
    rate_hz: float
    channels: tuple[Channel, ...]
    decision: DecisionConfig
    max_gap_ms: float = 100.0
    training: dict[str, Any] = field(default_factory=dict)
    model_hash: str = ""
    precision: str = "exact"
    signal: SignalSpec | None = None
    calibration: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together."""
        params = self.params
        if len(self.labels) != params.n_classes:
            raise ConfigError(f"{len(self.labels)} labels for {params.n_classes} network outputs")
        if len(set(self.labels)) != len(self.labels) or len(self.labels) < 2:
            raise ConfigError(f"labels must be two or more different names, got {self.labels}")
        if self.features.n_outputs != params.n_inputs:
            raise ConfigError(
                f"{self.features.n_outputs} features for {params.n_inputs} network inputs"
            )
        if self.features.n_inputs != len(self.channels):
            raise ConfigError(
                f"the features read {self.features.n_inputs} channels, "
                f"the model names {len(self.channels)}"
            )
        if not 0.0 < self.rate_hz <= 1e6:
            raise ConfigError(f"rate_hz must be within 0..1e6, got {self.rate_hz}")
        if not 0.0 <= self.max_gap_ms <= MAX_GAP_LIMIT_MS:
            raise ConfigError(f"max_gap_ms must be within 0..1000, got {self.max_gap_ms}")

        counted_rate(self.signal, self.stream_hz, self.rate_hz)

    @property
    def stream_hz(self) -> float:
        """Frame rate that a stream is expected to have."""
        return self.signal.input_hz if self.signal else self.rate_hz

    def conditioner(self, stream_hz: float) -> Conditioner | None:
        """Return what stands between a stream of some rate and the features, if anything.

        Parameters
        ----------
        stream_hz : float
            Nominal; 0 when unknown.

        Raises
        ------
        ConfigError
            Such a stream does not fit.
        """
        return Conditioner.needed(self.signal, len(self.channels), stream_hz, self.rate_hz)

    def to_document(self) -> dict[str, Any]:
        """Return the JSON document that stands beside the weights (docs/formats.md, "Models")."""
        return {
            "format": FORMAT,
            "spec": spec_document(self.params),
            "channels": [{"name": c.name, "unit": c.unit} for c in self.channels],
            "rate_hz": self.rate_hz,
            "features": self.features.to_document(),
            "labels": list(self.labels),
            "decision": asdict(self.decision),
            "max_gap_ms": self.max_gap_ms,
            "training": self.training,
            "signal": self.signal.to_document() if self.signal else None,
            "calibration": self.calibration,
        }

    def save(self, path: str | Path) -> Bundle:
        """Write the model file (atomically) and return this bundle with the file's hash."""
        save_model(Path(path), ModelFile(self.params, self.to_document()))
        return replace(self, model_hash=model_hash(Path(path)))

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Read a model file.

        Raises
        ------
        ModelFileError
            Not a model file, damaged, of another version, or parts that do not fit together.
        """
        path = Path(path)
        file = load_model(path)
        try:
            return _from_document(file.params, file.document, model_hash(path))
        except ConfigError as error:
            raise ModelFileError(f"{path}: {error}") from error

    def with_decision(self, overrides: dict[str, Any], where: str) -> Bundle:
        """Return this bundle with some decision options replaced.

        Raises
        ------
        ConfigError
            An unknown option (the nearest right one is named) or a senseless value.
        """
        merged = {**asdict(self.decision), **overrides}
        decision = from_mapping(DecisionConfig, merged, where)
        # What was found of one decision says nothing of another one.
        calibration = self.calibration if decision == self.decision else {}
        return replace(self, decision=decision, calibration=calibration)

    def column_indices(self, info: StreamInfo) -> I64:
        """Return the stream's column of each of the model's channels, int64 (n_channels,).

        A text stream with the generic names ``ch0, ch1, ...`` matches by count.

        Raises
        ------
        ConfigError
            A channel of the model is missing in the stream.
        """
        wanted = [channel.name for channel in self.channels]
        have = {name: column for column, name in enumerate(info.channel_names)}
        missing = [name for name in wanted if name not in have]
        if not missing:
            return np.array([have[name] for name in wanted], np.int64)
        if _is_generic(info):
            if info.n_channels == len(wanted):
                return np.arange(len(wanted), dtype=np.int64)
            raise ConfigError(
                "the stream is text, or was recorded from text, without channel names: "
                f"{info.n_channels} numbers a line, the model wants {len(wanted)} "
                f"({_names(wanted)}): send exactly these channels, in this order"
            )
        raise ConfigError(
            f"the stream lacks {_names(missing)} (it has {_names(info.channel_names)}): "
            "send these channels, or take a model trained on what the stream has"
        )

    def matches_by_place(self, info: StreamInfo) -> bool:
        """Return True if a stream without names is taken column by column, see `column_indices`."""
        return _is_generic(info) and info.channel_names != tuple(c.name for c in self.channels)

    def check_stream(self, info: StreamInfo) -> None:
        """Raise `ConfigError` (one line: what differs, what to do) if a stream does not fit."""
        columns = self.column_indices(info)
        for channel, column in zip(self.channels, columns, strict=True):
            unit = info.channels[int(column)].unit
            if unit and channel.unit and unit != channel.unit:
                raise ConfigError(
                    f"channel {printable(channel.name)} comes in {printable(unit)}, the model was "
                    f"trained on {printable(channel.unit)}: send the model's unit, or train anew"
                )
        counted_rate(self.signal, info.rate_hz, self.rate_hz)


def _is_generic(info: StreamInfo) -> bool:
    return info.channel_names == tuple(f"ch{n}" for n in range(info.n_channels))


def _names(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(printable(name, 40) for name in names[:12]) + (", ..." * (len(names) > 12))


_KEYS = {
    "labels": list,
    "rate_hz": int | float,
    "channels": list,
    "features": dict,
    "decision": dict,
    "max_gap_ms": int | float,
    "training": dict,
}


def _from_document(params: Weights, document: dict[str, Any], file_hash: str) -> Bundle:
    for key, kind in _KEYS.items():
        if not isinstance(document.get(key), kind):
            raise ConfigError(f"the model's {key!r} is missing or of the wrong type")
        if kind == int | float and not abs(document[key]) <= sys.float_info.max:
            raise ConfigError(f"the model's {key!r} is too large")
    signal = document.get("signal")
    if signal is not None and not isinstance(signal, dict):
        raise ConfigError("the model's 'signal' is of the wrong type")
    calibration = document.get("calibration", {})
    if calibration != {}:
        if not isinstance(calibration, dict):
            raise ConfigError("the model's 'calibration' is of the wrong type")
        calibration = Calibration.from_document(calibration).to_document()
    if not all(isinstance(label, str) for label in document["labels"]):
        raise ConfigError("the model's 'labels' must be names")
    channels = tuple(
        from_mapping(Channel, entry if isinstance(entry, dict) else {}, "channels")
        for entry in document["channels"]
    )
    return Bundle(
        params=params,
        features=FeatureChain.from_document(document["features"]),
        labels=tuple(document["labels"]),
        rate_hz=float(document["rate_hz"]),
        channels=channels,
        decision=from_mapping(DecisionConfig, document["decision"], "decision"),
        max_gap_ms=float(document["max_gap_ms"]),
        training=document["training"],
        model_hash=file_hash,
        signal=None if signal is None else SignalSpec.from_document(signal),
        calibration=calibration,
    )
