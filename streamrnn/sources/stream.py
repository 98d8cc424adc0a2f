"""Any link as a source: format detection, the handshake with a board, and its return."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from streamrnn.core.errors import SourceError, SourceTimeout
from streamrnn.core.link import Link, LinkLostError
from streamrnn.core.text import printable
from streamrnn.core.types import Counters, End, Frames, Gap, Item, Marker, StreamInfo
from streamrnn.sources.arrival import RateWatch
from streamrnn.sources.base import Timer
from streamrnn.sources.handshake import Handshake
from streamrnn.sources.timing import StreamTiming, TimingReport
from streamrnn.wire.detect import Detector
from streamrnn.wire.options import StreamOptions
from streamrnn.wire.packet import Ack

_LOG = logging.getLogger(__name__)

#: A link that said nothing of use for this long is asked to describe itself.
ASK_AFTER_S = 0.1
#: ... and asked again after this long: it may have been booting.
ASK_AGAIN_S = 0.5
#: A link that went away is tried again this often; replug to first frame stays below 250 ms.
POLL_S = 0.02

_TEXT_BYTES = frozenset(b"\t\r\n" + bytes(range(0x20, 0x7F)))


class StreamSource:
    """Frames out of the bytes of a link.

    A board that speaks the wire is asked for HELLO and told to START (at the first `read`, so that
    nothing flows before the reader is ready). A text stream is only listened to.

    Parameters
    ----------
    link : Link
    rate_hz : float
        Frame rate of a text stream; 0.0 when unknown.
    options : StreamOptions, optional
        What is known of the stream beforehand.
    open_timeout_s : float
        How long a link may be silent: before it says what it is, and from START to the first frame.
    garbage_s : float
        How long bytes may come of which nothing can be decoded.
    clock : callable
        Seconds, monotonic.
    timer : Timer, optional
        Gets the time of the stage ``decode``.

    Attributes
    ----------
    name : str
    live : bool
        False if the link waits for its reader.
    """

    def __init__(
        self,
        link: Link,
        rate_hz: float = 0.0,
        *,
        options: StreamOptions | None = None,
        open_timeout_s: float = 5.0,
        garbage_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        timer: Timer | None = None,
    ) -> None:
        self.link = link
        self.name = link.name
        self.live = not getattr(link, "waits", False)
        self._is_deaf = getattr(link, "is_deaf", False)
        self._open_timeout_s = open_timeout_s
        self._garbage_s = garbage_s
        self._clock = clock
        self._timer = timer
        self._detector = Detector(options, rate_hz)
        self._handshake = Handshake()
        self._watch = RateWatch(rate_hz if self.live else 0.0)
        self._info: StreamInfo | None = None
        self._timing: StreamTiming | None = None
        self._ready: list[Item] = []
        self._n_unplugs = 0
        self._started = self._flowing = self._ended = self._down = False
        self._was_flowing = False
        self._silent_until_s = 0.0

    @property
    def info(self) -> StreamInfo:
        """What the stream says of itself."""
        if self._info is None:
            raise ValueError(f"{self.name} is not open")
        return self._info

    @property
    def metadata(self) -> dict[str, str]:
        """Say so when times are not measured but counted: text has no clock."""
        return {"clock": "counted"} if self._detector.is_text else {}

    @property
    def format(self) -> str:
        """Form of the stream, as `Detector` names it; ``""`` while it is not known."""
        return self._detector.format or ""

    @property
    def counters(self) -> Counters:
        """What happened to the bytes so far."""
        counters = self._detector.counters
        counters.n_unplugs = self._n_unplugs
        counters.extra.update(getattr(self.link, "extra", {}))
        return counters

    @property
    def timing(self) -> TimingReport | None:
        """What the times of the frames tell so far."""
        if self._timing is None:
            return None
        return replace(
            self._timing.report(), n_duplicates=self._detector.counters.n_duplicate_frames
        )

    def open(self) -> None:
        """Connect and find out what the stream is.

        Raises
        ------
        SourceTimeout
            Nothing comes.
        SourceError
            It cannot be opened, or what comes is neither wire packets nor lines of numbers.
        """
        self.link.open()
        try:
            self._listen()
        except LinkLostError as error:
            self.link.close()
            raise SourceError(f"{self.name} went away while it was being opened") from error
        except BaseException:
            self.link.close()
            raise

    def read(self, timeout_s: float) -> list[Item]:
        """Return the next items; see `streamrnn.sources.base.Source`."""
        if self._ready:
            items, self._ready = self._ready, []
            return items
        if self._ended:
            return []
        if self._down:
            return self._wait_for_return(timeout_s)
        if self._timing is not None and self._timing.is_due:
            self._timing.catch_up()
        try:
            if not self._flowing:
                timeout_s = min(timeout_s, self._before_frames())
            return self._take(self.link.read(timeout_s))
        except LinkLostError as error:
            return self._lost(error)
        except EOFError:
            self._ended = True
            return [End()]

    def close(self) -> None:
        """Tell the board to stop, as far as it listens, and disconnect."""
        if self._started and not self._down and self._detector.format == "wire":
            try:
                self.link.write(self._handshake.command("STOP"))
            except LinkLostError as error:
                _LOG.debug("%s: no STOP: %s", self.name, error)
        self.link.close()
        self._started = False

    # -- before the first frame ---------------------------------------------------------------

    def _listen(self) -> None:
        """Wait until the stream says what it is, asking when it does not."""
        begin_s = self._clock()
        ask_s = begin_s + ASK_AFTER_S
        first_byte_s = 0.0
        looks_like_text = True
        n_bytes = 0
        while self._info is None:
            now_s = self._clock()
            if n_bytes and self._detector.format is None and now_s > first_byte_s + self._garbage_s:
                raise SourceError(
                    f"{self.name}: no wire packets or number lines in {n_bytes} bytes: "
                    "wrong baud rate?"
                )
            if now_s > begin_s + self._open_timeout_s:
                raise self._nothing(n_bytes)
            if now_s >= ask_s:
                ask_s = now_s + ASK_AGAIN_S
                # Nobody writes to a text stream, not even to one that has not ended a line yet.
                if not n_bytes or not looks_like_text or self._detector.format == "wire":
                    self.link.write(b"\0" + self._handshake.command("DESCRIBE"))
            try:
                data = self.link.read(min(0.02, max(0.0, ask_s - now_s)))
            except EOFError:
                raise SourceError(
                    f"{self.name} ended after {n_bytes} bytes, before a whole frame came"
                ) from None
            if data:
                first_byte_s = first_byte_s if n_bytes else self._clock()
                looks_like_text = looks_like_text and _TEXT_BYTES.issuperset(data)
                n_bytes += len(data)
                self._ready += self._take(data)

    def _nothing(self, n_bytes: int) -> SourceError:
        if n_bytes:
            return SourceError(
                f"{self.name}: {n_bytes} bytes came in {self._open_timeout_s:g} s, but no HELLO "
                "and no three lines of numbers: is it the right device?"
            )
        hint = getattr(self.link, "silence_hint", "")
        return SourceTimeout(
            f"{self.name} is silent: nothing came in {self._open_timeout_s:g} s "
            f"({hint or 'is the device powered, and its program running?'})"
        )

    def _before_frames(self) -> float:
        """Do what is due before frames flow; return how long a read may wait, in seconds."""
        now_s = self._clock()
        if not self._started:
            self._started = True
            self._silent_until_s = now_s + self._open_timeout_s
            if self._detector.format == "wire" and not self._is_deaf:
                self._handshake.start(now_s, patient=False)
        command = self._handshake.due(now_s)
        if command:
            self.link.write(command)
        if self._handshake.refusal:
            why = printable(self._handshake.refusal)
            raise SourceError(f"{self.name}: the device refuses to start: {why}")
        if self._handshake.failed:
            raise SourceTimeout(f"{self.name}: the device does not answer START")
        if now_s > self._silent_until_s and not (self._was_flowing or self._n_unplugs):
            raise SourceTimeout(
                f"{self.name}: no frame came in {self._open_timeout_s:g} s after START"
            )
        return 0.02

    # -- while frames flow --------------------------------------------------------------------

    def _take(self, data: bytes) -> list[Item]:
        """Decode bytes; keep what concerns the handshake, return the rest."""
        if not data:
            return []
        now_ns = time.perf_counter_ns()
        items: list[Item] = []
        mark = self._timer.arrive() if self._timer else 0
        decoded = self._detector.push(data)
        if self._timer:
            self._timer.lap("decode", mark)
        for item in decoded:
            if isinstance(item, Frames):
                self._flowing = self._was_flowing = True
                self._handshake.flowing()
                if self._timing is not None:
                    self._timing.arrived(item, now_ns)
                if self._detector.is_text:
                    self._compare_rate(len(item))
            elif isinstance(item, Ack):
                self._handshake.answered(item)
                continue
            elif isinstance(item, StreamInfo):
                self._meet(item)
            elif isinstance(item, Gap):
                self._restart(item)
            elif not isinstance(item, Marker | End):
                continue
            items.append(item)
            if isinstance(item, End):
                self._ended = True
                break
        return items

    def _meet(self, info: StreamInfo) -> None:
        """Take what the stream says of itself."""
        if self._timing is None or self._timing.nominal_hz != info.rate_hz:
            self._timing = StreamTiming(
                info.rate_hz,
                has_clock=not self._detector.is_text,
                has_arrivals=self.live,
            )
        self._info = info

    def _compare_rate(self, n_frames: int) -> None:
        rate_hz = self._watch.arrived(n_frames, self._clock())
        if rate_hz:
            _LOG.warning(
                "%s: lines come at about %.0f Hz, not at %g Hz, so all times are wrong: "
                "set the device to %g Hz, or say its rate (--rate)",
                self.name,
                rate_hz,
                self._watch.rate_hz,
                self._watch.rate_hz,
            )

    def _restart(self, gap: Gap) -> None:
        """After a boot the board waits for START again."""
        if gap.restart and self._timing is not None:
            self._timing.restarted()
        if gap.restart and self._started and not self._is_deaf:
            self._flowing = False
            self._handshake.start(self._clock(), patient=True)

    def _lost(self, error: LinkLostError) -> list[Item]:
        self.link.close()
        if not self.link.can_return:
            raise SourceError(f"{self.name} went away: {error}") from error
        _LOG.warning("%s went away; waiting for it to come back", self.name)
        self._down = True
        self._watch.restart()
        if self._timing is not None and self._detector.is_text:
            self._timing.restarted()
        elif self._timing is not None:
            self._timing.interrupted()
        # Text has no sequence numbers: how much was lost meanwhile cannot be known.
        return [Gap("unplug", restart=self._detector.is_text)]

    def _wait_for_return(self, timeout_s: float) -> list[Item]:
        """Try to open the link again, up to `timeout_s`."""
        until_s = self._clock() + timeout_s
        while True:
            try:
                self.link.open()
                break
            except SourceError as error:
                _LOG.debug("%s", error)
            if self._clock() + POLL_S > until_s:
                time.sleep(max(0.0, until_s - self._clock()))
                return []
            time.sleep(POLL_S)
        _LOG.warning("%s is back", self.name)
        self._down = False
        self._n_unplugs += 1
        self._detector.resync()
        if self._detector.is_text:
            return []
        self._flowing = False
        self._handshake.start(self._clock(), patient=True)
        try:
            self.link.write(b"\0" + self._handshake.command("DESCRIBE"))
        except LinkLostError as error:
            return self._lost(error)
        return []
