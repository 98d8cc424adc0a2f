"""PyTorch on the GPU: nn.LSTM and nn.LSTMCell with a linear head, eager and as CUDA graphs.

``fp32`` is float32 with TF32 off, ``tf32`` the same with it on, ``bf16`` weights and inputs in
bfloat16 (in training: autocast over float32 weights). Each contender does all of a job: its logits
or losses are compared with ours before anything is timed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.gpu_race import Clock, HostClock, Racer
from benchmarks.gpu_shapes import CLIP_NORM, LEARNING_RATE, N_CLASSES, Sequences, Streams
from streamrnn.kernels.params import Params

PRECISIONS = ("fp32", "tf32", "bf16")
LSTM, CELL = "torch nn.LSTM", "torch nn.LSTMCell"
_WARM_UPS = 3
#: Ticks in one graph: at its end the state is copied back to where it begins.
_TICKS = 8

Floats = npt.NDArray[np.float32]
#: A contender and what it computed, to be compared.
Made = tuple[Racer, list[Floats]]


class _EventClock:
    """CUDA events of PyTorch's current stream."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._begin = torch.cuda.Event(enable_timing=True)
        self._end = torch.cuda.Event(enable_timing=True)

    def begin(self) -> None:
        self._begin.record()

    def end_s(self) -> float:
        self._end.record()
        self._end.synchronize()
        return float(self._begin.elapsed_time(self._end)) / 1e3


class TorchGpu:
    """PyTorch and where it runs.

    Parameters
    ----------
    stands_in : bool
        Run on the processor: the same lines, no GPU.

    Raises
    ------
    ImportError
        It is not installed, or sees no GPU.
    """

    def __init__(self, *, stands_in: bool) -> None:
        self.torch: Any = importlib.import_module("torch")
        if not stands_in and not self.torch.cuda.is_available():
            raise ImportError("this PyTorch sees no GPU")
        self.where = "cpu" if stands_in else "cuda"
        self.has_graphs = not stands_in
        self.modes = ("eager",) if stands_in else ("eager", "graph")
        self.clock: Clock = HostClock() if stands_in else _EventClock(self.torch)

    def versions(self) -> dict[str, str]:
        """Return versions of what it brings."""
        torch = self.torch
        return {
            "torch": str(torch.__version__),
            "torch CUDA": str(torch.version.cuda),
            "cuDNN": str(torch.backends.cudnn.version()),
        }

    def use(self, precision: str) -> None:
        """Let products in float32 use TF32, or not."""
        allowed = precision == "tf32"
        self.torch.backends.cuda.matmul.allow_tf32 = allowed
        self.torch.backends.cudnn.allow_tf32 = allowed

    def dtype(self, precision: str) -> Any:
        """Return the dtype of weights and inputs."""
        return self.torch.bfloat16 if precision == "bf16" else self.torch.float32

    def tensor(self, a: npt.NDArray[Any], dtype: Any = None) -> Any:
        """Return a copy on the device."""
        return self.torch.from_numpy(a).to(self.where, dtype or None)

    def wait(self) -> None:
        """Wait for the device."""
        if self.has_graphs:
            self.torch.cuda.synchronize()

    def forget(self) -> None:
        """Give unused memory back to the driver."""
        if self.has_graphs:
            self.torch.cuda.empty_cache()

    def product_rate(self, precision: str, n: int) -> float:
        """Return the operations a second of a product of matrices of n x n random numbers."""
        torch = self.torch
        self.use(precision)
        a, b = (torch.randn(n, n, device=self.where, dtype=self.dtype(precision)) for _ in range(2))
        out, taken = torch.empty_like(a), []
        for _ in range(8):
            self.clock.begin()
            torch.mm(a, b, out=out)
            taken.append(self.clock.end_s())
        return 2.0 * n**3 / median(taken[1:])

    def racer(self, name: str, precision: str, mode: str, call: Callable[[], None]) -> Racer:
        """Return a contender."""
        return Racer(name, precision, mode, call, self.clock, partial(self.use, precision))

    @contextmanager
    def capture(self, warm_up: Callable[[], None], graph: Any, pool: Any) -> Iterator[None]:
        """Collect what is started inside into `graph`, behind some calls of `warm_up`."""
        torch = self.torch
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                warm_up()
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(graph, pool=pool):
            yield


