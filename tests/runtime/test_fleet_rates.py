"""A fleet whose streams have another rate than the model, or filters: pipelines, to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_make import backend, bundle
from two_rates_make import WAYS, frames_of, info_of, model_of, run_two

from streamrnn.core.errors import ConfigError
from streamrnn.core.records import Event
from streamrnn.runtime.fleet import Fleet
from streamrnn.runtime.fleet_snapshot import FleetSnapshot
from streamrnn.runtime.pipeline import Pipeline

N = 5
LENGTH = 80

ways = pytest.mark.parametrize("way", WAYS)


def fleet_of(way, fire="end", n=N, kernel="cpu"):
    return Fleet(model_of(way, fire), n, backend=backend(kernel), rate_hz=WAYS[way][0])


def piped(way, frames, fire="end", kernel="cpu"):
    """Return the newest probabilities behind every frame, and the events, by a pipeline."""
    pipeline = Pipeline(model_of(way, fire), backend(kernel))
    pipeline.start(info_of(way))
    rows, records = [], []
    for k in range(len(frames)):
        records += pipeline.push(frames[k : k + 1])
        rows.append(pipeline.probabilities.copy())
    return np.array(rows), [r for r in [*records, *pipeline.finish()] if isinstance(r, Event)]


class Streams:
    """Streams in a fleet, and what came of them."""

    def __init__(self, way, seed, fire="end", kernel="cpu"):
        self.fleet = fleet_of(way, fire, N + 1, kernel)
        self.ids = self.fleet.join(N)
        self.frames = [frames_of(way, LENGTH, seed + k) for k in range(N)]
        self.at = np.zeros(N, np.int64)
        self.rows = [[] for _ in range(N)]
        self.events = [[] for _ in range(N)]

    def play(self, rng, until=LENGTH):
        while (left := np.flatnonzero(self.at < until)).size:
            which = rng.permutation(left)[: rng.integers(1, len(left) + 1)]
            now = [self.frames[k][self.at[k] : self.at[k] + 1] for k in which]
            x, seq, t_us = (
                np.concatenate([getattr(f, name) for f in now]) for name in ("x", "seq", "t_us")
            )
            p, events = self.fleet.decide(x, self.ids[which], seq=seq, t_us=t_us)
            for k, row in zip(which, p, strict=True):
                self.rows[k].append(row)
            order = [self.ids[which].tolist().index(n) for n, _ in events]
            assert order == sorted(order)
            self.take(events)
            self.at[which] += 1

    def take(self, events):
        for n, event in events:
            self.events[self.ids.tolist().index(n)].append(event)

    def check(self, way, fire="end", kernel="cpu"):
        self.take(self.fleet.leave(self.ids))
        for k in range(N):
            rows, events = piped(way, self.frames[k], fire, kernel)
            assert np.array(self.rows[k]).tobytes() == rows.tobytes()
            assert self.events[k] == events
        return sum(map(len, self.events))


@ways
@given(seed=st.integers(0, 999), fire=st.sampled_from(["start", "end"]))
@settings(max_examples=6)
def test_any_interleaving_is_the_pipeline_to_the_bit(way, seed, fire):
    some = Streams(way, seed, fire)
    some.play(np.random.default_rng(seed))
    some.check(way, fire)


@ways
def test_events_come_at_all(way):
    """Else half of the law above would hold for nothing."""
    some = Streams(way, 5, "start")
    some.play(np.random.default_rng(1))
    assert some.check(way, "start") > 1


@ways
def test_streams_go_on_in_another_fleet_with_the_same_bits(way):
    some = Streams(way, 30)
    some.play(np.random.default_rng(2), 41)
    data = some.fleet.snapshot(some.ids).to_bytes()
    there = fleet_of(way)
    ids = there.restore(FleetSnapshot.from_bytes(data))
    assert there.snapshot(ids).to_bytes() == data
    some.fleet.leave(some.ids)
    some.fleet, some.ids = there, ids
    some.play(np.random.default_rng(3))
    some.check(way)


@ways
def test_behind_a_reset_a_stream_is_new(way):
    fleet = fleet_of(way)
    ids = fleet.join(2)
    for x in frames_of(way, 33).x:
        fleet.tick(np.stack([x, x]), ids)
    fleet.reset(ids[:1])
    assert not fleet._rates.snapshot(fleet._rows(ids[:1])).any()
    rows, _ = piped(way, frames_of(way, 20, 7))
    for x, row in zip(frames_of(way, 20, 7).x, rows, strict=True):
        assert fleet.tick(x[None], ids[:1]).tobytes() == row.tobytes()


def test_a_damaged_frame_changes_nothing_and_none_before_the_first_model_frame_is_zero():
    way = "twice, as trained"
    fleet = fleet_of(way)
    ids = fleet.join(2)
    x = frames_of(way, 4).x
    bad = x[1].copy()
    bad[2] = np.nan
    first = fleet.tick(np.stack([x[0], x[0]]), ids)
    assert not first.any()
    second = fleet.tick(np.stack([x[1], bad]), ids)
    assert np.isnan(second[1]).all()
    assert second[0].sum() == pytest.approx(1.0)
    third = fleet.tick(np.stack([x[2], x[1]]), ids)
    assert third[0].tobytes() == second[0].tobytes()  # no model frame: the last one again
    assert third[1].tobytes() == second[0].tobytes()  # as if the damaged one had not been
    assert fleet.n_invalid == 1


def test_a_stream_counts_frames_at_its_own_rate():
    way = "filtered"
    frames = frames_of(way, 300)
    _, expected = run_two([frames], model_of(way), info_of(way))
    fleet = fleet_of(way)
    ids = fleet.join(1)
    events = [e for x in frames.x for _, e in fleet.decide(x[None], ids)[1]]
    events += [e for _, e in fleet.leave(ids)]
    assert events == expected
    assert len(events) > 0


def test_a_fleet_takes_the_rate_that_the_model_expects_unless_told():
    assert Fleet(bundle(), 1)._rates is None
    assert Fleet(bundle(), 1, rate_hz=103.0)._rates is None
    assert Fleet(model_of("filtered"), 1)._stream_hz == 200.0
    with pytest.raises(ConfigError, match="less than half"):
        Fleet(bundle(), 1, rate_hz=40.0)


def test_snapshots_of_another_rate_or_with_senseless_positions_are_refused():
    fleet = fleet_of("a little more")
    fleet.join(2)
    for x in frames_of("a little more", 9).x:
        fleet.tick(np.stack([x, x]))
    good = fleet.snapshot()
    with pytest.raises(ValueError, match="or of another rate"):
        fleet_of("three quarters").restore(good)
    with pytest.raises(ValueError, match="or of another rate"):
        Fleet(bundle(), 2).restore(good)
    for column, value in ((0, -3.0), (0, 0.5), (1, 2.0), (-1, 2.0), (-1, np.nan)):
        rates = good.rates.copy()
        rates[1, column] = value
        with pytest.raises(ValueError, match="rates does not fit"):
            fleet_of("a little more").restore(replace(good, rates=rates))
    with pytest.raises(ValueError, match="rates does not fit"):
        fleet_of("a little more").restore(replace(good, rates=good.rates[:, 1:].copy()))
