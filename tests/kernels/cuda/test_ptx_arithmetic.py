"""The interpreter's arithmetic against exact numbers, Python and NumPy."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ptx_parse import Unsupported
from ptx_run import run

BITS = st.integers(0, 2**32 - 1)
MANY = st.lists(st.tuples(BITS, BITS, BITS), min_size=1, max_size=32)
WORDS = st.lists(st.tuples(BITS, BITS), min_size=1, max_size=32)
#: Where rounding, clamping and signs show.
EDGES = [0.0, -0.0, 1.0, -1.5, 2.5, 1e-45, -1e-40, 2.0**-126, 3.4e38, math.inf, -math.inf, math.nan]
LARGEST = Fraction(float(np.finfo(np.float32).max))


def nearest(x: Fraction) -> np.float32:
    """Round to float32, to nearest, ties to even, from the definition."""
    if abs(x) >= LARGEST + Fraction(2) ** 103:
        return np.float32(math.copysign(math.inf, x))
    guess = np.float32(min(max(float(x), -float(LARGEST)), float(LARGEST)))
    ends = (np.float32(-math.inf), np.float32(math.inf))
    around = [guess, *(np.nextafter(guess, end) for end in ends)]
    finite = [g for g in around if np.isfinite(g)]
    return min(finite, key=lambda g: (abs(Fraction(float(g)) - x), g.view(np.uint32) & 1))


def floats(columns: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Return columns of bit patterns as float32 arrays of 32."""
    rows = (columns * 32)[:32]
    return [np.array(column, np.uint32).view(np.float32) for column in zip(*rows, strict=True)]


def compute(operation: str, *rows: np.ndarray, out: str = "f32") -> np.ndarray:
    """Execute one instruction on float32 or 32-bit rows."""
    kinds = ["f" if row.dtype.kind == "f" else "r" for row in rows]
    names = [f"%{kind}{n}" for n, kind in enumerate(kinds, 10)]
    loads = [
        f"ld.global.{'f32' if kind == 'f' else 'u32'} {name}, [%rd{12 + n}];"
        for n, (kind, name) in enumerate(zip(kinds, names, strict=True))
    ]
    to = "%f1" if out == "f32" else "%r5"
    body = "\n".join(
        [*loads, f"{operation} {to}, {', '.join(names)};", f"st.global.{out} [%rd11], {to};"]
    )
    dtype = {"f32": np.float32, "u32": np.uint32}[out]
    return run(body, np.zeros(32, dtype), *rows, blank=(0,))[0][0]


def same(got: np.ndarray, expected: np.ndarray) -> bool:
    """Compare bits; one NaN is as good as another."""
    both = np.isnan(got) & np.isnan(expected)
    return bool(((got.view(np.uint32) == expected.view(np.uint32)) | both).all())


@given(rows=MANY)
def test_fma_rounds_once(rows):
    a, b, c = floats(rows)
    got = compute("fma.rn.f32", a, b, c)
    for x, y, z, r in zip(a, b, c, got, strict=True):
        if np.isfinite([x, y, z]).all():
            exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
            assert r == nearest(exact)
        else:
            with np.errstate(all="ignore"):
                assert same(np.array([r]), np.array([x * y + z]))


@given(
    i=st.integers(0, 2**11 - 1), j=st.integers(0, 2**11 - 1), k=st.integers(25, 140),
    scale=st.integers(-70, 50), sign=st.sampled_from([-1, 0, 1]),
)  # fmt: skip
def test_fma_sees_what_breaks_a_tie(i, j, k, scale, sign):
    a = np.float32((1 + (2 * i + 1) * 2.0**-12) * 2.0**scale)
    b, c = np.float32(1 + (2 * j + 1) * 2.0**-12), np.float32(sign * 2.0 ** (scale - k))
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    got = compute("fma.rn.f32", *(np.full(32, v) for v in (a, b, c)))
    assert (got == nearest(exact)).all()


