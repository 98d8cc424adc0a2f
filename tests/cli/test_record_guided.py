"""Guided recordings, raw bytes, and what a kill or a full disk leaves, from the command line."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from fcntl import ioctl
from pathlib import Path

import numpy as np
import pytest
from live_make import main, start
from rich.console import Console

from streamrnn.cli.record_file import recording_path
from streamrnn.cli.record_view import Picture
from streamrnn.core.errors import ConfigError, SessionError
from streamrnn.runtime.flow import Flow
from streamrnn.runtime.guide import Guide, GuideConfig
from streamrnn.runtime.recorder import Recorder
from streamrnn.runtime.recording import Recording
from streamrnn.sessions.raw import read_raw
from streamrnn.sessions.reader import read_session
from streamrnn.sources import open_source

QUIET = "sim:signals?plan=null&speed=0"


def test_someone_is_led_through_a_recording(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "a.mcap"
    code, out, err = main(
        capsys, "record", QUIET, "-o", path, "--gestures", "wave, tap", "--reps", "2",
        "--seconds-per-gesture", "1", "--seed", "4", "--placement", "left wrist",
    )  # fmt: skip
    assert (code, out) == (0, "")
    session = read_session(path)
    assert sorted(label.name for label in session.labels) == ["tap", "tap", "wave", "wave"]
    assert {label.source for label in session.labels} == {"guide"}
    assert {label.end_us - label.start_us for label in session.labels} == {1_000_000}
    assert session.metadata["placement"] == "left wrist"
    assert session.metadata["plan"] == (
        "wave, tap: 2 times 1 s, 6 s of anything else each time round, seed 4"
    )
    lines = err.splitlines()
    assert lines[0].startswith("keys  u: undo the last one")
    assert lines.count("NOW: wave") == lines.count("NOW: tap") == 2
    assert sum(line.startswith("do anything else, for example: ") for line in lines) == 2
    assert any(line.startswith("done: ") for line in lines)
    assert "  labels: tap 2, wave 2" in lines
    assert f"next: streamrnn inspect {path}" in lines


def test_an_early_end_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "a.mcap"
    code, _, err = main(
        capsys, "record", QUIET, "-o", path, "--gestures", "wave", "--reps", "3", "--no-null",
        "--duration", "11",
    )  # fmt: skip
    assert code == 0
    assert "  not done: wave 2" in err.splitlines()
    assert [label.name for label in read_session(path).labels] == ["wave"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--gestures", "wave,,tap"), "name the gestures"),
        (("--gestures", "wave", "--keys", "s=left"), "'s' has a meaning of its own"),
        (("--gestures", "wave", "--reps", "0"), "repetitions"),
    ],
)
def test_senseless_plans_are_one_line(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = main(capsys, "record", QUIET, "-o", tmp_path / "a.mcap", *options)
    assert code == 2
    assert said in err


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *argv: object, rows: int = 30, columns: int = 90) -> None:
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.execv(sys.executable, [sys.executable, "-m", "streamrnn", *map(str, argv)])
        ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, timeout_s: float) -> bool:
        if not select.select([self.fd], [], [], timeout_s)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.seen += data
        return bool(data)

    def until(self, text: str, timeout_s: float = 30.0) -> None:
        end_s = time.monotonic() + timeout_s
        begin = len(self.seen)
        while text.encode() not in self.seen[begin:]:
            assert time.monotonic() < end_s, (text, self.seen[-2000:])
            assert self.read(0.1), (text, self.seen[-2000:])

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def wait(self) -> int:
        while self.read(1.0):
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_keys_and_the_picture_on_a_terminal(tmp_path: Path) -> None:
    """Five times as fast as real time; the keys are typed when the screen says so."""
    path = tmp_path / "a.mcap"
    terminal = Terminal(
        "record", "sim:signals?plan=null&speed=5", "-o", path, "--gestures", "wave,tap",
        "--reps", "2", "--no-null", "--seed", "1",
    )  # fmt: skip
    terminal.until("1 of 2")
    terminal.type("u")
    terminal.until("0 of 2")
    terminal.type(" ")
    terminal.until("paused")
    terminal.type("s")  # nothing is asked for now
    terminal.type(" ")
    terminal.until("get ready: ")
    terminal.type("s")
    terminal.until("(1 skipped)")
    terminal.until("1 of 2")
    terminal.type("q")
    assert terminal.wait() == 0
    screen = terminal.seen.decode(errors="replace")
    for text in ("NOW: ", "acc_x", "frames/s", "keys  u: undo", "stopped: ", "next: "):
        assert text in screen
    assert terminal.seen.count(b"\x07") >= 2  # it rings at each gesture
    session = read_session(path)
    # On a busy machine a key may come later than the screen was read.
    assert session.labels
    assert {label.end_us - label.start_us for label in session.labels} == {1_500_000}


def serve(lines: bytes) -> tuple[socket.socket, str, threading.Thread]:
    """Send some bytes to whoever connects, then be silent until it leaves."""
    server = socket.create_server(("127.0.0.1", 0))

    def talk() -> None:
        peer, _ = server.accept()
        with peer:
            peer.sendall(lines)
            peer.recv(1)

    thread = threading.Thread(target=talk)
    thread.start()
    return server, f"tcp:127.0.0.1:{server.getsockname()[1]}?reconnect=no", thread


def wait_for_frames(path: Path, n: int) -> None:
    """Wait until so many frames are on disk."""
    end_s = time.monotonic() + 30
    while time.monotonic() < end_s:
        with contextlib.suppress(SessionError):  # not there, or not described yet
            if len(read_session(path)) >= n:
                return
        time.sleep(0.05)
    raise AssertionError(f"{n} frames did not come")


def test_raw_bytes_are_those_of_the_wire(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sent = b"half a li\n" + b"".join(b"%d,%d\n" % (n, -n) for n in range(300)) + b"boo\n1,"
    server, url, thread = serve(sent)
    path = tmp_path / "a.mcap"
    with server:

        def interrupt() -> None:
            wait_for_frames(path, 300)
            os.kill(os.getpid(), signal.SIGINT)

        stopper = threading.Thread(target=interrupt)
        stopper.start()
        code, _, _ = main(capsys, "record", url, "-o", path, "--rate", "100", "--raw")
        stopper.join()
        thread.join()
    assert code == 0
    assert b"".join(data for _, data in read_raw(path)) == sent
    assert len(read_session(path)) == 300


def test_what_came_before_a_silence_survives_a_kill(tmp_path: Path) -> None:
    """Frames stop, and labels with them; a second later all is on disk."""
    server, url, thread = serve(b"".join(b"%d,%d\n" % (n, -n) for n in range(130)))
    path = tmp_path / "a.mcap"
    with server, start("record", url, "-o", path, "--rate", "100", "--raw") as process:
        wait_for_frames(path, 130)
        process.kill()
    thread.join()
    session = read_session(path)
    assert len(session) == 130
    assert session.frames.x[:, 0].tolist() == list(range(130))


def test_a_kill_costs_less_than_a_second(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    source = "sim:signals?seed=7"
    argv = ("record", source, "-o", path, "--gestures", "wave", "--raw", "--no-null")
    with start(*argv) as process:
        wait_for_frames(path, 1)
        time.sleep(1.6)
        process.kill()
        killed_ns = time.time_ns()
    session = read_session(path)
    # A busy machine may stop a process for a while, and what it had not read cannot be lost.
    assert killed_ns - int(session.host_ns[-1]) < 2.5e9
    assert (np.diff(session.frames.seq) == 1).all()
    again = tmp_path / "b.mcap"
    subprocess.run(
        [sys.executable, "-m", "streamrnn", "record", f"{source}&speed=0&seconds=20",
         "-o", str(again)], check=True, capture_output=True,
    )  # fmt: skip
    want = read_session(again).frames
    np.testing.assert_array_equal(session.frames.x, want.x[: len(session)])
    assert (np.diff(session.frames.t_us) == 10_000).all()


def test_a_full_disk_is_one_line_and_costs_nothing_before(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    program = (
        "import resource; from streamrnn import cli; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000)); "
        f"cli.main(['record', 'sim:signals?speed=0', '-o', {str(path)!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"streamrnn: cannot write {path}: File too large; what was recorded before it can be read"
    )
    assert len(read_session(path)) > 1000


def test_an_existing_recording_is_not_replaced(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(b"precious")
    code, _, err = main(capsys, "record", QUIET, "-o", tmp_path / "a", "--duration", "1")
    assert code == 1
    assert "a.mcap exists already" in err
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("subject", "start"),
    [
        ("anna", "anna-20"),
        ("../../etc/passwd", "etc_passwd-20"),
        ("\x1b[2J", "2J-20"),
        ("Zoë B.", "Zo_B-20"),
        ("", "session-20"),
        ("...", "session-20"),
        ("x" * 300, "x" * 40 + "-20"),
    ],
)
def test_a_folder_gets_a_name_that_is_harmless(subject: str, start: str, tmp_path: Path) -> None:
    path = recording_path(str(tmp_path), subject, time.time())
    assert path.parent == tmp_path
    assert path.name.startswith(start)
    assert path.suffix == ".mcap"
    assert path.name.isascii()


def test_other_names_are_taken_as_they_are(tmp_path: Path) -> None:
    assert recording_path(str(tmp_path / "a"), "", 0.0) == tmp_path / "a.mcap"
    assert recording_path(str(tmp_path / "a.mcap"), "", 0.0) == tmp_path / "a.mcap"
    for name in ("no/", "no/a.mcap"):
        with pytest.raises(ConfigError, match="no folder"):
            recording_path(str(tmp_path / "x") + "/" + name, "", 0.0)


@pytest.mark.parametrize(("rows", "columns"), [(12, 60), (24, 80), (50, 200), (5, 20)])
def test_in_any_terminal_the_keys_are_seen(rows: int, columns: int, tmp_path: Path) -> None:
    """Channels go first, then older remarks, then single gestures."""
    console = Console(width=columns, height=rows, force_terminal=True)
    source = open_source("sim:signals?seconds=2&speed=0")
    with contextlib.closing(source):
        source.open()
        recorder = Recorder(tmp_path / "a.mcap", source.info, {})
        plan = GuideConfig(tuple(f"gesture {n}" for n in range(9)))
        recording = Recording(source, recorder, Guide(plan))
        flow = Flow(source, threading.Event(), drop=False)
        screen = Picture(flow, recording, console, "keys  q: finish", bell=False)
        for n in range(4):
            screen.remark(f"remark {n}: " + "words " * 12)
        shown = ["".join(part.text for part in line)
                 for line in console.render_lines(screen.picture(), pad=False)]  # fmt: skip
        recorder.close()
    text = "\n".join(shown)
    assert shown[-1] == "keys  q: finish"
    if rows >= 12:
        assert len(shown) <= rows
        assert "remark 3" in text
        assert ("gesture 8" in text) == (rows > 12)
        assert ("0 of 90 done" in text) == (rows <= 12)
    assert ("remark 0" in text) == (rows == 50)