def model(gpu: TorchGpu, params: Params, dtype: Any) -> Any:
    """Return the network: LSTM layers and a linear head."""
    torch = gpu.torch
    n_layers, n_hidden = len(params.layers), params.hidden_sizes[0]
    made = torch.nn.ModuleDict(
        {
            "lstm": torch.nn.LSTM(params.n_inputs, n_hidden, n_layers),
            "head": torch.nn.Linear(n_hidden, params.n_classes),
        }
    )
    with torch.no_grad():
        for n, layer in enumerate(params.layers):
            _fill(torch, made["lstm"], f"_l{n}", layer)
        made["head"].weight.copy_(torch.from_numpy(params.w_out))
        made["head"].bias.copy_(torch.from_numpy(params.b_out))
    made = made.to(gpu.where, dtype)
    made["lstm"].flatten_parameters()
    return made


def _fill(torch: Any, module: Any, suffix: str, layer: Any) -> None:
    getattr(module, f"weight_ih{suffix}").copy_(torch.from_numpy(layer.w_ih))
    getattr(module, f"weight_hh{suffix}").copy_(torch.from_numpy(layer.w_hh))
    getattr(module, f"bias_ih{suffix}").copy_(torch.from_numpy(layer.b))
    getattr(module, f"bias_hh{suffix}").zero_()


def _turns(calls: Sequence[Callable[[], None]]) -> Callable[[], None]:
    """Return what makes the next of some calls, round and round."""
    at = 0

    def call() -> None:
        nonlocal at
        calls[at]()
        at = (at + 1) % len(calls)

    return call


def sequences(
    gpu: TorchGpu, precision: str, mode: str, *, shape: Sequences, inputs: Sequence[Floats]
) -> Made:
    """Return nn.LSTM over whole sequences from state zero, one input set after the other."""
    torch = gpu.torch
    gpu.use(precision)
    net = model(gpu, shape.params, gpu.dtype(precision)).eval()
    sets = [gpu.tensor(x, gpu.dtype(precision)) for x in inputs]
    outputs: list[Any] = [None] * len(sets)

    def run(at: int) -> None:
        with torch.no_grad():
            outputs[at] = net["head"](net["lstm"](sets[at])[0])

    calls = [partial(run, at) for at in range(len(sets))]
    if mode == "graph":
        graphs, pool = [torch.cuda.CUDAGraph() for _ in sets], None
        for at, graph in enumerate(graphs):
            with gpu.capture(calls[at], graph, pool):
                run(at)
            pool = graph.pool()
        calls = [graph.replay for graph in graphs]
    calls[0]()
    found = outputs[0].float().cpu().numpy()
    if mode == "eager":
        outputs[0] = None
    return gpu.racer(LSTM, precision, mode, _turns(calls)), [found]


