"""A name for the frames of a recording that follows them through files and formats."""

from __future__ import annotations

import hashlib

import numpy as np

from streamrnn.sessions.session import Session


def frames_digest(session: Session) -> str:
    """Return the SHA-256 of a session's samples, 64 hex digits.

    The same recording has the same digest whatever its file is called, however its times are
    counted and in whichever order its channels stand: the samples of all frames go in as
    little-endian float32, the channels in the order of their names. Labels and metadata do not
    count, so a recording that was labelled anew is still known.
    """
    names = session.info.channel_names
    order = sorted(range(len(names)), key=lambda column: (names[column], column))
    x = np.ascontiguousarray(session.frames.x[:, order], "<f4")
    digest = hashlib.sha256(f"frames {x.shape[0]} {x.shape[1]}\n".encode())
    digest.update(x.tobytes())
    return digest.hexdigest()
