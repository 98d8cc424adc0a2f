"""From the byte written to the event printed, on a real pseudo-terminal.

    python -m benchmarks.end_to_end [--seconds 20]

This process plays the board: it writes one wire packet a frame on a pseudo-terminal, at 100 Hz and
at 1 kHz, and notes when. ``streamrnn run`` (another process) prints one event record for every
frame: the model's first unit follows the sign of the first channel, which alternates, so that
gestures start and end on alternate frames. Latency is the time from the write to the arrival of the
printed line here. The network is 6 -> 64 -> 2. The row `copy` is the floor: a Python loop that only
copies what it reads from the pseudo-terminal to its output.

Target: p50 <= 0.3 ms and p99 <= 1.5 ms at 100 Hz, at most 15 % of a core at 1 kHz.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import select
import subprocess
import sys
import tempfile
import threading
import time
import tty
from pathlib import Path

import numpy as np

from benchmarks.report import finish
from streamrnn.core.types import Channel
from streamrnn.decision.machine import DecisionConfig
from streamrnn.features.chain import FeatureChain, FeatureConfig
from streamrnn.model.params import init_params
from streamrnn.model.spec import NetworkSpec
from streamrnn.runtime.bundle import Bundle
from streamrnn.wire.encode import Encoder
from streamrnn.wire.packet import Command, frame_time_us
from streamrnn.wire.reference import ReferenceDecoder
from streamrnn.wire.schema import ChannelGroup, Hello

N_CHANNELS = 6
N_WARM_FRAMES = 50  # the first frames meet cold caches and are not counted
COPY = "import os,sys\nf=os.open(sys.argv[1],os.O_RDWR)\nwhile b:=os.read(f,4096): os.write(1,b)\n"


def blinking_model(path: Path, rate_hz: float) -> None:
    """Write a model whose decision follows the sign of channel 0."""
    names = tuple(f"ch_{n}" for n in range(N_CHANNELS))
    channels = tuple(Channel(name) for name in names)
    params = init_params(NetworkSpec(N_CHANNELS, (64,), 2), seed=0)
    layer = params.layers[0]
    hidden = 64
    for gate, bias in enumerate((10.0, -10.0, 0.0, 10.0)):  # i open, f closed, g reads, o open
        row = gate * hidden
        layer.w_ih[row] = 0.0
        layer.w_hh[row] = 0.0
        layer.b[row] = bias
    layer.w_ih[2 * hidden, 0] = 5.0
    params.w_out[:] *= 0.01
    params.w_out[:, 0] = (-10.0, 10.0)
    params.b_out[:] = 0.0
    rng = np.random.default_rng(0)
    x = rng.choice(np.array([-1.0, 1.0], np.float32), (1000, N_CHANNELS))
    chain = FeatureChain.fit([x], channels, FeatureConfig(squash="none", magnitude=False))
    decision = DecisionConfig(enter=0.5, exit=0.5, min_ms=0.0, fire="start")
    Bundle(params, chain, ("none", "on"), rate_hz, channels, decision).save(path)


class Board(threading.Thread):
    """Answers commands and writes frames at their due time, noting when."""

    def __init__(self, rate_hz: float, n_frames: int, *, wait_for_start: bool) -> None:
        super().__init__(daemon=True)
        self.rate_hz = rate_hz
        self.n_frames = n_frames
        self.written_ns = np.zeros(n_frames, np.int64)
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)
        self.wait_for_start = wait_for_start
        self.go = threading.Event()
        self.failed: BaseException | None = None
        names = tuple(f"ch_{n}" for n in range(N_CHANNELS))
        self.hello = Hello(
            name="bench",
            firmware="1",
            boot_id="b",
            rate_hz=rate_hz,
            groups=(ChannelGroup(names, "", "i16", 1 / 1000, 0.0),),
        )

    def run(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            self.failed = error

    def _serve(self) -> None:
        encoder = Encoder()
        if self.wait_for_start:
            self._handshake(encoder)
        else:
            self.go.wait(30)
        raw = np.full((self.n_frames, N_CHANNELS), 1000, np.int16)
        raw[1::2] = -1000
        packets = [
            encoder.data(self.hello, raw[n : n + 1], n, frame_time_us(0, n, self.rate_hz))
            for n in range(self.n_frames)
        ]
        period_ns = round(1e9 / self.rate_hz)
        start_ns = time.monotonic_ns() + 10_000_000
        for n, packet in enumerate(packets):
            due_ns = start_ns + n * period_ns
            wait_ns = due_ns - time.monotonic_ns()
            if wait_ns > 0:
                time.sleep(wait_ns / 1e9)
            self.written_ns[n] = time.monotonic_ns()
            os.write(self.master, packet)

    def _handshake(self, encoder: Encoder) -> None:
        decoder = ReferenceDecoder()
        os.write(self.master, b"\0" + encoder.hello(self.hello))
        while True:
            ready, _, _ = select.select([self.master], [], [], 1.0)
            if not ready:
                os.write(self.master, encoder.hello(self.hello))
                continue
            for item in decoder.push(os.read(self.master, 4096)):
                if not isinstance(item, Command):
                    continue
                if item.name == "DESCRIBE":
                    os.write(self.master, encoder.hello(self.hello))
                os.write(self.master, encoder.ack(item.request_id, True))
                if item.name == "START":
                    return


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, user and system (proc(5))."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def measure(name: str, rate_hz: float, seconds: float, folder: Path) -> dict[str, float | str]:
    """Return one row: latency percentiles in ms and the CPU share of the reading process."""
    n_frames = round(rate_hz * seconds)
    product = name == "streamrnn run"
    board = Board(rate_hz, n_frames, wait_for_start=product)
    if product:
        model = folder / f"blink-{rate_hz:g}.safetensors"
        blinking_model(model, rate_hz)
        command = [sys.executable, "-m", "streamrnn", "run", str(model)]
        command += ["--source", f"serial:{board.path}", "--duration", str(seconds + 60)]
    else:
        command = [sys.executable, "-u", "-c", COPY, board.path]
    errors = (folder / "stderr.txt").open("w+b")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process:
        assert process.stdout is not None
        board.start()
        if not product:
            time.sleep(0.5)
            board.go.set()
        latency_ns, share = collect(process, board, product=product)
        process.terminate()
        process.wait()
    os.close(board.slave)
    os.close(board.master)
    if len(latency_ns) < 0.98 * (n_frames - N_WARM_FRAMES):
        errors.seek(0)
        raise SystemExit(f"{name}: only {len(latency_ns)} of {n_frames} frames came back, "
                         f"{np.count_nonzero(board.written_ns)} were written; "
                         f"{errors.read()[-300:].decode(errors='replace')}")  # fmt: skip
    p50, p99 = np.percentile(latency_ns / 1e6, [50, 99])
    return {
        "what": name,
        "rate_hz": rate_hz,
        "n_frames": len(latency_ns),
        "p50_ms": round(float(p50), 3),
        "p99_ms": round(float(p99), 3),
        "max_ms": round(float(latency_ns.max()) / 1e6, 3),
        "cpu_share": round(share, 4),
    }


def collect(
    process: subprocess.Popen[bytes], board: Board, *, product: bool
) -> tuple[np.ndarray, float]:
    """Read what the process prints; return latencies (ns) and its CPU share while frames ran."""
    assert process.stdout is not None
    out = process.stdout.fileno()
    read_ns = np.zeros(board.n_frames, np.int64)
    rest = b""
    n_copied = 0
    cpu_at = wall_at = 0.0
    last_cpu = last_wall = 0.0
    deadline = time.monotonic() + board.n_frames / board.rate_hz + 30
    while time.monotonic() < deadline and board.failed is None:
        ready, _, _ = select.select([out], [], [], 5.0)
        if not ready:
            if read_ns.any():
                break
            continue
        data = os.read(out, 65536)
        now_ns = time.monotonic_ns()
        if not data:
            break
        if product:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                record = json.loads(line)
                if record["type"] == "event":
                    read_ns[record["seq"]] = now_ns
        else:
            n_new = data.count(b"\0")
            read_ns[n_copied : n_copied + n_new] = now_ns
            n_copied += n_new
        last_cpu, last_wall = cpu_s(process.pid), time.monotonic()
        if not cpu_at and np.count_nonzero(read_ns) > N_WARM_FRAMES:
            cpu_at, wall_at = last_cpu, last_wall
        if read_ns[-1]:
            break
    if board.failed is not None:
        raise SystemExit(f"the board failed: {board.failed!r}")
    good = np.flatnonzero(read_ns)
    good = good[good >= N_WARM_FRAMES]
    share = (last_cpu - cpu_at) / max(last_wall - wall_at, 1e-9)
    return read_ns[good] - board.written_ns[good], share


def main() -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the four runs")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            measure(name, rate_hz, seconds, Path(folder))
            for rate_hz in (100.0, 1000.0)
            for name in ("copy", "streamrnn run")
        ]
    at_100, at_1000 = rows[1], rows[3]
    targets = {
        "p50 at 100 Hz <= 0.3 ms": float(at_100["p50_ms"]) <= 0.3,
        "p99 at 100 Hz <= 1.5 ms": float(at_100["p99_ms"]) <= 1.5,
        "CPU at 1 kHz <= 15 % of a core": float(at_1000["cpu_share"]) <= 0.15,
    }
    return finish("end_to_end", rows, targets, {"seconds": seconds, "network": "6->64->2"})


if __name__ == "__main__":
    sys.exit(main())
