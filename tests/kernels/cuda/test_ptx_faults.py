"""Faults in small pieces of PTX, which our compiler would not write: each must be found."""

from __future__ import annotations

import numpy as np
import pytest
from ptx_memory import Fault
from ptx_run import run


def test_a_barrier_that_some_threads_pass_by_is_found():
    body = "setp.gt.u32 %p1, %r0, 40;\n@%p1 bra over;\nbar.sync 0;\nover:\n"
    with pytest.raises(Fault, match=r"bar\.sync.*wait at a barrier that others"):
        run(body, n_threads=64)


def test_different_barriers_are_not_one():
    body = """
    setp.gt.u32 %p1, %r0, 31;
    @%p1 bra other;
    bar.sync 0;
    bra over;
other:
    bar.sync 0;
over:"""
    with pytest.raises(Fault, match=r"divergent barrier"):
        run(body, n_threads=64)


def test_a_shuffle_without_all_that_it_names_is_found():
    body = (
        "setp.gt.u32 %p1, %r0, 7;\n@%p1 bra over;\nshfl.sync.idx.b32 %r10, %r0, 1, 31, -1;\nover:\n"
    )
    with pytest.raises(Fault, match="lanes 0x000000ff of a warp are here, 0xffffffff are named"):
        run(body)
    with pytest.raises(Fault, match="does not take part"):
        run(body.replace("1, 31, -1", "9, 31, 255"))


def test_lanes_that_store_different_values_to_one_place_are_found():
    for value in ("%r0", "%r1", "%r2"):
        body = f"shr.u32 %r2, %r0, 5;\nst.global.u32 [%rd1], {value};"
        with pytest.raises(Fault, match="lanes store different values"):
            run(body, np.zeros(1, np.uint32), n_threads=64, grid=(2, 1))
    body = """
    setp.lt.u32 %p1, %r0, 32;
    @%p1 st.global.u32 [%rd1], 1;
    @!%p1 st.global.u32 [%rd1], 2;"""
    with pytest.raises(Fault, match="race: threads write different values"):
        run(body, np.zeros(1, np.uint32), n_threads=64)
    run("st.global.u32 [%rd1], 5;", np.zeros(1, np.uint32), n_threads=64)


def test_a_block_that_reads_what_another_writes_is_found():
    body = """
    setp.eq.u32 %p1, %r1, 0;
    setp.eq.u32 %p2, %r1, {reader};
    @%p1 st.global.u32 [%rd11], 1;
    @%p2 ld.global.u32 %r10, [%rd11];"""
    with pytest.raises(Fault, match=r"race: (threads|warps) read and write"):
        run(body.format(reader=1), np.zeros(32, np.uint32), grid=(2, 1))
    # These two do not even run at the same time here.
    with pytest.raises(Fault, match="race: blocks read and write"):
        run(body.format(reader=11), np.zeros(1024, np.uint32), n_threads=1024, grid=(12, 1))


def test_warps_that_share_global_memory_need_a_barrier():
    body = """
    st.global.u32 [%rd11], %r0;
    {barrier}
    xor.b32 %r10, %r0, 32;
    mad.wide.u32 %rd20, %r10, 4, %rd1;
    ld.global.u32 %r11, [%rd20];"""
    run(body.format(barrier="bar.sync 0;"), np.zeros(64, np.uint32), n_threads=64)
    with pytest.raises(Fault, match=r"race: (threads|warps) read and write"):
        run(body.format(barrier=""), np.zeros(64, np.uint32), n_threads=64)


def test_an_atomic_operation_races_with_a_plain_one():
    body = "setp.eq.u32 %p1, %r0, 40;\n{plain}\nred.global.add.u32 [%rd1], 1;"
    run(body.format(plain=""), np.zeros(1, np.uint32), n_threads=64)
    for plain in ("@%p1 st.global.u32 [%rd1], 0;", "@%p1 ld.global.u32 %r10, [%rd1];"):
        with pytest.raises(Fault, match="race"):
            run(body.format(plain=plain), np.zeros(1, np.uint32), n_threads=64)


def test_a_null_pointer_is_found():
    with pytest.raises(Fault, match=r"0x0, which belongs to no allocation"):
        run("mov.u64 %rd20, 0;\nld.global.u32 %r10, [%rd20];")
