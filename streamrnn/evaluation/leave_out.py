"""Every person, or every session, left out once: trained on the others, scored on this one.

How a model is trained is the caller's: this room lies below training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from streamrnn.core.errors import ConfigError
from streamrnn.core.records import Record
from streamrnn.core.text import printable
from streamrnn.evaluation.report import FoldFacts, Report, evaluate
from streamrnn.kernels.backend import Backend
from streamrnn.runtime.bundle import Bundle
from streamrnn.sessions.session import Session


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One turn.

    Attributes
    ----------
    name : str
        Who, or which session, is left out.
    test, training : tuple of int
        Which sessions are scored, and which are trained on.
    """

    name: str
    test: tuple[int, ...]
    training: tuple[int, ...]


#: Gets the number of the turn, counted from 1, the sessions to train on, and their names.
Train: TypeAlias = Callable[[int, Sequence[Session], Sequence[str]], Bundle]


def turns(sessions: Sequence[Session], names: Sequence[str], by: str) -> list[LeftOut]:
    """Return who is left out when, in the order of their names.

    Parameters
    ----------
    sessions : sequence of Session
    names : sequence of str
        What to call each of them.
    by : {"subject", "session"}

    Raises
    ------
    ConfigError
        Nobody said who is in a session, or there are fewer than two to leave out.
    """
    if by == "session":
        owners = list(names)
    else:
        owners = [session.subject for session in sessions]
        unknown = [name for name, owner in zip(names, owners, strict=True) if not owner]
        if unknown:
            raise ConfigError(
                f"{printable(unknown[0])}: nobody said who is in it: record with --subject, or "
                "leave out sessions: --leave-one-out session"
            )
    known = sorted(set(owners))
    if len(known) < 2:
        raise ConfigError(
            f"{len(known)} {by}: leaving one out takes two or more to train on the others"
        )
    return [
        LeftOut(
            one,
            tuple(n for n, owner in enumerate(owners) if owner == one),
            tuple(n for n, owner in enumerate(owners) if owner != one),
        )
        for one in known
    ]


def leave_one_out(
    sessions: Sequence[Session],
    names: Sequence[str],
    left_out: Sequence[LeftOut],
    *,
    train: Train,
    backend: Backend,
    report: Report,
    on_records: Callable[[int, list[Record]], None] | None = None,
    on_turn: Callable[[LeftOut, Bundle], None] | None = None,
) -> Report:
    """Train a model for each turn and add what it says about those left out to a report.

    Parameters
    ----------
    sessions, names
        As for `turns`.
    left_out : sequence of LeftOut
        What `turns` gave.
    train : callable
        Returns a model trained on the sessions that it is given.
    backend : Backend
        Runs the models.
    report : Report
        Added to.
    on_records : callable, optional
        Gets the index of each scored session and its records.
    on_turn : callable, optional
        Gets each finished turn and its model.
    """
    for n, turn in enumerate(left_out, 1):
        bundle = train(n, [sessions[k] for k in turn.training], [names[k] for k in turn.training])
        tested = [names[k] for k in turn.test]

        def hand_on(k: int, records: list[Record], turn: LeftOut = turn) -> None:
            if on_records is not None:
                on_records(turn.test[k], records)

        evaluate(
            bundle,
            [sessions[k] for k in turn.test],
            backend,
            report=report,
            names=tested,
            on_records=hand_on,
        )
        n_frames = sum(len(sessions[k]) for k in turn.training)
        report.folds.append(FoldFacts(turn.name, tuple(tested), n_frames))
        if on_turn is not None:
            on_turn(turn, bundle)
    return report
