"""``--explain``: why there is an event, and why there is none where there nearly was one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from streamrnn.core.errors import ConfigError, SessionError

if TYPE_CHECKING:
    from streamrnn.decision.explain import Explanation

#: The option of every command that decides.
explain_option = click.option(
    "--explain", "explain_path", type=click.Path(allow_dash=True), metavar="FILE",
    help="Write why each event was given and each near miss was not, JSON lines; -: for people, "
    "on stderr.",
)  # fmt: skip


class Explainer:
    """Takes explanations, and writes each at once.

    Parameters
    ----------
    out : text file or None
        None: lines for people on stderr.
    model : str
        ``sha256:...`` of the model file.
    """

    def __init__(self, out: TextIO | None, model: str) -> None:
        self._out = out
        self._model = model
        #: Name of the stream that the next ones are about.
        self.stream = ""
        #: What people call it; the stream's name where this is empty.
        self.name = ""

    def __call__(self, explanation: Explanation) -> None:
        """Write one."""
        from streamrnn.cli.live import say
        from streamrnn.core.records import to_json_line

        if self._out is None:
            name = self.name or self.stream
            say(f"{name}: {explanation.sentence()}" if name else explanation.sentence())
            return
        line = to_json_line(explanation, stream=self.stream, model=self._model)
        try:
            self._out.write(line + "\n")
            self._out.flush()
        except OSError as error:
            raise SessionError(f"cannot write {self._out.name}: {error.strerror}") from error


@contextmanager
def open_explain(
    path: str | None, model: str, inputs: Iterable[Path | str], *, overwrite: bool = False
) -> Iterator[Explainer | None]:
    """Give what takes explanations; None when nobody asked.

    Parameters
    ----------
    path : str or None
        File to write, or ``-`` for lines on stderr.
    model : str
        ``sha256:...`` of the model file.
    inputs : iterable of Path or str
        Files that are read, and must not be lost.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    ConfigError
        The file is one of the inputs, is called like a recording, or is there.
    SessionError
        It cannot be written.
    """
    if path is None or path == "-":
        yield None if path is None else Explainer(None, model)
        return
    from streamrnn.cli.files import refuse_inputs, refuse_recordings

    refuse_inputs(Path(path), inputs)
    refuse_recordings(Path(path), "explanations")
    if Path(path).is_file() and not overwrite:
        raise ConfigError(f"{path} exists already: choose another name")
    try:
        out = Path(path).open("w", encoding="utf-8")
    except OSError as error:
        raise SessionError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield Explainer(out, model)
    finally:
        try:
            out.close()  # tries again to write what a full disk refused
        except OSError as error:
            raise SessionError(f"cannot write {path}: {error.strerror}") from error
