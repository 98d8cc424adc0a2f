"""The model file: one safetensors file with one metadata key (docs/formats.md, "Models").

Safetensors holds plain tensors and no code. Its header is read and checked here before the tensors
are, so that a file cannot ask for more memory than its own size. With a single metadata key and
tensors in a fixed order, the same model gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from safetensors import SafetensorError
from safetensors.numpy import load, save

from streamrnn.core.config import from_mapping
from streamrnn.core.errors import ConfigError, ModelFileError
from streamrnn.core.text import printable
from streamrnn.model.params import check, from_tensors, spec_of, to_tensors
from streamrnn.model.spec import KINDS, NetworkSpec, WindowSpec
from streamrnn.model.window import Weights

METADATA_KEY = "streamrnn"
#: Version of the document; a reader refuses any other.
FORMAT = 2
MAX_FILE_BYTES = 512 * 1024 * 1024
MAX_HEADER_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class ModelFile:
    """What a model file holds.

    Attributes
    ----------
    params : Params or WindowParams
        Weights.
    document : dict
        JSON document; its ``spec`` describes `params`, the rest belongs to other rooms.
    """

    params: Weights
    document: dict[str, Any]


def spec_document(params: Weights) -> dict[str, Any]:
    """Return the ``spec`` section of the document: what kind of network, and its sizes."""
    spec = spec_of(params)
    (kind,) = (name for name, known in KINDS.items() if isinstance(spec, known))
    sizes = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(spec).items()}
    return {"kind": kind, **sizes}


def save_model(path: Path, model: ModelFile) -> None:
    """Write a model file: to a temporary file first, flushed to disk, then renamed.

    Raises
    ------
    ValueError
        Weights that are not finite or do not fit together.
    ModelFileError
        The file cannot be written; an older one at `path` is left as it was.
    """
    check(model.params)
    document = {"format": FORMAT, **model.document, "spec": spec_document(model.params)}
    text = json.dumps(document, allow_nan=False, sort_keys=True, separators=(",", ":"))
    data = save(to_tensors(model.params), metadata={METADATA_KEY: text})
    path = Path(path)
    try:
        _write_atomically(path, data)
    except OSError as error:
        raise ModelFileError(f"cannot write {path}: {error.strerror or error}") from error


def _write_atomically(path: Path, data: bytes) -> None:
    import tempfile  # a live run writes no model

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def model_hash(path: Path) -> str:
    """Return ``sha256:...`` of a file's bytes."""
    with Path(path).open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def load_model(path: Path) -> ModelFile:
    """Read and check a model file.

    Raises
    ------
    ModelFileError
        It is missing, no model file, cut short, damaged, too large, or senseless.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise ModelFileError(f"{path} is a folder, not a model file")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ModelFileError(f"{path}: {size} bytes are more than a model can have")
        data = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        document = _document(data)
        spec = _spec(document)
        tensors = load(data)
        return ModelFile(from_tensors(spec, tensors), document)
    except (ValueError, SafetensorError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(
            f"{path} is not a streamrnn model: {printable(str(error), 160)}"
        ) from error


def _document(data: bytes) -> dict[str, Any]:
    """Return the JSON document in the header of a safetensors file."""
    if len(data) < 8:
        raise ValueError("the file is empty or cut short" if data else "the file is empty")
    n_header = int.from_bytes(data[:8], "little")
    if n_header > min(MAX_HEADER_BYTES, len(data) - 8):
        raise ValueError("its header is longer than the file: cut short, or another format")
    header = json.loads(data[8 : 8 + n_header].decode("utf-8"))
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or METADATA_KEY not in metadata:
        raise ValueError("a safetensors file, but without streamrnn's description")
    document = json.loads(metadata[METADATA_KEY], parse_constant=_no_constant)
    if not isinstance(document, dict):
        raise ValueError("its description is not a JSON object")
    if document.get("format") != FORMAT:
        raise ValueError(
            f"model format {document.get('format')!r}, this program reads {FORMAT}: "
            "take the streamrnn version that wrote it, or train anew"
        )
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _spec(document: dict[str, Any]) -> NetworkSpec | WindowSpec:
    values = document.get("spec")
    if not isinstance(values, dict):
        raise ValueError("its description has no spec")
    sizes = dict(values)
    kind = sizes.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        known = ", ".join(KINDS)
        raise ValueError(f"no network of the kind {printable(str(kind))!r}; known: {known}")
    try:
        return from_mapping(KINDS[kind], sizes, "spec")
    except ConfigError as error:
        raise ValueError(str(error)) from None
