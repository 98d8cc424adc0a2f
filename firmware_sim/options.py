"""All that can be said of a simulated board, and the board that it makes."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_sim.board import Board
from firmware_sim.device import Device
from firmware_sim.faults import parse_faults
from firmware_sim.origin import Origin
from firmware_sim.signals import DEFAULT_PERSON, DEFAULT_SEED, SignalOrigin
from streamrnn.core.errors import ConfigError

ORIGINS = ("signals", "playback")


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
    drift_ppm : float
        Of the board's clock.
    faults : str
        As `firmware_sim.faults` has them.
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
    faults: str = ""


def make_board(options: BoardOptions) -> Board:
    """Return the board that is asked for.

    Raises
    ------
    ConfigError
        A value that makes no sense.
    SessionError
        The session cannot be played back.
    """
    plan = parse_faults(options.faults)
    origin: Origin
    if options.origin == "playback":
        if not options.files:
            raise ConfigError("playback needs the name of a session file")
        from firmware_sim.playback import PlaybackOrigin

        origin = PlaybackOrigin(*options.files)
    else:
        origin = SignalOrigin(
            options.seed,
            options.person,
            options.rate_hz,
            people=options.people or None,
            seconds=options.seconds,
            lead_s=options.lead_s,
            plan=options.plan,
        )
    try:
        device = Device(
            origin,
            frames_per_packet=options.frames_per_packet,
            drift_ppm=options.drift_ppm,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return Board(device, plan, options.seed)
