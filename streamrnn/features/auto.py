"""Features for what the channels are: from their names, their units and the data, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamrnn.core.types import F32, Channel
from streamrnn.features.config import FeatureConfig


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes
    ----------
    config : FeatureConfig
        Nothing in it is ``"auto"``; its channels are named.
    model_rate_hz : float
        Rate of the network.
    signal_options : dict
        What `streamrnn.features.filters` is asked for; empty where samples are taken as they come.
    reasons : tuple of str
        Every decision in plain words, one line each.
    """

    config: FeatureConfig
    model_rate_hz: float
    signal_options: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


def choose(
    config: FeatureConfig,
    channels: Sequence[Channel],
    rate_hz: float,
    xs: Sequence[F32],
    gesture_s: float = 0.0,
) -> Choice:
    """Replace every ``"auto"``.

    Parameters
    ----------
    config : FeatureConfig
        What is not ``"auto"`` in it stays.
    channels : sequence of Channel
        All of the stream.
    rate_hz : float
        Of the recordings.
    xs : sequence of float32 (N, n_channels)
        Recorded frames.
    gesture_s : float
        Median length of a gesture, seconds; 0 where nobody knows.

    Raises
    ------
    ConfigError
        A channel that the stream does not have.
    """
    raise NotImplementedError
