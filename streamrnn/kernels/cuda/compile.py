"""The compiler: a kernel in, PTX and machine code out. Needs no driver and no device.

Numba types and lowers the kernel, NVVM makes PTX of it, and nvJitLink machine code. Runs in a
process of its own (see `streamrnn.kernels.cuda.cubins`), and in the tests.

Contraction of a product and a sum to one rounding is switched off: only what says `fma` is fused.
So a kernel in exact precision gives the bits that the same arithmetic gives on a CPU with FMA.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import types as python_types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from cuda.bindings import nvjitlink
from numba.cuda import api, compiler, dispatcher, types
from numba.cuda.cudadrv import nvvm

from streamrnn.core.errors import BackendUnavailable
from streamrnn.kernels.cuda.kernel import Kernel, capability_of

_NUMBERS = {
    "i4": types.int32,
    "i8": types.int64,
    "u4": types.uint32,
    "u8": types.uint64,
    "f4": types.float32,
}
# numba-cuda names a function that NumPy 2.5 took away, and will not be changed (its issue 907).
if not hasattr(np, "row_stack"):
    np.row_stack = np.vstack  # noqa: NPY201
_ENTRY = re.compile(r"\.entry\s+(\S+?)\s*\(")


def ptx_of(kernel: Kernel, architecture: str) -> str:
    """Return a kernel's PTX; its entry has the kernel's name."""
    options: dict[str, Any] = dict(kernel.options)
    function = getattr(importlib.import_module(kernel.module), kernel.factory)(**options)
    major, minor = capability_of(architecture)
    capability = (major, minor, "a") if architecture.endswith("a") else (major, minor)
    with _offline(capability):
        done = compiler.compile_cuda(
            function,
            types.void,
            tuple(_type(code) for code in kernel.codes),
            nvvm_options={"opt": 3, "fma": False},
            cc=capability,
        )
        library = done.library
        entry = library.get_function(done.fndesc.llvm_func_name)
        library._entry_name = done.fndesc.llvm_func_name
        compiler.kernel_fixup(entry, False)
        nvvm.set_launch_bounds(entry, (kernel.max_threads, kernel.min_blocks))
        text = library.get_asm_str(cc=capability).rstrip("\0")
    (mangled,) = set(_ENTRY.findall(text))
    return str(text).replace(mangled, kernel.name)


def cubin_of(text: str, architecture: str) -> tuple[bytes, str]:
    """Return the machine code of PTX, and what the assembler says of registers and spills.

    Raises
    ------
    BackendUnavailable
        The assembler refused it; the message holds what it said.
    """
    options = [f"-arch={architecture}", "-O3", "-verbose"]
    handle = nvjitlink.create(len(options), options)
    try:
        data = text.encode() + b"\0"
        try:
            nvjitlink.add_data(handle, nvjitlink.InputType.PTX, data, len(data), "kernel")
            nvjitlink.complete(handle)
        except nvjitlink.nvJitLinkError as error:
            said = _log(handle, nvjitlink.get_error_log_size, nvjitlink.get_error_log)
            raise BackendUnavailable(f"the assembler failed: {error}: {said}") from error
        code = bytearray(nvjitlink.get_linked_cubin_size(handle))
        nvjitlink.get_linked_cubin(handle, code)
        return bytes(code), _log(handle, nvjitlink.get_info_log_size, nvjitlink.get_info_log)
    finally:
        nvjitlink.destroy(handle)


def _log(handle: Any, size_of: Any, read: Any) -> str:
    text = bytearray(size_of(handle))
    read(handle, text)
    return text.decode(errors="replace").rstrip("\0")


def _type(code: str) -> Any:
    return types.CPointer(_NUMBERS[code[:-1]]) if code.endswith("*") else _NUMBERS[code]


@contextmanager
def _offline(capability: tuple[Any, ...]) -> Iterator[None]:
    """Answer for the device that Numba asks for its capability where functions call functions."""
    device = python_types.SimpleNamespace(compute_capability=capability, id=0)
    places = (dispatcher, compiler, api)
    kept = [place.get_current_device for place in places]
    try:
        for place in places:
            place.get_current_device = lambda: device
        yield
    finally:
        for place, function in zip(places, kept, strict=True):
            place.get_current_device = function


def main() -> None:
    """Compile what is asked for on stdin, one JSON object a line; answer with length and code."""
    out = sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing else may get into the answer
    for line in sys.stdin.buffer:
        job = json.loads(line)
        options = tuple((str(key), int(value)) for key, value in job["kernel"]["options"])
        kernel = Kernel(**{**job["kernel"], "options": options})
        code, _ = cubin_of(ptx_of(kernel, job["architecture"]), job["architecture"])
        out.write(len(code).to_bytes(8, "little") + code)
        out.flush()


if __name__ == "__main__":
    main()
