"""``streamrnn demo``: the whole job, by public commands alone; each is printed before it runs."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamrnn.core.errors import SourceError, StreamRNNError

if TYPE_CHECKING:
    from streamrnn.evaluation.report import Report

#: Simulated people that train the model, the last of them held out to watch the training.
TRAINED_ON = range(1, 8)
#: Simulated people that the live run meets, in turn; none of them trained the model.
UNSEEN = (101, 102)
RECORD_S = 60
#: A live run that hangs is ended, seconds.
WATCHDOG_S = 600
#: The person that the model does not see when real recordings are used.
LEFT_OUT = "ni"


@click.command(short_help="The whole job on a simulated board: record, train, run, report.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with real recordings (UHH).")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the files in this folder.")
@click.option(
    "--seconds", default=20.0, show_default=True, type=click.FloatRange(2),
    help="Length of the live run.",
)  # fmt: skip
def command(*, data: Path | None, out: Path | None, seconds: float) -> None:
    """Record, train, run live and report, on a simulated board or with real people's recordings.

    With --data the recordings of UHH IMU gestures take the place of the simulated people: four
    train the model, the fifth is played by the simulated board.
    """
    started_s = time.monotonic()
    with _folder(out) as folder:
        demo = Demo(folder)
        if data is None:
            say_step("streamrnn demo: simulated people, a simulated board, real everything else")
            title, report, stats = demo.simulated(seconds)
        else:
            say_step("streamrnn demo: recordings of real people, played by a simulated board")
            title, report, stats = demo.recorded(data, seconds)
        show_table(title, report, stats)
        click.echo(f"\nall of it took {time.monotonic() - started_s:.0f} s")
        if out is not None:
            click.echo(f"the model and the sessions are in {out}")
    if data is None:
        click.echo("with recordings of real people:  streamrnn demo --data DIR   (docs/data.md)")
    click.echo("with your own board:             streamrnn devices; streamrnn probe serial:auto")


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="streamrnn-demo-") as name:
        yield Path(name)


def say_step(text: str) -> None:
    """Print a heading."""
    click.secho(f"\n{text}", bold=True)


def say_command(arguments: list[str], program: str = "streamrnn") -> None:
    """Print a command as one would type it."""
    click.secho(f"$ {program} {shlex.join(arguments)}", fg="cyan")


@dataclass(slots=True)
class Board:
    """A simulated board in a process of its own, on a pseudo-terminal."""

    process: subprocess.Popen[str]
    port: str

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.communicate()


class Demo:
    """The steps, over one folder.

    Parameters
    ----------
    folder : Path
        Gets the sessions and the model.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = folder / "gestures.safetensors"
        self.live = folder / "live.mcap"
        self.live.unlink(missing_ok=True)

    def simulated(self, seconds: float) -> tuple[str, Report, dict[str, Any]]:
        """Do the job with simulated people; return title, report and statistics."""
        say_step(f"1. Record {len(TRAINED_ON)} people through the serial port, {RECORD_S} s each")
        sessions = []
        for person in map(str, TRAINED_ON):
            path = self.folder / f"person-{person}.mcap"
            with self._board("--signals", "--person", person, "--seed", person,
                             "--seconds", str(RECORD_S), "--speed", "0") as board:  # fmt: skip
                self._streamrnn("record", f"serial:{board.port}", "-o", str(path),
                                "--subject", f"person-{person}", "--overwrite")  # fmt: skip
            sessions.append(str(path))
        say_step(f"2. Train; person-{TRAINED_ON[-1]} is held out to watch it")
        self._streamrnn("train", *sessions, "-o", str(self.model),
                        "--held-out", f"person-{TRAINED_ON[-1]}")  # fmt: skip
        say_step(f"3. Run live for {seconds:g} s on people that the model never saw")
        people = ",".join(map(str, UNSEEN))
        with self._board("--signals", "--people", people, "--seconds", f"{seconds + 5:g}",
                         "--speed", "1") as board:  # fmt: skip
            stats = self._run_live(f"serial:{board.port}", seconds)
        return "simulated signals", self._score(), stats

    def recorded(self, data: Path, seconds: float) -> tuple[str, Report, dict[str, Any]]:
        """Do the job with the UHH recordings; return title, report and statistics."""
        files = sorted((data / "uhh_imu_gestures" / "dataSets").glob("*_*_fullSet.npz"))
        if not files:
            raise SourceError(
                f"no recordings in {data / 'uhh_imu_gestures' / 'dataSets'}: docs/data.md says "
                "what belongs there"
            )
        from streamrnn.sessions.join import join_sessions
        from streamrnn.sessions.reader import read_session

        say_step(f"1. Import the recordings of {len({f.name.split('_')[0] for f in files})} people")
        self._streamrnn("import", *map(str, files), "--out-dir", str(self.folder), "--overwrite")
        imported = sorted(self.folder.glob("*_fullSet.mcap"))
        seen = [str(path) for path in imported if not path.name.startswith(f"{LEFT_OUT}_")]
        unseen = [path for path in imported if path.name.startswith(f"{LEFT_OUT}_")]
        say_step(f"2. Train on all but {LEFT_OUT}")
        self._streamrnn("train", *seen, "-o", str(self.model))
        whole = join_sessions([read_session(path) for path in unseen])
        speed = max(1.0, whole.duration_s / seconds)
        say_step(f"3. All that {LEFT_OUT} did, live, {speed:.1f} times as fast as it was recorded")
        with self._board("--playback", *map(str, unseen), "--speed", f"{speed:.3f}") as board:
            stats = self._run_live(f"serial:{board.port}")
        report = self._score()
        # The board's wire does not carry that the rate of these recordings is a guess.
        report.nominal = whole.metadata.get("rate") == "nominal"
        return f"recordings of real people: {LEFT_OUT}, trained without them", report, stats

    def _streamrnn(self, *arguments: str) -> None:
        from streamrnn.cli import cli

        say_command(list(arguments))
        code = cli.main(list(arguments), prog_name="streamrnn", standalone_mode=False)
        if code:
            raise StreamRNNError(f"streamrnn {arguments[0]} ended with exit code {code}")

    @contextmanager
    def _board(self, *arguments: str) -> Iterator[Board]:
        command = [*arguments, "--link", "pty"]
        say_command(command, "python -m firmware_sim")
        process = subprocess.Popen(
            [sys.executable, "-m", "firmware_sim", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        board = Board(process, process.stdout.readline().strip())
        try:
            if not board.port:
                raise SourceError("the simulated board did not start")
            yield board
        finally:
            board.stop()

    def _run_live(self, url: str, duration_s: float | None = None) -> dict[str, Any]:
        """Run the model in a process of its own, print its events, return its statistics."""
        arguments = ["run", str(self.model), "--source", url, "--record", str(self.live)]
        if duration_s is not None:
            arguments += ["--duration", f"{duration_s:g}"]
        say_command(arguments)
        with subprocess.Popen(
            [sys.executable, "-m", "streamrnn", *arguments], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            watchdog = threading.Timer(WATCHDOG_S, process.kill)
            watchdog.start()
            try:
                stats = self._print_events(process.stdout)
            finally:
                watchdog.cancel()
        if process.returncode or not stats:
            raise StreamRNNError(f"streamrnn run ended with exit code {process.returncode}")
        return stats

    def _print_events(self, lines: Iterator[str]) -> dict[str, Any]:
        stats: dict[str, Any] = {}
        for line in lines:
            record = json.loads(line)
            if record["type"] == "stats":
                stats = record
            elif record["type"] == "event":
                click.echo(f"  {record['t_us'] / 1e6:8.2f} s  {record['gesture']:<12}"
                           f" score {record['score']:.2f}")  # fmt: skip
            else:
                click.echo(f"  {line.rstrip()}")
        return stats

    def _score(self) -> Report:
        from streamrnn.core.records import Event
        from streamrnn.evaluation.report import Report
        from streamrnn.runtime.bundle import Bundle
        from streamrnn.sessions.reader import read_session

        session = read_session(self.live)
        events = [Event.from_dict(event) for event in session.events]
        report = Report(Bundle.load(self.model).labels[1:])
        report.add(session, events)
        return report


def show_table(title: str, report: Report, stats: dict[str, Any]) -> None:
    """Print what a live run did: hits, delays, losses, and where the time went."""
    from rich.console import Console
    from rich.table import Table

    total = report.total
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_row("gestures hit / missed / false events",
                  f"{total.n_hit} / {total.n_missed} / {total.n_false}")  # fmt: skip
    delays = report.to_dict()["delay_frames" if report.nominal else "delay_ms"]
    unit = "frames" if report.nominal else "ms"
    shown = f"{delays['p50']:.0f} / {delays['p95']:.0f} {unit}" if delays else "no hits"
    table.add_row("detection delay from the onset, p50 / p95", shown)
    table.add_row("frames seen / lost", f"{stats['n_frames']} / {stats['n_missing_frames']}")
    for stage, times in stats["stages_us"].items():
        table.add_row(f"time in {stage}, p50 / p99",
                      f"{times['p50_us']:.0f} / {times['p99_us']:.0f} us")  # fmt: skip
    Console().print()
    Console().print(table)
