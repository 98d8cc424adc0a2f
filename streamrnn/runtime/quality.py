"""What is wrong with a stream while it is recorded, in words: pure, streaming, bounded.

The same faults as `streamrnn inspect` names afterwards, but while something can still be done.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from streamrnn.core.text import printable
from streamrnn.core.types import F64, Frames, StreamInfo
from streamrnn.runtime.damage import Damage
from streamrnn.runtime.guide import Step

#: A channel, or all of them, that hold one value for this long are stuck.
STUCK_US = 2_000_000
#: Fewer different values than this are a button or a switch, which may rest.
FEW_VALUES = 32
#: Samples at an extreme, each the third or a later one in a row there, that are clipping; above
#: the share of all samples the extreme is where the signal rests.
CLIP_LEAST, CLIP_RUN, REST_SHARE = 6, 3, 0.2
#: Frames after which shares mean something.
ENOUGH = 250
#: Shares of frames lost at which it is said, and said again.
LOST_SHARES = (0.01, 0.1)
#: Share of damaged packets or lines, and their least number.
DAMAGED_SHARE, DAMAGED_LEAST = 0.005, 5
#: A rate may differ by this from the stated one, and is measured over this time.
RATE_TOLERANCE, RATE_US = 0.05, 5_000_000
#: A gesture moves this many times as much as the quietest rest.
MOVED_TIMES = 2.0
#: No wearable sensor reads more, by unit; anything else is garbage above the last.
LIMITS = {"g": 200.0, "m/s^2": 2000.0, "m/s2": 2000.0, "dps": 2e4, "deg/s": 2e4, "rad/s": 400.0}
SENSELESS = 1e12
_DAMAGED_ADVICE = "check the cable, its ground and the baud rate"
#: Frames between two looks at what was counted.
_EVERY = 25


class Quality:
    """Watches a recording; each fault is said once.

    Parameters
    ----------
    info : StreamInfo

    Attributes
    ----------
    said : list of str
        All that was said.
    n_still : dict of str to int
        Gestures in which nothing moved, by name.
    """

    def __init__(self, info: StreamInfo) -> None:
        self.said: list[str] = []
        self.n_still: dict[str, int] = {}
        self._info = info
        self._names = [printable(name, 40) for name in info.channel_names]
        self._limits = np.array([LIMITS.get(c.unit, SENSELESS) for c in info.channels])
        self._known: dict[str, None] = {}  # in the order in which it was said
        self._damaged = Damage(0, 0, False)
        self._new: list[str] = []
        self._channels = _Channels(info.n_channels)
        self._motion = _Motion()
        self._pending: deque[Step] = deque()
        self._moved: list[bool] = []  # of each gesture that stands
        self._n = self._n_lost = 0
        self._next_seq: int | None = None
        self._rate_from: tuple[int, int] | None = None

    def push(self, frames: Frames) -> list[str]:
        """Take frames as they were recorded; return what is newly wrong, one line each."""
        x = frames.x.astype(np.float64)
        seqs, times = frames.seq.tolist(), frames.t_us.tolist()
        for k in range(len(times)):
            self._count(seqs[k], times[k])
            while self._pending and times[k] >= self._pending[0].t_us:
                self._step(self._pending.popleft())
            row = self._sensible(x[k])
            self._channels.push(row, times[k])
            self._motion.push(row)
            self._n += 1
            if self._n % _EVERY == 0:
                self._look(times[k])
        return self._take_new()

    def steps(self, steps: list[Step]) -> None:
        """Take what the guide says; it holds from its time on, before the frames that show it."""
        self._pending.extend(steps)

    def interrupted(self) -> None:
        """Take note of a gap that is known: what is missing behind it is not counted as lost."""
        self._next_seq = self._rate_from = None
        self._channels.restart()

    def damaged(self, damaged: Damage, n_packets: int) -> list[str]:
        """Take what made no sense so far, beside packets or lines that did."""
        self._damaged = damaged
        pairs = (damaged.n_pieces, n_packets), (damaged.n_incomplete, self._n)
        if any(n >= DAMAGED_LEAST and n > DAMAGED_SHARE * (of + n) for n, of in pairs):
            what = " and ".join(damaged.words())
            self._say("damaged", f"{what} so far: {_DAMAGED_ADVICE}")
        return self._take_new()

    def rate(self, stated_hz: float, measured_hz: float) -> list[str]:
        """Compare the stated rate with one that was measured; both 0.0 when not known."""
        if stated_hz > 0 and measured_hz > 0:
            if abs(measured_hz / stated_hz - 1) > RATE_TOLERANCE:
                self._say(
                    "rate",
                    f"frames come at {measured_hz:.1f} Hz, the stream says {stated_hz:g} Hz: "
                    "give the true rate (--rate), or slow the device down",
                )
        return self._take_new()

    def finish(self) -> list[str]:
        """Take note that nothing follows."""
        while self._pending:
            self._step(self._pending.popleft())
        return self._take_new()

    @property
    def lost_share(self) -> float:
        """Share of frames that were lost on the way, 0..1."""
        return self._n_lost / max(1, self._n + self._n_lost)

    def summary(self) -> list[str]:
        """Return what was wrong, with the figures of the end; what `n_still` tells is left out."""
        texts = []
        for key, text in zip(self._known, self.said, strict=True):
            if key == "damaged":
                texts.append(f"{' and '.join(self._damaged.words())}: {_DAMAGED_ADVICE}")
            elif key == f"lost {LOST_SHARES[0]}":
                texts.append(self._lost())
            elif not key.startswith(("still ", "lost ")):
                texts.append(text)
        return texts

    # ---- inside

    def _lost(self) -> str:
        return (
            f"{100 * self.lost_share:.1f} % of the frames are lost on the way: "
            "a lower rate, a faster baud rate or a better link helps"
        )

    def _count(self, seq: int, t_us: int) -> None:
        if self._next_seq is not None:
            self._n_lost += seq - self._next_seq
        self._next_seq = seq + 1
        if self._rate_from is None:
            self._rate_from = seq, t_us
            return
        span_us = t_us - self._rate_from[1]
        if span_us >= RATE_US:
            self._rate_by_clock((seq - self._rate_from[0]) * 1e6 / span_us)
            self._rate_from = seq, t_us

    def _rate_by_clock(self, device_hz: float) -> None:
        stated_hz = self._info.rate_hz
        if stated_hz > 0 and abs(device_hz / stated_hz - 1) > RATE_TOLERANCE:
            self._say(
                "clock",
                f"by the device's clock there are {device_hz:.1f} frames a second, "
                f"not {stated_hz:g} as it says: its program is too slow for that rate",
            )

    def _sensible(self, row: F64) -> F64:
        """Return a row with what is no number, or cannot be true, as it was before."""
        good = np.abs(row) <= self._limits  # False for NaN, too
        if good.all():
            return row
        for k in np.flatnonzero(~good).tolist():
            if math.isfinite(row[k]):
                unit = printable(self._info.channels[k].unit, 20)
                self._say(
                    f"wild {k}",
                    f"{self._names[k]} reads {row[k]:.4g} {unit}".rstrip()
                    + ", which no such sensor gives: wrong scale, or damaged lines?",
                )
            else:
                self._say(f"nan {k}", f"{self._names[k]} reads {row[k]}: its sensor gives nothing")
        return np.where(good, row, self._channels.last)

    def _look(self, t_us: int) -> None:
        channels = self._channels
        still = t_us - channels.since_us >= STUCK_US
        if still.all() and len(still) > 1:
            self._say("frozen", "nothing has changed on any channel for 2 s: does the sensor hang?")
        else:
            for k in np.flatnonzero(still).tolist():
                if f"nan {k}" not in self._known:
                    self._stuck(k)
        for k in channels.clipped(self._n):
            self._say(
                f"clipped {k}",
                f"{self._names[k]} is cut off at {channels.limit(k):.4g}: choose a larger range "
                "on the device, or move less hard",
            )
        for share in LOST_SHARES:
            if self._n >= ENOUGH and self.lost_share > share:
                self._say(f"lost {share}", self._lost())

    def _stuck(self, k: int) -> None:
        value = f"{self._channels.last[k]:.4g}"
        n_values = self._channels.n_values(k)
        if n_values == 1:
            self._say(
                f"stuck {k}",
                f"{self._names[k]} has shown nothing but {value}: is its sensor connected? "
                "(a button may rest)",
            )
        elif n_values >= FEW_VALUES:
            self._say(
                f"stuck {k}", f"{self._names[k]} has stood at {value} for 2 s: a loose contact?"
            )

    def _step(self, step: Step) -> None:
        if step.kind in ("rest", "ready"):
            self._motion.begin(is_rest=True)
        elif step.kind == "now":
            self._motion.begin(is_rest=False)
        elif step.kind == "ended":
            self._moved.append(self._motion.has_moved())
            if not self._moved[-1]:
                self.n_still[step.gesture] = self.n_still.get(step.gesture, 0) + 1
                name = printable(step.gesture, 40)
                self._say(
                    f"still {step.gesture}",
                    f"nothing moved while you did {name!r}: is the sensor on the right arm? "
                    "(u takes it back)",
                )
        else:
            self._motion.stop()
            if step.kind == "undone" and self._moved and not self._moved.pop():
                self.n_still[step.gesture] -= 1

    def _say(self, key: str, text: str) -> None:
        if key not in self._known:
            self._known[key] = None
            self._new.append(text)
            self.said.append(text)

    def _take_new(self) -> list[str]:
        new, self._new = self._new, []
        return new


class _Channels:
    """How long each channel has stood still, how many values it had, and where it is cut off."""

    def __init__(self, n: int) -> None:
        self.last: F64 = np.zeros(n)
        self.since_us = np.zeros(n, np.int64)
        self._is_first = True
        self._run = np.zeros(n, np.int64)
        self._step_in: F64 = np.zeros(n)
        self._quantum: F64 = np.full(n, np.inf)
        self._values: list[set[float]] = [set() for _ in range(n)]
        self._few = list(range(n))
        # Two rows: of the least and of the largest value (signs turned).
        self._extreme: F64 = np.full((2, n), np.inf)
        self._n_pinned = np.zeros((2, n), np.int64)
        self._n_there = np.zeros((2, n), np.int64)

    def restart(self) -> None:
        """Count times anew."""
        self._is_first = True

    def push(self, row: F64, t_us: int) -> None:
        """Take one frame."""
        if self._is_first:
            self._is_first = False
            self.since_us[:] = t_us
            self._run[:] = 0
            self.last = row
        same = row == self.last
        moved = ~same
        step = np.abs(row - self.last)
        np.copyto(self._step_in, step, where=moved)
        np.minimum(self._quantum, step, out=self._quantum, where=moved)
        self._run = np.where(same, self._run + 1, 1)
        np.copyto(self.since_us, t_us, where=moved)
        self.last = row
        into = (self._run >= CLIP_RUN) & (self._step_in > 2.5 * self._quantum)
        signed = np.stack((row, -row))
        beyond = signed < self._extreme
        np.copyto(self._extreme, signed, where=beyond)
        self._n_pinned[beyond] = self._n_there[beyond] = 0
        there = signed == self._extreme
        self._n_there += there
        self._n_pinned += there & into
        if self._few:
            for k in self._few:
                self._values[k].add(float(row[k]))
            self._few = [k for k in self._few if len(self._values[k]) < FEW_VALUES]

    def n_values(self, k: int) -> int:
        """Return how many different values a channel had, at most `FEW_VALUES`."""
        return len(self._values[k])

    def clipped(self, n_frames: int) -> list[int]:
        """Return the channels that are cut off."""
        if n_frames < ENOUGH:
            return []
        pinned = (self._n_pinned >= CLIP_LEAST) & (self._n_there <= REST_SHARE * n_frames)
        return [k for k in np.flatnonzero(pinned.any(0)).tolist() if k not in self._few]

    def limit(self, k: int) -> float:
        """Return the extreme at which a channel was most often."""
        low, high = self._n_pinned[:, k]
        return float(self._extreme[0, k] if low > high else -self._extreme[1, k])


class _Motion:
    """How much the channels move in a gesture, against the quietest rest so far."""

    def __init__(self) -> None:
        self._quietest: F64 | None = None
        self._sums: tuple[int, F64, F64] | None = None
        self._first: F64 | None = None
        self._is_rest = self._is_open = False

    def begin(self, *, is_rest: bool) -> None:
        """Begin a segment; one that runs is over."""
        self.stop()
        self._is_rest, self._is_open = is_rest, True

    def push(self, row: F64) -> None:
        """Take one frame."""
        if not self._is_open:
            return
        if self._first is None or self._sums is None:
            self._first, self._sums = row, (1, np.zeros_like(row), np.zeros_like(row))
            return
        n, total, squares = self._sums
        away = row - self._first
        self._sums = n + 1, total + away, squares + away * away

    def has_moved(self) -> bool:
        """End a segment of a gesture; True also where there is nothing to compare it with."""
        spread = self._spread()
        self._is_open = False
        self._first = self._sums = None
        if spread is None or self._quietest is None:
            return True
        return bool((spread > MOVED_TIMES * self._quietest).any())

    def stop(self) -> None:
        """End a segment, if one runs."""
        spread = self._spread()
        if self._is_open and self._is_rest and spread is not None:
            quietest = self._quietest
            self._quietest = spread if quietest is None else np.minimum(quietest, spread)
        self._is_open = False
        self._first = self._sums = None

    def _spread(self) -> F64 | None:
        if self._sums is None or self._sums[0] < 10:
            return None
        n, total, squares = self._sums
        return np.sqrt(np.maximum(0.0, squares / n - (total / n) ** 2))
