"""Compile, or load from the cache, all that a live run calls, before its first frame is read."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from streamrnn.core.types import Frames, StreamInfo
from streamrnn.kernels import native, units
from streamrnn.kernels.backend import Backend
from streamrnn.runtime.bundle import Bundle
from streamrnn.runtime.pipeline import Pipeline
from streamrnn.wire.detect import Detector
from streamrnn.wire.encode import Encoder
from streamrnn.wire.schema import ChannelGroup, Hello


def compile_live(dtype: npt.DTypeLike = np.float32, backend: str = "cpu") -> tuple[list[str], int]:
    """Compile what a live run calls and was never compiled here, side by side.

    Parameters
    ----------
    dtype : float32 or float64
        Of the network.
    backend : str
        Its name.

    Returns
    -------
    names : list of str
        The units that a live run needs.
    n_compiled : int
        How many of them were missing.
    """
    if backend != "cpu":
        return _compile(units.parts((*units.DECODE, *units.FRAMES)))
    wanted = units.LIVE if dtype == np.float32 else units.STAGES
    return _compile(units.parts(wanted, dtype))


def compile_training(backend: str) -> tuple[list[str], int]:
    """Compile what training calls; see `compile_live`."""
    wanted = units.TRAIN if backend == "cpu" else units.FRAMES
    return _compile(units.parts(wanted, np.float32))


def compile_usual() -> tuple[list[str], int]:
    """Compile what every command needs for a network in float32; see `compile_live`."""
    return _compile(units.parts((*units.LIVE, *units.TRAIN), np.float32))


def compile_all() -> tuple[list[str], int]:
    """Compile every unit, for every dtype; see `compile_live`."""
    return _compile(units.parts(units.ALL, np.float32, np.float64))


def compile_gpu() -> tuple[list[str], int]:
    """Compile every kernel of the GPU of this machine; see `compile_live`.

    Raises
    ------
    BackendUnavailable
        There is no GPU that can be used, or no compiler.
    """
    from streamrnn.kernels.cuda import cubins, driver
    from streamrnn.kernels.cuda.catalogue import catalogue

    capability = driver.open_device().capability
    kernels = catalogue(capability)
    return [kernel.full_name for kernel in kernels], cubins.prepare(kernels, capability)


def _compile(parts: list[native.Part]) -> tuple[list[str], int]:
    parts = list(dict.fromkeys(parts))
    return [part.name for part in parts], native.prepare(parts)


def warm_up(bundle: Bundle, backend: Backend) -> None:
    """Send a few frames of zeros through a throw-away decoder and pipeline."""
    compile_live(bundle.params.dtype, backend.name)
    warm_up_decoder()
    if backend.name == "cuda":  # the frames below do not need every kernel
        backend.warm_up(bundle.params.dtype)
    pipeline = Pipeline(bundle, backend)
    pipeline.start(StreamInfo(bundle.channels, bundle.stream_hz))
    k = max(1, math.ceil(bundle.stream_hz / bundle.rate_hz))  # so many complete a model frame
    for first, n in ((0, 1), (1, 3), (6, 2)):  # one frame, a block, and a gap
        seq = np.arange(first * k, (first + n) * k)
        t_us = (seq * 1e6 / bundle.stream_hz).astype(np.int64)
        pipeline.push(Frames(np.zeros((len(seq), len(bundle.channels)), np.float32), seq, t_us))
    pipeline.finish()


def warm_up_decoder() -> None:
    """Send a HELLO, a DATA packet and a few lines of text through throw-away decoders."""
    native.prepare(units.parts(units.DECODE))
    encoder = Encoder()
    hello = Hello("", "", "", 100.0, (ChannelGroup(("a",), "", "f32", 1.0, 0.0),))
    wire = Detector()
    wire.push(encoder.hello(hello))
    wire.push(encoder.data(hello, np.zeros((2, 1), np.float32), 0, 0))
    Detector().push(b"1,2\n1,2\n1,2\n1,2\n")
