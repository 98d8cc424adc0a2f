"""What the targets are begun with: small good inputs, so that damage gets deep into the readers."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from streamrnn.core.types import Channel, Frames, StreamInfo
from streamrnn.decision.config import DecisionConfig
from streamrnn.features.chain import FeatureChain, FeatureConfig
from streamrnn.kernels.params import OptState, Params
from streamrnn.model.params import init_params
from streamrnn.model.spec import NetworkSpec
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions.writer import SessionWriter
from streamrnn.training.checkpoint import Checkpoint, save_checkpoint
from streamrnn.training.config import TrainConfig
from streamrnn.wire.encode import Encoder
from streamrnn.wire.schema import ChannelGroup, Hello

_HELLO = Hello("board", "1", "b1", 100.0, (ChannelGroup(("a", "b"), "g", "i16", 0.5, 1.0),))
_TEXTS = (
    b"1.0,2.0,3.0\n" * 6,
    b"1 2 3\r\n4 5 6\r\n7 8 9\r\n",
    b"x:1.0,y:2.0\nx:2.5,y:-3e2\nx:1,y:0\nx:1,y:0\n",
    b">acc:1.5|g\n>gyro:2\n>acc:1.6|g\n>gyro:3\n>acc:1|g\n>gyro:1\n>acc:4|g\n",
    b"".join(b'{"t_us":%d,"acc":[%d,2]}\n' % (n, n) for n in range(6)),
    b"seq:65535\tx:1\nseq:0\tx:2\nseq:1\tx:3\nseq:2\tx:1\n",
    b"$1,2,3*2B\n",
    b"rst:0x1 (POWERON_RESET)\nGuru Meditation Error\n1,2\n3,4\n5,6\n",
)


@cache
def seeds(name: str) -> tuple[bytes, ...]:
    """Return good inputs of a target; an empty one is always among them."""
    made = {
        "wire": lambda: (_wire(), b"\0" + _wire()[10:]),
        "wire_content": lambda: (_HELLO.to_json() + b"\xff\xfe" + bytes(40),),
        "stream": lambda: tuple(b"\0\x80" + text for text in (*_TEXTS, _wire())),
        "session": lambda: (_session(),),
        "session_content": _messages,
        "model": lambda: (small_model(),),
        "model_document": _documents,
        "checkpoint": lambda: (_checkpoint(),),
        "csv": lambda: (
            b"t,acc_x,label\n0.00,1.0,a\n0.01,2.0,a\n0.02,3.5,\n",
            b"timestamp_ms;x [g];y [g]\n0;1;2\n10;1;2\n20;2;3\n",
        ),
        "npz": lambda: (_npz(),),
        "config": lambda: (
            b'[training]\nepochs = 3\nhidden = [16]\n[features]\nscaling = "global"\n'
            b"[decision]\nenter = 0.7\n",
        ),
        "url": lambda: (
            b"serial:/dev/ttyACM0?baud=115200&names=a,b&time=t:us",
            b"tcp:[::1]:5000?reconnect=no", b"udp:127.0.0.1:5005?format=teleplot",
            b"mqtt:localhost:1883/a/b?qos=1", b"lsl:EEG?type=EMG", b"brainflow:synthetic",
            b"stdin:", b"file:a.mcap", b"simm:",
        ),
    }[name]()  # fmt: skip
    return (b"", *made)


def _wire() -> bytes:
    encoder = Encoder()
    rows = np.arange(20, dtype=np.int16).reshape(10, 2)
    packets = [encoder.hello(_HELLO)]
    packets += [encoder.data(_HELLO, (rows[n : n + 2],), n, n * 10_000) for n in range(0, 10, 2)]
    packets.append(encoder.event({"kind": "label", "label": "wave", "phase": "start"}, 10, 100_000))
    packets += [encoder.command(1, "START"), encoder.ack(1, True), encoder.ping(7)]
    packets.append(encoder.event({"kind": "end"}, 10, 100_000))
    return b"".join(packets)


def _session() -> bytes:
    info = StreamInfo((Channel("a", "g"), Channel("b")), 100.0, "board", "1", "b1")
    seq = np.arange(40)
    frames = Frames(np.ones((40, 2), np.float32), seq, seq * 10_000)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.mcap"
        with SessionWriter(path, info, {"subject": "anna"}, clock=lambda: 10**18) as writer:
            writer.mark("wave", "start", 0)
            writer.write(frames[:20])
            writer.raw(b"1,2\n")
            writer.mark("wave", "end", 100_000)
            writer.flush()
            writer.write(frames[20:])
        return path.read_bytes()


def _messages() -> tuple[bytes, ...]:
    label = {"id": 0, "label": "a", "phase": "start", "start_us": 0, "source": "", "confidence": 1}
    frame = bytes([1]) + bytes(7) + b"\x00\x01\x00\x00" + np.ones(2, "<f4").tobytes()
    texts = [label, {**label, "phase": "end", "end_us": 5}, {"id": 0, "phase": "undo"}]
    parts = [frame, *(bytes([2]) + bytes(7) + json.dumps(text).encode() for text in texts)]
    return (b"\xff\xfe".join([b"\0", *parts]), b"\x90\xff\xfe".join(parts))


def _bundle() -> Bundle:
    channels = (Channel("a", "g"), Channel("b"))
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    features = FeatureChain.fit([x], channels, 100.0, FeatureConfig())
    params = init_params(NetworkSpec(features.n_outputs, (2,), 2), seed=0)
    return Bundle(params, features, ("none", "wave"), 100.0, channels, DecisionConfig())


@cache
def small_model() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        _bundle().save(path)
        return path.read_bytes()


def _documents() -> tuple[bytes, ...]:
    n = int.from_bytes(small_model()[:8], "little")
    metadata = json.loads(small_model()[8 : 8 + n])["__metadata__"]
    return tuple(text.encode() for text in metadata.values())


def _checkpoint() -> bytes:
    params = _bundle().params
    assert isinstance(params, Params)
    rng = np.random.Generator(np.random.PCG64(0))
    state = Checkpoint(TrainConfig(), "x", 1, params, OptState.zeros(params), rng)
    with TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), state)
        (file,) = Path(folder).iterdir()
        return file.read_bytes()


def _npz() -> bytes:
    out = io.BytesIO()
    arrays = {name: np.ones((4, 3)) for name in ("fused", "gyro", "acc")}
    np.savez(out, allow_pickle=False, targets=np.zeros((4, 3)), **arrays)
    return out.getvalue()
