"""Where a kernel's machine code comes from: compiled elsewhere, compiled before, or compiled now.

In this order: the folder that STREAMRNN_CUBIN_DIR names, for machines without the compiler; the
private store that the kernels for processors are kept in too; the compiler, in processes of its
own, so that one that streams never imports Numba.

    python -m streamrnn.kernels.cuda.cubins --architecture sm_90a --into build/cubins

compiles every kernel of the backend into such a folder. The files' names hold a digest of the
sources: code of other sources is never launched.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from streamrnn.core.errors import BackendUnavailable
from streamrnn.kernels import native, store, threads
from streamrnn.kernels.cuda.kernel import ARCHITECTURES, OLDEST, Kernel, architecture, capability_of

_LOG = logging.getLogger(__name__)

#: Names a folder of machine code that was compiled elsewhere.
VARIABLE = "STREAMRNN_CUBIN_DIR"
#: What to install where there is a GPU.
INSTALL = "pip install 'streamrnn[cuda]'"
_KERNELS = Path(__file__).parents[1]
_SEAL_BYTES = 32
#: What every kernel is compiled from, below ``streamrnn/kernels``.
_SOURCES = (
    "cuda/code/*.py",
    "cuda/compile.py",
    "cuda/tensor/layout.py",
    "jit.py",
    "rnn/gates.py",
    "rnn/machine.py",
    "rnn/simd.py",
)
#: What makes machine code of them: first names of packages, with or without ``-cu12`` behind.
_TOOLS = ("numba", "numba-cuda", "nvidia-nvvm", "nvidia-cuda-nvcc", "nvidia-nvjitlink")
_COMPILER = "streamrnn.kernels.cuda.compile"
_ITSELF = "streamrnn.kernels.cuda.cubins"
#: A compiler takes a second to start and less than half of one for a kernel.
_KERNELS_A_WORKER = 4
_MOST_WORKERS = 8


def codes(kernels: Iterable[Kernel], capability: tuple[int, int]) -> dict[Kernel, bytes]:
    """Return the machine code of kernels for a device of a compute capability.

    Raises
    ------
    BackendUnavailable
        Some are neither there nor can they be compiled.
    """
    name = architecture(capability)
    found: dict[Kernel, bytes] = {}
    missing = []
    for kernel in dict.fromkeys(kernels):
        code = _elsewhere(kernel, capability) or store.read(*_key(kernel, name))
        if code is None:
            missing.append(kernel)
        else:
            found[kernel] = code
    if missing:
        _check_compiler(missing, capability)

        def keep(kernel: Kernel, architecture_name: str, code: bytes) -> None:
            found[kernel] = code
            store.write(*_key(kernel, architecture_name), code)

        try:
            build([(kernel, name) for kernel in missing], keep)
        except BackendUnavailable as error:
            raise BackendUnavailable(
                f"{error}; {INSTALL} brings a compiler that is known to do, or let {VARIABLE} name"
                " a folder of compiled ones (make gpu-kernels)"
            ) from None
    return found


def is_ready(kernel: Kernel, capability: tuple[int, int]) -> bool:
    """Return whether a kernel need not be compiled any more."""
    if _elsewhere(kernel, capability) is not None:
        return True
    return store.read(*_key(kernel, architecture(capability))) is not None


def prepare(kernels: Iterable[Kernel], capability: tuple[int, int]) -> int:
    """Compile those kernels that are not there yet; return how many. See `codes`."""
    missing = [kernel for kernel in dict.fromkeys(kernels) if not is_ready(kernel, capability)]
    codes(missing, capability)
    return len(missing)


def check(kernels: Iterable[Kernel], capability: tuple[int, int]) -> None:
    """Make sure that kernels are there or can be compiled: if none is there, one is compiled.

    Raises
    ------
    BackendUnavailable
        There is no compiler that works, and some are missing.
    """
    kernels = list(kernels)
    if has_compiler():
        if not any(is_ready(kernel, capability) for kernel in kernels):
            codes(kernels[:1], capability)
    else:
        missing = [kernel for kernel in kernels if not is_ready(kernel, capability)]
        if missing:
            _check_compiler(missing, capability)


def has_compiler() -> bool:
    """Return whether the compiler is installed here; it is not tried."""
    return find_spec("numba") is not None and find_spec("numba_cuda") is not None


@cache
def tools() -> Mapping[str, str]:
    """Return the versions of the packages that compile, as far as they are installed."""
    from importlib import metadata

    found = {}
    for name in _TOOLS:
        for full_name in (name, f"{name}-cu12", f"{name}-cu13"):
            try:
                found[full_name] = metadata.version(full_name)
            except metadata.PackageNotFoundError:
                continue
    return found


# ---- names


def digest(kernel: Kernel) -> str:
    """Return what a kernel is made of as 16 hexadecimal digits: its sources and its description."""
    total = hashlib.sha256(repr(sorted(kernel.to_json().items())).encode())
    total.update(_sources())
    total.update(_module_source(kernel.module))
    return total.hexdigest()[:16]


def file_name(kernel: Kernel, architecture_name: str) -> str:
    """Return a kernel's file in a folder of machine code."""
    return f"{kernel.full_name}.{architecture_name}.{digest(kernel)}.cubin"


def put(folder: Path, kernel: Kernel, architecture_name: str, code: bytes) -> None:
    """Write machine code to a folder of such, behind the digest of its name and content."""
    path = folder / file_name(kernel, architecture_name)
    temporary = path.with_suffix(".new")
    temporary.write_bytes(_seal(path.name, code) + code)
    temporary.replace(path)


