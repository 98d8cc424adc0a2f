"""The benchmark of the simulated null, from its options to its JSON."""

from __future__ import annotations

import json

from benchmarks import null, report


def test_a_quick_run_writes_its_results_and_misses_what_it_cannot_show(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    assert null.main(["--quick"]) == 1
    (path,) = tmp_path.iterdir()
    assert path.name.endswith("-simulated-null-quick.json")
    document = json.loads(path.read_text())
    assert document["notes"][0].startswith("simulated null")
    assert document["settings"]["calibration"]["is_shown"] is False
    row = document["rows"][0]
    assert row["decision"] == "as trained"
    assert row["at most"] > row["an hour"] >= 0
    assert not document["targets"]["at least 10 simulated event-free hours"]
    assert "simulated null" in capsys.readouterr().out


def test_nobody_is_in_two_crowds_and_null_sessions_hold_no_gesture():
    crowds = [null.TRAINED, null.CALIBRATED, null.SCORED]
    people = [set(range(crowd.first, crowd.first + crowd.n)) for crowd in crowds]
    assert sum(map(len, people)) == len(set().union(*people))
    small = null.Crowd(3, 2, 12.0, 10.0)
    sessions = list(small.without(3))
    assert [one.subject for one in sessions] == ["person-3", "person-4", "person-3"]
    assert not any(one.labels for one in sessions)
    assert len({one.frames.x.tobytes() for one in sessions}) == 3
    assert all(one.labels for one in small.with_gestures())
