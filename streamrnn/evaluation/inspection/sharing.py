"""Findings on frames that stand in more than one recording."""

from __future__ import annotations

from collections.abc import Sequence

from streamrnn.evaluation.inspection import copies
from streamrnn.evaluation.inspection.finding import (
    Finding,
    Place,
    counted,
    finding,
    listed,
)
from streamrnn.evaluation.inspection.recording import Recording

#: So much of a recording is all of it: its marks do not reach its ends.
WHOLE = 0.97


def sharing_findings(recordings: Sequence[Recording]) -> list[Finding]:
    """Return which recordings hold the same frames, and where that spoils a test."""
    same: dict[str, list[int]] = {}
    for k, r in enumerate(recordings):
        if r.n_frames:
            same.setdefault(r.digest, []).append(k)
    groups = [group for group in same.values() if len(group) > 1]
    twins = {frozenset(pair) for group in groups for pair in _pairs(group)}
    found = [_twins_finding([recordings[k] for k in group]) for group in groups]
    shared: dict[tuple[int, bool], list[copies.Copy]] = {}
    for copy in copies.find_copies([r.marks for r in recordings]):
        if frozenset((copy.a, copy.b)) not in twins:
            is_leak = recordings[copy.a].is_test != recordings[copy.b].is_test
            shared.setdefault((copy.b, is_leak), []).append(copy)
    found += [_shared_finding(recordings, group, is_leak) for (_, is_leak), group in shared.items()]
    return found


def _pairs(group: Sequence[int]) -> list[tuple[int, int]]:
    return [(a, b) for n, a in enumerate(group) for b in group[n + 1 :]]


def _twins_finding(group: Sequence[Recording]) -> Finding:
    is_leak = len({r.is_test for r in group}) > 1
    names = listed([r.name for r in group])
    return finding(
        "error" if is_leak else "warning", "duplicate",
        f"{names} hold the same frames" + (", for training and for testing" if is_leak else ""),
        means="The test asks for what was learned by heart: its score is worth nothing."
        if is_leak
        else "One recording counts as several, and cross-validation tests on what it trained on.",
        todo="Keep one of them.", at=[Place(r.name) for r in group],
    )  # fmt: skip


def _shared_finding(
    recordings: Sequence[Recording], group: Sequence[copies.Copy], is_leak: bool
) -> Finding:
    """Return the finding on recordings that share frames with one other."""
    other = recordings[group[0].b]
    parts = [
        f"{'all' if copy.share > WHOLE else f'{100 * copy.share:.0f} %'} of "
        f"{recordings[copy.a].name}"
        for copy in group
    ]
    what = f"{listed(parts)} is in {other.name} too"
    cut = [copy for copy in group if copy.n_pieces > 1 and copy.n_left_out]
    if cut:
        pieces = [
            f"{recordings[copy.a].name} from {copy.n_pieces} pieces of it, with "
            f"{counted(copy.n_left_out, 'frame')} left out between them"
            for copy in cut
        ]
        what += f"; put together: {listed(pieces)}"
    means = (
        "Training and test share these frames: the score is worth nothing."
        if is_leak
        else "These frames count twice, and cross-validation tests on what it trained on."
    )
    if cut:
        means += " What was cut out, perhaps just what looks like a gesture, is never learned."
    places = [
        place
        for copy in group
        for place in (_at_frame(recordings[copy.a], copy.first_a), _at_frame(other, copy.first_b))
    ]
    names = listed([recordings[copy.a].name for copy in group])
    return finding(
        "error" if is_leak else "warning", "shared-frames", what, means=means,
        todo=f"Leave out {other.name if len(group) > 1 and not is_leak else names}, or never use "
        "both.",
        at=places,
    )  # fmt: skip


def _at_frame(r: Recording, frame: int) -> Place:
    rate = r.shown_rate_hz
    return Place(r.name, "", frame / rate if rate else None)
