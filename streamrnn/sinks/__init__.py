"""Where records go."""

from streamrnn.sinks.base import Sink
from streamrnn.sinks.jsonl import JsonlSink

__all__ = ["JsonlSink", "Sink"]
