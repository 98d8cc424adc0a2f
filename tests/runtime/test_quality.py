"""What is said of a stream while it is recorded."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_make import INFO

from streamrnn.core.types import F32, Channel, Counters, Frames, StreamInfo
from streamrnn.runtime.damage import damage
from streamrnn.runtime.guide import Step
from streamrnn.runtime.quality import Quality
from streamrnn.sources import open_source


def motion(n: int, seed: int = 0) -> F32:
    """Three channels of a hand that moves, with noise, in g."""
    rng = np.random.default_rng(seed)
    t = np.arange(n)[:, None] / 100
    x = np.sin(2 * np.pi * t * [0.7, 1.1, 1.7]) * np.abs(np.sin(t / 3)) + rng.normal(
        0, 0.01, (n, 3)
    )
    return np.ascontiguousarray(x, np.float32)


def frames_of(x: F32, first: int = 0, period_us: int = 10_000) -> Frames:
    seq = np.arange(first, first + len(x), dtype=np.int64)
    return Frames(x, seq, seq * period_us)


def said_of(x: F32, info: StreamInfo = INFO) -> list[str]:
    quality = Quality(info)
    quality.push(frames_of(x))
    return quality.said


def test_nothing_is_said_of_a_good_stream() -> None:
    assert said_of(motion(6000)) == []


def test_nothing_is_said_of_a_simulated_hand() -> None:
    with closing(open_source("sim:signals?seconds=60&speed=0")) as source:
        source.open()
        quality = Quality(source.info)
        while True:
            items = source.read(1.0)
            for item in items:
                if isinstance(item, Frames):
                    quality.push(item)
            if not items or len(quality.said) > 3 or type(items[-1]).__name__ == "End":
                break
    assert quality.said == []


@pytest.mark.data
def test_little_is_said_of_real_recordings(data_dir: Path) -> None:
    """People's gestures, recorded well: nothing stuck, wild or lost."""
    from streamrnn.sessions.npz_import import import_uhh

    paths = sorted((data_dir / "uhh_imu_gestures").rglob("*.npz"))[:6]
    assert paths
    for path in paths:
        session = import_uhh(path)
        quality = Quality(session.info)
        quality.push(session.frames)
        assert quality.said == [], path.name


def stick(x: F32) -> None:
    x[1000:, 1] = x[999, 1]


def silence(x: F32) -> None:
    x[:, 2] = 0.0


def freeze(x: F32) -> None:
    x[1000:1300] = x[1000]


def clip(x: F32) -> None:
    np.clip(x, -0.6, 0.6, out=x)


def break_down(x: F32) -> None:
    x[700:, 0] = np.nan


def blow_up(x: F32) -> None:
    x[700, 0] = 1e5


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (stick, ["acc_y has stood at"]),
        (silence, ["acc_z has shown nothing but 0: is its sensor connected?"]),
        (freeze, ["nothing has changed on any channel for 2 s"]),
        (clip, [f"acc_{c} is cut off at" for c in "xyz"]),
        (break_down, ["acc_x reads nan: its sensor gives nothing"]),
        (blow_up, ["acc_x reads 1e+05 g, which no such sensor gives"]),
    ],
)
def test_each_fault_is_said_once(harm: Callable[[F32], None], said: list[str]) -> None:
    x = motion(6000)
    harm(x)
    found = sorted(said_of(x))
    assert len(found) == len(said)
    for text, start in zip(found, sorted(said), strict=True):
        assert text.startswith(start)


@given(
    cuts=st.lists(st.integers(0, 1500), max_size=6),
    harm=st.sampled_from([stick, silence, freeze, clip, break_down, blow_up]),
)
@settings(max_examples=25)
def test_any_cutting_says_the_same(cuts: list[int], harm: Callable[[F32], None]) -> None:
    x = motion(1500)
    harm(x)
    quality = Quality(INFO)
    edges = [0, *sorted(cuts), 1500]
    for a, b in itertools.pairwise(edges):
        quality.push(frames_of(x[a:b], a))
    assert quality.said == said_of(x)


