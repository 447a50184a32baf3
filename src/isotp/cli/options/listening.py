"""When a command that listens on a bus ends, and how what comes is shown: the options for that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from isotp.cli.complaints import complain
from isotp.cli.options.bus import Place
from isotp.cli.shown.lines import ColourWhen, TimeKind

__all__ = ["Count", "ListenOptions", "TallyOptions", "ViewOptions"]

Count = Annotated[int | None, typer.Option("-n", metavar="N", help="End after N of them.", min=1)]


@dataclass(frozen=True)
class ListenOptions:
    """What all commands that listen have."""

    count: Count = None
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="S", help="End if nothing came for so long. If not given: never.", min=0
        ),
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each of them.")] = False
    ready: Annotated[
        bool, typer.Option("--ready", help="Say on standard error when it listens, for scripts.")
    ] = False

    def tell(self, *places: Place) -> None:
        """Now it listens."""
        if self.ready:
            typer.echo(f"listening on {', '.join(place.name for place in places)}", err=True)

    def tell_none(self, what: str) -> None:
        """There was not one in time."""
        complain(f"no {what} within {self.timeout:g} s")


@dataclass(frozen=True)
class TallyOptions(ListenOptions):
    """What those have that count messages."""

    stats: Annotated[
        bool, typer.Option("--stats", help="At the end, tell on standard error how much there was.")
    ] = False


@dataclass(frozen=True)
class ViewOptions:
    """How lines look."""

    times: Annotated[
        TimeKind | None,
        typer.Option(
            "-t", help="Times: a absolute, d since the line before, z since the first, A with the date."
        ),
    ] = None
    with_uds: Annotated[
        bool, typer.Option("--uds/--no-uds", "-u", help="Names of UDS services and negative responses.")
    ] = True
    colour: Annotated[
        ColourWhen, typer.Option("--color", help="Each session has a colour, bright is what -s sends.")
    ] = ColourWhen.AUTO
