"""Before a stream has said what it is: when to ask, and what to say if nothing comes of it."""

from __future__ import annotations

from streamrnn.core.errors import SourceError, SourceTimeout

#: A link that said nothing of use for this long is asked to describe itself.
ASK_AFTER_S = 0.1
#: ... and asked again after this long: it may have been booting.
ASK_AGAIN_S = 0.5
#: A read waits no longer than this.
_READ_S = 0.02

_TEXT_BYTES = frozenset(b"\t\r\n" + bytes(range(0x20, 0x7F)))


class Listening:
    """Watches the bytes of a link until they make sense. It is told the time.

    Parameters
    ----------
    name : str
        Of the link.
    now_s : float
    hints : (str, str)
        What may be wrong if nothing comes, and if nothing that makes sense; ``""``: who knows.
    open_timeout_s : float
        How long it may take.
    garbage_s : float
        How long bytes may come of which nothing can be decoded.
    """

    def __init__(
        self,
        name: str,
        now_s: float,
        hints: tuple[str, str],
        open_timeout_s: float,
        garbage_s: float,
    ) -> None:
        self._name = name
        self._hint = hints[0] or "is the device powered, and its program running?"
        self._garbage_hint = hints[1] or "is it the right device, and the right port?"
        self._open_timeout_s = open_timeout_s
        self._garbage_s = garbage_s
        self._until_s = now_s + open_timeout_s
        self._ask_s = now_s + ASK_AFTER_S
        self._first_byte_s = 0.0
        self._n_bytes = 0
        self._looks_like_text = True

    def took(self, data: bytes, now_s: float) -> None:
        """Take note of bytes that came."""
        if data:
            self._first_byte_s = self._first_byte_s if self._n_bytes else now_s
            self._looks_like_text = self._looks_like_text and _TEXT_BYTES.issuperset(data)
            self._n_bytes += len(data)

    def wait_s(self, now_s: float) -> float:
        """Return how long the next read may wait, in seconds."""
        return min(_READ_S, max(0.0, self._ask_s - now_s))

    def must_ask(self, now_s: float, is_wire: bool) -> bool:
        """Return whether the board is to be asked for its HELLO now.

        Nobody writes to a text stream, not even to one that has not ended a line yet.
        """
        if now_s < self._ask_s:
            return False
        self._ask_s = now_s + ASK_AGAIN_S
        return not self._n_bytes or not self._looks_like_text or is_wire

    def is_over(self, now_s: float) -> bool:
        """Return whether it has taken too long."""
        return now_s > self._until_s

    def check(self, now_s: float, is_known: bool, trouble: str) -> None:
        """Raise what is to be said when it has taken too long.

        Parameters
        ----------
        now_s : float
        is_known : bool
            The form of the stream is known, only what it carries is not.
        trouble : str
            Why lines that could be read are refused.
        """
        n = self._n_bytes
        if n and not is_known and now_s > self._first_byte_s + self._garbage_s:
            if trouble:
                raise SourceError(f"{self._name}: {trouble}")
            raise SourceError(
                f"{self._name}: no wire packets or number lines in {n} bytes: {self._garbage_hint}"
            )
        if not self.is_over(now_s):
            return
        if n:
            raise SourceError(
                f"{self._name}: {n} bytes came in {self._open_timeout_s:g} s, but no HELLO "
                "and no three lines of numbers: is it the right device?"
            )
        raise SourceTimeout(
            f"{self._name} is silent: nothing came in {self._open_timeout_s:g} s ({self._hint})"
        )

    def ended(self) -> SourceError:
        """Return what is to be said when the stream ends already."""
        return SourceError(
            f"{self._name} ended after {self._n_bytes} bytes, before a whole frame came"
        )
