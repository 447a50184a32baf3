"""Options that the commands which listen on a bus have in common: when they end, and how what comes is shown."""

from __future__ import annotations

from typing import Annotated

import typer

from isotp.cli.colours import ColourWhen
from isotp.cli.lines import TimeKind

__all__ = ["Colour", "Count", "Json", "Ready", "Services", "Silence", "Stats", "Times"]

Count = Annotated[int | None, typer.Option("-n", metavar="N", help="End after N of them.", min=1)]
Silence = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="S", help="End if nothing came for so long. If not given: never.", min=0
    ),
]
Json = Annotated[bool, typer.Option("--json", help="A line of JSON for each of them.")]
Stats = Annotated[
    bool, typer.Option("--stats", help="At the end, tell on standard error how much there was.")
]
Ready = Annotated[bool, typer.Option("--ready", help="Say on standard error when it listens, for scripts.")]
Times = Annotated[
    TimeKind | None,
    typer.Option(
        "-t", help="Times: a absolute, d since the line before, z since the first, A with the date."
    ),
]
Services = Annotated[
    bool, typer.Option("--uds/--no-uds", "-u", help="Names of UDS services and negative responses.")
]
Colour = Annotated[
    ColourWhen, typer.Option("--color", help="Each session has a colour, bright is what -s sends.")
]
