"""Mistakes of a newcomer, made on the real command line, and the line that each gets."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reliability.bar import Check, Form, Outcome
from benchmarks.reliability.boards import board, run_quietly, streamrnn
from benchmarks.reliability.newcomer.talker import Talker

#: So many at a time: most of them wait.
AT_ONCE = 6
_TIMEOUT_S = 90.0
_NUMBERS = [b"0.1,0.2,9.8\r\n", b"0.2,0.1,9.7\r\n", b"0.3,0.2,9.9\r\n"]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake.

    Attributes
    ----------
    what : str
        What was done.
    make : callable
        Does it in a folder of its own and returns what the command said.
    code : int
        Exit code to be expected.
    words : str
        What the line must say at least, as a regular expression.
    shown : str
        The command, as typed.
    """

    what: str
    shown: str
    code: int
    words: str
    make: Callable[[Path], subprocess.CompletedProcess[str]]

    @property
    def missing(self) -> str:
        """Program that is needed to make it, and is not there."""
        needed = "setpriv" if self.make is _no_permission and os.geteuid() == 0 else ""
        return needed if needed and shutil.which(needed) is None else ""


def run(form: Form) -> Outcome:
    """Make every mistake."""
    subprocess.run(streamrnn("warmup"), check=True, capture_output=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        able = [mistake for mistake in MISTAKES if not mistake.missing]
        rows = list(pool.map(lambda mistake: _made(mistake, form.folder), able))
    bad = [row for row in rows if row["problem"]]
    shown = ("what was done", "command", "what it prints", "exit code")
    return Outcome(
        checks=[
            Check(
                f"{len(rows)} mistakes: one line each that says what was wrong, and the exit code",
                f"{len(bad)} otherwise" + "".join(f"; {r['what was done']}" for r in bad), not bad,
            )
        ],
        rows=[{key: row[key] for key in shown} for row in rows],
        figures={"rows": rows},
        notes=[f"not made, no {m.missing} here: {m.what}" for m in MISTAKES if m.missing],
    )  # fmt: skip


def _made(mistake: Mistake, folder: Path) -> dict[str, Any]:
    """Make a mistake; return its row, and what is wrong with the answer."""
    own = folder / re.sub(r"\W+", "-", mistake.what)
    own.mkdir()
    begin_s = time.monotonic()
    said = mistake.make(own)
    took_s = time.monotonic() - begin_s
    lines = [line.strip() for line in said.stderr.splitlines() if line.strip()]
    # Recordings tell each second where they are.
    told = [line for line in lines if not re.match(r"[\d.]+ s, \d+ frames", line)]
    text = " / ".join(told[:3] if mistake.code == 0 else told[-1:])
    problem = ""
    if said.returncode != mistake.code:
        problem = f"exit code {said.returncode}, not {mistake.code}"
    elif "Traceback" in said.stderr or (mistake.code and len(told) != 1):
        problem = f"{len(told)} lines"
    elif not re.search(mistake.words, text):
        problem = f"it does not say {mistake.words!r}"
    return {
        "what was done": mistake.what, "command": f"`{mistake.shown}`",
        "what it prints": f"`` {_plain(text, own)} ``", "exit code": said.returncode,
        "seconds": round(took_s, 1), "problem": problem, "all": [_plain(s, own) for s in lines],
    }  # fmt: skip


def _plain(text: str, folder: Path) -> str:
    """Return a line without what is different in every run."""
    text = text.replace("streamrnn: ", "").replace(f"{folder}/", "")
    text = re.sub(r"/dev/pts/\d+", "/dev/ttyACM0", text)
    text = re.sub(r"\(pid \d+\)", "(pid 4711)", text)
    return re.sub(r"127\.0\.0\.1:\d+", "192.168.1.7:3333", text)


# ---- how they are made


def _typed(*arguments: str) -> Callable[[Path], subprocess.CompletedProcess[str]]:
    """Return a mistake that is all in the command; FOLDER/ stands for the folder."""

    def make(folder: Path) -> subprocess.CompletedProcess[str]:
        words = [word.replace("FOLDER/", f"{folder}/") for word in arguments]
        return run_quietly(streamrnn(*words), _TIMEOUT_S)

    return make


def _port(
    lines: list[bytes], *arguments: str, baud: int = 0
) -> Callable[[Path], subprocess.CompletedProcess[str]]:
    """Return a command that reads what somebody says on PORT."""

    def make(folder: Path) -> subprocess.CompletedProcess[str]:
        with Talker(lines, baud) as talker:
            words = [word.replace("PORT", talker.path) for word in arguments]
            return _typed(*words)(folder)

    return make


def _no_permission(folder: Path) -> subprocess.CompletedProcess[str]:
    del folder
    with Talker([]) as talker:
        os.chmod(talker.path, 0)
        command = streamrnn("run", "--source", f"serial:{talker.path}")
        if os.geteuid() == 0:  # root may open anything, unless it gives that up
            command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
        return run_quietly(command, _TIMEOUT_S)


def _busy(folder: Path) -> subprocess.CompletedProcess[str]:
    with Talker([]) as talker, Path(talker.path).open("rb") as port:
        with subprocess.Popen(["sleep", "60"], stdin=port) as other:
            try:
                return _typed("probe", f"serial:{talker.path}")(folder)
            finally:
                other.kill()


def _unplugged(folder: Path) -> subprocess.CompletedProcess[str]:
    arguments = ["--path", str(folder / "port"), "--fault", "unplug@0.6s:0.4s"]
    with board(*arguments) as path:
        record = ["record", f"serial:{path}", "-o", str(folder / "s.mcap"), "--duration", "2"]
        return run_quietly(streamrnn(*record), _TIMEOUT_S)


def _disk_full(folder: Path) -> subprocess.CompletedProcess[str]:
    record = streamrnn(
        "record", "sim:signals?speed=0&seconds=60", "-o", str(folder / "small" / "s.mcap")
    )
    (folder / "small").mkdir()
    full = [
        "unshare", "-rm", "sh", "-c",
        'mount -t tmpfs -o size=200k none "$0" && exec "$@"', str(folder / "small"),
    ]  # fmt: skip
    if (
        shutil.which("unshare")
        and not subprocess.run([*full, "true"], capture_output=True, check=False).returncode
    ):
        return run_quietly([*full, *record], _TIMEOUT_S)
    # Where no file system can be mounted, a limit on the size of files does the same.
    return run_quietly(["sh", "-c", 'ulimit -f 200; exec "$@"', "sh", *record], _TIMEOUT_S)


def _csv(folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "wave.csv").write_text("t,x,y\n0.00,1,2\n0.01,2,3\n", encoding="utf-8")
    return _typed("train", "FOLDER/wave.csv")(folder)


def _recorded(url: str, *then: str) -> Callable[[Path], subprocess.CompletedProcess[str]]:
    """Return a command behind a recording of a board, s.mcap."""

    def make(folder: Path) -> subprocess.CompletedProcess[str]:
        made = _typed("record", url, "-o", "FOLDER/s.mcap")(folder)
        return made if made.returncode else _typed(*then)(folder)

    return make


def _typo_in_toml(folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "train.toml").write_text("[training]\nhiden = [32]\n", encoding="utf-8")
    url = "sim:signals?seconds=10&speed=0"
    train = ("train", "FOLDER/s.mcap", "-o", "FOLDER/m.safetensors")
    return _recorded(url, *train, "--config", "FOLDER/train.toml")(folder)


def _two_boards(folder: Path) -> subprocess.CompletedProcess[str]:
    with Talker(_NUMBERS) as talker:
        record = ("record", f"serial:{talker.path}", "--rate", "100", "--duration", "0.5")
        made = _typed(*record, "-o", "FOLDER/t.mcap")(folder)
    if made.returncode:
        return made
    train = ("train", "FOLDER/s.mcap", "FOLDER/t.mcap", "-o", "FOLDER/m.safetensors")
    return _recorded("sim:signals?seconds=10&speed=0", *train)(folder)


@contextmanager
def _server(greeting: bytes) -> Iterator[int]:
    """Give the port of a server that greets and waits."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(_TIMEOUT_S)
        callers: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    caller, _ = server.accept()
                except OSError:
                    return
                callers.append(caller)
                caller.sendall(greeting)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for caller in callers:
                caller.close()


def _web_server(folder: Path) -> subprocess.CompletedProcess[str]:
    with _server(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" * 4) as port:
        return _typed("probe", f"tcp:127.0.0.1:{port}")(folder)


def _nobody_there(folder: Path) -> subprocess.CompletedProcess[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return _typed("run", "--source", f"tcp:127.0.0.1:{port}")(folder)


_HELLO_WORLD = [b"Hello World\r\n"]
_PANIC = [b"Guru Meditation Error: Core  0 panic'ed (LoadProhibited)\r\n", b"Rebooting...\r\n"]
_PORT = "/dev/ttyACM0"

MISTAKES: Sequence[Mistake] = (
    Mistake("a command mistyped", "streamrnn recrod", 2, "did you mean 'record'", _typed("recrod")),
    Mistake(
        "the kind of source left out", f"probe {_PORT}", 2, "did you mean 'serial:",
        _typed("probe", "/dev/ttyACM0"),
    ),
    Mistake(
        "the kind of source mistyped", f"run --source seriel:{_PORT}", 2, "did you mean 'serial'",
        _typed("run", "--source", "seriel:/dev/ttyACM0"),
    ),
    Mistake(
        "an option of the address mistyped", f"run --source serial:{_PORT}?bude=9600", 2,
        "did you mean 'baud'", _typed("run", "--source", "serial:/dev/ttyACM0?bude=9600"),
    ),
    Mistake(
        "nothing plugged in", "run --source serial:/dev/ttyACM77", 1, "no such port",
        _typed("run", "--source", "serial:/dev/ttyACM77"),
    ),
    Mistake(
        "no permission for the port", f"run --source serial:{_PORT}", 1, "no permission",
        _no_permission,
    ),
    Mistake(
        "another program has the port", f"probe serial:{_PORT}", 1,
        r"in use by sleep \(pid \d+\)", _busy,
    ),
    Mistake(
        "the board has no power", f"run --source serial:{_PORT}", 1, "is silent",
        _port([], "run", "--source", "serial:PORT"),
    ),
    Mistake(
        "wrong baud rate", f"run --source serial:{_PORT}", 1, "baud",
        _port(_NUMBERS, "run", "--source", "serial:PORT", baud=termios.B921600),
    ),
    Mistake(
        "the rate of a text stream not said", f"record serial:{_PORT} -o s.mcap", 0,
        r"it runs at [\d.]+ Hz",
        _port(_NUMBERS, "record", "serial:PORT", "-o", "FOLDER/s.mcap", "--duration", "1"),
    ),
    Mistake(
        "the sketch prints words", f"probe serial:{_PORT}", 1, "Hello World",
        _port(_HELLO_WORLD, "probe", "serial:PORT"),
    ),
    Mistake(
        "the sketch crashes", f"probe serial:{_PORT}", 1, "crash|Guru",
        _port(_PANIC, "probe", "serial:PORT"),
    ),
    Mistake(
        "the network's device is off", "run --source tcp:192.168.1.7:3333", 1, "refused",
        _nobody_there,
    ),
    Mistake(
        "a web server instead of a device", "probe tcp:192.168.1.7:3333", 1,
        "no lines of numbers|nor lines of numbers|another protocol", _web_server,
    ),
    Mistake(
        "unplugged while recording, for 0.4 s", f"record serial:{_PORT} -o s.mcap", 0,
        "is back", _unplugged,
    ),
    Mistake("the disk is full", "record sim: -o small/s.mcap", 1, "cannot write", _disk_full),
    Mistake(
        "a recording of that name exists", "record sim: -o s.mcap", 1, "exists",
        _recorded("sim:signals?seconds=2&speed=0", "record", "sim:", "-o", "FOLDER/s.mcap"),
    ),
    Mistake(
        "no such folder for the recording", "record sim: -o hands/s.mcap", 2, "no folder",
        _typed("record", "sim:", "-o", "FOLDER/hands/s.mcap"),
    ),
    Mistake("trained on CSV", "train wave.csv", 1, "import", _csv),
    Mistake(
        "trained without labels", "train s.mcap", 1, "label",
        _recorded(
            "sim:signals?seconds=5&speed=0&plan=null",
            "train", "FOLDER/s.mcap", "-o", "FOLDER/m.safetensors",
        ),
    ),
    Mistake(
        "trained on recordings of two boards", "train s.mcap t.mcap", 1, "channels", _two_boards
    ),
    Mistake(
        "a typo in the configuration", "train s.mcap --config train.toml", 2,
        "did you mean 'hidden'", _typo_in_toml,
    ),
    Mistake(
        "a model for other channels", f"run --source serial:{_PORT}", 2, "channels",
        _port(_NUMBERS, "run", "--source", "serial:PORT"),
    ),
    Mistake(
        "a session where a model is wanted", "run s.mcap --source sim:", 1, "not a streamrnn model",
        _recorded("sim:signals?seconds=2&speed=0", "run", "FOLDER/s.mcap", "--source", "sim:"),
    ),
)  # fmt: skip
