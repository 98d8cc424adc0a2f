"""Faults from spec strings (`drop:0.01,unplug@5s:2s`) and from the tables of a scenario.

A spec is ``KIND:SHARE`` (``drop:0.01``, ``flip:1e-5``) or ``KIND@START`` and, where it lasts,
``KIND@START:DURATION`` (``panic@5s``, ``unplug@5s:2s``); several are joined by commas.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from firmware_sim.faults.plan import BYTE_KINDS, KINDS, PACKET_KINDS, Fault, FaultPlan
from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean, printable

_TIME = re.compile(r"(\d+(?:\.\d*)?)(ms|s)")
_MAX_S = 1e7
#: What a stalled link keeps has to be kept somewhere.
_MAX_STALL_S = 600.0
_LASTING = {"unplug": _MAX_S, "reboot": _MAX_S, "stall": _MAX_STALL_S, "brownout": _MAX_S}
_LASTING |= {"slow_reader": _MAX_STALL_S}
#: Whole numbers of a kind: the key in a table, the field, the least and the most.
_COUNTS = {
    "burst": (("bits", "n_bits", 1, 4096), ("within", "within_bits", 1, 4096)),
    "lose": (("bytes", "n_bytes", 1, 4096),),
    "insert": (("bytes", "n_bytes", 1, 4096),),
    "nul": (("bytes", "n_bytes", 1, 4096),),
    "reorder": (("packets", "n_packets", 1, 1000),),
    "slow_reader": (("buffer_bytes", "buffer_bytes", 0, 1 << 20),),
}
_TIMES = ("at_s", "every_s", "from_s", "to_s")


def parse_faults(specs: str | Sequence[str]) -> FaultPlan:
    """Return the plan that spec strings ask for.

    Raises
    ------
    ConfigError
        One line naming the spec that makes no sense.
    """
    texts = [specs] if isinstance(specs, str) else specs
    parts = (part.strip() for text in texts for part in text.split(","))
    return checked_plan(_from_spec(spec) for spec in parts if spec)


def checked_plan(faults: Iterable[Fault]) -> FaultPlan:
    """Return the faults as a plan, or raise `ConfigError` if two outages overlap."""
    plan = FaultPlan(tuple(faults))
    for fault in plan.outages:
        if fault.every_us and fault.for_us >= fault.every_us:
            raise ConfigError(
                f"faults: {fault.kind} lasts {fault.for_us / 1e6:g} s, "
                f"but comes every {fault.every_us / 1e6:g} s"
            )
    known = sorted((at_us, fault.for_us) for fault in plan.outages for at_us in fault.at_us)
    for (first_us, for_us), (second_us, _) in itertools.pairwise(known):
        if second_us < first_us + for_us:
            raise ConfigError(f"faults: the outage at {second_us / 1e6:g} s overlaps another")
    return plan


def fault_from_table(table: Mapping[str, Any], where: str) -> Fault:
    """Return the fault that a table of a scenario describes.

    Parameters
    ----------
    table : mapping
        ``kind``, one of ``share``, ``at_s`` (a number or a list of them) and ``every_s``, perhaps
        ``from_s``, ``to_s``, and the numbers of its kind.
    where : str
        For messages.

    Raises
    ------
    ConfigError
        One line that says what is wrong, with the nearest right name.
    """
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        text = printable(str(kind), 40)
        what = "needs a kind" if kind is None else f"unknown kind {text!r}"
        hint = did_you_mean(text, KINDS) or f"; known: {', '.join(KINDS)}"
        raise ConfigError(f"{where}: {what}{hint}")
    where = f"{where} ({kind})"
    known = _keys_of(kind)
    for key in table:
        if key not in known:
            hint = did_you_mean(key, known) or f"; known: {', '.join(known)}"
            raise ConfigError(f"{where}: unknown key {printable(key, 40)!r}{hint}")
    values: dict[str, Any] = {"kind": kind}
    for key, name, least, most in _COUNTS.get(kind, ()):
        if key in table:
            values[name] = _whole(table[key], least, most, f"{where}: {key}")
    if "share" in table:
        values["share"] = _number(table["share"], 0.0, 1.0, f"{where}: share")
    if "bytes_per_s" in table:
        values["bytes_per_s"] = _number(table["bytes_per_s"], 0.0, 1e9, f"{where}: bytes_per_s")
    if "for_s" in table:
        values["for_us"] = _micro(table["for_s"], f"{where}: for_s", _LASTING[kind])
    values |= _when(table, where)
    if kind != "reboot" and kind in _LASTING and not values.get("for_us"):
        raise ConfigError(f"{where}: for_s says how long; it must be more than 0")
    fault = Fault(**values)
    if fault.n_bits > fault.within_bits:
        raise ConfigError(f"{where}: {fault.n_bits} bits do not fit within {fault.within_bits}")
    return fault


def _keys_of(kind: str) -> tuple[str, ...]:
    keys = ["kind", *_TIMES, *(key for key, *_ in _COUNTS.get(kind, ()))]
    keys += ["share"] if kind in PACKET_KINDS + BYTE_KINDS else []
    keys += ["for_s"] if kind in _LASTING else []
    return (*keys, "bytes_per_s") if kind == "slow_reader" else tuple(keys)


def _when(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return when it happens."""
    given = [key for key in ("share", "at_s", "every_s") if key in table]
    if len(given) != 1:
        choice = "share, at_s or every_s" if "share" in _keys_of(table["kind"]) else "at_s, every_s"
        raise ConfigError(f"{where}: say when by exactly one of {choice}")
    when: dict[str, Any] = {}
    if "at_s" in table:
        times = table["at_s"] if isinstance(table["at_s"], list) else [table["at_s"]]
        when["at_us"] = tuple(sorted(_micro(value, f"{where}: at_s") for value in times))
    if "every_s" in table:
        when["every_us"] = _micro(table["every_s"], f"{where}: every_s")
        if when["every_us"] < 1000:
            raise ConfigError(f"{where}: every_s must be 0.001 or more")
    for key, name in (("from_s", "from_us"), ("to_s", "to_us")):
        if key in table:
            when[name] = _micro(table[key], f"{where}: {key}")
    if when.get("to_us", math.inf) <= when.get("from_us", -1):
        raise ConfigError(f"{where}: to_s must lie behind from_s")
    return when


