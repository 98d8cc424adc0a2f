"""What sensors add to what they measure, on top of any origin; each model by its formula.

x is a sample in physical units, fs the frame rate, N(s) a normal number of standard deviation s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeAlias

import numpy as np

from firmware_sim.origins.origin import Block, Origin, to_rows
from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError
from streamrnn.core.text import did_you_mean, printable
from streamrnn.core.types import F64, U8
from streamrnn.wire.encode import quantise
from streamrnn.wire.schema import Hello

#: Changes the samples (k, n) of some channels in place; called for one block after another.
Change: TypeAlias = Callable[[F64], None]

_DOMAIN = 0x1015E
_MOST = {"share": 1.0, "harmonics": 99.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """One model of noise.

    Attributes
    ----------
    channels : tuple of str
        Names of the channels that have it; none: all.
    """

    kind: ClassVar[str] = ""
    channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that every number is finite and more than 0."""
        for field in fields(self):
            value = getattr(self, field.name)
            most = _MOST.get(field.name, math.inf)
            if isinstance(value, int | float) and not (0 < value <= most and value < math.inf):
                limits = "more than 0" if most == math.inf else f"more than 0, at most {most:g}"
                raise ConfigError(f"{field.name} must be {limits}, got {value:g}")

    def start(self, rate_hz: float, n: int, rng: np.random.Generator) -> Change:
        """Return what changes the samples of `n` channels, from the first frame on."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class White(Noise):
    """x + N(density sqrt(fs / 2)): what data sheets give as noise density, unit / sqrt(Hz).

    An MPU-6050 has 400 ug / sqrt(Hz) and 0.005 dps / sqrt(Hz) (InvenSense PS-MPU-6000A, 6.1, 6.2).
    """

    kind: ClassVar[str] = "white"
    density: float

    def start(self, rate_hz: float, n: int, rng: np.random.Generator) -> Change:
        """See `Noise`."""
        sd = self.density * math.sqrt(rate_hz / 2.0)

        def change(x: F64) -> None:
            x += sd * rng.standard_normal(x.shape)

        return change


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk(Noise):
    """x + b with b' = b + N(rate_per_sqrt_s / sqrt(fs)): a bias that walks.

    The rate random walk of IEEE Std 952-1997, Annex C; after t seconds its standard deviation is
    ``rate_per_sqrt_s * sqrt(t)``.
    """

    kind: ClassVar[str] = "walk"
    rate_per_sqrt_s: float

    def start(self, rate_hz: float, n: int, rng: np.random.Generator) -> Change:
        """See `Noise`."""
        sd = self.rate_per_sqrt_s / math.sqrt(rate_hz)
        bias = np.zeros(n)

        def change(x: F64) -> None:
            # The sum goes on where it was, step by step, however the frames are cut into blocks.
            steps = np.vstack([bias, sd * rng.standard_normal(x.shape)])
            walk = np.cumsum(steps, axis=0)[1:]
            x += walk
            bias[:] = walk[-1]

        return change


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantise(Noise):
    """step round(x / step): a converter of fewer bits; the error's variance is step^2 / 12.

    (B. Widrow, I. Kollar: Quantization Noise, 2008, chapter 4.)
    """

    kind: ClassVar[str] = "quantise"
    step: float

    def start(self, rate_hz: float, n: int, rng: np.random.Generator) -> Change:
        """See `Noise`."""

        def change(x: F64) -> None:
            np.rint(x / self.step, out=x)
            x *= self.step

        return change


@dataclass(frozen=True, slots=True, kw_only=True)
class Spikes(Noise):
    """x + s N(size), s = 1 with probability `share`, else 0: Bernoulli-Gaussian impulses.

    (M. Ghosh, IEEE Trans. Commun. 44 (1996) 145-147.) Contacts that jump, and bits that flip before
    the packet is made.
    """

    kind: ClassVar[str] = "spikes"
    share: float
    size: float

    def start(self, rate_hz: float, n: int, rng: np.random.Generator) -> Change:
        """See `Noise`."""

        def change(x: F64) -> None:
            # One draw of three numbers a sample, so that blocks of any size use the same ones.
            draws = rng.random((*x.shape, 3))
            radius = np.sqrt(-2.0 * np.log1p(-draws[..., 1]))
            normal = radius * np.cos(2.0 * math.pi * draws[..., 2])
            x += np.where(draws[..., 0] < self.share, self.size * normal, 0.0)

        return change


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout(Noise):
    """0 in the bad one of two states, which is left and entered at random: a loose contact.

    The model of E. N. Gilbert (Bell Syst. Tech. J. 39 (1960) 1253-1265): good for `every_s` on
    average, then bad for `for_s`; all its channels together.
    """

    kind: ClassVar[str] = "dropout"
    every_s: float
    for_s: float

    def start(self, rate_hz: float, n: int, rng: np.random.Generator) -> Change:
        """See `Noise`."""
        leave = (min(1.0, 1.0 / (self.every_s * rate_hz)), min(1.0, 1.0 / (self.for_s * rate_hz)))
        state = [0, int(rng.geometric(leave[0]))]

        def change(x: F64) -> None:
            at = 0
            while at < len(x):
                stop = min(len(x), at + state[1])
                if state[0]:
                    x[at:stop] = 0.0
                state[1] -= stop - at
                at = stop
                if not state[1]:
                    state[0] = 1 - state[0]
                    state[1] = int(rng.geometric(leave[state[0]]))

        return change


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturate(Noise):
    """min(max(x, -limit), limit): a sensor at the end of its range."""

    kind: ClassVar[str] = "saturate"
    limit: float

    def start(self, rate_hz: float, n: int, rng: np.random.Generator) -> Change:
        """See `Noise`."""

        def change(x: F64) -> None:
            np.clip(x, -self.limit, self.limit, out=x)

        return change


@dataclass(frozen=True, slots=True, kw_only=True)
class Hum(Noise):
    """x + sum over odd h <= `harmonics` of size / h sin(2 pi h f t + phase): the mains, in EMG.

    f lies within 0.2 % of `hz` (mains keep 1 %: EN 50160) and is drawn once, as the phases are, one
    of each channel. It is sampled, not filtered: above fs / 2 it comes back as an alias, as it does
    without an anti-alias filter. (R. Merletti, P. Parker: Electromyography, 2004, chapter 5.)
    """

    kind: ClassVar[str] = "hum"
    size: float
    hz: float = 50.0
    harmonics: int = 5

    def start(self, rate_hz: float, n: int, rng: np.random.Generator) -> Change:
        """See `Noise`."""
        hz = self.hz * (1.0 + 0.002 * (2.0 * rng.random() - 1.0))
        orders = np.arange(1, self.harmonics + 1, 2)
        phases = 2.0 * math.pi * rng.random((len(orders), n))
        count = [0]

        def change(x: F64) -> None:
            t_s = (count[0] + np.arange(len(x))) / rate_hz
            count[0] += len(x)
            for order, phase in zip(orders.tolist(), phases, strict=True):
                angle = (2.0 * math.pi * order * hz * t_s)[:, None] + phase
                x += self.size / order * np.sin(angle)

        return change


_MODELS: dict[str, type[Noise]] = {
    model.kind: model for model in (White, Walk, Quantise, Spikes, Dropout, Saturate, Hum)
}


def noise_from_table(table: Mapping[str, Any], where: str) -> Noise:
    """Return the model that a table of a scenario describes: its `kind`, and its numbers.

    Raises
    ------
    ConfigError
        One line, with the nearest right name.
    """
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in _MODELS:
        text = printable(str(kind), 40)
        what = "needs a kind" if kind is None else f"unknown kind {text!r}"
        hint = did_you_mean(text, _MODELS) or f"; known: {', '.join(_MODELS)}"
        raise ConfigError(f"{where}: {what}{hint}")
    rest = {key: value for key, value in table.items() if key != "kind"}
    return from_mapping(_MODELS[kind], rest, f"{where} ({kind})")


class NoisyOrigin:
    """An origin with noise on its samples, one model behind the other.

    Parameters
    ----------
    origin : Origin
    noises : sequence of Noise
    seed : int
        >= 0. The same for blocks of any size.

    Raises
    ------
    ConfigError
        A channel that the origin does not have.
    """

    def __init__(self, origin: Origin, noises: Sequence[Noise], seed: int = 0) -> None:
        self._origin = origin
        self._noises = tuple(noises)
        self._seed = seed
        self.keeps_time = origin.keeps_time
        self._start()

    def _start(self) -> None:
        self.hello: Hello = self._origin.hello
        names = [name for group in self.hello.groups for name in group.names]
        self._changes: list[tuple[list[int], Change]] = []
        for index, noise in enumerate(self._noises):
            for name in noise.channels:
                if name not in names:
                    hint = did_you_mean(name, names) or f"; known: {', '.join(names[:12])}"
                    raise ConfigError(f"noise: no channel {printable(name, 40)!r}{hint}")
            columns = [i for i, name in enumerate(names) if name in (noise.channels or names)]
            entropy = np.random.SeedSequence([_DOMAIN, self._seed, index])
            rng = np.random.Generator(np.random.PCG64(entropy))
            self._changes.append((columns, noise.start(self.hello.rate_hz, len(columns), rng)))

    def next(self, n_max: int) -> Block:
        """Return the next frames, with noise."""
        block = self._origin.next(n_max)
        if not len(block):
            return block
        x = from_rows(block.rows, self.hello)
        for columns, change in self._changes:
            part = x[:, columns]
            change(part)
            x[:, columns] = part
        return Block(to_rows(quantise(x, self.hello)), block.seq, block.t_us, block.markers)

    def set_rate(self, rate_hz: float) -> bool:
        """Change the rate, and start the noise anew."""
        if not self._origin.set_rate(rate_hz):
            return False
        self._start()
        return True


def from_rows(rows: U8, hello: Hello) -> F64:
    """Return the bytes of frames as samples in physical units, float64 (N, n_channels)."""
    columns: list[F64] = []
    at = 0
    for group in hello.groups:
        width = group.raw_dtype.itemsize * len(group.names)
        raw = np.ascontiguousarray(rows[:, at : at + width]).view(group.raw_dtype)
        columns.append(raw * float(np.float32(group.scale)) + float(np.float32(group.offset)))
        at += width
    return np.concatenate(columns, axis=1)
