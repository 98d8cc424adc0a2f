"""streamrnn: a live stream of sensor frames in, gesture events out."""

__version__ = "0.1.0"
__all__ = ["__version__"]
