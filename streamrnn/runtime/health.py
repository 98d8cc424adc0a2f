"""Is everything in order here, and as fast as this machine allows? What `doctor` asks."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import numpy as np

from streamrnn.core.errors import BackendUnavailable, StreamRNNError
from streamrnn.core.types import F32, Frames
from streamrnn.kernels import get_backend, host, native, store, threads, units
from streamrnn.kernels.cuda.kernel import architecture
from streamrnn.kernels.params import LayerParams, Params
from streamrnn.kernels.rnn.machine import VECTOR_BYTES
from streamrnn.wire.decoder import WireDecoder
from streamrnn.wire.encode import Encoder
from streamrnn.wire.reference import ReferenceDecoder
from streamrnn.wire.schema import ChannelGroup, Hello

#: The compiled cell may differ from the oracle by this much (docs/adr/0003-the-backend-seam.md).
TOLERANCE = 2e-5
#: The network that is checked and timed: inputs, hidden units, classes.
SHAPE = (6, 64, 6)
#: Streams side by side in the second timing.
N_STREAMS = 256


@dataclass(slots=True)
class Health:
    """What was found.

    Attributes
    ----------
    document : dict
        Everything, JSON-ready.
    problems : list of str
        What is wrong; empty when all is well.
    """

    document: dict[str, Any]
    problems: list[str] = field(default_factory=list)


def examine(*, bench: bool = True) -> Health:
    """Look at the machine, the cache and the kernels; compile those that are missing.

    Parameters
    ----------
    bench : bool
        Measure for a few seconds, too.
    """
    health = Health({"versions": _versions(), "cpu": _cpu()})
    health.document["cache"] = _cache(health)
    health.document["threads"] = {
        "n_cores": threads.n_cores(),
        "layer": "Python threads; compiled code releases the interpreter's lock",
    }
    health.document["gpu"] = _gpu(health)
    try:
        health.document["check"] = _check(health)
        if bench:
            health.document["bench"] = _bench()
    except StreamRNNError as error:
        health.problems.append(str(error))
    return health


def _versions() -> dict[str, str]:
    def version(name: str) -> str:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return "missing"

    names = ("streamrnn", "numpy", "llvmlite", "numba")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def _cpu() -> dict[str, Any]:
    is_asked_for = "NUMBA_CPU_NAME" in os.environ or "NUMBA_CPU_FEATURES" in os.environ
    return {
        "name": host.cpu_name(),
        "target": " ".join(native.processor()) if is_asked_for else native.processor()[0],
        "features": host.features(),
        "vector_bits": 8 * VECTOR_BYTES,
    }


def _cache(health: Health) -> dict[str, Any]:
    why = store.problem()
    if why:
        health.problems.append(
            f"compiled kernels are not kept: {why}; set {store.VARIABLE} to a folder of your own"
        )
    folder = store.folder()
    ready = {
        part.name: native.is_ready(part) for part in units.parts(units.ALL, np.float32, np.float64)
    }
    return {"folder": None if folder is None else str(folder), "problem": why, "units": ready}


def _gpu(health: Health) -> dict[str, Any]:
    """Return what GPU there is, or why there is none, which is no problem."""
    from streamrnn.kernels.cuda import cubins, driver
    from streamrnn.kernels.cuda.catalogue import catalogue

    try:
        device = driver.open_device()
    except BackendUnavailable as error:
        return {"why": str(error)}
    kernels = catalogue(device.capability)
    found = {
        "name": device.name,
        "architecture": architecture(device.capability),
        "n_multiprocessors": device.n_multiprocessors,
        "free_mib": device.n_free_bytes >> 20,
        "memory_mib": device.n_bytes >> 20,
        "driver_cuda": list(device.driver_version),
        "compiler": dict(cubins.tools()) if cubins.has_compiler() else {},
        "n_kernels": len(kernels),
        "n_compiled": sum(cubins.is_ready(kernel, device.capability) for kernel in kernels),
    }
    try:
        cubins.check(kernels, device.capability)
    except BackendUnavailable as error:
        return {**found, "why": str(error)}
    try:
        off = _network_error("cuda")
    except StreamRNNError as error:
        health.problems.append(str(error))
        return found
    if not off <= TOLERANCE:
        health.problems.append(
            f"the network on the GPU is off by {off:.2g} from plain NumPy: please report it"
        )
    return {**found, "network_error": off if np.isfinite(off) else None}


# ---- is it right?


def _check(health: Health) -> dict[str, Any]:
    native.prepare(units.parts(units.DOCTOR, np.float32))
    error = _network_error()
    if not error <= TOLERANCE:
        health.problems.append(
            f"the compiled network is off by {error:.2g} from plain NumPy: please report it"
        )
    decodes = _decodes()
    if not decodes:
        health.problems.append(
            "the compiled decoder disagrees with the plain one: please report it"
        )
    known = error if np.isfinite(error) else None  # JSON has no infinity
    return {"network_error": known, "tolerance": TOLERANCE, "decoder_agrees": decodes}


def _params(rng: np.random.Generator) -> Params:
    n_inputs, n_hidden, n_classes = SHAPE

    def draw(*shape: int) -> F32:
        return (0.3 * rng.standard_normal(shape)).astype(np.float32)

    layer = LayerParams(
        draw(4 * n_hidden, n_inputs), draw(4 * n_hidden, n_hidden), draw(4 * n_hidden)
    )
    return Params((layer,), draw(n_classes, n_hidden), draw(n_classes))


def _network_error(compiled: str = "cpu") -> float:
    """Return how far a backend's network strays from the oracle in a few steps."""
    rng = np.random.default_rng(0)
    params = _params(rng)
    x = rng.standard_normal((20, 3, SHAPE[0])).astype(np.float32)
    given = []
    for name in ("numpy", compiled):
        backend = get_backend(name)
        handle = backend.upload(params)
        logits, _ = backend.forward(handle, x, backend.zero_state(handle, 3))
        given.append(logits)
    return float(np.abs(given[0] - given[1]).max())


