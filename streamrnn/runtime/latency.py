"""Where the time goes: one small histogram a stage, of constant size, cheap enough to stay on."""

from __future__ import annotations

from time import perf_counter_ns

#: Durations that wait to be sorted into buckets: a live frame pays for an append only.
_N_WAITING = 4096
#: Buckets a doubling: a percentile is at most 1/8 too high.
_SUB_BITS = 3
_N_BUCKETS = 64 << _SUB_BITS


def _bucket(ns: int) -> int:
    """Return the bucket of a duration: exact below 8 ns, then 8 buckets a doubling."""
    shift = ns.bit_length() - 1 - _SUB_BITS
    if shift <= 0:
        return ns
    return (shift << _SUB_BITS) + (ns >> shift)


def _upper_ns(bucket: int) -> int:
    """Return the largest duration of a bucket."""
    shift = (bucket >> _SUB_BITS) - 1
    if shift <= 0:
        return bucket
    mantissa = (bucket & ((1 << _SUB_BITS) - 1)) + (1 << _SUB_BITS)
    return ((mantissa + 1) << shift) - 1


class Histogram:
    """Durations counted in logarithmic buckets."""

    def __init__(self) -> None:
        self._n = 0
        self._max_ns = 0
        self._counts = [0] * _N_BUCKETS
        self._waiting: list[int] = []

    @property
    def n(self) -> int:
        """Durations counted."""
        return self._n + len(self._waiting)

    @property
    def max_ns(self) -> int:
        """The longest duration, exact; 0 when there is none."""
        return max(self._max_ns, *self._waiting, 0)

    def add(self, ns: int) -> None:
        """Count one duration in nanoseconds; a negative one counts as 0."""
        self._waiting.append(ns)
        if len(self._waiting) >= _N_WAITING:
            self._sort_in()

    def _sort_in(self) -> None:
        for ns in self._waiting:
            self._counts[min(_bucket(max(ns, 0)), _N_BUCKETS - 1)] += 1
        self._max_ns = self.max_ns
        self._n += len(self._waiting)
        self._waiting.clear()

    def percentile_ns(self, percent: float) -> int:
        """Return an upper bound (within 1/8) of a percentile, in nanoseconds; 0 when empty.

        Parameters
        ----------
        percent : float
            0..100.
        """
        self._sort_in()
        wanted = max(1, -(-self._n * percent // 100))
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return min(_upper_ns(bucket), self._max_ns)
        return 0


class StageTimer:
    """Times the stages of a pipeline; the caller hands in one and reads it at the end.

    A duration is that of one call, thus of one block of frames.

    Parameters
    ----------
    is_detailed : bool
        Whether sources shall count ``device`` and ``link``, and pipelines ``filter``, ``features``
        and ``cell`` instead of ``inference``.

    Attributes
    ----------
    last_ns : int
        The mark that the newest `lap` returned.
    arrived_ns : int
        The newest mark of `arrive`.
    """

    def __init__(self, *, is_detailed: bool = False) -> None:
        self.is_detailed = is_detailed
        self.stages: dict[str, Histogram] = {}
        self.last_ns = 0
        self.arrived_ns = 0

    def start(self) -> int:
        """Return the start mark for `lap`, in nanoseconds."""
        return perf_counter_ns()

    def arrive(self) -> int:
        """Return the start mark for `lap`, and keep it: bytes have just arrived."""
        self.arrived_ns = perf_counter_ns()
        return self.arrived_ns

    def lap(self, stage: str, since_ns: int) -> int:
        """Count the time since `since_ns` for `stage`; return the mark for the next lap."""
        now = self.last_ns = perf_counter_ns()
        self.add(stage, now - since_ns)
        return now

    def add(self, stage: str, ns: int) -> None:
        """Count a duration that was measured elsewhere, in nanoseconds."""
        histogram = self.stages.get(stage)
        if histogram is None:
            histogram = self.stages[stage] = Histogram()
        histogram.add(ns)

    def summary(self) -> dict[str, dict[str, float]]:
        """Return ``{stage: {"n", "p50_us", "p95_us", "p99_us", "max_us"}}``, first used first."""
        return {
            stage: {
                "n": histogram.n,
                "p50_us": histogram.percentile_ns(50) / 1000,
                "p95_us": histogram.percentile_ns(95) / 1000,
                "p99_us": histogram.percentile_ns(99) / 1000,
                "max_us": histogram.max_ns / 1000,
            }
            for stage, histogram in self.stages.items()
        }
