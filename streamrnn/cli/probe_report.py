"""What ``streamrnn probe`` found, as a document and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from streamrnn.cli.sparkline import sparkline
from streamrnn.core.text import printable
from streamrnn.sources.registry import public_url

if TYPE_CHECKING:
    from streamrnn.sources.probing.listening import Listener
    from streamrnn.sources.probing.opening import Opened

#: Channels that get a line; a device may have hundreds.
MAX_SHOWN = 64
_SPARK_WIDTH = 40
_FORMATS = {
    "wire": "wire: packets with checksum, counter and clock",
    "numbers": "numbers: lines of plain numbers",
    "named": "named: lines of name:value",
    "teleplot": "teleplot: lines of >name:value",
    "json": "json: lines of JSON",
    "frames": "frames, each with its own number and time",
}


def report(opened: Opened, listener: Listener, ended: str) -> dict[str, Any]:
    """Return what was found, as plain values.

    Parameters
    ----------
    opened : Opened
    listener : Listener
        What it heard.
    ended : {"done", "end", "stopped", ""}
        Why it stopped; ``""`` for an error.
    """
    source, info = opened.source, listener.info
    timing = source.timing
    counters = asdict(source.counters)
    extra = counters.pop("extra")
    return {
        "source": public_url(opened.url),
        "format": getattr(source, "format", "") or "frames",
        "clock": "counted" if source.metadata.get("clock") == "counted" else "device",
        "is_numbered": bool(getattr(source, "has_seq", True)),
        "live": source.live,
        "ended": ended,
        "device": {"name": info.name, "firmware": info.firmware, "boot_id": info.boot_id},
        "port": _port(opened),
        "nominal_hz": info.rate_hz or None,
        "measured_hz": _measured_hz(opened, listener),
        "timing": timing.to_dict() if timing is not None else None,
        "n_frames": listener.n_frames,
        "n_labels": listener.n_markers,
        "last_words": getattr(source, "last_words", ""),
        "n_text_lines": getattr(source, "n_text_lines", 0),
        "n_text_refused": getattr(source, "n_text_refused", 0),
        "n_reboots": listener.reboots,
        "span_s": round(listener.span_s or listener.heard_s, 3),
        "heard_s": round(listener.heard_s, 3),
        "counters": {**counters, **extra},
        "channels": [
            {
                "name": channel.name,
                "unit": channel.unit,
                "min": _number(listener.low[k]),
                "mean": _number(listener.mean[k]),
                "max": _number(listener.high[k]),
                "is_whole": bool(listener.is_whole[k]),
            }
            for k, channel in enumerate(info.channels)
        ],
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _port(opened: Opened) -> dict[str, Any] | None:
    """Return what is known of a serial port."""
    from streamrnn.sources.ports.listing import latency_timer_ms
    from streamrnn.sources.serial import SerialLink

    link = opened.link
    if not isinstance(link, SerialLink):
        return None
    port = link.port
    return {
        "path": link.path,
        "baud": link.baud,
        "product": port.title if port else "",
        "serial_number": port.serial_number if port else "",
        "latency_timer_ms": latency_timer_ms(link.path),
    }


def _measured_hz(opened: Opened, listener: Listener) -> float | None:
    """Return the rate as it was seen; None when too little was."""
    timing = opened.source.timing
    if timing is not None and timing.rate_hz is not None:
        return round(timing.rate_hz, 6)
    if opened.source.metadata.get("clock") == "counted":
        return None  # such times follow from the rate that was stated
    frames = listener.newest()
    if len(frames) < 2 or frames.t_us[-1] <= frames.t_us[0]:
        return None
    span_s = float(frames.t_us[-1] - frames.t_us[0]) / 1e6
    return round(float(frames.seq[-1] - frames.seq[0]) / span_s, 6)


# ---- lines


def report_lines(d: dict[str, Any], listener: Listener) -> Iterator[str]:
    """Yield the document of `report` as lines for people."""
    yield printable(d["source"], 400)
    for head, text in (
        ("format", _FORMATS.get(d["format"], d["format"])),
        ("device", _device(d["device"])),
        ("port", _port_text(d["port"])),
        ("rate", _rate(d)),
        ("jitter", _jitter(d["timing"] or {})),
        ("frames", _frames(d)),
    ):
        if text:
            yield f"  {head:<9} {printable(text, 400)}"
    yield from _channel_lines(d["channels"], listener)
    for n, text in enumerate(d["advice"]):
        yield f"  {'mind' if not n else '':<9} {printable(text, 600)}"
    if d["next"]:
        yield f"  next      {printable(d['next'], 1000)}"


def _device(device: dict[str, str]) -> str:
    parts = [device["name"]]
    parts += [f"firmware {device['firmware']}"] if device["firmware"] else []
    parts += [f"boot {device['boot_id']}"] if device["boot_id"] else []
    return ", ".join(part for part in parts if part)


def _port_text(port: dict[str, Any] | None) -> str:
    if port is None:
        return ""
    parts = [port["path"], f"{port['baud']} baud"]
    if port["product"]:
        number = port["serial_number"]
        parts.append(port["product"] + (f" (USB serial number {number})" if number else ""))
    if port["latency_timer_ms"] is not None:
        parts.append(f"latency timer {port['latency_timer_ms']} ms")
    return ", ".join(parts)


def _rate(d: dict[str, Any]) -> str:
    nominal, measured, timing = d["nominal_hz"], d["measured_hz"], d["timing"] or {}
    parts = [f"{nominal:g} Hz stated" if nominal else "not stated"]
    if measured:
        settled = timing.get("is_settled", not timing)
        parts.append(f"{'' if settled else 'about '}{measured:.{2 if settled else 1}f} Hz measured")
    drift, error = timing.get("drift_ppm"), timing.get("drift_error_ppm")
    if drift is not None and error is not None and d["live"]:
        parts.append(
            f"its clock agrees with this computer's within {max(abs(drift), error):.0f} ppm"
            if abs(drift) < 2 * error
            else f"its clock {drift:+.0f} (+-{error:.0f}) ppm against this computer's"
        )
    return ", ".join(parts)


def _jitter(timing: dict[str, Any]) -> str:
    parts = []
    for key, what in (
        ("arrival_jitter", "arrival"), ("interval_jitter", "device's own"), ("delay", "delay"),
    ):  # fmt: skip
        spread = timing.get(key)
        if spread and spread["max_us"]:
            p50, p95, most = (spread[k] / 1e3 for k in ("p50_us", "p95_us", "max_us"))
            parts.append(f"{what} p50 {p50:.2f}, p95 {p95:.2f}, most {most:.2f} ms")
    return "; ".join(parts)


def n_damaged(d: dict[str, Any]) -> int:
    """Return how many packets or lines made no sense; what the device says in words is none."""
    kinds = ("n_bad_crc", "n_bad_framing", "n_oversize", "n_bad_content")
    n_bad: int = sum(d["counters"][kind] for kind in kinds)
    n_words: int = d["n_text_refused"]
    return max(0, n_bad - n_words)


def lost_share(d: dict[str, Any]) -> float:
    """Return the share of frames that were lost on the way, 0..1."""
    n_lost: int = d["counters"]["n_lost_frames"]
    n_frames: int = d["n_frames"]
    return n_lost / max(1, n_lost + n_frames)


def _frames(d: dict[str, Any]) -> str:
    counters = d["counters"]
    lost = f"{counters['n_lost_frames']} lost"
    if counters["n_lost_frames"]:
        lost += f" ({100 * lost_share(d):.2g} %)"
    if not d["is_numbered"]:
        lost = "losses cannot be seen"
    what = {"wire": " packets", "frames": ""}.get(d["format"], " lines")
    parts = [f"{d['n_frames']} in {d['span_s']:.2f} s", lost]
    parts.append(f"{counters['n_duplicate_frames']} duplicate")
    parts.append(f"{n_damaged(d)} damaged{what}")
    if counters.get("n_incomplete_frames"):
        parts.append(f"{counters['n_incomplete_frames']} incomplete frames")
    if counters["n_unplugs"]:
        parts.append(f"unplugged {counters['n_unplugs']} x")
    if d["n_labels"]:
        parts.append(f"{d['n_labels']} label boundaries from the device")
    return ", ".join(parts)


def _channel_lines(channels: list[dict[str, Any]], listener: Listener) -> Iterator[str]:
    x = listener.newest().x
    shown = channels[:MAX_SHOWN]
    names = [printable(c["name"], 24) for c in shown]
    units = [printable(c["unit"], 10) for c in shown]
    wide = max((len(name) for name in names), default=0)
    unit_wide = max((len(unit) for unit in units), default=0)
    head = f"{'':<{wide + unit_wide + 1}} {'min':>10} {'mean':>10} {'max':>10}"
    yield f"  {'channels':<9} {head}"
    for k, channel in enumerate(shown):
        values = " ".join(f"{_value(channel[key]):>10}" for key in ("min", "mean", "max"))
        spark = sparkline(x[:, k], _SPARK_WIDTH)
        yield f"  {'':<9} {names[k]:<{wide}} {units[k]:<{unit_wide}} {values}  {spark}"
    if len(channels) > len(shown):
        yield f"  {'':<9} and {len(channels) - len(shown)} more"


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
