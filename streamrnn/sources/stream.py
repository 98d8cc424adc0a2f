"""Any link as a source: format detection, the handshake with a board, and its return."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from streamrnn.core.errors import SourceError
from streamrnn.core.link import Link, LinkLostError
from streamrnn.core.types import Counters, End, Frames, Gap, Item, Marker, StreamInfo
from streamrnn.sources.base import Timer
from streamrnn.sources.handshake import Handshake
from streamrnn.sources.listening import Listening
from streamrnn.sources.timing import TimingReport
from streamrnn.sources.timing.timekeeper import Timekeeper
from streamrnn.sources.watch import Silence
from streamrnn.wire.detect import Detector
from streamrnn.wire.options import StreamOptions
from streamrnn.wire.packet import Ack, Pong, WireItem

_LOG = logging.getLogger(__name__)

#: A link that went away is tried again this often; replug to first frame stays below 250 ms.
POLL_S = 0.02


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
        Gets the time of the stage ``decode``; if it is detailed, also those of ``device``
        and ``link``, as soon as the board's clock is known.

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
        clock: Callable[[], float] = time.perf_counter,
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
        self._handshake = Handshake(self.name, open_timeout_s)
        self._times = Timekeeper()
        self._silence = Silence(0.0)
        self._info: StreamInfo | None = None
        self._ready: list[Item] = []
        self._n_outages = self._n_unplugs = 0
        self._n_dumb_bytes = 0  # since the last frame
        self._n_unexplained = 0  # packets before the first HELLO
        self._words_said = ""
        self._started = self._flowing = self._ended = False
        self._now_s = 0.0
        # The link is away; it was back, but nothing has come yet.
        self._down = self._unproven = False
        self._retry_in_s = 0.0

    @property
    def info(self) -> StreamInfo:
        """What the stream says of itself."""
        if self._info is None:
            raise ValueError(f"{self.name} is not open")
        return self._info

    @property
    def metadata(self) -> dict[str, str]:
        """Say so when times are not measured but counted: most text has no clock."""
        said = {"clock": "counted"} if self._detector.is_counted else {}
        return {**said, "rate": "measured"} if self._times.measured_hz else said

    @property
    def format(self) -> str:
        """Form of the stream, as `Detector` names it; ``""`` while it is not known."""
        return self._detector.format or ""

    @property
    def has_seq(self) -> bool:
        """Whether the stream numbers its frames, so that lost ones are known."""
        return self._detector.has_seq

    @property
    def n_text_lines(self) -> int:
        """Lines of text that came between the data."""
        return self._detector.n_text_lines

    @property
    def n_text_refused(self) -> int:
        """Lines or packets that were refused because they were such text: no damage."""
        return self._detector.n_text_refused

    @property
    def last_words(self) -> str:
        """The newest text that came between the data, escaped: a panic, a log."""
        return self._detector.last_words

    @property
    def counters(self) -> Counters:
        """What happened to the bytes so far."""
        counters = self._detector.counters
        extra = {**counters.extra, **getattr(self.link, "extra", {})}
        if self._n_unexplained:
            extra["n_unexplained_packets"] = self._n_unexplained
        # What a board sent before it said HELLO is not damaged.
        n_bad = counters.n_bad_content - self._n_unexplained
        return replace(counters, n_unplugs=self._n_unplugs, n_bad_content=n_bad, extra=extra)

    @property
    def timing(self) -> TimingReport | None:
        """What the times of the frames tell so far."""
        report = self._times.report()
        if report is None:
            return None
        return replace(report, n_duplicates=self._detector.counters.n_duplicate_frames)

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
        hints = getattr(self.link, "silence_hint", ""), getattr(self.link, "garbage_hint", "")
        listening = Listening(
            self.name, self._clock(), hints, self._open_timeout_s, self._garbage_s
        )
        try:
            while self._info is None:
                try:
                    self._listen(listening)
                except LinkLostError as error:
                    self._open_again(listening, error)
        except BaseException:
            self.link.close()
            raise

    def measure(self, span_s: float) -> None:
        """Listen for a while if nobody says the rate, and take it from what comes; none is lost.

        A rate near a round one is taken for that. Without enough frames the rate stays unknown.

        Parameters
        ----------
        span_s : float
            5 s tell the rate of most streams within 0.1 %.

        Raises
        ------
        SourceError
            As `read`.
        """
        if self.info.rate_hz > 0 or not self.live:
            return
        items: list[Item] = []
        until_s = self._clock() + span_s
        while not self._ended and self._clock() < until_s:
            items += self.read(max(0.0, until_s - self._clock()))
        if self._times.measure():
            self._info = self._times.rated(self.info)
            items = [self._times.stamped(item) for item in items]
        self._ready = items + self._ready

    def read(self, timeout_s: float) -> list[Item]:
        """Return the next items; see `streamrnn.sources.base.Source`."""
        if self._ready:
            items, self._ready = self._ready, []
            return items
        if self._ended:
            return []
        if self._down:
            return self._wait_for_return(timeout_s)
        try:
            trouble = self._times.catch_up()
            if trouble:
                _LOG.warning("%s: %s", self.name, trouble)
            if not self._flowing:
                timeout_s = min(timeout_s, self._before_frames())
            elif self._now_s >= self._times.ping_s:
                self._send(self._times.ping(self._clock()))
            data = self.link.read(timeout_s)
            if data:
                return self._take(data)
            self._look_for_silence(self._clock())
            return []
        except LinkLostError as error:
            return self._lost(error)
        except EOFError:
            self._ended = True
            return [End()]

    def close(self) -> None:
        """Tell the board to stop, as far as it listens, and disconnect."""
        if self._started and not self._down and self._is_board:
            self._send(self._handshake.command("STOP"))
        self.link.close()
        self._started = False

    # -- before the first frame ---------------------------------------------------------------

    @property
    def _is_board(self) -> bool:
        """Whether there is somebody who takes commands."""
        return self._detector.format == "wire" and not self._is_deaf

    def _listen(self, listening: Listening) -> None:
        """Wait until the stream says what it is, asking when it does not."""
        detector = self._detector
        while self._info is None:
            now_s = self._clock()
            listening.check(now_s, detector.format is not None, detector.trouble)
            if listening.must_ask(now_s, detector.format == "wire"):
                self._send(b"\0" + self._handshake.command("DESCRIBE"))
            try:
                data = self.link.read(listening.wait_s(now_s))
            except EOFError:
                raise listening.ended() from None
            if data:
                listening.took(data, self._clock())
                self._ready += self._take(data)

    def _open_again(self, listening: Listening, error: LinkLostError) -> None:
        """Wait for a link that went away while it was being opened: the board may be booting."""
        self.link.close()
        while self.link.can_return and not listening.is_over(self._clock()):
            time.sleep(POLL_S)
            try:
                self.link.open()
            except SourceError as why:
                _LOG.debug("%s", why)
                continue
            self._detector.resync()
            return
        raise SourceError(f"{self.name} went away while it was being opened ({error})") from error

    def _before_frames(self) -> float:
        """Do what is due before frames flow; return how long a read may wait, in seconds."""
        now_s = self._clock()
        if not self._started:
            self._started = True
            self._handshake.begin(now_s, is_board=self._is_board)
        self._send(self._handshake.due(now_s))
        self._handshake.check(now_s)
        return POLL_S

    # -- while frames flow --------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        """Send what there is; whether the link is lost, its next read tells.

        What came before it was lost is still to be read.
        """
        if data:
            try:
                self.link.write(data)
            except LinkLostError as error:
                _LOG.debug("%s: nothing can be sent: %s", self.name, error)

    def _time_journey(self, timer: Timer, frames: Frames, now_s: float) -> None:
        """Count how long the oldest frame waited for the newest, and how long that one took."""
        first_us, last_us = int(frames.t_us[0]), int(frames.t_us[-1])
        link_ns = self._times.delay_ns(last_us, now_s)
        if link_ns is not None:
            timer.add("device", 1000 * (last_us - first_us))
            timer.add("link", round(link_ns))

    def _take(self, data: bytes) -> list[Item]:
        """Decode bytes; keep what concerns the board alone, return the rest."""
        items: list[Item] = []
        mark = self._timer.arrive() if self._timer else 0
        self._now_s = now_s = self._clock()
        decoded = self._detector.push(data)
        if self._timer:
            self._timer.lap("decode", mark)
        if self._unproven:
            self._returned()
        self._n_dumb_bytes += len(data)
        for item in decoded:
            if isinstance(item, Frames):
                if not self._flowing or self._silence.is_noticed:
                    self._flows(now_s)
                self._silence.heard_s = now_s
                self._n_dumb_bytes = 0
                self._times.arrived(item, now_s)
                if self._timer and self._timer.is_detailed:
                    self._time_journey(self._timer, item, now_s)
            elif not self._is_for_the_reader(item, now_s):
                continue
            items.append(self._times.stamped(item))
            if isinstance(item, End):
                self._ended = True
                break
        if self._n_dumb_bytes:
            self._look_for_silence(now_s)
        return items

    def _is_for_the_reader(self, item: WireItem, now_s: float) -> bool:
        """Act on an item that is no frames; return whether the reader is to see it."""
        if isinstance(item, Ack):
            self._handshake.answered(item)
            self._times.acknowledged()
        elif isinstance(item, Pong):
            self._times.ponged(item, now_s)
        elif isinstance(item, StreamInfo):
            self._meet(item)
        elif isinstance(item, Gap):
            self._restart(item)
        return isinstance(item, StreamInfo | Gap | Marker | End)

    def _flows(self, now_s: float) -> None:
        """Take note that frames come, behind a start or a silence."""
        self._flowing = True
        self._handshake.flowing()
        silent_s = self._silence.ended(now_s)
        if silent_s:
            _LOG.warning("%s speaks again after %.1f s", self.name, silent_s)

    def _meet(self, info: StreamInfo) -> None:
        """Take what the stream says of itself."""
        old, info = self._info, self._times.rated(info)
        if old is None and self._detector.format == "wire":
            self._n_unexplained = self._detector.counters.n_bad_content
        if old is not None and info.name != old.name:
            _LOG.warning("%s: another device answers: %s, not %s", self.name, info.name, old.name)
        self._times.begin(
            info,
            is_counted=self._detector.is_counted,
            is_board=self._is_board,
            has_arrivals=self.live,
        )
        self._silence = Silence(info.rate_hz)
        self._info = info

    def _look_for_silence(self, now_s: float) -> None:
        """Say once that no frame has come for too long, and prod the board."""
        silent_s = self._silence.noticed(now_s) if self.live and not self._ended else 0.0
        if silent_s:
            n = self._n_dumb_bytes
            what = f"{n} bytes came, but no frame" if n else "nothing comes"
            _LOG.warning("%s is silent since %.1f s: %s%s", self.name, silent_s, what, self._said())
            self._start_again(now_s)

    def _restart(self, gap: Gap) -> None:
        """After a boot the board waits for START again."""
        if not gap.restart:
            return
        _LOG.warning("%s: the device has booted%s", self.name, self._said())
        self._times.restarted()
        if self._started:
            self._start_again(self._clock())

    def _start_again(self, now_s: float) -> None:
        if self._is_board:
            self._flowing = False
            self._handshake.start(now_s, patient=True)

    def _said(self) -> str:
        """Return the device's last words for a warning, once."""
        words = self._detector.last_words
        if not words or words == self._words_said:
            return ""
        self._words_said = words
        return f"; it last said: {words}"

    # -- while the link is away ---------------------------------------------------------------

    def _lost(self, error: LinkLostError) -> list[Item]:
        self.link.close()
        if not self.link.can_return:
            raise SourceError(f"{self.name} went away: {error}{self._said()}") from error
        self._down = True
        if self._unproven:  # it was not back really
            return []
        self._n_outages += 1
        self._retry_in_s = 0.0
        _LOG.warning("%s went away; waiting for it to come back%s", self.name, self._said())
        self._silence.excused()
        self._times.interrupted()
        # Lines without a counter: how much was lost meanwhile cannot be known.
        return [Gap("unplug", restart=self._detector.is_text and not self._detector.has_seq)]

    def _wait_for_return(self, timeout_s: float) -> list[Item]:
        """Try to open the link again when it is time, or wait for that, up to `timeout_s`."""
        wait_s = min(self._retry_in_s, timeout_s)
        if wait_s > 0.0:
            time.sleep(wait_s)
            self._retry_in_s -= wait_s
        if self._retry_in_s <= 0.0:
            self._retry_in_s = POLL_S
            self._try_to_return()
        return []

    def _try_to_return(self) -> None:
        try:
            self.link.open()
        except SourceError as error:
            _LOG.debug("%s", error)
            return
        self._down = False
        self._unproven = True
        self._n_unplugs = self._n_outages  # once, however often it goes again at once
        self._silence.heard_s = self._clock()
        self._detector.resync()
        if self._is_board:
            self._start_again(self._clock())
            self._send(b"\0" + self._handshake.command("DESCRIBE"))

    def _returned(self) -> None:
        """Take note that a link that was away gives bytes again."""
        self._unproven = False
        self._times.returned()
        _LOG.warning("%s is back", self.name)
