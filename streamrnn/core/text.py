"""Text from outside, made safe to show."""

from __future__ import annotations

from collections.abc import Iterable


def printable(text: str, limit: int = 120) -> str:
    """Return device-sent or file-sent text with control characters escaped and length bounded.

    A terminal obeys escape sequences, so nothing from outside reaches one unescaped.

    Parameters
    ----------
    text : str
    limit : int
        Longest result, in characters.
    """
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return safe if len(safe) <= limit else safe[: limit - 3] + "..."


def counted(n: int, one: str) -> str:
    """Return ``1 frame``, ``0 frames`` or ``3 frames``."""
    return f"{n} {one}" if n == 1 else f"{n} {one}s"


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)``, or an empty string when nothing is near."""
    import difflib  # nobody waits for it unless something is wrong

    near = difflib.get_close_matches(wrong, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
