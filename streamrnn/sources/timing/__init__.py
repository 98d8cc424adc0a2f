"""The time of a stream: its rate, its clock against ours, jitter and gaps."""

from streamrnn.sources.timing.report import TimingReport
from streamrnn.sources.timing.spread import Spread
from streamrnn.sources.timing.stream import StreamTiming

__all__ = ["Spread", "StreamTiming", "TimingReport"]
