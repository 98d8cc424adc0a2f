"""Lines of text from a real terminal, at a rate that is not the model's."""

from __future__ import annotations

import os
import pty
import select
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from live_make import main, records_of
from test_run_rates import model_at

from streamrnn.core.types import Channel, Frames, StreamInfo
from streamrnn.kernels import get_backend
from streamrnn.runtime.offline import run_session
from streamrnn.sessions.reader import read_session
from streamrnn.sessions.session import Session

RATE_HZ = 200.0
N_LINES = 1600


def levels() -> list[float]:
    """Return eight seconds with two swells of a second."""
    seq = np.arange(N_LINES)
    return np.where((seq / RATE_HZ % 4 >= 1) & (seq / RATE_HZ % 4 < 2), 1.0, -1.0).tolist()


@contextmanager
def sketch() -> Iterator[str]:
    """Print lines as fast as they are read, to a terminal; give its path."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    os.close(slave)
    stop = threading.Event()
    os.set_blocking(master, False)
    reader = select.poll()
    reader.register(master, 0)  # hung up until somebody opens the other end

    def write() -> None:
        while reader.poll(0) and not stop.wait(0.01):
            pass
        stop.wait(0.5)  # opening a port throws away what came before
        lines = b"".join(b"%.1f\n" % level for level in levels())
        # more than the run takes: text has no end of its own
        text = lines + b"-1.0\n" * 2000
        while text and not stop.is_set():
            try:
                text = text[os.write(master, text[:512]) :]
            except BlockingIOError:
                stop.wait(0.002)
            except OSError:  # nobody reads any more
                return

    writer = threading.Thread(target=write)
    writer.start()
    yield path
    stop.set()
    writer.join()
    os.close(master)


@pytest.mark.parametrize("how", ["--rate", "rate="])
def test_lines_at_another_rate_give_the_events_of_their_recording(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, how: str
) -> None:
    model = model_at(104.0).save(tmp_path / "m.safetensors")
    recording = tmp_path / "r.mcap"
    with sketch() as path:
        url = f"serial:{path}?names=level" + ("&rate=200" if how == "rate=" else "")
        rate = ["--rate", 200] if how == "--rate" else []
        code, out, err = main(
            capsys, "run", tmp_path / "m.safetensors", "--source", url, *rate,
            "--duration", N_LINES / RATE_HZ, "--lossless", "--record", recording,
        )  # fmt: skip
    assert code == 0, err
    assert "the stream runs at 200 Hz, the model at 104 Hz: resampled" in err
    *live, stats = records_of(out)
    assert (stats["n_frames"], stats["n_missing_frames"]) == (N_LINES, 0)
    assert stats["timing"]["nominal_hz"] == 200.0

    x = np.array(levels(), np.float32)[:, None]
    seq = np.arange(N_LINES)
    exact = Session(
        StreamInfo((Channel("level"),), RATE_HZ), Frames(x, seq, seq * 5000), seq * 5_000_000
    )
    expected = run_session(model, exact, get_backend("cpu"))
    assert len(expected) == 2
    assert [(e["gesture"], e["seq"], e["t_us"], e["onset_us"]) for e in live] == [
        (e.gesture, e.seq, e.t_us, e.onset_us) for e in expected
    ]

    again = main(capsys, "run", tmp_path / "m.safetensors", "--source", f"file:{recording}")
    same = ("gesture", "seq", "t_us", "onset_us", "end_us", "score")
    *offline, _ = records_of(again[1])
    assert [[e[key] for key in same] for e in offline] == [[e[key] for key in same] for e in live]
    assert read_session(recording).info.rate_hz == 200.0
