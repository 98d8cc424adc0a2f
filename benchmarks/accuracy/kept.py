"""Results of single folds on disk, so that a run which was broken off can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
FOLDER = _ROOT / "benchmarks" / "cache"


class Kept:
    """Results of one set, a line each; those of other code are not taken over.

    Parameters
    ----------
    name : str
        Of the set.
    resume : bool
        Take over what stands there; otherwise it is removed.
    folder : Path
    """

    def __init__(self, name: str, *, resume: bool, folder: Path | None = None) -> None:
        folder = folder or FOLDER
        folder.mkdir(exist_ok=True)
        self._path = folder / f"accuracy-{name}.jsonl"
        self._code = code_digest()
        self._known: dict[str, dict[str, Any]] = {}
        if not resume:
            self._path.unlink(missing_ok=True)
        elif self._path.is_file():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                key, result = json.loads(line)
                self._known[key] = result

    def get(self, job: Any) -> dict[str, Any] | None:
        """Return the result of a job that was done by this code, else None."""
        return self._known.get(self._key(job))

    def add(self, job: Any, result: dict[str, Any]) -> dict[str, Any]:
        """Keep a result; return it as it will be read again."""
        line = json.dumps([self._key(job), result])
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        again: dict[str, Any] = json.loads(line)[1]
        return again

    def _key(self, job: Any) -> str:
        facts = asdict(job) if is_dataclass(job) and not isinstance(job, type) else job
        return json.dumps([self._code, facts], sort_keys=True)


def code_digest(folders: Sequence[Path] | None = None) -> str:
    """Return a digest of all that a figure depends on beside the data: the Python code."""
    digest = hashlib.sha256()
    for folder in folders or (_ROOT / "streamrnn", _ROOT / "benchmarks" / "accuracy"):
        for path in sorted(folder.rglob("*.py")):
            digest.update(str(path.relative_to(folder)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
