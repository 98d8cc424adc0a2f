"""Fragments in lanes as the PTX ISA draws them, products of them, and copies that land later."""

from __future__ import annotations

import numpy as np
import pytest
from ptx_floats import f32_to_bf16
from ptx_memory import Fault
from ptx_run import run

#: Whole numbers that bfloat16 and tf32 hold, so that products and sums are exact.
RNG = np.random.default_rng(5)
A = RNG.integers(-60, 60, (16, 16)).astype(np.float32)
B = RNG.integers(-60, 60, (16, 8)).astype(np.float32)
C = RNG.integers(-999, 999, (16, 8)).astype(np.float32)


def pairs(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Pack two columns of bfloat16 into words."""
    return f32_to_bf16(low).astype(np.uint32) | f32_to_bf16(high).astype(np.uint32) << 16


def fragments_of_a(a: np.ndarray) -> np.ndarray:
    """PTX ISA, "Matrix Fragments for mma.m16n8k16": registers (4, 32) of a bfloat16 A."""
    registers = np.zeros((4, 32), np.uint32)
    for lane in range(32):
        group, thread = lane >> 2, lane % 4
        for n, (row, column) in enumerate([(0, 0), (8, 0), (0, 8), (8, 8)]):
            at = a[group + row, thread * 2 + column : thread * 2 + column + 2]
            registers[n, lane] = pairs(at[:1], at[1:])[0]
    return registers


def fragments_of_b(b: np.ndarray) -> np.ndarray:
    """PTX ISA, the same section: registers (2, 32) of a bfloat16 B."""
    registers = np.zeros((2, 32), np.uint32)
    for lane in range(32):
        group, thread = lane >> 2, lane % 4
        for n, row in enumerate([0, 8]):
            at = b[thread * 2 + row : thread * 2 + row + 2, group]
            registers[n, lane] = pairs(at[:1], at[1:])[0]
    return registers


def fragments_of_c(c: np.ndarray) -> np.ndarray:
    """PTX ISA, the same section: registers (4, 32) of a float32 C or D."""
    registers = np.zeros((4, 32), np.float32)
    for lane in range(32):
        group, thread = lane >> 2, lane % 4
        for n in range(4):
            registers[n, lane] = c[group + 8 * (n >= 2), thread * 2 + (n & 1)]
    return registers


LOADS = "\n".join(
    [
        *(f"ld.global.u32 %r{10 + n}, [%rd11+{128 * n}];" for n in range(4)),
        *(f"ld.global.u32 %r{20 + n}, [%rd12+{128 * n}];" for n in range(2)),
        *(f"ld.global.f32 %f{30 + n}, [%rd13+{128 * n}];" for n in range(4)),
    ]
)
MMA = (
    "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1, %f2, %f3, %f4}, "
    "{%r10, %r11, %r12, %r13}, {%r20, %r21}, {%f30, %f31, %f32, %f33};"
)
STORES = "\n".join(f"st.global.f32 [%rd14+{128 * n}], %f{1 + n};" for n in range(4))


def multiply(body: str) -> np.ndarray:
    arrays = fragments_of_a(A), fragments_of_b(B), fragments_of_c(C), np.zeros((4, 32), np.float32)
    return run(body, *arrays, blank=(3,))[0][3]


def test_a_product_of_bfloat16_matrices():
    assert (multiply(LOADS + MMA + STORES) == fragments_of_c(A @ B + C)).all()


def test_another_order_of_the_fragments_is_another_product():
    swapped = MMA.replace("%r11, %r12", "%r12, %r11")
    assert (multiply(LOADS + swapped + STORES) != fragments_of_c(A @ B + C)).any()


def test_a_product_of_tf32_matrices():
    a, b = np.zeros((4, 32), np.float32), np.zeros((2, 32), np.float32)
    for lane in range(32):
        group, thread = lane >> 2, lane % 4
        for n in range(4):
            a[n, lane] = A[group + 8 * (n & 1), thread + 4 * (n >= 2)]
        for n in range(2):
            b[n, lane] = B[thread + 4 * n, group]
    product = MMA.replace("m16n8k16", "m16n8k8").replace("bf16", "tf32")
    got = run(LOADS + product + STORES, a, b, fragments_of_c(C), np.zeros((4, 32), np.float32))[0][
        3
    ]
    assert (got == fragments_of_c(A[:, :8] @ B[:8] + C)).all()


#: Both matrices lie in shared memory row by row; B is turned on the way to its fragments.
STAGED = """
    mov.u64 %rd20, room;
    cvt.u32.u64 %r40, %rd20;
    shl.b32 %r41, %r0, 4;
    add.u32 %r42, %r40, %r41;
    cp.async.cg.shared.global [%r42], [%rd21], 16;
    cp.async.ca.shared.global [%r42+512], [%rd22], 8, 8;
    cp.async.commit_group;
    {wait}
    bar.warp.sync -1;
    and.b32 %r43, %r0, 15;
    shr.u32 %r44, %r0, 4;
    shl.b32 %r45, %r43, 5;
    mad.lo.u32 %r45, %r44, 16, %r45;
    add.u32 %r45, %r45, %r40;
    ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{%r10, %r11, %r12, %r13}}, [%r45];
    shl.b32 %r46, %r43, 4;
    add.u32 %r46, %r46, %r40;
    ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {{%r20, %r21}}, [%r46+512];
