"""``streamrnn calibrate``: a decision for a budget of false activations an hour."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamrnn.core.errors import ConfigError

if TYPE_CHECKING:
    from streamrnn.decision.calibration import Calibration, Point
    from streamrnn.evaluation.calibrate import Calibrated
    from streamrnn.runtime.bundle import Bundle
    from streamrnn.sessions.session import Session

_HEADINGS = ("threshold", "false", "an hour", "at most", "missed", "recall")


@click.command(short_help="Choose thresholds for a budget of false activations an hour.")
@click.argument("model", type=click.Path())
@click.argument("sessions", nargs=-1, required=True, type=click.Path())
@click.option(
    "--max-false-per-hour", "budget", default=0.5, show_default=True,
    type=click.FloatRange(0, 10_000, min_open=True),
    help="Events an hour that may come while nobody makes a gesture.",
)  # fmt: skip
@click.option("-o", "--output", type=click.Path(), help="Model to write; default: MODEL itself.")
@click.option("--overwrite", is_flag=True, help="Replace the file of --output.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.option(
    "--require-claim", is_flag=True,
    help="Fail, and write nothing, unless the recordings show that the budget is kept.",
)  # fmt: skip
@click.option(
    "--backend", default="cpu", show_default=True,
    help="cpu, cuda (a GPU), numpy, or auto: cuda where it works, else cpu.",
)  # fmt: skip
def command(
    *,
    model: str,
    sessions: tuple[str, ...],
    budget: float,
    output: str | None,
    overwrite: bool,
    as_json: bool,
    require_claim: bool,
    backend: str,
) -> None:
    """Choose the decision of MODEL on SESSIONS (files, or folders of them).

    The recordings must be ones that MODEL was not trained on: some with labelled gestures, and as
    many hours as there are without any. Temperature, thresholds, shortest event and pause are
    chosen for the best recall within the budget; weights stay as they are.
    """
    from streamrnn.cli.files import find_sessions, read_named
    from streamrnn.cli.live import chosen_backend, load_model, ready_backend, say
    from streamrnn.evaluation.calibrate import calibrate
    from streamrnn.evaluation.heldout import run_held_out
    from streamrnn.kernels.backend import get_backend

    paths = find_sessions(sessions)
    _check_output(output, [model, *paths], overwrite)
    bundle = load_model(model)
    backend = chosen_backend(backend, bundle.params.hidden_sizes, str(bundle.params.dtype))
    get_backend(backend)  # a wrong name, or no such device, is said before anything is read
    recorded, names = read_named(paths)
    digests = _checked(bundle, recorded, names)
    ready = ready_backend(bundle, backend)
    runs = [run_held_out(bundle, s, ready, name=n) for s, n in zip(recorded, names, strict=True)]
    unknown = {label.name for s in recorded for label in s.labels} - set(bundle.labels)
    if unknown:
        say(f"the model was never taught {', '.join(sorted(unknown))}: counted as null")
    is_nominal = any(session.metadata.get("rate") == "nominal" for session in recorded)
    found = calibrate(runs, bundle.decision, budget, digests=digests, is_nominal=is_nominal)
    if as_json:
        click.echo(json.dumps(_document(found), indent=2))
    else:
        _print(found.calibration)
        for note in found.notes:
            say(note)
        say(found.calibration.claim)
    _finish(bundle, found, Path(output or model), require_claim)


def _check_output(output: str | None, inputs: Sequence[Path | str], overwrite: bool) -> None:
    from streamrnn.cli.files import refuse_inputs, refuse_recordings, require_folder

    if output is None:
        return
    path = Path(output)
    require_folder(path, "model")
    refuse_inputs(path, inputs)
    refuse_recordings(path, "model")
    if path.is_file() and not overwrite:
        raise ConfigError(f"{path} exists already: choose another name, or --overwrite")


def _checked(bundle: Bundle, sessions: Sequence[Session], names: Sequence[str]) -> list[str]:
    """Return the sessions' digests after checking that each fits, is new to the model, and once."""
    from streamrnn.cli.files import trained_on
    from streamrnn.cli.live import say
    from streamrnn.sessions.digest import frames_digest

    known = trained_on(bundle)
    if not known:
        say("the model does not say which recordings it was trained on: none could be refused")
    seen: dict[str, str] = {}
    for session, name in zip(sessions, names, strict=True):
        try:
            bundle.check_stream(session.info)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from None
        digest = frames_digest(session)
        if digest in known:
            raise ConfigError(
                f"{name}: the model was trained on this recording, and knows it by heart: "
                "calibrate on recordings that it never saw"
            )
        if digest in seen:
            raise ConfigError(
                f"{name} holds the same frames as {seen[digest]}: give each recording once"
            )
        seen[digest] = name
    return list(seen)


def _finish(bundle: Bundle, found: Calibrated, path: Path, require_claim: bool) -> None:
    """Write the model, or say why it is not written."""
    from dataclasses import replace

    from streamrnn.cli.live import say
    from streamrnn.core.errors import StreamRNNError

    calibration = found.calibration
    if found.decision is None:
        left = calibration.chosen
        found_some = f"the least that finds a gesture gives {left.n_false} false activations"
        raise StreamRNNError(
            f"no decision keeps {calibration.max_false_per_hour:g} false activations an hour on "
            f"these recordings ({found_some if left.n_hit else 'none finds a gesture'}); no model "
            "was written: look at them (streamrnn evaluate), train with such movements as "
            "recordings without labels, or allow more"
        )
    if require_claim and not calibration.is_shown:
        raise StreamRNNError(f"{calibration.claim}; no model was written (--require-claim)")
    saved = replace(bundle, decision=found.decision, calibration=calibration.to_document()).save(
        path
    )
    say(f"wrote {path} ({saved.model_hash[:19]}...)")


def _document(found: Calibrated) -> dict[str, object]:
    from dataclasses import asdict

    decision = None if found.decision is None else asdict(found.decision)
    return {**found.calibration.to_document(), "decision": decision, "notes": list(found.notes)}


def _print(calibration: Calibration) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from streamrnn.evaluation.inspection.finding import counted

    data = calibration.data
    said = f"{counted(data.n_sessions, 'session')}, {counted(data.n_gestures, 'gesture')}"
    table = Table(
        title=f"{said}, {data.null_h:.2f} h without one",
        title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for name in _HEADINGS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for point in calibration.curve:
        table.add_row(*_cells(point, data.n_gestures))
    table.add_section()
    table.add_row(*_cells(calibration.chosen, data.n_gestures), "chosen", style="bold")
    console = Console()
    # As wide as it must be: a narrow window may break lines, but nothing is cut.
    console.width = max(console.width, Console(width=1000).measure(table).maximum)
    console.print(table)


def _cells(point: Point, n_gestures: int) -> tuple[str, ...]:
    return (
        f"{point.threshold:.4f}",
        str(point.n_false),
        f"{point.false_per_hour:.3g}",
        f"{point.upper_per_hour:.3g}",
        str(n_gestures - point.n_hit),
        f"{point.recall:.3f}",
    )
