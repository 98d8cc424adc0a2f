"""Nothing compiles behind the warm-up, and arguments that a kernel cannot take are named."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from rnn_make import Shape, draw, make_params, make_state

from streamrnn.kernels import get_backend, jit
from streamrnn.kernels.params import AdamSpec, Batch, LossSpec, OptState
from streamrnn.kernels.rnn import cpu

SHAPE = Shape(n_in=3, hidden=(5, 4), n_classes=3, n_steps=4, n_rows=6)


@jit.kernel
def double(a):
    for k in range(a.size):
        a[k] += a[k]


def test_a_locked_entry_refuses_other_types():
    jit.specialise(double, (jit.array(np.float32, 1),))
    jit.specialise(double, (jit.array(np.float32, 1),), (jit.array(np.int64, 1),))
    a, frozen = np.ones(3, np.float32), np.ones(3, np.float32)
    frozen.flags.writeable = False
    double(a)
    assert a.tolist() == [2, 2, 2]
    for other in (frozen, np.ones(3), np.ones((3, 1), np.float32), np.ones(6, np.float32)[::2]):
        with pytest.raises(TypeError, match="No matching definition"):
            double(other)
    assert jit.n_specialisations(double) == 2


@jit.kernel
def triple(a):
    for k in range(a.size):
        a[k] *= 3


def test_an_entry_called_before_it_is_specialised_is_locked_too():
    triple(np.ones(2))
    jit.specialise(triple, (jit.array(np.float64, 1),))
    with pytest.raises(TypeError, match="No matching definition"):
        triple(np.ones(2, np.int64))


def test_as_argument_copies_only_what_it_must():
    a = np.zeros((2, 3), np.float32)
    assert jit.as_argument("a", a, np.float32, (None, 3)) is a
    frozen = np.broadcast_to(np.float32(1), (2, 3))
    copied = jit.as_argument("a", frozen, np.float32, (2, 3))
    assert copied.flags.c_contiguous
    assert copied.flags.writeable
    with pytest.raises(ValueError, match=r"a is float64 \(4,\), expected float32 \(any,\)"):
        jit.as_argument("a", np.zeros(4), np.float32, (None,))


def test_check_output_names_what_is_wrong():
    jit.check_output("a", np.zeros((2, 3)), np.float64, (2, None))
    with pytest.raises(ValueError, match=r"a is float64 \(2, 3\), expected float64 \(3, 3\)"):
        jit.check_output("a", np.zeros((2, 3)), np.float64, (3, 3))
    for odd in (np.zeros((3, 2)).T, np.broadcast_to(0.0, (2, 3))):
        with pytest.raises(ValueError, match="a is overwritten"):
            jit.check_output("a", odd, np.float64, (2, 3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_compiles_behind_the_warm_up(dtype):
    backend, params = get_backend("cpu"), make_params(SHAPE, dtype)
    backend.warm_up(np.dtype(dtype), training=True)
    before = [jit.n_specialisations(entry) for entry in cpu.ENTRIES]
    assert min(before) >= 1
    handle, opt = backend.upload(params), OptState.zeros(params)
    x = draw(SHAPE, dtype, 4, 6, 3)
    frozen = x.copy()
    frozen.flags.writeable = False
    for odd in (x, frozen, np.asfortranarray(x), np.repeat(x, 2, axis=2)[:, :, ::2]):
        backend.step(handle, odd[0], make_state(SHAPE, dtype), np.empty((6, 3), dtype))
        logits, tape = backend.forward(handle, odd, make_state(SHAPE, dtype), keep_tape=True)
        backend.backward(handle, tape, np.asfortranarray(logits))
        batch = Batch(
            x=odd,
            targets=np.zeros((4, 6), np.int64),
            weights=np.broadcast_to(np.ones(6, dtype), (4, 6)),
            lengths=np.full(6, 4),
            state=make_state(SHAPE, dtype),
        )
        loss = LossSpec(np.ones(3, dtype))
        backend.train_step(handle, batch, loss, AdamSpec(np.float64(1e-3)), opt)
    assert [jit.n_specialisations(entry) for entry in cpu.ENTRIES] == before


def test_importing_compiles_nothing_and_the_seam_imports_no_numba():
    code = (
        "import sys, streamrnn.kernels; assert 'numba' not in sys.modules\n"
        "from streamrnn.kernels.rnn.cpu import ENTRIES\n"
        "from streamrnn.kernels.jit import n_specialisations\n"
        "assert not any(map(n_specialisations, ENTRIES))\n"
        "assert 'scipy.linalg' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("mode", [0o777, 0o500])
def test_a_cache_that_is_not_ours_alone_is_not_used(tmp_path, mode):
    code = (
        "import numba, pathlib, sys\n"
        "from streamrnn.kernels import jit\n"
        "folder = pathlib.Path(sys.argv[1]) / ('kernels-' + jit._source_digest())\n"
        "folder.mkdir(); folder.chmod(int(sys.argv[2]))\n"
        "jit.os.access = lambda path, how: bool(int(sys.argv[2]) & 0o200)\n"  # root may all
        "assert jit._cache_directory() is None\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(mode)],
        check=True,
        env={"NUMBA_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )


def cache_answers(home, *lines, **environment):
    """Run `lines` in a process of its own with another home; return what it prints."""
    code = "\n".join(("import os, sys; from streamrnn.kernels import jit", *lines))
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), **environment},
    )
    return done.stdout.splitlines()


def test_why_nothing_is_cached_can_be_asked_and_kernels_compile_all_the_same(tmp_path):
    (tmp_path / ".cache").touch()  # no folder can be made here, not even by root
    said = cache_answers(
        tmp_path,
        "import numpy as np",
        "twice = jit.kernel(lambda a: a * 2.0)",
        "jit.specialise(twice, (jit.scalar(np.float64),))",
        "print(twice(4.0), jit.cache_problem(), sep='\\n')",
    )
    assert said == ["8.0", f"{tmp_path}/.cache/streamrnn is not writable (Not a directory)"]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ("folder.chmod(0o777)", "can be written to by others"),
        ("os.getuid = lambda: 12345", "belongs to someone else"),
        ("os.access = lambda path, how: False", "is not writable"),
        ("pass", ""),
    ],
)
def test_a_refused_cache_has_its_reason(tmp_path, spoil, why):
    said = cache_answers(
        tmp_path,
        "import pathlib",
        f"folder = pathlib.Path({str(tmp_path)!r}) / f'kernels-{{jit._source_digest()}}'",
        "folder.mkdir()",
        spoil,
        "print(jit.cache_problem()); print(folder)",
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    assert said[0] == (f"{said[1]} {why}" if why else "")


def test_a_new_cache_folder_ends_the_oldest_ones(tmp_path):
    for k in range(7):
        folder = tmp_path / f"kernels-{k:016x}"
        folder.mkdir()
        (folder / "code.nbc").touch()
        os.utime(folder, (k, k))
    others = ["kernels-mine", "kernels-0000000000000000.bak", "x"]
    for name in others:
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (0, 0))
    (new,) = cache_answers(
        tmp_path, "print(os.path.basename(jit._cache_directory()))", NUMBA_CACHE_DIR=str(tmp_path)
    )
    left = [new, *(f"kernels-{k:016x}" for k in (4, 5, 6)), *others]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(left)
    os.utime(tmp_path / new, (0, 0))
    cache_answers(tmp_path, "jit._cache_directory()", NUMBA_CACHE_DIR=str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(left)
    assert (tmp_path / new).stat().st_mtime > 7  # what is used is not old
