"""What the tensor-core kernels compute, in NumPy, and how far that can be from exact arithmetic."""

from __future__ import annotations

import numpy as np

from streamrnn.kernels.cuda.tensor.layout import bf16_bits
from streamrnn.kernels.params import LayerParams

#: Half a unit in the last place of bfloat16.
U = 2.0**-9
#: What float32 sums lose of the sum of magnitudes, however a device adds the products of a tile.
SUMS_OFF = 2.0**-21
F32 = np.float32


def rounded(a):
    """Return the nearest bfloat16 numbers, as float32."""
    return (bf16_bits(a).astype(np.uint32) << np.uint32(16)).view(F32)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def same_arithmetic(layer: LayerParams, x, h, c, ends=None):
    """Return hs, h, c as the kernels make them, to the bit where a device's tanh is exact.

    Weights of i, f and o are halved; sums start at the bias, each 16 products are added exactly and
    rounded once, inputs first.
    """
    n_units, n_in = layer.w_hh.shape[1], layer.w_ih.shape[1]
    half = np.repeat(np.array([0.5, 0.5, 1, 0.5], F32), n_units)
    w_ih, w_hh = (
        _tiles(rounded(w * half[:, None])).astype(np.float64) for w in (layer.w_ih, layer.w_hh)
    )
    hs, h, c = [], rounded(h), c.copy()
    for t in range(len(x)):
        z = np.tile(layer.b * half, (len(h), 1)).astype(F32)
        for signal, w in ((x[t], w_ih), (h, w_hh)):
            values = _tiles(rounded(signal)).astype(np.float64)
            for k in range(0, w.shape[1], 16):
                z = (z + values[:, k : k + 16] @ w[:, k : k + 16].T).astype(F32)
        i, f, g, o = np.split(np.tanh(z.astype(np.float64)).astype(F32).astype(np.float64), 4, 1)
        i, f, o = ((0.5 * gate + 0.5).astype(F32).astype(np.float64) for gate in (i, f, o))
        new_c = (f * c + (i * g).astype(F32)).astype(F32)
        new_h = rounded((o * np.tanh(new_c.astype(np.float64)).astype(F32)).astype(F32))
        live = (np.ones(len(h), bool) if ends is None else t < ends)[:, None]
        h, c = np.where(live, new_h, h), np.where(live, new_c, c)
        hs.append(h)
    assert n_in == x.shape[2]
    return np.array(hs, F32).reshape(len(x), len(h), n_units), h, c


def _tiles(a):
    """Return columns padded with zeros to a multiple of 16."""
    return np.pad(a, ((0, 0), (0, -a.shape[1] % 16)))


def exact_and_bound(layer: LayerParams, x, h, c, tanh_off):
    """Return hs in float64, from weights that are not rounded, and how far ours may be from them.

    The sum of the errors that streamrnn/kernels/cuda/tensor.py lists, step by step; `tanh_off` is
    that of the device's tanh.
    """
    w_ih, w_hh = layer.w_ih.astype(np.float64), layer.w_hh.astype(np.float64)
    h, c = h.astype(np.float64), c.astype(np.float64)
    d_h, d_c = U * np.abs(h), np.zeros_like(c)
    hs, bounds = [], []
    for t in range(len(x)):
        z = layer.b + x[t] @ w_ih.T + h @ w_hh.T
        x_size, h_size = np.abs(x[t]) @ np.abs(w_ih).T, np.abs(h) @ np.abs(w_hh).T
        # What rounding h does is in d_h already.
        d_z = (2 * U + U**2) * x_size + U * h_size + (1 + U) * d_h @ np.abs(w_hh).T
        d_z += SUMS_OFF * (x_size + h_size + np.abs(layer.b))
        i, f, o = (sigmoid(part) for part in (np.split(z, 4, 1)[n] for n in (0, 1, 3)))
        g = np.tanh(np.split(z, 4, 1)[2])
        d_i, d_f, d_g, d_o = np.split(d_z, 4, 1)
        d_i, d_f, d_o = (np.minimum(d / 4 + tanh_off / 2 + 2.0**-23, 1) for d in (d_i, d_f, d_o))
        d_g = np.minimum(d_g + tanh_off + 2.0**-23, 2)
        d_c = f * d_c + d_f * (np.abs(c) + d_c) + d_i * (np.abs(g) + d_g) + i * d_g
        c = f * c + i * g
        d_c += 2.0**-22 * (np.abs(c) + 1)
        h = o * np.tanh(c)
        d_h = o * (d_c + tanh_off) + d_o * (np.abs(np.tanh(c)) + d_c + tanh_off) + 2.0**-22
        d_h = np.minimum(d_h + U * (np.abs(h) + d_h), 2)
        hs.append(h)
        bounds.append(d_h)
    return np.array(hs), np.array(bounds)
