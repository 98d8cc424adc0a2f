"""Boards that BrainFlow knows; the only place for that library (extra ``brainflow``)."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamrnn.core.errors import ConfigError, SourceError
from streamrnn.core.link import LinkLostError
from streamrnn.core.text import printable
from streamrnn.core.types import F64, I64, Frames, Gap, StreamInfo
from streamrnn.sources.address import optional
from streamrnn.sources.base import option_int, split_options
from streamrnn.sources.decoded.boards import board_id, cause, choose_channels
from streamrnn.sources.decoded.feed import FeedSource
from streamrnn.sources.decoded.stamps import (
    PackageCounter,
    StampClock,
    StampCounter,
    stride_of,
)
from streamrnn.sources.timing.stream import DeviceClock

PLAYBACK = -3
#: Options that BrainFlow calls something else (`BrainFlowInputParams`).
_PARAMS = {
    "port": "serial_port",
    "mac": "mac_address",
    "serial": "serial_number",
    "ip": "ip_address",
    "other": "other_info",
    "file": "file",
}
_NUMBERS = {"ip_port": "ip_port", "ip_protocol": "ip_protocol", "timeout": "timeout"}
PRESETS = ("default", "auxiliary", "ancillary")
#: Seconds that the library keeps for a late reader.
_BUFFER_S = 30
#: Frames from which is learnt how the board counts, and no longer than for this.
_N_LEARN = 32
_LEARN_S = 1.0
#: Looked for new data this often, at least; the library cannot wait.
_LOOK_S = 0.005
#: A board that is gone is looked for this often.
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class BoardAddress:
    """Which board, and what of it.

    Attributes
    ----------
    board : str
        Name or number.
    params : dict of str to str or int
        By BrainFlow's names.
    master : str
        Whose recording it is, for ``playback``.
    preset : {"default", "auxiliary", "ancillary"}
        Which of the board's streams.
    kinds : tuple of str
        Which channels; empty: the usual ones.
    counter_bits : int
        Width of the board's counter of packages; 0: it has none that can be trusted.
    """

    board: str
    params: dict[str, Any]
    master: str = ""
    preset: str = "default"
    kinds: tuple[str, ...] = ()
    counter_bits: int = 8


class BrainflowFeed:
    """Frames of one board; see `streamrnn.sources.decoded.feed.Feed`.

    The numbers of its frames are the board's own counter where it counts frames, and come from the
    time stamps where it does not.

    Parameters
    ----------
    address : BoardAddress
    """

    clock: DeviceClock | None = None

    def __init__(self, address: BoardAddress) -> None:
        self.name = f"brainflow:{printable(address.board)}"
        self.hint = "is the board switched on, and near?"
        self.metadata: dict[str, str] = {}
        self.can_return = True
        self._address = address
        self._board: Any = None
        self._rows: list[int] = []
        self._counter: PackageCounter | StampCounter | None = None
        self._times = StampClock(1.0)
        self._waiting: list[F64] = []
        self._failed_s = -_RETRY_S
        self._was_lost = False

    def connect(self, timeout_s: float) -> StreamInfo:
        """Prepare the board and let it send; see `Feed`."""
        del timeout_s  # the library takes as long as it takes
        if time.monotonic() < self._failed_s + _RETRY_S:
            raise SourceError(f"{self.name}: not yet")
        shim = optional("brainflow.board_shim", "brainflow", "brainflow")
        shim.BoardShim.disable_board_logger()  # it writes to the terminal by itself
        known = {key: int(value) for key, value in shim.BoardIds.__members__.items()}
        number = board_id(self._address.board, known)
        params = self._params(shim, number, known)
        try:
            source = params.master_board if number == PLAYBACK else number
            self._preset = PRESETS.index(self._address.preset)
            self._descr = self._describe(shim, source)
            rate_hz = float(self._descr["sampling_rate"])
            channels, self._rows = choose_channels(
                self._descr, list(self._address.kinds), self.name
            )
            board = shim.BoardShim(number, params)
            board.prepare_session()
            self._board = board
            if number == PLAYBACK:
                self.can_return = False
                self.hint = f"is {printable(params.file)} BrainFlow's, of that board?"
                board.config_board("old_timestamps")
            board.start_stream(max(1024, int(rate_hz * _BUFFER_S)))
        except shim.BrainFlowError as error:
            self._failed_s = time.monotonic()
            self.disconnect()
            raise SourceError(f"{self.name}: {cause(int(error.exit_code))}") from error
        except BaseException:
            self.disconnect()
            raise
        self._rate_hz = rate_hz
        self._times = self._times if self._was_lost else StampClock(rate_hz)
        if self._was_lost and self._counter is not None:
            self._counter.resume()
        self.metadata = {"board": printable(str(self._descr.get("name", "")))}
        return StreamInfo(channels, rate_hz, self.metadata["board"])

    def pull(self, timeout_s: float) -> list[Frames | Gap]:
        """Return what has come; see `Feed`."""
        if self._board is None:
            raise LinkLostError(f"{self.name} is not connected")
        until_s = time.monotonic() + timeout_s
        pause_s = min(_LOOK_S, 0.5 / self._rate_hz)
        while True:
            try:
                data = self._board.get_board_data(preset=self._preset)
            except _failures() as error:
                raise LinkLostError(cause(int(error.exit_code))) from error
            if data.shape[1]:
                return self._frames(data)
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return []
            time.sleep(min(left_s, pause_s))

    def disconnect(self) -> None:
        """Stop the board and let go of it; harmless when not connected."""
        board, self._board = self._board, None
        self._waiting = []
        if board is None:
            return
        self._was_lost = self._counter is not None
        failures = _failures()
        with contextlib.suppress(failures):  # it may have stopped by itself
            board.stop_stream()
        with contextlib.suppress(failures):
            board.release_session()

    def _frames(self, data: F64) -> list[Frames | Gap]:
        """Return numbered frames; the first ones wait until it is known how the board counts."""
        if self._counter is None:
            self._waiting.append(data)
            data = np.concatenate(self._waiting, axis=1)
            packages = self._packages(data)
            if data.shape[1] < min(_N_LEARN, max(4, round(self._rate_hz * _LEARN_S))):
                return []
            self._waiting = []
            bits = self._address.counter_bits
            stride = stride_of(packages, bits) if bits else 0
            self._counter = (
                PackageCounter(bits, stride, self._rate_hz)
                if stride
                else StampCounter(self._rate_hz)
            )
        stamps_s = data[self._descr["timestamp_channel"]]
        if isinstance(self._counter, PackageCounter):
            seq = self._counter.seq(self._packages(data), stamps_s)
        else:
            seq = self._counter.seq(stamps_s)
        with np.errstate(all="ignore"):
            x = np.ascontiguousarray(data[self._rows].T, np.float32)
        return [Frames(x, seq, self._times.t_us(stamps_s))]

    def _packages(self, data: F64) -> I64:
        row = self._descr.get("package_num_channel")
        if row is None:
            return np.zeros(data.shape[1], np.int64)
        values = np.nan_to_num(data[row], nan=0.0, posinf=0.0, neginf=0.0)
        packages: I64 = np.clip(values, -(2.0**40), 2.0**40).astype(np.int64)
        return packages

    def _describe(self, shim: Any, number: int) -> dict[str, Any]:
        """Return the board's description, for the preset that is asked for."""
        try:
            descr: dict[str, Any] = shim.BoardShim.get_board_descr(number, self._preset)
        except shim.BrainFlowError as error:
            there = [PRESETS[int(n)] for n in sorted(shim.BoardShim.get_board_presets(number))]
            raise ConfigError(
                f"{self.name} has no stream {self._address.preset!r}; "
                f"preset= can be {', '.join(there)}"
            ) from error
        return descr

    def _params(self, shim: Any, number: int, known: dict[str, int]) -> Any:
        params = shim.BrainFlowInputParams()
        for key, value in self._address.params.items():
            setattr(params, key, value)
        if number == PLAYBACK:
            if not params.file or not self._address.master:
                raise ConfigError(
                    "brainflow: playback needs a recording and its board: "
                    "brainflow:playback?file=emg.csv&master=cyton"
                )
            if not os.path.isfile(params.file):
                raise SourceError(f"brainflow: no such file: {printable(params.file)}")
            params.master_board = board_id(self._address.master, known)
        return params


