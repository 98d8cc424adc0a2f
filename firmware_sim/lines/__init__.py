"""Boards that print lines of text instead of packets: no commands, no checksum, often no clock.

`forms` writes a frame as a line, `device` is the firmware that prints them, `board` its cable and
what a reader can know of it.
"""

from firmware_sim.lines.board import TextBoard
from firmware_sim.lines.device import TextDevice
from firmware_sim.lines.forms import COLUMNS, FORMS, SEPARATORS, LineWriter

__all__ = ["COLUMNS", "FORMS", "SEPARATORS", "LineWriter", "TextBoard", "TextDevice"]
