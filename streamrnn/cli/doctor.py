"""``streamrnn doctor``: what this machine offers, and whether all is in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click


@click.command(short_help="Check this machine: processor, kernels, cache, ports, speed.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as one JSON object.")
@click.option("--bench/--no-bench", default=True, help="Measure for about five seconds, too.")
def command(*, as_json: bool, bench: bool) -> None:
    """Say what this machine offers, check the kernels against plain NumPy, and measure them.

    A step and a batch of streams are timed beside what bounds them: how fast this processor reads
    the weights, and how fast it multiplies. Exit code 1 if something is wrong.
    """
    from dataclasses import asdict

    from streamrnn.cli.live import say_when_compiling
    from streamrnn.runtime.health import examine
    from streamrnn.sources.ports.listing import serial_ports

    say_when_compiling()
    health = examine(bench=bench)
    document = health.document
    document["ports"] = [asdict(port) for port in serial_ports()]
    document["problems"] = health.problems
    if as_json:
        click.echo(json.dumps(document, allow_nan=False))
    else:
        for line in _lines(document):
            click.echo(line)
    if health.problems:
        raise click.exceptions.Exit(1)


def _lines(d: dict[str, Any]) -> Iterator[str]:
    from streamrnn.core.text import printable

    for head, text in (*_machine(d), *_checks(d), *_gpu(d["gpu"]), *_speeds(d)):
        yield f"{head:<10}{printable(text, 400)}"
    if not d["problems"]:
        yield "all is well"
    for problem in d["problems"]:
        yield f"PROBLEM   {printable(problem, 1000)}"


def _machine(d: dict[str, Any]) -> Iterator[tuple[str, str]]:
    cpu, threads = d["cpu"], d["threads"]
    yield "versions", ", ".join(f"{name} {version}" for name, version in d["versions"].items())
    yield "processor", f"{cpu['name']}, compiled for {cpu['target']}"
    has = [name for name, there in cpu["features"].items() if there]
    lacks = [name for name, there in cpu["features"].items() if not there]
    yield "has", " ".join(has) or "-"
    if lacks:
        yield "lacks", " ".join(lacks)
    yield "vectors", f"{cpu['vector_bits']} bits"
    yield "threads", f"{threads['n_cores']} cores may be used; {threads['layer']}"
    ports = [f"{p['path']} ({p['description']})" if p["description"] else p["path"]
             for p in d["ports"]]  # fmt: skip
    more = "; `streamrnn devices` says what answers" if ports else ""
    yield "ports", (", ".join(ports) or "no serial port is plugged in") + more


def _checks(d: dict[str, Any]) -> Iterator[tuple[str, str]]:
    cache = d["cache"]
    yield "cache", cache["folder"] or "none"
    units = cache["units"]
    missing = [name for name, is_ready in units.items() if not is_ready]
    text = f"{len(units) - len(missing)} of {len(units)} units were compiled before"
    if missing:
        text += f"; not {', '.join(missing)}"
    yield "kernels", text
    if "check" in d:
        check = d["check"]
        agrees = "agrees with" if check["decoder_agrees"] else "DISAGREES with"
        error = check["network_error"]
        off = "not a number" if error is None else f"within {error:.1g} of plain NumPy"
        allowed = f"allowed {check['tolerance']:g}"
        yield "check", f"the network is {off} ({allowed}), the decoder {agrees} the plain one"


def _gpu(gpu: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "name" not in gpu:
        yield "gpu", f"none: {gpu['why']}"
        return
    memory = f"{gpu['free_mib']} of {gpu['memory_mib']} MiB free"
    knows = ".".join(map(str, gpu["driver_cuda"]))
    yield "gpu", (f"{gpu['name']} ({gpu['architecture']}), {gpu['n_multiprocessors']} "
                  f"multiprocessors, {memory}, driver knows CUDA {knows}")  # fmt: skip
    tools = ", ".join(f"{name} {version}" for name, version in gpu["compiler"].items())
    ready = f"{gpu['n_compiled']} of {gpu['n_kernels']} kernels were compiled before"
    yield "gpu code", f"{ready}; compiler: {tools or 'none'}"
    if "why" in gpu:
        yield "gpu check", f"none: {gpu['why']}"
    elif "network_error" in gpu:
        off = gpu["network_error"]
        near = "not a number" if off is None else f"within {off:.1g} of plain NumPy"
        yield "gpu check", f"the network is {near}"


def _speeds(d: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "bench" not in d:
        return
    bench = d["bench"]
    l1, l2 = bench["l1_gbytes_s"], bench["l2_gbytes_s"]
    rate = f"{bench['gflops']:.0f} GFLOP/s of multiply-adds"
    yield "core", f"{rate}; reads {l1:.0f} GB/s (16 KiB), {l2:.0f} GB/s (256 KiB)"
    for name, work in (("step", "reading its weights"), ("batch", "its multiply-adds")):
        timing = bench[name]
        n = timing["n_streams"]
        streams = f"{n} streams, " if n > 1 else ""
        shape = " -> ".join(map(str, timing["shape"]))
        share = f"{timing['times_the_bound']:.2f} times the {timing['bound_us']:.2f} us of {work}"
        yield name, f"{streams}{shape}: {timing['us']:.2f} us, {share}"
