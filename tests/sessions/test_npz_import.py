"""The .npz recordings: made-up ones for the mistakes, the real ones for the numbers."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamrnn.core.errors import SessionError
from streamrnn.core.types import Label
from streamrnn.sessions.csv_import import import_csv
from streamrnn.sessions.labels import class_names, frame_labels, runs
from streamrnn.sessions.npz_import import GESTURES, import_uhh
from streamrnn.sessions.reader import read_session
from streamrnn.sessions.writer import write_session


def arrays(**other: Any) -> dict[str, Any]:
    x = np.arange(12.0).reshape(4, 3)
    targets = np.zeros((4, 3))
    targets[1:3, 2] = 1.0
    return {"fused": x, "gyro": x + 100, "acc": x + 200, "targets": targets, **other}


def test_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "na_4_fullSet.npz"
    np.savez(path, **arrays())
    session = import_uhh(path)
    assert session.info.channel_names[:4] == ("fused_x", "fused_y", "fused_z", "gyro_x")
    assert session.frames.x[1].tolist() == [3, 4, 5, 103, 104, 105, 203, 204, 205]
    assert session.labels == [Label("bounce up", 20_000, 60_000, "import")]
    assert session.subject == "na"
    assert session.metadata["rate"] == "nominal"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"acc": np.zeros((3, 3))}, r"array 'fused' is float64 \(4, 3\), expected"),
        ({"acc": np.zeros(4)}, "array 'acc' is float64"),
        ({"gyro": np.full((4, 3), "a")}, "array 'gyro' is"),
        ({"gyro": np.full((4, 3), np.nan)}, "array 'gyro' is not finite at frame 0"),
        ({"targets": np.full((4, 3), 0.5)}, "other values than 0 and 1"),
        ({"gyro": np.array([[{}] * 3] * 4)}, "is no .npz file: Object arrays cannot be loaded"),
    ],
)
def test_arrays_that_make_no_sense(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = tmp_path / "a_0_fullSet.npz"
    np.savez(path, **arrays(**change))
    with pytest.raises(SessionError, match=words) as caught:
        import_uhh(path)
    assert str(path) in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a_0_fullSet.npz"
    with pytest.raises(SessionError, match="no such file"):
        import_uhh(path)
    with pytest.raises(SessionError, match=r"is called <person>_<gesture 0-9>_fullSet\.npz"):
        import_uhh(tmp_path / "b.npz")
    path.write_bytes(b"junk")
    with pytest.raises(SessionError, match=r"is no \.npz file"):
        import_uhh(path)
    np.savez(path, **arrays())
    array = io.BytesIO()
    np.save(array, np.ones(3))
    path.write_bytes(array.getvalue() + path.read_bytes())
    with pytest.raises(SessionError, match=r"is no \.npz file"):
        import_uhh(path)
    np.savez(path, **arrays())
    shape = f"'shape': ({len(arrays()['acc'])}, 3)".encode()
    path.write_bytes(path.read_bytes().replace(shape, b"'shape': (9999999999,)"[: len(shape)]))
    with pytest.raises(SessionError, match=r"is no \.npz file"):
        import_uhh(path)
    np.savez(path, **{k: v[:1] for k, v in arrays().items()})
    with pytest.raises(SessionError, match="has 1 frames"):
        import_uhh(path)
    np.savez(path, acc=np.zeros((4, 3)))
    with pytest.raises(SessionError, match="has no array 'fused'"):
        import_uhh(path)
    np.savez(path, **arrays())
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(SessionError, match=r"is no \.npz file"):
        import_uhh(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("acc.npy", bytes(70 * 2**20))
    with pytest.raises(SessionError, match="at most 67108864 are read"):
        import_uhh(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(SessionError, match="cannot read"):
        import_uhh(path)


@pytest.mark.data
def test_the_real_recordings(data_dir: Path, tmp_path: Path) -> None:
    """The counts that docs/data.md states; every file survives the way to disk and back."""
    paths = sorted((data_dir / "uhh_imu_gestures" / "dataSets").glob("*.npz"))
    assert len(paths) == 50
    sessions = [import_uhh(path) for path in paths]
    assert {s.subject for s in sessions} == {"j", "l", "na", "ni", "s"}
    assert sum(map(len, sessions)) == 41_576
    assert (min(map(len, sessions)), max(map(len, sessions))) == (511, 1721)
    # Ten repetitions a file; the authors' energy threshold makes 11 of two and 9 of one.
    counts = [len(s.labels) for s in sessions]
    assert [counts.count(n) for n in (9, 10, 11)] == [1, 47, 2]
    assert class_names(sessions) == ("none", *sorted(GESTURES))
    for k, (path, session) in enumerate(zip(paths, sessions, strict=True)):
        with (
            np.load(path, allow_pickle=False) as archive,
            pytest.warns(UserWarning, match="Python 2"),
        ):
            acc, truth = archive["acc"], archive["targets"][:, 2]
        np.testing.assert_array_equal(session.frames.x[:, 6:], acc.astype(np.float32))
        names = class_names(sessions)
        y = frame_labels(session, names)
        np.testing.assert_array_equal(y != 0, truth == 1)
        assert sum(c != 0 for _, _, c in runs(y)) == counts[k]
        write_session(tmp_path / f"{k}.mcap", session)
        back = read_session(tmp_path / f"{k}.mcap")
        assert back.frames.x.tobytes() == session.frames.x.tobytes()
        assert back.labels == session.labels


@pytest.mark.data
def test_the_real_log(data_dir: Path) -> None:
    path = data_dir / "uhh_imu_gestures" / "2016-03-13-19-29-04-j_full_set.csv"
    marks = dict(zip("qwertzuiop", GESTURES, strict=True))
    session = import_csv(path, rate_hz=50, onehot=marks, drop=["nr", *"asdfghjklyx"])
    assert len(session) == 14_197
    assert session.info.n_channels == 9
    counts = [sum(label.name == name for label in session.labels) for name in GESTURES]
    assert sum(counts) == 102
    assert set(counts) == {10, 11}
