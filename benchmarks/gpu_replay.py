"""The work of a call on the device alone, and where its time goes; for any call of the backend.

A call is made once with its arrays. While `quiet`, the same call starts the same kernels over the
same memory, and copies nothing: what the first left on the device is used again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from time import perf_counter
from typing import Any

_COPIES = ("write", "read", "copy", "zero")


@contextmanager
def quiet(device: Any) -> Iterator[None]:
    """Let a device copy nothing from or to the host."""
    device.write = device.read = lambda *_: None
    try:
        yield
    finally:
        del device.write, device.read


def resident(device: Any, call: Callable[[], Any]) -> Callable[[], None]:
    """Return what does a call's work on the device, at one go where the device can.

    Parameters
    ----------
    device : Device
        All that `call` gives to it is given to this one.
    call : callable
        Was called before: it allocates nothing and launches nothing for the first time.
    """
    if hasattr(device, "captured"):
        with device.captured() as graph, quiet(device):
            call()

        def launch(kept: Callable[[], Any] = call) -> None:  # and with it the memory it is about
            graph.launch()

        return launch

    def again() -> None:
        with quiet(device):
            call()

    return again


def profile(device: Any, call: Callable[[], Any]) -> list[tuple[str, float]]:
    """Return the phases of a call in order, each a kernel or a kind of copy, with its seconds.

    Those of one kind that follow one another are one phase. Between two events there is some
    microseconds of the device's own.
    """
    mark = getattr(device, "mark", perf_counter)
    entries: list[tuple[str, Any, Any]] = []

    def timed(name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **more: Any) -> Any:
            begin = mark()
            result = do(*arguments, **more)
            what = arguments[0].name if name == "launch" else name
            entries.append((what, begin, mark()))
            return result

        return run

    names = ("launch", *_COPIES)
    for name in names:
        setattr(device, name, timed(name, getattr(device, name)))
    try:
        call()
    finally:
        for name in names:
            delattr(device, name)
    device.wait()

    def seconds(begin: Any, end: Any) -> float:
        if hasattr(device, "elapsed_ms"):
            return float(device.elapsed_ms(begin, end)) / 1e3
        return float(end - begin)

    return [
        (what, sum(seconds(begin, end) for _, begin, end in group))
        for what, group in groupby(entries, key=lambda entry: entry[0])
    ]
