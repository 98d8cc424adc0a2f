"""Where frames come from: ports, sockets, brokers, files, and whatever a plug-in adds."""

from streamrnn.sources.base import Source
from streamrnn.sources.registry import open_source, public_url

__all__ = ["Source", "open_source", "public_url"]
