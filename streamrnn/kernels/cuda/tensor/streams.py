"""Streams on tensor cores: states stay on the device, in the order that its kernels read fastest.

A tick reads and writes 12 bytes a unit and stream: h as bfloat16, c as float32; and the inputs and
logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.checks import check_state
from streamrnn.kernels.cuda.exact.layout import StatePlace, state_places
from streamrnn.kernels.cuda.memory import Buffer, Places
from streamrnn.kernels.cuda.tensor import ticks
from streamrnn.kernels.cuda.tensor.layers import MOST_WEIGHTS, TensorLayer
from streamrnn.kernels.cuda.tensor.layout import OCTET, c_words, h_words, padded_units
from streamrnn.kernels.params import State
from streamrnn.kernels.streams import Rows

if TYPE_CHECKING:
    from streamrnn.kernels.cuda.network import Network

_FLOAT = np.dtype(np.float32)
#: States are brought to the host in pieces of about this size.
PIECE_BYTES = 64 << 20


class TensorStreams:
    """Streams of one network, ticked where their state is; see `kernels.backend.Streams`.

    h is rounded to bfloat16 when it is restored; otherwise nothing is lost on the way to the host
    and back.

    Parameters
    ----------
    network : Network
        `supports` says which.
    n_streams : int
        N.

    Raises
    ------
    ValueError
        Fewer than one stream.
    BackendUnavailable
        The device has too little memory left.
    """

    def __init__(self, network: Network, n_streams: int) -> None:
        self._rows = Rows(n_streams)
        self._network, self._n_streams = network, n_streams
        self._layers: list[TensorLayer] = [layer for layer in network.tensor_layers if layer]
        network.device.prepare(ticks.kernels_for(self._layers, network.layout.n_classes))
        places = Places()
        offsets = [
            (places.add(h_words(n_streams, n)), places.add(c_words(n_streams, n)))
            for n in network.layout.hidden_sizes
        ]
        self._memory = Buffer(network.device, places.n_bytes)
        base = self._memory.address
        self._states = [(base + h, base + c) for h, c in offsets]
        network.device.zero(base, self._memory.n_bytes)

    @staticmethod
    def supports(network: Network) -> bool:
        """Return whether there are kernels for all layers of a network, each above the other."""
        sizes = network.layout.hidden_sizes
        return all(network.tensor_layers) and all(
            padded_units(below) + padded_units(above) <= MOST_WEIGHTS
            for below, above in pairwise(sizes)
        )

    @property
    def n_streams(self) -> int:
        """N."""
        return self._n_streams

    def tick(self, x: Floats, logits: Floats, rows: I64 | None = None) -> None:
        """Advance streams by one frame."""
        network, device = self._network, self._network.device
        x, rows, n = self._rows.checked_tick(network.params, x, logits, rows)
        if not n:
            return
        places = Places()
        at_x, at_logits = places.add(x.size), places.add(logits.size)
        if rows is None:
            base = network.workspace.take(places.n_bytes)
            device.write(base + at_x, x)
            self.advance(base + at_x, base + at_logits, n)
        else:
            octets, positions = octets_of(rows)
            offsets = [places.add(len(a)) for a in (rows, octets, positions)]
            base = network.workspace.take(places.n_bytes)
            streams_at, octets_at, positions_at = (base + at for at in offsets)
            device.write(base + at_x, x)
            device.write(streams_at, rows.astype(np.int32))
            device.write(octets_at, octets)
            device.write(positions_at, positions)
            self.advance(
                base + at_x,
                base + at_logits,
                n,
                streams=streams_at,
                octets=octets_at,
                positions=positions_at,
                n_octets=len(octets),
            )
        device.read(base + at_logits, logits)

    def advance(
        self,
        x: int,
        logits: int,
        n: int,
        *,
        streams: int = 0,
        octets: int = 0,
        positions: int = 0,
        n_octets: int = 0,
    ) -> None:
        """Advance streams by one frame, with everything on the device.

        Parameters
        ----------
        x, logits : (n, I), (n, C) float32
            Addresses; the second is overwritten.
        n : int
            N, if all of them in order are meant.
        streams : int32 (n,), or 0
            Which streams; 0 for all.
        octets, positions : int32
            Addresses of what `octets_of` gives for them.
        n_octets : int
            How many there are.
        """
        network, layout = self._network, self._network.layout
        below = x
        for number, (layer, (h, c)) in enumerate(zip(self._layers, self._states, strict=True)):
            ticks.tick(
                layer,
                x=below,
                stacked=number > 0,
                h=h,
                c=c,
                n_streams=self._n_streams,
                octets=octets,
                places=positions,
                n_octets=n_octets,
            )
            below = h
        ticks.head(
            network.device,
            h=below,
            w_out=network.packed + _FLOAT.itemsize * layout.w_out_t,
            b_out=network.packed + _FLOAT.itemsize * layout.b_out,
            logits=logits,
            n=n,
            n_units=layout.n_last,
            n_classes=layout.n_classes,
            w_stride=layout.out_t_stride,
            streams=streams,
        )

    def reset(self, rows: I64 | None = None) -> None:
        """Set the state of streams to zero."""
        device = self._network.device
        rows, n = self._rows.checked(rows)
        if rows is None:
            device.zero(self._memory.address, self._memory.n_bytes)
        elif n:
            at = self._network.workspace.take(4 * n)
            device.write(at, rows.astype(np.int32))
            for (h, c), n_units in zip(
                self._states, self._network.layout.hidden_sizes, strict=True
            ):
                ticks.move(
                    device, back=True, h=h, c=c, h_rows=0, c_rows=0,
                    n=n, n_units=n_units, stride=0, streams=at,
                )  # fmt: skip

    def snapshot(self, rows: I64 | None = None) -> State:
        """Return a copy of the state of streams."""
        rows, n = self._rows.checked(rows)
        state = State.zeros(self._network.layout.hidden_sizes, n, _FLOAT)
        self._move(state, rows, back=False)
        return state

    def restore(self, state: State, rows: I64 | None = None) -> None:
        """Set the state of streams to the rows of `state`."""
        rows, n = self._rows.checked(rows)
        check_state(self._network.params, state, n)
        self._move(state, rows, back=True)

    def _move(self, state: State, rows: I64 | None, *, back: bool) -> None:
        """Move rows between the streams' states and one on the host, a piece of a layer at once."""
        device, layout = self._network.device, self._network.layout
        own = state_places(layout.hidden_sizes, state.n_rows)[0]
        for (h, c), place, n_units in zip(self._states, own, layout.hidden_sizes, strict=True):
            for begin, end in _pieces(state.n_rows, place):
                places = Places()
                n_floats = (end - begin) * place.stride
                at_h, at_c = places.add(n_floats), places.add(n_floats)
                at_rows = places.add(0 if rows is None else end - begin)
                base = self._network.workspace.take(places.n_bytes)
                if rows is not None:
                    device.write(base + at_rows, rows[begin:end].astype(np.int32))
                parts = [
                    (base + at, state.arena[first + begin * place.stride :][:n_floats])
                    for at, first in ((at_h, place.h), (at_c, place.c))
                ]
                if back:
                    for address, part in parts:
                        device.write(address, part)
                ticks.move(
                    device, back=back, h=h, c=c, h_rows=base + at_h, c_rows=base + at_c,
                    n=end - begin, n_units=n_units, stride=place.stride, first=begin,
                    streams=0 if rows is None else base + at_rows,
                )  # fmt: skip
                if not back:
                    for address, part in parts:
                        device.read(address, part)


