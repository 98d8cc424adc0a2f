"""What this GPU can do at best, as it is found: measured first, by plain means.

Bandwidth is a copy on the device, counting what is read and what is written. Rates are large matrix
products by PyTorch on random numbers; without PyTorch they are unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.gpu_race import Clock

_N_SAMPLES = 7


@dataclass(frozen=True)
class Ceilings:
    """The best of a GPU.

    Attributes
    ----------
    bytes_s : float
        Bytes read and written a second.
    flops_s : dict of str to float
        Operations a second of matrix products, by precision.
    launch_s : float
        What starting a kernel costs the host, one after the other.
    """

    bytes_s: float = 0.0
    flops_s: dict[str, float] = field(default_factory=dict)
    launch_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return what goes into the results."""
        return asdict(self)

    def __str__(self) -> str:
        rates = ", ".join(
            f"{name} {rate / 1e12:.1f} TFLOP/s" for name, rate in self.flops_s.items()
        )
        return (
            f"copy {self.bytes_s / 1e9:.0f} GB/s; products {rates or 'not measured'};"
            f" a launch {1e6 * self.launch_s:.1f} us"
        )


def measured(
    device: Any, clock: Clock, torch_gpu: Any, launch: Callable[[], None], *, small: bool
) -> Ceilings:
    """Measure.

    Parameters
    ----------
    device : Device
    clock : Clock
        The device's.
    torch_gpu : TorchGpu or None
    launch : callable
        Starts a small kernel.
    small : bool
        Little work: something stands in for the GPU.
    """
    n_bytes = 1 << 12 if small else 1 << 30
    flops = {}
    if torch_gpu is not None:
        flops = {
            precision: torch_gpu.product_rate(precision, 64 if small else 8192)
            for precision in ("fp32", "tf32", "bf16")
        }
    return Ceilings(_copy_rate(device, clock, n_bytes), flops, _launch_s(device, launch, small))


def _copy_rate(device: Any, clock: Clock, n_bytes: int) -> float:
    first, second = device.allocate(n_bytes), device.allocate(n_bytes)
    try:
        device.zero(first, n_bytes)
        taken = []
        for _ in range(_N_SAMPLES + 1):
            clock.begin()
            device.copy(second, first, n_bytes)
            taken.append(clock.end_s())
    finally:
        device.free(first)
        device.free(second)
    return 2 * n_bytes / median(taken[1:])


def _launch_s(device: Any, launch: Callable[[], None], small: bool) -> float:
    taken = []
    n = 2 if small else 200
    for _ in range(_N_SAMPLES):
        device.wait()
        begin_s = perf_counter()
        for _ in range(n):
            launch()
        taken.append((perf_counter() - begin_s) / n)
    device.wait()
    return median(taken)
