"""When to send which command to a board: a small state machine that is told the time."""

from __future__ import annotations

import logging
import math

from streamrnn.core.errors import SourceError, SourceTimeout
from streamrnn.core.text import printable
from streamrnn.wire.encode import Encoder
from streamrnn.wire.packet import Ack

_LOG = logging.getLogger(__name__)

#: A command without an answer is sent again after this time.
RETRY_S = 0.2
#: Times that START is sent in all before a board that never answered is given up.
TRIES = 4
#: A board that may be booting is sent START for as long as it takes: after so many, not so often.
PATIENT_TRIES = 25
PATIENT_RETRY_S = 1.0


class Handshake:
    """Asks for HELLO, then for frames.

    Parameters
    ----------
    name : str
        Of the stream, for messages.
    timeout_s : float
        How long the first frame may take.
    """

    def __init__(self, name: str, timeout_s: float) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._encoder = Encoder()
        self._last_id = 0
        self._start_id: int | None = None
        self._tries_left = 0
        self._is_patient = self._is_given_up = False
        self._refusal = ""
        self._due_s = 0.0
        self._silent_until_s = math.inf

    def command(self, name: str) -> bytes:
        """Return a new command."""
        self._last_id += 1
        return self._encoder.command(self._last_id, name)

    def begin(self, now_s: float, *, is_board: bool) -> None:
        """Take note that frames are wanted now; only a board has to be asked for them."""
        self._silent_until_s = now_s + self._timeout_s
        if is_board:
            self.start(now_s, patient=False)

    def start(self, now_s: float, *, patient: bool) -> None:
        """Begin to send START: `patient` means for as long as it takes (the board is booting)."""
        self._last_id += 1
        self._start_id = self._last_id
        self._tries_left = PATIENT_TRIES if patient else TRIES
        self._is_patient = patient
        if patient:
            self._silent_until_s = math.inf
        self._refusal = ""
        self._due_s = now_s

    def due(self, now_s: float) -> bytes:
        """Return what must be sent now, often nothing."""
        if self._start_id is None or now_s < self._due_s:
            return b""
        if self._tries_left == 0 and not self._is_patient:
            self._is_given_up = True
            self._start_id = None
            return b""
        self._due_s = now_s + (RETRY_S if self._tries_left else PATIENT_RETRY_S)
        self._tries_left = max(0, self._tries_left - 1)
        # The same id at every retry: the board acts on it once.
        return self._encoder.command(self._start_id, "START")

    def answered(self, ack: Ack) -> None:
        """Take an ACK."""
        if ack.request_id == self._start_id:
            self._start_id = None
            if not ack.ok:
                self._refusal = printable(ack.message) or "no reason given"

    def flowing(self) -> None:
        """Take note that frames came: as good as an answer."""
        self._start_id = None
        self._silent_until_s = math.inf

    def check(self, now_s: float) -> None:
        """Raise if no frames will come; a board that once sent some is asked for ever.

        Raises
        ------
        SourceError
            The board refuses to start.
        SourceTimeout
            It does not answer, or does not send.
        """
        if self._refusal and self._is_patient:
            _LOG.warning("%s: the device refuses to start again: %s", self._name, self._refusal)
            self.start(now_s + PATIENT_RETRY_S, patient=True)
        elif self._refusal:
            raise SourceError(f"{self._name}: the device refuses to start: {self._refusal}")
        if self._is_given_up:
            raise SourceTimeout(f"{self._name}: the device does not answer START")
        if now_s > self._silent_until_s:
            raise SourceTimeout(f"{self._name}: no frame came in {self._timeout_s:g} s after START")
