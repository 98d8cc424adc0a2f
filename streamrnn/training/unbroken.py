"""Recordings as a network sees them live: the gap rule, then filters, then the network's rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streamrnn.core.errors import ConfigError, TrainingError
from streamrnn.core.types import F32, I64, Channel, Frames
from streamrnn.features.conditioner import Conditioner, SignalSpec, counted_rate
from streamrnn.kernels.live.pusher import LARGEST_SAMPLE
from streamrnn.runtime.gaps import fill, is_short, stretches
from streamrnn.sessions.labels import frame_labels
from streamrnn.sessions.session import Session


def check_rates(
    sessions: Sequence[Session],
    names: Sequence[str],
    model_hz: float,
    signal: SignalSpec | None = None,
) -> None:
    """Refuse sessions that cannot be brought to a network's rate.

    Sessions may have different rates where there are no filters; see `Conditioner`.

    Raises
    ------
    TrainingError
        Less than half of the network's rate; another rate than the filters are made for.
    """
    for session, name in zip(sessions, names, strict=True):
        try:
            counted_rate(signal, session.info.rate_hz, model_hz)
        except ConfigError:
            rate_hz = session.info.rate_hz
            if signal is not None and signal.has_filters:
                raise TrainingError(
                    f"{name} runs at {rate_hz:g} Hz, the filters are made for "
                    f"{signal.input_hz:g} Hz: train on sessions of one rate"
                ) from None
            raise TrainingError(
                f"{name} runs at {rate_hz:g} Hz, which cannot be brought to {model_hz:g} Hz: train "
                "on sessions of similar rates, or on faster ones"
            ) from None


def unbroken(
    session: Session,
    channels: Sequence[Channel],
    labels: Sequence[str],
    max_gap_ms: float,
    model_hz: float,
    *,
    signal: SignalSpec | None = None,
) -> list[tuple[F32, I64]]:
    """Return a session as a network sees it live: frames at its rate, and the class of each.

    The gap rule is applied (short gaps filled, cut at the others), then each unbroken stretch is
    conditioned as a new stream. A frame has the class of the one that completed it.

    Parameters
    ----------
    session : Session
    channels : sequence of Channel
        Which of the session's are read.
    labels : sequence of str
        Class names, the null class first.
    max_gap_ms : float
        Gaps up to this long are filled.
    model_hz : float
        Rate of the network.
    signal : SignalSpec or None
        What is done to the samples.

    Returns
    -------
    list of (x, y)
        float32 (N, n) and int64 (N,) of each stretch that has a frame.

    Raises
    ------
    ConfigError
        The session cannot be brought to that rate.
    """
    names = session.info.channel_names
    columns = [names.index(channel.name) for channel in channels]
    x = np.ascontiguousarray(session.frames.x[:, columns], np.float32)
    good = (np.abs(x) < LARGEST_SAMPLE).all(axis=1)  # False for NaN
    frames = Frames(x[good], session.frames.seq[good], session.frames.t_us[good])
    conditioner = Conditioner.needed(signal, len(columns), session.info.rate_hz, model_hz)
    stream_hz = model_hz if conditioner is None else conditioner.stream_hz
    blocks: list[list[Frames]] = []
    for a, b in stretches(frames.seq) if len(frames) else []:
        part = frames[a:b]
        last = frames[a - 1 : a]
        n_missing = int(part.seq[0] - last.seq[0]) - 1 if len(last) else -1
        if n_missing > 0 and is_short(n_missing, stream_hz, max_gap_ms):
            blocks[-1] += [fill(last, part[:1]), part]
        else:
            blocks.append([part])
    done = []
    for block in blocks:
        joined = Frames.join(block, len(columns))
        x, y = joined.x, frame_labels(replace(session, frames=joined), labels)
        if conditioner is not None:
            conditioner.reset()
            x, at = conditioner.push(x)
            y = y[at]
        if len(x):
            done.append((x, y))
    return done
