"""Between a caller's bytes and the kernels: what is unfinished stands in a buffer, in one run."""

from __future__ import annotations

from streamrnn.kernels import pycall
from streamrnn.kernels.codec import slots as at
from streamrnn.kernels.codec.memory import Address, add, copy, get, put
from streamrnn.kernels.jit import kernel
from streamrnn.kernels.objects import fall_back


@kernel
def begin(state: Address, source: Address, n: int) -> None:
    """Name the next bytes to read; they stay the caller's, and must stay where they are."""
    put(state, at.SOURCE, source)
    put(state, at.SOURCE_BYTES, n)
    add(state, at.N_BYTES, n)


@kernel
def refill(state: Address) -> bool:
    """Move the next piece of the source into the buffer; return False if there is none.

    What is unfinished is moved to the front as soon as that overlaps nothing: so no byte is moved
    more often than others are done with, and short reads stay in the same cache lines.
    """
    n = min(get(state, at.SOURCE_BYTES), get(state, at.PIECE_BYTES))
    if n == 0:
        return False
    start, filled, front = get(state, at.BEGIN), get(state, at.FILLED), get(state, at.BUFFER)
    if start - front >= filled - start:
        copy(front, start, filled - start)
        put(state, at.BEGIN, front)
        add(state, at.SCANNED, front - start)
        filled += front - start
    source = get(state, at.SOURCE)
    copy(filled, source, n)
    put(state, at.FILLED, filled + n)
    put(state, at.SOURCE, source + n)
    add(state, at.SOURCE_BYTES, -n)
    return True


@kernel
def waiting(state: Address) -> int:
    """Return HAS_ROWS if there are frames to take, else 0."""
    return at.HAS_ROWS if get(state, at.ROWS) > get(state, at.TAKEN) else 0


@kernel
def _call(state: Address, slot: int, argument: int) -> int:
    """Return what the Python function in a slot gives."""
    return int(fall_back(state + 8 * (slot - pycall.FALLBACK), argument))


@kernel
def answer(state: Address, todo: int, argument: int) -> int:
    """Return to Python: an empty list, the frames, or what the fallback makes of all else."""
    if todo == 0:
        return int(_call(state, at.LIST_TYPE, get(state, at.NO_ITEMS)))
    if todo == at.HAS_ROWS:
        put(state, at.TAKEN, get(state, at.ROWS))
        return int(_call(state, at.HAND_UP, argument))
    put(state, at.TODO, todo)
    return int(fall_back(state, argument))
