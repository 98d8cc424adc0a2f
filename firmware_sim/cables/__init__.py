"""The board's end of real cables: terminal, TCP, UDP, MQTT; and what serves a board on them.

`server` serves any board on any cable from a thread; each other module is one kind of cable, and
`choose` reads from words which one it shall be.
"""

from firmware_sim.cables.choose import make_server
from firmware_sim.cables.pty import PtyBoard
from firmware_sim.cables.server import BoardServer, Cable

__all__ = ["BoardServer", "Cable", "PtyBoard", "make_server"]
