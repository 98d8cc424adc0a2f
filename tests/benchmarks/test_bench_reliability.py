"""The bars of reliability: what they measure is so, and they see what goes wrong."""

from __future__ import annotations

import json
import random
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reliability import (
    __main__ as bars,
)
from benchmarks.reliability import (
    damage,
    document,
    faults,
    kill_recording,
    mutants,
    rate,
    replug,
    soak,
)
from benchmarks.reliability.bar import Check, Form, Outcome, percentiles
from benchmarks.reliability.hostile import bar as hostile
from benchmarks.reliability.hostile import files, plain, reader
from benchmarks.reliability.hostile import good as good_ones
from streamrnn.core.types import Frames
from streamrnn.sessions.reader import read_session
from streamrnn.sessions.writer import write_session
from streamrnn.sources.stream import StreamSource
from streamrnn.wire.encode import cobs_encode
from streamrnn.wire.packet import TRAILER

cobs = pytest.importorskip("cobs.cobs")


def form(tmp_path: Path) -> Form:
    return Form(True, tmp_path, tmp_path / "kept.json")


def sent(n_each: int = 2, n_packets: int = 200) -> mutants.Sent:
    return mutants.send(damage._I16, n_each, n_packets, np.random.default_rng(1))


# ---- running bars


def bar_that(*is_met: bool):
    checks = [Check(f"question {n}", "answer | it", met) for n, met in enumerate(is_met)]
    return lambda _: Outcome(checks, rows=[{"n": 1234567, "share": 0.25, "none": None}])


@pytest.fixture
def only_two(monkeypatch):
    monkeypatch.setattr(bars, "BARS", ("good", "bad"))

    def use(good, bad):
        for name, run in (("good", good), ("bad", bad)):
            module = type(sys)(f"benchmarks.reliability.{name}")
            module.run = run
            monkeypatch.setitem(sys.modules, module.__name__, module)

    return use


def call(tmp_path: Path, *arguments: str) -> int:
    where = ["--kept", str(tmp_path / "kept"), "--into", str(tmp_path / "into")]
    return bars.main([*arguments, *where])


@pytest.mark.parametrize(("second", "code"), [(True, 0), (False, 1)])
def test_a_missed_figure_is_exit_1_and_stands_in_the_table(
    only_two, tmp_path, capsys, second, code
):
    only_two(bar_that(True, True), bar_that(True, second))
    assert call(tmp_path, "--quick") == code
    last = capsys.readouterr().out.splitlines()[-2:]
    assert last[0].split() == ["met" if second else "MISSED", "bad", "question", "1", "answer", "|", "it"]  # fmt: skip  # noqa: E501
    (path,) = (tmp_path / "into").iterdir()
    assert path.name.endswith("-reliability-quick.json")
    whole = json.loads(path.read_text())
    assert list(whole["bars"]) == ["good", "bad"]
    assert "processor" in whole["machine"]
    assert str(tmp_path) not in path.read_text()