def training(
    gpu: TorchGpu, precision: str, mode: str, *, shape: Sequences, x: Floats, n_losses: int
) -> Made:
    """Return whole updates: zero_grad, forward, loss, backward, clip, Adam.

    What it computed are the losses of the first `n_losses` updates.
    """
    torch = gpu.torch
    gpu.use(precision)
    net = model(gpu, shape.params, torch.float32).train()
    parameters = list(net.parameters())
    adam = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True, capturable=mode == "graph")
    inputs, targets = gpu.tensor(x), gpu.tensor(shape.targets).reshape(-1)
    criterion = torch.nn.CrossEntropyLoss()
    autocast = partial(torch.autocast, gpu.where, dtype=torch.bfloat16)
    loss: Any = None

    def update() -> None:
        nonlocal loss
        adam.zero_grad(set_to_none=True)
        with autocast() if precision == "bf16" else nullcontext():
            logits = net["head"](net["lstm"](inputs)[0])
            loss = criterion(logits.reshape(-1, N_CLASSES).float(), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        adam.step()

    losses = []
    for _ in range(n_losses):
        update()
        losses.append(loss.item())
    call: Callable[[], None] = update
    if mode == "graph":
        graph = torch.cuda.CUDAGraph()
        with gpu.capture(update, graph, None):
            update()
        call = graph.replay
        call()
        gpu.wait()
        if not np.isfinite(loss.item()):
            raise RuntimeError("the captured update has a loss that is not finite")
    return gpu.racer(LSTM, precision, mode, call), [np.array(losses, np.float32)]


def fleet(
    gpu: TorchGpu, precision: str, mode: str, *, shape: Streams, frames: Floats, kind: str
) -> Made:
    """Return ticks of all streams on resident frames; kind is LSTM (T = 1) or CELL.

    What it computed are the logits of its first two ticks from state zero.
    """
    torch = gpu.torch
    gpu.use(precision)
    dtype = gpu.dtype(precision)
    net = model(gpu, shape.params, dtype).eval()
    step = _cells(gpu, shape, dtype) if kind == CELL else _lstm_step(net)
    x = gpu.tensor(frames, dtype)
    size = (shape.n_layers, shape.n_streams, shape.n_hidden)
    blank = [torch.zeros(size, device=gpu.where, dtype=dtype) for _ in range(2)]
    state: list[Any] = blank
    logits: Any = None

    def tick() -> None:
        nonlocal state, logits
        with torch.no_grad():
            top, state = step(x, state)
            logits = net["head"](top)

    found = []
    for _ in range(2):
        tick()
        found.append(logits.float().cpu().numpy())
    if mode == "eager":
        return gpu.racer(kind, precision, mode, tick), found

    graph, kept = torch.cuda.CUDAGraph(), [a.clone() for a in state]

    def ticks() -> None:
        nonlocal state
        state = kept
        for _ in range(_TICKS):
            tick()
        for a, b in zip(kept, state, strict=True):
            a.copy_(b)

    with gpu.capture(ticks, graph, None):
        ticks()
    return gpu.racer(kind, precision, f"graph of {_TICKS}", graph.replay), found


def ticks_of(mode: str) -> int:
    """Return how many ticks a call does in a mode of `fleet`."""
    return _TICKS if mode.startswith("graph") else 1


def _lstm_step(net: Any) -> Callable[[Any, list[Any]], tuple[Any, list[Any]]]:
    def step(x: Any, state: list[Any]) -> tuple[Any, list[Any]]:
        top, (h, c) = net["lstm"](x[None], (state[0], state[1]))
        return top[0], [h, c]

    return step


def _cells(
    gpu: TorchGpu, shape: Streams, dtype: Any
) -> Callable[[Any, list[Any]], tuple[Any, list[Any]]]:
    torch, cells, width = gpu.torch, [], shape.n_in
    for layer in shape.params.layers:
        cell = torch.nn.LSTMCell(width, shape.n_hidden)
        with torch.no_grad():
            _fill(torch, cell, "", layer)
        cells.append(cell.to(gpu.where, dtype).eval())
        width = shape.n_hidden

    def step(x: Any, state: list[Any]) -> tuple[Any, list[Any]]:
        new: list[list[Any]] = [[], []]
        for n, cell in enumerate(cells):
            h, c = cell(x, (state[0][n], state[1][n]))
            new[0].append(h)
            new[1].append(c)
            x = h
        # One layer needs no copy.
        return x, [a[0][None] if len(a) == 1 else torch.stack(a) for a in new]

    return step