def _get(path: Path) -> bytes | None:
    """Return what `put` wrote; None if it is not there or damaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    seal, code = data[:_SEAL_BYTES], data[_SEAL_BYTES:]
    return code if seal == _seal(path.name, code) else None


def _seal(name: str, code: bytes) -> bytes:
    return hashlib.sha256(f"{name}\n".encode() + code).digest()


def _key(kernel: Kernel, architecture_name: str) -> tuple[str, str]:
    """Return name and digest of a kernel in the store: there, another compiler gives other code."""
    total = hashlib.sha256(f"{digest(kernel)} {sorted(tools().items())}".encode())
    return f"cuda-{architecture_name}-{kernel.full_name}", total.hexdigest()[:16]


@cache
def _sources() -> bytes:
    total = hashlib.sha256()
    for pattern in _SOURCES:
        for path in sorted(_KERNELS.glob(pattern)):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{path.relative_to(_KERNELS).as_posix()} {content}\n".encode())
    return total.digest()


@cache
def _module_source(module: str) -> bytes:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return b""
    return hashlib.sha256(Path(spec.origin).read_bytes()).digest()


# ---- compiled elsewhere


def _folder() -> Path | None:
    name = os.environ.get(VARIABLE)
    return Path(name) if name else None


def _elsewhere(kernel: Kernel, capability: tuple[int, int]) -> bytes | None:
    """Return the machine code of a kernel from the folder of such, if it is there."""
    folder = _folder()
    if folder is None:
        return None
    for name in _runnable(capability):
        try:
            code = _get(folder / file_name(kernel, name))
        except OSError as error:
            raise BackendUnavailable(f"cannot read {VARIABLE}={folder}: {error.strerror}") from None
        if code is not None:
            return code
    return None


def _runnable(capability: tuple[int, int]) -> list[str]:
    """Return the architectures whose code a device runs, the best first.

    A device also runs what was made for an older one of its generation; an ``a`` is for one alone.
    """
    major, minor = capability
    return [architecture(capability), *(f"sm_{major}{older}" for older in range(minor, -1, -1))]


def _check_compiler(missing: Sequence[Kernel], capability: tuple[int, int]) -> None:
    """Say what is missing where there is no compiler, and what lies in the folder in vain."""
    folder, has = _folder(), has_compiler()
    if folder is None:
        if not has:
            raise BackendUnavailable(
                f"there is no compiler for CUDA kernels: {INSTALL}, or let {VARIABLE} name a folder"
                " of compiled ones"
            )
        return
    first = missing[0].full_name
    name = architecture(capability)
    there = [path for n in _runnable(capability) for path in folder.glob(f"{first}.{n}.*.cubin")]
    what = f"is not there for {name}"
    if there:
        is_ours = any(f".{digest(missing[0])}." in path.name for path in there)
        what = "is damaged" if is_ours else "was compiled from other sources"
    complaint = (
        f"{first} {what} in {VARIABLE}={folder} ({len(missing)} kernels are missing): compile them"
        f" with: python -m {_ITSELF} --architecture {name} --into DIR"
    )
    if not has:
        raise BackendUnavailable(complaint)
    _LOG.warning("%s", complaint)


# ---- compiled now


def build(
    wanted: Sequence[tuple[Kernel, str]], keep: Callable[[Kernel, str, bytes], object]
) -> None:
    """Compile kernels, each for an architecture, in a few processes side by side.

    Parameters
    ----------
    wanted : sequence of (Kernel, str)
    keep : callable
        Gets kernel, architecture and machine code as soon as each is there, on any thread.

    Raises
    ------
    BackendUnavailable
        The compiler failed; the message holds the end of what it said.
    """
    from streamrnn.kernels.build import Compiler

    def work(share: Sequence[tuple[Kernel, str]]) -> None:
        with Compiler(_COMPILER) as compiler:
            for kernel, name in share:
                job = {"kernel": kernel.to_json(), "architecture": name}
                keep(kernel, name, compiler.compile(f"{kernel.full_name} for {name}", job))

    n = max(1, min(threads.n_cores(), _MOST_WORKERS, len(wanted) // _KERNELS_A_WORKER))
    with native.compiling(len(wanted)), ThreadPoolExecutor(n) as pool:
        for _ in pool.map(work, (wanted[worker::n] for worker in range(n))):
            pass


def _asked(name: str) -> str:
    """Check an architecture that somebody typed."""
    if not re.fullmatch(r"sm_\d{2,3}[af]?", name) or capability_of(name) < OLDEST:
        raise argparse.ArgumentTypeError(
            f"{name!r} is no architecture such as {architecture((9, 0))}, of {architecture(OLDEST)}"
            " or newer"
        )
    return name


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile every kernel of the backend into a folder; return the exit code."""
    from streamrnn.kernels.cuda.catalogue import catalogue

    parser = argparse.ArgumentParser(prog=f"python -m {_ITSELF}", description=main.__doc__)
    parser.add_argument(
        "--architecture", action="append", type=_asked, metavar="|".join(ARCHITECTURES)
    )
    parser.add_argument("--into", type=Path, required=True, metavar="DIR")
    options = parser.parse_args(arguments)
    folder: Path = options.into
    wanted = [
        (kernel, name)
        for name in options.architecture or ARCHITECTURES
        for kernel in catalogue(capability_of(name))
        if _get(folder / file_name(kernel, name)) is None
    ]
    begin_s = time.monotonic()

    def keep(kernel: Kernel, name: str, code: bytes) -> None:
        put(folder, kernel, name, code)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if wanted:
            names = ", ".join(dict.fromkeys(name for _, name in wanted))
            sys.stderr.write(
                f"compiling {len(wanted)} kernels for {names} (half a second or more each) ...\n"
            )
            build(wanted, keep)
    except (BackendUnavailable, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    took_s = time.monotonic() - begin_s
    sys.stderr.write(f"{len(wanted)} kernels compiled into {folder} in {took_s:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
