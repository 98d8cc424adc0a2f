"""What a GPU's kernels are compiled to: registers, spills, shared memory, instructions. No GPU.

    python -m benchmarks.gpu_compile [--kernel lstm] [--architecture sm_90a] [--no-docs]

Compiles every kernel of the backend for every architecture with the compiler of the [cuda-compile]
extra, disassembles the machine code, and writes the table of docs/performance-gpu.md. Nothing is
executed, so nothing here is a time.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import report
from streamrnn.kernels.cuda import cubins
from streamrnn.kernels.cuda.catalogue import catalogue
from streamrnn.kernels.cuda.kernel import ARCHITECTURES, Kernel, capability_of

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance-gpu.md"
BEGIN, END = "<!-- compile: begin -->", "<!-- compile: end -->"
_REGISTERS = re.compile(r"Used (\d+) registers")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_SHARED = re.compile(r"ptxas info.*Used .* (\d+) bytes smem")
_LOCAL = re.compile(r"(\d+) bytes lmem")
_INSTRUCTION = re.compile(r"\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;")
_LABEL = re.compile(r"(\.L_x_\d+):")
_BRANCH = re.compile(r"\bBRA\b.*`\((\.L_x_\d+)\)")


@dataclass(frozen=True)
class Compiled:
    """A kernel in machine code.

    Attributes
    ----------
    kernel : str
        Its full name.
    architecture : str
    registers : int
        A thread.
    stack_bytes, spill_bytes, local_bytes : int
        A thread, in memory: each should be 0.
    shared_bytes : int
        Static; a launch adds what it wants.
    code_bytes : int
        Of the file.
    ptx : str
    """

    kernel: str
    architecture: str
    registers: int
    stack_bytes: int
    spill_bytes: int
    local_bytes: int
    shared_bytes: int
    code_bytes: int
    ptx: str = field(repr=False)


@dataclass(frozen=True)
class Loops:
    """How long the machine code of a kernel is, in instructions.

    Attributes
    ----------
    n_instructions : int
        All of it, functions that it calls included.
    n_longest : int
        Those of the longest loop, each counted once: that over time steps where there is one.
    n_sums : int
        Multiply-adds among them, a tensor-core instruction counting as one.
    """

    n_instructions: int
    n_longest: int
    n_sums: int


def compiled(kernel: Kernel, architecture: str) -> tuple[Compiled, bytes]:
    """Compile a kernel; return what the assembler says of it, and the machine code."""
    from streamrnn.kernels.cuda.compile import cubin_of, ptx_of

    ptx = ptx_of(kernel, architecture)
    code, said = cubin_of(ptx, architecture)
    stacks = _STACK.findall(said)
    facts = Compiled(
        kernel=kernel.full_name,
        architecture=architecture,
        registers=max(map(int, _REGISTERS.findall(said))),
        stack_bytes=sum(int(stack) for stack, _, _ in stacks),
        spill_bytes=sum(int(stored) + int(loaded) for _, stored, loaded in stacks),
        local_bytes=sum(map(int, _LOCAL.findall(said))),
        shared_bytes=sum(map(int, _SHARED.findall(said))),
        code_bytes=len(code),
        ptx=ptx,
    )
    if not stacks:
        raise ValueError(f"the assembler says nothing of {kernel.full_name}: {said!r}")
    return facts, code


@cache
def disassembler() -> str | None:
    """Return the path of nvdisasm, None where it is not installed."""
    spec = find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob("*/bin/nvdisasm")):
            return str(path)
    return shutil.which("nvdisasm")


def sass_of(code: bytes) -> str:
    """Return machine code as text."""
    path = disassembler()
    if path is None:
        raise FileNotFoundError("nvdisasm is not installed: pip install 'streamrnn[cuda-compile]'")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        done = subprocess.run([path, "-c", file.name], check=True, capture_output=True, text=True)
    return done.stdout


def loops_of(sass: str) -> Loops:
    """Return how long machine code and its longest loop are."""
    instructions: list[str] = []
    labels: dict[str, int] = {}
    longest = range(0)
    for line in sass.splitlines():
        if label := _LABEL.match(line):
            labels[label[1]] = len(instructions)
        elif found := _INSTRUCTION.match(line):
            instructions.append(found[1])
            branch = _BRANCH.search(found[1])
            if branch and branch[1] in labels:  # backwards
                loop = range(labels[branch[1]], len(instructions))
                # One that never ends stands behind the end of each function.
                longest = max(longest, loop, key=len)
    sums = re.compile(r"\b(FFMA2?|HMMA|[UW]GMMA)\b")
    inside = [instructions[n] for n in longest]
    return Loops(len(instructions), len(inside), sum(bool(sums.search(i)) for i in inside))


def rows_of(kernels: Iterable[tuple[Kernel, str]]) -> Iterable[dict[str, Any]]:
    """Compile kernels and return a row for each."""
    for kernel, architecture in kernels:
        facts, code = compiled(kernel, architecture)
        row = {key: value for key, value in asdict(facts).items() if key != "ptx"}
        yield {**row, **asdict(loops_of(sass_of(code)))}


def render(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of the document: a line a kernel, a column an architecture."""
    architectures = list(dict.fromkeys(row["architecture"] for row in rows))
    cells = {
        (row["kernel"], row["architecture"]): (
            f"{row['registers']} / {row['n_instructions']} / {row['n_longest']}"
        )
        for row in rows
    }
    lines = [
        f"| kernel | {' | '.join(architectures)} |",
        f"|---|{'---|' * len(architectures)}",
    ]
    for kernel in dict.fromkeys(row["kernel"] for row in rows):
        line = [cells.get((kernel, name), "-") for name in architectures]
        lines.append(f"| `{kernel}` | {' | '.join(line)} |")
    spilling = sum(bool(row["spill_bytes"] + row["stack_bytes"]) for row in rows)
    shared = max(row["shared_bytes"] for row in rows)
    lines += [
        "",
        f"Each cell: registers a thread / instructions / instructions of the longest loop, each "
        f"counted once. {len(rows)} compilations; {spilling or 'none'} of them with a stack or "
        f"spills; static shared memory at most {shared} bytes.",
    ]
    return "\n".join(lines)


