"""What the kernels' doors let in."""

from __future__ import annotations

import numpy as np
import pytest

from streamrnn.kernels.arguments import as_argument, check_output


def test_inputs_are_copied_only_if_they_must_be():
    a = np.zeros((2, 3), np.float32)
    assert as_argument("a", a, np.float32, (None, 3)) is a
    frozen = np.broadcast_to(np.float32(1), (2, 3))
    copied = as_argument("a", frozen, np.float32, (2, 3))
    assert copied.flags.writeable
    assert (copied == frozen).all()
    with pytest.raises(ValueError, match=r"a is float64 \(4,\), expected float32 \(any,\)"):
        as_argument("a", np.zeros(4), np.float32, (None,))


def test_check_output_names_what_is_wrong():
    check_output("a", np.zeros((2, 3)), np.float64, (2, None))
    with pytest.raises(ValueError, match=r"a is float64 \(2, 3\), expected float64 \(3, 3\)"):
        check_output("a", np.zeros((2, 3)), np.float64, (3, 3))
    for odd in (np.zeros((3, 2)).T, np.broadcast_to(0.0, (2, 3))):
        with pytest.raises(ValueError, match="a is overwritten"):
            check_output("a", odd, np.float64, (2, 3))
