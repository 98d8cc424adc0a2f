"""``streamrnn run`` on the simulated board with the model that ships with the package."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from live_make import main, records_of, start

from streamrnn.cli import live
from streamrnn.cli.live import read_tables, stop_on_signals
from streamrnn.core.errors import ConfigError, ModelFileError
from streamrnn.core.records import Event
from streamrnn.evaluation.report import Report
from streamrnn.sessions.reader import read_session

SIM = "sim:signals?person=101&seconds=12&speed=0"


def test_a_run_prints_events_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = main(capsys, "run", "--source", SIM)
    assert code == 0
    *events, stats = records_of(out)
    assert len(events) >= 2
    for event in events:
        assert event["type"] == "event"
        assert event["model"].startswith("sha256:")
        assert event["stream"]
    assert (stats["type"], stats["ended"], stats["n_frames"]) == ("stats", "end", 1200)
    assert stats["n_events"] == len(events)
    assert {"decode", "inference", "decision", "sink"} <= set(stats["stages_us"])
    said = f"the stream ended: 12.0 s at 100.00 Hz, 1200 frames, {len(events)} events, "
    assert err == f"{said}0 frames missing\n"


def test_auto_is_the_cpu_where_there_is_no_gpu_and_says_so(
    capsys: pytest.CaptureFixture[str], no_gpu: None
) -> None:
    code, expected, _ = main(capsys, "run", "--source", SIM, "--no-stats")
    assert code == 0
    code, out, err = main(capsys, "run", "--source", SIM, "--no-stats", "--backend", "auto")
    assert (code, out) == (0, expected)
    assert err.splitlines()[0].startswith("backend cpu: no NVIDIA driver is installed here")


@pytest.mark.parametrize("command", ["run", "train", "evaluate", "replay"])
def test_a_gpu_that_is_not_there_is_one_line(
    capsys: pytest.CaptureFixture[str], no_gpu: None, tmp_path: Path, command: str
) -> None:
    session = tmp_path / "a.mcap"
    assert main(capsys, "run", "--source", SIM, "--record", session, "--no-stats")[0] == 0
    words: dict[str, list[object]] = {
        "run": ["--source", SIM],
        "train": [session, "-o", tmp_path / "m.safetensors"],
        "evaluate": [live.SAMPLE, session],
        "replay": [session],
    }
    code, out, err = main(capsys, command, *words[command], "--backend", "cuda")
    assert (code, out) == (1, "")
    assert err == "streamrnn: no NVIDIA driver is installed here (libcuda.so.1 was not found)\n"


def test_a_gpu_does_not_run_float64(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = live.load_model(None)
    wide = [array.astype(np.float64) for array in model.params.arrays()]
    path = tmp_path / "wide.safetensors"
    replace(model, params=model.params.with_arrays(wide)).save(path)
    code, _, err = main(capsys, "run", path, "--source", SIM, "--backend", "cuda")
    assert code == 2
    assert "the model is in float64, which cuda does not run: use --backend cpu" in err
    code, _, err = main(capsys, "run", path, "--source", SIM, "--backend", "auto")
    assert code == 0
    assert err.startswith("backend cpu: the model is in float64\n")


def test_a_gpu_does_not_train_what_is_too_wide_for_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    session, model = tmp_path / "a.mcap", tmp_path / "m.safetensors"
    assert main(capsys, "run", "--source", SIM, "--record", session, "--no-stats")[0] == 0
    words = ("train", session, "-o", model, "--hidden", "64", "--hidden", "600")
    code, _, err = main(capsys, *words, "--backend", "cuda")
    assert code == 2
    assert "a layer of the model has more than 512 units, which cuda does not run" in err


def test_duration_is_stream_time_and_stats_can_be_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = main(capsys, "run", "--source", SIM, "--duration", "2.5", "--no-stats")
    assert code == 0
    assert all(record["type"] == "event" for record in records_of(out))
    assert err.startswith("done: 2.5 s, 250 frames")


def test_what_is_recorded_gives_the_same_events_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "live.mcap"
    code, live_out, _ = main(capsys, "run", "--source", SIM, "--record", path, "--no-stats")
    assert code == 0
    session = read_session(path)
    assert len(session) == 1200
    assert session.metadata["source"] == SIM
    assert [e["seq"] for e in session.events] == [e["seq"] for e in records_of(live_out)]
    code, file_out, _ = main(capsys, "run", "--source", f"file:{path}", "--no-stats")
    assert (code, file_out) == (0, live_out)
    code, _, err = main(capsys, "run", "--source", SIM, "--record", path)
    assert code == 1
    assert "exists already: name another file" in err


def test_rounded_weights_find_the_same_gestures(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for precision in ("exact", "bf16"):
        code, out, _ = main(capsys, "run", "--source", SIM, "--precision", precision)
        assert code == 0
        found.append([record for record in records_of(out) if record["type"] == "event"])
    exact, rounded = ([event["gesture"] for event in events] for events in found)
    assert exact == rounded
    assert found[0] != found[1]
    code, _, err = main(capsys, "run", "--source", SIM, "--precision", "int8")
    assert code == 2
    assert "'int8' is not one of 'exact', 'bf16'" in err


def test_a_session_over_a_reboot_is_one_of_a_piece(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "live.mcap"
    source = "sim:signals?person=101&seconds=30&speed=0&faults=reboot@12s:1s"
    code, out, _ = main(capsys, "run", "--source", source, "--record", path)
    assert code == 0
    gap = next(record for record in records_of(out) if record["type"] == "gap")
    assert gap["n_missing"] is None
    session = read_session(path)
    boot = int(np.diff(session.frames.t_us).argmax()) + 1
    boot_us = int(session.frames.t_us[boot])
    behind = [event for event in session.events if event["t_us"] >= boot_us]
    assert len(behind) >= 2
    for event in session.events:
        at = np.searchsorted(session.frames.seq, event["seq"])
        assert session.frames.seq[at] == event["seq"]
        assert session.frames.t_us[at] == event["t_us"]
    for event in behind:
        assert boot_us <= event["onset_us"] < event["end_us"] <= session.end_us
    report = Report(live.load_model(None).labels[1:])
    records = [Event.from_dict(event) for event in session.events]
    report.add(session, records)
    assert report.total.n_hit >= report.total.n_true - 2  # those that the boot cut short


def test_a_config_overrides_the_models_decision(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "strict.toml"
    config.write_text("[decision]\nmin_ms = 60000\n")
    code, out, _ = main(capsys, "run", "--source", SIM, "--config", config, "--backend", "numpy")
    assert code == 0
    assert [record["type"] for record in records_of(out)] == ["stats"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[decison]\n", "did you mean 'decision'"),
        ("decision = 3\n", "must be a table"),
        ("[decision\n", "is not TOML"),
        ("x = " + "[" * 5000, "is not TOML"),
    ],
)
def test_a_wrong_config_is_named(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_tables(str(path), ("decision",))


def test_a_missing_config_and_a_missing_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_tables(str(tmp_path / "none.toml"), ())
    monkeypatch.setattr(live, "SAMPLE", tmp_path / "sample.safetensors")
    with pytest.raises(ModelFileError, match="name a MODEL file"):
        live.load_model(None)


def test_damaged_packets_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = main(capsys, "run", "--source", SIM + "&faults=flip:1e-5")
    assert code == 0
    source = records_of(out)[-1]["source"]
    n = source["n_bad_crc"] + source["n_bad_framing"] + source["n_bad_content"]
    n += source["n_oversize"]
    assert n > 0
    assert f", {n} damaged packets\n" in err


@pytest.mark.parametrize(
    ("problem", "n", "words"),
    [
        ("", 3, r"compiling 3 units of kernels \(once; takes some seconds\)"),
        ("/c is not writable", 1, r"compiling a unit of kernels \(at every start; .*\)"),
    ],
)
def test_one_line_says_that_kernels_are_compiled(
    problem: str,
    n: int,
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamrnn.kernels.store.problem", lambda: problem)
    with live._compiling(n):
        begun = capsys.readouterr().err
        assert begun.endswith(" ...")
    assert re.fullmatch(words + r" \.\.\. done in 0\.\d s\n", begun + capsys.readouterr().err)
    with pytest.raises(KeyboardInterrupt), live._compiling(n):
        raise KeyboardInterrupt
    assert capsys.readouterr().err.endswith(" ...\n")


def test_lines_for_people_give_a_terminal_no_orders(capsys: pytest.CaptureFixture[str]) -> None:
    live.say("a\x1b[2J.mcap")
    assert capsys.readouterr().err == "a\\x1b[2J.mcap\n"


def test_counts_that_are_not_zero_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    source = SIM + "&faults=drop:0.02,unplug@2s:1s"
    code, out, err = main(capsys, "run", "--source", source)
    assert code == 0
    stats = records_of(out)[-1]
    assert stats["n_frames"] + stats["n_missing_frames"] == 1200
    assert stats["source"]["n_unplugs"] == 1
    for words in ("frames missing", "gaps", "unplugged once"):
        assert words in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_cleanly(number: int) -> None:
    with start("run", "--source", "sim:") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(number)
        rest, err = process.communicate(timeout=20)
    assert process.returncode == 0
    records = records_of(first + rest)
    assert records[-1]["ended"] == "stopped"
    assert records[-1]["n_frames"] > 50
    assert err.decode().splitlines()[-1].startswith("stopped: ")


def test_a_closed_pipe_ends_a_run_quietly() -> None:
    source = SIM.replace("speed=0", "speed=20")
    with start("run", "--source", source) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert [li for li in err.decode().splitlines() if "compiling" not in li] == []


def test_the_second_interrupt_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_importing_the_commands_loads_nothing_heavy() -> None:
    code = (
        "import sys, streamrnn.cli.run, streamrnn.cli.record, streamrnn.cli.replay\n"
        "heavy = {'numba', 'numpy', 'scipy', 'rich', 'serial'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
