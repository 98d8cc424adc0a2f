"""Everything that reads bytes from outside, each as one function that takes any bytes at all.

A target returns when the bytes were read or refused in words: one `StreamRNNError` of one line that
a terminal can show. Anything else that leaves it is a bug.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz_seeds import small_model
from mcap.writer import CompressionType, Writer
from safetensors.numpy import load, save

from streamrnn.core.errors import ModelFileError, SessionError, StreamRNNError, TrainingError
from streamrnn.core.types import Channel, Frames, Gap, Marker, StreamInfo
from streamrnn.model.file import METADATA_KEY
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions import form
from streamrnn.sessions.csv_import import import_csv
from streamrnn.sessions.npz_import import import_uhh
from streamrnn.sessions.raw import read_raw
from streamrnn.sessions.reader import read_session
from streamrnn.sources import open_source
from streamrnn.training.checkpoint import load_checkpoint
from streamrnn.training.config import load_config
from streamrnn.wire.decoder import WireDecoder
from streamrnn.wire.detect import Detector
from streamrnn.wire.encode import cobs_encode
from streamrnn.wire.options import StreamOptions
from streamrnn.wire.reference import ReferenceDecoder

Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {}
#: Longest list of frames that a few bytes may become: a repeated or filled one is none.
_FORMS = ("auto", "wire", "numbers", "named", "teleplot", "json")


def target(function: Target) -> Target:
    """Enter a target."""
    TARGETS[function.__name__] = function
    return function


def refused_in_words(error: StreamRNNError) -> None:
    """Check that an error is one line that a terminal can show."""
    text = str(error)
    assert text
    assert len(text) < 2000
    assert all(c.isprintable() for c in text), repr(text)


def _check_items(items: list[object], n_bytes: int) -> None:
    """Check what every reader of a stream promises, whatever came."""
    n_frames = 0
    for item in items:
        if isinstance(item, Frames):
            assert item.x.shape[0] == len(item.seq) == len(item.t_us)
            assert (item.seq[1:] > item.seq[:-1]).all()
            assert (item.t_us[1:] >= item.t_us[:-1]).all()
            n_frames += len(item)
        elif isinstance(item, Marker):
            assert item.label.isprintable()
        elif isinstance(item, StreamInfo):
            assert len(set(item.channel_names)) == item.n_channels <= 512
            assert all(name.isprintable() for name in (*item.channel_names, item.name))
        elif isinstance(item, Gap):
            assert item.reason
    assert n_frames <= n_bytes


# ---- the wire and text


@target
def wire(data: bytes) -> None:
    """Bytes to both decoders, which must agree."""
    seen = []
    for decoder in (WireDecoder(), ReferenceDecoder()):
        items = decoder.push(data)
        _check_items([*items], len(data))
        frames = [item for item in items if isinstance(item, Frames)]
        samples = b"".join(block.x.tobytes() for block in frames)
        kinds = [type(item).__name__ for item in items if not isinstance(item, Frames)]
        seen.append((samples, kinds, decoder.counters.n_packets, decoder.counters.n_bad_crc))
    assert seen[0] == seen[1]


@target
def wire_content(data: bytes) -> None:
    """The same behind a right checksum: packets whose bodies are cut out of the data."""
    packets = [b"\0"]
    for part in data.split(b"\xff\xfe"):
        body = part[:4000].ljust(16, b"\0")
        packets.append(cobs_encode(body + struct.pack("<I", zlib.crc32(body))) + b"\0")
    wire(b"".join(packets))


@target
def stream(data: bytes) -> None:
    """Bytes of which nobody has said what they are, as a whole and cut in two; each form forced."""
    which, where = data[:1] or b"\0", data[1:2] or b"\0"
    data = data[2:]
    form_name = _FORMS[which[0] % len(_FORMS)]
    cut = where[0] * len(data) // 256
    seen = []
    for pieces in ([data], [data[:cut], data[cut:]]):
        detector = Detector(StreamOptions(format=form_name), rate_hz=100.0)
        items = [item for piece in pieces for item in detector.push(piece)]
        _check_items(items, len(data))
        samples = b"".join(i.x.tobytes() for i in items if isinstance(i, Frames))
        seen.append((samples, detector.format))
        assert detector.last_words.isprintable()
    assert seen[0] == seen[1]


# ---- files


def _in_file(data: bytes, name: str, read: Callable[[Path], object]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            read(path)
        except StreamRNNError as error:
            refused_in_words(error)


def _read_session(path: Path) -> None:
    try:
        session = read_session(path)
    except SessionError as error:
        refused_in_words(error)
    else:
        frames = session.frames
        assert frames.x.shape == (len(frames.seq), session.info.n_channels)
        assert (frames.seq[1:] > frames.seq[:-1]).all()
        assert (frames.t_us[1:] >= frames.t_us[:-1]).all()
        assert all(label.start_us <= label.end_us for label in session.labels)
        assert all(problem.isprintable() for problem in session.problems)
    try:
        assert sum(len(piece) for _, piece in read_raw(path)) < 1 << 24
    except SessionError as error:
        refused_in_words(error)


@target
def session(data: bytes) -> None:
    """A file that says to be a session."""
    _in_file(data, "a.mcap", _read_session)


@target
def session_content(data: bytes) -> None:
    """The same with right checksums: messages of every channel are cut out of the data."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            writer = Writer(file, compression=CompressionType.ZSTD)
            writer.start(form.PROFILE, "fuzz")
            info = StreamInfo((Channel("a"), Channel("b", "g")), 100.0)
            schema = writer.register_schema(form.SCHEMA_NAME, "ros2msg", form.frame_schema(info))
            for number, topic in form.TOPICS.items():
                is_cdr = number == form.FRAMES_ID
                encoding = "cdr" if is_cdr else "" if number == form.RAW_ID else "json"
                writer.register_channel(topic, encoding, schema * is_cdr)
            if data[:1] < b"\x80":
                text = form.Document(info, {}, "s", 1).to_json().encode()
                writer.add_message(form.SESSION_ID, 0, text, 0, 1)
            for n, part in enumerate(data.split(b"\xff\xfe")):
                number = 1 + (part[0] if part else 0) % len(form.TOPICS)
                at_us = int.from_bytes(part[1:8], "little")
                writer.add_message(number, at_us, part[8:], at_us, n)
            writer.finish()
        _read_session(path)

    with TemporaryDirectory() as folder:
        write(Path(folder) / "a.mcap")


