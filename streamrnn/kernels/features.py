"""Feature programs: built, checked, and run frame by frame.

The compiled loop stands in `streamrnn.kernels.live.program`; it checks nothing, so a program is
made by a `Builder` alone, which hands out the only places that an operation can read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamrnn.core.types import F32, F64, I64
from streamrnn.kernels import native
from streamrnn.kernels.arguments import as_argument, check_output
from streamrnn.kernels.live import program_slots as at
from streamrnn.kernels.live.slots import SCALED_LIMIT
from streamrnn.kernels.live.units import PROGRAM

#: More places than any chain has.
_MAX_WORK = 1 << 20
_STORES = {"none": at.STORE, "asinh": at.STORE_ASINH, "log": at.STORE_LOG}
#: Places of the work, in any order.
Places = Sequence[int] | I64


@dataclass(frozen=True, eq=False)
class Program:
    """What is done to each frame; see `streamrnn.kernels.live.program_slots`.

    Attributes
    ----------
    n_inputs, n_outputs, n_work : int
        Samples, features, and places of the work.
    operations : int64 (n, 7)
    reads : int64
        Places that operations read.
    numbers : float64
        What operations know.
    initial : float64 (n_memory,)
        A stream's memory before its first frame.
    """

    n_inputs: int
    n_outputs: int
    n_work: int
    operations: I64
    reads: I64
    numbers: F64
    initial: F64


class Builder:
    """Writes a program, operation by operation. Each returns the places that it writes.

    Parameters
    ----------
    offset, scale : float64 (n,)
        Of the samples: ``z = (x - offset) / scale``, cut to +- `SCALED_LIMIT`.

    Attributes
    ----------
    samples : int64 (n,)
        Places of the scaled samples.
    """

    def __init__(self, offset: F64, scale: F64) -> None:
        n = len(offset)
        if len(scale) != n:
            raise ValueError(f"{n} offsets, but {len(scale)} scales")
        centre = np.asarray(offset, np.float64)
        z = (centre.astype(np.float32) - centre) / scale
        self._operations: list[tuple[int, ...]] = []
        self._reads: list[int] = []
        self._numbers: list[float] = []
        self._initial: list[float] = [0.0]
        self._n_inputs, self._n_work, self._n_outputs = n, 0, 0
        held = np.clip(z, -SCALED_LIMIT, SCALED_LIMIT).tolist()
        self.samples = self._add(at.LOAD, n, 1, n, numbers=(*centre, *scale), memory=held)

    def _add(
        self,
        code: int,
        count: int,
        width: int,
        n_out: int,
        *,
        reads: npt.ArrayLike = (),
        numbers: Sequence[float] = (),
        memory: Sequence[float] = (),
        n_scratch: int = 0,
    ) -> I64:
        places = np.asarray(reads, np.int64).reshape(-1)
        if not ((places >= 0) & (places < self._n_work)).all():
            raise ValueError(f"places {places.tolist()} beyond the {self._n_work} that there are")
        if self._n_work + n_out + n_scratch > _MAX_WORK:
            raise ValueError(f"a program of more than {_MAX_WORK} places")
        is_store = code in _STORES.values()
        to = self._n_outputs if is_store else self._n_work
        starts = len(self._reads), to, len(self._numbers), len(self._initial)
        self._operations.append((code, count, width, *starts))
        self._reads += places.tolist()
        self._numbers += map(float, numbers)
        self._initial += map(float, memory)
        if is_store:
            self._n_outputs += n_out
        else:
            self._n_work += n_out + n_scratch
        return np.arange(to, to + n_out, dtype=np.int64)

    def lengths(self, vectors: I64) -> I64:
        """Return the lengths of k vectors, int64 (k, d)."""
        return self._add(at.LENGTHS, len(vectors), vectors.shape[1], len(vectors), reads=vectors)

    def differences(self, places: Places) -> I64:
        """Return changes since the frame before; 0 at the first."""
        n = len(places)
        return self._add(at.DIFFERENCES, n, 1, n, reads=places, memory=[0.0] * n)

    def adapted(
        self, places: Places, *, prior: float, settle: float, is_kept: bool, is_centred: bool
    ) -> I64:
        """Return places scaled by their common spread in the stream so far.

        Parameters
        ----------
        places
        prior : float
            How many frames of spread 1 about 0 come before the stream.
        settle : float
            Frames over which the mean runs; later frames change nothing (`is_kept`) or move it
            exponentially.
        is_centred : bool
            Each place has its own mean, which is subtracted.
        """
        n = len(places)
        numbers = (prior, settle, is_kept, is_centred)
        return self._add(at.ADAPT, n, 1, n, reads=places, numbers=numbers, memory=[0.0] * n + [1.0])

    def slow(self, places: Places, gain: float) -> I64:
        """Return running means: of all frames at first, exponential with `gain` later."""
        n = len(places)
        return self._add(at.SLOW, n, 1, n, reads=places, numbers=[gain], memory=[0.0] * n)

    def minus(self, places: Places, others: Places) -> I64:
        """Return places less others."""
        if len(places) != len(others):
            raise ValueError(f"{len(places)} places less {len(others)}")
        n = len(places)
        return self._add(at.MINUS, n, 1, n, reads=np.concatenate([places, others]))

    def split(self, vectors: I64, along: I64) -> I64:
        """Return, for k vectors of 3, the part along another vector and the length of the rest."""
        pairs = _side_by_side(3, vectors, along)
        return self._add(at.SPLIT, len(pairs), 3, 2 * len(pairs), reads=pairs)

    def dots(self, u: I64, v: I64) -> I64:
        """Return ``u.v / sqrt(u.u + v.v)`` of k pairs of vectors, int64 (k, d) each."""
        pairs = _side_by_side(u.shape[1], u, v)
        return self._add(at.DOTS, len(u), u.shape[1], len(u), reads=pairs)

    def triples(self, u: I64, v: I64, w: I64) -> I64:
        """Return the volumes that k triples of vectors of 3 span, over the sum of squares."""
        reads = _side_by_side(3, u, v, w)
        return self._add(at.TRIPLES, len(u), 3, len(u), reads=reads)

    def directions(self, vectors: I64, softness: float) -> I64:
        """Return vectors over their lengths; those shorter than `softness` stay short."""
        n, width = vectors.shape
        return self._add(at.DIRECTIONS, n, width, n * width, reads=vectors, numbers=[softness])

    def points(
        self, points: I64, reference: int | None, mirror: int, hand: int | None, gain: float
    ) -> tuple[I64, I64]:
        """Return points of a body in its own frame, and the velocity of that frame.

        Parameters
        ----------
        points : int64 (k, d)
            k of 2 or more.
        reference : int or None
            Which point is subtracted; None: the centre of all.
        mirror : int
            ``MIRROR_NONE``, ``MIRROR_ALWAYS``, or ``MIRROR_LEFT``: when `hand` is 0.5 or less.
        hand : int or None
            A place.
        gain : float
            Of the running mean of the body's size.
        """
        n, width = points.shape
        if n < 2 or not (reference is None or 0 <= reference < n):
            raise ValueError(f"reference {reference} of {n} points")
        if mirror == at.MIRROR_LEFT and hand is None:
            raise ValueError("no place says which hand it is")
        places = self._add(
            at.POINTS, n, width, (n + 1) * width,
            reads=[*points.reshape(-1), *([] if hand is None else [hand])],
            numbers=[-1 if reference is None else reference, mirror, gain],
            memory=[0.0] * (1 + width), n_scratch=n,
        )  # fmt: skip
        return places[: n * width].reshape(n, width), places[n * width :]

    def store(self, places: Places, squash: str, gains: Sequence[float] | F64 | None = None) -> I64:
        """Make features of places, times gains; return their columns.

        Parameters
        ----------
        places
        squash : {"none", "asinh", "log"}
            As they are; ``asinh(2 z)``; ``log(1 + 4 z)`` of what is above 0.
        gains : float64 (n,) or None
            None: 1.
        """
        n = len(places)
        numbers = np.ones(n) if gains is None else np.asarray(gains, np.float64)
        if len(numbers) != n:
            raise ValueError(f"{len(numbers)} gains for {n} places")
        return self._add(_STORES[squash], n, 1, n, reads=places, numbers=numbers.tolist())

    def done(self) -> Program:
        """Return the program."""
        numbers = np.array([*self._numbers, 0.0])
        if not np.isfinite(numbers).all():
            raise ValueError("a program's numbers must be finite")
        return Program(
            n_inputs=self._n_inputs,
            n_outputs=self._n_outputs,
            n_work=self._n_work,
            operations=np.array(self._operations, np.int64),
            reads=np.array([*self._reads, 0], np.int64),
            numbers=numbers,
            initial=np.array(self._initial, np.float64),
        )


def _side_by_side(width: int, *vectors: I64) -> I64:
    if any(v.shape != (len(vectors[0]), width) for v in vectors):
        raise ValueError(f"vectors are {[v.shape for v in vectors]}, expected of {width}")
    return np.concatenate(vectors, axis=1)


def plain(offset: F64, scale: F64, triads: I64, *, asinh: bool, differences: bool) -> Program:
    """Return the program of scaled channels, lengths of triads, and differences.

    Parameters
    ----------
    offset, scale : float64 (n,)
    triads : int64 (k, 3)
        Columns that are the three axes of one sensor, whose lengths are added.
    asinh : bool
        Squash every feature by ``asinh(2 z)``.
    differences : bool
        Add ``z[t] - z[t - 1]``, 0 at the first frame.
    """
    if triads.shape != (len(triads), 3):
        raise ValueError(f"triads are {triads.shape}, expected three columns each")
    b = Builder(offset, scale)
    parts = [b.samples]
    if len(triads):
        parts.append(b.lengths(np.asarray(triads, np.int64)))
    if differences:
        parts.append(b.differences(b.samples))
    b.store(np.concatenate(parts), "asinh" if asinh else "none")
    return b.done()


class FeatureKernel:
    """A program, and what one stream carries from frame to frame.

    Parameters
    ----------
    program : Program

    Attributes
    ----------
    n_inputs, n_outputs : int
        Columns in and out.
    memory : float64 (n_memory,)
        What is carried: first the number of frames.
    slots : int64
        What the kernel knows all of this by.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.n_inputs, self.n_outputs = program.n_inputs, program.n_outputs
        self.memory: F64 = program.initial.copy()
        self._work = np.zeros(program.n_work, np.float64)
        self.slots: I64 = np.zeros(at.N_PROGRAM_SLOTS, np.int64)
        self.slots[at.N_OPERATIONS] = len(program.operations)
        self.slots[at.N_SAMPLES] = program.n_inputs
        for slot, array in (
            (at.OPERATIONS, program.operations),
            (at.READS, program.reads),
            (at.NUMBERS, program.numbers),
            (at.MEMORY, self.memory),
            (at.WORK, self._work),
        ):
            self.slots[slot] = native.address(array)
        self._slots_at = native.address(self.slots)

    def reset(self) -> None:
        """Forget all frames; a first sample that is not finite will count as the offset."""
        self.memory[:] = self.program.initial

    def push(self, x: F32, out: F32) -> None:
        """Write the features of the next frames.

        Parameters
        ----------
        x : float32 (N, n), C-contiguous
            Samples. One that is not finite is replaced by the channel's last good one.
        out : float32 (N, n_outputs), C-contiguous
            Overwritten.
        """
        x = as_argument("x", x, np.float32, (None, self.n_inputs))
        check_output("out", out, np.float32, (len(x), self.n_outputs))
        native.load(PROGRAM).program_rows(
            self._slots_at, native.address(x), len(x), self.n_outputs, native.address(out)
        )
