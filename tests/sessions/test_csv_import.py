"""Delimited text becomes the session that it describes, or one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.errors import ConfigError, SessionError, StreamRNNError
from streamrnn.core.types import Channel, Label
from streamrnn.sessions.csv_import import import_csv
from streamrnn.sessions.csv_time import find_time_column
from streamrnn.sessions.labels import class_names, frame_labels


def file_of(tmp_path: Path, text: str, name: str = "a.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(
    rows=st.lists(
        st.lists(FLOATS, min_size=2, max_size=2), min_size=2, max_size=20
    ),
    delimiter=st.sampled_from(",;\t"),
    newline=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
)  # fmt: skip
def test_numbers_come_back_bit_for_bit(
    rows: list[list[float]],
    delimiter: str,
    newline: str,
    bom: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    lines = [delimiter.join(["a", "b"]), *(delimiter.join(map(repr, row)) for row in rows)]
    path = tmp_path_factory.getbasetemp() / "n.csv"
    path.write_bytes((("\ufeff" if bom else "") + newline.join(lines)).encode())
    session = import_csv(path, rate_hz=104)
    assert session.frames.x.tobytes() == np.array(rows, np.float32).tobytes()
    assert session.info.channel_names == ("a", "b")
    assert session.info.rate_hz == 104.0
    assert session.frames.t_us[1] == 9615


@pytest.mark.parametrize(
    ("column", "unit", "step", "us"),
    [
        ("t_us", None, 10_000, 10_000),
        ("time_ms", None, 10, 10_000),
        ("timestamp (s)", None, 0.01, 10_000),
        ("Time[ns]", None, 10_000_000, 10_000),
        ("millis", None, 20, 20_000),
        ("t", None, 0.01, 10_000),
        ("t", None, 10, 10_000),
        ("t", None, 10_000, 10_000),
        ("t", None, 10_000_000, 10_000),
        ("t", "ms", 1, 1000),
        ("TimeStamp", None, 0.2, 200_000),
    ],
)  # fmt: skip
def test_the_time_column_and_its_unit_are_found(
    tmp_path: Path, column: str, unit: str | None, step: float, us: int
) -> None:
    rows = "".join(f"{k},{7 + k * step:.9g}\n" for k in range(20))
    session = import_csv(file_of(tmp_path, f"acc_x,{column}\n{rows}"), time_unit=unit)
    assert session.info.channel_names == ("acc_x",)
    np.testing.assert_array_equal(session.frames.t_us, np.arange(20) * us)
    assert session.info.rate_hz == pytest.approx(1e6 / us, rel=1e-3)
    assert session.metadata["rate"] == "fitted"
    np.testing.assert_array_equal(session.host_ns, session.frames.t_us * 1000)


def test_names_that_are_no_time() -> None:
    assert find_time_column(["acc_x", "s", "times_x", "ns", "runtime"]) is None
    assert find_time_column(["x", "elapsed_us", "t"]) == "elapsed_us"


def test_times_since_1970_are_the_hosts(tmp_path: Path) -> None:
    text = "t,x\n1700000000.25,1\n1700000000.27,2\n1700000000.29,3\n"
    session = import_csv(file_of(tmp_path, text))
    assert session.frames.t_us.tolist() == [0, 20_000, 40_000]
    assert abs(session.host_ns[0] - 1_700_000_000_250_000_000) < 1000


def test_jitter_is_no_gap_and_a_gap_is_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    k = np.concatenate([np.arange(200), np.arange(205, 300)])
    times = k * 0.01 + rng.uniform(0, 0.004, len(k))
    rows = "".join(f"{t:.6f},1\n" for t in times)
    session = import_csv(file_of(tmp_path, f"t,x\n{rows}"))
    np.testing.assert_array_equal(session.frames.seq, k)
    assert session.info.rate_hz == pytest.approx(100, rel=2e-3)


LABELLED = "t,x,label\n" + "".join(
    f"{k * 10},{k},{name}\n" for k, name in enumerate(["", "left", "left", "0", "3.0", "None"])
)


def test_labels_in_a_column(tmp_path: Path) -> None:
    session = import_csv(file_of(tmp_path, LABELLED), subject="s1")
    assert session.labels == [
        Label("left", 10_000, 30_000, "import"), Label("3", 40_000, 50_000, "import")
    ]  # fmt: skip
    names = class_names([session])
    assert names == ("none", "3", "left")
    assert frame_labels(session, names).tolist() == [0, 2, 2, 0, 1, 0]
    assert session.subject == "s1"


@pytest.mark.parametrize(
    ("header", "rows", "data"),
    [
        ("start,end,label", "10,30,left\n40,50,none\n", "t,x\n"),
        ("start_s,end_s,gesture", "0.01,0.03,left\n", "t_ms,x\n"),
        ("start_us;end_us;label", "10000;30000;left\n", "t,x\n"),
    ],
)
def test_labels_in_a_file(tmp_path: Path, header: str, rows: str, data: str) -> None:
    path = file_of(tmp_path, data + "".join(f"{k * 10},{k}\n" for k in range(6)))
    labels = file_of(tmp_path, f"{header}\n{rows}", "l.csv")
    session = import_csv(path, labels_path=labels)
    assert session.labels == [Label("left", 10_000, 30_000, "import")]


def test_a_labels_file_counts_from_the_time_columns_origin(tmp_path: Path) -> None:
    path = file_of(tmp_path, "t,x\n" + "".join(f"{5000 + k * 10},{k}\n" for k in range(6)))
    labels = file_of(tmp_path, "start,end,label\n5010,5030,left\n", "l.csv")
    assert import_csv(path, labels_path=labels).labels[0].start_us == 10_000


def test_a_labels_file_without_times_counts_seconds(tmp_path: Path) -> None:
    path = file_of(tmp_path, "x\n" + "".join(f"{k}\n" for k in range(100)))
    labels = file_of(tmp_path, "start,end,label\n0.5,0.7,left\n", "l.csv")
    session = import_csv(path, labels_path=labels, rate_hz=100)
    assert session.labels == [Label("left", 500_000, 700_000, "import")]


def test_one_trial_a_file_and_units(tmp_path: Path) -> None:
    text = "acc_x,acc_y,Gyro X (deg/s),n\n1,2,3,4\n5,6,7,8\n"
    session = import_csv(
        file_of(tmp_path, text),
        rate_hz=100,
        label="left",
        drop=["n"],
        rename={"Gyro X (deg/s)": "gyro_x"},
        units={"acc": "g", "acc_y": "m/s^2"},
    )
    assert session.labels == [Label("left", 0, 20_000, "import")]
    assert session.info.channels == (
        Channel("acc_x", "g"), Channel("acc_y", "m/s^2"), Channel("gyro_x", "deg/s")
    )  # fmt: skip
    assert session.frames.x.tolist() == [[1, 2, 3], [5, 6, 7]]


def test_onehot_columns_and_no_header(tmp_path: Path) -> None:
    text = "1,0,0\n2,1,0\n3,1,1\n4,0,1\n"
    session = import_csv(
        file_of(tmp_path, text), rate_hz=100, channels=["x", "q", "t"],
        onehot={"q": "left", "t": "right"},
    )  # fmt: skip
    assert session.info.channel_names == ("x",)
    assert session.labels == [
        Label("left", 10_000, 30_000, "import"), Label("right", 20_000, 40_000, "import")
    ]  # fmt: skip


def test_blank_lines_and_trailing_delimiters_are_tolerated(tmp_path: Path) -> None:
    session = import_csv(file_of(tmp_path, "\na,b,\n1,2,\n\n3,4,\n\n"), rate_hz=1)
    assert session.frames.x.tolist() == [[1, 2], [3, 4]]


OK = "t,x\n0,1\n10,2\n20,3\n"
ERRORS: list[tuple[str, dict[str, Any], str]] = [
    ("", {}, "is empty"),
    ("\n\n", {}, "is empty"),
    ("a,b\n1,2\n", {"rate_hz": 50}, "has 1 frames, a session needs at least 2"),
    ("a,b\n", {"rate_hz": 50}, "has 0 frames"),
    ("1,2\n3,4\n", {"rate_hz": 50}, "line 1 holds numbers, not channel names"),
    ("1,2\n3,4\n", {"channels": ["a"]}, "has 2 columns, but 1 names were given"),
    ("a,b\n1,2\n3,4\n", {}, "has no time column: name it .* or give --rate"),
    ("a,a\n1,2\n", {}, "line 1: two columns are called 'a'"),
    ("a,,b\n1,2,3\n", {}, "line 1: column 2 has no name"),
    ("t,x\n0,1\n10,nan\n", {}, "line 3, column 'x': nan is not a sample"),
    ("t,x\n0,1\n10,-Infinity\n", {}, "line 3, column 'x': -Infinity is not a sample"),
    ("t,x\n0,1\n\n10,\n", {}, "line 4, column 'x': the cell is empty"),
    ("t,x\n0,1\n10,2_0\n", {}, "line 3, column 'x': '2_0' is not a number"),
    ("t,x\n0,abc\n", {}, "line 2, column 'x': 'abc' is not a number"),
    ("t,x\n0,1e39\n", {}, "line 2, column 'x': '1e39' is not a number that fits a float32"),
    ("t;x\n0;1,5\n", {}, "line 2, column 'x': '1,5' has a decimal comma"),
    ("t,x\n0,1\n10\n", {}, "line 3 has 1 cells, the header 2"),
    ("t,x\n0,1\n20,2\n10,3\n", {}, "line 4, column 't': time goes back from 20 to 10"),
    ("t,x\n5,1\n5,2\n", {}, "time column 't' stands still at 5"),
    ("t,x\n0,1\n1,2\n2,3\n", {}, "column 't' counts 1, 2, 3"),
    ("t,x\n0,1\n1e9,2\n", {}, "the unit of time column 't' cannot be told"),
    (OK, {"rate_hz": 50}, "its time column says 100 Hz, --rate says 50 Hz"),
    (OK, {"rate_hz": -1}, "--rate must be above 0"),
    (OK, {"rate_hz": float("nan")}, "--rate must be above 0"),
    (OK, {"time_unit": "h"}, "--time-unit is one of s, ms, us, ns; got 'h'"),
    (OK, {"time_column": "tt"}, r"has no column 'tt' \(did you mean 't'"),
    (OK, {"label_column": "gesture"}, "has no column 'gesture'; there are: t, x"),
    (OK, {"drop": ["y"]}, "has no column 'y'"),
    (OK, {"rename": {"y": "z"}}, "has no column 'y'"),
    (OK, {"drop": ["x"]}, "has 0 channels"),
    (OK, {"label": "a", "onehot": {"x": "b"}}, "--label and --onehot both say"),
    (OK, {"units": {"acc": "g"}}, "--unit acc: no channel"),
    ("t,x,y\n0,1,1\n10,1,1\n", {"rename": {"x": "y"}}, "two channels would have the same name"),
    ("t,x\n0,\x01\n", {}, r"'\\x01' is not a number"),
    (",,,,", {}, "holds no cell with anything in it"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "options", "words"), ERRORS)
def test_mistakes_get_one_clear_line(
    tmp_path: Path, text: str, options: dict[str, Any], words: str
) -> None:
    path = file_of(tmp_path, text)
    with pytest.raises(StreamRNNError, match=words) as caught:
        import_csv(path, **options)
    assert "\n" not in str(caught.value)
    if not isinstance(caught.value, ConfigError):
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("start,end,label\n30,10,left\n", "line 2: label 'left' ends at its start"),
        ("start,end,label\n10,99999,left\n", "outside the recording of 0.03 s"),
        ("start,end,label\n-10,20,left\n", "outside the recording"),
        (
            "start,end,label\n0.5,1.25,left\n",
            r"line 2: label 'left' covers no frame: it lies at 0\.0005 .. 0\.00125 s, "
            r"the frames at 0 .. 0\.02 s "
            r"\(are its times in seconds\? call the columns start_s, end_s\)",
        ),
        (
            "start_ms,end_ms,label\n5,15,a\n11,19,left\n",
            r"line 3: label 'left' covers no frame: .* 0 .. 0\.02 s$",
        ),
        ("start,label\n1,a\n", "has no column 'end'"),
        ("end,label\n1,a\n", "has no column 'start'"),
        ("start,end\n1,2\n", "has no column 'label'"),
        ("start,end,label\nx,2,a\n", "line 2, column 'start': 'x' is not a number"),
    ],
)
def test_mistakes_in_a_labels_file(tmp_path: Path, text: str, words: str) -> None:
    labels = file_of(tmp_path, text, "l.csv")
    with pytest.raises(SessionError, match=words) as caught:
        import_csv(file_of(tmp_path, OK), labels_path=labels)
    assert str(labels) in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="no such file"):
        import_csv(tmp_path / "absent.csv")
    with pytest.raises(SessionError, match="is a folder"):
        import_csv(tmp_path)
    with pytest.raises(SessionError, match="cannot read"):
        import_csv(file_of(tmp_path, OK) / "x.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SessionError, match="is not text in UTF-8"):
        import_csv(tmp_path / "b.csv")
    long = file_of(tmp_path, "a,b\n" + "1" * 200_000 + ",2\n")
    with pytest.raises(SessionError, match="line 2: field larger than field limit"):
        import_csv(long, rate_hz=1)


def test_many_rows(tmp_path: Path) -> None:
    path = file_of(tmp_path, "x\n" + "".join(f"{k}\n" for k in range(10_000)))
    session = import_csv(path, rate_hz=100)
    np.testing.assert_array_equal(session.frames.x[:, 0], np.arange(10_000, dtype=np.float32))
