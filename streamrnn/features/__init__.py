"""Features: the vector that the network eats, made from frames, the same offline and live."""

from streamrnn.features.chain import FeatureChain, FeatureConfig, select_channels

__all__ = ["FeatureChain", "FeatureConfig", "select_channels"]
