"""`streamrnn import`: CSV, TSV and NPZ recordings into sessions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from streamrnn.sessions.session import Session


def _pairs(values: Iterable[str], option: str) -> dict[str, str]:
    """Return ``{"a": "b"}`` of ``("a=b", ...)``; each value may hold several, split by commas."""
    found: dict[str, str] = {}
    for item in _listed(values):
        key, equals, value = item.partition("=")
        if not (key and equals and value):
            raise click.UsageError(f"{option} takes name=value, got {item!r}")
        found[key.strip()] = value.strip()
    return found


def _listed(values: Iterable[str]) -> list[str]:
    return [item.strip() for value in values for item in value.split(",") if item.strip()]


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Session to write (one file)."
)
@click.option(
    "--out-dir", type=click.Path(path_type=Path), help="Folder for NAME.mcap [that of each file]."
)
@click.option("--overwrite", is_flag=True, help="Replace sessions that exist.")
@click.option("--rate", "rate_hz", type=float, help="Frames a second, where no column tells time.")
@click.option("--time-column", help="Column that holds the time [found by its name].")
@click.option("--time-unit", help="s, ms, us or ns [found by name or size].")
@click.option("--label-column", help="Column with a class a row [label, gesture or class].")
@click.option(
    "--labels",
    "labels_path",
    type=click.Path(path_type=Path),
    help="Second file with columns start, end, label.",
)
@click.option("--label", help="The whole file is one trial of this gesture.")
@click.option(
    "--onehot", multiple=True, help="Columns that are 1 during a gesture: q=left,w=right."
)
@click.option("--channels", help="Names of all columns of a file without a header: t,acc_x,...")
@click.option("--rename", multiple=True, help="Other names for channels: fusedX=fused_x.")
@click.option("--drop", multiple=True, help="Columns to leave out: nr,battery.")
@click.option("--unit", "units", multiple=True, help="Units: acc=m/s^2 is for all acc... channels.")
@click.option("--subject", default="", help="Who did the gestures.")
def command(
    files: tuple[Path, ...],
    output: Path | None,
    out_dir: Path | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Turn CSV, TSV or NPZ recordings into sessions.

    FILES are delimited text with a header line, or .npz recordings of UHH-IMU-gestures.
    """
    from streamrnn.cli.files import refuse_inputs
    from streamrnn.core.errors import SessionError
    from streamrnn.sessions.writer import write_session

    if output is not None and len(files) > 1:
        raise click.UsageError(f"-o names one session, but {len(files)} files came: use --out-dir")
    if output is not None and out_dir is not None:
        raise click.UsageError("-o and --out-dir both say where to write: choose one")
    arguments = _csv_arguments(options)
    jobs = [(path, output or (out_dir or path.parent) / f"{path.stem}.mcap") for path in files]
    inputs = [*files, *([options["labels_path"]] if options["labels_path"] else [])]
    taken: dict[Path, Path] = {}
    for path, target in jobs:
        if target in taken:
            raise click.UsageError(f"{taken[target]} and {path} would both become {target}")
        taken[target] = path
        refuse_inputs(target, inputs)
        if target.exists() and not overwrite:
            raise SessionError(f"{target} exists already: choose another name, or --overwrite")
    if out_dir is not None:
        out_dir.mkdir(parents=True, exist_ok=True)
    for path, target in jobs:
        session = _read(path, arguments)
        write_session(target, session, overwrite=overwrite)
        click.echo(_line(target, session))


def _csv_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options as `import_csv` takes them, without those that were not given."""
    arguments = dict(options)
    arguments["onehot"] = _pairs(options["onehot"], "--onehot")
    arguments["rename"] = _pairs(options["rename"], "--rename")
    arguments["units"] = _pairs(options["units"], "--unit")
    arguments["drop"] = _listed(options["drop"])
    arguments["channels"] = _listed([options["channels"]]) if options["channels"] else None
    return {key: value for key, value in arguments.items() if value not in (None, "", [], {})}


def _read(path: Path, arguments: dict[str, Any]) -> Session:
    from streamrnn.core.errors import ConfigError
    from streamrnn.sessions.csv_import import import_csv
    from streamrnn.sessions.npz_import import import_uhh

    if path.suffix.lower() != ".npz":
        return import_csv(path, **arguments)
    extra = arguments.keys() - {"subject"}
    if extra:
        names = ", ".join(sorted(extra))
        raise ConfigError(f"{path.name}: .npz recordings take no options but --subject ({names})")
    session = import_uhh(path)
    if "subject" in arguments:
        session.metadata["subject"] = arguments["subject"]
    return session


def _line(target: Path, session: Session) -> str:
    from collections import Counter

    from streamrnn.core.text import printable

    counts = Counter(label.name for label in session.labels)
    labels = ", ".join(f"{printable(name, 40)} {counts[name]}" for name in sorted(counts))
    how = session.metadata.get("rate", "")
    return (
        f"{printable(str(target), 1000)}: {len(session)} frames, "
        f"{session.info.n_channels} channels, {session.info.rate_hz:g} Hz ({how}), "
        f"{session.duration_s:.1f} s, labels: {labels or 'none'}"
    )
