"""When to send which command to a board: a small state machine that is told the time."""

from __future__ import annotations

from streamrnn.wire.encode import Encoder
from streamrnn.wire.packet import Ack

#: A command without an answer is sent again after this time.
RETRY_S = 0.2
#: Times that START is sent in all before a board that never answered is given up.
TRIES = 4


class Handshake:
    """Asks for HELLO, then for frames.

    Attributes
    ----------
    failed : bool
        START had no answer, and no frame came either.
    refusal : str
        What the board said when it refused START; ``""`` when it did not.
    """

    def __init__(self) -> None:
        self.failed = False
        self.refusal = ""
        self._encoder = Encoder()
        self._last_id = 0
        self._start_id: int | None = None
        self._tries_left = 0
        self._patient = False
        self._due_s = 0.0

    def command(self, name: str) -> bytes:
        """Return a new command."""
        self._last_id += 1
        return self._encoder.command(self._last_id, name)

    def start(self, now_s: float, *, patient: bool) -> None:
        """Begin to send START: `patient` means for as long as it takes (the board is booting)."""
        self._last_id += 1
        self._start_id = self._last_id
        self._tries_left = TRIES
        self._patient = patient
        self._due_s = now_s

    def due(self, now_s: float) -> bytes:
        """Return what must be sent now, often nothing."""
        if self._start_id is None or now_s < self._due_s:
            return b""
        if self._tries_left == 0 and not self._patient:
            self.failed = True
            self._start_id = None
            return b""
        self._tries_left = max(0, self._tries_left - 1)
        self._due_s = now_s + RETRY_S
        # The same id at every retry: the board acts on it once.
        return self._encoder.command(self._start_id, "START")

    def answered(self, ack: Ack) -> None:
        """Take an ACK."""
        if ack.request_id == self._start_id:
            self._start_id = None
            if not ack.ok:
                self.refusal = ack.message or "no reason given"

    def flowing(self) -> None:
        """Take note that frames came: as good as an answer."""
        self._start_id = None
