"""Hypothesis draws the sizes of networks and of what they are run on."""

from __future__ import annotations

from hypothesis import strategies as st
from rnn_make import Shape

#: Odd sizes, sizes at and around a vector's, 1..3 layers, and more rows than one slice.
shapes = st.builds(
    Shape,
    n_in=st.integers(1, 19),
    hidden=st.lists(
        st.one_of(st.integers(1, 9), st.sampled_from([15, 16, 17, 33])), min_size=1, max_size=3
    ).map(tuple),
    n_classes=st.one_of(st.integers(1, 6), st.sampled_from([17])),
    n_steps=st.integers(1, 8),
    n_rows=st.one_of(st.integers(1, 6), st.sampled_from([9, 19])),
    seed=st.integers(0, 2**16),
)

#: Sizes from 1 on, around a vector's and a tile's, inputs on both sides of where a chunk sums
#: several frames together, and more rows and steps than one slab and one chunk.
wide_shapes = st.builds(
    Shape,
    n_in=st.one_of(st.integers(1, 9), st.sampled_from([31, 32, 33, 63])),
    hidden=st.lists(
        st.one_of(st.integers(1, 9), st.sampled_from([15, 16, 17, 31, 33, 47, 64, 70])),
        min_size=1,
        max_size=3,
    ).map(tuple),
    n_classes=st.one_of(st.integers(1, 6), st.sampled_from([15, 16, 17, 33])),
    n_steps=st.one_of(st.integers(1, 5), st.sampled_from([15, 16, 17, 67])),
    n_rows=st.one_of(st.integers(1, 9), st.sampled_from([15, 16, 17, 35])),
    seed=st.integers(0, 2**16),
)
