"""From the byte written to the event printed, on a real pseudo-terminal.

    python -m benchmarks.end_to_end [--peers] [--quick] [--seconds 3]

This process plays the board: it writes one wire packet a frame on a pseudo-terminal, at 100 Hz and
at 1 kHz, and notes when. ``streamrnn run`` (another process) prints one event record for every
frame: the model's first unit follows the sign of the first channel, which alternates, so that
gestures start and end on alternate frames. Latency is the time from the write to the arrival of the
printed line here. The network is 6 -> 64 -> 2. The row `copy` is the floor: a Python loop that only
copies what it reads from the pseudo-terminal to its output. With --peers there is also a plain loop
of pyserial and ONNX Runtime with the same network on the same terminal: it reads frames of fixed
length without any check, runs them, and prints one line each.

Every round runs each of them once at each rate; figures are medians over the rounds of a run's own
percentiles, with bootstrap intervals.

Target: p50 <= 0.3 ms and p99 <= 1.5 ms at 100 Hz, at most 15 % of a core at 1 kHz.
"""

from __future__ import annotations

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
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import contest, environment, measure
from benchmarks.peers.onnx_model import onnx_model
from benchmarks.peers.onnxruntime_ import OrtRun
from benchmarks.shapes import Task
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

OURS, COPY_ROW, PLAIN = "streamrnn run", "copy", "pyserial + ONNX Runtime"
RATES_HZ = (100.0, 1000.0)
#: Words, rate, figure, largest value.
TARGETS = (
    ("p50 at 100 Hz <= 0.3 ms", 100.0, "p50_ms", 0.3),
    ("p99 at 100 Hz <= 1.5 ms", 100.0, "p99_ms", 1.5),
    ("CPU at 1 kHz <= 15 % of a core", 1000.0, "cpu_share", 0.15),
)
N_CHANNELS = 6
N_WARM_FRAMES = 50  # the first frames meet cold caches and are not counted
#: Marks the frames of the plain loop, which are two bytes and the samples.
MARK = b"\xa5\x5a"
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
    config = FeatureConfig(squash="none", magnitude=False)
    chain = FeatureChain.fit([x], channels, rate_hz, config)
    decision = DecisionConfig(enter=0.5, exit=0.5, min_ms=0.0, fire="start")
    Bundle(params, chain, ("none", "on"), rate_hz, channels, decision).save(path)


class Board(threading.Thread):
    """Answers commands and writes frames at their due time, noting when."""

    def __init__(
        self, rate_hz: float, n_frames: int, *, wait_for_start: bool, plain: bool = False
    ) -> None:
        super().__init__(daemon=True)
        self.rate_hz = rate_hz
        self.n_frames = n_frames
        self.written_ns = np.zeros(n_frames, np.int64)
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)
        self.wait_for_start = wait_for_start
        self.plain = plain
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
        if self.plain:
            packets = [MARK + row.tobytes() for row in raw]
        else:
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


def command(name: str, board: Board, folder: Path, seconds: float) -> list[str]:
    """Return how a reader of the board is started."""
    if name == OURS:
        model = folder / f"blink-{board.rate_hz:g}.safetensors"
        if not model.exists():
            blinking_model(model, board.rate_hz)
        start = [sys.executable, "-m", "streamrnn", "run", str(model)]
        return [*start, "--source", f"serial:{board.path}", "--duration", str(seconds + 60)]
    if name == PLAIN:
        model = folder / "step.onnx"
        if not model.exists():
            model.write_bytes(onnx_model(Task("step", 6, 64), 1).SerializeToString())
        return [sys.executable, "-m", "benchmarks.plain_loop", board.path, str(model)]
    return [sys.executable, "-u", "-c", COPY, board.path]


def run_once(name: str, rate_hz: float, seconds: float, folder: Path) -> dict[str, float]:
    """Return latency percentiles in ms and the CPU share of the reading process."""
    n_frames = round(rate_hz * seconds)
    board = Board(rate_hz, n_frames, wait_for_start=name == OURS, plain=name == PLAIN)
    with (
        (folder / "stderr.txt").open("w+b") as errors,
        subprocess.Popen(
            command(name, board, folder, seconds), stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        assert process.stdout is not None
        board.start()
        if name == PLAIN:
            while os.read(process.stdout.fileno(), 1) not in (b"\n", b""):
                pass  # it says when it is ready
        if name == COPY_ROW:
            time.sleep(0.5)
        board.go.set()
        latency_ns, share = collect(process, board, product=name != COPY_ROW)
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
    return {"p50_ms": float(p50), "p99_ms": float(p99), "cpu_share": max(share, 1e-6)}


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    parser = contest.parser("end_to_end", __doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, help="of each run (default: 3, quick: 1.5)")
    options = parser.parse_args(arguments)
    seconds = options.seconds or (1.5 if options.quick else 3.0)
    names, notes = [OURS, COPY_ROW], []
    if options.peers:
        if why := OrtRun.missing():
            notes.append(f"{PLAIN}: not measured, {why}")
        else:
            names.append(PLAIN)
    subprocess.run([sys.executable, "-m", "streamrnn", "warmup"], check=True, capture_output=True)
    runs: dict[tuple[str, float], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(measure.MIN_ROUNDS):
            for rate_hz in RATES_HZ:
                for name in names:
                    run = run_once(name, rate_hz, seconds, Path(folder))
                    runs.setdefault((name, rate_hz), []).append(run)
    figures = {
        key: {what: measure.median([run[what] for run in some]) for what in some[0]}
        for key, some in runs.items()
    }
    rows = [
        {"job": f"end to end, {rate_hz:g} Hz", "contender": name}
        | {
            column: round(value, 4)
            for what, figure in figures[name, rate_hz].items()
            for column, value in (
                (what, figure.value), (f"{what}_low", figure.low), (f"{what}_high", figure.high),
            )
        }
        for rate_hz in RATES_HZ
        for name in names
    ]  # fmt: skip
    met = {
        f"{words}: {figures[OURS, rate_hz][what]}": figures[OURS, rate_hz][what].reaches(
            limit, at_least=False
        )
        for words, rate_hz, what, limit in TARGETS
    }
    settings = {"seconds": seconds, "n_rounds": measure.MIN_ROUNDS, "network": "6->64->2"}
    return contest.conclude("end_to_end", options, rows, met, settings, notes=notes)


if __name__ == "__main__":
    environment.settle()
    sys.exit(main())
