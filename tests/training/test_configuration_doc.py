"""docs/configuration.md lists every option with its default, and nothing else."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from streamrnn.decision.machine import ClassRule, DecisionConfig
from streamrnn.evaluation import tune
from streamrnn.features.chain import FeatureConfig
from streamrnn.training import targets
from streamrnn.training.config import AugmentConfig, TrainConfig, load_config

PATH = Path(__file__).parents[2] / "docs" / "configuration.md"
TEXT = PATH.read_text()
#: Fields of `TrainConfig` that are tables of their own.
TABLES = {"features", "augment", "decision"}


def rows(section: str) -> dict[str, list[str]]:
    """Return the table below a heading: key -> the other cells."""
    part = re.split(r"^## ", TEXT.split(f"\n## `[{section}]`\n")[1], flags=re.MULTILINE)[0]
    found: dict[str, list[str]] = {}
    for line in part.splitlines():
        row = re.fullmatch(r"\| `(\w+)` \| (.+) \|", line)
        if row:
            assert row[1] not in found
            found[row[1]] = row[2].split(" | ")
    return found


def default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return list(field.default) if isinstance(field.default, tuple) else field.default


@pytest.mark.parametrize(
    ("section", "cls"),
    [
        ("training", TrainConfig), ("augment", AugmentConfig), ("features", FeatureConfig),
        ("decision", DecisionConfig),
    ],
)  # fmt: skip
def test_every_option_stands_there_with_its_default(section: str, cls: type) -> None:
    fields = {f.name: f for f in dataclasses.fields(cls) if f.name not in TABLES}
    table = rows(section)
    assert list(table) == list(fields)
    for key, (value, unit, *meaning) in table.items():
        written = tomllib.loads(f"x = {value.strip('`')}")["x"]
        # TOML has no word for nothing: an energy that no frame falls below says the same.
        assert (None if written == -math.inf else written) == default(fields[key]), key
        assert unit
        assert len(meaning[-1]) > 10


def test_where_the_choice_of_a_decision_begins_stands_there() -> None:
    chosen = {key for key, cells in rows("decision").items() if cells[2] == "chooses"}
    assert targets.decision_for([], 50.0).keys() < chosen
    assert f"`enter` {targets.ENTER}, `exit` {targets.EXIT}" in TEXT
    assert targets.SHORTEST_SHARE == 0.5, "half the median gesture"
    assert f"fewer than {tune.FEWEST} gestures" in TEXT


def test_options_of_one_class_are_named() -> None:
    for field in dataclasses.fields(ClassRule):
        assert f"`{field.name}`" in rows("decision")["per_class"][-1]


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, flags=re.DOTALL)
    path = tmp_path / "example.toml"
    path.write_text(example)
    config = load_config(path)
    assert config != TrainConfig()
    for section, values in tomllib.loads(example).items():
        assert values.keys() <= rows(section).keys()
