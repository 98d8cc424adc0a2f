"""Weights from and to other libraries: PyTorch's two biases, and other orders of the gates.

Here the order is i, f, g, o, as in PyTorch's ``nn.LSTM``. ONNX stores i, o, f, c; Keras i, f, c, o
(its candidate c is g). Only this module knows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streamrnn.core.types import Floats
from streamrnn.kernels.params import Params
from streamrnn.model.params import from_tensors, to_tensors
from streamrnn.model.spec import MAX_LAYERS, NetworkSpec

#: Our gates, in the order in which others store them.
GATE_ORDERS = {"torch": (0, 1, 2, 3), "keras": (0, 1, 2, 3), "onnx": (0, 3, 1, 2)}


def reorder_gates(array: Floats, library: str, *, to_ours: bool) -> Floats:
    """Return a copy with its blocks of gate rows put into another order.

    Parameters
    ----------
    array : (4H, ...)
    library : {"torch", "keras", "onnx"}
    to_ours : bool
        True: from the library's order to i, f, g, o; False: the other way.

    Raises
    ------
    ValueError
        No such library, or a first axis that four gates cannot share.
    """
    if library not in GATE_ORDERS:
        raise ValueError(f"no gate order {library!r}; known: {', '.join(GATE_ORDERS)}")
    if array.shape[0] % 4:
        raise ValueError(f"the first axis must be 4 H long, got {array.shape[0]}")
    blocks = np.split(array, 4)
    order = GATE_ORDERS[library]
    picked = (
        [blocks[order.index(gate)] for gate in range(4)]
        if to_ours
        else [blocks[gate] for gate in order]
    )
    return np.concatenate(picked)


def from_torch(lstm: Mapping[str, Floats], head_weight: Floats, head_bias: Floats) -> Params:
    """Return the weights of a ``torch.nn.LSTM`` and a ``torch.nn.Linear``.

    Parameters
    ----------
    lstm : mapping of str to array
        ``state_dict()`` of a unidirectional LSTM without projection, as NumPy arrays. Its two
        biases are added.
    head_weight, head_bias : (C, H), (C,)

    Raises
    ------
    ValueError
        Names or shapes that such an LSTM does not have.
    """
    n_layers = sum(name.startswith("weight_hh_l") for name in lstm)
    if not 1 <= n_layers <= MAX_LAYERS:
        raise ValueError(f"no LSTM of 1..{MAX_LAYERS} layers in {sorted(lstm)}")
    tensors: dict[str, Floats] = {"head.weight": head_weight, "head.bias": head_bias}
    hidden = []
    for n in range(n_layers):
        names = [f"{kind}_l{n}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        if any(name not in lstm for name in names):
            raise ValueError(f"layer {n} lacks one of {names}")
        w_ih, w_hh, b_ih, b_hh = (lstm[name] for name in names)
        tensors[f"lstm.weight_ih_l{n}"] = w_ih
        tensors[f"lstm.weight_hh_l{n}"] = w_hh
        tensors[f"lstm.bias_ih_l{n}"] = b_ih + b_hh
        hidden.append(int(w_hh.shape[1]))
    n_inputs = int(lstm["weight_ih_l0"].shape[1])
    spec = NetworkSpec(n_inputs, tuple(hidden), len(head_bias), head_weight.dtype.name)
    return from_tensors(spec, tensors)


def to_torch(params: Params) -> tuple[dict[str, Floats], Floats, Floats]:
    """Return what `from_torch` takes; the second bias is zero. Arrays are copies."""
    lstm: dict[str, Floats] = {}
    for name, array in to_tensors(params).items():
        room, _, tensor = name.partition(".")
        if room == "lstm":
            lstm[tensor] = array.copy()
            if tensor.startswith("bias_ih"):
                lstm[tensor.replace("bias_ih", "bias_hh")] = np.zeros_like(array)
    return lstm, params.w_out.copy(), params.b_out.copy()
