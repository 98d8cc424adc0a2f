"""The arithmetic of one LSTM cell: the only copy. Every function takes floats or vectors of floats.

Activations come from ``2**t``: splitting off the integer part of t leaves a polynomial on
[-1/2, 1/2], which vectorises, where a call into a maths library would not. The order of operations
is fixed and each is rounded as IEEE 754 says, so a scalar and a lane of a vector agree to the bit.

h is off by less than 3e-7 (float64: 1e-15), and c by less than 4e-7 of its magnitude or of 1: what
rounding costs with exact exponentials too. NaN gives NaN; z = +-inf gives the limits. Denormal
numbers are kept: no mode of the processor is switched for them, which the whole process would feel.
"""

from __future__ import annotations

from math import factorial, log
from typing import Any

from numba import types
from numba.extending import overload

from streamrnn.kernels.jit import fma, kernel
from streamrnn.kernels.rnn.simd import clamp, element_of, like, power_of_two

LOG2_E = 1.0 / log(2.0)

# (2**r - 1) / r interpolated at Chebyshev's nodes; with the 1 kept exact, relative error 9e-9.
_S1, _S2, _S3 = 0.6931471824645996, 0.24022650718688965, 0.055503569543361664
_S4, _S5, _S6 = 0.009618083015084267, 0.0013390863314270973, 0.00015453163359779865
# Taylor: the first term left out is below 1e-17.
_D1, _D2, _D3, _D4, _D5, _D6, _D7, _D8, _D9, _D10, _D11, _D12, _D13 = (
    log(2.0) ** k / factorial(k) for k in range(1, 14)
)
#: Adding 1.5 * 2**(mantissa bits) rounds to an integer, which then stands in the lowest bits; the
#: exponent's bias is added with it (see `power_of_two`).
_ROUND_SINGLE, _ROUND_DOUBLE = 1.5 * 2.0**23 + 127.0, 1.5 * 2.0**52 + 1023.0
#: Largest exponent to each side. The product of three terms 1 + 2**t must be finite, and beyond it
#: a sigmoid is nearer to its limit than the rounding of 1.
_LIMIT_SINGLE, _LIMIT_DOUBLE = 42.0, 340.0


def _exp_single(z: Any, scale: Any) -> Any:
    bound = like(z, _LIMIT_SINGLE / abs(scale))
    z = clamp(z, like(z, 0.0) - bound, bound)
    shifted = fma(z, like(z, scale), like(z, _ROUND_SINGLE))
    r = fma(z, like(z, scale), like(z, _ROUND_SINGLE) - shifted)
    p = fma(like(z, _S6), r, like(z, _S5))
    p = fma(p, r, like(z, _S4))
    p = fma(p, r, like(z, _S3))
    p = fma(p, r, like(z, _S2))
    p = fma(p, r, like(z, _S1))
    return fma(p, r, like(z, 1.0)) * power_of_two(shifted)


def _exp_double(z: Any, scale: Any) -> Any:
    bound = like(z, _LIMIT_DOUBLE / abs(scale))
    z = clamp(z, like(z, 0.0) - bound, bound)
    shifted = fma(z, like(z, scale), like(z, _ROUND_DOUBLE))
    r = fma(z, like(z, scale), like(z, _ROUND_DOUBLE) - shifted)
    p = fma(like(z, _D13), r, like(z, _D12))
    p = fma(p, r, like(z, _D11))
    p = fma(p, r, like(z, _D10))
    p = fma(p, r, like(z, _D9))
    p = fma(p, r, like(z, _D8))
    p = fma(p, r, like(z, _D7))
    p = fma(p, r, like(z, _D6))
    p = fma(p, r, like(z, _D5))
    p = fma(p, r, like(z, _D4))
    p = fma(p, r, like(z, _D3))
    p = fma(p, r, like(z, _D2))
    p = fma(p, r, like(z, _D1))
    return fma(p, r, like(z, 1.0)) * power_of_two(shifted)