def _failures() -> Any:
    """Return BrainFlow's class of errors."""
    return optional("brainflow.board_shim", "brainflow", "brainflow").BrainFlowError


def open_brainflow(rest: str) -> FeedSource:
    """Return the source of ``brainflow:BOARD[?port=&channels=&...]``; it is not opened yet."""
    allowed = (*_PARAMS, *_NUMBERS, "master", "preset", "channels", "counter")
    board, options = split_options(rest, allowed, "brainflow:")
    if not board:
        raise ConfigError("brainflow: needs a board: brainflow:synthetic")
    params: dict[str, Any] = {_PARAMS[k]: v for k, v in options.items() if k in _PARAMS}
    for key, name in _NUMBERS.items():
        if key in options:
            params[name] = option_int(options, key, 0, 0, "brainflow:")
    preset = options.get("preset", "default")
    if preset not in PRESETS:
        raise ConfigError(f"brainflow: preset must be one of {', '.join(PRESETS)}")
    counter = options.get("counter", "8")
    if counter not in ("8", "16", "32", "none"):
        raise ConfigError(f"brainflow: counter must be 8, 16, 32 or none, got {printable(counter)}")
    kinds = tuple(kind for kind in options.get("channels", "").split(",") if kind)
    address = BoardAddress(
        board, params, options.get("master", ""), preset, kinds, int(counter.replace("none", "0"))
    )
    optional("brainflow", "brainflow", "brainflow")
    return FeedSource(BrainflowFeed(address))
