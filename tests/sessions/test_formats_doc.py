"""docs/formats.md, docs/event.schema.json and docs/data.md say what the code does."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streamrnn.core.records import Event, GapRecord, Record, Stats, to_json_line
from streamrnn.decision import DecisionConfig
from streamrnn.decision.explain import NEAR_MARGIN, REASONS, Explanation
from streamrnn.sessions import form, scan

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "event.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
TEXT = (DOCS / "formats.md").read_text()
HASH = "sha256:" + 64 * "a"

times = st.integers(0, 2**50)
records = st.one_of(
    st.builds(Event, st.text(min_size=1), st.just("start"), times, times, times, st.none(),
              st.floats(0, 1)),
    st.builds(Event, st.text(min_size=1), st.sampled_from(["discrete", "end"]), times, times,
              times, times, st.floats(0, 1)),
    st.builds(GapRecord, st.sampled_from(["lost", "unplug", "reboot", "overrun"]), times, times,
              st.none() | st.integers(0, 9), st.sampled_from(["filled", "reset"])),
    st.builds(Stats, st.dictionaries(st.text(min_size=2).map("n_".__add__), st.integers())),
)  # fmt: skip


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@given(record=records, stream=st.sampled_from(["", "left hand"]), model=st.sampled_from(["", HASH]))
def test_every_record_fits_the_schema(record: Record, stream: str, model: str) -> None:
    document = json.loads(to_json_line(record, stream=stream, model=model))
    VALIDATOR.validate(document)
    VALIDATOR.validate({**document, "new_key": 1})


GOOD = json.loads(to_json_line(Event("a", "end", 1, 2, 3, 4, 0.5)))


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2}, {"type": "evnt"}, {"gesture": ""}, {"phase": "middle"}, {"phase": "start"},
        {"end_us": None}, {"seq": -1}, {"t_us": 0.5}, {"score": 1.5}, {"model": "md5:0"},
        {"stream": ""},
    ],
)  # fmt: skip
def test_other_records_do_not(change: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(GOOD)
    assert not VALIDATOR.is_valid({**GOOD, **change})


@pytest.mark.parametrize("key", ["v", "type", "gesture", "end_us", "score"])
def test_no_key_may_be_missing(key: str) -> None:
    assert not VALIDATOR.is_valid({k: v for k, v in GOOD.items() if k != key})


def test_the_examples_of_the_page() -> None:
    section = TEXT.split("## Events")[1]
    lines = "".join(re.findall(r"```json\n(.*?)```", section, re.DOTALL)).splitlines()
    examples = [json.loads(line.replace("sha256:...", HASH)) for line in lines]
    kinds = ["event", "gap", "stats", "explain", "explain"]
    assert [example["type"] for example in examples] == kinds
    for example in examples:
        VALIDATOR.validate(example)
    for kind in ("event", "gap", "explain"):
        for key in SCHEMA["$defs"][kind]["properties"]:
            assert f"`{key}`" in section


def test_the_page_and_the_schema_know_every_part_of_an_explanation() -> None:
    known = SCHEMA["$defs"]["explain"]["properties"]
    assert list(known)[1:] == [field.name for field in dataclasses.fields(Explanation)]
    assert set(known["reason"]["enum"]) == set(REASONS)
    options = {field.name for field in dataclasses.fields(DecisionConfig)}
    assert {name for name in known["threshold"]["enum"] if name} <= options
    for reason in REASONS:
        assert f"`{reason}`" in TEXT
    assert f"below `enter` by less than {NEAR_MARGIN}" in TEXT


def test_the_session_document_of_the_page() -> None:
    blocks = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    (block,) = [b for b in blocks if '"format"' in b]
    document = form.Document.from_json(block)
    assert json.loads(document.to_json()) == json.loads(block)


def test_the_numbers_of_the_page() -> None:
    for number, topic in form.TOPICS.items():
        assert f"| {number} | `{topic}` |" in TEXT
    assert f"1 to {form.MAX_CHANNELS:,} channels" in TEXT
    assert scan.MAX_CHUNK_BYTES == 64 * 2**20
    assert f"above {scan.MAX_CHUNK_BYTES // 2**20} MiB" in TEXT
    assert f"more than {scan.MAX_EXPANSION} times" in " ".join(TEXT.split())
    assert f"{scan.MAX_DAMAGES:,} damaged places" in TEXT


@pytest.mark.data
def test_the_checksums_of_the_recordings(data_dir: Path) -> None:
    lines = (DOCS / "uhh_imu_gestures.sha256").read_text().splitlines()
    assert len(lines) == 51
    for line in lines:
        digest, name = line.split("  ")
        data = (data_dir / "uhh_imu_gestures" / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest, name
