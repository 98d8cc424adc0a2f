"""``python -m firmware_sim``, as a user runs it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sim_host import frames_of, markers_in, run_program, start

from firmware_sim.__main__ import main
from firmware_sim.signals import SignalOrigin, simulate
from streamrnn.core.types import End
from streamrnn.sessions.writer import SessionWriter
from streamrnn.wire.reference import ReferenceDecoder


def _path_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _read_port(path: str) -> tuple[list, ReferenceDecoder]:
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    decoder = ReferenceDecoder()
    items: list = []
    deadline = time.monotonic() + 20.0
    try:
        os.write(fd, start())
        while not any(isinstance(item, End) for item in items):
            assert time.monotonic() < deadline
            if select.select([fd], [], [], 0.1)[0]:
                items += decoder.push(os.read(fd, 65536))
    finally:
        os.close(fd)
    return items, decoder


def test_signals_on_a_pty_with_their_truth(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    arguments = ["--signals", "--link", "pty", "--person", "4", "--seed", "2", "--seconds", "10"]
    with run_program(
        *arguments, "--speed", "0", "--fault", "drop:0.05", "--truth", str(truth)
    ) as process:
        items, decoder = _read_port(_path_of(process))
        assert process.wait(5.0) == 0
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    labels = [line for line in lines if line["type"] == "label"]
    counts = lines[-1]
    assert counts["type"] == "faults"
    assert counts["n_frames_sent"] == 1000
    assert counts["n_lost_frames"] == decoder.counters.n_lost_frames > 10
    assert [line["label"] for line in labels[::2]] == [q.name for q in simulate(4, 2, 10.0)[1]]
    sent = {(line["label"], line["phase"], line["t_us"]) for line in labels}
    assert sent >= {(m.label, m.phase, m.t_us) for m in markers_in(items)}


def test_playback_on_a_pty(tmp_path: Path) -> None:
    frames, _ = simulate(1, 1, 5.0)
    path = tmp_path / "session.mcap"
    with SessionWriter(path, SignalOrigin().hello.stream_info()) as writer:
        writer.write(frames)
    link = tmp_path / "board"
    with run_program("--playback", str(path), "--speed", "0", "--path", str(link)) as process:
        assert _path_of(process) == str(link)
        items, _ = _read_port(str(link))
        assert process.wait(5.0) == 0
    assert frames_of(items).x.tobytes() == frames.x.tobytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: int) -> None:
    link = tmp_path / "board"
    with run_program("--path", str(link)) as process:
        assert _path_of(process) == str(link)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=5.0)
        assert process.returncode == 0
        assert stderr == ""
    assert not link.is_symlink()


def test_ctrl_c_while_it_starts_says_nothing() -> None:
    code = "import firmware_sim.__main__ as m; print(end='!', flush=True); m.main([])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        time.sleep(0.1)  # in the middle of its imports
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=5.0)
    assert stderr == b""


def test_it_starts_quickly() -> None:
    """It compiles nothing and loads nothing heavy."""
    code = (
        "import sys, firmware_sim.program, firmware_sim.origins.playback\n"
        "heavy = {'numba', 'scipy', 'serial', 'click', 'rich', 'mcap'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20.0)


def test_bytes_on_stdout(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    truth = tmp_path / "truth"
    arguments = ["--link", "stdout", "--seconds", "2", "--speed", "0", "--people", "1,2"]
    assert main([*arguments, "--truth", str(truth)]) == 0
    items = ReferenceDecoder().push(capfdbinary.readouterr().out)
    assert len(frames_of(items)) == 200
    assert items[-1] == End(200)
    assert json.loads(truth.read_text().splitlines()[-1])["n_frames_sent"] == 200


def test_a_reader_of_stdout_that_goes_away_is_no_error() -> None:
    with run_program("--link", "stdout", "--speed", "0") as process:
        assert process.stdout is not None
        process.stdout.buffer.read(1000)
        process.stdout.close()
        assert process.wait(5.0) == 0


def test_a_pty_served_to_its_end_in_this_process(capfd: pytest.CaptureFixture[str]) -> None:
    import threading

    seen: list = []

    def read() -> None:
        deadline = time.monotonic() + 10.0
        out = ""
        while not out.strip() and time.monotonic() < deadline:
            out += capfd.readouterr().out
            time.sleep(0.01)
        seen.append(_read_port(out.strip())[0])

    reader = threading.Thread(target=read)
    reader.start()
    assert main(["--seconds", "1", "--speed", "0"]) == 0
    reader.join()
    assert len(frames_of(seen[0])) == 100


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--fault", "dorp:1"], 2, "did you mean 'drop'"),
        (["--speed", "-1"], 2, "speed must be 0"),
        (["--rate", "0"], 2, "rate must lie in"),
        (["--link", "stdout", "--fault", "unplug@1s:1s"], 2, "stdout cannot be unplugged"),
        (["--link", "usb"], 2, "unknown link 'usb'; known: pty, tcp"),
        (["--link", "tpc:1"], 2, "did you mean 'tcp'"),
        (["--link", "tcp:99999"], 2, "tcp: write HOST:PORT or PORT, got '99999'"),
        (["--link", "udp"], 2, "udp: write HOST:PORT or PORT"),
        (["--link", "mqtt:localhost"], 2, "mqtt: write HOST:PORT/TOPIC"),
        (["--link", "mqtt:localhost/a/#"], 2, "no + and #"),
        (["--link", "udp:5005", "--speed", "0"], 2, "cannot wait for its reader"),
        (["--link", "tcp:0", "--path", "x"], 2, "--path names a pseudo-terminal"),
        (["--link", "tcp:65535", "--boards", "2"], 2, "no port 65536 for board 2"),
        (["--link", "stdout", "--boards", "2"], 2, "stdout is one cable"),
        (["--link", "stdout:x"], 2, "has no address"),
        (["--path", "x", "--boards", "2"], 2, "2 boards need {n} in it"),
        (["--playback", "/nowhere/x.mcap"], 1, "/nowhere/x.mcap"),
        (["--truth", "/nowhere/x"], 1, "cannot write '/nowhere/x'"),
        (["--form", "json", "--packet", "5"], 2, "a line holds one frame"),
        (["--path", "/nowhere/x"], 1, "cannot make /nowhere/x"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--signal", "x"], "unrecognized arguments"),
        (["--person", "three"], "person must be a whole number, got 'three'"),
        (["--people", "1,x"], "people must be whole numbers as 1,2,3"),
        (["--boards", "0"], "write a number from 1 to 64"),
        (["--signals", "--playback", "x"], "not allowed with"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
