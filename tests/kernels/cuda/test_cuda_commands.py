"""Commands with ``--backend cuda``, on a GPU that is an interpreter: all of the way."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
from simulated import SimulatedDevice

from streamrnn import cli
from streamrnn.core.types import Channel, Frames, Label, StreamInfo
from streamrnn.kernels.cuda import driver
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import write_session

SIM = "sim:signals?person=101&seconds=1.1&speed=0"

pytestmark = pytest.mark.usefixtures("cuda_compiler")


class Lazy(SimulatedDevice):
    """Compiles what is launched, and nothing ahead."""

    driver_version = (13, 0)
    n_bytes = 1 << 30

    def prepare(self, kernels):
        pass


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    device = Lazy()
    monkeypatch.setattr(driver, "open_device", lambda: device)
    return device


def main(capsys, *words):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main([str(word) for word in words])
    out = capsys.readouterr()
    return stop.value.code, out.out, out.err


def test_a_live_run_on_a_gpu_sees_what_one_on_the_cpu_sees(capsys, gpu):
    lines = []
    for backend in ("cpu", "cuda"):
        code, out, err = main(capsys, "run", "--source", SIM, "--backend", backend)
        assert code == 0, err
        *events, stats = map(json.loads, out.splitlines())
        lines.append((events, stats["n_frames"], stats["n_events"]))
    assert lines[0] == lines[1]
    assert lines[0][0], "there was a gesture"
    assert {launched.kernel.name for launched in gpu.counts} >= {"lstm", "product"}


@pytest.fixture
def recordings(tmp_path):
    """Two short sessions, in which a channel swells up now and then."""
    for seed, subject in enumerate(("kim", "lou")):
        rng = np.random.default_rng(seed)
        x = rng.normal(0, 0.1, (60, 2)).astype(np.float32)
        labels = []
        for k, begin in enumerate((10, 35)):
            x[begin : begin + 12, k] += 2
            labels.append(Label(("up", "down")[k], begin * 20_000, (begin + 12) * 20_000, "import"))
        seq = np.arange(len(x), dtype=np.int64)
        frames = Frames(x, seq, seq * 20_000)
        info = StreamInfo((Channel("p"), Channel("q")), 50.0, "bench")
        session = Session(info, frames, frames.t_us * 1000, labels, metadata={"subject": subject})
        write_session(tmp_path / f"{subject}.mcap", session)
    return tmp_path


def test_training_goes_on_from_cpu_to_gpu_and_back(capsys, gpu, recordings, monkeypatch):
    """A checkpoint of either goes on with the other; all ways end in the same weights, nearly."""
    config = recordings / "c.toml"
    config.write_text(
        "[training]\nhidden = [4]\nn_lanes = 2\nslice_frames = 8\nepochs = 2\n"
        "min_updates = 0\nheld_out = ['kim']\n"
    )

    def interrupt(news):
        os.kill(os.getpid(), signal.SIGINT)
        return ""

    models = []
    for first, then in (("cpu", "cpu"), ("cpu", "cuda"), ("cuda", "cpu")):
        model = recordings / f"{first}-{then}.safetensors"
        words = ("train", recordings / "kim.mcap", recordings / "lou.mcap", "-o", model)
        with monkeypatch.context() as patch:
            patch.setattr("streamrnn.cli.train._line", interrupt)
            code, _, err = main(capsys, *words, "--config", config, "--backend", first)
        assert code == 130, err
        directory = model.parent / f"{model.stem}.training"
        code, _, err = main(capsys, *words, "--resume", directory, "--backend", then)
        assert code == 0, err
        models.append(Bundle.load(model))
    assert {launched.kernel.name for launched in gpu.counts} >= {"bptt", "outer", "adam"}
    for model in models[1:]:
        for a, b in zip(model.params.arrays(), models[0].params.arrays(), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5)
