"""Machine code for GPUs: found where it was put, or compiled; never of other sources."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamrnn.core.errors import BackendUnavailable
from streamrnn.kernels import native, store
from streamrnn.kernels.cuda import catalogue, cubins
from streamrnn.kernels.cuda.kernel import Kernel

TINY = Kernel("tiny", "tiny_cuda", "double", "f4* i4", (("times", 3),), 64)
MORE = Kernel("tiny", "tiny_cuda", "double", "f4* i4", (("times", 4),), 64)
BAD = Kernel("bad", "tiny_cuda", "muddle", "f4*")
HOPPER = (9, 0)
needs_compiler = pytest.mark.skipif(
    not cubins.has_compiler(), reason="the CUDA compiler is not installed: make .venv/.cuda"
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Let kernels be kept in a folder of the test's own; return it."""
    monkeypatch.setenv(store.VARIABLE, str(tmp_path / "store"))
    monkeypatch.delenv(cubins.VARIABLE, raising=False)
    store._place.cache_clear()
    yield tmp_path / "store" / "kernels"
    store._place.cache_clear()
    store._say_once.cache_clear()


@pytest.fixture
def built(monkeypatch):
    """Note down what is compiled, and let nothing be."""
    asked = []

    def build(wanted, keep):
        for kernel, name in wanted:
            asked.append((kernel, name))
            keep(kernel, name, f"{kernel.full_name} {name} {len(asked)}".encode())

    monkeypatch.setattr(cubins, "build", build)
    monkeypatch.setattr(cubins, "has_compiler", lambda: True)
    return asked


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of machine code that was compiled elsewhere."""
    path = tmp_path / "cubins"
    path.mkdir()
    monkeypatch.setenv(cubins.VARIABLE, str(path))
    return path


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.setattr(cubins, "has_compiler", lambda: False)


def test_what_was_compiled_once_is_found_again(built):
    first = cubins.codes([TINY, MORE, TINY], HOPPER)
    assert built == [(TINY, "sm_90a"), (MORE, "sm_90a")]
    assert cubins.is_ready(TINY, HOPPER)
    assert not cubins.is_ready(TINY, (8, 0))
    assert cubins.codes([MORE, TINY], HOPPER) == first
    assert len(built) == 2
    cubins.codes([TINY], (8, 0))
    assert built[2:] == [(TINY, "sm_80")]


def test_a_compiler_is_tried_before_it_is_relied_on(built, monkeypatch):
    cubins.check([TINY, MORE], HOPPER)
    cubins.check([TINY, MORE], HOPPER)
    assert built == [(TINY, "sm_90a")]

    def build(wanted, keep):
        raise BackendUnavailable("cannot compile the kernels of tiny: NvvmSupportError: ...")

    monkeypatch.setattr(cubins, "build", build)
    cubins.check([TINY, MORE], HOPPER)
    line = r"NvvmSupportError: ...; pip install .* or let STREAMRNN_CUBIN_DIR .*make gpu-kernels"
    with pytest.raises(BackendUnavailable, match=line):
        cubins.check([TINY, MORE], (8, 0))


def test_other_sources_descriptions_and_compilers_are_other_code(built, monkeypatch):
    cubins.codes([TINY], HOPPER)
    before = cubins.digest(TINY)
    assert len({before, cubins.digest(MORE), cubins.digest(BAD)}) == 3
    monkeypatch.setattr(cubins, "tools", lambda: {"nvidia-nvvm": "99"})
    cubins.codes([TINY], HOPPER)
    assert len(built) == 2
    assert cubins.digest(TINY) == before
    monkeypatch.setattr(cubins, "_sources", lambda: b"others")
    assert cubins.digest(TINY) != before
    cubins.codes([TINY], HOPPER)
    assert len(built) == 3


@needs_compiler
def test_every_source_that_kernels_are_made_of_is_in_the_digest():
    """Whatever the compiler imports of kernels, besides what only describes them."""
    code = (
        "import sys, json, pkgutil, importlib\n"
        "from streamrnn.kernels.cuda import code\n"
        "for module in pkgutil.iter_modules(code.__path__, f'{code.__name__}.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(json.dumps([m.__file__ for n, m in sys.modules.items()\n"
        "                  if n.startswith('streamrnn.kernels.') and m.__file__]))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    kernels = Path(cubins.__file__).parents[1]
    used = {Path(name).relative_to(kernels).as_posix() for name in json.loads(done.stdout)}
    known = {path.relative_to(kernels).as_posix()
             for pattern in cubins._SOURCES for path in kernels.glob(pattern)}  # fmt: skip
    plain = {name for name in used if name.endswith("__init__.py")}
    # What every import of the package brings, and where the cache is.
    assert used - known - plain <= {"backend.py", "params.py", "native.py", "store.py"}


def test_the_folder_comes_first_and_serves_newer_devices_of_a_generation(folder, no_compiler):
    cubins.put(folder, TINY, "sm_80", b"ampere")
    cubins.put(folder, TINY, "sm_90a", b"hopper")
    for capability, code in (((8, 0), b"ampere"), ((8, 9), b"ampere"), (HOPPER, b"hopper")):
        assert cubins.codes([TINY], capability) == {TINY: code}
        assert cubins.is_ready(TINY, capability)
        cubins.check([TINY], capability)
    for capability in ((7, 5), (12, 0)):
        with pytest.raises(BackendUnavailable, match="tiny-times3-t64b1 is not there for sm_"):
            cubins.codes([TINY], capability)


def test_code_of_other_sources_is_refused_or_compiled_anew(folder, no_compiler, monkeypatch):
    name = cubins.file_name(TINY, "sm_90a")
    (folder / name.replace(cubins.digest(TINY), "0" * 16)).write_bytes(b"old")
    with pytest.raises(BackendUnavailable) as error:
        cubins.codes([TINY], HOPPER)
    assert str(error.value) == (
        f"tiny-times3-t64b1 was compiled from other sources in STREAMRNN_CUBIN_DIR={folder}"
        " (1 kernels are missing): compile them with: python -m streamrnn.kernels.cuda.cubins"
        " --architecture sm_90a --into DIR"
    )


def test_with_a_compiler_it_is_a_warning(folder, built, caplog):
    assert cubins.codes([TINY], HOPPER) == {TINY: b"tiny-times3-t64b1 sm_90a 1"}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "is not there for sm_90a" in caplog.text


def test_without_compiler_and_folder_it_is_said_what_to_install(no_compiler):
    for ask in (cubins.codes, cubins.check):
        with pytest.raises(BackendUnavailable, match=r"no compiler .* pip install 'streamrnn\[cu"):
            ask([TINY], HOPPER)


def test_a_folder_that_cannot_be_read_is_one_line(folder, tmp_path, monkeypatch, no_compiler):
    (tmp_path / "file").touch()
    monkeypatch.setenv(cubins.VARIABLE, str(tmp_path / "file"))
    with pytest.raises(BackendUnavailable, match=r"cannot read STREAMRNN_CUBIN_DIR=.*file: Not a"):
        cubins.codes([TINY], HOPPER)


def test_a_folder_is_filled_once(tmp_path, built, monkeypatch, capsys):
    monkeypatch.setattr(catalogue, "catalogue", lambda capability: [TINY, MORE])
    into = tmp_path / "a" / "b"
    arguments = ["--architecture", "sm_80", "--architecture", "sm_90a", "--into", str(into)]
    assert cubins.main(arguments) == 0
    assert {path.name for path in into.iterdir()} == {
        cubins.file_name(kernel, name) for kernel in (TINY, MORE) for name in ("sm_80", "sm_90a")
    }
    assert f"4 kernels compiled into {into}" in capsys.readouterr().err
    assert cubins.main(arguments) == 0
    assert len(built) == 4
    monkeypatch.setenv(cubins.VARIABLE, str(into))
    assert cubins.codes([TINY], (8, 6)) == {TINY: b"tiny-times3-t64b1 sm_80 1"}


def test_a_folder_says_how_much_is_to_be_done(tmp_path, built, monkeypatch, capsys):
    monkeypatch.setattr(catalogue, "catalogue", lambda capability: [TINY, MORE])
    arguments = ["--architecture", "sm_90a", "--into", str(tmp_path)]
    assert cubins.main(arguments) == 0
    first, _ = capsys.readouterr().err.splitlines()
    assert first == "compiling 2 kernels for sm_90a (half a second or more each) ..."
    assert cubins.main(arguments) == 0
    (only,) = capsys.readouterr().err.splitlines()
    assert only.startswith("0 kernels compiled into")


@pytest.mark.parametrize("name", ["hopper", "sm_", "90", "sm_9x", "sm_70"])
def test_an_architecture_that_is_none_is_a_matter_of_usage(tmp_path, built, capsys, name):
    with pytest.raises(SystemExit) as ended:
        cubins.main(["--architecture", name, "--into", str(tmp_path)])
    assert ended.value.code == 2
    line = f"'{name}' is no architecture such as sm_90a, of sm_75 or newer"
    assert line in capsys.readouterr().err
    assert not built


@pytest.mark.parametrize("harm", ["emptied", "cut", "flipped", "another's"])
def test_a_damaged_file_is_no_code(folder, no_compiler, harm):
    path = folder / cubins.file_name(TINY, "sm_90a")
    cubins.put(folder, TINY, "sm_90a", b"hopper")
    if harm == "another's":
        cubins.put(folder, MORE, "sm_90a", b"hopper")
        (folder / cubins.file_name(MORE, "sm_90a")).replace(path)
    else:
        whole = path.read_bytes()
        flipped = whole[:-1] + bytes([whole[-1] ^ 1])
        path.write_bytes({"emptied": b"", "cut": whole[:-1], "flipped": flipped}[harm])
    assert not cubins.is_ready(TINY, HOPPER)
    with pytest.raises(BackendUnavailable, match=r"is damaged in STREAMRNN_CUBIN_DIR"):
        cubins.codes([TINY], HOPPER)


# ---- with the compiler


@needs_compiler
def test_a_kernel_is_compiled_in_another_process():
    code = (
        "import sys; from test_cubins import *\n"
        "code = cubins.codes([TINY, MORE], HOPPER)\n"
        "print([c[:4] == b'\\x7fELF' for c in code.values()], len(set(code.values())),\n"
        "      sorted(name for name in sys.modules if name.partition('.')[0] in\n"
        "             ('numba', 'numba_cuda', 'cuda', 'llvmlite'))[:1])"
    )
    here = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": here},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[True, True] 2 ['llvmlite']\n"  # which loads kernels for processors


@needs_compiler
def test_a_kernel_that_cannot_be_compiled_is_one_line_and_costs_no_other(elsewhere):
    with pytest.raises(BackendUnavailable, match="cannot compile the kernels of bad-t256b1 for"):
        cubins.codes([TINY, BAD], HOPPER)
    assert cubins.is_ready(TINY, HOPPER)
    assert not cubins.is_ready(BAD, HOPPER)


@needs_compiler
def test_a_compilation_is_announced(monkeypatch):
    counted = []

    class Watch:
        def __init__(self, n):
            counted.append(n)

        def __enter__(self):
            counted.append("begin")

        def __exit__(self, *_):
            counted.append("end")

    before = list(native._progress)
    native.on_compile(Watch)
    try:
        cubins.codes([TINY], HOPPER)
    finally:
        native._progress[:] = before
    assert counted == [1, "begin", "end"]


def test_nothing_but_the_compiler_imports_a_compiler():
    code = (
        "import importlib, pkgutil, sys\n"
        "from streamrnn.kernels import cuda\n"
        "for module in pkgutil.walk_packages(cuda.__path__, f'{cuda.__name__}.'):\n"
        "    if not module.name.startswith(f'{cuda.__name__}.co'):  # code, compile\n"
        "        importlib.import_module(module.name)\n"
        "print(sorted({'numba', 'numba_cuda', 'cuda', 'nvidia'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
