"""A TCP connection that damages what passes: between any client and any server.

`lane` carries bytes from one socket to another, `proxy` does so for every client that comes and
lets things go wrong, `program` is ``firmware-sim proxy``.
"""

from firmware_sim.proxy.proxy import PROXY_KINDS, FaultProxy

__all__ = ["PROXY_KINDS", "FaultProxy"]
