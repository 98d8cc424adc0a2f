"""Features: the vector that the network eats, made from frames, the same offline and live."""

from streamrnn.features.auto import Choice, choose, select_channels
from streamrnn.features.chain import FeatureChain
from streamrnn.features.config import FeatureConfig

__all__ = ["Choice", "FeatureChain", "FeatureConfig", "choose", "select_channels"]
