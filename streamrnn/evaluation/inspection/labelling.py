"""Findings on labels: where they stand, how long they are, how many there are, and of whom."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streamrnn.evaluation.inspection.finding import (
    Finding,
    Hit,
    Place,
    counted,
    finding,
    in_sessions,
    listed,
)
from streamrnn.evaluation.inspection.naming import is_null, name_findings
from streamrnn.evaluation.inspection.recording import Recording

#: A gesture this many times shorter or longer than its class's median is odd, where the class has
#: so many that a median says something.
ODD_TIMES, ODD_COUNT = 3.0, 5
#: Labels whose lengths and distances spread less than this, of so many, were set by a clock.
CLOCK_SPREAD, CLOCK_COUNT = 0.05, 5
#: The commonest class has so many times the gestures of the rarest.
IMBALANCE = 4.0
#: Fewer gestures of a class than this can be learned from, but hardly tested on.
FEW = 10
#: So many without a mistake show a recall of 90 %, and so many hours without a false activation
#: that there are less than half a one an hour, both with 95 % confidence.
ENOUGH, ENOUGH_H = 29, 6.0
#: Share of the time without a label, below which false activations are hardly learned or counted.
LITTLE_NULL = 0.2


def label_findings(recordings: Sequence[Recording]) -> list[Finding]:
    """Return what stands out in the labels.

    Parameters
    ----------
    recordings : sequence of Recording
        One or more.
    """
    training = [r for r in recordings if not r.is_test] or list(recordings)
    names = {label.name for r in recordings for label in r.labels}
    if not names:
        return [
            finding(
                "error", "no-labels", "no recording has a label",
                means="Nothing says what is to be learned.",
                todo="Record with labels (streamrnn record), or import them (--label, --labels, "
                "...).",
            )
        ]  # fmt: skip
    misnamed, doubtful = name_findings(recordings)
    found = [*_places(recordings), *misnamed, *_lengths(recordings), *_by_the_clock(recordings)]
    if all(label.name in doubtful for r in training for label in r.labels):
        return found
    # What follows from a wrong name is not said again.
    sure = [replace(r, labels=[x for x in r.labels if x.name not in doubtful]) for r in recordings]
    learned = [r for r in sure if not r.is_test] or sure
    if not doubtful & {label.name for r in training for label in r.labels if is_null(label.name)}:
        found += _null(training)
    return [*found, *_balance(learned), *_people(sure, learned), *_claims(learned)]


# ---- where they stand


def _places(recordings: Sequence[Recording]) -> list[Finding]:
    n = len(recordings)
    found = []
    hits = [h for r in recordings for h in r.at_labels.overlapping]
    if hits:
        found.append(
            finding(
                "warning", "overlap",
                f"{counted(len(hits), 'label')} begin before the one before has ended, by up to "
                f"{max(h.value for h in hits):.2f} s" + in_sessions(_of(hits), n),
                means="A frame has one class; where two stand, the one that begins later is taken.",
                todo="Move or remove one of them.", at=_of(hits),
            )
        )  # fmt: skip
    hits = [h for r in recordings for h in r.at_labels.outside]
    if hits:
        found.append(
            finding(
                "warning", "outside",
                f"{counted(len(hits), 'label')} reach beyond the recorded frames, by up to "
                f"{max(h.value for h in hits):.2f} s" + in_sessions(_of(hits), n),
                means="Either frames were lost at an end, or labels and samples use different "
                "clocks.",
                todo="Compare one gesture with the signal: if it is shifted, correct the labels' "
                "times.",
                at=_of(hits),
            )
        )  # fmt: skip
    hits = [h for r in recordings for h in r.at_labels.empty]
    if hits:
        found.append(
            finding(
                "warning", "empty-label",
                f"{counted(len(hits), 'label')} without a single frame" + in_sessions(_of(hits), n),
                means="They teach nothing, but are counted as missed gestures in a report.",
                todo="Remove them, or correct their times.", at=_of(hits),
            )
        )  # fmt: skip
    hits = [h for r in recordings for h in r.at_labels.holes]
    if hits:
        found.append(
            finding(
                "warning" if len(hits) > 0.05 * _n_labels(recordings) else "note", "holes",
                f"{counted(len(hits), 'gesture')} with frames missing inside, up to "
                f"{counted(max(h.value for h in hits), 'frame')}" + in_sessions(_of(hits), n),
                means="What is left of such a gesture is filled in or cut in two.",
                todo="Record them again if they are many.", at=_of(hits),
            )
        )  # fmt: skip
    return found


# ---- how long they are


def _lengths(recordings: Sequence[Recording]) -> list[Finding]:
    found = []
    places: dict[str, list[Place]] = {"short": [], "long": []}
    examples: dict[str, tuple[float, str, float]] = {}
    medians, odd = {}, {}
    for name, lengths in _lengths_by_class(recordings).items():
        logs = np.log(np.maximum(lengths, 1e-6))
        medians[name] = float(np.median(lengths))
        # Some gestures last as they like: far outside is what 4 standard deviations are (by MAD).
        spread = 4 * 1.4826 * float(np.median(np.abs(logs - np.median(logs))))
        odd[name] = math.exp(max(math.log(ODD_TIMES), spread))
    counts = Counter(label.name for r in recordings for label in r.labels)
    for r in recordings:
        for label in r.labels:
            length, median = (label.end_us - label.start_us) / 1e6, medians[label.name]
            times = max(length / median, median / max(length, 1e-6)) if median else 0.0
            if counts[label.name] < ODD_COUNT or r.is_trial or times <= odd[label.name]:
                continue
            kind = "short" if length < median else "long"
            places[kind].append(Place(r.name, "", (label.start_us - r.start_us) / 1e6))
            if kind not in examples or times > examples[kind][0]:
                examples[kind] = times, label.name, length
    for kind, at in places.items():
        if at:
            _, name, length = examples[kind]
            found.append(
                finding(
                    "warning" if len(at) > 0.1 * sum(counts.values()) else "note", f"{kind}-label",
                    f"{counted(len(at), 'gesture')} much {kind}er than others of the class: one "
                    f"{name} takes {length:.2f} s, the median is {medians[name]:.2f} s",
                    means="Often a slip of the key, a gesture begun and given up, or two taken "
                    "as one.",
                    todo="Look at these places and set the labels right, or remove them.", at=at,
                )
            )  # fmt: skip
    return found


def _lengths_by_class(recordings: Sequence[Recording]) -> dict[str, list[float]]:
    lengths: dict[str, list[float]] = {}
    for r in recordings:
        for label in r.labels:
            lengths.setdefault(label.name, []).append((label.end_us - label.start_us) / 1e6)
    return lengths


def _by_the_clock(recordings: Sequence[Recording]) -> list[Finding]:
    """Find labels that were not set by watching: all of one length and one distance."""
    timed = []
    for r in recordings:
        if len(r.labels) < CLOCK_COUNT:
            continue
        lengths = np.array([label.end_us - label.start_us for label in r.labels[1:-1]], float)
        distances = np.diff([label.start_us for label in r.labels]).astype(float)
        if all(
            float(np.ptp(v)) <= CLOCK_SPREAD * float(np.median(v)) for v in (lengths, distances)
        ):
            timed.append((r, float(np.median(lengths)) / 1e6, float(np.median(distances)) / 1e6))
    if not timed:
        return []
    r, length, distance = timed[0]
    places = [Place(other.name) for other, _, _ in timed]
    return [
        finding(
            "warning", "by-the-clock",
            f"labels switch by the clock: {length:.2f} s long, one every {distance:.2f} s"
            + in_sessions(places, len(recordings)),
            means="People react some tenths of a second later, so every boundary is wrong by "
            "that much.",
            todo="Move the boundaries to where the signal changes, or ignore the edges in training "
            "(head_fraction, boundary_fraction) and allow that much in onset scores.",
            at=places,
        )
    ]  # fmt: skip


# ---- how many there are


def _null(recordings: Sequence[Recording]) -> list[Finding]:
    total = sum(r.duration_s for r in recordings)
    null_s = sum(r.null_s for r in recordings)
    at = [Place("")]
    if recordings and all(r.is_trial or not r.labels for r in recordings) and null_s < 0.5 * total:
        if null_s > LITTLE_NULL * total:
            return []
        return [
            finding(
                "warning", "trials",
                f"the recordings are single trials, with {null_s:.0f} s without a gesture",
                means="A model of trials alone has never seen the time between: live it may fire "
                "at "
                "anything.",
                todo="Record some minutes of everyday movement without a label, and add them.",
                at=at,
            )
        ]  # fmt: skip
    if null_s <= 0.001 * total:
        return [
            finding(
                "warning", "no-null", "there is no time without a gesture",
                means="The model will see a gesture in everything.",
                todo="Record rest and everyday movement without a label, and add it.", at=at,
            )
        ]  # fmt: skip
    if null_s < LITTLE_NULL * total:
        return [
            finding(
                "note", "little-null",
                f"only {100 * null_s / total:.0f} % of the time ({null_s:.0f} s) is without a "
                "gesture",
                means="The model sees few of the movements that must not fire.",
                todo="Add recordings of everyday movement without a label.", at=at,
            )
        ]  # fmt: skip
    return []


def _balance(recordings: Sequence[Recording]) -> list[Finding]:
    counts = Counter(label.name for r in recordings for label in r.labels)
    ranked = counts.most_common()
    (most, n_most), (least, n_least) = ranked[0], ranked[-1]
    if n_most < IMBALANCE * n_least:
        return []
    return [
        finding(
            "warning", "imbalance",
            f"{n_most} gestures of {most}, but {n_least} of {least}",
            means="Class weights help, but a rare class is learned from few examples and missed "
            "more.",
            todo=f"Record more of {least}.", at=[Place("")],
        )
    ]  # fmt: skip


def _people(recordings: Sequence[Recording], training: Sequence[Recording]) -> list[Finding]:
    found = []
    by_class: dict[str, set[str]] = {}
    for r in training:
        for label in r.labels:
            by_class.setdefault(label.name, set()).add(r.subject)
    labelled = [r for r in training if r.labels]
    subjects = {r.subject for r in labelled}
    nameless = [r for r in labelled if not r.subject]
    if nameless:
        found.append(
            finding(
                "note", "no-subject",
                f"nobody said who did the gestures in {counted(len(nameless), 'recording')}",
                means="Scores can then not be split by person, and look better than on a new "
                "person.",
                todo="Give --subject when recording or importing.",
                at=[Place(r.name) for r in nameless],
            )
        )  # fmt: skip
    if len(subjects) == 1 and not nameless:
        found.append(
            finding(
                "note", "one-subject", f"all gestures are by one person ({next(iter(subjects))})",
                means="Nothing can be said of how well the model knows anybody else's.",
                todo="Record two or more others, if others will use it.", at=[Place("")],
            )
        )  # fmt: skip
    if not nameless and len(subjects) > 1:
        lacking = {name: sorted(subjects - who) for name, who in by_class.items() if subjects - who}
        single = sorted(name for name, who in by_class.items() if len(who) == 1)
        if single:
            who = next(iter(by_class[single[0]]))
            found.append(
                finding(
                    "warning", "one-person-class",
                    f"{listed(single)}: done by one person only ({single[0]} by {who})",
                    means="The model may learn the person instead of the gesture, and no test "
                    "can tell.",
                    todo="Have at least one other person do it.", at=[Place("")],
                )
            )  # fmt: skip
        rest = sorted(name for name in lacking if name not in single)
        if rest:
            found.append(
                finding(
                    "note", "missing-class",
                    f"{rest[0]} is not done by {listed(lacking[rest[0]])}"
                    + (f", nor {listed(rest[1:])} by everybody" if rest[1:] else ""),
                    means="Scores by person then mean something else for each person.",
                    todo="Record what is missing, or read these persons' scores with care.",
                    at=[Place("")],
                )
            )  # fmt: skip
    tested = {label.name for r in recordings if r.is_test for label in r.labels}
    strange = sorted(tested - by_class.keys())
    if strange:
        found.append(
            finding(
                "error", "untaught",
                f"{listed(strange)}: in the test, but never in training",
                means="Every such gesture will count as missed.",
                todo="Add examples to the training recordings, or correct the name.",
                at=[Place(r.name) for r in recordings
                 if r.is_test and any(label.name in strange for label in r.labels)],
            )
        )  # fmt: skip
    shared = sorted(subjects & {r.subject for r in recordings if r.is_test} - {""})
    if shared:
        found.append(
            finding(
                "note", "shared-subject",
                f"{listed(shared)}: both in training and in the test",
                means="The score is then that of known people, not of new ones.",
                todo="Test on somebody else, if others will use it.", at=[Place("")],
            )
        )  # fmt: skip
    return found


def _claims(recordings: Sequence[Recording]) -> list[Finding]:
    """Say what so many gestures, and so much time without any, can show at best."""
    counts = Counter(label.name for r in recordings for label in r.labels)
    least, n = counts.most_common()[-1]
    null_h = sum(r.null_s for r in recordings) / 3600
    recall = 100 * 0.05 ** (1 / n)
    rate = -math.log(0.05) / null_h if null_h else math.inf
    wanted = ["29 of each class for a recall of 90 %"] if n < ENOUGH else []
    wanted += ["6 h without a gesture for 0.5 false ones an hour"] if null_h < ENOUGH_H else []
    shown = f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"
    false = f"at most {shown} false activations an hour" if null_h else "nothing of false ones"
    return [
        finding(
            "warning" if n < FEW else "note", "claims",
            f"{counted(n, 'gesture')} of {least} and {null_h:.2g} h without a gesture: a test on "
            f"all of it without one mistake shows a recall of at least {recall:.0f} %, and {false}",
            means="That is the best that these recordings can prove, with 95 % confidence.",
            todo=f"To claim more: {listed(wanted)}." if wanted else "Nothing.",
            at=[Place("")],
        )
    ]  # fmt: skip


# ---- helpers


def _of(hits: Sequence[Hit]) -> list[Place]:
    return [hit.place for hit in hits]


def _n_labels(recordings: Sequence[Recording]) -> int:
    return sum(len(r.labels) for r in recordings)
