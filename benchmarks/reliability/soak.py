"""A week of simulated time through the whole live path: memory and descriptors stay as they are.

Wire bytes (10 frames a packet, some packets lost) -> source -> pipeline of the sample model ->
two sinks and a recording that is rotated each hour of stream time. Old parts of the recording are
removed, so that the disk does not fill. It runs in a process of its own, `python -m
benchmarks.reliability.soak HOURS FOLDER`, which reports as JSON lines.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.reliability.bar import Check, Form, Outcome
from streamrnn.wire.encode import Encoder, frame_packet
from streamrnn.wire.packet import PacketType

HOURS = 168.0
LIMIT_MB = 5.0
RATE_HZ = 100.0
PER_PACKET = 10
#: So much is warm-up: the recording has begun anew once, everything has grown to its size.
WARM_HOURS = 4.0
#: The signal repeats after so long.
_TURN_S = 600
_PACKETS_A_READ = 10
#: One packet in so many is lost (its frames are filled in), and now and then a minute of them.
_LOSE_ONE, _LOSE_MANY, _N_MANY = 3_001, 100_003, 600
_HELLO_PACKETS = 50
_REPORT_HOURS = 1.0 / 6.0
_SHM = Path("/dev/shm")


class FeedLink:
    """A `streamrnn.core.link.Link` to a board that sends as fast as it is read.

    Attributes
    ----------
    n_sent : int
        Frames so far, the lost ones counted.
    n_lost : int
        Frames of packets that were lost on the way.
    """

    can_return = False
    waits = True
    is_deaf = True

    def __init__(self, hours: float) -> None:
        from firmware_sim.signals import SignalOrigin

        self.name = "feed:"
        self.n_sent = self.n_lost = 0
        self.n_frames = round(hours * 3600 * RATE_HZ)
        origin = SignalOrigin(1, 1, RATE_HZ, seconds=_TURN_S)
        block = origin.next(round(_TURN_S * RATE_HZ))
        rows = block.rows.tobytes()
        size = PER_PACKET * origin.hello.frame_bytes
        self._payloads = [rows[at : at + size] for at in range(0, len(rows), size)]
        self._hello = origin.hello
        self._reads = self._bytes()

    def open(self) -> None:
        """Do nothing."""

    def read(self, timeout_s: float) -> bytes:
        """Return some packets."""
        del timeout_s
        data = next(self._reads, None)
        if data is None:
            raise EOFError(f"{self.name} is over")
        return data

    def write(self, data: bytes) -> None:
        """Do nothing: this board knows no commands."""

    def close(self) -> None:
        """Do nothing."""

    def clock_ns(self) -> int:
        """Return the host's clock, which goes with the stream."""
        return 1_700_000_000_000_000_000 + round(self.n_sent * 1e9 / RATE_HZ)

    def _bytes(self) -> Iterator[bytes]:
        encoder, payloads = Encoder(), self._payloads
        n_packet, seq = 0, 0
        while seq < self.n_frames:
            pieces = []
            for _ in range(_PACKETS_A_READ):
                if n_packet % _HELLO_PACKETS == 0:
                    pieces.append(encoder.hello(self._hello, seq, seq * 10_000))
                payload = payloads[n_packet % len(payloads)]
                is_lost = n_packet % _LOSE_ONE == 7 or n_packet % _LOSE_MANY >= _LOSE_MANY - _N_MANY
                if is_lost:
                    self.n_lost += PER_PACKET
                else:
                    pieces.append(
                        frame_packet(
                            PacketType.DATA, payload, seq=seq, t_us=seq * 10_000,
                            schema=self._hello.schema_id,
                        )
                    )  # fmt: skip
                n_packet += 1
                seq += PER_PACKET
            self.n_sent = seq
            yield b"".join(pieces)
        yield encoder.event({"kind": "end"}, seq, seq * 10_000)


class _Keeper:
    """Removes old parts of a recording, and reports how the process is."""

    def __init__(self, link: FeedLink, folder: Path) -> None:
        self._link = link
        self._folder = folder
        self._next_hours = 0.0
        self._begin_s = time.monotonic()
        self.n_parts = 0

    def tick(self) -> None:
        """Look around, every so often in stream time."""
        hours = self._link.n_sent / RATE_HZ / 3600
        if hours < self._next_hours:
            return
        self._next_hours = hours + _REPORT_HOURS
        parts = sorted(self._folder.glob("*.mcap"), key=lambda path: path.stat().st_mtime_ns)
        for path in parts[:-2]:
            path.unlink()
            self.n_parts += 1
        said = {
            "hours": round(hours, 4), "rss_mb": rss_mb(),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "seconds": round(time.monotonic() - self._begin_s, 1),
        }  # fmt: skip
        print(json.dumps(said), flush=True)