@given(rows=MANY)
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
def test_plain_operations_are_correctly_rounded(name, rows):
    a, b, _ = floats(rows)
    operation = {"add": "add.rn.f32", "sub": "sub.rn.f32", "mul": "mul.rn.f32", "div": "div.rn.f32"}
    got = compute(operation[name], a, b)
    for x, y, r in zip(a, b, got, strict=True):
        if np.isfinite([x, y]).all() and (name != "div" or y != 0):
            p, q = Fraction(float(x)), Fraction(float(y))
            exact = {"add": p + q, "sub": p - q, "mul": p * q, "div": p / q if q else p}[name]
            assert r == nearest(exact)


@given(rows=MANY)
def test_rounding_to_zero_cuts_off(rows):
    a, b, c = floats(rows)
    sums, products = compute("add.rz.f32", a, b), compute("mul.rz.f32", a, b)
    fused = compute("fma.rz.f32", a, b, c)
    for x, y, z, *got in zip(a, b, c, sums, products, fused, strict=True):
        if np.isfinite([x, y, z]).all():
            p, q, r = (Fraction(float(v)) for v in (x, y, z))
            for exact, value in zip((p + q, p * q, p * q + r), got, strict=True):
                if abs(exact) <= LARGEST:
                    beyond = np.nextafter(value, np.float32(math.copysign(math.inf, exact)))
                    assert abs(Fraction(float(value))) <= abs(exact)
                    assert not np.isfinite(beyond) or abs(Fraction(float(beyond))) > abs(exact)


def test_denormals_are_kept_unless_flushed():
    a = np.full(32, 1e-40, np.float32)
    one = np.ones(32, np.float32)
    assert (compute("mul.rn.f32", a, one) == a).all()
    assert not compute("mul.rn.ftz.f32", a, one).any()
    assert np.signbit(compute("fma.rn.ftz.f32", -a, one, -0.0 * one)).all()


def test_reciprocals_and_roots():
    a = np.linspace(0.01, 9, 32, dtype=np.float32)
    assert (compute("rcp.rn.f32", a) == 1 / a).all()
    assert (compute("sqrt.rn.f32", a) == np.sqrt(a)).all()
    wide = a.astype(np.float64)
    for name, expected in (
        ("ex2", np.exp2(wide)), ("lg2", np.log2(wide)), ("tanh", np.tanh(wide)),
        ("rsqrt", wide**-0.5), ("rcp", 1 / wide),
    ):  # fmt: skip
        assert (compute(f"{name}.approx.f32", a) == expected.astype(np.float32)).all()


def test_the_smaller_and_the_larger_of_numbers_zeros_and_nan():
    a, b = (grid.astype(np.float32).ravel() for grid in np.meshgrid(EDGES, EDGES))
    for start in range(0, len(a), 32):
        x, y = (np.resize(v[start : start + 32], 32) for v in (a, b))
        low, high = compute("min.f32", x, y), compute("max.f32", x, y)
        assert (low == np.fmin(x, y))[~np.isnan(low)].all()
        assert (high == np.fmax(x, y))[~np.isnan(high)].all()
        assert (np.isnan(low) == (np.isnan(x) & np.isnan(y))).all()
        zeros = (x == 0) & (y == 0)
        assert (np.signbit(low) == (np.signbit(x) | np.signbit(y)))[zeros].all()
        assert (np.signbit(high) == (np.signbit(x) & np.signbit(y)))[zeros].all()
        assert (np.isnan(high) == (np.isnan(x) & np.isnan(y))).all()


@pytest.mark.parametrize("rounding", ["rni", "rzi", "rmi", "rpi"])
def test_floats_become_integers(rounding):
    a = np.resize(np.array([*EDGES, 2.5, -2.5, 3.5, 1e10, -1e10, 2147483500], np.float32), 32)
    got = compute(f"cvt.{rounding}.s32.f32", a, out="u32").view(np.int32)
    to = {"rni": round, "rzi": math.trunc, "rmi": math.floor, "rpi": math.ceil}[rounding]
    for x, r in zip(a, got, strict=True):
        if math.isnan(x):
            assert r == 0
        else:
            held = max(min(float(x), 2.0**31), -(2.0**31))
            assert r == min(to(held), 2**31 - 1)


