"""Make torch_lstm.npz: what PyTorch computes, so that oracle and kernels cannot share a mistake.

Run with torch==2.13.0 (CPU build) and numpy 2.x:  python tests/golden/make_torch_lstm.py

Per case (c0, c1, c2: 1..3 layers) and dtype: weights in PyTorch's own names, inputs, lengths, start
state, outputs of nn.LSTM on the packed sequences and of nn.Linear, and the gradients of
``sum(logits * d_logits) + sum(h_end * d_h) + sum(c_end * d_c)``. Besides: weighted cross entropy
with label smoothing and its gradient, and three steps of Adam and of AdamW.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

VERSION = "2.13.0"
CASES = {"c0": (3, 21, 1, 5, 9, 2), "c1": (4, 17, 2, 3, 4, 3), "c2": (2, 7, 3, 5, 6, 3)}


def lstm_case(name: str, dtype: torch.dtype) -> dict[str, np.ndarray]:
    n_in, n_units, n_layers, n_steps, n_rows, n_classes = CASES[name]
    torch.manual_seed(int(name[1]))
    kinds = {"dtype": torch.float64}
    lstm = torch.nn.LSTM(n_in, n_units, n_layers, **kinds).to(dtype)
    head = torch.nn.Linear(n_units, n_classes, **kinds).to(dtype)
    x = torch.randn(n_steps, n_rows, n_in, **kinds).to(dtype).requires_grad_()
    h0 = torch.randn(n_layers, n_rows, n_units, **kinds).to(dtype).requires_grad_()
    c0 = torch.randn(n_layers, n_rows, n_units, **kinds).to(dtype).requires_grad_()
    lengths = torch.tensor([n_steps] + [1 + k % n_steps for k in range(n_rows - 1)])
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    out, (h, c) = lstm(packed, (h0, c0))
    top, _ = pad_packed_sequence(out, total_length=n_steps)
    live = (torch.arange(n_steps)[:, None] < lengths)[:, :, None]
    logits = head(top) * live
    d_logits = torch.randn(n_steps, n_rows, n_classes, **kinds).to(dtype)
    d_h, d_c = (torch.randn(h.shape, **kinds).to(dtype) for _ in range(2))
    ((logits * d_logits).sum() + (h * d_h).sum() + (c * d_c).sum()).backward()
    result = {"x": x, "h0": h0, "c0": c0, "lengths": lengths, "logits": logits, "h": h, "c": c}
    result |= {"d_logits": d_logits, "d_h": d_h, "d_c": d_c}
    result |= {"d_x": x.grad, "d_h0": h0.grad, "d_c0": c0.grad}
    for room, module in (("lstm", lstm), ("head", head)):
        for key, p in module.named_parameters():
            result |= {f"{room}.{key}": p, f"grad.{room}.{key}": p.grad}
    return {key: value.detach().numpy() for key, value in result.items()}


def loss_case() -> dict[str, np.ndarray]:
    torch.manual_seed(7)
    logits = (3 * torch.randn(6, 4, 5, dtype=torch.float64)).requires_grad_()
    targets = torch.randint(0, 5, (6, 4))
    weights = torch.rand(6, 4, dtype=torch.float64) * (torch.rand(6, 4) > 0.3)
    class_weights = torch.rand(5, dtype=torch.float64) + 0.1
    each = torch.nn.functional.cross_entropy(
        logits.reshape(-1, 5), targets.reshape(-1), reduction="none", label_smoothing=0.1
    ).reshape(6, 4)
    share = weights * class_weights[targets]
    loss = (share * each).sum() / share.sum()
    loss.backward()
    plain = torch.nn.functional.cross_entropy(
        logits.reshape(-1, 5), targets.reshape(-1), weight=class_weights
    )
    result = {"logits": logits, "targets": targets, "weights": weights, "loss": loss}
    result |= {"class_weights": class_weights, "d_logits": logits.grad, "plain_loss": plain}
    return {key: value.detach().numpy() for key, value in result.items()}


def adam_case(kind: type[torch.optim.Optimizer], decay: float) -> dict[str, np.ndarray]:
    torch.manual_seed(8)
    matrix = torch.nn.Parameter(torch.randn(3, 4, dtype=torch.float64))
    bias = torch.nn.Parameter(torch.randn(3, dtype=torch.float64))
    groups = [{"params": [matrix], "weight_decay": decay}, {"params": [bias], "weight_decay": 0.0}]
    optimiser = kind(groups, lr=0.05, betas=(0.8, 0.95), eps=1e-6)
    result = {"matrix0": matrix.detach().clone(), "bias0": bias.detach().clone()}
    for n in range(1, 4):
        matrix.grad = torch.randn(3, 4, dtype=torch.float64)
        bias.grad = torch.randn(3, dtype=torch.float64)
        result |= {f"g_matrix{n}": matrix.grad.clone(), f"g_bias{n}": bias.grad.clone()}
        norm = torch.nn.utils.clip_grad_norm_([matrix, bias], 1e9)
        optimiser.step()
        result |= {f"matrix{n}": matrix.detach().clone(), f"bias{n}": bias.detach().clone()}
        result[f"norm{n}"] = norm
    return {key: value.numpy() for key, value in result.items()}


def main() -> None:
    assert torch.__version__.split("+")[0] == VERSION, torch.__version__
    torch.set_num_threads(1)
    arrays: dict[str, np.ndarray] = {"torch_version": np.array(torch.__version__)}
    for name in CASES:
        for dtype in (torch.float32, torch.float64):
            label = str(dtype).removeprefix("torch.")
            for key, value in lstm_case(name, dtype).items():
                arrays[f"{name}.{label}.{key}"] = value
    cases = {"loss": loss_case(), "adam": adam_case(torch.optim.Adam, 0.0)}
    cases["adamw"] = adam_case(torch.optim.AdamW, 0.3)
    for name, values in cases.items():
        for key, value in values.items():
            arrays[f"{name}.{key}"] = value
    np.savez_compressed(Path(__file__).with_name("torch_lstm.npz"), **arrays)


if __name__ == "__main__":
    main()
