"""Where frames come from: serial ports, TCP, recorded files, and whatever a plug-in adds."""

from streamrnn.sources.base import Source
from streamrnn.sources.registry import open_source

__all__ = ["Source", "open_source"]
