"""Small good files, to be broken."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np

from firmware_sim.signals import SignalOrigin
from streamrnn.cli.live import SAMPLE
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.model.file import load_model, save_model
from streamrnn.model.params import init_params
from streamrnn.model.spec import NetworkSpec
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import write_session


def good_files(folder: Path) -> None:
    """Write one small good file of each kind."""
    sample = load_model(SAMPLE)
    spec = NetworkSpec(sample.params.n_inputs, (6,), sample.params.n_classes)
    save_model(folder / "good-model", replace(sample, params=init_params(spec, 7)))
    write_session(folder / "good.mcap", small_session())
    (folder / "good.mcap").rename(folder / "good-session")
    (folder / "good-toml").write_text(_TOML, encoding="utf-8")
    lines = [f"{n / 100:.2f},{n % 7},{-n}.5,{'wave' if n % 9 > 5 else ''}" for n in range(60)]
    (folder / "good-csv").write_text("\n".join(["t,a,b,label", *lines]), encoding="utf-8")
    arrays = io.BytesIO()
    rng = np.random.default_rng(8)
    fused, gyro, acc = rng.normal(0, 1, (3, 30, 3))
    targets = np.tile([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], (15, 1))
    np.savez_compressed(arrays, targets=targets, fused=fused, gyro=gyro, acc=acc)
    (folder / "good-npz").write_bytes(arrays.getvalue())


def small_session() -> Session:
    """Return a session of a second, with labels."""
    origin = SignalOrigin(1, 1, 100.0, seconds=1.2)
    n = len(origin.next(120))
    channels = tuple(Channel(name, "g") for name in ("x", "y", "z"))
    seq = np.arange(n, dtype=np.int64)
    x = np.random.default_rng(9).normal(0, 1, (n, 3)).astype(np.float32)
    frames = Frames(x, seq, seq * 10_000)
    labels = [Label("wave", 100_000, 300_000, "board"), Label("tap", 500_000, 700_000, "keys")]
    info = StreamInfo(channels, 100.0, "board", "1", "b")
    return Session(info, frames, seq * 10_000_000, labels, [], {"subject": "a", "notes": "n"})


_TOML = """[training]
hidden = [32]
epochs = 10
seed = 3
folds = 2
held_out = ["anna"]
learning_rate = 0.004
[augment]
rotation_deg = 10.0
[features]
channels = ["acc_x", "acc_y"]
filter = "none"
[decision]
enter = 0.7
exit = 0.5
min_ms = 80.0
[decision.per_class.circle]
enter = 0.7"""
