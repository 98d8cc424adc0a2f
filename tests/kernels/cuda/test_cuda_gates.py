"""Every kernel of the catalogue as machine code: nothing spills, nothing is rounded differently."""

from __future__ import annotations

import functools
import re

import pytest

from benchmarks import gpu_compile
from streamrnn.kernels.cuda.catalogue import catalogue
from streamrnn.kernels.cuda.kernel import ARCHITECTURES, Kernel, capability_of

needs_compiler = pytest.mark.usefixtures("cuda_compiler")

#: Most registers a thread of each kernel may have, on any architecture.
CEILINGS = {
    "lstm": 168,
    "product": 128,
    "gather": 48,
    "move_rows": 32,
    "bptt": 216,
    "outer": 192,
    "reduce": 48,
    "loss": 64,
    "norm": 32,
    "adam": 40,
    "tensor_forward": 255,
    "tensor_tick": 255,
    "stream_head": 64,
    "stream_move": 40,
}
#: Float arithmetic whose result is the one nearest to the true one: in exact kernels, no other.
EXACT = {f"{name}.rn.f32" for name in ("add", "sub", "mul", "fma", "div", "rcp", "sqrt")}
#: Of an exponential or a logarithm of a library, whose own error is larger.
LIBRARY = {"loss": {"add.rz.f32"}}
_ARITHMETIC = re.compile(
    r"\b((?:add|sub|mul|mad|fma|div|rcp|sqrt|rsqrt|ex2|lg2|sin|cos|tanh)\.(?:\w+\.)*f32)\b"
)
compiled = functools.cache(gpu_compile.compiled)


def every() -> list[tuple[Kernel, str]]:
    return [(kernel, name) for name in ARCHITECTURES for kernel in catalogue(capability_of(name))]


def some() -> list[tuple[Kernel, str]]:
    """Every form of every kernel once, and every kernel in some form for every architecture."""
    chosen = []
    newest = catalogue(capability_of(ARCHITECTURES[-1]))
    for name in dict.fromkeys(kernel.name for kernel in newest):
        forms = [kernel for kernel in newest if kernel.name == name]
        fitting = [a for a in ARCHITECTURES if forms[0] in catalogue(capability_of(a))]
        for n in range(max(len(forms), len(fitting))):
            chosen.append((forms[n % len(forms)], fitting[n % len(fitting)]))
    return chosen


def pairs(chosen):
    ids = [f"{kernel.full_name}-{name}" for kernel, name in chosen]
    return pytest.mark.parametrize(("kernel", "architecture"), chosen, ids=ids)


def is_bf16(kernel: Kernel) -> bool:
    return kernel.name.startswith("tensor")


def check(kernel: Kernel, architecture: str) -> None:
    facts, _ = compiled(kernel, architecture)
    assert (facts.spill_bytes, facts.stack_bytes, facts.local_bytes) == (0, 0, 0)
    assert facts.registers <= CEILINGS[kernel.name]
    assert facts.shared_bytes == 0, "shared memory is asked for at the launch"
    assert ".f64" not in facts.ptx
    if is_bf16(kernel):
        assert "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32" in facts.ptx
    else:
        assert set(_ARITHMETIC.findall(facts.ptx)) <= EXACT | LIBRARY.get(kernel.name, set())
        assert "mma." not in facts.ptx


@needs_compiler
@pairs(some())
def test_a_kernel_keeps_to_its_means(kernel, architecture):
    check(kernel, architecture)


@needs_compiler
@pytest.mark.slow
@pairs(every())
def test_a_kernel_keeps_to_its_means_on_every_architecture(kernel, architecture):
    check(kernel, architecture)


def test_names_are_as_different_as_kernels():
    """The name is all that says which code is whose."""
    for name in ARCHITECTURES:
        kernels = catalogue(capability_of(name))
        assert len({kernel.full_name for kernel in kernels}) == len(set(kernels)) == len(kernels)


def test_loops_are_found_in_machine_code():
    sass = """
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/                   FFMA R0, R1, R2, R3 ;
.L_x_2:
        /*0020*/                   HMMA.16816.F32.BF16 R4, R8, R12, R4 ;
        /*0030*/               @P0 BRA `(.L_x_2) ;
        /*0040*/               @P1 BRA `(.L_x_1) ;
        /*0050*/                   EXIT ;
.L_x_3:
        /*0060*/                   BRA `(.L_x_3);
"""
    assert gpu_compile.loops_of(sass) == gpu_compile.Loops(7, 4, 2)
