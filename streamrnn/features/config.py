"""What features can be told; ``"auto"`` leaves it to the names, units and data of the channels."""

from __future__ import annotations

from dataclasses import dataclass, fields

from streamrnn.core.errors import ConfigError

AUTO = "auto"
#: A network runs at most so often a second.
MAX_RATE_HZ = 10_000.0
#: Nobody waits longer for a scale.
MAX_SETTLE_S = 3600.0

_WORDS = {
    "filter": (AUTO, "none", "emg"),
    "scaling": (AUTO, "global", "session", "running"),
    "squash": (AUTO, "asinh", "none"),
    "orientation": (AUTO, "device", "gravity", "free"),
    "track": (AUTO, "none", "relative", "velocity"),
    "landmarks": (AUTO, "none", "points"),
    "emg": (AUTO, "none", "envelope", "rest"),
}
_SWITCHES = ("magnitude", "differences")


@dataclass(frozen=True)
class FeatureConfig:
    """Which features are made; see docs/configuration.md, [features].

    Attributes
    ----------
    channels : tuple of str
        Channels to use, in this order. Empty: chosen by their names and units.
    model_rate_hz : float or "auto"
        Rate of the network, Hz, above 0.
    filter : {"auto", "none", "emg"}
        What happens to the recorded samples before they are brought to the network's rate.
    scaling : {"auto", "global", "session", "running"}
        Where a channel's scale comes from: training data; those and the first `settle_s` of a
        stream; those and, for good, the newest `settle_s`.
    settle_s : float
        See `scaling`; seconds, above 0. The size of a hand or body is a mean over as long.
    squash : {"auto", "asinh", "none"}
        ``asinh(2 z)`` keeps small movements readable and large ones finite.
    orientation : {"auto", "device", "gravity", "free"}
        Motion sensors in the device's own axes; as parts along gravity and across it; or as lengths
        and angles alone, which no turn of the sensor changes.
    magnitude : bool or "auto"
        Add the length of each three-axis sensor's vector.
    differences : bool or "auto"
        Add each channel's change since the frame before.
    track : {"auto", "none", "relative", "velocity"}
        What is made of a position: where it is beside its own running mean, and its velocity; or
        its velocity, speed and direction alone.
    landmarks : {"auto", "none", "points"}
        ``points``: points of a body are taken from a reference and divided by the body's size.
    reference : str
        Name of that point, ``"centroid"``, or ``"auto"``.
    handedness : str
        Mirrors left hands into right ones: a channel's name (above 0.5: a right hand), ``"mirror"``
        (always), ``"none"``, or ``"auto"``.
    emg : {"auto", "none", "envelope", "rest"}
        ``envelope``: logarithms of the muscles' envelopes, and of the length of all together;
        ``rest``: and each beside its own level in the first 3 s of the stream.
    """

    channels: tuple[str, ...] = ()
    model_rate_hz: float | str = AUTO
    filter: str = AUTO
    scaling: str = AUTO
    settle_s: float = 10.0
    squash: str = AUTO
    orientation: str = AUTO
    magnitude: bool | str = AUTO
    differences: bool | str = AUTO
    track: str = AUTO
    landmarks: str = AUTO
    reference: str = AUTO
    handedness: str = AUTO
    emg: str = AUTO

    def __post_init__(self) -> None:
        for key, known in _WORDS.items():
            value = getattr(self, key)
            if value not in known:
                raise ConfigError(f"{key} must be one of {', '.join(known)}, got {value!r}")
        for key in _SWITCHES:
            value = getattr(self, key)
            if value is not True and value is not False and value != AUTO:
                raise ConfigError(f'{key} must be true, false or "auto", got {value!r}')
        rate = self.model_rate_hz
        if rate != AUTO and not (
            isinstance(rate, int | float) and not isinstance(rate, bool) and 0 < rate <= MAX_RATE_HZ
        ):
            raise ConfigError(
                f'model_rate_hz must be "auto" or within 0..{MAX_RATE_HZ:g}, got {rate!r}'
            )
        if not 0 < self.settle_s <= MAX_SETTLE_S:
            raise ConfigError(f"settle_s must be within 0..{MAX_SETTLE_S:g}, got {self.settle_s}")
        if not self.reference or not self.handedness:
            raise ConfigError('reference and handedness must be names, "none" or "auto"')
        if len(set(self.channels)) != len(self.channels):
            raise ConfigError("channels must not repeat")

    @property
    def is_open(self) -> bool:
        """Whether anything is left to `streamrnn.features.auto.choose`."""
        return not self.channels or any(getattr(self, f.name) == AUTO for f in fields(self))
