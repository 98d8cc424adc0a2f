"""Streams of the lab streaming layer; the only place for pylsl (extra ``lsl``).

What a stream says of its channels follows the XDF meta-data convention
(``desc/channels/channel/label`` and ``unit``): https://github.com/sccn/xdf/wiki/Meta-Data
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.core.text import did_you_mean, printable
from streamrnn.core.types import Channel, Frames, Gap, StreamInfo
from streamrnn.sources.address import optional
from streamrnn.sources.base import split_options
from streamrnn.sources.decoded.feed import FeedSource
from streamrnn.sources.decoded.stamps import StampClock, StampCounter
from streamrnn.sources.timing.stream import DeviceClock

#: How long all that answers is waited for once one stream fits: there may be two.
_OTHERS_S = 0.3
#: How long a stream that was found may take to describe itself, and to connect.
_CONNECT_S = 3.0
#: How often it is asked how the clocks stand.
_ASK_S = 1.0
#: Seconds that the library keeps for a late reader; the oldest go, and the stamps show it.
_BUFFER_S = 10
_MOST_FRAMES = 4096
MAX_CHANNELS = 256
#: Numbers of the formats of samples in lsl_c.h; strings are none of them.
_FORMATS: dict[int, npt.DTypeLike] = {
    1: np.float32, 2: np.float64, 4: np.int32, 5: np.int16, 6: np.int8, 7: np.int64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which stream is meant; what is empty may be anything.

    Attributes
    ----------
    name, type, source_id, host : str
        As its outlet says.
    """

    name: str = ""
    type: str = ""
    source_id: str = ""
    host: str = ""

    def fits(self, info: Any) -> bool:
        """Return whether a stream is meant."""
        return all(
            not value or value == said
            for value, said in (
                (self.name, info.name()),
                (self.type, info.type()),
                (self.source_id, info.source_id()),
                (self.host, info.hostname()),
            )
        )


class SenderClock:
    """The clock of an outlet's computer; see `streamrnn.sources.timing.stream.DeviceClock`.

    Attributes
    ----------
    inlet : pylsl.StreamInlet or None
        Measures it, again every few seconds, once it was asked.
    local_clock : callable
        The library's own clock on this computer, seconds.
    """

    def __init__(self) -> None:
        self.inlet: Any = None
        self.local_clock: Callable[[], float] = time.perf_counter
        self._offset_s: float | None = None
        self._asked_s = -_ASK_S

    @property
    def round_trip_us(self) -> float | None:
        """None: the library does not say."""
        return None

    def host_ns(self, t_us: int) -> float | None:
        """Return when that clock showed `t_us`, on this computer's; None while unknown."""
        now_s = time.perf_counter()
        if self.inlet is not None and now_s > self._asked_s + _ASK_S:
            self._asked_s = now_s
            # Does not wait: the library goes on measuring by itself. Not known yet, or lost.
            with contextlib.suppress(RuntimeError):
                offset_s = float(self.inlet.time_correction(timeout=0.0))
                self._offset_s = offset_s + time.perf_counter() - self.local_clock()
        return None if self._offset_s is None else t_us * 1e3 + self._offset_s * 1e9


