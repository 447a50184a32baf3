"""All commands, joined into one program."""

from __future__ import annotations

from typing import Annotated

import typer

from isotp._version import __version__
from isotp.cli import decode, stats

__all__ = ["app"]

app = typer.Typer(
    name="isotp",
    help="ISO-TP (ISO 15765-2) on the command line.",
    epilog="Each command has a --help of its own, with examples.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
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


for name, module in (("decode", decode), ("stats", stats)):
    app.command(name, epilog=module.EXAMPLES)(module.command)
