"""A forward pass on a device: which kernels run over which memory."""

from __future__ import annotations

from dataclasses import dataclass

from streamrnn.kernels.cuda.exact import launches
from streamrnn.kernels.cuda.exact.layout import LayerLayout, Layout, state_places
from streamrnn.kernels.cuda.exact.tiling import is_fused, make_tiling
from streamrnn.kernels.cuda.memory import Places
from streamrnn.kernels.cuda.network import LayerTape, Network, Tape

_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Rows:
    """What is run beside the inputs; addresses on the device.

    Attributes
    ----------
    n_steps, n_rows : int
        T and B, at least 1.
    state : int
        Arena of the state, of `n_state_rows` rows; overwritten.
    n_state_rows : int
        At least B.
    first_row : int
        Which row of the state is the first of these.
    index : int
        int32 (B,), which row of the state each row is, counted from `first_row`; 0 for all in
        order.
    ends : int
        int32 (B,), each row's number of steps; 0 for T.
    t_from : int
        Steps that came before these, where `ends` counts them.
    mask : int
        (B, H_last) factors on the hidden vectors that the head reads; 0 for none.
    """

    n_steps: int
    n_rows: int
    state: int
    n_state_rows: int
    first_row: int = 0
    index: int = 0
    ends: int = 0
    t_from: int = 0
    mask: int = 0


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where the layers of a pass without a tape leave what the next ones read, as offsets.

    Attributes
    ----------
    hidden : (int, int)
        (T, B, H): hidden vectors of one layer and of the next, in turn.
    sums : int
        (T, B, 4 H): sums of the inputs, where a layer's kernel does not make them.
    """

    hidden: tuple[int, int]
    sums: int


def plan_scratch(layout: Layout, n_steps: int, n_rows: int, places: Places) -> Scratch:
    """Return where a pass of up to T steps without a tape keeps what it needs."""
    even, odd, sums = (n_steps * n_rows * n for n in _scratch_sizes(layout, n_steps))
    return Scratch((places.add(even), places.add(odd)), places.add(sums))


def state_size(layout: Layout, n_rows: int) -> int:
    """Return the floats of the arena of a state."""
    return state_places(layout.hidden_sizes, n_rows)[1]


def steps_within(layout: Layout, n_steps: int, n_rows: int, n_bytes: int) -> int:
    """Return how many of T steps of B rows take up no more memory than that; at least one."""
    most = n_bytes // (_FLOAT_BYTES * n_rows * _step_size(layout, n_steps))
    return min(n_steps, max(1, most))


def rows_within(layout: Layout, n_rows: int, n_bytes: int) -> int:
    """Return how many of B rows take up no more memory than that for one step; at least one."""
    return min(n_rows, max(1, n_bytes // (_FLOAT_BYTES * _step_size(layout, 1))))


def _step_size(layout: Layout, n_steps: int) -> int:
    """Return the floats that a row takes for each of T steps."""
    return layout.n_inputs + layout.n_classes + sum(_scratch_sizes(layout, n_steps))


def _scratch_sizes(layout: Layout, n_steps: int) -> tuple[int, int, int]:
    even, odd = (max(layout.hidden_sizes[at::2], default=0) for at in (0, 1))
    wide = (4 * layer.n_units for layer in layout.layers if not is_fused(layer, n_steps))
    return even, odd, max(wide, default=0)


def run(network: Network, rows: Rows, x: int, logits: int, base: int, scratch: Scratch) -> None:
    """Run the layers and the head over inputs, keeping nothing.

    Parameters
    ----------
    network : Network
    rows : Rows
    x, logits : int
        Addresses of the inputs (T, B, I) and of what becomes the logits (T, B, C).
    base : int
        Address from which the offsets in `scratch` count.
    scratch : Scratch
    """
    below = x
    for n in range(len(network.layout.layers)):
        hidden = base + scratch.hidden[n % 2]
        _run_layer(network, n, rows, below, base + scratch.sums, LayerTape(hidden, 0, 0), False)
        below = hidden
    _run_head(network, rows, below, logits)


def run_taped(network: Network, tape: Tape) -> None:
    """Run the layers and the head over the inputs of a tape, and fill it."""
    rows = Rows(
        tape.n_steps, tape.n_rows, tape.state, tape.n_rows, ends=tape.ends,
        mask=tape.mask if tape.has_mask else 0,
    )  # fmt: skip
    below = tape.x
    for n, (layer, kept) in enumerate(zip(network.layout.layers, tape.layers, strict=True)):
        # The sums of the inputs stand where the kernel puts what it makes of them.
        _run_layer(network, n, rows, below, kept.es, kept, True)
        below = kept.hs + tape.n_rows * layer.n_units * _FLOAT_BYTES
    _run_head(network, rows, below, tape.logits)


def _run_layer(
    network: Network, n: int, rows: Rows, x: int, sums: int, kept: LayerTape, taped: bool
) -> None:
    device, layer = network.device, network.layout.layers[n]
    place = state_places(network.layout.hidden_sizes, rows.n_state_rows)[0][n]
    h, c = (
        rows.state + _FLOAT_BYTES * (at + rows.first_row * place.stride)
        for at in (place.h, place.c)
    )
    tensor_layer = network.tensor_layers[n]
    if tensor_layer is not None:
        tensor_layer.run(
            x=x, h=h, c=c, state_stride=place.stride, hs=kept.hs, n_steps=rows.n_steps,
            n_rows=rows.n_rows, ends=rows.ends, index=rows.index, t_from=rows.t_from,
        )  # fmt: skip
        return
    fused = is_fused(layer, rows.n_steps)
    w, bias = (network.packed + _FLOAT_BYTES * at for at in (layer.w, layer.bias))
    if not fused:
        _project(network, layer, rows, x, sums)
    tiling = make_tiling(
        layer, rows.n_steps, rows.n_rows, fused=fused,
        n_multiprocessors=device.n_multiprocessors, shared_bytes=device.shared_bytes,
    )  # fmt: skip
    launches.lstm(
        device,
        tiling,
        projected=not fused,
        taped=taped,
        n_steps=rows.n_steps,
        n_rows=rows.n_rows,
        n_in=layer.n_in,
        n_units=layer.n_units,
        n_padded=layer.n_padded,
        x=x if fused else sums,
        w=w,
        bias=bias,
        h=h,
        c=c,
        state_stride=place.stride,
        hs=kept.hs,
        cs=kept.cs,
        es=kept.es,
        ends=rows.ends,
        index=rows.index,
        t_from=rows.t_from,
    )


def _project(network: Network, layer: LayerLayout, rows: Rows, x: int, sums: int) -> None:
    """Sum a layer's inputs for all steps, biases included."""
    launches.product(
        network.device,
        out=sums,
        a=x,
        w=network.packed + _FLOAT_BYTES * layer.w,
        shape=(rows.n_steps * rows.n_rows, 4 * layer.n_units, layer.n_in),
        strides=(4 * layer.n_units, layer.n_in, layer.w_stride),
        start=network.packed + _FLOAT_BYTES * layer.bias,
    )


def _run_head(network: Network, rows: Rows, hidden: int, logits: int) -> None:
    layout = network.layout
    launches.product(
        network.device,
        out=logits,
        a=hidden,
        w=network.packed + _FLOAT_BYTES * layout.w_out_t,
        shape=(rows.n_steps * rows.n_rows, layout.n_classes, layout.n_last),
        strides=(layout.n_classes, layout.n_last, layout.out_t_stride),
        start=network.packed + _FLOAT_BYTES * layout.b_out,
        mask=rows.mask,
        ends=rows.ends,
        n_batch=rows.n_rows,
        t_from=rows.t_from,
    )