def _number(value: Any, least: float, most: float, where: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:
        raise ConfigError(
            f"{where} must be a number in {least:g}..{most:g}, got {printable(repr(value), 40)}"
        )
    return float(value)


def _whole(value: Any, least: int, most: int, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(
            f"{where} must be a whole number in {least}..{most}, got {printable(repr(value), 40)}"
        )
    return value


def _micro(value: Any, where: str, most_s: float = _MAX_S) -> int:
    return round(_number(value, 0.0, most_s, where) * 1e6)


def _from_spec(spec: str) -> Fault:
    name, _, value = spec.partition(":")
    kind, at, start = name.partition("@")
    shown = printable(spec, 60)
    if kind not in KINDS:
        hint = did_you_mean(kind, KINDS)
        raise ConfigError(f"unknown fault {shown!r}{hint}; known: {', '.join(KINDS)}")
    if not at and kind in PACKET_KINDS + BYTE_KINDS:
        return Fault(kind, share=_share(shown, value))
    lasts = kind in _LASTING
    if not at or (value and not lasts):
        form = f"{kind}@START:DURATION, as {kind}@5s:2s" if lasts else f"{kind}@START, as {kind}@5s"
        raise ConfigError(f"fault {shown!r}: write {form}")
    at_us = _time_us(shown, start)
    for_us = _time_us(shown, value) if lasts else 0
    if lasts and kind != "reboot" and not for_us:
        raise ConfigError(f"fault {shown!r}: it must last more than 0 s")
    if for_us > _LASTING.get(kind, 0.0) * 1e6:
        raise ConfigError(f"fault {shown!r}: {printable(value)!r} is too long")
    return Fault(kind, at_us=(at_us,), for_us=for_us)


def _time_us(spec: str, text: str) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ConfigError(f"fault {spec!r}: {printable(text, 40)!r} is no time; write 5s or 500ms")
    value_us = round(float(match[1]) * (1e6 if match[2] == "s" else 1e3))
    if not 0 <= value_us <= _MAX_S * 1e6:
        raise ConfigError(f"fault {spec!r}: {printable(text, 40)!r} is too long")
    return value_us


def _share(spec: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        got = printable(text, 40)
        raise ConfigError(f"fault {spec!r}: the share must be a number in 0..1, got {got!r}")
    return value