class LslFeed:
    """Frames of one LSL stream of a regular rate.

    Parameters
    ----------
    wanted : Wanted
    """

    can_return = True
    hint = "does its program send?"

    def __init__(self, wanted: Wanted) -> None:
        what = [f"{f.name}={getattr(wanted, f.name)}" for f in fields(wanted) if f.name != "name"]
        what = [printable(part) for part in what if not part.endswith("=")]
        self.name = f"lsl:{printable(wanted.name)}{'?' if what else ''}{'&'.join(what)}"
        self._sender_clock = SenderClock()
        self.clock: DeviceClock | None = self._sender_clock
        self.metadata: dict[str, str] = {}
        self._wanted = wanted
        self._pylsl: Any = None
        self._resolver: Any = None
        self._inlet: Any = None
        self._buffer: npt.NDArray[Any] = np.empty((0, 0))
        self._stamps = StampCounter(1.0)
        self._times = StampClock(1.0)
        self._uid = self._gone = ""
        self._last_s = -np.inf
        self._returns = False

    def connect(self, timeout_s: float) -> StreamInfo:
        """Find the stream and subscribe to it, or raise `SourceError`; see `Feed`."""
        if self._resolver is None:
            self._pylsl = _library()
            self._sender_clock.local_clock = self._pylsl.local_clock
            self._resolver = self._pylsl.ContinuousResolver(forget_after=2.0)
        found = self._find(timeout_s)
        rate_hz, kind = found.nominal_srate(), found.channel_format()
        if kind not in _FORMATS:
            raise SourceError(f"{self.name} sends text, not numbers: streamrnn needs samples")
        if not 0.001 <= rate_hz <= 1e6:
            raise SourceError(
                f"{self.name} has an irregular rate: streamrnn needs frames at a fixed rate"
            )
        if not 1 <= found.channel_count() <= MAX_CHANNELS:
            raise SourceError(f"{self.name} has {found.channel_count()} channels, not 1..256")
        inlet = self._pylsl.StreamInlet(found, max_buflen=_BUFFER_S, recover=False)
        try:
            full = inlet.info(timeout=_CONNECT_S)
            inlet.open_stream(timeout=_CONNECT_S)
        except RuntimeError as error:  # the base of pylsl's errors
            raise SourceError(
                f"{self.name} was found on {printable(found.hostname())}, but does not answer: "
                f"{error} (a firewall? LSL needs TCP and UDP ports 16572 to 16604)"
            ) from error
        self._inlet = self._sender_clock.inlet = inlet
        self._uid = found.uid()
        self._buffer = np.empty((_MOST_FRAMES, full.channel_count()), _FORMATS[kind])
        # Only the same stream is taken for the one that returns.
        self._wanted = Wanted(full.name(), full.type(), full.source_id(), self._wanted.host)
        return self._describe(full)

    def pull(self, timeout_s: float) -> list[Frames | Gap]:
        """Return what has come; see `Feed`."""
        if self._inlet is None:
            raise LinkLostError(f"{self.name} is not connected")
        try:
            sample, stamp_s = self._inlet.pull_sample(timeout=timeout_s)
            if sample is None:
                return []
            _, stamps = self._inlet.pull_chunk(
                timeout=0.0, max_samples=_MOST_FRAMES, dest_obj=self._buffer
            )
        except RuntimeError as error:  # pylsl's LostError, as a rule
            self._gone = self._uid  # it is still listed for a while
            raise LinkLostError("its program ended, or the network") from error
        # Whatever does not fit into a float32 is infinite then, and refused with its frame.
        with np.errstate(all="ignore"):
            rows = np.concatenate([[sample], self._buffer[: len(stamps)]]).astype(np.float32)
        return self._frames(rows, np.array([stamp_s, *stamps], float))

    def disconnect(self) -> None:
        """Let go of the stream; it is looked for on."""
        if self._inlet is not None:
            self._inlet.close_stream()
            self._inlet = self._sender_clock.inlet = None
            self._returns = True

    def _frames(
        self, rows: npt.NDArray[np.float32], stamps_s: npt.NDArray[Any]
    ) -> list[Frames | Gap]:
        """Return numbered frames; behind a loss, find out whether their clock went on."""
        items: list[Frames | Gap] = []
        if self._returns:
            self._returns = False
            if stamps_s[0] < self._last_s:  # its computer booted
                items.append(Gap("reboot", restart=True))
                self._restart()
            self._stamps.resume()
        self._last_s = float(stamps_s[-1])
        items.append(Frames(rows, self._stamps.seq(stamps_s), self._times.t_us(stamps_s)))
        return items

    def _restart(self) -> None:
        self._stamps = StampCounter(self._rate_hz)
        self._times = StampClock(self._rate_hz)

    def _find(self, timeout_s: float) -> Any:
        """Return the description of the one stream that is meant, or raise `SourceError`."""
        until_s = time.monotonic() + timeout_s
        while True:
            seen = [info for info in self._resolver.results() if info.uid() != self._gone]
            fitting = [info for info in seen if self._wanted.fits(info)]
            if fitting or time.monotonic() >= until_s:
                break
            time.sleep(0.02)
        if fitting and self._inlet is None and not self._returns:
            time.sleep(_OTHERS_S)
            seen = self._resolver.results()
            fitting = [info for info in seen if self._wanted.fits(info)]
        if len({(info.name(), info.source_id(), info.hostname()) for info in fitting}) > 1:
            raise SourceError(
                f"{self.name}: {len(fitting)} streams fit; say which: {_listed(fitting)}"
            )
        if not fitting:
            near = did_you_mean(self._wanted.name, [info.name() for info in seen])
            there = f"there are {_listed(seen)}" if seen else "there is none at all"
            raise SourceError(f"no stream {self.name} on the network{near}; {there}")
        return max(fitting, key=lambda info: float(info.created_at()))

    def _describe(self, full: Any) -> StreamInfo:
        self._rate_hz = float(full.nominal_srate())
        if not self._returns:
            self._restart()
        self.metadata = {
            key: printable(value)
            for key, value in (
                ("lsl_type", full.type()),
                ("lsl_source_id", full.source_id()),
                ("lsl_host", full.hostname()),
            )
            if value
        }
        return StreamInfo(_channels(full), self._rate_hz, printable(full.name(), 64))


