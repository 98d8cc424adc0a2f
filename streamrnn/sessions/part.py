"""One file of a session while it is written."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from mcap.writer import CompressionType, Writer

from streamrnn.sessions import form
from streamrnn.sessions.disk import PartFile, sync_folder


class Part:
    """A file that describes itself from its first chunk on.

    Parameters
    ----------
    path : Path
    document : Document
        What it says of itself.
    overwrite : bool
        False refuses an existing file (`FileExistsError`).
    now_ns : int
        Host time.
    t_us : int
        Device time of the newest frame.

    Attributes
    ----------
    begun_ns : int
        `now_ns`.
    add : callable
        ``add(channel, log_ns, data, publish_ns, sequence=0)``: append a message.

    Raises
    ------
    OSError
        Here and in all methods, where the disk refuses. A file that could not be described is gone.
    """

    def __init__(
        self, path: Path, document: form.Document, overwrite: bool, now_ns: int, t_us: int
    ) -> None:
        self.begun_ns = now_ns
        self._session = document.session
        self._file = PartFile(path, overwrite)
        try:
            # The writer needs no more of a stream than write, tell and flush.
            stream = cast("IO[bytes]", self._file)
            # Its methods are untyped.
            self._mcap: Any = Writer(stream, compression=CompressionType.ZSTD)
            self.add = self._mcap.add_message
            self._describe(document, t_us)
        except OSError:
            self._file.close()
            with suppress(OSError):  # there is nothing in it
                path.unlink()
            raise
        sync_folder(path.parent)

    @property
    def n_bytes(self) -> int:
        """Size of the file so far."""
        return self._file.n_bytes

    def flush(self) -> None:
        """Put everything given so far on disk."""
        self._mcap.flush()

    def finish(self, next_name: str = "", closing: Mapping[str, str] | None = None) -> None:
        """End the file.

        Parameters
        ----------
        next_name : str
            Of the part that follows; ``""`` when none does.
        closing : mapping of str to str
            Metadata that were not known before.
        """
        self._mcap.flush()
        if closing:
            self._mcap.add_metadata(form.CLOSING_NAME, dict(closing))
        if next_name:
            self._mcap.add_metadata(
                form.NEXT_PART_NAME, {"name": next_name, "session": self._session}
            )
        self._mcap.finish()
        self._file.flush()
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def _describe(self, document: form.Document, t_us: int) -> None:
        mcap, info = self._mcap, document.info
        mcap.start(form.PROFILE, "streamrnn")
        schema = mcap.register_schema(form.SCHEMA_NAME, "ros2msg", form.frame_schema(info))
        for number, topic in form.TOPICS.items():
            cdr = number == form.FRAMES_ID
            encoding = "cdr" if cdr else "" if number == form.RAW_ID else "json"
            mcap.register_channel(topic, encoding, schema if cdr else 0)
        # An empty chunk is never written, so the document itself carries schema and channels out.
        text = document.to_json().encode()
        self.add(form.SESSION_ID, self.begun_ns, text, t_us * 1000, document.part)
        mcap.flush()
        mcap.add_metadata(form.METADATA_NAME, document.to_record())
        mcap.flush()
