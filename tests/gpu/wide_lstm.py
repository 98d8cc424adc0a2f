"""The network in float64 over a BLAS: what large sizes are held to. Written apart from the oracle.

Its sums have no fixed order, which float32 does not notice.
"""

from __future__ import annotations

import numpy as np


def forward_and_backward(params, x, state, d_logits, lengths, mask, d_end):
    """Run and go back.

    Parameters
    ----------
    params : Params
    x : (T, B, I)
    state, d_end : State
        At the start, and the gradient at the end.
    d_logits : (T, B, C)
    lengths : int64 (B,)
    mask : (B, H_last)

    Returns
    -------
    logits : (T, B, C)
    h, c : lists of (B, H), one a layer
        At the end.
    grads : list of arrays, in the order of ``Params.arrays()``
    d_x : (T, B, I)
    d_h, d_c : lists of (B, H)
        Gradient at the start.
    """
    live = np.arange(len(x))[:, None] < lengths
    signal = np.where(live[..., None], x, 0).astype(np.float64)
    tapes, ends_h, ends_c = [], [], []
    for layer, h, c in zip(params.layers, state.h, state.c, strict=True):
        tape, h_end, c_end = _layer(layer, signal, h.astype(np.float64), c.astype(np.float64), live)
        tapes.append(tape)
        ends_h.append(h_end)
        ends_c.append(c_end)
        signal = tape["h"][1:]
    inputs = signal * mask * live[..., None]
    logits = (inputs @ params.w_out.T.astype(np.float64) + params.b_out) * live[..., None]

    d_out = np.where(live[..., None], d_logits, 0).astype(np.float64)
    head = [np.einsum("tbc,tbh->ch", d_out, inputs, optimize=True), d_out.sum((0, 1))]
    d_signal = d_out @ params.w_out.astype(np.float64) * mask
    grads, d_h, d_c = [], [], []
    for n in reversed(range(len(params.layers))):
        found, d_signal, at_h, at_c = _layer_back(
            params.layers[n], tapes[n], d_signal, d_end.h[n], d_end.c[n], live
        )
        grads[:0], d_h[:0], d_c[:0] = found, [at_h], [at_c]
    return logits, ends_h, ends_c, [*grads, *head], d_signal, d_h, d_c


def _layer(layer, x, h, c, live):
    n_steps, n_rows, _ = x.shape
    n = h.shape[1]
    hs, cs = np.empty((n_steps + 1, n_rows, n)), np.empty((n_steps + 1, n_rows, n))
    gates = np.empty((n_steps, n_rows, 4 * n))
    hs[0], cs[0] = h, c
    z_in = x @ layer.w_ih.T.astype(np.float64) + layer.b
    w_hh = layer.w_hh.T.astype(np.float64)
    for t in range(n_steps):
        z = z_in[t] + hs[t] @ w_hh
        a = gates[t]
        a[:] = 1 / (1 + np.exp(-z))
        a[:, 2 * n : 3 * n] = np.tanh(z[:, 2 * n : 3 * n])
        i, f, g, o = np.split(a, 4, axis=1)
        on = live[t][:, None]
        cs[t + 1] = np.where(on, f * cs[t] + i * g, cs[t])
        hs[t + 1] = np.where(on, o * np.tanh(cs[t + 1]), hs[t])
    return {"x": x, "h": hs, "c": cs, "gates": gates}, hs[-1], cs[-1]


def _layer_back(layer, tape, d_signal, d_h, d_c, live):
    x, hs, cs, gates = tape["x"], tape["h"], tape["c"], tape["gates"]
    d_h, d_c = d_h.astype(np.float64), d_c.astype(np.float64)
    w_hh = layer.w_hh.astype(np.float64)
    d_z = np.zeros_like(gates)
    for t in reversed(range(len(x))):
        i, f, g, o = np.split(gates[t], 4, axis=1)
        on = live[t][:, None]
        tanh_c = np.tanh(cs[t + 1])
        at_h = d_h + d_signal[t]
        at_c = d_c + at_h * o * (1 - tanh_c**2)
        parts = (
            at_c * g * i * (1 - i),
            at_c * cs[t] * f * (1 - f),
            at_c * i * (1 - g**2),
            at_h * tanh_c * o * (1 - o),
        )
        d_z[t] = np.where(on, np.concatenate(parts, axis=1), 0)
        d_h = np.where(on, d_z[t] @ w_hh, d_h)
        d_c = np.where(on, at_c * f, d_c)
    flat = d_z.reshape(-1, d_z.shape[-1])
    found = [
        flat.T @ x.reshape(len(flat), -1),
        flat.T @ hs[:-1].reshape(len(flat), -1),
        flat.sum(0),
    ]
    return found, d_z @ layer.w_ih.astype(np.float64), d_h, d_c
