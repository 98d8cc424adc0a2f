"""What is measured: networks, and how many frames and rows they get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from streamrnn.core.types import F32, I64
from streamrnn.kernels.params import Params
from streamrnn.model.params import init_params
from streamrnn.model.spec import NetworkSpec

Kind = Literal["step", "chunk", "streams", "sequence", "train", "ahead", "push"]
N_CLASSES = 6
#: Frames that a step contender walks through, and frames of a chunk.
N_FRAMES = 256
#: Adam's learning rate and the clip of the gradient's norm, the same for all trainers.
LEARNING_RATE, CLIP_NORM = 1e-3, 1.0


@dataclass(frozen=True)
class Task:
    """One job for every contender: same weights, same inputs.

    Attributes
    ----------
    kind : Kind
        ``step``: one stream, frame by frame; ``chunk``: one stream, `N_FRAMES` at once;
        ``streams``: B streams, one frame each; ``sequence``: B sequences of T from state zero;
        ``train``: one update (forward, BPTT, clip, Adam) on B sequences of T, the loss at the last
        step; ``ahead``: a step whose recurrent sums were made before its frame arrived; ``push``: a
        frame's whole way, from int16 bytes to smoothed probabilities.
    n_inputs, n_hidden, n_layers, n_rows, n_steps : int
        I, H, layers, B, T.
    """

    kind: Kind
    n_inputs: int
    n_hidden: int
    n_layers: int = 1
    n_rows: int = 1
    n_steps: int = N_FRAMES

    @property
    def shape(self) -> str:
        """The shape in words."""
        net = f"{self.n_inputs}->{self.n_hidden}" + (f" x{self.n_layers}" * (self.n_layers > 1))
        if self.kind == "streams":
            return f"{self.n_rows} of {net}"
        if self.kind in ("sequence", "train"):
            return f"({self.n_rows},{self.n_steps}) {net}"
        return net

    @property
    def n_units(self) -> int:
        """Frames (stream-steps) of one call; an update is one unit."""
        if self.kind == "train":
            return 1
        return self.n_rows if self.kind == "streams" else self.n_rows * self.n_steps

    @property
    def widths(self) -> list[tuple[int, int]]:
        """Return (I, H) of each layer."""
        return [
            (self.n_inputs if n == 0 else self.n_hidden, self.n_hidden)
            for n in range(self.n_layers)
        ]

    @property
    def flops(self) -> float:
        """Multiplications and additions of matrix products in one unit.

        The head counts where it works at every frame; an update needs it at the last step only.
        """
        total = 0.0 if self.kind == "train" else 2.0 * N_CLASSES * self.n_hidden
        for n, (inputs, hidden) in enumerate(self.widths):
            products = inputs + hidden  # forwards
            if self.kind == "train":  # and back: weights, hidden vector, input (not of layer 1)
                products += inputs + hidden + hidden + (inputs if n else 0)
            total += 2 * 4 * hidden * products
        return total * (self.n_rows * self.n_steps if self.kind == "train" else 1)

    @cached_property
    def params(self) -> Params:
        """The weights."""
        return init_params(NetworkSpec(self.n_inputs, self.hidden, N_CLASSES), seed=0)

    @property
    def hidden(self) -> tuple[int, ...]:
        """H of each layer."""
        return (self.n_hidden,) * self.n_layers

    @cached_property
    def x(self) -> F32:
        """The inputs, (T, B, I); streams get the same frame at every tick: T = 1."""
        n_steps = 1 if self.kind == "streams" else self.n_steps
        rng = np.random.default_rng(1)
        return rng.standard_normal((n_steps, self.n_rows, self.n_inputs)).astype(np.float32)

    @cached_property
    def labels(self) -> I64:
        """The class of each sequence, (B,)."""
        return np.random.default_rng(2).integers(0, N_CLASSES, self.n_rows)

    def document(self) -> dict[str, Any]:
        """Return the fields, for another process."""
        return asdict(self)


NETWORKS = ((6, 32, 1), (6, 64, 1), (63, 128, 1), (63, 128, 2), (64, 256, 1))
STEPS = [Task("step", *net) for net in NETWORKS]
CHUNKS = [Task("chunk", *net) for net in NETWORKS]
AHEAD = [Task("ahead", *net) for net in NETWORKS]
PUSHES = [Task("push", 6, 64)]
STREAMS = [
    Task("streams", *net, n_rows=rows) for net in ((6, 64), (63, 128)) for rows in (64, 1024, 16384)
]
SEQUENCES = [
    Task("sequence", 9, 64, n_rows=64, n_steps=128),
    Task("sequence", 63, 128, n_rows=256, n_steps=128),
]
TRAINING = [
    Task("train", 6, 64, n_rows=32, n_steps=128),
    Task("train", 9, 128, n_rows=64, n_steps=128),
    Task("train", 3, 128, n_rows=64, n_steps=315),
    Task("train", 63, 64, 2, n_rows=16, n_steps=64),
]


def chosen(tasks: Sequence[Task], words: Sequence[str]) -> list[Task]:
    """Return the tasks whose shape is one of `words`; no words: all.

    Raises
    ------
    SystemExit
        A word names no shape.
    """
    unknown = [word for word in words if word not in {task.shape for task in tasks}]
    if unknown:
        known = ", ".join(dict.fromkeys(repr(task.shape) for task in tasks))
        raise SystemExit(f"no shape {unknown[0]!r}; known: {known}")
    return [task for task in tasks if not words or task.shape in words]