def test_an_interrupted_run_goes_on_where_it_was(only_two, tmp_path):
    calls = []

    def slow(made: Form) -> Outcome:
        done = made.load().get("done", 0)
        calls.append(done)
        made.save({"done": done + 1})
        if done < 2:
            raise KeyboardInterrupt
        return Outcome([Check("q", "a", True)])

    def once(made: Form) -> Outcome:
        calls.append("once")
        return Outcome([Check("q", "a", True)])

    only_two(once, slow)
    with pytest.raises(KeyboardInterrupt):
        call(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        call(tmp_path, "--resume")
    assert call(tmp_path, "--resume") == 0
    assert calls == ["once", 0, 1, 2]
    with pytest.raises(KeyboardInterrupt):  # afresh
        call(tmp_path)
    assert calls[4:] == ["once", 0]


def test_the_page_has_a_place_for_every_bar(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(document.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    results = {
        name: {"date": "2026-01-02", "seconds": 3.0, **bar_that(True)(form(tmp_path)).to_dict()}
        for name in bars.BARS
    }
    document.write_page(document.whole(results, is_quick=False, is_part=False), page)
    text = page.read_text(encoding="utf-8")
    assert text.count("| 1,234,567 | 0.25 | - |") == len(bars.BARS)
    assert text.count("question 0 | answer \\| it | met") == len(bars.BARS)
    with pytest.raises(SystemExit, match="nothing: begin"):
        document.between(text, "nothing", "")


def test_the_99th_percentile_is_a_value_that_was_seen():
    assert percentiles([*range(200)]) == {"p50": 99, "p99": 197, "max": 199}
    assert percentiles([5.0]) == {"p50": 5.0, "p99": 5.0, "max": 5.0}


# ---- damage


@given(st.lists(st.binary(min_size=20, max_size=20), min_size=1, max_size=5))
def test_stuffing_in_bulk_is_cobs(rows):
    body = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)
    want = [cobs.encode(row) + b"\0" for row in rows]
    assert [row.tobytes() for row in mutants.stuffed(body)] == want
    assert [cobs_encode(row) + b"\0" for row in rows] == want


@given(st.integers(0, 2**32))
def test_a_burst_changes_some_bits_within_32(seed):
    body = sent().body
    changed = mutants.burst(body, np.random.default_rng(seed)) ^ body
    bits = np.unpackbits(changed, axis=1, bitorder="little")
    assert bits.any(axis=1).all()
    first, last = bits.argmax(axis=1), bits.shape[1] - 1 - bits[:, ::-1].argmax(axis=1)
    assert (last - first < mutants.BURST_BITS).all()


@pytest.mark.parametrize("kind", mutants.KINDS)
def test_mutants_follow_from_their_seed_and_end_with_a_delimiter(kind):
    made = [mutants.mutate(sent(), kind, np.random.default_rng(3)) for _ in range(2)]
    assert made[0] == made[1]
    stream, n_mutants, n_same = made[0]
    assert stream[-1] == 0
    assert n_mutants in (100, 200)
    assert n_same < 20


def test_every_block_is_accounted_for():
    tally = damage._Tally({})
    block, rng = sent(), np.random.default_rng(4)
    for kind in mutants.KINDS:
        damage._judge(tally, kind, block, mutants.mutate(block, kind, rng), rng)
        tally.blocks += 1
    assert not tally.wrong
    assert tally.total("compared") > 1000
    assert tally.total("judged otherwise") == 0


def test_a_packet_that_was_never_sent_is_seen():
    tally, block, rng = damage._Tally({}), sent(), np.random.default_rng(5)
    forged = block.body[3, :-4].copy()
    forged[20] ^= 1
    packet = forged.tobytes() + TRAILER.pack(zlib.crc32(forged.tobytes()))
    stream = block.wire[0].tobytes() + cobs.encode(packet) + b"\0" + block.wire[5].tobytes()
    damage._judge(tally, "forged", block, (stream, 3, 2), rng)
    assert [wrong["by zlib"] for wrong in tally.wrong] == ["True"]
    outcome_counts = tally.of("forged")
    assert (outcome_counts["wrong"], outcome_counts["undone"]) == (1, 2)


def test_chance_explains_little():
    assert damage.explained(0) == 0
    assert damage.explained(10**7) == 0
    assert damage.explained(10**8) == 1
    assert 4 <= damage.explained(2 * 2**32) <= 8


def test_damage_from_its_options_to_its_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(damage, "_SAMPLE_BYTES", 5_000)
    assert call(tmp_path, "--quick", "--only", "damage") == 0
    assert "bursts of <= 32 bits in a packet believed: none" in capsys.readouterr().out
    (path,) = (tmp_path / "into").iterdir()
    (result,) = json.loads(path.read_text())["bars"].values()
    assert result["figures"]["packets_per_s"] > 0
    assert {row["damage"] for row in result["rows"]} >= set(mutants.KINDS)


# ---- faults, cables


def test_a_scenario_agrees_and_a_lost_count_is_seen():
    tables = [{"kind": "flip", "share": 2e-4}, {"kind": "unplug", "every_s": 1.0, "for_s": 0.2}]
    board = faults._board(tables, 3, 1, 4.0)
    heard = faults._read(board)
    assert faults._disagreements(board, heard) == []
    heard.counters["n_lost_frames"] -= 1
    assert "frames known and unknown" in faults._disagreements(board, heard)


def test_doubled_and_invented_frames_are_seen():
    seen = replug._Seen()
    seq = np.array([0, 1, 2, 2, 3])
    x = np.column_stack([[0, 1, 2, 2, 9], np.zeros(5)]).astype(np.float32)
    seen.blocks, seen.waits_ms, seen.n_unplugs = [Frames(x, seq, seq)], [20.0, 300.0], 2
    checks = replug._outcome(seen, 2, "p99").checks
    assert [check.is_met for check in checks] == [False, True, False, False]
    assert "1 doubled, 1 invented" in checks[2].figure


# ---- kills


def test_what_a_kill_left_is_compared_with_what_was_sent(tmp_path):
    truth = kill_recording._truth(tmp_path / "truth.mcap")
    path = tmp_path / "left.mcap"

    def judge(session, killed_s=0.5):
        write_session(path, session)
        killed_ns = int(session.host_ns[-1]) + round(killed_s * 1e9)
        return kill_recording._judge(path, killed_ns, truth)

    left = read_session(tmp_path / "truth.mcap")
    left.frames, left.host_ns = left.frames[:300], left.host_ns[:300]
    left.labels = left.labels[:6]
    good = judge(left)
    assert (good.n_frames, good.n_wrong, good.n_labels, good.n_labels_missing) == (300, 0, 6, 0)
    assert good.lost_s == pytest.approx(0.5)
    left.frames.x[7, 2] += 1
    left.labels = left.labels[:5]
    bad = judge(left, 1.5)
    assert (bad.n_wrong, bad.n_labels_missing) == (1, 1)
    checks = kill_recording._outcome([good, bad]).checks
    assert [check.is_met for check in checks] == [False, False, True, False]


# ---- a week


def test_the_feed_loses_what_it_says():
    link = soak.FeedLink(0.15)
    source = StreamSource(link)
    source.open()
    n_frames = 0
    for _ in range(2000):
        items = source.read(0.0)
        n_frames += sum(len(item) for item in items if isinstance(item, Frames))
        if any(type(item).__name__ == "End" for item in items):
            break
    assert n_frames == link.n_frames - link.n_lost == 54_000 - source.counters.n_lost_frames
    assert link.n_lost == 20


def test_growth_and_an_open_descriptor_are_seen():
    samples = [
        {"hours": float(n), "rss_mb": 100.0 + n, "descriptors": 7 + n // 8, "seconds": 1.0}
        for n in range(10)
    ]
    end = dict.fromkeys(("n_events", "n_gaps", "n_resets", "n_parts"), 1)
    end |= {"n_frames": 3_600_000, "n_recorded": 3_600_000, "host_s": 9.0}
    end |= {"n_lost": 0, "n_lost_true": 0}
    checks = soak._outcome(samples, end, 10.0).checks
    assert [check.is_met for check in checks] == [False, False, True]
    assert "+5.0 MB, from 104.0 to at most 109.0 MB" in checks[0].figure


# ---- hostile files


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    good_ones.good_files(folder)
    return folder


@pytest.mark.parametrize("kind", hostile.COUNTS)
def test_good_files_are_read_and_hostile_ones_follow_from_their_number(kind, good, tmp_path):
    data = (good / f"good-{kind}").read_bytes()
    path = tmp_path / good_ones.NAMES[kind]
    path.write_bytes(data)
    assert reader.judge(kind, path, 0) == ("read", "")
    made = {files.mutant(kind, data, number) for number in range(60)}
    assert len(made) > 40
    assert made == {files.mutant(kind, data, number) for number in range(60)}
    for number in range(60):
        path.write_bytes(files.mutant(kind, data, number))
        outcome, problem = reader.judge(kind, path, number)
        assert not problem
        assert outcome in ("read", "ModelFileError", "SessionError", "ConfigError")


def test_an_error_without_a_type_and_one_of_two_lines_are_seen(monkeypatch, tmp_path):
    def fail(error):
        def read(*_):
            raise error

        monkeypatch.setattr(reader, "read", read)
        return reader.judge("model", tmp_path, 0)

    assert fail(KeyError("x"))[0] == "untyped"
    outcome, problem = fail(reader.StreamRNNError("a\nb"))
    assert (outcome, problem) == ("StreamRNNError", "not one line: 'a\\nb'")


@given(st.integers(0, 2**32))
def test_a_warped_document_is_another_one_and_leaves_the_first(seed):
    first = {"a": [1, 2, {"b": "c"}], "d": 0.5, "e": {"f": None}}
    before = json.dumps(first)
    plain.warped(first, random.Random(seed))
    assert json.dumps(first) == before


# ---- rates


def test_a_rate_is_fitted_and_what_cannot_be_known_is_not_claimed():
    way = rate.WAYS["all of it"]
    report = rate.watch(way, 400.0, 1, has_clock=True)
    assert report.is_settled
    assert report.rate_hz == pytest.approx(400.0, rel=rate.LIMIT)
    scarce = rate.watch(way, 50.0, 1, has_clock=False)  # 26 arrivals
    assert not scarce.is_settled
