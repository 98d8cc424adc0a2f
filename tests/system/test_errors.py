"""Every mistake that a user makes gets one clear line and the right exit code; nothing is lost."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from system_make import Command, write_session

Case = tuple[list[object], int, str]

#: What is wrong in the address of a source, and what is said.
ADDRESSES = {
    "tcp:": r"tcp: needs an address: tcp:192",
    "tcp:192.168.1.7": r"tcp: needs HOST:PORT",
    "udp:myhost": r"udp: needs PORT or HOST:PORT, as in udp:5005",
    "udp:fe80::1:5005": r"an IPv6 address stands in brackets",
    "udp:5005?nmaes=a": r"no option 'nmaes' \(did you mean 'names'\?\)",
    "tcp:h:1?format=csv": r"format=csv is no format.*numbers",
    "mqtt:localhost": r"mqtt: needs a topic, as in mqtt:localhost/glove",
    "mqtt:localhost/a?qos=2": r"qos must be 0 or 1",
    "stdin:dump": r"stdin: takes no address",
    "lsl:": r"lsl:Myo or lsl:\?type=EMG",
    "brainflow:cytn": r"no board 'cytn' \(did you mean 'cyton'\?\)",
    "brainflow:playback": r"playback needs a recording and its board",
    "brainflow:synthetic?channels=emgg": r"no channels 'emgg' \(did you mean 'emg'\?\)",
}


@contextmanager
def sender(payload: bytes, again: bool = True) -> Iterator[str]:
    """A TCP server that sends `payload` over and over (or nothing more) to one client."""
    server = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        client, _ = server.accept()
        with client:
            try:
                client.sendall(payload)
                while not stop.wait(0.02):
                    if again:
                        client.sendall(payload)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"tcp:127.0.0.1:{server.getsockname()[1]}"
    finally:
        stop.set()
        server.close()


def usage(folder: Path, model: Path, session: Path) -> dict[str, Case]:
    """What a user types wrong."""
    typo = folder / "typo.toml"
    typo.write_text("[decision]\nentre = 0.7\n")
    table = folder / "table.toml"
    table.write_text("[desicion]\nenter = 0.7\n")
    senseless = folder / "senseless.toml"
    senseless.write_text("[decision]\nenter = 7\n")
    epochs = folder / "epochs.toml"
    epochs.write_text("[training]\nepoch = 3\n")
    source = f"file:{session}"
    return {
        "no source": (["run", model], 2, r"--source"),
        "no scheme": (["run", model, "--source", "/dev/ttyACM0"], 2, r"serial:"),
        "unknown scheme": (["run", model, "--source", "blue:x"], 2, r"unknown .*'blue'"),
        "negative duration": (["run", model, "--source", source, "--duration", "-1"], 2,
                              r"duration"),
        "unknown option in the config": (
            ["run", model, "--source", source, "--config", typo], 2,
            r"unknown option 'entre' \(did you mean 'enter'\?\)"),
        "unknown table in the config": (
            ["run", model, "--source", source, "--config", table], 2, r"did you mean 'decision'"),
        "senseless value in the config": (
            ["run", model, "--source", source, "--config", senseless], 2, r"0 <= exit <= enter"),
        "unknown option of training": (
            ["train", session, "-o", folder / "m.safetensors", "--config", epochs], 2,
            r"unknown option 'epoch' \(did you mean 'epochs'\?\)"),
        "unknown backend": (["run", model, "--source", source, "--backend", "cpus"], 2,
                            r"no backend 'cpus' \(did you mean 'cpu'\?\)"),
        "unknown backend of training": (
            ["train", session, "-o", folder / "m.safetensors", "--backend", "cpus"], 2,
            r"no backend 'cpus' \(did you mean 'cpu'\?\)"),
        "nobody to hold out": (
            ["train", session, "-o", folder / "m.safetensors", "--held-out", "nobody"], 2,
            r"no subject 'nobody' to hold out; there are anna"),
        "model over a session": (["train", session, "-o", session], 2, r"one of the inputs"),
        "model over some recording": (["train", session, "-o", folder / "ben.mcap"], 2,
                                      r"a recording's name"),
        "events over a session": (["evaluate", model, session, "--events", session], 2,
                                  r"one of the inputs"),
        "import over its source": (["import", typo, "-o", typo, "--overwrite"], 2,
                                   r"one of the inputs"),
        "sim option": (["run", model, "--source", "sim:?persn=3"], 2, r"did you mean 'person'"),
        **{f"address of {url}": (["record", url, "-o", folder / "x.mcap"], 2, pattern)
           for url, pattern in ADDRESSES.items()},
    }  # fmt: skip


def files(folder: Path, model: Path, session: Path) -> dict[str, Case]:
    """Files that are not what they should be."""
    empty = folder / "empty"
    empty.touch()
    garbage = folder / "garbage"
    garbage.write_bytes(np.random.default_rng(0).bytes(5000))
    cut_model = folder / "cut.safetensors"
    cut_model.write_bytes(model.read_bytes()[:-100])
    missing = folder / "missing"
    nan = folder / "nan.csv"
    nan.write_text("t,acc_x,label\n0.00,1.0,a\n0.01,nan,a\n0.02,2.0,b\n")
    word = folder / "word.csv"
    word.write_text("t,acc_x\n0.00,1.0\n0.01,fast\n")
    short = folder / "short.csv"
    short.write_text("t,acc_x\n0.00,1.0\n")
    out = folder / "out.mcap"
    return {
        "no such session": (["info", missing], 1, r"missing"),
        "empty session": (["info", empty], 1, r"empty"),
        "garbage session": (["info", garbage], 1, r"garbage"),
        "folder as session": (["info", folder / "nothing"], 1, r"nothing"),
        "session as model": (["evaluate", session, session], 1, r"not a streamrnn model"),
        "model as session": (["evaluate", model, model], 1, r"model.safetensors"),
        "empty model": (["run", empty, "--source", f"file:{session}"], 1, r"the file is empty"),
        "truncated model": (["run", cut_model, "--source", f"file:{session}"], 1,
                            r"not a streamrnn model"),
        "missing model": (["run", missing, "--source", f"file:{session}"], 1, r"No such file"),
        "NaN in a CSV": (["import", nan, "-o", out], 1, r"nan.csv.*line 3.*acc_x"),
        "word in a CSV": (["import", word, "-o", out], 1, r"word.csv.*line 3.*acc_x"),
        "one frame in a CSV": (["import", short, "-o", out], 1, r"short.csv.*frame"),
        "import over a session": (["import", nan, "-o", session], 1, r"exists|line 3"),
    }  # fmt: skip


def streams(folder: Path, model: Path, session: Path) -> dict[str, Case]:
    """Streams and recordings that do not fit."""
    other = write_session(folder / "other.mcap", names=("gyro_x", "gyro_y", "gyro_z"))
    slow = write_session(folder / "slow.mcap", rate_hz=25.0)
    one_class = write_session(folder / "one.mcap", labels=())
    two = write_session(folder / "two.mcap", n_frames=2, labels=())
    new = folder / "m.safetensors"
    return {
        "no such port": (["run", model, "--source", f"serial:{folder}/ttyX"], 1, r"ttyX"),
        "a file as port": (["run", model, "--source", f"serial:{session}"], 1, r"anna.mcap"),
        "nobody listens": (["run", model, "--source", "tcp:127.0.0.1:9"], 1, r"127.0.0.1:9"),
        "no broker": (["record", "mqtt:127.0.0.1:9/t", "-o", new], 1,
                      r"cannot connect to mqtt:127.0.0.1:9/t"),
        "somebody else's address": (["record", "udp:203.0.113.1:5005", "-o", new], 1,
                                    r"this computer has no address 203.0.113.1.*0.0.0.0"),
        "no such board": (["record", "brainflow:cyton?port=/dev/ttyNONE", "-o", new], 1,
                          r"plugged in, and port= right"),
        "no such session file": (["run", model, "--source", f"file:{folder}/no.mcap"], 1,
                                 r"no.mcap"),
        "model for other channels": (["run", model, "--source", f"file:{other}"], 2,
                                     r"lacks acc_x, acc_y, acc_z"),
        "model for another rate": (["evaluate", model, slow], 2, r"25 Hz.*100 Hz"),
        "one class only": (["train", one_class, "-o", new], 1, r"label|class"),
        "two frames of data": (["train", two, "-o", new], 1, r"frame|label"),
        "different channels": (["train", session, other, "-o", new], 1, r"gyro_x|channels"),
        "no folder for the model": (["train", session, "-o", folder / "no" / "m.st"], 2,
                                    r"no folder"),
        "record over a session": (["record", "sim:?seconds=1&speed=0", "-o", session], 1,
                                  r"exists"),
    }  # fmt: skip


@pytest.mark.parametrize("table", [usage, files, streams])
def test_each_mistake_gets_one_line(
    table: Callable[[Path, Path, Path], dict[str, Case]],
    streamrnn: Command,
    trained: tuple[Path, Path],
    tmp_path: Path,
) -> None:

    model, session = trained
    before = session.read_bytes()
    wrong = []
    for name, (argv, code, pattern) in table(tmp_path, model, session).items():
        got, out, err = streamrnn(*argv)
        last = err.strip().splitlines()[-1] if err.strip() else ""
        ok = got == code and re.search(pattern, last) and last.startswith("streamrnn: ")
        if not ok or "Traceback" in err or '"type":"event"' in out:
            wrong.append(f"{name}: exit {got} (expected {code} and /{pattern}/): {err.strip()}")
    assert not wrong, "\n".join(wrong)
    assert session.read_bytes() == before


def test_garbage_instead_of_packets_is_named(
    streamrnn: Command, trained: tuple[Path, Path]
) -> None:
    with sender(np.random.default_rng(1).bytes(700)) as url:
        code, _, err = streamrnn("run", trained[0], "--source", url)
    assert code == 1
    assert "no wire packets or number lines" in err.splitlines()[-1]


def test_a_silent_device_is_named(streamrnn: Command, trained: tuple[Path, Path]) -> None:
    with sender(b"", again=False) as url:
        code, _, err = streamrnn("run", trained[0], "--source", url)
    assert code == 1
    assert len(err.strip().splitlines()) == 1
    assert "silent" in err or "nothing" in err or "no bytes" in err


def test_device_text_never_reaches_the_terminal_raw(
    streamrnn: Command, trained: tuple[Path, Path]
) -> None:
    with sender(b"\x1b[2J\x1b]0;owned\x07 panic\r\n" * 10) as url:
        code, _, err = streamrnn("run", trained[0], "--source", url)
    assert code == 1
    assert "\x1b" not in err


def test_a_folder_that_takes_no_files_is_named(streamrnn: Command) -> None:
    code, _, err = streamrnn("record", "sim:?seconds=1&speed=0", "-o", "/proc/a.mcap")
    assert code == 1
    assert err.startswith("streamrnn: ")
    assert "/proc/a.mcap" in err
