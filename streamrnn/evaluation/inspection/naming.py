"""Class names that are one name spelled in two ways, and classes that mean no gesture."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from streamrnn.core.types import NULL_NAME
from streamrnn.evaluation.inspection.finding import Finding, Place, counted, finding, listed, plain
from streamrnn.evaluation.inspection.recording import Recording

#: Names that people give to the time without a gesture.
_NULL_WORDS = frozenset(
    "null none nothing rest resting idle noise background unknown other unlabelled unlabeled "
    "nogesture neutral still relax hibernation".split()
)
#: Names this much alike may be one, in two languages or spellings.
ALIKE = 0.75
#: A name with so many times fewer gestures than another is rare, or a slip.
RARE, VERY_RARE = 4, 20
#: Compared with each other; more names are a list, not a set of gestures.
MAX_NAMES = 500


def name_findings(recordings: Sequence[Recording]) -> tuple[list[Finding], set[str]]:
    """Return what stands out in the names of the classes, and names that may be none.

    Returns
    -------
    findings : list of Finding
    doubtful : set of str
        Second spellings of other names, and classes that mean no gesture.
    """
    counts = Counter(label.name for r in recordings for label in r.labels)
    where = {name: [r for r in recordings if any(x.name == name for x in r.labels)]
             for name in counts}  # fmt: skip
    found = []
    doubtful = set()
    for a, b in combinations(sorted(counts)[:MAX_NAMES], 2):
        rare, usual = sorted((a, b), key=lambda name: (counts[name], name))
        likely = _is_one_name(rare, usual, counts, where)
        if likely:
            doubtful.add(rare)
            found.append(
                finding(
                    "error" if likely == "same" else "warning", "names",
                    f"{rare!r} ({counted(counts[rare], 'gesture')}) and {usual!r} "
                    f"({counts[usual]}) "
                    + ("are one name spelled in two ways" if likely == "same"
                       else "may be one name spelled in two ways"),
                    means="Every spelling is a class of its own, and the model must tell them "
                    "apart.",
                    todo="Rename one where the labels come from, if they are the same gesture.",
                    at=[Place(r.name) for r in where[rare]],
                )
            )  # fmt: skip
    null = sorted(name for name in counts if is_null(name))
    if null:
        found.append(
            finding(
                "warning", "null-class",
                f"{listed([repr(name) for name in null])} is taught as a gesture",
                means="The model will report it as an event whenever it sees it.",
                todo=f"If it means that nothing is done, rename it to {NULL_NAME!r} or leave it "
                "unlabelled.",
                at=[Place(r.name) for r in where[null[0]]],
            )
        )  # fmt: skip
    return found, doubtful | set(null)


def is_null(name: str) -> bool:
    """Tell whether a name is one that people give to the time without a gesture."""
    return plain(name) in _NULL_WORDS


def _is_one_name(
    rare: str, usual: str, counts: Counter[str], where: dict[str, list[Recording]]
) -> str:
    """Return ``same``, ``alike`` or nothing.

    Names apart in one letter, or much alike, are suspected where one is rare, or where nobody did
    both: people who did both meant two gestures.
    """
    a, b = plain(rare), plain(usual)
    if a == b:
        return "same"
    if any(c.isdigit() for c in a + b):
        return ""
    by_rare, by_usual = ({r.subject or r.name for r in where[name]} for name in (rare, usual))
    apart = not by_rare & by_usual
    is_rare = counts[rare] * RARE <= counts[usual]
    if _one_letter_apart(a, b) and _tokens_differ(rare, usual) and (apart or is_rare):
        return "alike"
    n_classes = [len({label.name for label in r.labels}) for r in where[rare] + where[usual]]
    has_many = min(n_classes) > 1
    is_slip = counts[rare] * VERY_RARE <= counts[usual]
    if not (is_slip or (apart and has_many)):
        return ""
    ratio = difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()
    return "alike" if ratio >= ALIKE else ""


def _one_letter_apart(a: str, b: str) -> bool:
    if min(len(a), len(b)) < 4 or abs(len(a) - len(b)) > 1:
        return False
    short, long = sorted((a, b), key=len)
    if len(a) == len(b):
        differing = [k for k in range(len(a)) if a[k] != b[k]]
        swapped = len(differing) == 2 and differing[1] == differing[0] + 1
        return len(differing) == 1 or (
            swapped and a[differing[0]] == b[differing[1]] and a[differing[1]] == b[differing[0]]
        )
    return any(long[:k] + long[k + 1 :] == short for k in range(len(long)))


def _tokens_differ(a: str, b: str) -> bool:
    """Tell whether the names differ in a word: ``swipe l`` and ``swipe r`` differ in a letter."""
    words = [set("".join(c if c.isalnum() else " " for c in name.casefold()).split())
             for name in (a, b)]  # fmt: skip
    return all(len(word) > 2 for word in words[0] ^ words[1])