"""
POINTERS = """
    mad.wide.u32 %rd21, %r0, 16, %rd1;
    mad.wide.u32 %rd22, %r0, 8, %rd2;
"""


def staged(wait: str) -> np.ndarray:
    text = STAGED.format(wait=wait).replace("[%r42+512]", "[%r47+512]")
    text = text.replace(
        "cp.async.ca", "shl.b32 %r47, %r0, 3;\n add.u32 %r47, %r47, %r40;\n cp.async.ca"
    )
    loads = "\n".join(line for line in LOADS.splitlines() if "%f3" in line)
    arrays = (
        f32_to_bf16(A.ravel()), f32_to_bf16(B.ravel()), fragments_of_c(C),
        np.zeros((4, 32), np.float32),
    )  # fmt: skip
    return run(POINTERS + text + loads + MMA + STORES, *arrays, shared_bytes=768)[0][3]


@pytest.mark.parametrize("wait", ["cp.async.wait_all;", "cp.async.wait_group 0;"])
def test_fragments_loaded_from_shared_memory_give_the_same_product(wait):
    assert (staged(wait) == fragments_of_c(A @ B + C)).all()


@pytest.mark.parametrize("wait", ["", "cp.async.wait_group 1;"])
def test_what_was_not_waited_for_has_not_landed(wait):
    with pytest.raises(Fault, match=r"ldmatrix.*shared memory: never written"):
        staged(wait)


def test_a_group_of_copies_lands_by_itself_and_zeros_fill_the_rest():
    body = """
    mov.u64 %rd20, room;
    mad.wide.u32 %rd20, %r0, 4, %rd20;
    setp.lt.u32 %p1, %r0, 4;
    selp.u32 %r10, 4, 0, %p1;
    cp.async.ca.shared.global [%rd20], [%rd11], 4, %r10;
    cp.async.commit_group;
    cp.async.ca.shared.global [%rd20+128], [%rd11], 4;
    cp.async.commit_group;
    cp.async.wait_group 1;
    ld.shared.u32 %r11, [%rd20];
    st.global.u32 [%rd12], %r11;
    {more}"""
    n = np.arange(32, dtype=np.uint32)
    (_, got), _, _ = run(body.format(more=""), n, np.zeros(32, np.uint32), shared_bytes=256)
    assert (got == np.where(n < 4, n, 0)).all()
    with pytest.raises(Fault, match="never written"):
        run(body.format(more="ld.shared.u32 %r11, [%rd20+128];"), n, n, shared_bytes=256)


def test_a_product_needs_the_whole_warp():
    branch = "setp.gt.u32 %p1, %r0, 3;\n@%p1 bra over;\n"
    with pytest.raises(Fault, match="divergent: only lanes 0x0000000f"):
        multiply(LOADS + branch + MMA + "\nover:\n" + STORES)
