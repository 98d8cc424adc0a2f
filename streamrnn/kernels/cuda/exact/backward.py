"""A way back on a device: which kernels run over which memory."""

from __future__ import annotations

from streamrnn.kernels.cuda.exact import back_launches, launches
from streamrnn.kernels.cuda.exact.back_tiling import (
    OuterTiling,
    make_back_tiling,
    make_outer_tiling,
)
from streamrnn.kernels.cuda.exact.layout import Layout, state_places
from streamrnn.kernels.cuda.memory import Places
from streamrnn.kernels.cuda.network import Network, Tape

_FLOAT_BYTES = 4


class Work:
    """Where the way back puts what it makes, as offsets in one piece of memory.

    Attributes
    ----------
    d_logits : (T, B, C)
    d_y : (T, B, H)
        Gradients at a layer's hidden vectors; those at the layer's below come after them.
    dz : (T, B, H, 4)
        Of one layer after the other, if the tape is kept. Else they take the place of the tape's
        exponentials, and nothing is made at the inputs.
    d_state
        Arena of a state, of `n_state` floats.
    d_x : (T, B, I)
    partials
        See `back_launches.outer`.
    targets, weights, class_weights
        Of an update's batch.
    sums : (loss_blocks(N) + 1,)
        The parts of the loss, and behind them the norm.
    """

    def __init__(self, layout: Layout, n_steps: int, n_rows: int, *, keeps_tape: bool) -> None:
        self.keeps_tape = keeps_tape
        n_all, widest = n_steps * n_rows, max(layout.hidden_sizes)
        tilings = [
            make_outer_tiling(4 * layer.n_units, layer.n_in + layer.n_units, head=False)
            for layer in layout.layers
        ]
        tilings.append(make_outer_tiling(layout.n_last, layout.n_classes, head=True))
        places = Places()
        self.d_logits = places.add(n_all * layout.n_classes)
        self.d_y = places.add(n_all * widest)
        self.dz = places.add(4 * n_all * widest if keeps_tape else 0)
        self.n_state = state_places(layout.hidden_sizes, n_rows)[1]
        self.d_state = places.add(self.n_state)
        self.d_x = places.add(n_all * layout.n_inputs if keeps_tape else 0)
        self.partials = places.add(max(t.n_used(n_all) * t.n_segment for t in tilings))
        self.targets = places.add(0 if keeps_tape else n_all, 8)
        self.weights = places.add(0 if keeps_tape else n_all)
        self.class_weights = places.add(layout.n_classes)
        self.sums = places.add(back_launches.loss_blocks(n_all) + 1)
        self.n_bytes = places.n_bytes


def go_back(network: Network, tape: Tape, work: Work, base: int, grads: int) -> None:
    """Turn the gradients at the logits and at the end state into all others.

    Parameters
    ----------
    network : Network
    tape : Tape
        Of at least one step and row.
    work : Work
    base : int
        Address from which the offsets in `work` count.
    grads : int
        Address of what becomes the gradients of the weights, in plain form.
    """
    _head_back(network, tape, work, base, grads)
    for n in reversed(range(len(network.layout.layers))):
        dz = base + work.dz if work.keeps_tape else tape.layers[n].es
        _layer_back(network, tape, work, base, n, dz)
        _layer_gradients(network, tape, work, base, n, dz, grads)
        if n or work.keeps_tape:
            layer = network.layout.layers[n]
            launches.product(
                network.device,
                out=base + (work.d_y if n else work.d_x),
                a=dz,
                w=network.packed + _FLOAT_BYTES * layer.w_down,
                shape=(tape.n_steps * tape.n_rows, layer.n_in, 4 * layer.n_units),
                strides=(layer.n_in, 4 * layer.n_units, layer.down_stride),
                ends=tape.ends,
                n_batch=tape.n_rows,
            )


def _layer_back(network: Network, tape: Tape, work: Work, base: int, n: int, dz: int) -> None:
    """Take one layer back, from the gradients at its hidden vectors to those before its gates."""
    device, layer, kept = network.device, network.layout.layers[n], tape.layers[n]
    state = state_places(network.layout.hidden_sizes, tape.n_rows)[0][n]
    tiling = make_back_tiling(
        layer,
        tape.n_rows,
        n_multiprocessors=device.n_multiprocessors,
        shared_bytes=device.shared_bytes,
    )
    back_launches.bptt(
        device,
        tiling,
        layer,
        n_steps=tape.n_steps,
        n_rows=tape.n_rows,
        es=kept.es,
        cs=kept.cs,
        hs=kept.hs,
        d_y=base + work.d_y,
        w_back=network.packed + _FLOAT_BYTES * layer.w_back,
        d_h=base + work.d_state + _FLOAT_BYTES * state.h,
        d_c=base + work.d_state + _FLOAT_BYTES * state.c,
        state_stride=state.stride,
        dz=dz,
        ends=tape.ends,
    )


def _head_back(network: Network, tape: Tape, work: Work, base: int, grads: int) -> None:
    """Make the gradients of the head's weights, and at the last layer's hidden vectors."""
    device, layout, n_all = network.device, network.layout, tape.n_steps * tape.n_rows
    mask = tape.mask if tape.has_mask else 0
    tiling = make_outer_tiling(layout.n_last, layout.n_classes, head=True)
    back_launches.outer(
        device,
        tiling,
        head=True,
        left=tape.layers[-1].hs + _FLOAT_BYTES * tape.n_rows * layout.n_last,
        first=base + work.d_logits,
        partials=base + work.partials,
        n_all=n_all,
        n_rows=tape.n_rows,
        n_left=layout.n_last,
        n_first=layout.n_classes,
        mask=mask,
        ends=tape.ends,
    )
    _reduce(network, work, base, tiling, n_all, grads + _FLOAT_BYTES * layout.plain_head[0])
    launches.product(
        device,
        out=base + work.d_y,
        a=base + work.d_logits,
        w=network.packed + _FLOAT_BYTES * layout.w_out,
        shape=(n_all, layout.n_last, layout.n_classes),
        strides=(layout.n_last, layout.n_classes, layout.out_stride),
        out_mask=mask,
        ends=tape.ends,
        n_batch=tape.n_rows,
    )


def _layer_gradients(
    network: Network, tape: Tape, work: Work, base: int, n: int, dz: int, grads: int
) -> None:
    """Make the gradients of a layer's weights."""
    layer, n_all, below = network.layout.layers[n], tape.n_steps * tape.n_rows, tape.x
    if n:
        below = tape.layers[n - 1].hs + _FLOAT_BYTES * tape.n_rows * layer.n_in
    tiling = make_outer_tiling(4 * layer.n_units, layer.n_in + layer.n_units, head=False)
    back_launches.outer(
        network.device,
        tiling,
        head=False,
        left=dz,
        first=below,
        second=tape.layers[n].hs,
        partials=base + work.partials,
        n_all=n_all,
        n_rows=tape.n_rows,
        n_left=4 * layer.n_units,
        n_first=layer.n_in,
        n_second=layer.n_units,
        ends=tape.ends,
    )
    _reduce(network, work, base, tiling, n_all, grads + _FLOAT_BYTES * layer.plain[0])


def _reduce(
    network: Network, work: Work, base: int, tiling: OuterTiling, n_all: int, sums: int
) -> None:
    partials = base + work.partials
    back_launches.reduce(network.device, partials, sums, tiling.n_used(n_all), tiling.n_segment)
