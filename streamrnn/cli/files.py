"""What the commands that read some files and write another one share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamrnn.core.errors import ConfigError, SessionError
from streamrnn.core.text import counted, printable

if TYPE_CHECKING:
    from streamrnn.runtime.bundle import Bundle
    from streamrnn.sessions.session import Session

#: Files with these suffixes are somebody's recordings; only `record` and `import` write them.
RECORDING_SUFFIXES = (".mcap", ".csv", ".npz")


def refuse_inputs(output: Path, inputs: Iterable[Path | str]) -> None:
    """Raise `ConfigError` if `output` is one of the files that a command reads.

    A slip of the hand (``-o anna.mcap ben.mcap``) must not cost a recording, so no option allows
    it. Links and other spellings of a path count as the file that they lead to.
    """
    if output.exists() and any(Path(p).exists() and output.samefile(p) for p in inputs):
        raise ConfigError(f"{output} is one of the inputs: name another file to write")


def require_folder(output: Path, what: str) -> None:
    """Raise `ConfigError` if there is no folder for `output`, before the work of filling it."""
    if not output.absolute().parent.is_dir():
        raise ConfigError(f"no folder {output.parent} for the {what}")


def refuse_recordings(output: Path, what: str) -> None:
    """Raise `ConfigError` if `output` is called like a recording, and `what` is to be written."""
    if output.suffix.lower() in RECORDING_SUFFIXES:
        raise ConfigError(
            f"{output}: {output.suffix} is a recording's name: name another file for the {what}"
        )


def find_sessions(files: Iterable[Path | str]) -> list[Path]:
    """Return the sessions that files and folders stand for.

    Raises
    ------
    SessionError
        A file is a recording that was not imported yet, or a model; or a folder has none.
    """
    from streamrnn.sessions.reader import session_paths

    found = session_paths(files)
    for path in filter(Path.is_file, found):
        if path.suffix.lower() in (".csv", ".tsv", ".npz"):
            raise SessionError(f"{path} is no session yet: turn it into one with streamrnn import")
        if path.suffix.lower() == ".safetensors":
            raise SessionError(f"{path} is a model: give sessions (*.mcap) here")
    return found


def read_named(paths: Sequence[Path]) -> tuple[list[Session], list[str]]:
    """Read sessions and say what is damaged in them, and what of them will be left out.

    Parameters
    ----------
    paths : sequence of Path
        As `find_sessions` gives them.

    Returns
    -------
    sessions : list of Session
    names : list of str
        What to call each of them: the file's name, with its folders where two are called the same.
    """
    from streamrnn.cli.live import say
    from streamrnn.sessions.reader import read_session

    times = Counter(path.name for path in paths)
    names = [printable(path.name if times[path.name] == 1 else str(path), 400) for path in paths]
    sessions = [read_session(path) for path in paths]
    for name, session in zip(names, sessions, strict=True):
        for problem in session.problems:
            say(f"{name}: {problem}")
        if session.undone:
            undone = counted(len(session.undone), "segment")
            say(f"{name}: {undone} taken back while recording: left out")
    return sessions, names


def say_copies(sessions: Sequence[Session], names: Sequence[str]) -> None:
    """Say which sessions hold the same frames as another: they count twice, and split badly."""
    from streamrnn.cli.live import say
    from streamrnn.sessions.digest import frames_digest

    seen: dict[str, str] = {}
    for session, name in zip(sessions, names, strict=True):
        digest = frames_digest(session)
        if len(session.frames) and digest in seen:
            say(f"{name} holds the same frames as {seen[digest]} and counts twice: give each "
                "recording once")  # fmt: skip
        seen.setdefault(digest, name)


def trained_on(bundle: Bundle) -> set[str]:
    """Return the digests of the recordings that a model was trained on, as far as it says."""
    entries = bundle.training.get("sessions")
    if not isinstance(entries, list):
        return set()
    return {str(entry["sha256"]) for entry in entries
            if isinstance(entry, dict) and "sha256" in entry}  # fmt: skip