def test_a_button_may_rest() -> None:
    x = motion(3000)
    x[:, 2] = (np.arange(3000) // 150) % 2
    x[900:, 2] = 0
    assert said_of(x) == []


def test_lost_frames_are_a_share_and_an_unplug_is_none() -> None:
    x = motion(4000)
    keep = np.arange(4000) % 20 != 0
    quality = Quality(INFO)
    frames = frames_of(x)
    (text,) = quality.push(Frames(x[keep], frames.seq[keep], frames.t_us[keep]))
    assert text.startswith("4.9 %")
    assert "% of the frames are lost on the way" in text
    assert quality.lost_share == pytest.approx(0.05, abs=0.001)

    quality = Quality(INFO)
    quality.push(frames_of(x[:2000]))
    quality.interrupted()
    quality.push(frames_of(x[2000:], 9000))
    assert quality.said == []


def test_rates() -> None:
    quality = Quality(INFO)
    (text,) = quality.push(frames_of(motion(3000), period_us=12_500))
    assert text.startswith("by the device's clock there are 80.0 frames a second, not 100")
    assert quality.rate(100.0, 101.0) == []
    (text,) = quality.rate(100.0, 50.0)
    assert text.startswith("frames come at 50.0 Hz, the stream says 100 Hz")
    assert quality.rate(100.0, 50.0) == quality.rate(0.0, 50.0) == []


def test_damaged_packets() -> None:
    quality = Quality(INFO)
    assert quality.damaged(damage(Counters(n_bad_crc=4)), 1000) == []
    assert quality.damaged(damage(Counters(n_bad_crc=9)), 100_000) == []
    (text,) = quality.damaged(damage(Counters(n_bad_crc=6)), 1000)
    assert text.startswith("6 damaged packets so far: check the cable")
    lines = Counters(n_bad_content=9, extra={"n_half_lines": 0, "n_incomplete_frames": 1})
    quality = Quality(INFO)
    (text,) = quality.damaged(damage(lines), 100)
    assert text.startswith("9 damaged lines and 1 incomplete frame so far: check the cable")
    lines.n_bad_content = 20
    assert quality.damaged(damage(lines), 100) == []
    (text,) = quality.summary()
    assert text.startswith("20 damaged lines and 1 incomplete frame: check the cable")


def test_frames_of_which_lines_are_missing() -> None:
    quality = Quality(INFO)
    quality.push(frames_of(motion(1000)))
    teleplot = Counters(extra={"n_half_lines": 0, "n_incomplete_frames": 20})
    (text,) = quality.damaged(damage(teleplot), 6000)
    assert text.startswith("20 incomplete frames so far")


def test_what_the_device_says_is_no_damage() -> None:
    counters = Counters(n_bad_content=9, extra={"n_half_lines": 0})
    assert Quality(INFO).damaged(damage(counters, 9), 100) == []
    assert damage(counters, 8).words() == ["1 damaged line"]
    assert damage(counters, 12).words() == []


def segments(still: bool) -> tuple[F32, list[Step]]:
    """Rest, a gesture, rest."""
    rng = np.random.default_rng(1)
    x = rng.normal(0, 0.01, (600, 3))
    if not still:
        x[250:350, 0] += np.sin(np.arange(100) / 5)
    steps = [Step("rest", "", 0), Step("ready", "wave", 1_000_000), Step("now", "wave", 2_000_000),
             Step("ended", "wave", 4_000_000), Step("rest", "", 4_000_000)]  # fmt: skip
    return np.ascontiguousarray(x, np.float32), steps


@pytest.mark.parametrize("still", [False, True])
@pytest.mark.parametrize("block", [1, 7, 600])
def test_a_gesture_in_which_nothing_moved(still: bool, block: int) -> None:
    x, steps = segments(still)
    quality = Quality(INFO)
    for at in range(0, 600, block):
        quality.steps([s for s in steps if at <= s.t_us // 10_000 < at + block])
        quality.push(frames_of(x[at : at + block], at))
    quality.finish()
    if not still:
        assert quality.said == []
        return
    (text,) = quality.said
    assert text.startswith("nothing moved while you did 'wave': is the sensor on the right arm?")
    assert quality.n_still == {"wave": 1}
    assert quality.summary() == []  # it is said by the number of gestures
    quality.steps([Step("undone", "wave", 6_000_000)])
    quality.finish()
    assert quality.n_still == {"wave": 0}


def test_what_a_device_calls_its_channels_is_escaped() -> None:
    info = StreamInfo((Channel("\x1b[2J", "\x07"),), 100.0)
    x = motion(500)[:, :1].copy()
    x[:] = np.inf
    for text in said_of(x, info):
        assert text.isprintable()
