"""Instructions of a whole warp: shuffles, votes, matrix fragments, products on tensor cores.

Fragments stand in lanes as the PTX ISA says (section 9.7.14, matrix multiply-accumulate). A product
is summed in float64 and rounded once: the device's order and rounding inside are not specified.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import ptx_floats as floats
from ptx_access import Memory
from ptx_lanes import DTYPES, WARP, Array, Group, Lanes, Step
from ptx_memory import Fault
from ptx_parse import Instruction, Several, Unsupported

_LANE = np.arange(WARP)
_ROW, _QUAD = _LANE // 4, _LANE % 4


def bind_warp(memory: Memory, ins: Instruction) -> Step | None:
    """Bind an instruction of whole warps; None if it is of another kind."""
    lanes, name = memory.lanes, ins.words[0]
    if name == "shfl":
        return _bind_shuffle(lanes, ins)
    if name == "vote":
        return _bind_vote(lanes, ins)
    if name == "activemask":
        row = lanes.target(ins.operands[0], "b32")
        return lambda g: np.copyto(row, np.repeat(_active(g), WARP), where=g.where)
    if name == "redux":
        return _bind_reduction(lanes, ins)
    if name == "bar" and ins.words[1] == "warp":
        return _bind_meeting(memory, ins)
    if name == "mma":
        return _bind_mma(lanes, ins)
    if name == "ldmatrix":
        return _bind_ldmatrix(memory, ins)
    return None


def _active(g: Group) -> Array:
    """Return each warp's lanes as bits."""
    packed = np.packbits(g.mask.reshape(-1, WARP), axis=1, bitorder="little")
    return packed.view(np.uint32).reshape(-1)


def _check_members(g: Group, member: Array) -> None:
    """All lanes that an instruction names must be at it together."""
    here = np.repeat(_active(g), WARP)
    bad = g.mask & (member != here)
    if bad.any():
        lane = int(np.argmax(bad))
        raise Fault(
            f"divergent: lanes {here[lane]:#010x} of a warp are here, "
            f"{member[lane]:#010x} are named"
        )


def _check_whole(g: Group) -> Array:
    """Return the indices of the warps of a group, all of whose lanes must be in it."""
    active = _active(g)
    if ((active != 0) & (active != 0xFFFFFFFF)).any():
        bad = active[(active != 0) & (active != 0xFFFFFFFF)][0]
        raise Fault(f"divergent: only lanes {bad:#010x} of a warp are here")
    return np.flatnonzero(active)


def _bind_meeting(memory: Memory, ins: Instruction) -> Step:
    member = memory.lanes.source(ins.operands[0], "u32")
    n_present = int(np.count_nonzero(memory.lanes.present))

    def meet(g: Group) -> None:
        _check_members(g, member)
        memory.meet_in_warps(None if g.n == n_present else g.mask)

    return meet


def _bind_shuffle(lanes: Lanes, ins: Instruction) -> Step:
    _, sync, mode, kind = ins.words
    if sync != "sync" or kind != "b32":
        raise Unsupported(ins.text)
    both = ins.operands[0]
    to, valid = both.parts if isinstance(both, Several) else (both, None)
    row = lanes.target(to, "b32")
    flag = None if valid is None else lanes.predicate_row(valid)
    a, b, c, member = (lanes.source(operand, "u32") for operand in ins.operands[1:])
    lane = lanes.specials["%laneid"].astype(np.int64)
    first = np.arange(lanes.n) - lane

    def shuffle(g: Group) -> None:
        _check_members(g, member)
        by, bound = (b & np.uint32(31)).astype(np.int64), (c & np.uint32(31)).astype(np.int64)
        segment = ((c >> np.uint32(8)) & np.uint32(31)).astype(np.int64)
        low = lane & segment
        high = low | (bound & ~segment)
        if mode == "up":
            source, fits = lane - by, lane - by >= high
        else:
            source = {"down": lane + by, "bfly": lane ^ by, "idx": low | (by & ~segment)}[mode]
            fits = source <= high
        source = first + np.where(fits, source, lane)
        if not g.mask[source[g.mask]].all():
            raise Fault("a shuffle reads a lane that does not take part")
        np.copyto(row, a[source], where=g.where)
        if flag is not None:
            np.copyto(flag, fits, where=g.where)

    return shuffle


def _bind_vote(lanes: Lanes, ins: Instruction) -> Step:
    _, sync, mode, _ = ins.words
    if sync != "sync":
        raise Unsupported(ins.text)
    value, member = lanes.predicate(ins.operands[1]), lanes.source(ins.operands[2], "u32")
    ballot = mode == "ballot"
    row = lanes.target(ins.operands[0], "b32") if ballot else lanes.predicate_row(ins.operands[0])

    def vote(g: Group) -> None:
        _check_members(g, member)
        yes = Group(g.mask & value(), 0, alone=False)
        ayes, here = _active(yes), _active(g)
        result: Any = ayes
        if not ballot:
            result = {
                "any": ayes != 0, "all": ayes == here, "uni": (ayes == 0) | (ayes == here)
            }[mode]  # fmt: skip
        np.copyto(row, np.repeat(result, WARP), where=g.where)

    return vote


