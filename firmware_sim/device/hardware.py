"""What a simulated board is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """Clock, UART and habits of a `firmware_sim.device.Device`.

    Attributes
    ----------
    frames_per_packet : int or None
        Most frames in one DATA packet; None: as many as make about 100 packets a second.
    drift_ppm, wander_ppm : float
        How much faster the board's clock runs than true time, parts per million, and how far that
        wanders; see `firmware_sim.device.clock.DriftingClock`.
    jitter_us : float
        Standard deviation of the time at which a packet's first frame is sampled (and so of its
        `t_us`), normal and cut at 3 of them; time never runs backwards.
    baud : int
        Bits a second of the UART that all goes through; 0: no limit. What does not fit into its
        queue is dropped, counted, and missing in `seq`.
    fifo_bytes : int
        Length of that queue.
    boot_us : int
        How long it takes from power-up to the first HELLO. It hears nothing before.
    banner : bytes
        What it prints when it boots.
    seed : int
        Of wander and jitter.

    Raises
    ------
    ValueError
        A number that no board can have.
    """

    frames_per_packet: int | None = None
    drift_ppm: float = 0.0
    wander_ppm: float = 0.0
    jitter_us: float = 0.0
    baud: int = 0
    fifo_bytes: int = 4096
    boot_us: int = 0
    banner: bytes = b""
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        k, baud, fifo_bytes, boot_us = (
            self.frames_per_packet, self.baud, self.fifo_bytes, self.boot_us
        )  # fmt: skip
        if k is not None and k < 1:
            raise ValueError(f"frames_per_packet must be 1 or more, got {k}")
        if not abs(self.drift_ppm) <= 100_000:
            raise ValueError(f"drift_ppm must lie in -100000..100000, got {self.drift_ppm}")
        if not 0 <= self.wander_ppm <= 10_000:
            raise ValueError(f"wander_ppm must lie in 0..10000, got {self.wander_ppm}")
        if not 0 <= self.jitter_us <= 1e6:
            raise ValueError(f"jitter_us must lie in 0..1000000, got {self.jitter_us}")
        if baud and not 300 <= baud <= 100_000_000:
            raise ValueError(f"baud must lie in 300..100000000, or be 0 for no limit, got {baud}")
        if not 1 <= fifo_bytes <= 1 << 24:
            raise ValueError(f"fifo_bytes must lie in 1..{1 << 24}, got {fifo_bytes}")
        if not 0 <= boot_us <= 60_000_000:
            raise ValueError(f"a boot takes 0..60 s, got {boot_us / 1e6:g} s")
