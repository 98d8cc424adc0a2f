"""Sessions, checked and split, as stretches of frames with one class each."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamrnn.core.errors import ConfigError, TrainingError
from streamrnn.core.text import did_you_mean, printable
from streamrnn.core.types import F32, F64, I64, NULL_CLASS, NULL_NAME, Channel, StreamInfo
from streamrnn.features import filters
from streamrnn.features import sensors as kinds
from streamrnn.features.auto import Choice, choose
from streamrnn.features.chain import FeatureChain
from streamrnn.features.conditioner import SignalSpec, is_same_rate
from streamrnn.features.config import FeatureConfig
from streamrnn.features.sensors import sensors
from streamrnn.sessions.labels import class_names, frame_labels, without_undone
from streamrnn.sessions.session import Session
from streamrnn.training.config import TrainConfig
from streamrnn.training.targets import median_frames
from streamrnn.training.unbroken import check_rates, unbroken

logger = logging.getLogger(__name__)

#: Three-axis sensors of these kinds feel nothing when nothing moves, or turn about 0.
_CENTRED = (*kinds.VECTORS, kinds.ANGLE)
#: See `DataSet.noise`.
NOISE_STEPS = 2.0
#: Fewer frames than this teach nothing.
MIN_FRAMES = 20


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Frames of one session without a break.

    Attributes
    ----------
    x : float32 (N, n)
        Samples of the chosen channels.
    y : int64 (N,)
        Class of each frame.
    rest : float32 (n,)
        Samples of the sensor at rest: the session's mean for accelerations, which feel gravity, 0
        for three-axis sensors of another kind and muscles, the mean of all training frames
        elsewhere.
    session : int
        Which recording it belongs to.
    """

    x: F32
    y: I64
    rest: F32
    session: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """All that a training run learns from.

    Attributes
    ----------
    labels : tuple of str
        Class names, the null class first.
    channels : tuple of Channel
        The chosen channels.
    rate_hz : float
        Of the network; the stretches have it too.
    chain : FeatureChain
        Fitted to the training frames.
    stretches : list of Stretch
        What is trained on.
    held_out : list of Session
        What is watched.
    held_out_names : tuple of str
        Whose they are; the names of sessions where nobody said who.
    noise : float32 (n,)
        What noise is measured in: root mean square deviation of each channel from rest, or
        `NOISE_STEPS` times that of its steps from frame to frame, where that is less. White noise
        as large as a part of the whole way would drown how fast a smooth channel moves.
    median_frames : float
        Median length of a gesture.
    form : {"frame", "rows", "trial"}
        What `TrainConfig.labels` came to.
    signal : SignalSpec or None
        What was done to the sessions' samples; they had rates of their own.
    features : FeatureConfig
        What the options came to; nothing in it is open.
    reasons : tuple of str
        Why, in plain words.
    """

    labels: tuple[str, ...]
    channels: tuple[Channel, ...]
    rate_hz: float
    chain: FeatureChain
    stretches: list[Stretch]
    held_out: list[Session]
    held_out_names: tuple[str, ...]
    noise: F32
    median_frames: float
    form: str = "frame"
    signal: SignalSpec | None = None
    features: FeatureConfig = field(default_factory=FeatureConfig)
    reasons: tuple[str, ...] = ()

    @property
    def n_frames(self) -> int:
        """Number of training frames."""
        return sum(len(stretch.y) for stretch in self.stretches)

    def fingerprint(self) -> str:
        """Return a digest of the training frames and their classes."""
        digest = hashlib.sha256()
        for stretch in self.stretches:
            digest.update(stretch.x.tobytes())
            digest.update(stretch.y.tobytes())
        return digest.hexdigest()


