"""What the vector registers of the processor are like: all that the layout of weights depends on.

Imports neither Numba nor a compiler unless another processor is asked for (see `native.processor`).
"""

from __future__ import annotations

import os
import platform
from typing import Any

import llvmlite.binding as llvm

from streamrnn.kernels.native import processor

_PROBE = """
define <16 x float> @probe(<16 x float> %a, <16 x float> %b) {
  %c = fadd <16 x float> %a, %b
  ret <16 x float> %c
}
"""


def _vector_bytes() -> int:
    """Return the width of the widest vector registers, in bytes."""
    if not (os.environ.get("NUMBA_CPU_NAME") or os.environ.get("NUMBA_CPU_FEATURES")):
        features = llvm.get_host_cpu_features()
        if features.get("avx512f"):
            return 64
        return 32 if features.get("avx2") else 16
    code = _assembly_of_probe()
    return 64 if "zmm" in code else 32 if "ymm" in code else 16


def _assembly_of_probe() -> str:
    """Return what adding two vectors becomes on the processor that was asked for."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = processor()
    target: Any = llvm.Target.from_default_triple()
    machine = target.create_target_machine(cpu=name, features=features)
    return str(machine.emit_assembly(llvm.parse_assembly(_PROBE)))


#: Bytes in one vector.
VECTOR_BYTES = _vector_bytes()
#: Vectors that the processor can hold in registers: x86 has 32 of the widest kind, else 16; ARM 32.
N_REGISTERS = 32 if VECTOR_BYTES == 64 or platform.machine() in ("aarch64", "arm64") else 16
#: Rows (or blocks of units) whose sums are held in registers together: their four gates each, four
#: vectors of weights, and one of inputs must fit.
TILE_ROWS = 4 if N_REGISTERS == 32 else 2
#: Blocks of units whose sums are held in registers together where there is one row only: enough to
#: hide the latency of an addition, and few enough that the order of blocks can follow the cache.
ROW_BLOCKS = 2
#: Rows whose logits are summed together: the head has one vector of sums in place of four, and one
#: row's additions wait for one another.
HEAD_ROWS = 2 * TILE_ROWS
