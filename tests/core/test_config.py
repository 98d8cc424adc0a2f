"""Documents become dataclasses, and each mistake gets one line that says what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    enter: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.enter < 1:
            raise ConfigError(f"enter must lie between 0 and 1, got {self.enter}")


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 1
    flag: bool = False
    limit_ms: float | None = None
    sizes: tuple[int, ...] = (32,)
    per_class: dict[str, float] = field(default_factory=dict)
    anything: Any = None


def test_values_of_toml_become_fields() -> None:
    got = from_mapping(
        Outer,
        {"name": "a", "limit_ms": 3, "sizes": [8, 9], "per_class": {"x": 1}, "anything": [1]},
        "a.toml",
    )
    assert got == Outer("a", 1, False, 3.0, (8, 9), {"x": 1.0}, [1])
    assert isinstance(got.limit_ms, float)
    assert from_mapping(Outer, {"name": "a", "limit_ms": None}, "x").limit_ms is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "a", "cuont": 1}, "a.toml: unknown option 'cuont' (did you mean 'count'?)"),
        ({"name": "a", "zzz": 1}, "a.toml: unknown option 'zzz'"),
        ({}, "a.toml: option 'name' is missing"),
        ({"name": 3}, "a.toml: name must be str, got 3"),
        ({"name": "a", "count": 1.5}, "a.toml: count must be int, got 1.5"),
        ({"name": "a", "count": True}, "a.toml: count must be int, got True"),
        ({"name": "a", "flag": 1}, "a.toml: flag must be bool, got 1"),
        ({"name": "a", "limit_ms": "x"}, "a.toml: limit_ms must be float, got 'x'"),
        ({"name": "a", "sizes": 3}, "a.toml: sizes must be a list, got 3"),
        ({"name": "a", "sizes": [1, "b"]}, "a.toml: sizes[1] must be int, got 'b'"),
        ({"name": "a", "per_class": 3}, "a.toml: per_class must be a table, got 3"),
        ({"name": "a", "per_class": {"k": "v"}}, "a.toml: per_class.k must be float, got 'v'"),
    ],
)
def test_each_mistake_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping(Outer, values, "a.toml")
    assert str(caught.value) == message


def test_a_check_of_the_dataclass_itself_says_where() -> None:
    with pytest.raises(ConfigError, match=r"^b.toml \[inner\]: enter must lie between"):
        from_mapping(Inner, {"enter": 2}, "b.toml [inner]")


@pytest.mark.parametrize(
    "values",
    [
        {"name": ["x"] * 5000},
        {"name": "a", "limit_ms": 10**400},
        {"name": "a", "x" * 9000 + "\x1b[2J": 1},
        {"name": "a", "per_class": {"y" * 9000: "\n"}},
    ],
)
def test_a_senseless_value_gives_one_short_line(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping(Outer, values, "a.toml")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