def _library() -> Any:
    """Return pylsl. Its library writes to the terminal by itself; a user's settings say otherwise.

    Where settings are looked for: https://labstreaminglayer.readthedocs.io/info/lslapicfg.html
    """
    pylsl = optional("pylsl", "lsl", "pylsl")
    set_config = getattr(pylsl.lib.lib, "lsl_set_config_content", None)
    named = os.environ.get("LSLAPICFG", "")
    folder = os.path.expanduser("~/lsl_api")
    places = [named, "lsl_api.cfg", f"{folder}/lsl_api.cfg", "/etc/lsl_api/lsl_api.cfg"]
    if set_config is not None and not any(map(os.path.isfile, places)):
        set_config.restype = None
        set_config(b"[log]\nlevel = -3\n")
    return pylsl


def _channels(full: Any) -> tuple[Channel, ...]:
    """Return names and units of the channels; ``ch0`` ... where names are missing or not unique."""
    n = full.channel_count()
    labels = [printable(label or "", 64) for label in full.get_channel_labels() or []]
    units = [printable(unit or "", 64) for unit in full.get_channel_units() or []]
    if len(labels) != n or len(set(labels)) != n or "" in labels:
        labels = [f"ch{k}" for k in range(n)]
    units = units if len(units) == n else [""] * n
    return tuple(Channel(*pair) for pair in zip(labels, units, strict=True))


def _listed(infos: list[Any]) -> str:
    words = [
        printable(f"{info.name()} (type={info.type()}, source_id={info.source_id()})", 80)
        for info in infos[:5]
    ]
    return ", ".join(words) + (", ..." if len(infos) > 5 else "")


def open_lsl(rest: str) -> FeedSource:
    """Return the source of ``lsl:[NAME][?type=&source_id=&host=]``; it is not opened yet."""
    names = tuple(f.name for f in fields(Wanted))
    address, options = split_options(rest, names, "lsl:")
    if address and "name" in options:
        raise ConfigError("lsl: names the stream twice")
    wanted = Wanted(**{"name": address, **options})
    if wanted == Wanted():
        raise ConfigError("lsl: needs a name or a type: lsl:Myo or lsl:?type=EMG")
    optional("pylsl", "lsl", "pylsl")
    return FeedSource(LslFeed(wanted))
