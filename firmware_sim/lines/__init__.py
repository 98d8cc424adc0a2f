"""Lines of text instead of packets: no commands, no checksum, often no clock.

`forms` writes a frame as a line, `reader` is what can be known of lines by a reader. The board that
prints them is a `firmware_sim.device.Device` with a `LineWriter`.
"""

from firmware_sim.lines.forms import COLUMNS, FORMS, SEPARATORS, LineWriter
from firmware_sim.lines.reader import TextReader

__all__ = ["COLUMNS", "FORMS", "SEPARATORS", "LineWriter", "TextReader"]
