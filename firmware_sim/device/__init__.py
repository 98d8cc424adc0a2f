"""The firmware of the simulated board, and the hardware that it runs on.

`machine` is the state machine, `requests` what the host asks of it, `fetch` and `packer` make
packets of an origin's frames, `clock`, `uart` and `hardware` are what it is made of, `texts` what
it prints. A `packet` is what leaves it, with all that the simulator knows of it.
"""

from firmware_sim.device.machine import (
    END_MARKER_US,
    HELLO_IDLE_US,
    HELLO_STREAMING_US,
    N_END_MARKERS,
    Device,
)

__all__ = ["END_MARKER_US", "HELLO_IDLE_US", "HELLO_STREAMING_US", "N_END_MARKERS", "Device"]
