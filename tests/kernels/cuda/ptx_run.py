"""Runs a few lines of PTX on arrays: what the interpreter's own tests are written in."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from ptx_machine import launch
from ptx_memory import GlobalMemory
from ptx_parse import parse

Array = np.ndarray[Any, np.dtype[Any]]

#: %r0 is the thread, %r1 the block; %rd1 .. point to the arrays, %rd11 .. to the thread's element.
_FRAME = """
.version 8.5
.target sm_90a
.address_size 64
.extern .shared .align 16 .b8 room[];
.visible .entry tiny({parameters})
.maxntid 1024, 1, 1
{{
    .reg .pred %p<16>;
    .reg .b16 %rs<32>;
    .reg .b32 %r<64>;
    .reg .f32 %f<64>;
    .reg .f64 %fd<8>;
    .reg .b64 %rd<64>;
    mov.u32 %r0, %tid.x;
    mov.u32 %r1, %ctaid.x;
    {pointers}
    {body}
    ret;
}}
"""


def text_of(body: str, arrays: tuple[Array, ...]) -> str:
    """Return a module whose entry does `body`."""
    parameters, pointers = [], []
    for n, array in enumerate(arrays, 1):
        parameters.append(f".param .u64 tiny_param_{n}")
        pointers += [
            f"ld.param.u64 %rd{n}, [tiny_param_{n}];",
            f"mad.wide.u32 %rd{n + 10}, %r0, {array.itemsize}, %rd{n};",
        ]
    return _FRAME.format(
        parameters=", ".join(parameters), pointers="\n    ".join(pointers), body=body
    )


def run(
    body: str,
    *arrays: Array,
    n_threads: int = 32,
    grid: tuple[int, int] = (1, 1),
    shared_bytes: int = 0,
    blank: tuple[int, ...] = (),
) -> tuple[list[Array], Counter[str], Counter[str]]:
    """Execute PTX; return what the arrays hold then, the counts and the bank conflicts.

    Arrays whose numbers are in `blank` are memory that was never written.
    """
    memory, addresses = GlobalMemory(), []
    for n, array in enumerate(arrays):
        addresses.append(memory.allocate(array.nbytes))
        space, part = memory.part(addresses[-1], array.nbytes)
        if n not in blank:
            space.data[part] = array.reshape(-1).view(np.uint8)
            space.known[part] = 1
    program = parse(text_of(body, arrays))
    counts, conflicts = launch(program, memory, grid, n_threads, tuple(addresses), shared_bytes)
    results = []
    for address, array in zip(addresses, arrays, strict=True):
        space, part = memory.part(address, array.nbytes)
        results.append(space.data[part].view(array.dtype).reshape(array.shape).copy())
    return results, counts, conflicts