def test_integers_become_floats_and_wider_integers():
    a = np.resize(np.array([0, 1, 2**24 + 1, 2**31 + 129, 2**32 - 1, 2**31], np.uint32), 32)
    assert (compute("cvt.rn.f32.u32", a) == [nearest(Fraction(int(v))) for v in a]).all()
    signed = a.view(np.int32)
    assert (compute("cvt.rn.f32.s32", a) == [nearest(Fraction(int(v))) for v in signed]).all()
    body = """
    ld.global.u32 %r10, [%rd12];
    cvt.s64.s32 %rd30, %r10;
    cvt.u32.u64 %r11, %rd30;
    shr.u64 %rd31, %rd30, 32;
    cvt.u32.u64 %r12, %rd31;
    cvt.u16.u32 %rs1, %r10;
    cvt.s32.s8 %r13, %rs1;
    xor.b32 %r14, %r12, %r13;
    xor.b32 %r14, %r14, %r11;
    st.global.u32 [%rd11], %r14;"""
    (got, _), _, _ = run(body, np.zeros(32, np.uint32), a)
    low = signed.astype(np.int8).astype(np.int32).view(np.uint32)
    assert (got == ((signed.astype(np.int64) >> 32).astype(np.uint32) ^ low ^ a)).all()


def test_bfloat16_rounds_to_nearest_even():
    one = np.float32(1)
    a = np.resize(one + np.array([0, 2**-9, 2**-8, 3 * 2**-8, 2**-8 + 2**-20], np.float32), 32)
    high = np.full(32, -2, np.float32)
    got = compute("cvt.rn.bf16x2.f32", high, a, out="u32")
    assert (got >> 16 == 0xC000).all()
    back = ((got & 0xFFFF) << 16).view(np.float32)
    assert (back[:5] == [1, 1, 1, 1 + 2**-6, 1 + 2**-7]).all()