def _decodes() -> bool:
    """Return whether both decoders take the same frames out of some packets."""
    encoder = Encoder()
    hello = Hello("", "", "", 100.0, (ChannelGroup(("a", "b"), "", "i16", 0.5, 1.0),))
    samples = np.arange(200, dtype=np.int16).reshape(50, 4)[:, :2]
    wire = encoder.hello(hello)
    for n, row in enumerate(samples):
        wire += encoder.data(hello, (row[None, :].copy(),), n, 10_000 * n)
    wire = wire.replace(b"\x07", b"\x08", 1)  # one packet is damaged
    seen = []
    for decoder in (WireDecoder(), ReferenceDecoder()):
        frames = [item for item in decoder.push(wire) if isinstance(item, Frames)]
        seen.append(
            [np.concatenate([getattr(f, name) for f in frames]).tobytes() for name in ("x", "seq")]
        )
    return seen[0] == seen[1]


# ---- is it fast?


def _bench() -> dict[str, Any]:
    """Measure the machine, then a step and a batch of streams against what it could do."""
    flops = host.flops_per_s()
    n_inputs, n_hidden, n_classes = SHAPE
    n_weights = 4 * n_hidden * (n_inputs + n_hidden + 1) + n_classes * (n_hidden + 1)
    bandwidth = host.read_bytes_per_s(4 * n_weights)
    step_s, batch_s = _step_s(1), _step_s(N_STREAMS)
    # A frame alone must read every weight; many at once share them and are bound by arithmetic.
    step_bound_s = max(4 * n_weights / bandwidth, 2 * n_weights / flops)
    batch_bound_s = N_STREAMS * 2 * n_weights / flops
    return {
        "gflops": round(flops / 1e9, 1),
        "l1_gbytes_s": round(host.read_bytes_per_s(16 << 10) / 1e9, 1),
        "l2_gbytes_s": round(host.read_bytes_per_s(256 << 10) / 1e9, 1),
        "step": _timing(step_s, step_bound_s, {"shape": list(SHAPE), "n_streams": 1}),
        "batch": _timing(batch_s, batch_bound_s, {"shape": list(SHAPE), "n_streams": N_STREAMS}),
    }


def _timing(took_s: float, bound_s: float, what: dict[str, Any]) -> dict[str, Any]:
    return {
        **what,
        "us": round(1e6 * took_s, 3),
        "bound_us": round(1e6 * bound_s, 3),
        "times_the_bound": round(took_s / bound_s, 2),
    }


def _step_s(n_rows: int) -> float:
    rng = np.random.default_rng(1)
    backend = get_backend("cpu")
    handle = backend.upload(_params(rng))
    state = backend.zero_state(handle, n_rows)
    x = rng.standard_normal((n_rows, SHAPE[0])).astype(np.float32)
    logits = np.empty((n_rows, SHAPE[2]), np.float32)
    step = backend.stepper(handle, state, logits).step
    return host.best_s(lambda: step(x))
