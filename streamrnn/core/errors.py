"""The errors that streamrnn raises on purpose.

::

    StreamRNNError
    ├── ConfigError (ValueError)          an option, a TOML key or a combination of them
    ├── WireError                         bytes that break docs/wire.md where nothing can be skipped
    ├── SourceError (OSError)             a port, a link or a file that gives frames
    │   └── SourceTimeout                 it is there, but it is silent
    ├── SessionError (ValueError)         a recording that cannot be read or written
    ├── ModelFileError (ValueError)       a model file that cannot be trusted
    ├── TrainingError (RuntimeError)      a training run that cannot start or go on
    └── BackendUnavailable (RuntimeError) no such device, no driver, too little memory

A wrong argument in Python code is a plain ``ValueError`` or ``TypeError`` that names what was got
and what was expected. Each message is one line: what was wrong, where, and what to do.
"""


class StreamRNNError(Exception):
    """Base of every error that streamrnn raises on purpose."""


class ConfigError(StreamRNNError, ValueError):
    """An option, a configuration key, or a combination of them, that makes no sense."""


class WireError(StreamRNNError):
    """Bytes or a packet that break the wire format where nothing can be skipped."""


class SourceError(StreamRNNError, OSError):
    """A source cannot be opened or read."""


class SourceTimeout(SourceError):
    """A source is there, but says nothing."""


class SessionError(StreamRNNError, ValueError):
    """A recorded session, or a file to import, cannot be read or written."""


class ModelFileError(StreamRNNError, ValueError):
    """A model file cannot be trusted."""


class TrainingError(StreamRNNError, RuntimeError):
    """A training run cannot start or cannot go on."""


class BackendUnavailable(StreamRNNError, RuntimeError):
    """A compute backend cannot be used here."""
