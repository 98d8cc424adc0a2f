"""How much of what came made no sense."""

from __future__ import annotations

from dataclasses import dataclass

from streamrnn.core.text import counted
from streamrnn.core.types import Counters
from streamrnn.sources.base import Source

#: Kinds of packets and lines that were refused, in `Counters`.
REFUSED = ("n_bad_crc", "n_bad_framing", "n_oversize", "n_bad_content")


@dataclass(frozen=True, slots=True)
class Damage:
    """What was refused, without what the device says in words: a boot message is no damage.

    Attributes
    ----------
    n_pieces : int
        Packets, or lines.
    n_incomplete : int
        Frames that lines of one value each should have made, and of which a line was missing.
    is_text : bool
        Lines, not packets.
    """

    n_pieces: int
    n_incomplete: int
    is_text: bool

    def words(self) -> list[str]:
        """Return ``["1 damaged line", "3 incomplete frames"]`` or the like; ``[]`` for none."""
        parts = ((self.n_pieces, f"damaged {'line' if self.is_text else 'packet'}"),
                 (self.n_incomplete, "incomplete frame"))  # fmt: skip
        return [counted(n, what) for n, what in parts if n]


def damage(counters: Counters, n_text_refused: int = 0) -> Damage:
    """Return what made no sense.

    Parameters
    ----------
    counters : Counters
    n_text_refused : int
        Packets or lines among it that were plain words.
    """
    n_pieces = sum(getattr(counters, kind) for kind in REFUSED)
    return Damage(
        max(0, n_pieces - n_text_refused),
        counters.extra.get("n_incomplete_frames", 0),
        "n_half_lines" in counters.extra,
    )


def damage_of(source: Source) -> Damage:
    """Return what made no sense of a source."""
    return damage(source.counters, getattr(source, "n_text_refused", 0))
