"""The command line: one command a file, and the only place for click and rich.

`main` is the console script. A `StreamRNNError` becomes one line on stderr and exit code 1, a usage
error exit code 2; ``--debug`` shows the traceback instead. Commands are imported only when they are
called, so that ``streamrnn --help`` does not load NumPy.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module

import click

from streamrnn import __version__
from streamrnn.core.errors import ConfigError, StreamRNNError
from streamrnn.core.text import did_you_mean, printable

#: Command name -> (module in this package, one line of help), in the order of a user's day.
COMMANDS = {
    "demo": ("demo", "The whole job on a simulated board: record, train, run, report."),
    "devices": ("devices", "List the serial ports and what answers there."),
    "probe": ("probe", "Say what a source sends, and how well."),
    "record": ("record", "Record a labelled session from a device."),
    "import": ("import_", "Turn CSV, TSV or NPZ recordings into sessions."),
    "info": ("info", "Say what is in a session or a model file."),
    "inspect": ("inspect", "Say what is wrong with recordings before training on them."),
    "train": ("train", "Train a model on recorded sessions."),
    "evaluate": ("evaluate", "Score a model on recorded sessions, offline."),
    "calibrate": ("calibrate", "Choose thresholds for a budget of false activations an hour."),
    "run": ("run", "Run a model on a live stream; print events as JSON lines."),
    "replay": ("replay", "Send a session through the simulated board and run a model on it."),
    "warmup": ("warmup", "Compile all kernels now, so that no later start has to."),
    "doctor": ("doctor", "Check this machine: processor, kernels, cache, ports, speed."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"streamrnn.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command when there is no such one."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            wrong = printable(args[0])
            ctx.fail(f"no such command {wrong!r}{did_you_mean(wrong, COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="streamrnn")
@click.option("--debug", is_flag=True, help="Show tracebacks and debug messages.")
def cli(debug: bool) -> None:
    """Turn a live stream of sensor frames into gesture events."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_make_harmless)
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format="streamrnn: %(message)s",
        handlers=[handler],
    )


def _make_harmless(record: logging.LogRecord) -> bool:
    """Make a message one line that a terminal cannot take for orders; tracebacks stay."""
    record.msg, record.args = printable(record.getMessage(), 1000), None
    return True


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit.

    Parameters
    ----------
    argv : list of str or None
        Arguments without the program name; None means those of the process.
    """
    arguments = sys.argv[1:] if argv is None else argv
    debug = "--debug" in arguments
    try:
        code = cli.main(arguments, prog_name="streamrnn", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        if debug:
            raise
        _fail(error.format_message(), error.exit_code)
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (StreamRNNError, OSError) as error:
        if debug:
            raise
        _fail(_describe(error), 2 if isinstance(error, ConfigError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, StreamRNNError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}"
    return str(error)


def _fail(message: str, code: int) -> None:
    one_line = " ".join(printable(line.strip(), 400) for line in message.splitlines())
    click.echo(f"streamrnn: {one_line}", err=True)
    sys.exit(code)
