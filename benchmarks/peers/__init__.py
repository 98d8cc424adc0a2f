"""The systems that the benchmarks compare with; none is needed to run them."""

from __future__ import annotations

from benchmarks.peers.base import Job, Peer
from benchmarks.peers.jax_ import Jax
from benchmarks.peers.keras_ import Keras
from benchmarks.peers.litert import LiteRt
from benchmarks.peers.numpy_ import NumPy
from benchmarks.peers.onnxruntime_ import OrtBinding, OrtRun
from benchmarks.peers.openvino_ import OpenVino
from benchmarks.peers.rtneural import RtNeural
from benchmarks.peers.torch_cpu import TorchCell, TorchLstm

__all__ = ["ALL", "Job", "Peer"]

#: In the order of tables.
ALL: tuple[type[Peer], ...] = (
    RtNeural, LiteRt, OrtBinding, OrtRun, OpenVino, TorchCell, TorchLstm, Jax, Keras, NumPy,
)  # fmt: skip