def prepare(
    sessions: Sequence[Session],
    config: TrainConfig,
    names: Sequence[str] | None = None,
    *,
    labels: tuple[str, ...] | None = None,
) -> DataSet:
    """Check the sessions, split them, and return what a run needs.

    What labels that were taken back cover is left out, see `without_undone`.

    Parameters
    ----------
    sessions : sequence of Session
    config : TrainConfig
    names : sequence of str or None
        What to call each session in messages, its file; None: ``session 1`` and so on.
    labels : tuple of str or None
        Class names, the null class first, some of which may have no frame here; None: those that
        the sessions have, all of which must be trained on.

    Raises
    ------
    TrainingError
        Nothing to learn: no sessions, no labels, one class only, too few frames; or sessions that
        do not agree in channels or rate.
    ConfigError
        A channel or a subject that does not exist.
    """
    names = names or _numbered(sessions)
    _check_agreement(sessions, names)
    sessions = [without_undone(session) for session in sessions]
    complete = labels is None
    labels = labels or class_names(sessions)
    if len(labels) < 2:
        raise TrainingError(
            "no session has a label: record with labels, or import them (streamrnn import --help)"
        )
    training, held_out, held_out_names = split(sessions, config, names)
    info = sessions[0].info
    choice = features_of(training, config.features, info)
    rate_hz, signal = choice.model_rate_hz, signal_of(choice, info.rate_hz)
    check_rates(sessions, names, rate_hz, signal)
    known = {channel.name: channel for channel in info.channels}
    channels = tuple(known[name] for name in choice.config.channels)
    parts = [
        unbroken(session, channels, labels, config.max_gap_ms, rate_hz, signal=signal)
        for session in training
    ]
    ys = [y for part in parts for _, y in part]
    form = form_of(training, config, labels)
    _check_content(ys, labels, complete=complete)
    if complete and form != "rows" and not any((y == NULL_CLASS).any() for y in ys):
        logger.warning(
            "no frame without a gesture: the model will see a gesture in everything; "
            "record some time with none"
        )
    xs = [x for part in parts for x, _ in part]
    chain = FeatureChain.fit(xs, channels, rate_hz, choice.config)
    rest = _rest(xs, channels)
    done = [s for n, part in enumerate(parts) for s in _stretches(part, channels, rest, n)]
    return DataSet(
        labels=labels,
        channels=channels,
        rate_hz=rate_hz,
        chain=chain,
        stretches=done,
        held_out=held_out,
        held_out_names=held_out_names,
        noise=_noise(done),
        median_frames=median_frames(ys),
        form=form,
        signal=signal,
        features=choice.config,
        reasons=choice.reasons,
    )


def features_of(sessions: Sequence[Session], config: FeatureConfig, info: StreamInfo) -> Choice:
    """Return what the options for features come to for these sessions: nothing is left open.

    Parameters
    ----------
    sessions : sequence of Session
    config : FeatureConfig
    info : StreamInfo
        Its rate counts: sessions may have several.
    """
    lengths = [
        (label.end_us - label.start_us) / 1e6
        for session in sessions
        for label in session.labels
        if label.name != NULL_NAME
    ]
    gesture_s = float(np.median(lengths)) if lengths else 0.0
    return choose(config, info.channels, info.rate_hz, [s.frames.x for s in sessions], gesture_s)


def signal_of(choice: Choice, input_hz: float) -> SignalSpec | None:
    """Return what is done to samples at `input_hz`; None where the network takes them as they are.

    Raises
    ------
    ConfigError
        Filters that cannot be made at that rate.
    """
    if choice.signal_options:
        return filters.muscle(input_hz, **choice.signal_options)
    return None if is_same_rate(input_hz, choice.model_rate_hz) else SignalSpec(input_hz)


def form_of(sessions: Sequence[Session], config: TrainConfig, labels: Sequence[str]) -> str:
    """Return the form of the labels: what ``auto`` comes to for these sessions.

    Trials are sessions of one class from the first frame to the last.
    """
    if config.labels != "auto":
        return config.labels
    classes = [np.unique(frame_labels(session, labels)) for session in sessions]
    return "frame" if any(len(found) > 1 for found in classes) else "rows"


def cut(session: Session, data: DataSet, config: TrainConfig) -> list[Stretch]:
    """Return the stretches of one more session, seen as the training sessions were."""
    part = unbroken(
        without_undone(session),
        data.channels,
        data.labels,
        config.max_gap_ms,
        data.rate_hz,
        signal=data.signal,
    )
    rest = _rest([stretch.x for stretch in data.stretches], data.channels)
    return _stretches(part, data.channels, rest, 0)


def split(
    sessions: Sequence[Session], config: TrainConfig, names: Sequence[str] | None = None
) -> tuple[list[Session], list[Session], tuple[str, ...]]:
    """Split by subject, or by session where nobody said who; never inside a session.

    Names are for people: how a file is called does not change who is drawn.

    Returns
    -------
    training, held_out : list of Session
    names : tuple of str
        Whose sessions are held out.

    Raises
    ------
    ConfigError
        A subject that no session has.
    TrainingError
        Nothing is left to train on.
    """
    numbered = _numbered(sessions)
    owners = [s.subject or number for s, number in zip(sessions, numbered, strict=True)]
    shown = [s.subject or name for s, name in zip(sessions, names or numbered, strict=True)]
    if config.held_out:
        known = sorted(set(shown))
        for name in config.held_out:
            if name not in known:
                hint = did_you_mean(name, known)
                raise ConfigError(
                    f"no subject {printable(name)!r} to hold out{hint}; there are "
                    f"{printable(', '.join(known))}"
                )
        chosen = {o for o, name in zip(owners, shown, strict=True) if name in config.held_out}
    else:
        chosen = _draw(sessions, owners, config)
    training = [s for s, owner in zip(sessions, owners, strict=True) if owner not in chosen]
    held_out = [s for s, owner in zip(sessions, owners, strict=True) if owner in chosen]
    if not training:
        raise TrainingError("every session is held out: nothing is left to train on")
    watched = {name for name, owner in zip(shown, owners, strict=True) if owner in chosen}
    return training, held_out, tuple(sorted(watched))


