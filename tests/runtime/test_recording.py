"""Guide, recorder and quality together, without a terminal and without a device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_make import INFO, make_frames

from streamrnn.core.types import Counters, Frames, Gap, Item, Marker, StreamInfo
from streamrnn.runtime.guide import Guide, GuideConfig
from streamrnn.runtime.recorder import Recorder
from streamrnn.runtime.recording import Recording
from streamrnn.sessions.raw import read_raw
from streamrnn.sessions.reader import read_session
from streamrnn.sources.tap import Tape
from streamrnn.sources.timing import TimingReport

CONFIG = GuideConfig(("wave", "tap"), reps=2, gesture_s=1.0, ready_s=0.5, rest_s=0.5, null_s=1.0)


class Silent:
    """What a recording asks of its source."""

    name, live = "silent", True

    def __init__(self) -> None:
        self.info: StreamInfo = INFO
        self.metadata: dict[str, str] = {}
        self.counters = Counters()
        self.timing: TimingReport | None = None

    def open(self) -> None: ...

    def read(self, timeout_s: float) -> list[Item]:
        return []

    def close(self) -> None: ...


def recording_of(path: Path, *, guided: bool = True, tape: Tape | None = None) -> Recording:
    now = iter(range(10**18, 10**20, 10**7))
    recorder = Recorder(path, INFO, {}, clock_ns=lambda: next(now))
    return Recording(Silent(), recorder, Guide(CONFIG) if guided else None, tape)


def moving(n: int, first: int = 0) -> Frames:
    return make_frames(n, first=first)


def test_the_labels_of_a_whole_recording(tmp_path: Path) -> None:
    recording = recording_of(tmp_path / "a.mcap")
    first = 0
    while not recording.is_over:
        recording.push([moving(10, first)])
        first += 10
    assert recording.is_complete
    recording.finish()
    recording.recorder.close()
    session = read_session(tmp_path / "a.mcap")
    assert sorted(label.name for label in session.labels) == ["tap", "tap", "wave", "wave"]
    assert {label.source for label in session.labels} == {"guide"}
    assert {label.end_us - label.start_us for label in session.labels} == {1_000_000}
    assert session.undone == []
    assert session.problems == []


def test_nobody_is_asked_for_what_is_over(tmp_path: Path) -> None:
    """Frames that had waited before the first prompt could be seen."""
    recording = recording_of(tmp_path / "a.mcap")
    recording.push([moving(500)])
    assert recording.steps[-1].kind == "rest"
    assert recording.steps[-1].t_us == 4_990_000
    recording.recorder.close()
    assert len(read_session(tmp_path / "a.mcap")) == 500


def advance(recording: Recording, until: str, first: int) -> int:
    """Push frames, 10 at a time, until a prompt is shown; return the number of the next frame."""
    assert recording.guide is not None
    while recording.guide.prompt.kind != until:
        recording.push([moving(10, first)])
        first += 10
    return first


@pytest.mark.parametrize("how", ["undo", "pause", "skip", "unplug", "end"])
def test_half_a_gesture_is_kept_as_taken_back(how: str, tmp_path: Path) -> None:
    """It is no example of the gesture, and none of null."""
    recording = recording_of(tmp_path / "a.mcap")
    first = advance(recording, "now", 0)
    recording.push([moving(40, first)])
    {
        "undo": recording.undo,
        "pause": recording.toggle_pause,
        "skip": recording.skip,
        "unplug": lambda: recording.push([Gap("unplug")]),
        "end": recording.finish,
    }[how]()
    recording.recorder.close()
    session = read_session(tmp_path / "a.mcap")
    (half,) = session.undone
    assert 300_000 < half.end_us - half.start_us <= 500_000
    assert session.labels == []
    assert recording.recorder.n_labels == 0


@pytest.mark.parametrize("at", ["ready", "now"])
def test_a_gesture_whose_prompt_nobody_saw_is_no_label(at: str, tmp_path: Path) -> None:
    """The link hangs, and gives everything at once: with it the whole time of the gesture."""
    recording = recording_of(tmp_path / "a.mcap")
    first = advance(recording, at, 0)
    said = recording.push([moving(220, first)])
    assert said == [
        "2.2 s of frames came late, all at once: what was asked meanwhile is asked again"
    ]
    assert recording.guide is not None
    assert recording.guide.prompt.kind == "rest"
    recording.recorder.close()
    session = read_session(tmp_path / "a.mcap")
    assert session.labels == []
    assert len(session.undone) == (at == "now")
    assert len(session) == first + 220  # the frames are all there


def test_a_file_may_come_in_any_blocks(tmp_path: Path) -> None:
    recording = recording_of(tmp_path / "a.mcap")
    recording.source.live = False  # type: ignore[misc]
    advance(recording, "ready", 0)
    recording.push([moving(220, 1000)])
    recording.recorder.close()


@settings(max_examples=40)
@given(
    ops=st.lists(
        st.one_of(
            st.tuples(st.just("frames"), st.integers(1, 250)),
            st.tuples(
                st.sampled_from(["undo", "skip", "pause", "unplug", "boot", "button"]), st.just(0)
            ),
        ),
        max_size=25,
    ),
)
def test_the_file_has_just_the_labels_that_are_good(
    ops: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("recording") / "a.mcap"
    recording = recording_of(path)
    guide = recording.guide
    assert guide is not None
    first, n_buttons = 0, 0
    for name, n in ops:
        if name == "frames":
            recording.push([moving(n, first)])
            first += n
        elif name == "unplug":
            recording.push([Gap("unplug")])
            first += 300
        elif name == "boot":
            recording.push([Gap("reboot", restart=True)])
            first = 0
        elif name == "button":
            recording.push([Marker("button", "start", first * 10_000)])
            recording.push([moving(5, first)])
            first += 5
            recording.push([Marker("button", "end", first * 10_000)])
            n_buttons += 1
        else:
            {"undo": recording.undo, "skip": recording.skip, "pause": recording.toggle_pause}[
                name
            ]()
    recording.finish()
    recording.recorder.close()
    session = read_session(path)
    guided = [label for label in session.labels if label.source == "guide"]
    for gesture, n in guide.n_done.items():
        assert sum(label.name == gesture for label in guided) == n
    assert {label.end_us - label.start_us for label in guided} <= {1_000_000}
    assert sum(label.source == "board" for label in session.labels) == n_buttons
    assert sum(recording.recorder.labels.values()) == len(session.labels)
    # A good label has its frames: nothing broke it.
    for label in guided:
        times = session.frames.t_us
        inside = times[(times >= label.start_us) & (times < label.end_us)]
        assert len(inside) == 100
        assert (np.diff(inside) == 10_000).all()


def test_undo_without_a_guide_takes_back_what_a_key_began(tmp_path: Path) -> None:
    recording = recording_of(tmp_path / "a.mcap", guided=False)
    assert recording.undo() is None
    recording.recorder.toggle("left")
    recording.push([moving(50)])
    recording.recorder.toggle("left")
    recording.recorder.toggle("right")
    assert recording.undo() == "right"
    assert recording.recorder.open_label == ""
    recording.push([moving(50, 50)])
    recording.recorder.close()
    assert [label.name for label in read_session(tmp_path / "a.mcap").labels] == ["left"]
    assert not recording.is_over


def test_an_undone_button_label_may_still_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recording = recording_of(tmp_path / "a.mcap", guided=False)
    recording.push([moving(50), Marker("left", "start", 100_000)])
    assert recording.undo() == "left"
    recording.push([Marker("left", "end", 400_000)])
    recording.recorder.close()
    assert read_session(tmp_path / "a.mcap").labels == []
    assert "its start was not seen" in caplog.text


def test_what_is_wrong_is_said_as_it_comes(tmp_path: Path) -> None:
    recording = recording_of(tmp_path / "a.mcap", guided=False)
    silent = recording.source
    assert isinstance(silent, Silent)
    x = moving(500).x.copy()
    x[100:, 1] = 7.0
    frames = moving(500)
    said = recording.push([Frames(x, frames.seq, frames.t_us)])
    assert [text.split(" has stood")[0] for text in said] == ["acc_y"]
    recording.source.counters.n_packets = 100
    recording.source.counters.n_bad_crc = 50
    assert recording.push([]) == ["50 damaged packets so far: check the cable, its ground and the "
                                  "baud rate"]  # fmt: skip
    assert recording.push([Gap("reboot", restart=True)])[0].startswith("the device booted anew")
    assert recording.check_rate() == []
    silent.timing = TimingReport(100.0, span_s=6.0, n_frames=300, host_hz=50.0, error_ppm=10.0)
    assert recording.check_rate()[0].startswith("frames come at 50.0 Hz")
    assert recording.check_rate() == []
    recording.recorder.close()


def test_raw_bytes_are_kept_from_before_the_file_was_there(tmp_path: Path) -> None:
    tape = Tape()
    tape(b"hello", 1)
    recording = recording_of(tmp_path / "a.mcap", guided=False, tape=tape)
    tape(b"world", 2)
    recording.push([moving(10)])
    tape(b"", 3)
    recording.push([Gap("unplug")])
    tape(b"!", 4)
    recording.finish()
    recording.recorder.close()
    assert list(read_raw(tmp_path / "a.mcap")) == [
        (1, b"hello"),
        (2, b"world"),
        (3, b""),
        (4, b"!"),
    ]
