"""Findings on samples: what is no number, stuck, frozen, repeated or cut off."""

from __future__ import annotations

from collections.abc import Sequence

from streamrnn.evaluation.inspection.finding import (
    Finding,
    Hit,
    Severity,
    counted,
    finding,
    in_sessions,
    listed,
    most_common,
)
from streamrnn.evaluation.inspection.recording import Recording

#: Share of repeated frames from which on they are said, and from which on they do harm.
STALE_NOTE, STALE_WARNING = 0.02, 0.1
#: Share of all frames that are cut off in a channel, from which on it does harm.
CLIP_WARNING = 5e-4


def sample_findings(recordings: Sequence[Recording]) -> list[Finding]:
    """Return what stands out in the samples of all recordings."""
    n = len(recordings)
    found = []
    for channel, hits in _by_channel([h for r in recordings for h in r.signal.not_finite]):
        places = [hit.place for hit in hits]
        found.append(
            finding(
                "warning", "not-finite",
                f"{channel} is not a number in {counted(sum(h.value for h in hits), 'frame')}"
                + in_sessions(places, n),
                means="Such frames are left out whole, as if they had been lost.",
                todo="Find out which sensor or export writes them; leave the channel out if it "
                "is this "
                "one alone.",
                at=places,
            )
        )  # fmt: skip
    found += _constant(recordings)
    for channel, hits in _by_channel([h for r in recordings for h in r.signal.stuck]):
        places = [hit.place for hit in sorted(hits, key=lambda hit: -hit.value)]
        found.append(
            finding(
                "warning", "stuck",
                f"{channel} holds one value for up to {max(h.value for h in hits):.1f} s while "
                "other channels move" + in_sessions(places, n),
                means="The sensor hung or was out of reach there; the model learns that as a "
                "movement.",
                todo="Look at these places; leave them or the channel out, or record them again.",
                at=places,
            )
        )  # fmt: skip
    frozen = [h for r in recordings for h in r.signal.frozen]
    if frozen:
        places = [hit.place for hit in sorted(frozen, key=lambda hit: -hit.value)]
        found.append(
            finding(
                "warning", "frozen",
                f"all channels stand still for up to {max(h.value for h in frozen):.1f} s"
                + in_sessions(places, n),
                means="No live sensor is that still: the sender repeated its last frame.",
                todo="Cut these stretches out, or have the sender leave frames out instead.",
                at=places,
            )
        )  # fmt: skip
    return [*found, *_stale(recordings), *_slow(recordings), *_clipped(recordings)]


def _constant(recordings: Sequence[Recording]) -> list[Finding]:
    found = []
    dead_everywhere = []
    for channel, hits in _by_channel([h for r in recordings for h in r.signal.constant]):
        having = [r for r in recordings if channel in r.info.channel_names]
        if len(hits) == len(having):
            dead_everywhere.append((channel, hits))
            continue
        places = [hit.place for hit in hits]
        found.append(
            finding(
                "warning", "dead",
                f"{channel} has one value from end to end{in_sessions(places, len(recordings))}, "
                "and is alive in the others",
                means="A wire came off, or another device was used: the model learns who was "
                "recorded.",
                todo="Record these again, or train without the channel ([features] channels).",
                at=places,
            )
        )  # fmt: skip
    if dead_everywhere:
        names = [channel for channel, _ in dead_everywhere]
        found.append(
            finding(
                "warning", "constant",
                f"{listed(names)} {'has' if len(names) == 1 else 'have'} one value from end to end "
                "in every recording",
                means="Nothing can be learned from it, and live it may move.",
                todo="Check the wiring, or leave it out ([features] channels, or import --drop).",
                at=[hits[0].place for _, hits in dead_everywhere],
            )
        )  # fmt: skip
    return found


