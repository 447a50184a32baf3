"""All commands, joined into one program. A command is imported when it is asked for: help comes quickly."""

from __future__ import annotations

import importlib
import inspect
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from isotp._version import __version__

__all__ = ["COMMANDS", "app", "real_command"]

# The first line of each command's help, as `isotp --help` shows it.
COMMANDS = {
    "send": "Send messages, and show their answers.",
    "recv": "Receive messages, and acknowledge them.",
    "dump": "Show the frames of a bus, explained.",
    "sniff": "Show the messages of sessions between others.",
    "perf": "Measure how fast messages are.",
    "ecu": "Be an ECU: answer UDS requests on a bus.",
    "scan": "Find who answers on a bus, by asking.",
    "decode": "Decode the ISO-TP messages in logs of CAN buses.",
    "stats": "Show what the ISO-TP sessions in logs of CAN buses were like.",
}
HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class Lazy(TyperCommand):
    """A command by its name and the first line of its help, until it is to do something."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return real_command(self.name or "").make_context(info_name, args, parent=parent, **extra)


class Commands(TyperGroup):
    """All of COMMANDS."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: Lazy(name, help=summary) for name, summary in COMMANDS.items()}


def real_command(name: str) -> Any:
    """A command with all its options."""
    from isotp.cli.options import grouped

    module = importlib.import_module(f"isotp.cli.commands.{name}")
    alone = typer.Typer(rich_markup_mode="rich", add_completion=False)
    alone.command(
        name, help=paragraphs(module.command.__doc__), epilog=module.EXAMPLES, context_settings=HELP_NAMES
    )(grouped(module.command))
    return typer.main.get_command(alone)


def paragraphs(text: str) -> str:
    """Each paragraph on one line, for the terminal to break as wide as it is."""
    return "\n\n".join(" ".join(each.split()) for each in inspect.cleandoc(text).split("\n\n"))


app = typer.Typer(
    name="isotp",
    cls=Commands,
    help="ISO-TP (ISO 15765-2) on the command line.",
    epilog="Each command has a --help of its own, with examples.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings=HELP_NAMES,
    pretty_exceptions_show_locals=False,
)


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"isotp {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Options before the name of a command."""
