"""The folder of compiled kernels: nothing is run that somebody else could have put there."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.kernels import store

DIGEST = "0123456789abcdef"


@pytest.fixture(autouse=True, scope="module")
def nobodys(tmp_path_factory):
    """Keep the user's own folder out of all this."""
    with pytest.MonkeyPatch.context() as patch:
        use(tmp_path_factory.mktemp("cache"), patch)
        yield
    store._place.cache_clear()


@pytest.fixture
def base(tmp_path, monkeypatch):
    """Keep kernels below this folder; nothing is known of it yet."""
    use(tmp_path, monkeypatch)
    yield tmp_path
    store._place.cache_clear()
    store._say_once.cache_clear()


def use(path, monkeypatch):
    monkeypatch.setenv(store.VARIABLE, str(path))
    store._place.cache_clear()
    store._say_once.cache_clear()


def belongs_to(monkeypatch, *paths):
    """Make these paths look as if they were somebody else's (tests may run as root)."""
    real = Path.stat

    class Status:
        def __init__(self, status):
            self._status = status

        def __getattr__(self, name):
            return getattr(self._status, name) if name != "st_uid" else 4321

    def stat(self, **options):
        status = real(self, **options)
        return Status(status) if self in paths else status

    monkeypatch.setattr(Path, "stat", stat)


def test_what_is_written_is_read_back_by_name_and_digest_alone(base):
    assert store.read("unit", DIGEST) is None
    store.write("unit", DIGEST, b"code")
    assert store.read("unit", DIGEST) == b"code"
    assert store.read("unit", DIGEST[::-1]) is None
    assert store.read("other", DIGEST) is None
    assert store.problem() == ""
    (kept,) = store.folder().iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700


def test_every_folder_that_is_made_is_private(base, monkeypatch):
    use(base / "a" / "b", monkeypatch)
    before = os.umask(0)
    try:
        folder = store.folder()
    finally:
        os.umask(before)
    assert folder == base / "a" / "b" / "kernels"
    for part in (folder, folder.parent, folder.parent.parent):
        assert part.stat().st_mode & 0o777 == 0o700


@given(at=st.integers(0, 10_000), change=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_file_is_as_good_as_none(at, change, cut):
    folder, name = store.folder(), "unit"
    store.write(name, DIGEST, bytes(range(256)) * 4)
    path = folder / f"{name}.{DIGEST}.o"
    data = bytearray(path.read_bytes())
    at %= len(data)
    if cut:
        del data[at:]
    else:
        data[at] ^= change
    path.write_bytes(data)
    assert store.read(name, DIGEST) is None


def test_a_file_under_another_name_is_not_taken_for_it(base):
    store.write("unit", DIGEST, b"code")
    folder = store.folder()
    for name in (f"other.{DIGEST}.o", f"unit.{DIGEST[::-1]}.o"):
        (folder / f"unit.{DIGEST}.o").rename(folder / name)
        assert store.read(*name.split(".")[:2]) is None
        (folder / name).rename(folder / f"unit.{DIGEST}.o")


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_can_change_is_not_used(base, caplog, mode):
    store.write("unit", DIGEST, b"code")
    path = store.folder() / f"unit.{DIGEST}.o"
    path.chmod(mode)
    assert store.read("unit", DIGEST) is None
    assert store.read("unit", DIGEST) is None
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{path} can be written to by others: it is not used"]


def test_links_pipes_and_folders_in_the_place_of_a_file_are_not_used(base, tmp_path):
    store.write("unit", DIGEST, b"code")
    path = store.folder() / f"unit.{DIGEST}.o"
    copy = tmp_path / "copy"
    path.rename(copy)
    path.symlink_to(copy)
    assert store.read("unit", DIGEST) is None
    path.unlink()
    os.mkfifo(path, 0o600)
    assert store.read("unit", DIGEST) is None
    path.unlink()
    path.mkdir()
    assert store.read("unit", DIGEST) is None


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_can_change_is_refused(base, mode):
    folder = base / "kernels"
    folder.mkdir()
    folder.chmod(mode)
    assert store.folder() is None
    assert store.problem() == f"{folder} can be written to by others"


@pytest.mark.parametrize("mode", [0o777, 0o773])
def test_so_is_one_below_such_a_folder(base, monkeypatch, mode):
    (base / "open" / "mine").mkdir(parents=True)
    (base / "open").chmod(mode)
    use(base / "open" / "mine", monkeypatch)
    assert store.problem() == f"{base / 'open'} can be written to by others"
    assert not (base / "open" / "mine" / "kernels").exists()
    (base / "open").chmod(0o1777)  # the sticky bit: nobody can rename what is ours
    store._place.cache_clear()
    assert store.problem() == ""


@pytest.mark.parametrize(("is_own", "why"), [(True, ""), (False, "can be written to by others")])
def test_a_group_of_ones_own_is_nobody_else(base, monkeypatch, is_own, why):
    base.chmod(0o770)
    monkeypatch.setattr(store, "_is_own_group", lambda group: is_own)
    assert store.problem().endswith(why)
    assert bool(store.problem()) == bool(why)


def test_a_group_is_ones_own_if_it_has_ones_name_and_nobody_else_in_it(monkeypatch):
    import grp
    import pwd

    def ask(group_name, members, gid=77):
        monkeypatch.setattr(
            pwd, "getpwuid", lambda uid: pwd.struct_passwd(("ann", "", uid, 77, "", "", ""))
        )
        monkeypatch.setattr(
            grp, "getgrgid", lambda gid: grp.struct_group((group_name, "", gid, members))
        )
        return store._is_own_group(gid)

    assert ask("ann", [])
    assert ask("ann", ["ann"])
    assert not ask("ann", ["ann", "ben"])
    assert not ask("users", [])
    assert not ask("ann", [], gid=78)


def test_a_folder_of_somebody_else_is_refused(base, monkeypatch):
    (base / "kernels").mkdir(mode=0o700)
    belongs_to(monkeypatch, base / "kernels")
    assert store.problem() == f"{base / 'kernels'} belongs to someone else"
    assert store.folder() is None
    assert store.read("unit", DIGEST) is None


def test_so_is_one_below_somebody_elses(base, monkeypatch):
    belongs_to(monkeypatch, base)
    assert store.problem() == f"{base} belongs to someone else"
    assert not (base / "kernels").exists()


def test_a_link_is_followed_before_the_folder_is_judged(base, monkeypatch):
    theirs, ours = base / "theirs", base / "ours"
    theirs.mkdir(mode=0o700)
    ours.mkdir(mode=0o700)
    (base / "link").mkdir()
    link = base / "link" / "kernels"
    use(base / "link", monkeypatch)
    link.symlink_to(ours)
    assert (store.folder(), store.problem()) == (ours, "")
    link.unlink()
    link.symlink_to(theirs)
    belongs_to(monkeypatch, theirs)
    store._place.cache_clear()
    assert store.problem() == f"{theirs} belongs to someone else"


def test_where_nothing_can_be_made_is_said_once(base, monkeypatch, caplog):
    (base / "file").touch()
    use(base / "file", monkeypatch)
    for _ in range(3):
        store.write("unit", DIGEST, b"code")
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"compiled kernels are not kept: {base}/file/kernels is not writable (Not a directory); "
        "set STREAMRNN_CACHE_DIR to a folder of your own"
    ]
    assert store.read("unit", DIGEST) is None