def _bind_reduction(lanes: Lanes, ins: Instruction) -> Step:
    _, _, name, kind = ins.words
    function = {
        "add": np.add, "min": np.minimum, "max": np.maximum, "and": np.bitwise_and,
        "or": np.bitwise_or, "xor": np.bitwise_xor,
    }[name]  # fmt: skip
    row, value = lanes.target(ins.operands[0], kind), lanes.source(ins.operands[1], kind)
    member = lanes.source(ins.operands[2], "u32")

    def reduce(g: Group) -> None:
        _check_members(g, member)
        for first in np.unique(g.lanes // WARP) * WARP:
            part = slice(first, first + WARP)
            row[part][g.mask[part]] = function.reduce(value[part][g.mask[part]])

    return reduce


def _gather(rows: list[Array], warps: Array, kind: str) -> Array:
    """Return the numbers in a fragment's registers, float32 (warps, lanes, n)."""
    raw = np.stack([row.reshape(-1, WARP)[warps] for row in rows], axis=2)
    if kind == "bf16":
        return floats.bf16_to_f32(np.ascontiguousarray(raw).view(np.uint16))
    if kind == "f16":
        return np.ascontiguousarray(raw).view(np.float16).astype(np.float32)
    if kind == "tf32":
        raw = raw & np.uint32(0xFFFFE000)
    return np.ascontiguousarray(raw).view(np.float32)


def _fragments(depth: int, kind: str) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return row and column of each element of A (16 x depth) and of B (depth x 8), (lanes, n)."""
    pair = 1 if kind == "tf32" else 2
    n_b = depth * 8 // WARP
    n = np.arange(2 * n_b)[None, :]
    within, block = n % pair, n // pair
    a_row = _ROW[:, None] + 8 * (block % 2)
    a_column = _QUAD[:, None] * pair + within + 4 * pair * (block // 2)
    n = np.arange(n_b)[None, :]
    b_row = _QUAD[:, None] * pair + n % pair + 4 * pair * (n // pair)
    b_column = np.broadcast_to(_ROW[:, None], b_row.shape)
    return (a_row, a_column), (b_row, b_column)


def _bind_mma(lanes: Lanes, ins: Instruction) -> Step:
    _, *words = ins.words
    if words[:2] != ["sync", "aligned"] or words[3:5] != ["row", "col"] or len(words) != 9:
        raise Unsupported(ins.text)
    shape, (d_kind, kind, b_kind, c_kind) = words[2], words[5:]
    depths = {"bf16": ("8", "16"), "f16": ("8", "16"), "tf32": ("4", "8")}.get(kind, ())
    depth = shape.removeprefix("m16n8k")
    if (d_kind, c_kind, b_kind) != ("f32", "f32", kind) or depth not in depths:
        raise Unsupported(ins.text)
    places = _fragments(int(depth), kind)
    d, a, b, c = (o.parts if isinstance(o, Several) else (o,) for o in ins.operands)
    rows_a, rows_b = ([lanes.source(o, "b32") for o in part] for part in (a, b))
    rows_c = [lanes.source(o, "f32") for o in c]
    targets = [lanes.target(o, "f32") for o in d]
    out_row = _ROW[:, None] + 8 * (np.arange(4) // 2)[None, :]
    out_column = _QUAD[:, None] * 2 + (np.arange(4) % 2)[None, :]

    def product(g: Group) -> None:
        warps = _check_whole(g)
        left = np.zeros((len(warps), 16, int(depth)))
        right = np.zeros((len(warps), int(depth), 8))
        left[:, places[0][0], places[0][1]] = _gather(rows_a, warps, kind)
        right[:, places[1][0], places[1][1]] = _gather(rows_b, warps, kind)
        start = np.stack([row.reshape(-1, WARP)[warps] for row in rows_c], axis=2)
        total = (left @ right)[:, out_row, out_column] + start
        for n, target in enumerate(targets):
            target.reshape(-1, WARP)[warps] = total[:, :, n]

    return product


def _bind_ldmatrix(memory: Memory, ins: Instruction) -> Step:
    lanes, words = memory.lanes, ins.words[1:]
    if words[:3] != ("sync", "aligned", "m8n8") or words[-1] != "b16":
        raise Unsupported(ins.text)
    turned, count = "trans" in words, int(words[3][1])
    to = ins.operands[0]
    parts = to.parts if isinstance(to, Several) else (to,)
    rows = [lanes.target(part, "b32") for part in parts]
    if len(rows) != count:
        raise Unsupported(ins.text)
    address = memory.address(ins.operands[1])
    opcode, dtype = ins.opcode, DTYPES["b16"]

    def load(g: Group) -> None:
        warps = _check_whole(g)
        everyone = np.zeros(lanes.n, np.uint64)
        everyone[g.lanes] = address(g)
        given = (np.arange(lanes.n) % WARP < 8 * count) & g.mask
        narrow = Group(given, int(np.count_nonzero(given)), alone=False)
        addresses = everyone[narrow.lanes]
        memory.count_conflicts(addresses, 16, narrow, opcode)
        at = memory.in_shared(addresses, 16, narrow)
        raw = memory.shared.load(at, 2, 8, memory.who[narrow.lanes])
        matrices = raw.view(dtype).reshape(len(warps), count, 8, 8)
        if turned:
            matrices = matrices.transpose(0, 1, 3, 2)
        for n, row in enumerate(rows):
            pairs = np.stack(
                [matrices[:, n, _ROW, 2 * _QUAD], matrices[:, n, _ROW, 2 * _QUAD + 1]], axis=2
            )
            row.reshape(-1, WARP)[warps] = np.ascontiguousarray(pairs).view(np.uint32)[:, :, 0]

    return load
