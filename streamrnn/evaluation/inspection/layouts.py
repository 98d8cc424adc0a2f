"""Findings on layouts: channels, units, rates, gaps, and files that are not whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from streamrnn.core.types import StreamInfo
from streamrnn.evaluation.inspection.finding import (
    Finding,
    Place,
    counted,
    finding,
    in_sessions,
    listed,
    most_common,
    plain,
)
from streamrnn.evaluation.inspection.recording import Recording
from streamrnn.features.conditioner import RATE_TOLERANCE

#: Share of missing frames that does harm.
MISSING_WARNING = 0.01
#: Standard gravity, m/s^2, and how far the length of a resting sensor may be from it.
GRAVITY, GRAVITY_TOLERANCE = 9.80665, 0.15
#: Rates further apart than this cannot be brought together.
MOST_TIMES = 2.0
#: How far stated and fitted rate may be apart; the time of arrival is a poor clock.
_CLOCK_TOLERANCE = {"measured": RATE_TOLERANCE, "counted": 2 * RATE_TOLERANCE}


def layout_findings(recordings: Sequence[Recording]) -> list[Finding]:
    """Return what stands out in layouts, rates and gaps.

    Parameters
    ----------
    recordings : sequence of Recording
        One or more.
    """
    found = [*_damage(recordings), *_layouts(recordings), *_rates(recordings)]
    return [*found, *_gravities(recordings), *_gaps(recordings)]


def _damage(recordings: Sequence[Recording]) -> list[Finding]:
    hurt = [r for r in recordings if r.problems]
    if not hurt:
        return []
    first = hurt[0]
    return [
        finding(
            "warning", "damaged",
            f"{counted(len(hurt), 'recording')} not whole: {first.name}: {first.problems[0]}",
            means="What could be read is used; what is missing is a gap, or is cut off at the end.",
            todo="Copy the file again, or keep it if the rest is what you need.",
            at=[Place(r.name) for r in hurt],
        )
    ]  # fmt: skip


# ---- layout, units, rate


def _layouts(recordings: Sequence[Recording]) -> list[Finding]:
    usual = most_common([r.info.channel_names for r in recordings])
    found = []
    other = [r for r in recordings if r.info.channel_names != usual]
    if other:
        mine, theirs = set(usual), set(other[0].info.channel_names)
        parts = [f"lacks {listed(sorted(mine - theirs))}"] if mine - theirs else []
        parts += [f"has {listed(sorted(theirs - mine))} besides"] if theirs - mine else []
        differs = " and ".join(parts) or "has the same channels in another order"
        todo = _renaming(sorted(theirs - mine), sorted(mine - theirs)) or (
            "Import again with --rename, --drop or --channels, or leave these recordings out."
        )
        found.append(
            finding(
                "error", "layout",
                f"{len(other)} of {len(recordings)} recordings have other channels: "
                f"{other[0].name} {differs}",
                means="One model reads one layout, so training refuses this mixture.",
                todo=todo,
                at=[Place(r.name) for r in other],
            )
        )  # fmt: skip
    for k, name in enumerate(usual):
        having = [r for r in recordings if r.info.channel_names == usual]
        units = Counter(_unit(r.info, k) for r in having)
        if len(units) > 1:
            shown = " and ".join(
                repr(unit) if unit else "no unit" for unit, _ in units.most_common()
            )
            rare = [r for r in having if _unit(r.info, k) != units.most_common(1)[0][0]]
            found.append(
                finding(
                    "error", "unit", f"channel {name} comes in {shown}",
                    means="Numbers in other units look like other movements, so training refuses "
                    "them.",
                    todo="Say the unit when importing (--unit), and convert the samples where it "
                    "is "
                    "another one.",
                    at=[Place(r.name, name) for r in rare],
                )
            )  # fmt: skip
            break
    return found


def _renaming(theirs: Sequence[str], mine: Sequence[str]) -> str:
    """Return how to rename channels that are only written in another way; nothing for others."""
    usual = {plain(name): name for name in mine}
    pairs = [f"{name}={usual[plain(name)]}" for name in theirs if plain(name) in usual]
    if len(pairs) < len(theirs) or len(theirs) != len(mine):
        return ""
    return f"Import again with --rename {','.join(pairs)}"


def _unit(info: StreamInfo, k: int) -> str:
    return info.channels[k].unit


def _rates(recordings: Sequence[Recording]) -> list[Finding]:
    found = []
    unknown = [r for r in recordings if not r.info.rate_hz]
    if unknown:
        found.append(
            finding(
                "error", "no-rate", f"{counted(len(unknown), 'recording')} without a frame rate",
                means="Training needs to know how long a frame lasts.",
                todo="Import again with --rate.", at=[Place(r.name) for r in unknown],
            )
        )  # fmt: skip
    known = [r for r in recordings if r.info.rate_hz]
    wrong = [
        r for r in known
        if r.clock != "nominal" and r.fitted_hz
        and abs(r.fitted_hz / r.info.rate_hz - 1) > _CLOCK_TOLERANCE[r.clock]
    ]  # fmt: skip
    if wrong:
        worst = max(wrong, key=lambda r: abs(r.fitted_hz / r.info.rate_hz - 1))
        by = "its timestamps" if worst.clock == "measured" else "the time of arrival"
        found.append(
            finding(
                "warning", "rate",
                f"{worst.name} says {worst.info.rate_hz:g} Hz, but {by} say "
                f"{worst.fitted_hz:.4g} Hz" + in_sessions(_named(wrong), len(recordings)),
                means="Every duration is off by that factor: shortest gesture, smoothing, delays.",
                todo=f"Set the device's rate right, or import again with --rate "
                f"{worst.fitted_hz:.4g}.",
                at=_named(wrong),
            )
        )  # fmt: skip
    if known:
        usual = most_common([r.info.rate_hz for r in known])
        other = [r for r in known if abs(r.info.rate_hz / usual - 1) > RATE_TOLERANCE]
        if other:
            furthest = max(max(r.info.rate_hz / usual, usual / r.info.rate_hz) for r in other)
            rates = sorted({f"{r.info.rate_hz:g}" for r in other}, key=float)
            found.append(
                finding(
                    "error" if furthest > MOST_TIMES else "warning", "rates",
                    f"{len(other)} of {len(recordings)} recordings run at {listed(rates)} Hz, the "
                    f"others at {usual:g} Hz",
                    means="They are brought to one rate: a slower one has less detail, and one at "
                    "half the rate, or any other before filters (muscle signals), is refused.",
                    todo="Record at one rate if you can.",
                    at=_named(other),
                )
            )  # fmt: skip
    return found


def _gravities(recordings: Sequence[Recording]) -> list[Finding]:
    """Find accelerations whose size does not fit their unit, or each other."""
    wrong: list[tuple[Recording, str, float, str]] = []
    for r in recordings:
        units = {channel.name: channel.unit.strip().lower() for channel in r.info.channels}
        for name, length in r.gravity.items():
            if units[name] == "g" and abs(length / GRAVITY - 1) < GRAVITY_TOLERANCE:
                wrong.append((r, name, length, "m/s^2"))
            elif units[name].startswith("m/s") and abs(length - 1) < GRAVITY_TOLERANCE:
                wrong.append((r, name, length, "g"))
    if not wrong:
        return []
    r, name, length, likely = wrong[0]
    stated = next(channel.unit for channel in r.info.channels if channel.name == name)
    return [
        finding(
            "warning", "unit-size",
            f"{name} is said to be in {stated}, but a resting sensor would read {length:.2f}: that "
            f"is {likely}" + in_sessions(_named([w[0] for w in wrong]), len(recordings)),
            means="A device that sends what the unit says will look like another one to the model.",
            todo=f"Import again with --unit {name[:-1].rstrip('_') or name}={likely}, or convert.",
            at=[Place(w[0].name, w[1]) for w in wrong],
        )
    ]  # fmt: skip


def _gaps(recordings: Sequence[Recording]) -> list[Finding]:
    found = []
    torn = [r for r in recordings if r.n_missing]
    if torn:
        missing, total = sum(r.n_missing for r in torn), sum(r.n_frames for r in recordings)
        share = missing / (total + missing)
        longest = max(torn, key=lambda r: r.longest_gap_s)
        found.append(
            finding(
                "warning" if share > MISSING_WARNING else "note", "gaps",
                f"{counted(missing, 'frame')} missing ({100 * share:.2g} %) in "
                f"{counted(sum(r.n_gaps for r in torn), 'gap')}, the longest of "
                f"{longest.longest_gap_s:.2f} s" + in_sessions(_named(torn), len(recordings)),
                means="Short gaps are filled in, longer ones make the model forget what it has "
                "seen.",
                todo="Mend the link or lower the rate if this is more than you expect live.",
                at=_named(sorted(torn, key=lambda r: -r.n_missing)),
            )
        )  # fmt: skip
    return found


def _named(recordings: Sequence[Recording]) -> list[Place]:
    return [Place(r.name) for r in recordings]
