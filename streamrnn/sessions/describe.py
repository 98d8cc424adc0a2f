"""What `streamrnn info` says of a session."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamrnn.sessions.rate import arrival_rate_hz, fitted_rate_hz
from streamrnn.sessions.session import Session


def describe(session: Session) -> dict[str, Any]:
    """Return the figures of a session, JSON-ready.

    Returns
    -------
    dict
        ``n_frames``, ``duration_s``, ``rate_hz`` (nominal, 0 when unknown), ``fitted_rate_hz``,
        ``arrival_rate_hz`` (where times are only counted, by the host's clock; else 0),
        ``channels`` (name, unit, min, max), ``gaps`` (count, frames missing, longest in seconds),
        ``labels`` (count and seconds a class), ``undone`` (labels taken back), ``events``,
        ``device``, ``metadata``, ``problems``.
    """
    info, frames = session.info, session.frames
    is_counted = session.metadata.get("clock") == "counted"
    if is_counted:
        rate_hz = arrival_rate_hz(frames.seq, session.host_ns // 1000)
    else:
        rate_hz = fitted_rate_hz(frames.seq, frames.t_us)
    return {
        "kind": "session",
        "n_frames": len(frames),
        "duration_s": session.duration_s,
        "rate_hz": info.rate_hz,
        "fitted_rate_hz": 0.0 if is_counted else round(rate_hz, 6),
        "arrival_rate_hz": round(rate_hz, 6) if is_counted else 0.0,
        "channels": _channels(session),
        "gaps": _gaps(session),
        "labels": _labels(session),
        "undone": len(session.undone),
        "events": len(session.events),
        "device": {"name": info.name, "firmware": info.firmware, "boot_id": info.boot_id},
        "metadata": dict(session.metadata),
        "problems": list(session.problems),
    }


def _channels(session: Session) -> list[dict[str, Any]]:
    x = session.frames.x
    finite = np.isfinite(x)
    described = []
    for k, channel in enumerate(session.info.channels):
        values = x[finite[:, k], k]
        described.append(
            {
                "name": channel.name,
                "unit": channel.unit,
                "min": float(values.min()) if len(values) else None,
                "max": float(values.max()) if len(values) else None,
                "n_not_finite": int(len(x) - len(values)),
            }
        )
    return described


def _gaps(session: Session) -> dict[str, Any]:
    seq, t_us = session.frames.seq, session.frames.t_us
    missing = np.diff(seq) - 1
    places = np.flatnonzero(missing)
    longest = int(np.diff(t_us)[places].max()) / 1e6 if len(places) else 0.0
    return {"count": len(places), "n_missing": int(missing.sum()), "longest_s": longest}


def _labels(session: Session) -> dict[str, dict[str, Any]]:
    classes: dict[str, dict[str, Any]] = {}
    for label in sorted(session.labels, key=lambda item: item.name):
        entry = classes.setdefault(label.name, {"count": 0, "seconds": 0.0})
        entry["count"] += 1
        entry["seconds"] = round(entry["seconds"] + (label.end_us - label.start_us) / 1e6, 6)
    return classes
