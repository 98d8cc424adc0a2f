"""Let the laws that tests share explain themselves when one is broken."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "laws", "update_laws", "ways_laws", "golden_laws", "streams_laws", "rnn_make"
)