def _stale(recordings: Sequence[Recording]) -> list[Finding]:
    hits = [h for r in recordings for h in r.signal.stale]
    n_frames = {r.name: r.n_frames for r in recordings}
    share = sum(h.value * n_frames[h.place.session] for h in hits) / max(1, sum(n_frames.values()))
    if share < STALE_NOTE:
        return []
    rate = most_common([r.shown_rate_hz for r in recordings])
    fresh = f", about {rate * (1 - share):.3g} of {rate:g} a second" if rate else ""
    places = [hit.place for hit in sorted(hits, key=lambda hit: -hit.value)]
    return [
        finding(
            "warning" if share >= STALE_WARNING else "note", "stale",
            f"{100 * share:.0f} % of the frames repeat the frame before"
            + in_sessions(places, len(recordings)),
            means=f"The sensor is read faster than it measures: fewer frames are new{fresh}.",
            todo="Read the sensor when its data are ready, or lower the rate; differences suffer "
            "most.",
            at=places,
        )
    ]  # fmt: skip


def _slow(recordings: Sequence[Recording]) -> list[Finding]:
    grouped = _by_channel([h for r in recordings for h in r.signal.slow])
    if not grouped or any(len(hits) < len(recordings) / 2 for _, hits in grouped):
        return []
    held = most_common([h.value for _, hits in grouped for h in hits])
    return [
        finding(
            "note", "slow",
            f"{listed([channel for channel, _ in grouped])}: a new value only every "
            f"{held:.0f} frames",
            means="These sensors are slower than the stream; their differences are mostly 0.",
            todo="Nothing, if the gestures do not need them; else read them as fast as the others.",
            at=[hits[0].place for _, hits in grouped],
        )
    ]  # fmt: skip


def _clipped(recordings: Sequence[Recording]) -> list[Finding]:
    found = []
    lowest, highest = _ranges(recordings)
    n_all = sum(r.n_frames for r in recordings)
    for channel, hits in _by_channel(
        [
            hit
            for r in recordings
            for hit in r.signal.clipped
            # A limit beyond which another recording goes is none of the sensor's.
            if r.signal.limits[hit.place.channel]
            in (lowest[hit.place.channel], highest[hit.place.channel])
        ]
    ):
        places = [hit.place for hit in sorted(hits, key=lambda hit: -hit.value)]
        limits = [r.signal.limits[channel] for r in recordings if channel in r.signal.limits]
        n_frames = int(sum(h.value for h in hits))
        limit = most_common(limits)
        severity: Severity = "warning" if n_frames >= CLIP_WARNING * n_all else "note"
        where = f"{counted(n_frames, 'frame')}{in_sessions(places, len(recordings))}"
        if limit == 0.0:
            found.append(
                finding(
                    severity, "zeros", f"{channel} jumps to exactly 0 in {where}",
                    means="Zeros often stand for no measurement: tracking lost, a cable off.",
                    todo="Export such frames as missing, or leave these places out.", at=places,
                )
            )  # fmt: skip
            continue
        found.append(
            finding(
                severity, "clipping", f"{channel} is cut off at {limit:.6g} in {where}",
                means="The movement goes beyond the sensor's range: strong gestures look alike.",
                todo="Set a wider range or a lower gain (an accelerometer to 8 or 16 g), and "
                "record again.",
                at=places,
            )
        )  # fmt: skip
    return found


def _ranges(recordings: Sequence[Recording]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the least and the largest sample of each channel, over all recordings."""
    lowest: dict[str, float] = {}
    highest: dict[str, float] = {}
    for r in recordings:
        for channel, (low, high) in r.signal.ranges.items():
            lowest[channel] = min(low, lowest.get(channel, low))
            highest[channel] = max(high, highest.get(channel, high))
    return lowest, highest


def _by_channel(hits: Sequence[Hit]) -> list[tuple[str, list[Hit]]]:
    grouped: dict[str, list[Hit]] = {}
    for hit in hits:
        grouped.setdefault(hit.place.channel, []).append(hit)
    return list(grouped.items())
