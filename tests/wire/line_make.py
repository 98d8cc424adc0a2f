"""Text streams of each form, with faults whose counts are known."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

from wire_make import frames_of

from streamrnn.core.types import Frames, StreamInfo
from streamrnn.wire.detect import Detector
from streamrnn.wire.options import split

NAMES = ("acc_x", "acc_y", "acc_z")
BOOT = (
    b"ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
    b"configsip: 0, SPIWP:0xee\r\nclk_drv:0x00,q_drv:0x00,d_drv:0x00\r\nmode:DIO, clock div:1\r\n"
    b"load:0x3fff0018,len:4\r\nentry 0x400806b4\r\nInit OK, 3 sensors\r\n"
)
N_BOOT_LINES = 8
PANIC = (
    b"\r\nGuru Meditation Error: Core  1 panic'ed (LoadProhibited). Exception was unhandled.\r\n"
    b"PC      : 0x400d1a17  PS      : 0x00060330\r\nBacktrace: 0x40080f85:0x3ffb1f60\r\n"
    b"Rebooting...\r\n"
)
N_PANIC_LINES = 4
PANIC_WORDS = "Guru Meditation Error: Core  1 panic'ed (LoadProhibited). Exception was unhandled."


def detector(**query: str) -> Detector:
    """Return a detector with the options of a URL."""
    options, rest = split(query)
    assert not rest
    return Detector(options)


def line(form: str, values: dict[str, Any], end: str = "\n") -> bytes:
    """Return one frame in a form."""
    if form == "numbers":
        text = ",".join(map(str, values.values())) + end
    elif form == "named":
        text = ",".join(f"{name}:{value}" for name, value in values.items()) + end
    elif form == "json":
        text = json.dumps(values) + end
    else:
        text = "".join(f">{name}:{value}|g{end}" for name, value in values.items())
    return text.encode()


def values_of(index: int, names: tuple[str, ...] = NAMES) -> dict[str, float]:
    """Return samples that tell their frame's index."""
    return {name: index + column / 4 for column, name in enumerate(names)}


def info_of(items: list[Any]) -> StreamInfo:
    infos = [item for item in items if isinstance(item, StreamInfo)]
    assert len(infos) == 1
    return infos[0]


def read(data: bytes, **query: str) -> tuple[Detector, list[Any], Frames]:
    """Return a detector that read `data`, its items and all frames."""
    reader = detector(**query)
    items = reader.push(data)
    return reader, items, frames_of(items)


@dataclass
class Played:
    """Lines with a counter and a clock, and what was done to them."""

    lines: list[bytes] = field(default_factory=list)
    n_lost: int = 0
    n_repeated: int = 0
    n_boots: int = 0
    indices: list[int] = field(default_factory=list)  # of the frames that should come out


def play(rng: random.Random, form: str, bits: int, n: int = 60) -> Played:
    """Return `n` frames: some lost, some doubled, one reboot; counter of `bits`, 32-bit clock."""
    played = Played()
    count = rng.randrange(1 << bits) if rng.random() < 0.5 else (1 << bits) - rng.randint(1, 20)
    t_ms = rng.choice([0, 5000, (1 << 32) - rng.randint(1, 400)])
    boot_at = rng.choice([None, rng.randint(20, n - 10)])
    missing = 0
    for index in range(n):
        if index == boot_at:
            # Far enough from where it was to be no late line, and no wrap-around of the counter.
            if not (20 < count % (1 << bits) < 100 and 2000 < t_ms % (1 << 32) < 2**31):
                boot_at = None
            else:
                count, t_ms, missing = 0, 0, 0
                played.n_boots += 1
        values = {"seq": count % (1 << bits), "t_ms": t_ms % (1 << 32), **values_of(index)}
        count, t_ms = count + 1, t_ms + 10
        is_safe = index < 3 or index == n - 1 or (boot_at is not None and 0 <= index - boot_at < 3)
        fate = 1.0 if is_safe else rng.random()
        if fate < 0.1:
            missing += 1
            continue
        played.n_lost += missing
        missing = 0
        played.indices.append(index)
        played.lines.append(line(form, values))
        if fate < 0.2:
            played.n_repeated += 1
            played.lines.append(played.lines[-1])
    return played
