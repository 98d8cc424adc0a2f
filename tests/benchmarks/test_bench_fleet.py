"""The benchmark of fleets, from its options to its JSON."""

from __future__ import annotations

import json

from benchmarks import fleet, report


def test_a_quick_run_writes_its_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    assert fleet.main(["--quick", "--shape", "64 of 6->64"]) == 0
    (path,) = tmp_path.iterdir()
    assert path.name.endswith("-fleet-alone-part-quick.json")
    rows = json.loads(path.read_text())["rows"]
    assert {row["job"] for row in rows} == {"fleet 64 of 6->64"}
    assert rows[0]["contender"] == "streamrnn"
    names = {fleet.TICK, fleet.HALVES, fleet.QUIET, fleet.BUSY}
    assert names <= {row["contender"] for row in rows}
    assert all(row["low"] <= row["ns"] <= row["high"] for row in rows)
    assert "fleet 64 of 6->64" in capsys.readouterr().out
