"""``firmware-sim proxy LISTEN TARGET``: damage a TCP connection between any two programs."""

from __future__ import annotations

import argparse
import threading

from firmware_sim.cables.address import host_and_port
from firmware_sim.faults import checked_plan, parse_faults
from firmware_sim.proxy.proxy import PROXY_KINDS, FaultProxy
from firmware_sim.serving import TruthFile
from streamrnn.core.errors import ConfigError

_WATCH_S = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell a parser what ``firmware-sim proxy`` takes."""
    parser.add_argument("listen", metavar="LISTEN", help="[HOST:]PORT for clients; 0: any port")
    parser.add_argument("target", metavar="TARGET", help="[HOST:]PORT of the server")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="SPEC",
        help=f"what goes wrong, as flip:1e-5 or unplug@5s:2s: {', '.join(PROXY_KINDS)}",
    )
    parser.add_argument("--scenario", metavar="FILE", help="faults and seed of a TOML file")
    parser.add_argument("--seed", type=int, help="of the faults; that of the scenario, or 0")
    parser.add_argument("--truth", metavar="FILE", help="JSON lines: every fault, then the counts")


def run_proxy(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Serve clients until `stop`; print where they may connect.

    Raises
    ------
    ConfigError
        An address or a fault that makes no sense.
    SourceError
        The port cannot be had.
    """
    plan, seed = parse_faults(arguments.fault), 0
    if arguments.scenario:
        from firmware_sim.scenario import read_scenario

        options = read_scenario(arguments.scenario)
        assert not isinstance(options.faults, str)
        plan, seed = checked_plan([*options.faults.faults, *plan.faults]), options.seed
    seed = seed if arguments.seed is None else arguments.seed
    if seed < 0:
        raise ConfigError(f"--seed must be 0 or more, got {seed}")
    host, port = _address(arguments.listen, "LISTEN")
    target = _address(arguments.target, "TARGET")
    if not target[1]:
        raise ConfigError("TARGET: port 0 is nobody's")
    proxy = FaultProxy(host, port, target, plan, seed)
    with TruthFile(arguments.truth, proxy) as truth, proxy:
        print(proxy.address, flush=True)  # noqa: T201
        while not stop.wait(_WATCH_S) and proxy.error is None:
            truth.update()
    if proxy.error is not None:
        raise proxy.error
    return 0


def _address(text: str, what: str) -> tuple[str, int]:
    return host_and_port(text.removeprefix("tcp:").removeprefix("//"), what)
