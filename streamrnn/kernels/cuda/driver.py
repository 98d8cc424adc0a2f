"""The real device: a GPU behind NVIDIA's driver, by way of `cuda.bindings.driver`.

There is one object for a process. It uses the device's primary context, as other libraries do, and
a stream of its own. Every failure is a `BackendUnavailable` of one line.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from streamrnn.core.errors import BackendUnavailable
from streamrnn.kernels.cuda import cubins
from streamrnn.kernels.cuda.calls import NEEDED, Calls, dotted, name_of, no_device
from streamrnn.kernels.cuda.device import Array
from streamrnn.kernels.cuda.kernel import OLDEST, Kernel, architecture
from streamrnn.kernels.cuda.pool import Pool
from streamrnn.kernels.cuda.staging import Staging

#: A block gets so much shared memory without asking.
_PLAIN_SHARED_BYTES = 48 << 10
#: How each argument lies in its 8 bytes.
_FORMS = {"i4": "i4x", "i8": "q", "u4": "I4x", "u8": "Q", "f4": "f4x"}
_MIB = 1 << 20
#: What a driver says of machine code that it does not take.
_BAD_CODE = {
    "CUDA_ERROR_INVALID_IMAGE",
    "CUDA_ERROR_INVALID_SOURCE",
    "CUDA_ERROR_NO_BINARY_FOR_GPU",
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
}


@cache
def open_device() -> DriverDevice:
    """Return the GPU of this process, always the same; CUDA_VISIBLE_DEVICES says which it is.

    Raises
    ------
    BackendUnavailable
        There is none that can be used; the line says why, and what to install.
    """
    try:
        from cuda.bindings import driver
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "cuda":
            raise BackendUnavailable(f"cuda-bindings is not installed: {cubins.INSTALL}") from None
        raise BackendUnavailable(f"cuda-bindings cannot be loaded: {error}") from None
    return DriverDevice(driver)


@dataclass(slots=True)
class _Loaded:
    """A kernel on the device, and room for its arguments.

    Attributes
    ----------
    function : CUfunction
    form : struct.Struct
        How the arguments lie in `values`: 8 bytes each.
    values, addresses : ctypes arrays
        The arguments, and where each of them lies.
    parameters : int
        Where `addresses` begins.
    shared_bytes : int
        Dynamic shared memory that a block may have without asking for more.
    """

    function: Any
    form: struct.Struct
    values: Any
    addresses: Any
    parameters: int
    shared_bytes: int


class Mark:
    """A moment in the order of what was given to a device; see `DriverDevice.mark`."""

    def __init__(self, api: Any, event: Any) -> None:
        self._api = api
        self.event = event

    def __del__(self) -> None:
        self._api.cuEventDestroy(self.event)


class Graph:
    """What was given to a device once, to be given to it again at one go."""

    def __init__(self, device: DriverDevice) -> None:
        self._device = device
        self.executable: Any = None

    def launch(self) -> None:
        """Start all of it; addresses and numbers are those of the first time."""
        self._device.launch_graph(self)

    def __del__(self) -> None:
        if self.executable is not None:
            self._device.api.cuGraphExecDestroy(self.executable)


class DriverDevice:
    """A GPU; see `streamrnn.kernels.cuda.device.Device`.

    Parameters
    ----------
    api : module
        ``cuda.bindings.driver``, of any version since 12.

    Attributes
    ----------
    driver_version : (int, int)
        Newest CUDA that the driver knows.
    n_bytes : int
        All of the device's memory.
    """

    def __init__(self, api: Any) -> None:
        self.api = api
        self._cu = Calls(api)
        self.driver_version = self._cu.driver_version
        self._lock = threading.RLock()  # memory may come back while something else is being done
        self._loaded: dict[Kernel, _Loaded] = {}
        device = self._first_device()
        name: bytes = self._cu.call("cuDeviceGetName", 100, device)
        self.name = self._cu.device_name = name.partition(b"\0")[0].decode(errors="replace")
        kinds = api.CUdevice_attribute

        def ask(what: str) -> int:
            kind = getattr(kinds, f"CU_DEVICE_ATTRIBUTE_{what}")
            return int(self._cu.call("cuDeviceGetAttribute", kind, device))

        self.capability = (ask("COMPUTE_CAPABILITY_MAJOR"), ask("COMPUTE_CAPABILITY_MINOR"))
        self.n_multiprocessors = ask("MULTIPROCESSOR_COUNT")
        self.shared_bytes = ask("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN")
        if self.capability < OLDEST:
            raise BackendUnavailable(
                f"{self.name} is too old: compute capability {dotted(self.capability)}, and"
                f" {dotted(OLDEST)} is needed"
            )
        self._context = self._cu.call("cuDevicePrimaryCtxRetain", device)
        self._enter()
        self.n_bytes = int(self._cu.call("cuDeviceTotalMem", device))
        flags = api.CUstream_flags.CU_STREAM_NON_BLOCKING
        self._stream = self._cu.call("cuStreamCreate", int(flags))
        self._staging = Staging(lambda n: int(self._cu.call("cuMemHostAlloc", n, 0)))
        self._pool = Pool(self._take, self._release)

    # ---- memory

    def allocate(self, n_bytes: int) -> int:
        """See `Device`."""
        with self._lock:
            self._enter()
            address = self._pool.take(n_bytes)
        if not address:
            raise BackendUnavailable(
                f"{self.name} has too little memory: {-(-n_bytes // _MIB)} MiB more are needed,"
                f" {self.n_free_bytes // _MIB} of {self.n_bytes // _MIB} are free: take a smaller"
                " batch or shorter slices, or the cpu backend"
            )
        return address

    def free(self, address: int) -> None:
        """See `Device`; the memory is kept for the next `allocate`."""
        with self._lock:
            self._pool.give(address)

    @property
    def n_free_bytes(self) -> int:
        """How much memory can still be allocated."""
        with self._lock:
            self._enter()
            free, _ = self._cu.call("cuMemGetInfo")
            return int(free) + self._pool.n_kept_bytes

    def write(self, address: int, source: Array) -> None:
        """See `Device`."""
        data, n_bytes = _data(source), source.nbytes
        if not n_bytes:
            return
        with self._lock:
            self._enter()
            staged = self._staging.takes(n_bytes)
            if staged:
                if not self._staging.has_room(n_bytes):
                    self.wait()
                data = self._staging.put(data, n_bytes)
            self._cu.call("cuMemcpyHtoDAsync", address, data, n_bytes, self._stream)
            if not staged:  # nobody knows when the driver has read it
                self.wait()

    def read(self, address: int, into: Array) -> None:
        """See `Device`."""
        data, n_bytes = _data(into), into.nbytes
        if not n_bytes:
            return
        with self._lock:
            self._enter()
            staged = n_bytes <= self._staging.READ_BYTES
            to = self._staging.read_at if staged else data
            self._cu.call("cuMemcpyDtoHAsync", to, address, n_bytes, self._stream)
            self.wait()
            if staged:
                ctypes.memmove(data, to, n_bytes)

    def copy(self, to: int, source: int, n_bytes: int) -> None:
        """See `Device`."""
        if not n_bytes:
            return
        with self._lock:
            self._enter()
            self._cu.call("cuMemcpyDtoDAsync", to, source, n_bytes, self._stream)

    def zero(self, address: int, n_bytes: int) -> None:
        """See `Device`."""
        if not n_bytes:
            return
        with self._lock:
            self._enter()
            self._cu.call("cuMemsetD8Async", address, 0, n_bytes, self._stream)

    def _take(self, n_bytes: int) -> int:
        result = self.api.cuMemAlloc(n_bytes)
        if name_of(result[0]) == "CUDA_ERROR_OUT_OF_MEMORY":
            return 0
        return int(self._cu.value(result, "cuMemAlloc"))

    def _release(self, address: int) -> None:
        self._cu.call("cuMemFree", address)

    # ---- kernels

    def prepare(self, kernels: list[Kernel]) -> None:
        """See `Device`."""
        with self._lock:
            missing = [kernel for kernel in kernels if kernel not in self._loaded]
            if not missing:
                return
            self._enter()
            for kernel, code in cubins.codes(missing, self.capability).items():
                self._loaded[kernel] = self._load(kernel, code)

    def launch(
        self,
        kernel: Kernel,
        grid: tuple[int, int],
        n_threads: int,
        arguments: tuple[int | float, ...],
        shared_bytes: int = 0,
    ) -> None:
        """See `Device`."""
        if not (grid[0] and grid[1]):
            return
        with self._lock:
            loaded = self._loaded.get(kernel)
            if loaded is None:
                self.prepare([kernel])
                loaded = self._loaded[kernel]
            self._enter()
            if shared_bytes > loaded.shared_bytes:
                self._allow(kernel, loaded, shared_bytes)
            try:
                loaded.form.pack_into(loaded.values, 0, *arguments)
            except struct.error as error:
                raise TypeError(f"{kernel.full_name} takes {kernel.signature!r}: {error}") from None
            code, *_ = self.api.cuLaunchKernel(
                loaded.function, grid[0], grid[1], 1, n_threads, 1, 1, shared_bytes,
                self._stream, loaded.parameters, 0,
            )  # fmt: skip
            if code:
                how = f"{grid[0]} x {grid[1]} blocks of {n_threads} threads, {shared_bytes} bytes"
                raise self._cu.failure(code, f"starting kernel {kernel.full_name} ({how})")
            self._cu.last = kernel.full_name

    def wait(self) -> None:
        """See `Device`."""
        with self._lock:
            self._enter()
            self._cu.call("cuStreamSynchronize", self._stream)
            self._staging.clear()

    def _load(self, kernel: Kernel, code: bytes) -> _Loaded:
        image = np.frombuffer(code, np.uint8)
        result = self.api.cuModuleLoadData(int(image.ctypes.data))
        if name_of(result[0]) in _BAD_CODE:
            raise BackendUnavailable(self._refused(kernel))
        module = self._cu.value(result, f"loading kernel {kernel.full_name}")
        function = self._cu.call("cuModuleGetFunction", module, kernel.name.encode())
        kind = self.api.CUfunction_attribute.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES
        n_static_bytes = int(self._cu.call("cuFuncGetAttribute", kind, function))
        codes = kernel.codes
        values = (ctypes.c_uint64 * max(1, len(codes)))()
        begin = ctypes.addressof(values)
        addresses = (ctypes.c_void_p * len(values))(*(begin + 8 * n for n in range(len(values))))
        form = struct.Struct("<" + "".join("Q" if c[-1] == "*" else _FORMS[c] for c in codes))
        parameters, shared_bytes = ctypes.addressof(addresses), _PLAIN_SHARED_BYTES - n_static_bytes
        return _Loaded(function, form, values, addresses, parameters, shared_bytes)

    def _allow(self, kernel: Kernel, loaded: _Loaded, shared_bytes: int) -> None:
        """Let blocks of a kernel have more shared memory than all get."""
        kind = self.api.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        result = self.api.cuFuncSetAttribute(loaded.function, kind, shared_bytes)
        self._cu.value(result, f"giving kernel {kernel.full_name} {shared_bytes} bytes a block")
        loaded.shared_bytes = shared_bytes

    def _refused(self, kernel: Kernel) -> str:
        if self._cu.driver_version < NEEDED:
            return f"{self._cu.too_old()}, or kernels that were compiled with numba-cuda[cu12]"
        name = architecture(self.capability)
        return f"{self.name} ({name}) does not take kernel {kernel.full_name}: compile it again"

    # ---- time, and many launches at one go

    def mark(self) -> Mark:
        """Return this moment in the order of what was given to the device."""
        with self._lock:
            self._enter()
            mark = Mark(self.api, self._cu.call("cuEventCreate", 0))
            self._cu.call("cuEventRecord", mark.event, self._stream)
            return mark

    def elapsed_ms(self, begin: Mark, end: Mark) -> float:
        """Return the time between two marks on the device; wait for the second."""
        with self._lock:
            self._enter()
            self._cu.call("cuEventSynchronize", end.event)
            return float(self._cu.call("cuEventElapsedTime", begin.event, end.event))

    @contextmanager
    def captured(self) -> Iterator[Graph]:
        """Collect what is launched, copied on the device and zeroed, instead of doing it.

        Nothing may be read or written meanwhile, nor any kernel be launched for the first time.
        """
        graph = Graph(self)
        mode = self.api.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        with self._lock:
            self._enter()
            self._cu.call("cuStreamBeginCapture", self._stream, mode)
            try:
                yield graph
            finally:
                result = self.api.cuStreamEndCapture(self._stream)
            collected = self._cu.value(result, "cuStreamEndCapture")
            graph.executable = self._cu.call("cuGraphInstantiate", collected, 0)
            self._cu.call("cuGraphDestroy", collected)

    def launch_graph(self, graph: Graph) -> None:
        """Start what was collected."""
        with self._lock:
            self._enter()
            self._cu.call("cuGraphLaunch", graph.executable, self._stream)

    # ---- the driver

    def _first_device(self) -> Any:
        self._cu.call("cuInit", 0)
        if not self._cu.call("cuDeviceGetCount"):
            raise BackendUnavailable(no_device())
        return self._cu.call("cuDeviceGet", 0)

    def _enter(self) -> None:
        """Make the device's context this thread's, whatever other libraries left there."""
        self._cu.call("cuCtxSetCurrent", self._context)


def _data(a: Array) -> int:
    """Return where the data of an array begins."""
    if not a.flags.c_contiguous:
        raise ValueError("an array that goes to a device or comes from it must be C-contiguous")
    return int(a.__array_interface__["data"][0])
