"""Where a recording goes, and what is said of it at the end."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from streamrnn.core.errors import ConfigError
from streamrnn.core.text import counted, printable

if TYPE_CHECKING:
    from streamrnn.runtime.flow import Flow
    from streamrnn.runtime.recording import Recording
    from streamrnn.sources.tap import Tape


def recording_path(output: str, subject: str, now_s: float) -> Path:
    """Return the file to write.

    Parameters
    ----------
    output : str
        A file, ``.mcap`` is added where there is no suffix; or a folder: then a name is made of the
        subject and the time.
    subject : str
        Anybody's text: only letters, digits, ``_`` and ``-`` of it go into the name.
    now_s : float
        Seconds since 1970.

    Raises
    ------
    ConfigError
        There is no such folder.
    """
    path = Path(output)
    if path.is_dir():
        who = re.sub(r"[^\w-]+", "_", subject, flags=re.ASCII).strip("_-")[:40] or "session"
        return path / f"{who}-{time.strftime('%Y-%m-%d-%H%M%S', time.localtime(now_s))}.mcap"
    if output.endswith("/") or not path.parent.is_dir():
        folder = output if output.endswith("/") else path.parent
        raise ConfigError(f"no folder {folder} for the recording: make it first")
    return path if path.suffix else path.with_suffix(".mcap")


def progress(flow: Flow, recording: Recording) -> str:
    """Return how far a recording is, as one line."""
    recorder = recording.recorder
    open_label = f" ({recorder.open_label} ...)" if recorder.open_label else ""
    return (
        f"{flow.clock.covered_s:.1f} s, {recorder.n_frames} frames, "
        f"{counted(recorder.n_labels, 'label')}{open_label}, {recorder.n_missing} frames lost"
    )


def summary(flow: Flow, recording: Recording, path: Path) -> list[str]:
    """Return what to say at the end: what is there, what is wrong with it, and what comes next."""
    from streamrnn.cli.live import times
    from streamrnn.runtime.damage import damage_of

    ended = {"stopped": "stopped", "duration": "done"}.get(flow.ended, "the stream ended")
    if recording.is_complete:
        ended = "done"
    counters = recording.source.counters
    parts = [progress(flow, recording), *damage_of(recording.source).words()]
    if counters.n_unplugs:
        parts.append(f"unplugged {times(counters.n_unplugs)}")
    lines = [f"{ended}: {', '.join(parts)} -> {path}"]
    labels = {name: n for name, n in recording.recorder.labels.items() if n}
    if labels:
        counts = (f"{printable(name, 40)} {n}" for name, n in sorted(labels.items()))
        lines.append(f"  labels: {', '.join(counts)}")
    lines += _of_the_guide(recording)
    lines += [f"  ! {text}" for text in recording.quality.summary()]
    if labels:
        quoted = shlex.quote(str(path))
        lines.append(f"next: streamrnn inspect {quoted}")
        lines.append(f"      streamrnn train {quoted} -o model.safetensors")
    return lines


def say_dropped(tape: Tape | None) -> None:
    """Say so if undecoded bytes are missing in the file."""
    from streamrnn.cli.live import say

    if tape is not None and tape.n_dropped_bytes:
        say(f"! {tape.n_dropped_bytes} raw bytes came faster than they could be written")


def _of_the_guide(recording: Recording) -> list[str]:
    guide = recording.guide
    if guide is None:
        return []
    lines = []
    skipped = {name: n for name, n in guide.n_skipped.items() if n}
    if skipped:
        counts = ", ".join(f"{printable(name, 40)} {n}" for name, n in skipped.items())
        lines.append(f"  skipped: {counts}")
    missing = {
        name: guide.config.reps - n - guide.n_skipped[name] for name, n in guide.n_done.items()
    }
    if any(missing.values()):
        counts = ", ".join(f"{printable(name, 40)} {n}" for name, n in missing.items() if n)
        lines.append(f"  not done: {counts}")
    for name, n in recording.quality.n_still.items():
        if n:
            lines.append(f"  {printable(name, 40)}: nothing moved in {n} of {guide.n_done[name]}")
    return lines
