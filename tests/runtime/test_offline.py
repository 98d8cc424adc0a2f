from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime_make import INFO, backend, bundle, lines, make_frames, run, without

from streamrnn.core.errors import ConfigError
from streamrnn.core.types import Channel, Frames, StreamInfo
from streamrnn.runtime.offline import run_session, run_session_with_probabilities
from streamrnn.sessions.session import Session


def session(frames: Frames, info: StreamInfo = INFO) -> Session:
    return Session(info, frames, np.zeros(len(frames), np.int64))


@given(st.sets(st.integers(0, 299), max_size=80), st.sampled_from(["start", "end"]))
def test_batch_and_frame_by_frame_print_the_same_lines(lost: set[int], fire: str) -> None:
    recorded = session(without(make_frames(300), lost))
    model = bundle(fire)
    batch = lines(run_session(model, recorded, backend()))
    assert lines(run_session(model, recorded, backend(), mode="frames")) == batch
    assert run([recorded.frames], model) == batch  # and so does the live pipeline


def test_the_oracle_decides_the_same() -> None:
    recorded = session(make_frames(300))
    events = [r.to_dict() for r in run_session(bundle(), recorded, backend())]
    oracle = [r.to_dict() for r in run_session(bundle(), recorded, backend("numpy"))]
    assert [{**r, "score": 0} for r in events] == [{**r, "score": 0} for r in oracle]
    # Two backends sum in the same order but may round a cell differently: 2e-5 a step.
    scores = [r["score"] for r in events]
    assert scores == pytest.approx([r["score"] for r in oracle], abs=1e-3)


def test_probabilities_come_with_every_decided_frame() -> None:
    recorded = session(without(make_frames(200), [50, 51, *range(100, 150)]))
    result = run_session_with_probabilities(bundle(), recorded, backend())
    assert lines(result.records) == lines(run_session(bundle(), recorded, backend()))
    assert result.seq.tolist() == [*range(100), *range(150, 200)]  # 50 and 51 are filled in
    assert result.probabilities.shape == (150, 3)
    assert np.allclose(result.probabilities.sum(axis=1), 1.0, atol=1e-6)
    assert result.t_us.tolist() == (result.seq * 10_000).tolist()


def test_an_empty_session_gives_nothing() -> None:
    result = run_session_with_probabilities(bundle(), session(make_frames(0)), backend())
    assert result.records == []
    assert result.probabilities.shape == (0, 3)


def test_a_session_of_another_kind_is_refused() -> None:
    other = session(make_frames(3), StreamInfo((Channel("a"), Channel("b"), Channel("c")), 100.0))
    with pytest.raises(ConfigError, match="lacks acc_x"):
        run_session(bundle(), other, backend())
    with pytest.raises(ValueError, match="mode"):
        run_session(bundle(), session(make_frames(3)), backend(), mode="fast")  # type: ignore[arg-type]
