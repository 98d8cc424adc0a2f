"""Small good files, to be broken."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np

from streamrnn.cli.live import SAMPLE
from streamrnn.core.types import Channel, Frames, StreamInfo
from streamrnn.model.file import load_model, save_model
from streamrnn.model.params import init_params
from streamrnn.model.spec import NetworkSpec
from streamrnn.sessions.writer import SessionWriter

#: Seconds that one file may take.
LIMIT_S = 5
#: What a file of each kind is called.
NAMES = {
    "model": "m.safetensors", "session": "s.mcap", "toml": "c.toml", "csv": "c.csv",
    "npz": "a_1_fullSet.npz",
}  # fmt: skip
_N_FRAMES, _CHUNK_FRAMES = 120, 40


def good_files(folder: Path) -> None:
    """Write one small good file of each kind."""
    sample = load_model(SAMPLE)
    spec = NetworkSpec(sample.params.n_inputs, (6,), sample.params.n_classes)
    save_model(folder / "good-model", replace(sample, params=init_params(spec, 7)))
    write_small(folder / "good.mcap")
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


def write_small(path: Path) -> None:
    """Write a session of a second with all that one can hold, in several chunks."""
    channels = tuple(Channel(name, "g") for name in ("x", "y", "z"))
    seq = np.arange(_N_FRAMES, dtype=np.int64)
    x = np.random.default_rng(9).normal(0, 1, (_N_FRAMES, len(channels))).astype(np.float32)
    frames = Frames(x, seq, seq * 10_000)
    info = StreamInfo(channels, 100.0, "board", "1", "b")
    metadata = {"subject": "a", "notes": "n"}
    with SessionWriter(path, info, metadata, clock=lambda: 0) as writer:
        for at in range(0, _N_FRAMES, _CHUNK_FRAMES):
            label = writer.begin(f"label {at}", at * 10_000, "board")
            writer.raw(bytes(range(at, at + 40)), at)
            part = frames[at : at + _CHUNK_FRAMES]
            writer.write(part, part.t_us * 1000)
            writer.end(label)
            writer.flush()
        writer.undo()
        writer.event({"v": 1, "type": "event", "gesture": "wave", "phase": "discrete", "seq": 50,
                      "t_us": 500_000, "onset_us": 450_000, "score": 0.9})  # fmt: skip
        writer.remember({"closing": "word"})
        writer.begin("open", 1_100_000)


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