def rss_mb() -> float:
    """Return the resident memory of this process, MB (proc(5))."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(hours: float, folder: Path) -> None:
    """Run it, in this process."""
    from streamrnn.cli.live import load_model, ready_backend
    from streamrnn.runtime.latency import StageTimer
    from streamrnn.runtime.loop import run_stream
    from streamrnn.runtime.pipeline import Pipeline
    from streamrnn.runtime.recorder import Recorder
    from streamrnn.sinks import JsonlSink
    from streamrnn.sources.stream import StreamSource

    bundle = load_model(None)
    link = FeedLink(hours)
    timer = StageTimer()
    source = StreamSource(link, timer=timer)
    pipeline = Pipeline(bundle, ready_backend(bundle, "cpu"), timer)
    source.open()
    recorder = Recorder(folder / "soak.mcap", source.info, {}, clock_ns=link.clock_ns)
    keeper = _Keeper(link, folder)
    with (folder / "events.jsonl").open("wb") as events, open(os.devnull, "wb") as nothing:
        stats = run_stream(
            source, pipeline, [JsonlSink(events), JsonlSink(nothing), recorder],
            stop=threading.Event(), drop=False, on_item=[recorder.push], on_tick=keeper.tick,
        )  # fmt: skip
        recorder.close()
    source.close()
    values = stats.values
    said = {
        "ended": values["ended"], "n_frames": values["n_frames"], "n_events": values["n_events"],
        "n_gaps": values["n_gaps"], "n_resets": values["n_resets"], "host_s": values["host_s"],
        "n_lost": values["source"]["n_lost_frames"], "n_lost_true": link.n_lost,
        "n_recorded": recorder.n_frames, "n_parts": keeper.n_parts + 2,
    }  # fmt: skip
    print(json.dumps(said), flush=True)


def run(form: Form) -> Outcome:
    """Start it, follow it, judge it."""
    hours = form.pick(2.0, HOURS)
    # A flush to disk each simulated second would be 600,000 of them: memory is quicker.
    where = str(_SHM) if _SHM.is_dir() and os.access(_SHM, os.W_OK) else str(form.folder)
    samples: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="reliability-soak-", dir=where) as folder:
        command = [sys.executable, "-m", "benchmarks.reliability.soak", str(hours), folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                samples.append(json.loads(line))
                if "rss_mb" in samples[-1]:
                    form.say(
                        "{hours:.1f} h, {rss_mb:.1f} MB, {seconds:.0f} s".format(**samples[-1])
                    )
        if process.returncode:
            raise SystemExit(f"the soak ended with {process.returncode}")
    return _outcome(samples[:-1], samples[-1], hours)


def _outcome(samples: list[dict[str, float]], end: dict[str, Any], hours: float) -> Outcome:
    warm_hours = min(WARM_HOURS, hours / 2)
    warm = [s for s in samples if s["hours"] <= warm_hours]
    later = [s for s in samples if s["hours"] > warm_hours]
    base_mb = max(s["rss_mb"] for s in warm)
    peak_mb, last_mb = max(s["rss_mb"] for s in later), later[-1]["rss_mb"]
    descriptors = sorted({s["descriptors"] for s in later})
    n_frames = round(hours * 3600 * RATE_HZ)
    return Outcome(
        checks=[
            Check(
                f"{hours:g} simulated hours at {RATE_HZ:g} Hz: memory grows < {LIMIT_MB:g} MB",
                f"{peak_mb - base_mb:+.1f} MB, from {base_mb:.1f} to at most {peak_mb:.1f} MB",
                peak_mb - base_mb < LIMIT_MB,
            ),
            Check(
                "open descriptors: always as many",
                " or ".join(f"{n:.0f}" for n in descriptors), len(descriptors) == 1,
            ),
            Check(
                "every frame decided on and recorded, or counted as lost",
                f"{end['n_frames']:,} of {n_frames:,}, {end['n_lost']:,} lost",
                end["n_frames"] == end["n_recorded"] == n_frames - end["n_lost_true"]
                and end["n_lost"] == end["n_lost_true"],
            ),
        ],
        rows=[{
            "hours": hours, "frames": end["n_frames"], "events": end["n_events"],
            "gaps": end["n_gaps"], "resets": end["n_resets"],
            "parts of the recording": end["n_parts"], "MB at the end": round(last_mb, 1),
            "times real time": round(hours * 3600 / end["host_s"]),
        }],
        settings={"rate_hz": RATE_HZ, "frames_a_packet": PER_PACKET, "warm_hours": warm_hours},
        figures={"samples": samples[:: max(1, len(samples) // 200)], "end": end},
    )  # fmt: skip


if __name__ == "__main__":
    soak(float(sys.argv[1]), Path(sys.argv[2]))
