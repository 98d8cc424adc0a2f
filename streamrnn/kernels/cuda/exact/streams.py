"""Streams whose state stays on the device."""

from __future__ import annotations

import numpy as np

from streamrnn.core.types import I64, Floats
from streamrnn.kernels.checks import check_state
from streamrnn.kernels.cuda.exact import forward, launches
from streamrnn.kernels.cuda.exact.layout import state_places
from streamrnn.kernels.cuda.memory import Buffer, Places
from streamrnn.kernels.cuda.network import Network
from streamrnn.kernels.params import State
from streamrnn.kernels.streams import Rows

_FLOAT = np.dtype(np.float32)
#: A tick takes up about so much memory at once beside the state: it is done in pieces of rows.
PIECE_BYTES = 256 << 20


class DeviceStreams:
    """Streams of one network, ticked where their state is; see `kernels.backend.Streams`.

    The state has the form of `State.arena`, so it goes to the host and back in one piece.

    Parameters
    ----------
    network : Network
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
        self._places, n_floats = state_places(network.layout.hidden_sizes, n_streams)
        self._memory = Buffer(network.device, n_floats * _FLOAT.itemsize)
        network.device.zero(self._memory.address, self._memory.n_bytes)

    @property
    def n_streams(self) -> int:
        """N."""
        return self._n_streams

    def tick(self, x: Floats, logits: Floats, rows: I64 | None = None) -> None:
        """Advance streams by one frame."""
        network, layout = self._network, self._network.layout
        x, rows, n = self._rows.checked_tick(network.params, x, logits, rows)
        if not n:
            return
        device, places = network.device, Places()
        n_piece = forward.rows_within(layout, n, PIECE_BYTES)
        at_x, at_index = places.add(n_piece * layout.n_inputs), places.add(n_piece)
        at_logits = places.add(n_piece * layout.n_classes)
        scratch = forward.plan_scratch(layout, 1, n_piece, places)
        base = network.workspace.take(places.n_bytes)
        for begin in range(0, n, n_piece):
            end = min(begin + n_piece, n)
            device.write(base + at_x, x[begin:end])
            if rows is not None:
                device.write(base + at_index, rows[begin:end].astype(np.int32))
            piece = forward.Rows(
                1,
                end - begin,
                self._memory.address,
                self._n_streams,
                first_row=begin if rows is None else 0,
                index=0 if rows is None else base + at_index,
            )
            forward.run(network, piece, base + at_x, base + at_logits, base, scratch)
            device.read(base + at_logits, logits[begin:end])

    def reset(self, rows: I64 | None = None) -> None:
        """Set the state of streams to zero."""
        rows, n = self._rows.checked(rows)
        if rows is None:
            self._network.device.zero(self._memory.address, self._memory.n_bytes)
        elif n:
            self._move(rows, self._network.workspace.take(4 * n), 0, into_streams=True)

    def snapshot(self, rows: I64 | None = None) -> State:
        """Return a copy of the state of streams."""
        network = self._network
        rows, n = self._rows.checked(rows)
        state = State.zeros(network.layout.hidden_sizes, n, _FLOAT)
        if rows is None:
            network.device.read(self._memory.address, state.arena)
        elif n:
            index, some = self._room(state)
            self._move(rows, index, some, into_streams=False)
            network.device.read(some, state.arena)
        return state

    def restore(self, state: State, rows: I64 | None = None) -> None:
        """Set the state of streams to the rows of `state`."""
        network = self._network
        rows, n = self._rows.checked(rows)
        check_state(network.params, state, n)
        if rows is None:
            network.device.write(self._memory.address, state.arena)
        elif n:
            index, some = self._room(state)
            network.device.write(some, state.arena)
            self._move(rows, index, some, into_streams=True)

    def _room(self, state: State) -> tuple[int, int]:
        """Return addresses for the numbers of rows and for the state of as many."""
        places = Places()
        index, some = places.add(state.n_rows), places.add(state.arena.size)
        base = self._network.workspace.take(places.n_bytes)
        return base + index, base + some

    def _move(self, rows: I64, index: int, some: int, *, into_streams: bool) -> None:
        """Copy rows between the streams' state and one of `rows` alone; from no one, set to 0."""
        device = self._network.device
        device.write(index, rows.astype(np.int32))
        there = state_places(self._network.layout.hidden_sizes, len(rows))[0]
        for ours, theirs in zip(self._places, there, strict=True):
            for at, other in ((ours.h, theirs.h), (ours.c, theirs.c)):
                own = self._memory.address + at * _FLOAT.itemsize
                one = some + other * _FLOAT.itemsize if some else 0
                launches.move_rows(
                    device,
                    own if into_streams else one,
                    one if into_streams else own,
                    n_rows=len(rows),
                    width=ours.stride,
                    strides=(ours.stride, ours.stride),
                    to_rows=index if into_streams else 0,
                    source_rows=0 if into_streams else index,
                )
