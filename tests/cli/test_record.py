from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
from live_make import main

from streamrnn.sessions.reader import read_session

SIM = "sim:signals?seconds=10&speed=0"


def test_frames_and_the_boards_labels_are_recorded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "a.mcap"
    code, out, err = main(
        capsys, "record", SIM, "-o", path, "--subject", "anna", "--note", "left wrist"
    )
    assert (code, out) == (0, "")
    session = read_session(path)
    assert len(session) == 1000
    assert session.subject == "anna"
    assert session.metadata["notes"] == "left wrist"
    assert {label.source for label in session.labels} == {"board"}
    n = len(session.labels)
    end, labels, *following = err.splitlines()
    assert end == f"the stream ended: 10.0 s, 1000 frames, {n} labels, 0 frames lost -> {path}"
    for name in {label.name for label in session.labels}:
        assert f"{name} {sum(label.name == name for label in session.labels)}" in labels
    assert following == [
        f"next: streamrnn inspect {path}",
        f"      streamrnn train {path} -o model.safetensors",
    ]


def test_duration_is_stream_time(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = main(capsys, "record", SIM, "-o", tmp_path / "a.mcap", "--duration", "1.5")
    assert code == 0
    assert err.startswith("done: 1.5 s, 150 frames")


def test_keys_set_labels(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.write(write, b"lxl")  # x means nothing
    os.close(write)
    path = tmp_path / "a.mcap"
    with os.fdopen(read, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        source = "sim:signals?seconds=2&speed=0&plan=null"
        code, _, err = main(capsys, "record", source, "-o", path, "--keys", "l=left")
    assert code == 0
    assert err.startswith("keys  l: left   u: undo the last one   q: finish\n")
    labels = read_session(path).labels
    assert [label.source for label in labels if label.name == "left"] == ["keys"]


def test_progress_is_said_each_second_and_a_signal_ends_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    timer = threading.Timer(1.6, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    code, _, err = main(capsys, "record", "sim:signals", "-o", tmp_path / "a.mcap")
    timer.join()
    assert code == 0
    progress, summary, *_ = err.splitlines()
    assert re.fullmatch(r"1\.\d s, 1\d\d frames, \d labels?, 0 frames lost, \d+ frames/s", progress)
    assert summary.startswith("stopped: ")
    assert len(read_session(tmp_path / "a.mcap")) > 100


def test_a_text_stream_that_does_not_live_needs_its_rate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = b"".join(b"%d,%d\n" % (n, -n) for n in range(200)) + b"1,2,3\nboo\n"
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"tcp:127.0.0.1:{server.getsockname()[1]}?reconnect=no"

        def serve() -> None:
            for _ in range(2):
                peer, _ = server.accept()
                with peer:
                    peer.sendall(lines)

        thread = threading.Thread(target=serve)
        thread.start()
        path = tmp_path / "a.mcap"
        code, _, err = main(capsys, "record", url, "-o", path)
        assert code == 2
        assert "give --rate HZ" in err
        assert not path.exists()
        code, _, err = main(capsys, "record", url, "-o", path, "--rate", "50")
        thread.join()
    assert code == 0
    session = read_session(path)
    assert len(session) == 200
    assert session.info.rate_hz == 50.0
    assert session.metadata["clock"] == "counted"
    assert err.endswith(f"200 frames, 0 labels, 0 frames lost, 1 damaged line -> {path}\n")
    assert session.frames.t_us[-1] == 199 * 20_000


def test_the_rate_of_a_live_text_stream_is_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamrnn.cli.record.MEASURE_S", 1.5)
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"tcp:127.0.0.1:{server.getsockname()[1]}?reconnect=no"

        def serve() -> None:
            peer, _ = server.accept()
            begin_s = time.monotonic()
            with peer:
                for n in range(1000):
                    if stop.wait(max(0.0, begin_s + n / 100 - time.monotonic())):
                        return
                    peer.sendall(b"%d,%d\n" % (n, -n))

        thread = threading.Thread(target=serve)
        thread.start()
        path = tmp_path / "a.mcap"
        code, _, err = main(capsys, "record", url, "-o", path, "--duration", "2")
        stop.set()
        thread.join()
    assert code == 0
    assert err.startswith(
        "the stream does not say its rate: measuring it for 1.5 s ...\nit runs at "
    )
    session = read_session(path)
    # Nothing is lost meanwhile; on a busy machine the rate may be another one.
    assert session.frames.x[:, 0].tolist() == list(range(len(session)))
    assert session.info.rate_hz == pytest.approx(100, rel=0.5)
    assert session.metadata["rate"] == "measured"
