"""A link that gives recorded bytes exactly: no more, no fewer, and lost where it was lost then."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from streamrnn.core.errors import SourceError
from streamrnn.core.link import Link, LinkLostError


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come.

    Attributes
    ----------
    n_bytes : int
    digest : bytes
        BLAKE2b of all of them.
    lost_at : tuple of int
        Offsets at which the link was lost.
    """

    n_bytes: int
    digest: bytes
    lost_at: tuple[int, ...] = ()

    @classmethod
    def of(cls, reads: Iterable[bytes]) -> Expected:
        """Return what some reads come to; an empty one stands for a link that was lost."""
        n_bytes, digest, lost_at = 0, hashlib.blake2b(), []
        for data in reads:
            if not data:
                lost_at.append(n_bytes)
            n_bytes += len(data)
            digest.update(data)
        return cls(n_bytes, digest.digest(), tuple(lost_at))


class RecordedLink:
    """Another link's bytes until all that were recorded have come; then the stream is over.

    Where the link was lost in the recording it is lost again, so that whoever decodes does just
    what was done then. The other link stays open meanwhile.

    Parameters
    ----------
    link : Link
        Connected to something that sends the recorded bytes.
    expected : Expected
    """

    def __init__(self, link: Link, expected: Expected) -> None:
        self.name = link.name
        self.can_return = True
        self.waits = True
        self._link = link
        self._expected = expected
        self._lost_at = list(expected.lost_at)
        self._n_read = 0
        self._rest = b""
        self._digest = hashlib.blake2b()
        self._is_open = False

    @property
    def is_whole(self) -> bool:
        """Whether exactly the recorded bytes have come."""
        e = self._expected
        return self._n_read == e.n_bytes and self._digest.digest() == e.digest

    def open(self) -> None:
        """Open the link, once."""
        if not self._is_open:
            self._link.open()
            self._is_open = True

    def read(self, timeout_s: float) -> bytes:
        """Return the next bytes; see `streamrnn.core.link.Link`."""
        if self._lost_at and self._n_read >= self._lost_at[0]:
            del self._lost_at[0]
            raise LinkLostError(f"{self.name}: the link was lost here")
        if self._n_read >= self._expected.n_bytes:
            raise EOFError(f"{self.name}: the recording is over")
        if not self._rest:
            try:
                self._rest = self._link.read(timeout_s)
            except LinkLostError as error:
                raise SourceError(
                    f"{self.name} ended after {self._n_read} of {self._expected.n_bytes} bytes"
                ) from error
        end = self._lost_at[0] if self._lost_at else self._expected.n_bytes
        n = min(len(self._rest), end - self._n_read)
        data, self._rest = self._rest[:n], self._rest[n:]
        self._n_read += n
        self._digest.update(data)
        return data

    def finish(self, timeout_s: float = 1.0) -> None:
        """Read what is left behind a packet that ended the stream: it may have come twice."""
        while self._n_read < self._expected.n_bytes:
            try:
                if not self.read(timeout_s):
                    return
            except LinkLostError:
                continue
            except SourceError:
                return

    def write(self, data: bytes) -> None:
        """Send nothing: the recording is deaf."""

    def close(self) -> None:
        """Do nothing while more is to come: a link that was lost comes back."""
        if self._n_read >= self._expected.n_bytes:
            self.let_go()

    def let_go(self) -> None:
        """Close the link, whatever is still to come."""
        if self._is_open:
            self._is_open = False
            self._link.close()