def write_document(text: str, begin_mark: str, end_mark: str, path: Path = DOCUMENT) -> None:
    """Replace what stands between two marks of the document."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(begin_mark)
    _, end, after = rest.partition(end_mark)
    if not begin or not end:
        raise ValueError(f"{path.name} lacks {begin_mark} or {end_mark}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile, print and keep the table; return 1 if a kernel spills."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_compile", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--kernel", help="only those whose name begins so; nothing is written")
    parser.add_argument("--architecture", action="append", choices=ARCHITECTURES)
    parser.add_argument("--docs", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args(arguments)
    names = options.architecture or ARCHITECTURES
    wanted = [
        (kernel, name)
        for name in names
        for kernel in catalogue(capability_of(name))
        if kernel.full_name.startswith(options.kernel or "")
    ]
    rows = []
    for row in rows_of(wanted):
        rows.append(row)
        print(f"{row['architecture']:8} {row['kernel']}", file=sys.stderr)
    is_part = bool(options.kernel or options.architecture)
    if is_part:
        print(report.table(rows))
        return int(any(row["spill_bytes"] for row in rows))
    if options.docs:
        write_document(render(rows), BEGIN, END)
    targets = {
        "no kernel spills": not any(row["spill_bytes"] for row in rows),
        "no kernel has a stack": not any(row["stack_bytes"] for row in rows),
    }
    settings = {"architectures": list(names), "tools": dict(cubins.tools())}
    return report.finish("gpu_compile", rows, targets, settings)


if __name__ == "__main__":
    sys.exit(main())