@given(rows=WORDS)
@settings(max_examples=25)
def test_integer_operations_equal_python(rows):
    a, b = (np.array(column, np.uint32) for column in zip(*(rows * 32)[:32], strict=True))
    signed = [(int(x), int(y)) for x, y in zip(a.view(np.int32), b.view(np.int32), strict=True)]
    plain = [(int(x), int(y)) for x, y in zip(a, b, strict=True)]
    trunc = [int(Fraction(x, y)) if y else -1 for x, y in signed]
    cases = {
        "add.s32": [x + y for x, y in plain],
        "sub.s32": [x - y for x, y in plain],
        "mul.lo.s32": [x * y for x, y in plain],
        "mul.hi.u32": [x * y >> 32 for x, y in plain],
        "mul.hi.s32": [x * y >> 32 for x, y in signed],
        "min.s32": [min(x, y) for x, y in signed],
        "max.u32": [max(x, y) for x, y in plain],
        "div.u32": [x // y if y else -1 for x, y in plain],
        "rem.u32": [x % y if y else x for x, y in plain],
        "div.s32": trunc,
        "rem.s32": [x - q * y if y else x for (x, y), q in zip(signed, trunc, strict=True)],
        "shl.b32": [x << y if y < 32 else 0 for x, y in plain],
        "shr.u32": [x >> min(y, 32) for x, y in plain],
        "shr.s32": [x >> min(y, 32) for (x, _), (_, y) in zip(signed, plain, strict=True)],
        "and.b32": [x & y for x, y in plain],
        "xor.b32": [x ^ y for x, y in plain],
    }
    for operation, expected in cases.items():
        got = compute(operation, a, b, out="u32")
        assert got.tolist() == [v & 0xFFFFFFFF for v in expected], operation
    ones = {
        "not.b32": [~x for x, _ in plain],
        "popc.b32": [x.bit_count() for x, _ in plain],
        "clz.b32": [32 - x.bit_length() for x, _ in plain],
        "brev.b32": [int(f"{x:032b}"[::-1], 2) for x, _ in plain],
    }
    for operation, expected in ones.items():
        assert compute(operation, a, out="u32").tolist() == [v & 0xFFFFFFFF for v in expected]


@given(rows=WORDS, start=st.integers(0, 40), length=st.integers(0, 40))
@settings(max_examples=25)
def test_fields_of_bits_equal_python(rows, start, length):
    a, b = (np.array(column, np.uint32) for column in zip(*(rows * 32)[:32], strict=True))
    at, n = np.full(32, start, np.uint32), np.full(32, length, np.uint32)
    ones = (1 << length) - 1
    field = [int(x) >> start & ones for x in a]
    assert compute("bfe.u32", a, at, n, out="u32").tolist() == field
    mixed = [
        (int(y) & ~(ones << start) | (int(x) & ones) << start) & 0xFFFFFFFF
        for x, y in zip(a, b, strict=True)
    ]
    assert compute("bfi.b32", a, b, at, n, out="u32").tolist() == mixed
    data = [int(y) << 32 | int(x) for x, y in zip(a, b, strict=True)]
    picked = [
        sum((d >> 8 * (p & 7) & 255) << 8 * m for m, p in enumerate((start & 7, 3, length & 7, 6)))
        for d in data
    ]
    chosen = np.full(32, start & 7 | 3 << 4 | (length & 7) << 8 | 6 << 12, np.uint32)
    assert compute("prmt.b32", a, b, chosen, out="u32").tolist() == picked


def test_wide_products_and_high_halves_of_64_bits():
    body = """
    ld.global.u64 %rd20, [%rd12];
    ld.global.u64 %rd21, [%rd13];
    mul.hi.s64 %rd22, %rd20, %rd21;
    mul.hi.u64 %rd23, %rd20, %rd21;
    xor.b64 %rd24, %rd22, %rd23;
    cvt.u32.u64 %r10, %rd20;
    cvt.u32.u64 %r11, %rd21;
    mul.wide.s32 %rd25, %r10, %r11;
    xor.b64 %rd24, %rd24, %rd25;
    st.global.u64 [%rd11], %rd24;"""
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 2**64, (2, 32), dtype=np.uint64)
    (got, _, _), _, _ = run(body, np.zeros(32, np.uint64), a, b)
    signed = lambda v, bits: (int(v) & (1 << bits) - 1) - ((int(v) >> bits - 1 & 1) << bits)  # noqa: E731
    for x, y, r in zip(a, b, got, strict=True):
        high = (signed(x, 64) * signed(y, 64) >> 64) ^ (int(x) * int(y) >> 64)
        assert int(r) == (high ^ signed(x, 32) * signed(y, 32)) & (1 << 64) - 1


@pytest.mark.parametrize("comparison", ["lt", "ne", "neu", "geu", "num", "nan", "eq"])
def test_comparisons_know_nan(comparison):
    a, b = (grid.astype(np.float32).ravel()[:144] for grid in np.meshgrid(EDGES, EDGES))
    body = f"""
    ld.global.f32 %f1, [%rd12];
    ld.global.f32 %f2, [%rd13];
    setp.{comparison}.f32 %p1|%p2, %f1, %f2;
    selp.u32 %r10, 1, 0, %p1;
    selp.u32 %r11, 2, 0, %p2;
    add.u32 %r10, %r10, %r11;
    st.global.u32 [%rd11], %r10;"""
    (got, _, _), _, _ = run(body, np.zeros(144, np.uint32), a, b, n_threads=144)
    nan = np.isnan(a) | np.isnan(b)
    expected = {
        "lt": a < b, "ne": (a != b) & ~nan, "neu": a != b, "geu": (a >= b) | nan, "num": ~nan,
        "nan": nan, "eq": a == b,
    }[comparison]  # fmt: skip
    assert (got == np.where(expected, 1, 2)).all()


def test_an_unknown_instruction_is_named():
    with pytest.raises(Unsupported, match=r"wgmma\.fence"):
        run("wgmma.fence.sync.aligned;")
    with pytest.raises(NotImplementedError, match=r"add\.rm\.f32"):
        run("add.rm.f32 %f1, %f2, %f3;")
