"""A stand-in for `cuda.bindings.driver`: memory that works, kernels that are noted down."""

from __future__ import annotations

import ctypes
import enum
import re
from types import SimpleNamespace

from streamrnn.kernels.cuda.kernel import Kernel

CODES = {
    "CUDA_SUCCESS": 0,
    "CUDA_ERROR_INVALID_VALUE": 1,
    "CUDA_ERROR_OUT_OF_MEMORY": 2,
    "CUDA_ERROR_NOT_INITIALIZED": 3,
    "CUDA_ERROR_DEVICE_UNAVAILABLE": 46,
    "CUDA_ERROR_NO_DEVICE": 100,
    "CUDA_ERROR_INVALID_DEVICE": 101,
    "CUDA_ERROR_INVALID_IMAGE": 200,
    "CUDA_ERROR_NO_BINARY_FOR_GPU": 209,
    "CUDA_ERROR_ILLEGAL_ADDRESS": 700,
    "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES": 701,
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": 803,
}
CUresult = enum.IntEnum("CUresult", CODES)
OK = CUresult.CUDA_SUCCESS
MIB = 1 << 20


class FakeDriver:
    """What `DriverDevice` calls; `errors` says which functions fail, and how.

    Attributes
    ----------
    errors : dict
        Name of a function -> name of the error that it returns, or an exception that it raises.
    calls : list of str
        Names in order.
    launches : list of tuple
        (kernel, grid, threads, shared bytes, arguments) of each.
    blocks : dict
        Address -> memory that was allocated.
    is_late : bool
        Copies from the host are done when somebody waits, as late as a device may do them.
    context : object
        The current one, of all threads.
    """

    CUresult = CUresult
    CUdevice_attribute = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR="major",
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR="minor",
        CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT="n",
        CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN="shared",
    )
    CUfunction_attribute = SimpleNamespace(
        CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES="static",
        CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES="dynamic",
    )
    CUstream_flags = SimpleNamespace(CU_STREAM_NON_BLOCKING=1)
    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_RELAXED=2)

    def __init__(self, *kernels: Kernel, capability=(9, 0), cuda=13000, n_bytes=100 * MIB):
        self.kernels = {kernel.name: kernel for kernel in kernels}
        self.attributes = dict(zip(("major", "minor"), capability, strict=True))
        self.attributes |= {"n": 132, "shared": 227 << 10}
        self.cuda, self.n_bytes = cuda, n_bytes
        self.errors: dict[str, str | Exception] = {}
        self.calls: list[str] = []
        self.launches: list[tuple[object, ...]] = []
        self.blocks: dict[int, ctypes.Array[ctypes.c_char]] = {}
        self.allowed: dict[str, int] = {}
        self.is_late, self.context = False, None
        self.waiting: list[tuple[int, int, int]] = []

    def __getattribute__(self, name):
        if not re.match("cu[A-Z]", name):
            return object.__getattribute__(self, name)
        self.calls.append(name)
        error = self.errors.get(name)
        if isinstance(error, Exception):
            raise error
        if error is not None:
            return lambda *_: (CUresult[error], None, None)
        try:
            return object.__getattribute__(self, f"_{name}")
        except AttributeError:
            return lambda *_: (OK,)

    def _cuDriverGetVersion(self):
        return OK, self.cuda

    def _cuGetErrorString(self, code):
        return OK, f"said {code.name}".encode()

    def _cuDeviceGetCount(self):
        return OK, 1

    def _cuDeviceGet(self, number):
        return OK, number

    def _cuDeviceGetName(self, length, device):
        return OK, b"Fake H100\0".ljust(length, b" ")  # as the bindings begin

    def _cuDeviceGetAttribute(self, what, device):
        return OK, self.attributes[what]

    def _cuDevicePrimaryCtxRetain(self, device):
        return OK, "context"

    def _cuDeviceTotalMem(self, device):
        return OK, self.n_bytes

    def _cuMemGetInfo(self):
        return OK, self.n_free(), self.n_bytes

    def _cuStreamCreate(self, flags):
        return OK, "stream"

    def _cuMemHostAlloc(self, n_bytes, flags):
        self.stage = ctypes.create_string_buffer(n_bytes)
        return OK, ctypes.addressof(self.stage)

    def n_free(self):
        return self.n_bytes - sum(map(len, self.blocks.values()))

    def _cuCtxSetCurrent(self, context):
        self.context = context
        return (OK,)

    def _cuMemAlloc(self, n_bytes):
        assert self.context == "context"
        if n_bytes > self.n_free():
            return CUresult.CUDA_ERROR_OUT_OF_MEMORY, 0
        block = ctypes.create_string_buffer(n_bytes)
        self.blocks[ctypes.addressof(block)] = block
        return OK, ctypes.addressof(block)

    def _cuMemFree(self, address):
        del self.blocks[address]
        return (OK,)

    def _cuMemcpyHtoDAsync(self, to, source, n_bytes, stream):
        self.waiting.append((to, source, n_bytes))
        return (OK,) if self.is_late else self._cuStreamSynchronize(stream)

    def _cuStreamSynchronize(self, stream):
        for copy in self.waiting:
            ctypes.memmove(*copy)
        self.waiting.clear()
        return (OK,)

    def _cuMemcpyDtoHAsync(self, to, source, n_bytes, stream):
        return self._cuMemcpyHtoDAsync(to, source, n_bytes, stream)

    def _cuMemcpyDtoDAsync(self, to, source, n_bytes, stream):
        return self._cuMemcpyHtoDAsync(to, source, n_bytes, stream)

    def _cuMemsetD8Async(self, address, value, n_bytes, stream):
        self._cuStreamSynchronize(stream)
        ctypes.memset(address, value, n_bytes)
        return (OK,)

    def _cuModuleLoadData(self, address):
        code = ctypes.string_at(address)
        return OK, re.fullmatch(rb"code of (\w+).*", code)[1]

    def _cuModuleGetFunction(self, module, name):
        assert module == name
        return OK, name.decode()

    def _cuFuncGetAttribute(self, what, function):
        return OK, 1000

    def _cuFuncSetAttribute(self, function, what, value):
        self.allowed[function] = value
        return (OK,)

    def _cuLaunchKernel(self, f, gx, gy, gz, bx, by, bz, shared, stream, parameters, extra):
        kinds = {"i4": ctypes.c_int32, "i8": ctypes.c_int64, "u4": ctypes.c_uint32,
                 "u8": ctypes.c_uint64, "f4": ctypes.c_float}  # fmt: skip
        codes = self.kernels[f].codes
        places = (ctypes.c_void_p * len(codes)).from_address(parameters)
        given = tuple(
            (ctypes.c_uint64 if code[-1] == "*" else kinds[code]).from_address(place).value
            for code, place in zip(codes, places, strict=True)
        )
        assert (gz, by, bz, stream, extra) == (1, 1, 1, "stream", 0)
        self.launches.append((f, (gx, gy), bx, shared, given))
        return (OK,)

    def _cuEventCreate(self, flags):
        return OK, f"event {len(self.calls)}"

    def _cuEventElapsedTime(self, begin, end):
        return OK, 1.5

    def _cuStreamEndCapture(self, stream):
        return OK, "graph"

    def _cuGraphInstantiate(self, graph, flags):
        return OK, "executable"
