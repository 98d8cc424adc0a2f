"""What a contender is: a library that does some of the jobs, each in its own best way."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from benchmarks.shapes import Task


@dataclass(frozen=True)
class Job:
    """A job that is ready to run.

    Attributes
    ----------
    call : callable
        Does it once: a step takes one frame, all others take nothing. Streams and chunks carry
        their state from call to call; a sequence starts from zero; an update returns the loss.
    read : callable
        Turns what `call` returned into hidden vectors: (H,), (T, H), (B, H) or (T, B, H).
    frame_shape : tuple of int
        The form in which a step likes its frame, which costs nobody anything.
    gives_logits : bool
        `read` gives the head's outputs, not hidden vectors: the work of the head was done too.
    """

    call: Callable[..., Any]
    read: Callable[[Any], npt.NDArray[Any]] = np.asarray
    frame_shape: tuple[int, ...] = (-1,)
    gives_logits: bool = False


class Peer:
    """A contender. A job that it cannot do, or that nobody would use it for, is None."""

    #: How tables call it.
    name: ClassVar[str]
    #: The distributions that must be installed; the first one's version is noted.
    packages: ClassVar[tuple[str, ...]]

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads

    @classmethod
    def missing(cls) -> str:
        """Return why it cannot be measured here, ``""`` when it can."""
        for name in cls.packages:
            try:
                importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                return f"{name} is not installed"
        return ""

    def step(self, task: Task) -> Job | None:
        """One stream, one frame a call."""

    def chunk(self, task: Task) -> Job | None:
        """One stream, all frames of `task` a call."""

    def streams(self, task: Task) -> Job | None:
        """Many streams, one frame each a call."""

    def sequence(self, task: Task) -> Job | None:
        """Many sequences from state zero."""

    def train(self, task: Task) -> Job | None:
        """One update: forward, cross entropy at the last step, BPTT, clip by norm, Adam."""


def library(name: str) -> Any:
    """Return an optional library, which no type checker needs to know."""
    return importlib.import_module(name)
