"""Arrays at the door of the kernels: checked once, converted never.

Kernels get addresses and check nothing, so what is handed in must be right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def as_argument(
    name: str, value: npt.ArrayLike, dtype: npt.DTypeLike, shape: tuple[int | None, ...]
) -> npt.NDArray[Any]:
    """Return `value` as a kernel's *input*: C-contiguous and writable, copied only if it must be.

    Parameters
    ----------
    name : str
        For the error.
    value : array_like
    dtype : dtype
        Another dtype is an error, not a conversion.
    shape : tuple of int or None
        Expected shape; None fits any length.

    Raises
    ------
    ValueError
        Another dtype or shape; the message names got and expected.
    """
    a = np.asarray(value)
    if a.dtype != dtype or not _fits(a.shape, shape):
        raise _mismatch(name, a, dtype, shape)
    flags = a.flags
    if flags.c_contiguous and flags.writeable and flags.aligned:
        return a
    return np.array(a, order="C", copy=True)


def check_output(
    name: str, a: npt.NDArray[Any], dtype: npt.DTypeLike, shape: tuple[int | None, ...]
) -> None:
    """Check an array that a kernel writes; it cannot be copied, so its layout must be right.

    Raises
    ------
    ValueError
        Another dtype, shape or layout, or read-only.
    """
    if not isinstance(a, np.ndarray) or a.dtype != dtype or not _fits(a.shape, shape):
        raise _mismatch(name, np.asarray(a), dtype, shape)
    flags = a.flags
    if not (flags.c_contiguous and flags.writeable and flags.aligned):
        raise ValueError(f"{name} is overwritten, so it must be C-contiguous and writable")


def _fits(got: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(got) == len(expected) and all(
        e is None or e == g for g, e in zip(got, expected, strict=True)
    )


def _mismatch(
    name: str, got: npt.NDArray[Any], dtype: npt.DTypeLike, shape: tuple[int | None, ...]
) -> ValueError:
    expected = ", ".join("any" if e is None else str(e) for e in shape)
    return ValueError(
        f"{name} is {got.dtype} {got.shape}, expected {np.dtype(dtype)} ({expected}"
        f"{',' if len(shape) == 1 else ''})"
    )