def exp2(z: Any, scale: float) -> Any:
    """Return ``2**(scale z)``, the exponent held to +-42 (float64: +-340); 1 at 0, NaN for NaN."""
    raise NotImplementedError("exp2 is for kernels")


@overload(exp2)
def _exp2(z: Any, scale: Any) -> Any:
    element = element_of(z)
    if element == types.float32:
        return _exp_single
    if element == types.float64:
        return _exp_double
    return None


@kernel
def cell(z_i: Any, z_f: Any, z_g: Any, z_o: Any, c: Any) -> Any:
    """Do one step of a cell (Hochreiter & Schmidhuber 1997, Gers et al. 2000).

    With ``e = exp(-z)``, and ``exp(-2 z)`` for g, the gates are 1 / (1 + e) and (1 - e) / (1 + e).
    Brought to a common denominator, the five divisions become two::

        c' = (c (1 + e_i)(1 + e_g) + (1 - e_g)(1 + e_f)) / ((1 + e_i)(1 + e_g)(1 + e_f))
        h  = (1 - e_c) / ((1 + e_o)(1 + e_c))

    Parameters
    ----------
    z_i, z_f, z_g, z_o : float or vector
        Pre-activations of the input, forget, candidate and output gates.
    c : float or vector
        Cell state before; below 1e12 in magnitude.

    Returns
    -------
    c, h
        Cell state after, hidden value.
    """
    e_i, e_f, e_g, e_o = exponentials(z_i, z_f, z_g, z_o)
    return cell_of_exponentials(e_i, e_f, e_g, e_o, c)


@kernel
def exponentials(z_i: Any, z_f: Any, z_g: Any, z_o: Any) -> Any:
    """Return e_i, e_f, e_g, e_o: what `cell` makes of the pre-activations first."""
    return (
        exp2(z_i, -LOG2_E),
        exp2(z_f, -LOG2_E),
        exp2(z_g, -2.0 * LOG2_E),
        exp2(z_o, -LOG2_E),
    )


@kernel
def cell_of_exponentials(e_i: Any, e_f: Any, e_g: Any, e_o: Any, c: Any) -> Any:
    """Return c and h after a step, as `cell` does."""
    one = like(e_i, 1.0)
    a_f = one + e_f
    a_ig = (one + e_i) * (one + e_g)
    c = fma(c, a_ig, (one - e_g) * a_f) / (a_ig * a_f)
    e_c = exp2(c, -2.0 * LOG2_E)
    return c, (one - e_c) / ((one + e_o) * (one + e_c))


@kernel
def cell_backward(
    e_i: Any, e_f: Any, e_g: Any, e_o: Any, c_before: Any, h: Any, d_h: Any, d_c: Any
) -> Any:
    """Do one step of a cell backwards.

    Parameters
    ----------
    e_i, e_f, e_g, e_o : float or vector
        The exponentials of the step.
    c_before, h : float or vector
        Cell state before the step, hidden value after it.
    d_h, d_c : float or vector
        Gradients at the hidden value and, from the step behind, at the cell state.

    Returns
    -------
    d_z_i, d_z_f, d_z_g, d_z_o, d_c_before
        Gradients at the pre-activations and at the cell state before.
    """
    one = like(e_i, 1.0)
    a_i, a_f, a_g, a_o = one + e_i, one + e_f, one + e_g, one + e_o
    both = one / (a_i * a_f)
    i, f = both * a_f, both * a_i
    both = one / (a_g * a_o)
    g, o = (one - e_g) * (both * a_o), both * a_g
    tanh_c = h * a_o
    d_c = fma(d_h * o, one - tanh_c * tanh_c, d_c)
    d_z_i = d_c * g * (i * (one - i))
    d_z_f = d_c * c_before * (f * (one - f))
    d_z_g = d_c * i * (one - g * g)
    d_z_o = d_h * tanh_c * (o * (one - o))
    return d_z_i, d_z_f, d_z_g, d_z_o, d_c * f
