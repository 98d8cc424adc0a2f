"""What a simulated board can be."""

from __future__ import annotations


def check_hardware(  # noqa: PLR0917
    frames_per_packet: int | None,
    drift_ppm: float,
    wander_ppm: float,
    jitter_us: float,
    baud: int,
    fifo_bytes: int,
    boot_us: int,
) -> None:
    """Raise ValueError for a number that no `firmware_sim.device.Device` can have."""
    if frames_per_packet is not None and frames_per_packet < 1:
        raise ValueError(f"frames_per_packet must be 1 or more, got {frames_per_packet}")
    if not abs(drift_ppm) <= 100_000:
        raise ValueError(f"drift_ppm must lie in -100000..100000, got {drift_ppm}")
    if not 0 <= wander_ppm <= 10_000:
        raise ValueError(f"wander_ppm must lie in 0..10000, got {wander_ppm}")
    if not 0 <= jitter_us <= 1e6:
        raise ValueError(f"jitter_us must lie in 0..1000000, got {jitter_us}")
    if baud and not 300 <= baud <= 100_000_000:
        raise ValueError(f"baud must lie in 300..100000000, or be 0 for no limit, got {baud}")
    if not 1 <= fifo_bytes <= 1 << 24:
        raise ValueError(f"fifo_bytes must lie in 1..{1 << 24}, got {fifo_bytes}")
    if not 0 <= boot_us <= 60_000_000:
        raise ValueError(f"a boot takes 0..60 s, got {boot_us / 1e6:g} s")
