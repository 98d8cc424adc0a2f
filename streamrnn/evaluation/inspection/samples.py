"""Findings on samples: what is no number, stuck, frozen, repeated or cut off."""

from __future__ import annotations

from collections.abc import Sequence

from streamrnn.evaluation.inspection.finding import (
    Finding,
    Hit,
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
    """Return what stands out in the samples of all recordings, one finding a kind."""
    found = [*_not_finite(recordings), *_constant(recordings), *_standing_still(recordings)]
    return [*found, *_stale(recordings), *_slow(recordings), *_clipped(recordings)]


def _not_finite(recordings: Sequence[Recording]) -> list[Finding]:
    hits = _worst_first([h for r in recordings for h in r.signal.not_finite])
    if not hits:
        return []
    places = [hit.place for hit in hits]
    most = max(hits, key=lambda hit: hit.value)
    return [
        finding(
            "warning", "not-finite",
            f"{_channels(hits)} {'is' if _n_channels(hits) == 1 else 'are'} not a number in up to "
            f"{counted(most.value, 'frame')}" + in_sessions(places, len(recordings)),
            means="Such frames are left out whole, as if they had been lost.",
            todo="Find out which sensor or export writes them; drop the channel if it is one "
            "alone.",
            at=places,
        )
    ]  # fmt: skip


def _standing_still(recordings: Sequence[Recording]) -> list[Finding]:
    found = []
    hits = _worst_first([h for r in recordings for h in r.signal.stuck])
    if hits:
        places = [hit.place for hit in hits]
        verb = "holds" if _n_channels(hits) == 1 else "hold"
        found.append(
            finding(
                "warning", "stuck",
                f"{_channels(hits)} {verb} one value for up to {hits[0].value:.1f} s while other "
                "channels move" + in_sessions(places, len(recordings)),
                means="A sensor hung, or began late; the model learns that as a movement.",
                todo="Look at these places; cut them out, drop the channels, or record again.",
                at=places,
            )
        )  # fmt: skip
    hits = _worst_first([h for r in recordings for h in r.signal.frozen])
    if hits:
        places = [hit.place for hit in hits]
        found.append(
            finding(
                "warning", "frozen",
                f"all channels stand still for up to {hits[0].value:.1f} s"
                + in_sessions(places, len(recordings)),
                means="No live sensor is that still: the sender repeated its last frame.",
                todo="Cut these stretches out, or have the sender leave frames out instead.",
                at=places,
            )
        )  # fmt: skip
    return found


def _constant(recordings: Sequence[Recording]) -> list[Finding]:
    everywhere: list[Hit] = []
    somewhere: list[Hit] = []
    for channel, hits in _by_channel([h for r in recordings for h in r.signal.constant]):
        having = [r for r in recordings if channel in r.info.channel_names]
        (everywhere if len(hits) == len(having) else somewhere).extend(hits)
    found = []
    for kind, hits in (("dead", somewhere), ("constant", everywhere)):
        if not hits:
            continue
        is_dead = kind == "dead"
        verb = "has" if _n_channels(hits) == 1 else "have"
        where = in_sessions([hit.place for hit in hits], len(recordings))
        found.append(
            finding(
                "warning", kind,
                f"{_channels(hits)} {verb} one value from end to end{where}"
                + (", and live in others" if is_dead else ""),
                means="A wire came off, or another device was used: the model learns who was "
                "recorded."
                if is_dead
                else "Nothing can be learned from it, and in a live stream it may move.",
                todo="Record these again, or train without ([features] channels, import --drop)."
                if is_dead
                else "Check the wiring, or leave it out ([features] channels, import --drop).",
                at=[hit.place for hit in hits],
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
    lowest, highest = _ranges(recordings)
    limits: dict[str, float] = {}
    zeros: list[Hit] = []
    others: list[Hit] = []
    for r in recordings:
        for hit in r.signal.clipped:
            channel = hit.place.channel
            limit = r.signal.limits[channel]
            # A limit beyond which another recording goes is none of the sensor's.
            if limit in (lowest[channel], highest[channel]):
                limits.setdefault(channel, limit)
                (others if limit else zeros).append(hit)
    found = []
    for hits in (_worst_first(others), _worst_first(zeros)):
        if not hits:
            continue
        is_zero = not limits[hits[0].place.channel]
        places = [hit.place for hit in hits]
        n_frames = {name: sum(h.value for h in of) for name, of in _by_channel(hits)}
        share = max(n_frames.values()) / sum(r.n_frames for r in recordings)
        where = in_sessions(places, len(recordings))
        shown = listed(
            [
                f"{name} {'in' if is_zero else f'at {limits[name]:.6g} in'} {counted(n, 'frame')}"
                for name, n in n_frames.items()
            ]
        )
        found.append(
            finding(
                "warning" if share >= CLIP_WARNING else "note",
                "zeros" if is_zero else "clipping",
                f"samples jump to exactly 0: {shown}{where}"
                if is_zero
                else f"samples are cut off: {shown}{where}",
                means="Zeros often stand for no measurement (tracking lost, a cable off), or for "
                "the end of a converter's range."
                if is_zero
                else "The movement goes beyond the sensor's range: strong gestures look alike.",
                todo="Export such frames as missing, or shift or widen the range."
                if is_zero
                else "Set a wider range or a lower gain (an accelerometer to 8 or 16 g), and "
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


def _worst_first(hits: Sequence[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: -hit.value)


def _channels(hits: Sequence[Hit]) -> str:
    return listed(list(dict.fromkeys(hit.place.channel for hit in hits)))


def _n_channels(hits: Sequence[Hit]) -> int:
    return len({hit.place.channel for hit in hits})


def _by_channel(hits: Sequence[Hit]) -> list[tuple[str, list[Hit]]]:
    grouped: dict[str, list[Hit]] = {}
    for hit in hits:
        grouped.setdefault(hit.place.channel, []).append(hit)
    return list(grouped.items())