def _numbered(sessions: Sequence[Session]) -> list[str]:
    return [f"session {n + 1}" for n in range(len(sessions))]


def _draw(sessions: Sequence[Session], owners: Sequence[str], config: TrainConfig) -> set[str]:
    """Draw whom to hold out such that every class is still trained on."""
    known = sorted(set(owners))
    n_wanted = round(config.held_out_fraction * len(known))
    if config.held_out_fraction and len(known) > 1:
        n_wanted = min(max(n_wanted, 1), len(known) - 1)
    classes = {
        name: {label.name for s, o in zip(sessions, owners, strict=True) if o == name
               for label in s.labels}
        for name in known
    }  # fmt: skip
    everything = set().union(*classes.values())
    chosen: set[str] = set()
    for n in np.random.default_rng(config.seed).permutation(len(known)):
        if len(chosen) == n_wanted:
            break
        rest = [classes[name] for name in known if name not in chosen and name != known[n]]
        if set().union(*rest) == everything:
            chosen.add(known[n])
    if n_wanted and not chosen:
        logger.warning("nobody can be held out without losing a class: training is not watched")
    return chosen


def _check_agreement(sessions: Sequence[Session], names: Sequence[str]) -> None:
    if not sessions:
        raise TrainingError("no sessions to train on")
    first = sessions[0].info
    if first.rate_hz <= 0:
        raise TrainingError(f"{names[0]} has no frame rate: import it with --rate")
    for session, name in zip(sessions, names, strict=True):
        info = session.info
        if info.channels != first.channels:
            raise TrainingError(
                f"{name} has channels {_describe(info.channels)}, {names[0]} has "
                f"{_describe(first.channels)}: train on sessions of one device layout"
            )
        if info.rate_hz <= 0:
            raise TrainingError(f"{name} has no frame rate: import it with --rate")


def _describe(channels: Sequence[Channel]) -> str:
    names = [f"{c.name} [{c.unit}]" if c.unit else c.name for c in channels]
    return printable(", ".join(names))


def _check_content(ys: Sequence[I64], labels: Sequence[str], *, complete: bool) -> None:
    n_frames = sum(map(len, ys))
    if n_frames < MIN_FRAMES:
        raise TrainingError(f"{n_frames} frames are too few to learn from: record more")
    counts = np.sum([np.bincount(y, minlength=len(labels)) for y in ys], axis=0)
    present = [name for name, count in zip(labels, counts, strict=True) if count]
    if len(present) < 2:
        raise TrainingError(
            f"all frames are of one class, {printable(present[0])!r}: "
            "record other gestures, or time without a gesture"
        )
    missing = [name for name, count in zip(labels[1:], counts[1:], strict=True) if not count]
    if missing and complete:
        raise TrainingError(
            f"no training frame of {printable(', '.join(missing))}: hold somebody else out"
        )


def _stretches(
    part: Sequence[tuple[F32, I64]], channels: Sequence[Channel], rest: F64, session: int
) -> list[Stretch]:
    """Add the rest of the sensor to the unbroken parts of one session."""
    if not part:
        return []
    mean = np.concatenate([x for x, _ in part]).mean(axis=0, dtype=np.float64)
    feels_gravity = np.zeros(len(channels), np.bool_)
    for sensor in sensors(channels):
        feels_gravity[list(sensor.columns)] = sensor.kind == kinds.ACCELERATION
    own = np.where(feels_gravity, mean, rest).astype(np.float32)
    return [Stretch(x, y, own, session) for x, y in part]


def _rest(xs: Sequence[F32], channels: Sequence[Channel]) -> F64:
    """Return the samples of sensors at rest, float64 (n,): 0 or their mean."""
    n_frames = max(1, sum(map(len, xs)))
    total: F64 = np.sum([x.sum(axis=0, dtype=np.float64) for x in xs], axis=0)
    rest = total / n_frames
    for sensor in sensors(channels):
        if sensor.kind == kinds.EMG or (len(sensor.columns) == 3 and sensor.kind in _CENTRED):
            rest[list(sensor.columns)] = 0.0
    return rest


def _noise(done: Sequence[Stretch]) -> F32:
    deviation = np.concatenate([s.x - s.rest for s in done]).astype(np.float64)
    noise: F64 = np.sqrt((deviation**2).mean(axis=0))
    steps = np.concatenate([np.diff(s.x, axis=0) for s in done]).astype(np.float64)
    if len(steps):
        noise = np.minimum(noise, NOISE_STEPS * np.sqrt((steps**2).mean(axis=0)))
    return np.asarray(noise, np.float32)
