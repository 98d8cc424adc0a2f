"""`streamrnn info`: what is in a session or a model file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

_MCAP_MAGIC = b"\x89MCAP0\r\n"


@click.command("info")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
def command(files: tuple[Path, ...], as_json: bool) -> None:
    """Say what is in a session or a model file.

    A folder stands for the sessions (*.mcap) in it.
    """
    from streamrnn.core.text import printable
    from streamrnn.sessions.reader import session_paths

    for path in session_paths(files):
        document = {"file": str(path), **_describe(path)}
        if as_json:
            click.echo(json.dumps(document, allow_nan=False))
        else:
            shown = printable(str(path), 1000)
            click.echo("\n".join([shown, *(f"  {line}" for line in _lines(document))]))


def _describe(path: Path) -> dict[str, Any]:
    from streamrnn.core.errors import SessionError
    from streamrnn.sessions.describe import describe
    from streamrnn.sessions.reader import read_session

    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        raise SessionError(f"no such file: {path}") from None
    except OSError as error:
        raise SessionError(f"cannot read {path}: {error.strerror or error}") from None
    if head.startswith(_MCAP_MAGIC) or path.suffix == ".mcap":
        return describe(read_session(path))
    if path.suffix != ".safetensors" and head[8:9] != b"{":
        raise SessionError(f"{path} is neither a session (.mcap) nor a model (.safetensors)")
    return _describe_model(path)


def _describe_model(path: Path) -> dict[str, Any]:
    from streamrnn.model.file import load_model, model_hash

    return {"kind": "model", "hash": model_hash(path), **load_model(path).document}


# ---- text


def _lines(document: dict[str, Any]) -> list[str]:
    from streamrnn.core.errors import ModelFileError
    from streamrnn.core.text import printable

    if document["kind"] == "session":
        return _session_lines(document)
    try:
        return _model_lines(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = printable(repr(error))
        raise ModelFileError(
            f"{document['file']}: the description in the model file is incomplete: {why}"
        ) from None


def _session_lines(d: dict[str, Any]) -> list[str]:
    from streamrnn.core.text import printable

    nominal = f"{d['rate_hz']:g} Hz nominal" if d["rate_hz"] else "rate not said"
    lines = [
        f"session   {d['n_frames']} frames, {d['duration_s']:.2f} s, {nominal}, {_measured(d)}",
        f"channels  {_channel_text(d['channels'])}",
    ]
    gaps = d["gaps"]
    if gaps["count"]:
        lines.append(
            f"gaps      {gaps['count']}, {gaps['n_missing']} frames missing, "
            f"the longest takes {gaps['longest_s']:.3f} s"
        )
    else:
        lines.append("gaps      none")
    labels = [
        f"{printable(name, 40)} {entry['count']} ({entry['seconds']:.1f} s)"
        for name, entry in d["labels"].items()
    ]
    undone = f"; {d['undone']} taken back" if d["undone"] else ""
    lines.append(f"labels    {', '.join(labels) or 'none'}{undone}")
    if d["events"]:
        lines.append(f"events    {d['events']} records")
    bad = sum(channel["n_not_finite"] for channel in d["channels"])
    if bad:
        lines.append(f"samples   {bad} are not finite")
    said = {**{k: v for k, v in d["device"].items() if v}, **d["metadata"]}
    lines += [f"{printable(k, 20):<9} {printable(v, 400)}" for k, v in said.items()]
    lines += [f"PROBLEM   {printable(problem, 400)}" for problem in d["problems"]]
    return lines


def _measured(d: dict[str, Any]) -> str:
    if d["metadata"].get("clock") == "counted":
        arrival = f"{d['arrival_rate_hz']:.2f} Hz" if d["arrival_rate_hz"] else "unknown"
        return f"timestamps are counted at the stated rate; by arrival: {arrival}"
    return f"{d['fitted_rate_hz']:.2f} Hz by its timestamps" if d["fitted_rate_hz"] else "-"


def _channel_text(channels: list[dict[str, Any]]) -> str:
    from streamrnn.core.text import printable

    parts = []
    for channel in channels:
        unit = f" [{printable(channel['unit'], 20)}]" if channel.get("unit") else ""
        parts.append(f"{printable(channel['name'], 40)}{unit}")
    return f"{len(channels)}: {', '.join(parts)}"


def _network_text(spec: dict[str, Any]) -> str:
    if spec.get("kind") == "mlp-window":
        sizes = f"{spec['window']} frames x {spec['n_inputs']} -> {spec['hidden']}"
        return f"MLP on windows {sizes} -> {spec['n_classes']}"
    hidden = " + ".join(str(n) for n in spec["hidden"])
    return f"LSTM {spec['n_inputs']} -> {hidden} -> {spec['n_classes']}"


def _model_lines(d: dict[str, Any]) -> list[str]:
    from streamrnn.core.text import printable

    spec = d["spec"]
    labels = ", ".join(printable(label, 40) for label in d["labels"])
    lines = [
        f"model     {_network_text(spec)}, {spec['dtype']}",
        f"hash      {d['hash']}",
        f"labels    {len(d['labels'])}: {labels}",
        f"channels  {_channel_text(d['channels'])}",
        f"rate      {d['rate_hz']:g} Hz; gaps up to {d['max_gap_ms']:g} ms are filled",
    ]
    training = d.get("training") or {}
    chosen = training.get("features") or _plainly(d.get("features") or {})
    lines += [f"features  {printable(text, 400)}" for text in chosen]
    lines += [f"decision  {printable(text, 400)}" for text in _plainly(d.get("decision") or {})]
    lines += [f"training  {printable(text, 400)}" for text in _training_texts(training)]
    if found := d.get("calibration"):
        budget = f"{found['max_false_per_hour']:g} false activations an hour"
        lines.append(f"budget    {budget}; {printable(found['claim'], 400)}")
        point, n = found["chosen"], found["data"]["n_gestures"]
        lines.append(f"budget    it finds {point['n_hit']} of {n} gestures there")
    return lines


def _plainly(section: dict[str, Any]) -> list[str]:
    """Return the options of a section that are on, in one text; then those of single classes."""
    own = section.get("per_class") or {}
    on = [f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
          for key, value in section.items()
          if isinstance(value, (str, int, float)) and value not in (0, "none")]  # fmt: skip
    singly = [f"{name}: {text}" for name, rule in own.items() for text in _plainly(rule)]
    return [text for text in (", ".join(on), *singly) if text]


def _training_texts(training: dict[str, Any]) -> list[str]:
    """Return what a model was trained on, how long, and what is known of it."""
    texts = []
    if sessions := training.get("sessions"):
        people = sorted({s["subject"] for s in sessions if s.get("subject")})
        text = f"{len(sessions)} {'recording' if len(sessions) == 1 else 'recordings'}"
        texts.append(f"{text} of {', '.join(people)}" if people else text)
    if "epoch" in training:
        texts.append(f"epoch {training['epoch']}, {training.get('n_updates', 0)} updates")
    if summary := (training.get("cross_validation") or {}).get("summary"):
        texts.append(summary)
    return texts