def test_a_folder_that_can_only_be_read_is_read(base, monkeypatch):
    store.write("unit", DIGEST, b"code")
    store._place.cache_clear()
    monkeypatch.setattr(store.os, "access", lambda path, how: False)  # root may write anywhere
    assert store.problem() == f"{base / 'kernels'} is not writable"
    assert store.read("unit", DIGEST) == b"code"


def test_no_home_is_no_folder(monkeypatch):
    for name in (store.VARIABLE, "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def lost():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", lost)
    store._place.cache_clear()
    try:
        assert store.problem().startswith("there is no home folder")
        assert store.read("unit", DIGEST) is None
    finally:
        store._place.cache_clear()


def test_a_full_disk_leaves_nothing_half_written(base, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "replace", full)
    store.write("unit", DIGEST, b"code")
    assert list(store.folder().iterdir()) == []
    assert "No space left on device" in caplog.text
    assert store.read("unit", DIGEST) is None


def test_writers_at_once_leave_one_whole_file(base):
    codes = [bytes([k]) * 200_000 for k in range(6)]
    threads = [
        threading.Thread(target=lambda c=c: [store.write("unit", DIGEST, c) for _ in range(10)])
        for c in codes
    ]
    store.write("unit", DIGEST, codes[0])
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert store.read("unit", DIGEST) in codes
    assert [path.name for path in store.folder().iterdir()] == [f"unit.{DIGEST}.o"]


def test_the_oldest_files_of_a_unit_go_and_nothing_else(base):
    folder = store.folder()
    for k in range(7):
        path = folder / f"unit.{k:016x}.o"
        path.touch()
        os.utime(path, (k, k))
    now = time.time()
    others = {
        "unit-f4.0000000000000000.o": 0,
        "mine.o": 0,
        ".new-young": now,
        ".new-old": now - 1e4,
    }
    for name, t in others.items():
        (folder / name).touch()
        os.utime(folder / name, (t, t))
    store.write("unit", DIGEST, b"code")
    kept = {f"unit.{k:016x}.o" for k in (4, 5, 6)} | {f"unit.{DIGEST}.o"}
    left = {path.name for path in folder.iterdir()}
    assert left == kept | set(others) - {".new-old"}
