"""All that some streams of a fleet carry, in memory and as bytes.

The bytes are a safetensors file: plain arrays and one JSON document (docs/fleet.md lists them).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from streamrnn.core.text import printable
from streamrnn.core.types import F64, I64, Floats
from streamrnn.kernels.live.slots import GRID
from streamrnn.kernels.params import State
from streamrnn.runtime.bundle import Bundle

METADATA_KEY = "streamrnn_fleet"
#: Version of the document; a reader refuses any other.
FORMAT = 2
#: Columns of `FleetSnapshot.counts`.
N_SMOOTHED, N_FRAMES = range(2)
N_COUNTS = 2
#: No stream has had more frames: 34 years at 1 kHz.
MAX_FRAMES = 2**40
#: Hidden values and probabilities are within 1 of 0, but for their rounding.
_LARGEST = 1.01
#: Scaled samples are cut, so features carry at most their squares.
_LARGEST_FEATURE = 1e13


@dataclass(frozen=True, slots=True, eq=False)
class FleetSnapshot:
    """What n streams carry from frame to frame.

    Attributes
    ----------
    model : str
        The model that they are streams of; see `fingerprint`.
    state : State of n rows
        The network's.
    features : float64 (n, m)
        What the features carry; first how many frames they have seen.
    means : float64 (n, C)
        Smoothed probabilities.
    recent : float64 (n, frames, C)
        Probabilities of the newest frames, as a plain mean keeps them; no frames without one.
    counts : int64 (n, 2)
        Frames that the smoothing has seen, and all frames.
    rates : float64 (n, m)
        What stands between the streams' rate and the model's carries, then the probabilities of
        the newest model frame; no columns where nothing does.
    decisions : tuple of dict or None
        What `DecisionMachine.snapshot` gives, None for a machine that is as good as new.
    """

    model: str
    state: State
    features: F64
    means: F64
    recent: F64
    counts: I64
    rates: F64
    decisions: tuple[dict[str, Any] | None, ...]

    def __post_init__(self) -> None:
        """Refuse arrays that cannot be those of one number of streams."""
        n = self.state.n_rows
        for name, array, dtype in (
            ("features", self.features, np.float64),
            ("means", self.means, np.float64),
            ("counts", self.counts, np.int64),
            ("rates", self.rates, np.float64),
        ):
            if array.dtype != dtype or array.ndim != 2 or len(array) != n:
                raise ValueError(f"{name} is {array.dtype} {array.shape}, expected {n} rows")
        if self.counts.shape[1] != N_COUNTS:
            raise ValueError(f"counts are {self.counts.shape}, expected {N_COUNTS} each")
        if n and not 0 <= self.counts.min() <= self.counts.max() <= MAX_FRAMES:
            raise ValueError(f"counts of frames beyond 0..{MAX_FRAMES}")
        if not all((np.abs(array) < _LARGEST).all() for array in (*self.state.h, self.means)):
            raise ValueError("hidden values or probabilities that no stream has")
        shape = (n, *self.recent.shape[1:2], self.means.shape[1])
        if self.recent.dtype != np.float64 or self.recent.shape != shape:
            raise ValueError(f"recent is {self.recent.dtype} {self.recent.shape}")
        is_share = ((self.recent >= 0) & (self.recent <= 1)).all()
        if not is_share or not (np.rint(self.recent * GRID) == self.recent * GRID).all():
            raise ValueError("recent probabilities that no stream has")
        seen = self.features[:, :1]
        if not ((seen >= 0) & (seen <= MAX_FRAMES)).all():
            raise ValueError(f"features of frames beyond 0..{MAX_FRAMES}")
        if not (np.abs(self.features) <= _LARGEST_FEATURE).all():
            raise ValueError("features carry what no stream has")
        if not all(np.isfinite(array).all() for array in self.state.c):
            raise ValueError("cell states that are not finite")
        if len(self.decisions) != n:
            raise ValueError(f"{len(self.decisions)} decisions for {n} streams")

    def __len__(self) -> int:
        """Return the number of streams."""
        return self.state.n_rows

    def to_bytes(self) -> bytes:
        """Return the streams as a safetensors file; the same streams give the same bytes."""
        tensors: dict[str, Floats | I64] = {
            "features": self.features,
            "means": self.means,
            "recent": self.recent,
            "counts": self.counts,
            "rates": self.rates,
        }
        for n, (h, c) in enumerate(zip(self.state.h, self.state.c, strict=True)):
            tensors[f"h.{n}"], tensors[f"c.{n}"] = h, c
        known = {str(n): d for n, d in enumerate(self.decisions) if d is not None}
        document = {
            "format": FORMAT,
            "model": self.model,
            "n_layers": len(self.state.h),
            "decisions": known,
        }
        text = json.dumps(document, allow_nan=False, sort_keys=True, separators=(",", ":"))
        whole = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
        return save(whole, metadata={METADATA_KEY: text})

    @classmethod
    def from_bytes(cls, data: bytes) -> FleetSnapshot:
        """Return the streams that `to_bytes` wrote.

        Raises
        ------
        ValueError
            Not such bytes, cut short, damaged, or of another version.
        """
        try:
            document = _document(data)
            tensors = load(data)
            layers = range(document["n_layers"])
            state = State(*(tuple(tensors[f"{part}.{n}"] for n in layers) for part in "hc"))
            n_streams = state.n_rows
            known = {int(n): dict(d) for n, d in document["decisions"].items()}
            if any(not 0 <= n < n_streams for n in known):
                raise ValueError(f"decisions of more than its {n_streams} streams")
            return cls(
                model=str(document["model"]),
                state=state,
                features=tensors["features"],
                means=tensors["means"],
                recent=tensors["recent"],
                counts=tensors["counts"],
                rates=tensors["rates"],
                decisions=tuple(known.get(n) for n in range(n_streams)),
            )
        except (
            ValueError, SafetensorError, LookupError, TypeError, AttributeError, RecursionError
        ) as error:  # fmt: skip
            what = printable(str(error), 160)
            raise ValueError(f"these bytes are no snapshot of streams: {what}") from error


def fingerprint(bundle: Bundle, stream_hz: float | None) -> str:
    """Return what a snapshot tells a model by; how it decides is not part of it.

    Parameters
    ----------
    bundle : Bundle
    stream_hz : float or None
        Rate of the streams; None: the model's, and there are no filters.
    """
    document = {
        "features": bundle.features.to_document(),
        "labels": bundle.labels,
        "rate_hz": bundle.rate_hz,
        "signal": None if bundle.signal is None else bundle.signal.to_document(),
        "stream_hz": stream_hz,
    }
    total = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for array in bundle.params.arrays():
        total.update(f"{array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return f"sha256:{total.hexdigest()}"


def _document(data: bytes) -> dict[str, Any]:
    """Return the JSON document in the header of a safetensors file."""
    n_header = int.from_bytes(data[:8], "little")
    if len(data) < 8 or n_header > len(data) - 8:
        raise ValueError("they are cut short, or of another format")
    header = json.loads(data[8 : 8 + n_header].decode("utf-8"))
    document = json.loads(header["__metadata__"][METADATA_KEY], parse_constant=_no_constant)
    if document["format"] != FORMAT:
        raise ValueError(
            f"snapshot format {document['format']!r}, this program reads {FORMAT}: "
            "take the streamrnn version that wrote it"
        )
    if not isinstance(document["n_layers"], int) or not 0 < document["n_layers"] <= len(header):
        raise ValueError("it has no layers")
    return dict(document)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
