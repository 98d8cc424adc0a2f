"""``streamrnn run`` on a stream that does not have the model's rate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from live_make import main, records_of

from streamrnn.core.records import Event
from streamrnn.core.types import Channel, Frames, StreamInfo
from streamrnn.decision.machine import DecisionConfig
from streamrnn.features import filters
from streamrnn.features.chain import FeatureChain
from streamrnn.kernels import get_backend
from streamrnn.kernels.params import LayerParams, Params
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.offline import run_session
from streamrnn.sessions.session import Session
from streamrnn.sessions.writer import write_session

CHANNELS = (Channel("level"),)


def model_at(rate_hz: float) -> Bundle:
    """Return a model without memory: class ``up`` while the channel is above 0.5."""
    w_ih = np.array([[0], [0], [5], [0]], np.float32)
    layer = LayerParams(w_ih, np.zeros((4, 1), np.float32), np.array([10, -10, -2, 10], np.float32))
    params = Params((layer,), np.array([[-9], [9]], np.float32), np.zeros(2, np.float32))
    decision = DecisionConfig(min_ms=100)
    chain = FeatureChain.plain(CHANNELS)
    return Bundle(params, chain, ("none", "up"), rate_hz, CHANNELS, decision)


def recorded(rate_hz: float) -> Session:
    """Return two swells of a second each, and one frame that is missing."""
    seq = np.delete(np.arange(int(8 * rate_hz)), 50)
    x = np.where((seq / rate_hz % 4 >= 1) & (seq / rate_hz % 4 < 2), 1.0, -1.0)
    frames = Frames(x[:, None].astype(np.float32), seq, (seq * 1e6 / rate_hz).astype(np.int64))
    return Session(StreamInfo(CHANNELS, rate_hz, "bench"), frames, frames.t_us * 1000)


@pytest.mark.parametrize("rate_hz", [119.0, 200.0, 60.0])
def test_a_stream_at_another_rate_is_resampled_and_that_is_said_once(capsys, tmp_path, rate_hz):
    model = model_at(104.0).save(tmp_path / "m.safetensors")
    session = recorded(rate_hz)
    write_session(tmp_path / "a.mcap", session)
    code, out, err = main(
        capsys, "run", tmp_path / "m.safetensors", "--source", f"file:{tmp_path / 'a.mcap'}"
    )
    assert code == 0
    first, last = err.splitlines()
    assert first == f"the stream runs at {rate_hz:g} Hz, the model at 104 Hz: resampled"
    n = len(session)
    at = f"at {rate_hz:.{2 if rate_hz < 200 else 1}f} Hz"
    assert last == f"the stream ended: 8.0 s {at}, {n} frames, 2 events, 1 frame missing, 1 gap"
    *records, _ = records_of(out)
    expected = run_session(model, session, get_backend("cpu"))
    assert [r["seq"] for r in records] == [r.seq for r in expected]
    events = [r for r in expected if isinstance(r, Event)]
    for n_before, event in enumerate(events):
        assert event.onset_us == pytest.approx((1 + 4 * n_before) * 1e6, abs=2e6 / rate_hz)
        assert event.end_us == pytest.approx((2 + 4 * n_before) * 1e6, abs=2e6 / rate_hz)


def test_a_stream_at_the_expected_rate_is_not_spoken_of(capsys, tmp_path):
    model = replace(model_at(100.0), signal=filters.muscle(200.0, low_hz=1.0, high_hz=40.0))
    model.save(tmp_path / "m.safetensors")
    write_session(tmp_path / "a.mcap", recorded(200.0))
    source = f"file:{tmp_path / 'a.mcap'}"
    code, _, err = main(capsys, "run", tmp_path / "m.safetensors", "--source", source)
    assert code == 0
    assert "resampled" not in err


def test_filters_take_no_other_rate(capsys, tmp_path: Path):
    replace(model_at(100.0), signal=filters.muscle(200.0)).save(tmp_path / "m.safetensors")
    write_session(tmp_path / "a.mcap", recorded(119.0))
    source = f"file:{tmp_path / 'a.mcap'}"
    code, out, err = main(capsys, "run", tmp_path / "m.safetensors", "--source", source)
    assert (code, out) == (2, "")
    assert err.endswith(
        "the stream runs at 119 Hz, the model's filters are made for 200 Hz: set the device to "
        "200 Hz, or train on recordings at 119 Hz\n"
    )