def octets_of(rows: I64) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return which octets these streams are in, and where each is among `rows`.

    Parameters
    ----------
    rows : int64 (n,)
        Streams, each at most once.

    Returns
    -------
    octets : int32 (m,)
        Ascending.
    positions : int32 (8 m,)
        For each stream of these octets its place in `rows`; -1 if it is not there.
    """
    own, inside = rows // OCTET, rows % OCTET
    if int(own.max(initial=-1)) < 8 * len(rows):  # many: to mark them is quicker than to sort
        is_there = np.zeros(int(own.max(initial=-1)) + 1, np.bool_)
        is_there[own] = True
        octets, which = np.flatnonzero(is_there), (np.cumsum(is_there) - 1)[own]
    else:
        octets, which = np.unique(own, return_inverse=True)
    positions = np.full(OCTET * len(octets), -1, np.int32)
    positions[OCTET * which + inside] = np.arange(len(rows))
    return octets.astype(np.int32), positions


def _pieces(n_rows: int, place: StatePlace) -> Iterator[tuple[int, int]]:
    """Yield the ranges of rows that are moved at once."""
    n_piece = max(1, PIECE_BYTES // (2 * place.stride * _FLOAT.itemsize))
    for begin in range(0, n_rows, n_piece):
        yield begin, min(begin + n_piece, n_rows)
