"""Calls of NVIDIA's driver by way of `cuda.bindings.driver`: every failure is one clear line."""

from __future__ import annotations

import os
from typing import Any

from streamrnn.core.errors import BackendUnavailable

#: The oldest CUDA that a driver must know to take what the pinned compiler writes.
NEEDED = (13, 0)
_NEEDED_DRIVER = "580"
_OLD_DRIVER = {"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE"}
_NO_DEVICE = {"CUDA_ERROR_NO_DEVICE", "CUDA_ERROR_INVALID_DEVICE"}
_NOT_INITIALIZED = "CUDA_ERROR_NOT_INITIALIZED"
#: What a kernel did; the driver says so at whatever is asked of it next.
_FAULTS = {
    "CUDA_ERROR_ASSERT",
    "CUDA_ERROR_HARDWARE_STACK_ERROR",
    "CUDA_ERROR_ILLEGAL_ADDRESS",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION",
    "CUDA_ERROR_INVALID_ADDRESS_SPACE",
    "CUDA_ERROR_INVALID_PC",
    "CUDA_ERROR_LAUNCH_FAILED",
    "CUDA_ERROR_LAUNCH_TIMEOUT",
    "CUDA_ERROR_MISALIGNED_ADDRESS",
}


class Calls:
    """The driver's functions.

    Parameters
    ----------
    api : module
        ``cuda.bindings.driver``, of any version since 12.

    Attributes
    ----------
    driver_version : (int, int)
        Newest CUDA that the driver knows.
    device_name : str
        Whom the failures are about.
    last : str
        Which kernel was started last.

    Raises
    ------
    BackendUnavailable
        There is no driver.
    """

    def __init__(self, api: Any) -> None:
        self.api = api
        self.device_name = "the GPU"
        self.last = ""
        try:
            result = api.cuDriverGetVersion()
        except RuntimeError:  # what the bindings raise when they find no library
            raise BackendUnavailable(
                "no NVIDIA driver is installed here (libcuda.so.1 was not found);"
                f" a GPU needs {_NEEDED_DRIVER} or newer"
            ) from None
        self.driver_version = (0, 0)
        number = int(self.value(result, "cuDriverGetVersion"))
        self.driver_version = number // 1000, number % 1000 // 10

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the driver; return what it gives besides the error."""
        try:
            result = getattr(self.api, name)(*arguments)
        except RuntimeError as error:  # the driver lacks it
            raise BackendUnavailable(f"{self.too_old()} ({error})") from None
        return self.value(result, name)

    def value(self, result: tuple[Any, ...], what: str) -> Any:
        """Return what a call gave besides the error; `what` was to be done."""
        code, *values = result
        if code:
            raise self.failure(code, what)
        return values[0] if len(values) == 1 else tuple(values)

    def failure(self, code: Any, what: str) -> BackendUnavailable:
        """Return the line for an error of the driver."""
        error = name_of(code)
        if error in _NO_DEVICE:
            return BackendUnavailable(no_device())
        if error in _OLD_DRIVER:
            return BackendUnavailable(self.too_old())
        said = self.api.cuGetErrorString(code)[1]
        words = said.decode(errors="replace") if isinstance(said, bytes) else "unknown error"
        if error == _NOT_INITIALIZED:
            words += "; a process that was forked cannot use the GPU of the one before"
        if error in _FAULTS and self.last:
            words += f"; kernel {self.last} was started last"
        return BackendUnavailable(f"{self.device_name}: {what} failed: {words} ({error})")

    def too_old(self) -> str:
        """Return the line for a driver that cannot do what is needed."""
        return (
            f"the NVIDIA driver is too old: it knows CUDA {dotted(self.driver_version)}, and"
            f" {dotted(NEEDED)} is needed (driver {_NEEDED_DRIVER} or newer)"
        )


def name_of(code: Any) -> str:
    """Return the name of an error; bindings older than the driver know a number only."""
    return str(getattr(code, "name", code))


def no_device() -> str:
    """Return the line for a driver that finds no GPU."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    said = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})"
    return f"the NVIDIA driver gives no GPU to this process{said}"


def dotted(version: tuple[int, int]) -> str:
    """Return a version as people write it."""
    return f"{version[0]}.{version[1]}"
