"""The recordings of UHH-IMU-gestures (docs/data.md) into sessions."""

from __future__ import annotations

import math
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np

from streamrnn.core.errors import SessionError
from streamrnn.core.text import printable
from streamrnn.core.types import F64, NULL_NAME, Channel, Frames, StreamInfo
from streamrnn.sessions.labels import labels_from_frames
from streamrnn.sessions.session import Session, frame_period_us
from streamrnn.wire.packet import frame_time_us

#: Gesture number in the file name -> class name, as the data set's authors call them.
GESTURES = (
    "left", "right", "forward", "backward", "bounce up", "bounce down",
    "turn left", "turn right", "shake lr", "shake ud",
)  # fmt: skip
SENSORS = ("fused", "gyro", "acc")
#: The data set does not say its rate; times are frame numbers over this.
NOMINAL_RATE_HZ = 50.0
MAX_BYTES = 64 * 2**20
_TRUTH_COLUMN = 2
_NAME = re.compile(r"(?P<subject>[A-Za-z]+)_(?P<gesture>[0-9])_fullSet\.npz")


def import_uhh(path: Path | str) -> Session:
    """Return the session in one ``<person>_<gesture>_fullSet.npz``.

    Nine channels (``fused_x`` .. ``acc_z``, units not stated by the data set), labels from the
    energy-based ground truth (``targets``, column 2), subject and gesture from the file's name.

    Raises
    ------
    SessionError
        Not such a file.
    """
    path = Path(path)
    name = _NAME.fullmatch(path.name)
    if name is None:
        raise SessionError(
            f"{path}: a .npz recording is called <person>_<gesture 0-9>_fullSet.npz "
            "(docs/data.md); other arrays: save them as CSV"
        )
    arrays = _load(path)
    x = np.concatenate([arrays[sensor] for sensor in SENSORS], axis=1).astype(np.float32)
    truth = arrays["targets"][:, _TRUTH_COLUMN]
    if not np.isin(truth, (0.0, 1.0)).all():
        raise SessionError(f"{path}: column 2 of 'targets' holds other values than 0 and 1")
    seq = np.arange(len(x), dtype=np.int64)
    t_us = frame_time_us(0, seq, NOMINAL_RATE_HZ)
    end_us = int(t_us[-1]) + frame_period_us(NOMINAL_RATE_HZ, t_us)
    gesture = GESTURES[int(name["gesture"])]
    labels = labels_from_frames(
        truth.astype(np.int64), (NULL_NAME, gesture), t_us, end_us, source="import"
    )
    channels = tuple(Channel(f"{sensor}_{axis}") for sensor in SENSORS for axis in "xyz")
    metadata = {
        "subject": name["subject"],
        "gesture": gesture,
        "rate": "nominal",
        "source": f"import:{path.name}",
    }
    info = StreamInfo(channels, NOMINAL_RATE_HZ)
    return Session(info, Frames(x, seq, t_us), t_us * 1000, labels, [], metadata)


def _load(path: Path) -> dict[str, F64]:
    wanted = (*SENSORS, "targets")
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":  # what stands before an archive, NumPy would read instead
                raise zipfile.BadZipFile("File is not a zip file")
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise SessionError(f"{path} holds {size} bytes, at most {MAX_BYTES} are read")
        with warnings.catch_warnings(), np.load(path, allow_pickle=False) as archive:
            # The files were written by Python 2, which numpy mentions for every array.
            warnings.filterwarnings("ignore", "Reading `.npy` or `.npz` file required additional")
            for name in wanted:
                _check_size(archive.zip, name)
            arrays = {name: archive[name] for name in wanted if name in archive.files}
    except FileNotFoundError:
        raise SessionError(f"no such file: {path}") from None
    except OSError as error:
        raise SessionError(f"cannot read {path}: {error.strerror or error}") from None
    except SessionError:
        raise
    except Exception as error:  # NumPy and zipfile raise whatever they come across in bad files
        raise SessionError(f"{path} is no .npz file: {printable(str(error))}") from None
    for name in wanted:
        _check(path, name, arrays.get(name), len(arrays.get("acc", ())))
    return arrays


def _check_size(archive: zipfile.ZipFile, name: str) -> None:
    """Raise ValueError if an array says to be larger than what is read: NumPy takes its word."""
    if f"{name}.npy" not in archive.namelist():
        return
    with archive.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0
        if version > (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        if math.prod(shape) * dtype.itemsize > MAX_BYTES:
            raise ValueError(f"array {name!r} says to hold more than {MAX_BYTES} bytes")


def _check(path: Path, name: str, array: F64 | None, n_frames: int) -> None:
    if array is None:
        raise SessionError(f"{path} has no array {name!r}")
    if array.ndim != 2 or array.shape != (n_frames, 3) or array.dtype.kind not in "fiu":
        raise SessionError(
            f"{path}: array {name!r} is {array.dtype} {array.shape}, expected numbers (frames, 3)"
        )
    if n_frames < 2:
        raise SessionError(f"{path} has {n_frames} frames, a session needs at least 2")
    if not np.isfinite(array).all():
        frame = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise SessionError(f"{path}: array {name!r} is not finite at frame {frame}")