@target
def model(data: bytes) -> None:
    """A file that says to be a model."""
    _in_file(data, "a.safetensors", Bundle.load)


@target
def model_document(data: bytes) -> None:
    """A model whose document is the data, beside good tensors."""
    tensors = load(small_model())
    file = save(tensors, {METADATA_KEY: data.decode("utf-8", "replace")})
    _in_file(file, "a.safetensors", Bundle.load)


@target
def checkpoint(data: bytes) -> None:
    """A checkpoint of a training run."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "checkpoint.safetensors").write_bytes(data)
        try:
            load_checkpoint(Path(folder))
        except (TrainingError, ModelFileError) as error:
            refused_in_words(error)


@target
def csv(data: bytes) -> None:
    """A table to import."""
    options = {"rate_hz": 100.0} if data[:1] < b"\x40" else {}
    _in_file(data, "a.csv", lambda path: import_csv(path, **options))


@target
def npz(data: bytes) -> None:
    """A recording of arrays to import."""
    _in_file(data, "J_1_fullSet.npz", import_uhh)


@target
def config(data: bytes) -> None:
    """A configuration of training, with the decision's and the features' tables in it."""
    _in_file(data, "a.toml", load_config)


# ---- words


@target
def url(data: bytes) -> None:
    """What somebody names as a source; nothing is opened."""
    text = data.decode("utf-8", "replace")
    if text.startswith("sim:"):
        return  # it reads files and makes boards: tests/firmware_sim
    try:
        open_source(text)
    except StreamRNNError as error:
        refused_in_words(error)
