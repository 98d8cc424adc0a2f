"""What to mind in a source that was probed, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from streamrnn.cli.probe_report import lost_share, n_damaged
from streamrnn.core.text import counted, printable
from streamrnn.sources.watch import round_rate_hz

if TYPE_CHECKING:
    from streamrnn.sources.probing.listening import Listener
    from streamrnn.sources.probing.opening import Opened

#: A rate may be off the stated one by this share before it is said.
RATE_TOLERANCE = 0.005
#: Clocks that are further apart than this, in ppm, are no quartzes; a minute of a day is 700.
_MAX_DRIFT_PPM = 500.0
#: A stream takes as long as its own clock says, within this share.
_REAL_TOLERANCE = 0.1
#: A pause is said that is longer than this, in seconds and in frames.
_PAUSE_S, _PAUSE_FRAMES = 0.25, 20
#: Arrivals later than this, in milliseconds, cost a quick decision.
_LATE_MS = 10.0
#: A line is full from here on.
_FULL_SHARE = 0.9
#: Ports with a true serial line behind them: start bit, 8 bits, stop bit.
_TRUE_LINES = ("/dev/ttyUSB", "/dev/ttyS", "/dev/ttyAMA")
_BITS_PER_BYTE = 10
_MAX_NAMED = 6


def advice(d: dict[str, Any], opened: Opened, listener: Listener) -> list[str]:
    """Return what to mind, the worst first.

    Parameters
    ----------
    d : dict
        As `streamrnn.cli.probe_report.report` gives it.
    opened : Opened
    listener : Listener
    """
    return [
        *opened.notes,
        *_transport(d),
        *_time(d),
        *_samples(listener),
        *_description(d),
    ]


def _transport(d: dict[str, Any]) -> Iterator[str]:
    counters, is_text = d["counters"], d["format"] not in ("wire", "frames")
    share = lost_share(d)
    fill = _fill(d)
    if fill >= _FULL_SHARE:
        yield (
            f"the line is {100 * fill:.0f} % full at {d['port']['baud']} baud: raise the rate of "
            "the line on both sides, or send fewer frames or shorter lines"
        )
    bad = n_damaged(d)
    if share:
        if counters["n_unplugs"]:
            todo = "most of them while it was away"
        elif d["port"] is None:
            todo = "check the connection, and how busy the sender is"
        elif bad:
            todo = "some in damaged packets, see below"
        else:
            todo = "a buffer overflows: send fewer frames, or raise the rate of the line"
        places = (d["timing"] or {}).get("n_gaps")
        where = f", in {places} places" if places else ""
        yield f"lossy: {100 * share:.2g} % of the frames are missing{where}: {todo}"
    if bad:
        total = bad + counters["n_packets"]
        yield (
            f"damaged: {bad} of {total} {'lines' if is_text else 'packets'} made no sense: check "
            "cable, ground and baud rate, and that nothing else is printed in between"
        )
    if d["last_words"]:
        lines = counted(d["n_text_lines"], "line")
        yield (
            f"between its data the device prints {lines} of text; the most telling: "
            f"{printable(d['last_words'], 120)!r}"
        )
    if counters["n_duplicate_frames"]:
        n = counters["n_duplicate_frames"]
        yield f"{n} frames came twice and were dropped once: does the device send again unasked?"
    if counters["n_unplugs"]:
        times = _times(counters["n_unplugs"])
        yield f"the device went away {times}: a loose plug, or too little power?"
    if d["n_reboots"]:
        yield f"the device started anew {_times(d['n_reboots'])}: too little power, or a crash?"
    timer = (d["port"] or {}).get("latency_timer_ms")
    if timer is not None and timer > 1:
        name = d["port"]["path"].rpartition("/")[2]
        yield (
            f"the adapter gathers bytes for up to {timer} ms: `echo 1 | sudo tee "
            f"/sys/bus/usb-serial/devices/{name}/latency_timer`"
        )


def _fill(d: dict[str, Any]) -> float:
    """Return how full a true serial line is, 0..1; 0 where there is none."""
    port = d["port"]
    if port is None or not port["path"].startswith(_TRUE_LINES) or d["span_s"] < 1:
        return 0.0
    bits_per_s = d["counters"]["n_bytes"] / d["span_s"] * _BITS_PER_BYTE
    return float(bits_per_s / port["baud"])


def _time(d: dict[str, Any]) -> Iterator[str]:
    nominal, measured, timing = d["nominal_hz"], d["measured_hz"], d["timing"] or {}
    is_sure = timing.get("is_settled", False) or (not d["live"] and bool(measured))
    if nominal and measured and is_sure and abs(measured / nominal - 1) > RATE_TOLERANCE:
        yield (
            f"rate: it sends {measured:.2f} frames a second, not {nominal:g} as stated: "
            + (
                f"give rate={round_rate_hz(measured):g}"
                if d["clock"] == "counted"
                else "correct its program"
            )
        )
    if d["live"] and abs(timing.get("drift_ppm", 0.0)) > _MAX_DRIFT_PPM:
        yield (
            f"the device's clock is off by {abs(timing['drift_ppm']) / 1e4:.2g} %: times come from "
            "it, so gestures seem that much longer or shorter"
        )
    pause_s = timing.get("largest_gap_s", 0.0)
    was_away = bool(d["counters"]["n_unplugs"] or d["n_reboots"])
    if not was_away and measured and pause_s > max(_PAUSE_S, _PAUSE_FRAMES / measured):
        yield f"nothing came for {pause_s:.2f} s once: does the device do something else meanwhile?"
    is_real = abs(d["heard_s"] / d["span_s"] - 1) < _REAL_TOLERANCE if d["span_s"] else True
    if d["live"] and not is_real and not was_away and d["heard_s"] > 1 and d["clock"] == "device":
        yield (
            f"its clock does not run in real time: {d['span_s']:.1f} s of it took "
            f"{d['heard_s']:.1f} s: do t_us and rate_hz of its packets count microseconds and "
            "frames a second?"
        )
    late_ms = (timing.get("arrival_jitter") or {}).get("p95_us", 0.0) / 1e3
    if d["live"] and is_real and late_ms > max(_LATE_MS, 1.5e3 / measured if measured else 0.0):
        yield (
            f"5 % of the frames arrive more than {late_ms:.0f} ms late: decisions wait for them "
            "(frames sent in bunches, a busy computer, or a radio)"
        )


def _samples(listener: Listener) -> Iterator[str]:
    """Yield what stands out in the samples; `streamrnn inspect` knows the same of recordings."""
    import numpy as np

    from streamrnn.evaluation.inspection.signal import look
    from streamrnn.sessions.session import Session

    frames = listener.newest()
    hits = look("", Session(listener.info, frames, np.zeros(len(frames), np.int64)))

    def named(found: list[Any]) -> str:
        return _listed([hit.place.channel for hit in found])

    if hits.not_finite:
        yield f"not a number: some samples of {named(hits.not_finite)}; such frames are left out"
    if hits.constant:
        yield (
            f"stuck: {named(hits.constant)} never changed: is the sensor wired up, and started by "
            "the program?"
        )
    if hits.frozen:
        longest_s = max(hit.value for hit in hits.frozen)
        yield f"frozen: all channels stood still for {longest_s:.1f} s: does the sensor hang?"
    if hits.stuck:
        yield f"stuck: {named(hits.stuck)} held one value while other channels moved"
    if hits.clipped:
        limits = ", ".join(
            f"{printable(hit.place.channel, 40)} at {hits.limits[hit.place.channel]:.6g}"
            for hit in hits.clipped[:_MAX_NAMED]
        )
        yield f"clipped: {limits}: set a wider range, or a lower gain"
    share = max((hit.value for hit in hits.stale), default=0.0)
    if share > 0.1 and len(hits.constant) < listener.info.n_channels:
        yield (
            f"{100 * share:.0f} % of the frames repeat the one before: the sensor measures less "
            "often than the program sends"
        )


def _description(d: dict[str, Any]) -> Iterator[str]:
    counts = [c["name"] for c in d["channels"] if c["is_whole"] and not c["unit"] and c["max"]]
    is_text = d["format"] not in ("wire", "frames")
    if counts and d["n_frames"]:
        yield (
            f"whole numbers without a unit: {_listed(counts)}: raw counts? Training can do with "
            "them" + (" (names= and units= in the address say what they are)" if is_text else "")
        )
    if is_text:
        seen = "" if d["is_numbered"] else ", and a lost line leaves no trace"
        yield (
            f"text has no checksum: an altered digit becomes a sample{seen} (docs/wire.md: "
            "packets have checksum, counter and clock)"
        )
    if is_text and not d["nominal_hz"] and not d["measured_hz"]:
        longer = "listen longer (--duration), or " if d["live"] else ""
        yield f"its rate is not known: {longer}give rate= in the address"


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def _listed(names: list[str]) -> str:
    shown = [printable(name, 40) for name in names[:_MAX_NAMED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def next_command(d: dict[str, Any], opened: Opened) -> str:
    """Return the command to type next; ``""`` when it does not work yet."""
    from streamrnn.sources.ports.finding import address_of
    from streamrnn.sources.ports.listing import serial_ports
    from streamrnn.sources.serial import SerialLink

    if not d["n_frames"]:
        return ""
    url: str = d["source"]
    if url.startswith("file:"):
        return f"streamrnn inspect {shlex.quote(url.removeprefix('file:').partition('?')[0])}"
    link = opened.link
    if isinstance(link, SerialLink) and link.port is not None:
        # The number of the board stays the same on every socket.
        _, mark, query = url.partition("?")
        url = f"{address_of(link.port, serial_ports())}{mark}{query}"
    parts = ["streamrnn", "record", shlex.quote(url), "-o", "first.mcap"]
    if not d["nominal_hz"]:
        parts += ["--rate", f"{round_rate_hz(d['measured_hz']):g}" if d["measured_hz"] else "HZ"]
    parts += ["--subject", "me", "--gestures", "left,right"]  # an example to be changed
    return " ".join(parts)
