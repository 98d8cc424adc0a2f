"""Reads PTX into a program: instructions with resolved names, labels, parameters, shared memory.

Names are resolved in the innermost scope (inline assembly opens its own), so that an instruction's
operands are ready to be bound to rows of registers. PTX ISA 9.0, chapters 4 to 7.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

#: Bytes of each fundamental type.
SIZES = {
    kind + str(bits): bits // 8
    for kind, widths in (("b", (8, 16, 32, 64)), ("u", (8, 16, 32, 64)), ("s", (8, 16, 32, 64)))
    for bits in widths
} | {"f16": 2, "bf16": 2, "f32": 4, "f64": 8, "f16x2": 4, "bf16x2": 4}

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
_ENTRY = re.compile(r"\.entry\s+([\w$]+)\s*\(")
_PARAM = re.compile(
    r"\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)\s+"
    r"(?:\.ptr\s+(?:\.(?:const|global|local|shared)\s+)?(?:\.align\s+\d+\s+)?)?([\w$]+)\s*(\[)?"
)
_SHARED = re.compile(r"\.shared\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$]+)\s*(?:\[(\d*)\])?")
_REGISTERS = re.compile(r"\.reg\s+(?:\.v\d\s+)?\.(\w+)\s+(.*)", re.S)
_FAMILY = re.compile(r"(%?[\w$]+)<(\d+)>")
_LABEL = re.compile(r"([\w$]+)\s*:")
_GUARD = re.compile(r"@(!?)\s*(%?[\w$]+)\s+(.*)", re.S)
_SPECIAL = re.compile(
    r"%(n?tid|n?ctaid)\.[xyz]|%(laneid|warpid|nwarpid|clock\w*|smid|lanemask_\w+)"
)
_DIRECTIVES = (".pragma", ".loc", ".file", ".section", ".minnctapersm", ".maxntid")


class Unsupported(NotImplementedError):
    """The interpreter does not know an instruction or a form of it; the message is its text."""


@dataclass(frozen=True)
class Register:
    """A register: its row among those of its width, ``pred`` 1, others 2, 4 or 8 bytes."""

    width: int
    row: int
    negated: bool = False


@dataclass(frozen=True)
class Special:
    """A special register such as ``%tid.x``."""

    name: str


@dataclass(frozen=True)
class Immediate:
    """A number as it is written: an int, or the bits of a float (kind f32, f64)."""

    value: int
    kind: str = "int"


@dataclass(frozen=True)
class Symbol:
    """A parameter or a variable in shared memory."""

    name: str


@dataclass(frozen=True)
class Address:
    """``[base + offset]``."""

    base: Operand | None
    offset: int = 0


@dataclass(frozen=True)
class Several:
    """``{a, b}``, a vector, or ``p|q``, two destinations; None stands for ``_``."""

    parts: tuple[Operand | None, ...]


Operand = Register | Special | Immediate | Symbol | Address | Several


@dataclass(frozen=True)
class Instruction:
    """One instruction: ``words`` are its opcode and modifiers."""

    words: tuple[str, ...]
    operands: tuple[Operand | None, ...]
    guard: Register | None
    text: str
    line: int

    @property
    def opcode(self) -> str:
        """The opcode with all modifiers."""
        return ".".join(self.words)


@dataclass
class Program:
    """One entry of a PTX module."""

    name: str
    parameters: list[tuple[str, str]]
    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    #: Where each variable stands in shared memory; the dynamic memory begins behind the others.
    shared: dict[str, int] = field(default_factory=dict)
    shared_bytes: int = 0
    max_threads: int = 1024
    n_registers: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0, 4: 0, 8: 0})


class _Scope:
    def __init__(self, outer: _Scope | None) -> None:
        self.outer = outer
        self.names: dict[str, Register | str] = {}

    def find(self, name: str) -> Register | str | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return None


def parse(text: str, entry: str | None = None) -> Program:
    """Return an entry of a module: the only one, or the one that is named."""
    text = _COMMENT.sub(lambda found: "\n" * found.group().count("\n"), text.replace("\0", ""))
    entries = [m for m in _ENTRY.finditer(text) if entry in (None, m.group(1))]
    if len(entries) != 1:
        raise ValueError(f"the module has {len(entries)} such entries, expected one")
    (found,) = entries
    end = text.index(")", found.end())
    parameters = [
        (name, kind) for kind, name, many in _PARAM.findall(text[found.end() : end]) if not many
    ]
    if len(parameters) != text[found.end() : end].count(".param") or any(
        not name[0].isalpha() and name[0] not in "_$" for name, _ in parameters
    ):
        raise Unsupported(text[found.start() : end])
    program = Program(found.group(1), parameters)
    start = text.index("{", end)
    limit = re.search(r"\.(?:maxntid|reqntid)\s+(\d+)", text[end:start])
    if limit:
        program.max_threads = int(limit.group(1))
    body, ends = _body(text, start)
    _place_shared(program, text[: found.start()] + text[start:ends])
    _Reader(program, body, text[: start + 1].count("\n") + 1).read()
    return program


def _body(text: str, start: int) -> tuple[str, int]:
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return text[start + 1 : at], at
    raise ValueError("the entry's body does not end")


def _place_shared(program: Program, text: str) -> None:
    dynamic = []
    for align, kind, name, count in _SHARED.findall(text):
        step = int(align or SIZES[kind])
        if count == "" and f"{name}[" in text.replace(" ", ""):
            dynamic.append((name, step))
            continue
        program.shared_bytes = -(-program.shared_bytes // step) * step
        program.shared[name] = program.shared_bytes
        program.shared_bytes += SIZES[kind] * int(count or 1)
    for _, step in dynamic:
        program.shared_bytes = -(-program.shared_bytes // step) * step
    program.shared.update((name, program.shared_bytes) for name, _ in dynamic)


class _Reader:
    """Goes through the statements of a body."""

    def __init__(self, program: Program, body: str, line: int) -> None:
        self.program, self.body, self.line = program, body, line
        self.scope = _Scope(None)
        self.n_labels = 0
        #: Branches' labels are resolved at the end of their scope, where all are known.
        self.pending: list[tuple[int, _Scope]] = []

    def read(self) -> None:
        at = 0
        while at < len(self.body):
            character = self.body[at]
            if character.isspace():
                self.line += character == "\n"
                at += 1
            elif character == "{":
                self.scope, at = _Scope(self.scope), at + 1
            elif character == "}":
                assert self.scope.outer is not None
                self.scope, at = self.scope.outer, at + 1
            elif label := _LABEL.match(self.body, at):
                self._label(label.group(1))
                at = label.end()
            else:
                end = self.body.index(";", at)
                statement = self.body[at:end]
                self._statement(" ".join(statement.split()))
                self.line += statement.count("\n")
                at = end + 1
        self._resolve()

    def _label(self, name: str) -> None:
        unique = f"{name}#{self.n_labels}"
        self.n_labels += 1
        self.scope.names[name] = unique
        self.program.labels[unique] = len(self.program.instructions)

    def _statement(self, text: str) -> None:
        if not text or text.startswith((*_DIRECTIVES, ".shared", ".extern .shared")):
            return
        if text.startswith(".reg"):
            self._registers(text)
            return
        if text.startswith("."):
            raise Unsupported(text)
        guard, rest = None, text
        if found := _GUARD.match(text):
            guard = self._operand(found.group(2))
            assert isinstance(guard, Register)
            guard = Register(guard.width, guard.row, found.group(1) == "!")
            rest = found.group(3)
        opcode, _, written = rest.partition(" ")
        words = tuple(opcode.replace("::", "_").split("."))
        operands: tuple[Operand | None, ...]
        if words[0] == "bra":
            self.pending.append((len(self.program.instructions), self.scope))
            operands = (Symbol(written.strip()),)
        else:
            operands = tuple(self._operand(part) for part in _split(written))
        self.program.instructions.append(Instruction(words, operands, guard, text, self.line))

    def _resolve(self) -> None:
        for at, scope in self.pending:
            old = self.program.instructions[at]
            (target,) = old.operands
            assert isinstance(target, Symbol)
            label = scope.find(target.name)
            assert isinstance(label, str), f"no label {target.name}"
            self.program.instructions[at] = Instruction(
                old.words, (Symbol(label),), old.guard, old.text, old.line
            )

    def _registers(self, text: str) -> None:
        found = _REGISTERS.match(text)
        assert found is not None, text
        width = 1 if found.group(1) == "pred" else max(2, SIZES[found.group(1)])
        rows = self.program.n_registers
        for part in found.group(2).split(","):
            name = part.strip()
            family = _FAMILY.fullmatch(name)
            names = (
                [family.group(1) + str(n) for n in range(int(family.group(2)))]
                if family
                else [name]
            )
            for one in names:
                self.scope.names[one] = Register(width, rows[width])
                rows[width] += 1

    def _operand(self, text: str) -> Operand | None:
        text = text.strip()
        found = self.scope.find(text)
        if isinstance(found, Register):
            return found
        if text == "_":
            return None
        if text[0] == "{":
            return Several(tuple(self._operand(part) for part in _split(text[1:-1])))
        if text[0] == "[":
            return self._address(text[1:-1])
        if text[0] == "!":
            inner = self._operand(text[1:])
            assert isinstance(inner, Register)
            return Register(inner.width, inner.row, True)
        if "|" in text:
            return Several(tuple(self._operand(part) for part in text.split("|")))
        if _SPECIAL.fullmatch(text):
            return Special(text)
        return number(text) or Symbol(text)

    def _address(self, text: str) -> Address:
        base, sign, offset = re.fullmatch(r"\s*([^+\s]+)\s*(?:(\+)\s*(-?\w+))?\s*", text).groups()  # type: ignore[union-attr]
        inner = self._operand(base)
        distance = int(offset, 0) if sign else 0
        if isinstance(inner, Immediate):
            return Address(None, inner.value + distance)
        return Address(inner, distance)


def number(text: str) -> Immediate | None:
    """Return a constant as it is written, such as -3, 0x1F, 0f3F800000; None if it is none."""
    if re.fullmatch(r"0[fF][0-9a-fA-F]{8}", text):
        return Immediate(int(text[2:], 16), "f32")
    if re.fullmatch(r"0[dD][0-9a-fA-F]{16}", text):
        return Immediate(int(text[2:], 16), "f64")
    if re.fullmatch(r"-?(0[xX][0-9a-fA-F]+|\d+)U?", text):
        return Immediate(int(text.rstrip("U"), 0))
    if re.fullmatch(r"-?\d+\.\d*(e[+-]?\d+)?", text):
        return Immediate(int.from_bytes(struct.pack("<d", float(text)), "little"), "f64")
    return None


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    return [part for part in parts if part.strip()]
