"""What BrainFlow's boards and error numbers are called, and which channels they have."""

from __future__ import annotations

from typing import Any

from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean, printable
from streamrnn.core.types import Channel

#: Kinds of channels in a board's description, their units, and what one of three is called.
KINDS = {
    "emg": ("uV", ""), "eeg": ("uV", ""), "ecg": ("uV", ""), "eog": ("uV", ""),
    "accel": ("g", "acc_"), "gyro": ("dps", "gyro_"), "magnetometer": ("", "mag_"),
    "rotation": ("", ""), "eda": ("", ""), "ppg": ("", ""), "temperature": ("degC", ""),
    "resistance": ("", ""), "analog": ("", ""), "other": ("", ""),
}  # fmt: skip
#: Taken when nothing is said: the first of these, and motion.
_ELECTRIC = ("emg", "eeg", "ecg", "eog")
_MOTION = ("accel", "gyro", "magnetometer")

#: BrainFlow's error numbers (brainflow/exit_codes.py) as causes with a way out.
_CAUSES = {
    1: "the port is open already: another program uses the board",
    2: "the port cannot be opened: is the board plugged in, and port= right?",
    3: "the port has trouble: unplug the board and plug it in again",
    4: "the board does not take commands: is it switched on?",
    5: "what came from the board makes no sense: is it this board?",
    6: "the board did not say hello: is it switched on?",
    7: "the board is not ready: is it switched on, near, and paired?",
    8: "the board sends already",
    9: "the buffer has a wrong size",
    10: "its thread could not be started",
    13: "something needed was not said: {needs}",
    14: "this version of brainflow does not know the board on this system",
    16: "this board is in use in this program already",
    17: "the library does not say why",
    18: "the board did not begin to send in time: is it near enough?",
}
_NEEDS = "port=, mac=, ip=, ip_port=, serial= or file=, as the board needs"


def board_id(name: str, known: dict[str, int]) -> int:
    """Return the number of a board.

    Parameters
    ----------
    name : str
        Its name in BrainFlow, in any case, ``_BOARD`` may be left out; or its number.
    known : dict of str to int
        BrainFlow's names.

    Raises
    ------
    ConfigError
        There is none.
    """
    short = {_short(key): number for key, number in known.items() if number != -100}
    wanted = _short(name)
    if wanted in short:
        return short[wanted]
    digits = name.removeprefix("-")
    if digits.isascii() and digits.isdigit() and int(name[:6]) in short.values():
        return int(name[:6])
    raise ConfigError(
        f"brainflow: no board {printable(name)!r}{did_you_mean(wanted, short)}; for example "
        "synthetic, cyton, ganglion, muse_2 (all of them: brainflow.readthedocs.io)"
    )


def _short(name: str) -> str:
    parts = name.lower().replace("-", "_").split("_")
    return "_".join(part for part in parts if part not in ("board", "file"))


def choose_channels(
    descr: dict[str, Any], kinds: list[str], where: str
) -> tuple[tuple[Channel, ...], list[int]]:
    """Return channels of a board, and their rows in its data.

    Parameters
    ----------
    descr : dict
        As BrainFlow describes the board.
    kinds : list of str
        Which; empty: muscles (or another kind of the electric ones), and motion.
    where : str
        For messages.

    Raises
    ------
    ConfigError
        The board has no such channels.
    """
    there = [kind for kind in KINDS if descr.get(f"{kind}_channels")]
    for kind in kinds:
        if kind not in there:
            raise ConfigError(
                f"{where} has no channels {printable(kind)!r}{did_you_mean(kind, there)}; "
                f"channels= can be {', '.join(there)}"
            )
    electric = [kind for kind in _ELECTRIC if kind in there][:1]
    chosen = kinds or [*electric, *(kind for kind in _MOTION if kind in there)]
    channels: list[Channel] = []
    rows: list[int] = []
    for kind in chosen:
        for name, row in zip(_names(descr, kind), descr[f"{kind}_channels"], strict=True):
            if row in rows:
                raise ConfigError(
                    f"{where}: {', '.join(chosen)} are the same channels: choose one of them"
                )
            channels.append(Channel(name, KINDS[kind][0]))
            rows.append(int(row))
    if not rows:
        raise ConfigError(f"{where} has none of the usual channels; channels= can be {there}")
    return tuple(channels), rows


def _names(descr: dict[str, Any], kind: str) -> list[str]:
    """Return names of the channels of one kind: electrodes, axes, or numbers from 1."""
    n = len(descr[f"{kind}_channels"])
    said = str(descr.get(f"{kind}_names", "")).split(",")
    if len(said) == n and len(set(said)) == n and all(said):
        return [printable(name, 64) for name in said]
    stem = KINDS[kind][1]
    if stem and n == 3:
        return [f"{stem}{axis}" for axis in "xyz"]
    return [f"{kind}_{k + 1}" for k in range(n)]


def cause(code: int) -> str:
    """Return an error number of BrainFlow in words."""
    words = _CAUSES.get(code, "the library does not say why").format(needs=_NEEDS)
    return f"{words} (BrainFlow's error {code})"
