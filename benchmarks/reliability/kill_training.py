"""``kill -9`` of `streamrnn train` at random points: it goes on, and ends in the same model.

A small run on simulated recordings, cross-validation included, is trained once without any
trouble. Then it is started, killed and resumed, again and again; whenever one gets to its end, the
model file must be that of the undisturbed run, byte for byte, and the next one begins afresh.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.reliability.bar import Check, Form, Outcome
from benchmarks.reliability.boards import run_quietly, streamrnn
from streamrnn.core.errors import ModelFileError, TrainingError
from streamrnn.model.file import load_model
from streamrnn.training.checkpoint import FILE_NAME, load_checkpoint

OPTIONS = ("--folds", "2", "--epochs", "40", "--hidden", "12", "--backend", "cpu")
N_PEOPLE, SECONDS = 3, 30
_TIMEOUT_S = 300.0


@dataclass(slots=True)
class _Seen:
    """What the kills left behind."""

    kills: int = 0
    in_training: int = 0
    unreadable: list[str] = field(default_factory=list)
    resumed: int = 0
    ends: int = 0
    ends_resumed: int = 0
    ends_other: int = 0
    refused: list[str] = field(default_factory=list)


def run(form: Form) -> Outcome:
    """Train undisturbed, then with kills."""
    n_kills = form.pick(2, 100)
    sessions = _sessions(form.folder)
    begin_s = time.monotonic()
    undisturbed = _Run(form.folder / "whole", sessions)
    undisturbed.finish()
    took_s = time.monotonic() - begin_s
    wanted = undisturbed.digest()
    seen = _Seen(**form.load())
    while seen.kills < n_kills or not seen.ends_resumed:
        one, draw = (
            _Run(form.folder / "killed", sessions),
            random.Random(f"{seen.kills} {seen.ends}"),
        )
        _until_it_ends(one, took_s, seen, n_kills, draw)
        seen.ends += 1
        seen.ends_other += one.digest() != wanted
        one.remove()
        form.save(_as_dict(seen))
        form.say(f"{seen.kills} of {n_kills} kills, {seen.ends} runs ended")
    return _outcome(seen, took_s)


def _sessions(folder: Path) -> list[str]:
    paths = []
    for person in range(1, N_PEOPLE + 1):
        path = folder / f"person-{person}.mcap"
        url = f"sim:signals?person={person}&seconds={SECONDS}&speed=0"
        said = run_quietly(
            streamrnn("record", url, "-o", str(path), "--subject", f"p{person}"), _TIMEOUT_S
        )
        if said.returncode:
            raise SystemExit(said.stderr)
        paths.append(str(path))
    return paths


class _Run:
    """One training run in a folder of its own, by the command line."""

    def __init__(self, folder: Path, sessions: list[str]) -> None:
        folder.mkdir()
        self.folder = folder
        self.model = folder / "model.safetensors"
        self.checkpoints = folder / "model.training"
        self._sessions = sessions

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, or go on with it where there is a checkpoint."""
        command = streamrnn("train", *self._sessions, "-o", str(self.model))
        if self.has_checkpoint():
            command += ["--resume", str(self.checkpoints), "--backend", "cpu"]
        else:
            command += OPTIONS
        with (self.folder / "said").open("wb") as said:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said
            )

    def has_checkpoint(self) -> bool:
        """Return whether there is something to go on with."""
        return (self.checkpoints / FILE_NAME).exists()

    def finish(self) -> None:
        """Run to the end."""
        if self.start().wait(_TIMEOUT_S):
            raise SystemExit(self.said())

    def said(self) -> str:
        """Return the last line on the screen."""
        lines = (self.folder / "said").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def digest(self) -> str:
        """Return the hash of the model file: weights, decision, and how it was trained."""
        return hashlib.sha256(self.model.read_bytes()).hexdigest()

    def unreadable(self) -> str:
        """Return what is wrong with the files that are there; ``""``: nothing."""
        try:
            if self.has_checkpoint():
                load_checkpoint(self.checkpoints)
            if self.model.exists():
                load_model(self.model)
        except (TrainingError, ModelFileError) as error:
            return str(error)
        return ""

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder)


def _until_it_ends(
    one: _Run, took_s: float, seen: _Seen, n_kills: int, draw: random.Random
) -> None:
    """Kill and resume a run until it gets to its end."""
    was_killed = False
    while True:
        seen.resumed += one.has_checkpoint()
        process = one.start()
        try:
            # Beyond the wanted kills nothing disturbs any more.
            limit_s = draw.uniform(0.15, 0.9) * took_s if seen.kills < n_kills else _TIMEOUT_S
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            was_killed = True
            seen.kills += 1
            seen.in_training += one.has_checkpoint()
            if problem := one.unreadable():
                seen.unreadable.append(problem)
                shutil.rmtree(one.checkpoints)  # begin afresh
            continue
        if code:
            seen.refused.append(one.said())
            shutil.rmtree(one.checkpoints, ignore_errors=True)
            continue
        seen.ends_resumed += was_killed
        return


def _as_dict(seen: _Seen) -> dict[str, Any]:
    return {name: getattr(seen, name) for name in _Seen.__slots__}


def _outcome(seen: _Seen, took_s: float) -> Outcome:
    return Outcome(
        checks=[
            Check(
                f"unreadable checkpoints or models behind {seen.kills} kills: 0",
                str(len(seen.unreadable)), not seen.unreadable,
            ),
            Check("resumed runs that were refused: 0", str(len(seen.refused)), not seen.refused),
            Check(
                "resumed runs that end in another model file than the undisturbed one: 0",
                f"{seen.ends_other} of {seen.ends_resumed}",
                not seen.ends_other and seen.ends_resumed > 0,
            ),
        ],
        rows=[{
            "kills": seen.kills, "with a checkpoint on disk": seen.in_training,
            "resumed": seen.resumed, "killed runs that got to the end": seen.ends_resumed,
            "seconds undisturbed": round(took_s, 1),
        }],
        settings={"options": list(OPTIONS), "people": N_PEOPLE, "seconds": SECONDS},
        figures=_as_dict(seen),
    )  # fmt: skip
