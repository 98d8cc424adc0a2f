"""A recorded session through the same pipeline as a live stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from streamrnn.core.records import Record
from streamrnn.core.types import F32, I64
from streamrnn.decision.explain import Explain
from streamrnn.kernels.backend import Backend
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.pipeline import Block, Pipeline
from streamrnn.sessions.session import Session

Mode = Literal["batch", "frames"]


@dataclass(frozen=True, slots=True, eq=False)
class SessionRun:
    """What a run over a session gives.

    Attributes
    ----------
    records : list of Record
        Events and gaps, in order.
    probabilities : float32 (M, C)
        Of every decided frame, filled ones included, in the order of the labels; after the
        temperature and before smoothing.
    energy : float32 (M,)
        Low = strange, see `streamrnn.kernels.pointwise.softmax_rows`.
    seq, t_us : int64 (M,)
        Index and device time (microseconds) of each row.
    """

    records: list[Record]
    probabilities: F32
    energy: F32
    seq: I64
    t_us: I64


def run_session(
    bundle: Bundle,
    session: Session,
    backend: Backend,
    *,
    mode: Mode = "batch",
    explain: Explain | None = None,
) -> list[Record]:
    """Return the records that a live run over the session's frames would give.

    Parameters
    ----------
    bundle : Bundle
    session : Session
    backend : Backend
    mode : {"batch", "frames"}
        Each gap-free stretch in one block, or one frame at a time. The records are the same.
    explain : callable, optional
        Gets an `Explanation` for each event and each near miss.

    Raises
    ------
    ConfigError
        The session's channels or rate do not fit the model.
    """
    return _push_all(Pipeline(bundle, backend, explain=explain), session, mode)


def run_session_with_probabilities(
    bundle: Bundle, session: Session, backend: Backend, *, explain: Explain | None = None
) -> SessionRun:
    """Return the records and the class probabilities of every frame; see `run_session`."""
    nothing, no_index = np.empty((0, len(bundle.labels)), np.float32), np.empty(0, np.int64)
    blocks = [Block(nothing, nothing[:, 0], no_index, no_index)]
    pipeline = Pipeline(bundle, backend, observer=blocks.append, explain=explain)
    records = _push_all(pipeline, session, "batch")
    return SessionRun(records, *(np.concatenate(part) for part in zip(*blocks, strict=True)))


def _push_all(pipeline: Pipeline, session: Session, mode: Mode) -> list[Record]:
    if mode not in ("batch", "frames"):
        raise ValueError(f"mode must be 'batch' or 'frames', got {mode!r}")
    pipeline.start(session.info)
    size = max(1, len(session.frames)) if mode == "batch" else 1
    records: list[Record] = []
    for first in range(0, len(session.frames), size):
        records += pipeline.push(session.frames[first : first + size])
    return records + pipeline.finish()
