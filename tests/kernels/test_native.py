"""Compiled units: found or compiled once, right for each dtype, refused when they could harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from streamrnn.core.errors import BackendUnavailable
from streamrnn.kernels import build, native, store
from streamrnn.kernels.native import Unit

TINY = Unit(
    "tiny",
    "tiny_kernels",
    {"total": "T* i8 T*", "half": "i8 -> i8"},
    generic=True,
    sources=("params.py",),
)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Let units be kept in a folder of the test's own; return it."""
    monkeypatch.setenv(store.VARIABLE, str(tmp_path))
    monkeypatch.setattr(native, "_codes", {})
    monkeypatch.setattr(native, "_compiled", set())
    caches = (store._place, store._say_once, native._load, native.digest, native.target)
    for cached in caches:
        cached.cache_clear()
    yield tmp_path / "kernels"
    for cached in caches:
        cached.cache_clear()


@pytest.fixture
def builds(elsewhere, monkeypatch):
    """Count what is compiled, and let nothing be."""
    counted = []

    def fake(parts):
        counted.append([part.name for part in parts])
        return {part: f"code of {part.name}".encode() for part in parts}

    monkeypatch.setattr(build, "build", fake)
    return counted


def parts():
    return [native.part_of(TINY, kind) for kind in (np.float32, np.float64)]


def test_a_unit_is_compiled_for_each_dtype_and_loaded_by_the_next_process(elsewhere):
    events = []

    @contextmanager
    def watch(n):
        events.append(f"{n} units")
        yield
        events.append("done")

    before = list(native._progress)
    native.on_compile(watch)
    try:
        assert native.prepare([*parts(), parts()[0]]) == 2
        assert native.prepare(parts()) == 0
    finally:
        native._progress[:] = before
    assert events == ["2 units", "done"]
    assert native.n_compiled() == 2
    for kind in (np.float32, np.float64):
        a = np.arange(5, dtype=kind)
        out = np.zeros(1, kind)
        lib = native.load(TINY, kind)
        lib.total(native.address(a), 5, native.address(out))
        assert out[0] == 10.0
        assert lib.half(9) == 4
        assert lib.address("half") != lib.address("total")
        with pytest.raises(AttributeError, match="no entry 'nothing'; there are total, half"):
            lib.nothing(1)
    code = (
        "import sys; import test_native as t; from streamrnn.kernels import native\n"
        "import numpy as np\n"
        "half = native.load(t.TINY, np.float32).half(7)\n"
        "print(half, native.n_compiled(), 'numba' in sys.modules)"
    )
    here = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": here},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "3 0 False\n"


def test_what_could_harm_a_live_run_is_not_compiled():
    bad = {
        "allocate": ("i8 -> i8", "Error"),
        "divide": ("i8 -> i8", "divide calls raise: kernels must not"),
        "speak": ("i8 -> i8", "Error"),
        "fraction": ("i8 -> i8", "returns float64, the unit says int64"),
    }
    code = (
        "import json, sys\n"
        "from streamrnn.kernels import compile as c\n"
        "from streamrnn.kernels.native import Part, Unit\n"
        "context = c._take_over()\n"
        "for name, signature in json.loads(sys.argv[1]).items():\n"
        "    try:\n"
        "        c.compile_part(Part(Unit(name, 'tiny_kernels', {name: signature}), ''), context)\n"
        "        print(json.dumps('compiled'))\n"
        "    except Exception as error:\n"
        "        print(json.dumps(f'{type(error).__name__}: {error}'))\n"
    )
    here = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps({name: s for name, (s, _) in bad.items()})],
        env={**os.environ, "PYTHONPATH": here},
        check=True,
        capture_output=True,
        text=True,
    )
    for (name, (_, why)), line in zip(bad.items(), done.stdout.splitlines(), strict=True):
        assert why in json.loads(line), name


def test_a_kernel_that_cannot_be_compiled_is_said_in_one_line(elsewhere):
    unit = Unit("muddle", "tiny_kernels", {"muddle": "i8 -> i8"})
    with pytest.raises(BackendUnavailable, match="cannot compile the kernels of muddle: ") as error:
        native.load(unit)
    assert "\n" not in str(error.value)
    assert not native.is_ready(native.part_of(unit))


def test_nothing_is_compiled_twice_but_what_was_damaged(builds, elsewhere):
    assert native.prepare(parts()) == 2
    native._codes.clear()
    assert native.prepare(parts()) == 0
    victim = next(elsewhere.glob("tiny-f8.*.o"))
    victim.write_bytes(victim.read_bytes()[:-1])
    native._codes.clear()
    assert native.prepare(parts()) == 1
    assert builds == [["tiny-f4", "tiny-f8"], ["tiny-f8"]]
    assert all(map(native.is_ready, parts()))


def test_a_folder_that_cannot_be_used_costs_no_second_compilation(builds, elsewhere, caplog):
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    assert native.prepare(parts()) == 2
    assert native.prepare(parts()) == 0
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"compiled kernels are not kept: {elsewhere} can be written to by others; "
        "set STREAMRNN_CACHE_DIR to a folder of your own"
    ]


def test_the_digest_tells_sources_dtypes_entries_and_processors_apart(elsewhere, monkeypatch):
    one, other = parts()
    more = Unit("tiny", "tiny_kernels", {"half": "i8 -> i8"}, generic=True, sources=("params.py",))
    elsewhere_from = Unit(
        "tiny", "tiny_kernels", dict(TINY.entries), generic=True, sources=("backend.py",)
    )
    seen = {native.digest(one), native.digest(other)}
    seen.add(native.digest(native.part_of(more, np.float32)))
    seen.add(native.digest(native.part_of(elsewhere_from, np.float32)))
    for name, features in (("skylake", ""), ("skylake", "-avx2")):
        monkeypatch.setenv("NUMBA_CPU_NAME", name)
        monkeypatch.setenv("NUMBA_CPU_FEATURES", features)
        native.digest.cache_clear()
        native.target.cache_clear()
        seen.add(native.digest(one))
    assert len(seen) == 6


def test_a_digest_follows_the_text_of_its_sources(elsewhere, tmp_path, monkeypatch):
    monkeypatch.setattr(native, "_ROOT", tmp_path)
    seen = set()
    for text in ("a = 1\n", "a = 2\n"):
        (tmp_path / "params.py").write_text(text)
        native._sources.cache_clear()
        native.digest.cache_clear()
        seen.add(native.digest(parts()[0]))
    native._sources.cache_clear()
    assert len(seen) == 2


def test_arrays_whose_address_means_nothing_are_refused():
    for odd in (np.zeros((3, 3)).T, np.zeros(8)[::2], np.broadcast_to(1.0, (3,))):
        with pytest.raises(ValueError, match="C-contiguous and writable"):
            native.address(odd)
    a = native.aligned(7, np.float32)
    assert a.shape == (7,)
    assert native.address(a) % 64 == 0
    for unit, kind in ((TINY, None), (Unit("x", "x", {}), np.float32)):
        with pytest.raises(ValueError, match=f"unit {unit.name} is"):
            native.part_of(unit, kind)


def test_a_processor_by_name_gets_its_own_features_only(monkeypatch):
    """Numba alone would add what this machine has, and the code would not run elsewhere."""
    monkeypatch.setenv("NUMBA_CPU_NAME", "nehalem")
    monkeypatch.delenv("NUMBA_CPU_FEATURES", raising=False)
    environment = build._environment()
    assert environment["NUMBA_CPU_NAME"] == "nehalem"
    assert environment["NUMBA_CPU_FEATURES"] == ""
