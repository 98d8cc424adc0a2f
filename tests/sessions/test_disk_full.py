"""A disk that is full, read-only or taken: what was written stays good."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from session_make import INFO, frames_of

from streamrnn.core.errors import SessionError
from streamrnn.sessions.disk import PartFile
from streamrnn.sessions.reader import read_session
from streamrnn.sessions.writer import SessionWriter


def write_on(writer: SessionWriter) -> None:
    for k in range(100_000):
        writer.write(frames_of(50, first=50 * k))
        writer.flush()
        writer.n_flushed = writer.n_frames  # type: ignore[attr-defined]


def fill(writer: SessionWriter) -> tuple[int, str]:
    """Write until it is refused; return how many frames were flushed before, and the message."""
    writer.n_flushed = 0  # type: ignore[attr-defined]
    with pytest.raises(SessionError) as caught:
        write_on(writer)
    with pytest.raises(SessionError, match="is closed"):
        writer.write(frames_of(1, first=10**7))
    writer.close()  # harmless
    return writer.n_flushed, str(caught.value)  # type: ignore[attr-defined]


def test_a_full_disk_keeps_what_was_written(tmp_path: Path) -> None:
    """A limit on file sizes stands for the disk: in a child, for it cannot be raised again."""
    program = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_disk_full import INFO, SessionWriter, fill
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
print(*fill(SessionWriter(Path({str(tmp_path / "a.mcap")!r}), INFO)), sep="|")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    n_flushed, message = done.stdout.strip().split("|")
    assert message == (
        f"cannot write {tmp_path / 'a.mcap'}: File too large; "
        "what was recorded before it can be read"
    )
    session = read_session(tmp_path / "a.mcap")
    assert len(session) == int(n_flushed) > 100
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 20_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system of 256 kB, or a loud skip."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("mount: a small tmpfs cannot be mounted here")
    return folder


@pytest.fixture
def unmounted(small_disk: Path) -> Iterator[Path]:
    yield small_disk
    subprocess.run(["umount", str(small_disk)], check=True)


def test_rotation_onto_a_full_disk_keeps_all_parts(unmounted: Path) -> None:
    n_flushed, message = fill(SessionWriter(unmounted / "a.mcap", INFO, rotate_bytes=60_000))
    assert "No space left on device; what was recorded before it can be read" in message
    assert (unmounted / "a-002.mcap").exists()
    session = read_session(unmounted / "a.mcap")
    assert len(session) >= n_flushed > 1000
    assert (session.frames.seq == range(len(session))).all()


def test_a_read_only_disk_is_said(unmounted: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(unmounted)], check=True)
    with pytest.raises(SessionError, match="Read-only file system; nothing is kept"):
        SessionWriter(unmounted / "a.mcap", INFO)


class Refusing:
    """Lets a part's file fail at its n-th write, as a disk that is full does."""

    def __init__(self, n: int) -> None:
        self.left = n
        self.real: Callable[[PartFile, bytes], int] = PartFile.write

    def __call__(self, file: PartFile, data: bytes) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.real(file, data)


@pytest.mark.parametrize("n", range(0, 40, 3))
def test_wherever_it_fails_the_rest_is_good(
    n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mcap"
    refusing = Refusing(n)

    def write(file: PartFile, data: bytes) -> int:
        return refusing(file, data)

    monkeypatch.setattr(PartFile, "write", write)
    try:
        writer = SessionWriter(path, INFO, rotate_bytes=4000)
    except SessionError as error:  # before anything was described
        said = str(error)
    else:
        said = ""
    if said:
        assert said.endswith("No space left on device; nothing is kept")
        assert list(tmp_path.iterdir()) == []
        return
    n_flushed, message = fill(writer)
    assert "No space left on device" in message
    if n_flushed:
        session = read_session(path)
        assert len(session) >= n_flushed
        assert (session.frames.seq == range(len(session))).all()
    assert all(part.stat().st_size > 0 for part in tmp_path.iterdir())


def test_a_name_of_a_later_part_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a-007.mcap").write_bytes(b"somebody's")
    with pytest.raises(SessionError, match=r"a-007\.mcap exists already"):
        SessionWriter(tmp_path / "a.mcap", INFO)
    assert not (tmp_path / "a.mcap").exists()
    SessionWriter(tmp_path / "b.mcap", INFO).close()


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    writer = SessionWriter(tmp_path / "a.mcap", INFO, rotate_bytes=3000)
    (tmp_path / "a-002.mcap").write_bytes(b"somebody's")
    assert "a-002.mcap: File exists; what was recorded before" in fill(writer)[1]
    assert (tmp_path / "a-002.mcap").read_bytes() == b"somebody's"
    assert len(read_session(tmp_path / "a.mcap")) >= 50
