"""Lanes that part and meet, barriers, shuffles, votes, blocks of a grid, memory of all widths."""

from __future__ import annotations

import numpy as np
import pytest
from ptx_memory import Fault
from ptx_parse import parse
from ptx_run import run

LANES = np.arange(32, dtype=np.uint32)


def test_lanes_that_loop_for_different_times_meet_again():
    body = """
    mov.u32 %r10, 0;
    mov.u32 %r11, %r0;
again:
    setp.eq.u32 %p1, %r11, 0;
    @%p1 bra done;
    and.b32 %r12, %r11, 1;
    setp.eq.u32 %p2, %r12, 1;
    @%p2 bra odd;
    add.u32 %r10, %r10, 1;
    bra next;
odd:
    add.u32 %r10, %r10, 1000;
next:
    sub.u32 %r11, %r11, 1;
    bra again;
done:
    activemask.b32 %r13;
    add.u32 %r10, %r10, %r13;
    st.global.u32 [%rd11], %r10;"""
    (got,), counts, _ = run(body, np.zeros(64, np.uint32), n_threads=64)
    n = np.arange(64)
    assert (got == (n // 2 + (n + 1) // 2 * 1000 - 1) % 2**32).all()
    assert counts["activemask.b32"] == 2
    assert counts["sub.u32"] == 31 + 63


def test_guarded_instructions_change_their_lanes_only():
    body = """
    mov.u32 %r10, 7;
    setp.lt.u32 %p1, %r0, 5;
    @%p1 mov.u32 %r10, %r0;
    @!%p1 add.f32 %f1, 0f3F800000, 0f3F800000;
    @!%p1 mov.b32 %r10, %f1;
    setp.gt.u32 %p2, %r0, 15;
    setp.ne.and.u32 %p3, %r0, 20, %p2;
    @%p3 ret;
    st.global.u32 [%rd11], %r10;"""
    (got,), _, _ = run(body, np.full(32, 9, np.uint32))
    expected = np.where(LANES < 5, LANES, 0x40000000)
    expected[(LANES > 15) & (LANES != 20)] = 9
    assert (got == expected).all()


def test_blocks_of_a_grid_in_batches():
    body = """
    mov.u32 %r2, %ctaid.y;
    mov.u32 %r3, %nctaid.x;
    mad.lo.u32 %r4, %r2, %r3, %r1;
    mov.u32 %r5, %ntid.x;
    mad.lo.u32 %r6, %r4, %r5, %r0;
    mad.wide.u32 %rd20, %r6, 4, %rd1;
    shl.b32 %r7, %r2, 16;
    or.b32 %r7, %r7, %r1;
    st.global.u32 [%rd20], %r7;"""
    (got,), counts, _ = run(
        body, np.zeros((9, 100, 48), np.uint32), n_threads=48, grid=(100, 9), blank=(0,)
    )
    y, x = np.indices((9, 100))
    assert (got == (y << 16 | x)[:, :, None]).all()
    assert counts["st.global.u32"] == 2 * 900


def test_a_barrier_lets_each_block_go_by_itself():
    # Blocks go through their barriers a different number of times.
    body = """
    mov.u64 %rd20, room;
    mul.wide.u32 %rd21, %r0, 4;
    add.s64 %rd20, %rd20, %rd21;
    xor.b32 %r10, %r0, 32;
    mov.u64 %rd22, room;
    mad.wide.u32 %rd22, %r10, 4, %rd22;
    mov.u32 %r11, %r0;
    mov.u32 %r12, 0;
more:
    st.shared.u32 [%rd20], %r11;
    bar.sync 0;
    ld.shared.u32 %r11, [%rd22];
    bar.sync 0;
    add.u32 %r12, %r12, 1;
    setp.le.u32 %p1, %r12, %r1;
    @%p1 bra more;
    mad.lo.u32 %r13, %r1, 64, %r0;
    mad.wide.u32 %rd23, %r13, 4, %rd1;
    st.global.u32 [%rd23], %r11;"""
    (got,), counts, _ = run(
        body, np.zeros((5, 64), np.uint32), n_threads=64, grid=(5, 1), shared_bytes=256
    )
    n = np.arange(64)
    for block, row in enumerate(got):
        assert (row == (n ^ 32 if block % 2 == 0 else n)).all()
    assert counts["st.shared.u32"] == 2 * (1 + 2 + 3 + 4 + 5)


#: Two groups of two warps, each with its own barrier and number of steps; {swap} is whom one reads.
GROUPS = """
    shr.u32 %r10, %r0, 6;
    mov.u64 %rd20, room;
    mad.wide.u32 %rd21, %r0, 4, %rd20;
    xor.b32 %r11, %r0, {swap};
    mad.wide.u32 %rd22, %r11, 4, %rd20;
    mov.u32 %r12, %r0;
    mov.u32 %r13, 0;
    mov.u32 %r14, 64;
    bar.sync 0;
more:
    st.shared.u32 [%rd21], %r12;
    bar.sync %r10, %r14;
    ld.shared.u32 %r12, [%rd22];
    bar.sync %r10, %r14;
    add.u32 %r13, %r13, 1;
    setp.le.u32 %p1, %r13, %r10;
    @%p1 bra more;
    st.global.u32 [%rd11], %r12;"""


def test_a_barrier_of_some_warps_holds_up_no_others():
    (got,), counts, _ = run(
        GROUPS.format(swap=32), np.zeros(128, np.uint32), n_threads=128, shared_bytes=512
    )
    n = np.arange(128)
    assert (got == np.where(n < 64, n ^ 32, n)).all()
    assert counts["st.shared.u32"] == 2 + 2 * 2


def test_a_barrier_of_some_warps_orders_nothing_for_others():
    with pytest.raises(Fault, match=r"race: (threads|warps) read and write"):
        run(GROUPS.format(swap=64), np.zeros(128, np.uint32), n_threads=128, shared_bytes=512)
    # Nor in the end, when all have met; but before they write again.
    late = GROUPS.format(swap=32) + "\n{barrier}\nxor.b32 %r11, %r0, 64;"
    late += "mad.wide.u32 %rd22, %r11, 4, %rd20;\nld.shared.u32 %r12, [%rd22];"
    for barrier in ("", "bar.sync 0;"):
        arguments = (late.format(barrier=barrier), np.zeros(128, np.uint32))
        if barrier:
            run(*arguments, n_threads=128, shared_bytes=512)
            continue
        with pytest.raises(Fault, match=r"race: (threads|warps) read and write"):
            run(*arguments, n_threads=128, shared_bytes=512)


@pytest.mark.parametrize(
    ("mode", "by", "bound", "expected"),
    [
        ("idx", 3, 0x1F, np.full(32, 3)),
        ("up", 2, 0, np.where(LANES < 2, LANES, LANES - 2)),
        ("down", 5, 0x1F, np.where(LANES > 26, LANES, LANES + 5)),
        ("bfly", 9, 0x1F, LANES ^ 9),
        ("down", 1, 0x1803 | 7, np.where(LANES % 8 == 7, LANES, LANES + 1)),
        ("idx", 6, 0x181F, LANES // 8 * 8 + 6),
    ],
)
def test_shuffles(mode, by, bound, expected):
    body = f"""
    add.u32 %r10, %r0, 100;
    shfl.sync.{mode}.b32 %r11|%p1, %r10, {by}, {bound}, -1;
    st.global.u32 [%rd11], %r11;"""
    (got,), _, _ = run(body, np.zeros(64, np.uint32), n_threads=64)
    assert (got == np.concatenate([expected + 100, expected + 132])).all()


def test_votes_and_reductions_of_a_warp():
    body = """
    setp.lt.u32 %p1, %r0, 40;
    vote.sync.ballot.b32 %r10, %p1, 0xffffffff;
    vote.sync.all.pred %p2, %p1, 0xffffffff;
    vote.sync.any.pred %p3, %p1, -1;
    selp.u32 %r11, 1, 0, %p2;
    selp.u32 %r12, 2, 0, %p3;
    add.u32 %r11, %r11, %r12;
    redux.sync.add.s32 %r13, %r0, -1;
    mad.lo.u32 %r11, %r13, 16, %r11;
    st.global.u32 [%rd11], %r10;
    st.global.u32 [%rd12], %r11;"""
    (ballot, rest), _, _ = run(body, *np.zeros((2, 96), np.uint32), n_threads=96)
    assert (ballot.reshape(3, 32)[:, 0] == [0xFFFFFFFF, 0xFF, 0]).all()
    sums = np.arange(96).reshape(3, 32).sum(axis=1)
    assert (rest.reshape(3, 32)[:, 5] == sums * 16 + [3, 2, 0]).all()


def test_memory_of_every_width():
    body = """
    mad.wide.u32 %rd20, %r0, 16, %rd1;
    mad.wide.u32 %rd21, %r0, 16, %rd2;
    ld.global.nc.v4.f32 {%f1, _, %f3, %f4}, [%rd20];
    ld.global.s8 %r10, [%rd20+4];
    ld.global.u8 %rs1, [%rd20+5];
    ld.global.u16 %rs2, [%rd20+6];
    cvt.u32.u16 %r11, %rs1;
    shl.b32 %r11, %r11, 8;
    and.b32 %r10, %r10, 255;
    or.b32 %r10, %r10, %r11;
    cvt.u16.u32 %rs3, %r10;
    mov.b32 %r12, {%rs3, %rs2};
    mov.b64 %rd22, {%r12, %r10};
    mov.b64 {%r13, _}, %rd22;
    mov.b32 %f2, %r13;
    st.global.v2.f32 [%rd21], {%f1, %f2};
    st.global.v2.f32 [%rd21+8], {%f3, %f4};
    st.volatile.global.u16 [%rd21+2], 7;"""
    a = np.random.default_rng(1).integers(0, 2**32, 128, dtype=np.uint32)
    (_, got), _, _ = run(body, a, np.zeros(128, np.uint32))
    a[::4] = a[::4] & 0xFFFF | 7 << 16
    assert (got == a).all()


def test_generic_addresses_and_shared_arrays():
    body = """
    .shared .align 8 .b8 own[128];
    mov.u64 %rd20, own;
    cvta.shared.u64 %rd21, %rd20;
    mad.wide.u32 %rd21, %r0, 4, %rd21;
    st.u32 [%rd21], %r0;
    cvta.to.shared.u64 %rd22, %rd21;
    ld.shared.u32 %r10, [%rd22];
    mov.u64 %rd23, room;
    add.s64 %rd23, %rd23, 4;
    cvt.u32.u64 %r11, %rd23;
    st.shared.u32 [%r11+-4], 5;
    bar.warp.sync -1;
    ld.shared.u32 %r12, [room];
    cvta.global.u64 %rd24, %rd11;
    mad.lo.u32 %r12, %r12, %r10, %r0;
    st.u32 [%rd24], %r12;"""
    (got,), _, _ = run(body, np.zeros(32, np.uint32), shared_bytes=16)
    assert (got == 6 * LANES).all()


def test_atomic_additions_lose_nothing():
    body = """
    red.global.add.f32 [%rd1], 0f3F800000;
    atom.global.add.u32 %r10, [%rd2], 2;
    mad.wide.u32 %rd20, %r10, 2, %rd3;
    st.global.u32 [%rd20], 1;"""
    arrays = np.zeros(1, np.float32), np.zeros(1, np.uint32), np.zeros(192, np.uint32)
    (total, n, seen), _, _ = run(body, *arrays, n_threads=64, grid=(3, 1))
    assert (total[0], n[0]) == (192, 384)
    assert seen.all()


def test_names_in_inline_assembly_stay_in_it():
    body = """
    mov.u32 %r10, 1;
    {
        .reg .b32 own;
        .reg .pred %p1;
        mov.u32 own, 5;
        setp.eq.u32 %p1, own, 5;
        @%p1 bra there;
        mov.u32 own, 6;
    there:
        add.u32 %r10, %r10, own;
    }
    {
        .reg .b32 own;
        mov.u32 own, 7;
        bra there;
        mov.u32 own, 8;
    there: add.u32 %r10, %r10, own; }
    st.global.u32 [%rd11], %r10;"""
    (got,), _, _ = run(body, np.zeros(32, np.uint32))
    assert (got == 13).all()


@pytest.mark.parametrize(
    ("stride", "width", "expected"),
    [(4, 4, 0), (8, 4, 1), (128, 4, 31), (0, 4, 0), (16, 16, 0), (12, 4, 0), (32, 16, 4)],
)
def test_bank_conflicts_are_counted(stride, width, expected):
    kind = {4: "st.shared.u32 [%rd20], %r0", 16: "ld.shared.v4.u32 {%r10, _, _, _}, [%rd20]"}[width]
    fill = "".join(f"st.shared.u32 [%rd21+{128 * n}], 0;" for n in range(32))
    body = f"""
    mov.u64 %rd20, room;
    mad.wide.u32 %rd21, %r0, 4, %rd20;
    {fill}
    bar.sync 0;
    mad.wide.u32 %rd20, %r0, {stride}, %rd20;
    {"mov.u32 %r0, 3;" if stride == 0 else ""}
    {kind};"""
    _, _, conflicts = run(body, shared_bytes=4096)
    assert sum(conflicts.values()) == expected


def test_a_kernel_says_where_it_went_wrong():
    with pytest.raises(
        Fault, match=r"tiny, line \d+ \(ld\.global\.u32 %r10, \[%rd11\+32\]\): out of"
    ):
        run("ld.global.u32 %r10, [%rd11+32];", np.zeros(32, np.uint32))


def test_parameters_with_what_newer_compilers_say_of_pointers():
    text = (
        ".visible .entry k(.param .u64 .ptr .align 1 k_a, .param .u64 .ptr .global .align 16 k_b,"
    )
    text += ".param .align 4 .u32 k_c)\n.maxntid 64, 1, 1\n{ ret; }"
    program = parse(text)
    assert program.parameters == [("k_a", "u64"), ("k_b", "u64"), ("k_c", "u32")]
    assert program.max_threads == 64
