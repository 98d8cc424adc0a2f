"""Prompts and labels of a guided recording."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.errors import ConfigError
from streamrnn.runtime.guide import BREAK_US, CLOSING_S, Guide, GuideConfig, Step

NAMES = ("wave", "circle", "tap")
configs = st.builds(
    GuideConfig,
    gestures=st.sampled_from([NAMES[:1], NAMES[:2], NAMES]),
    reps=st.integers(1, 4),
    gesture_s=st.sampled_from([0.2, 1.0, 2.5]),
    ready_s=st.sampled_from([0.0, 1.0, 3.0]),
    rest_s=st.sampled_from([0.0, 0.5, 1.5]),
    null_s=st.sampled_from([0.0, 2.0]),
    seed=st.integers(0, 99),
)


class Person:
    """Gives frames to a guide, keeps its labels as a recorder would, and checks each step."""

    def __init__(self, config: GuideConfig, start_us: int = 0, period_us: int = 20_000) -> None:
        self.guide = Guide(config)
        self.t_us = start_us
        self.period_us = period_us
        self.steps: list[Step] = []
        self.labels: list[tuple[str, int, int]] = []
        self.open: tuple[str, int] | None = None

    def take(self, steps: list[Step]) -> None:
        for step in steps:
            self.steps.append(step)
            if step.kind == "now":
                assert self.open is None
                self.open = step.gesture, step.t_us
            elif step.kind in ("ended", "dropped"):
                assert self.open is not None
                name, start_us = self.open
                assert name == step.gesture
                assert start_us <= step.t_us
                self.open = None
                if step.kind == "ended":
                    self.labels.append((name, start_us, step.t_us))
            elif step.kind == "undone":
                assert self.labels.pop()[0] == step.gesture
        assert self.guide.n_done == {
            name: sum(label[0] == name for label in self.labels)
            for name in self.guide.config.gestures
        }

    def frames(self, n: int) -> None:
        self.take(self.guide.push(self.t_us + self.period_us * np.arange(n, dtype=np.int64)))
        self.t_us += n * self.period_us

    def to_the_end(self) -> None:
        while not self.guide.is_over:
            self.frames(50)

    def until(self, kind: str) -> None:
        while self.guide.prompt.kind != kind:
            self.frames(1)


@given(config=configs, start_us=st.integers(0, 2**40))
def test_each_gesture_is_done_as_often_as_asked(config: GuideConfig, start_us: int) -> None:
    person = Person(config, start_us)
    person.to_the_end()
    assert Counter(name for name, _, _ in person.labels) == {
        name: config.reps for name in config.gestures
    }
    nulls = [step for step in person.steps if step.kind == "null"]
    assert len(nulls) == (config.reps if config.null_s else 0)
    assert {end - start for _, start, end in person.labels} == {round(config.gesture_s * 1e6)}
    for (_, _, end_us), (_, start_us, _) in itertools.pairwise(person.labels):
        assert start_us - end_us >= round((config.rest_s + config.ready_s) * 1e6)
    # Whoever stops early has some of each.
    for k in range(config.reps):
        turn = person.labels[k * len(config.gestures) : (k + 1) * len(config.gestures)]
        assert {name for name, _, _ in turn} == set(config.gestures)


@given(config=configs, cuts=st.lists(st.integers(1, 400), min_size=1), jump=st.integers(0, 900))
def test_any_cutting_of_the_frames_gives_the_same_steps(
    config: GuideConfig, cuts: list[int], jump: int
) -> None:
    t_us = np.arange(4000, dtype=np.int64) * 20_000
    t_us[jump:] += 3_000_000
    whole = Guide(config).push(t_us)
    guide, steps, at = Guide(config), [], 0
    for n in itertools.cycle(cuts):
        steps += guide.push(t_us[at : at + n])
        at += n
        if at >= len(t_us):
            break
    assert steps == whole


def test_the_order_is_random_and_the_seeds() -> None:
    def order(seed: int) -> list[str]:
        person = Person(GuideConfig(NAMES, reps=6, seed=seed))
        person.to_the_end()
        return [name for name, _, _ in person.labels]

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(5)}) == 5


ops = st.lists(
    st.one_of(
        st.tuples(st.just("frames"), st.integers(1, 300)),
        st.tuples(st.just("jump"), st.integers(1, 20)),
        st.tuples(st.sampled_from(["undo", "skip", "pause", "unplug"]), st.just(0)),
    ),
    max_size=40,
)


@given(config=configs, ops=ops)
def test_whatever_happens_each_gesture_is_done_or_skipped(
    config: GuideConfig, ops: list[tuple[str, int]]
) -> None:
    person = Person(config)
    guide = person.guide
    for name, n in ops:
        before = list(person.labels)
        can_undo = person.open is None and not guide.is_over
        if name == "frames":
            person.frames(n)
            continue
        if name == "jump":
            person.t_us += BREAK_US + n
            person.frames(1)
            assert person.labels == before
            continue
        person.take(
            {
                "undo": guide.undo,
                "skip": guide.skip,
                "pause": guide.toggle_pause,
                "unplug": guide.interrupt,
            }[name]()
        )
        # Only undo changes what is good, and it takes back exactly the last.
        gone = name == "undo" and can_undo
        assert person.labels == (before[:-1] if gone else before)
    if guide.prompt.kind == "paused":
        person.take(guide.toggle_pause())
    person.to_the_end()
    assert person.open is None
    for gesture in config.gestures:
        assert guide.n_done[gesture] + guide.n_skipped[gesture] == config.reps
    starts_and_ends = [t for _, start, end in person.labels for t in (start, end)]
    assert starts_and_ends == sorted(starts_and_ends)
    lengths = {end - start for _, start, end in person.labels}
    assert lengths <= {round(config.gesture_s * 1e6)}


def test_a_gesture_that_was_undone_comes_next() -> None:
    person = Person(GuideConfig(NAMES, reps=2, null_s=0.0))
    person.until("now")
    gesture = person.guide.prompt.gesture
    person.until("rest")
    person.take(person.guide.undo())
    person.until("now")
    assert person.guide.prompt.gesture == gesture
    person.take(person.guide.undo())  # in the middle of it
    assert person.steps[-2].kind == "dropped"
    person.until("now")
    assert person.guide.prompt.gesture == gesture


def test_the_last_one_can_be_taken_back_before_it_is_over() -> None:
    person = Person(GuideConfig(("wave",), reps=1, null_s=0.0))
    person.until("closing")
    assert person.guide.prompt.left_s == pytest.approx(CLOSING_S, abs=0.03)
    person.take(person.guide.undo())
    assert not person.labels
    person.to_the_end()
    assert [label[0] for label in person.labels] == ["wave"]


def test_an_unplug_within_a_segment_repeats_it() -> None:
    person = Person(GuideConfig(NAMES, reps=1, null_s=0.0))
    person.until("now")
    gesture = person.guide.prompt.gesture
    person.take(person.guide.interrupt())
    assert [step.kind for step in person.steps[-2:]] == ["dropped", "away"]
    assert person.guide.prompt.kind == "away"
    person.t_us += 60_000_000
    begun_us = person.t_us
    person.frames(1)
    assert person.steps[-1] == Step("rest", "", begun_us)
    person.until("now")
    assert person.guide.prompt.gesture == gesture


def test_prompts_say_what_to_do_and_for_how_long() -> None:
    person = Person(GuideConfig(("wave",), reps=2, seed=1))
    guide = person.guide
    assert guide.prompt.kind == "waiting"
    total_s = guide.left_s
    person.frames(1)
    assert guide.prompt.kind == "rest"
    assert guide.prompt.left_s == 1.5
    person.until("ready")
    assert (guide.prompt.gesture, round(guide.prompt.left_s)) == ("wave", 3)
    person.until("null")
    assert guide.prompt.hint
    assert guide.left_s < total_s
    person.take(guide.toggle_pause())
    person.frames(500)
    assert guide.prompt.kind == "paused"
    person.take(guide.toggle_pause())
    person.until("now")
    person.take(guide.finish())
    assert guide.is_over
    assert guide.push(np.array([10**12])) == guide.undo() == guide.skip() == guide.finish() == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gestures": ()}, "name the gestures"),
        ({"gestures": ("a", "")}, "name the gestures"),
        ({"gestures": ("a", "a")}, "'a' is named twice"),
        ({"gestures": ("a", "none")}, "'none' is the name of no gesture"),
        ({"reps": 0}, "repetitions"),
        ({"gesture_s": 0.1}, "a gesture takes"),
        ({"rest_s": float("nan")}, "prompts take"),
    ],
)
def test_senseless_plans_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        GuideConfig(**{"gestures": ("a",), **options})  # type: ignore[arg-type]
