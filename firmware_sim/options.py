"""All that can be said of a simulated board, and the board that it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from firmware_sim.board import Board
from firmware_sim.device import Device
from firmware_sim.device.texts import BANNER
from firmware_sim.faults import FaultPlan, parse_faults
from firmware_sim.origins.noise import Noise, NoisyOrigin
from firmware_sim.origins.numbered import NumberedOrigin
from firmware_sim.origins.origin import Origin
from firmware_sim.signals import DEFAULT_PERSON, DEFAULT_SEED, SignalOrigin
from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean, printable

ORIGINS = ("signals", "playback")
_MAX_BANNER = 4096


@dataclass(frozen=True, slots=True)
class BoardOptions:
    """All that can be said of a simulated board.

    Attributes
    ----------
    origin : {"signals", "playback"}
    files : tuple of str
        Sessions to play back, one behind the other.
    person : int
    people : tuple of int
        Several persons in turn, instead of `person`.
    seed : int
        Of signals and faults.
    rate_hz : float
        Of signals.
    seconds : float or None
        Length of signals; None: endless.
    lead_s : float
        First gesture behind the start.
    plan : str
        What is done: ``all``, ``null`` or the name of a gesture.
    frames_per_packet : int or None
        None: as many as make about 100 packets a second.
    drift_ppm, wander_ppm, jitter_us, baud, fifo_bytes
        Of the board's clock, of its samples, and of its UART, as `Device` has them.
    boot_ms : float
        From power-up to the first HELLO.
    banner : str
        What it prints when it boots; ``esp32``: as such a chip does.
    transit_us : float
        Jitter of the way to the host, as `firmware_sim.faults.transit.Transit` has it.
    noise : tuple of Noise
        What its sensors add, in this order.
    number : int
        Of the board among several, from 1: behind its name and boot id. 0: it is the only one.
    form : {"wire", "numbers", "named", "teleplot", "json"}
        Packets, or lines of text from power-up on; see `firmware_sim.lines`.
    columns : tuple of str
        Of lines, before the samples: ``t_us`` or ``t_ms``, ``seq8``, ``seq16`` or ``seq32``.
    separator : {"comma", "tab", "space", "semicolon"}
        Of lines.
    faults : str or FaultPlan
        Spec strings as `firmware_sim.faults` has them, or a plan.
    """

    origin: str = "signals"
    files: tuple[str, ...] = ()
    person: int = DEFAULT_PERSON
    people: tuple[int, ...] = ()
    seed: int = DEFAULT_SEED
    rate_hz: float = 100.0
    seconds: float | None = None
    lead_s: float = 0.15
    plan: str = "all"
    frames_per_packet: int | None = None
    drift_ppm: float = 0.0
    wander_ppm: float = 0.0
    jitter_us: float = 0.0
    baud: int = 0
    fifo_bytes: int = 4096
    boot_ms: float = 0.0
    banner: str = ""
    transit_us: float = 0.0
    noise: tuple[Noise, ...] = ()
    number: int = 0
    form: str = "wire"
    columns: tuple[str, ...] = ()
    separator: str = "comma"
    faults: str | FaultPlan = ""


def make_board(options: BoardOptions) -> Board:
    """Return the board that is asked for.

    Raises
    ------
    ConfigError
        A value that makes no sense.
    SessionError
        The session cannot be played back.
    """
    faults = options.faults
    plan = parse_faults(faults) if isinstance(faults, str) else faults
    device = make_device(options, make_origin(options))
    return Board(device, plan, options.seed, transit_us=options.transit_us)


def make_origin(options: BoardOptions) -> Origin:
    """Return the frames that are asked for, with their noise; see `make_board`."""
    origin = _bare_origin(options)
    if options.noise:
        origin = NoisyOrigin(origin, options.noise, options.seed)
    return NumberedOrigin(origin, options.number) if options.number else origin


def _bare_origin(options: BoardOptions) -> Origin:
    if options.origin not in ORIGINS:
        hint = did_you_mean(options.origin, ORIGINS)
        name, known = printable(options.origin, 40), ", ".join(ORIGINS)
        raise ConfigError(f"unknown origin {name!r}{hint}; known: {known}")
    if options.origin == "signals":
        return SignalOrigin(
            options.seed,
            options.person,
            options.rate_hz,
            people=options.people or None,
            seconds=options.seconds,
            lead_s=options.lead_s,
            plan=options.plan,
        )
    if not options.files:
        raise ConfigError("playback needs the name of a session file")
    # It loads mcap, which signals do not need.
    from firmware_sim.origins.playback import PlaybackOrigin

    return PlaybackOrigin(*options.files)


def make_device(options: BoardOptions, origin: Origin) -> Device:
    """Return the board without its cable, or raise `ConfigError`."""
    if not 0.0 <= options.transit_us <= 1e7:
        raise ConfigError(f"transit_us must lie in 0..10000000, got {options.transit_us:g}")
    if not 0.0 <= options.boot_ms <= 60_000.0:
        raise ConfigError(f"boot_ms must lie in 0..60000, got {options.boot_ms:g}")
    text = options.banner
    if not text.isascii() or len(text) > _MAX_BANNER:
        raise ConfigError(f"banner must be at most {_MAX_BANNER} characters of ASCII")
    settings: dict[str, Any] = {
        "drift_ppm": options.drift_ppm,
        "wander_ppm": options.wander_ppm,
        "jitter_us": options.jitter_us,
        "baud": options.baud,
        "fifo_bytes": options.fifo_bytes,
        "boot_us": round(options.boot_ms * 1000.0),
        "banner": BANNER if text == "esp32" else text.encode("ascii"),
        "seed": options.seed,
    }
    try:
        if options.form == "wire":
            if options.columns or options.separator != "comma":
                raise ConfigError("columns and separator are for lines of text: say which form")
            return Device(origin, frames_per_packet=options.frames_per_packet, **settings)
        if options.frames_per_packet is not None:
            raise ConfigError(
                f"a line holds one frame: frames_per_packet is not for {options.form}"
            )
        from firmware_sim.lines import LineWriter  # most boards speak packets

        writer = LineWriter(options.form, origin.hello, options.columns, options.separator)
        return Device(origin, writer, **settings)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from None
