"""`isotp stats`: what the sessions in logs were like, as a table, JSON lines and a picture."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import numpy
import typer
from rich.console import Console
from rich.text import Text

from isotp.bulk._address_text import address_text
from isotp.bulk._figures import MessageColumns, SessionFigures
from isotp.bulk._uds_figures import UdsFigures
from isotp.cli.logs import LogFiles, messages_of, progress_of, reassembler_for, sessions_of, with_uds
from isotp.cli.options import check_output_path
from isotp.cli.options.logs import LogOptions
from isotp.cli.shown.figures_table import FiguresTable
from isotp.cli.shown.lines import printable
from isotp.cli.shown.summary import Summary
from isotp.cli.shown.uds import kinds_text
from isotp.cli.shown.words import number_text, size_text, time_text
from isotp.message import Direction

__all__ = ["EXAMPLES", "command"]

EXAMPLES = """\
[bold]Examples[/bold]

[dim]# all sessions that can be found[/dim]
isotp stats drive.blf

[dim]# one session, with a picture[/dim]
isotp stats -a 7E0:7E8 --plot drive.png drive.asc.gz

[dim]# services of UDS: what was asked for, what came back, and how soon[/dim]
isotp stats --uds --plot uds.png drive.blf

[dim]# JSON lines, one a session[/dim]
isotp stats --json drive_*.log | jq .response_times

[bold]Exit status[/bold]

0: all well
1: broken messages, or parts of a log that cannot be read
2: a wrong option
141: nobody reads the output any more, say head
"""

Draw = Callable[..., None]

PICTURES = (".png", ".svg", ".pdf")
RESPONSE = "response: median, max"


def command(
    logs: LogOptions,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, one a session, times in ns.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw a picture (PNG, SVG or PDF by the end of the name): when which session had messages, their"
            " lengths, the STmin asked for and the response times.",
            dir_okay=False,
        ),
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="With --plot: for a dark page.")] = False,
) -> None:
    """Show what the ISO-TP sessions in logs of CAN buses were like.

    A response time is that from the end of a message to the first one the other way: with 7E0:7E8, from 7E0 to 7E8.
    """
    asked = logs.question()
    if plot is not None and plot.suffix.lower() not in PICTURES:
        raise typer.BadParameter(
            f"{printable(plot)} does not end in {', '.join(PICTURES)}", param_hint="--plot"
        )
    if plot is not None:
        check_output_path(plot, "--plot")
    if dark and plot is None:
        raise typer.BadParameter("it goes with --plot", param_hint="--dark")
    draw = None if plot is None else drawing()
    errors = Console(stderr=True)
    with ExitStack() as stack:
        files = LogFiles(asked, stack.enter_context(progress_of(asked, errors, hidden=logs.quiet)))
        figures_of_uds = UdsFigures() if asked.uds else None
        summary, columns = Summary(figures_of_uds), MessageColumns()
        reassembler = reassembler_for(asked, sessions_of(asked, files))
        for messages, _ in with_uds(asked, messages_of(files, reassembler), figures_of_uds):
            summary.add(messages)
            columns.add(messages)
    figures = list(columns.sessions(files.channel_name))
    if as_json:
        for each in figures:
            line = each.as_dict()
            if summary.uds is not None:
                line["uds"] = [it.as_dict() for it in summary.uds.of(each.channel, line["session"])]
            sys.stdout.write(json.dumps(line) + "\n")
    else:
        show_table(figures, files)
        if summary.uds is not None:
            show_services(summary.uds, files)
    if plot is not None and draw is not None:
        services = [] if summary.uds is None else summary.uds.services()
        draw(plot, columns, figures, services, files.channel_name, dark=dark)
    summary.conclude(errors, files, quiet=logs.quiet)


def drawing() -> Draw:
    """What draws the picture; asked for before the logs are read, as it may be missing."""
    try:
        from isotp.cli.shown.picture import draw
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise typer.BadParameter(
            "pictures are drawn with matplotlib: pip install 'can-isotp-cython[plot]'", param_hint="--plot"
        ) from None
    return draw


def show_table(figures: list[SessionFigures], files: LogFiles) -> None:
    table = FiguresTable(
        ("channel", "session"),
        ("sent", "received", "bytes", "messages/s", "bytes/s", "STmin", "BS", RESPONSE, "broken"),
        {"bytes": "total"},
    )
    for each in figures:
        table.add(*cells(each, files.channel_name(each.channel)))
    table.show()


def show_services(uds: UdsFigures, files: LogFiles) -> None:
    """A line for each service of each session."""
    table = FiguresTable(
        ("channel", "session", "service"),
        ("requests", "positive", "pending", "unanswered", RESPONSE, "negative"),
        {"pending": "pending (0x78)"},
    )
    for each in uds.services():
        times = numpy.array(each.times)
        table.add(
            files.channel_name(each.channel),
            each.session,
            each.title,
            *(str(count) for count in (each.requests, each.positive, each.pending)),
            Text(str(each.unanswered), "red" if each.unanswered else ""),
            f"{time_text(numpy.median(times))}, {time_text(times.max())}" if len(times) else "",
            Text(kinds_text(each.negative.most_common()), "red"),
        )
    table.show()


def cells(figures: SessionFigures, channel: str) -> list[str | Text]:
    size = int(figures.column("size").sum())
    times = figures.response_times()
    answered = f"{time_text(numpy.median(times))}, {time_text(times.max())}" if len(times) else ""
    broken = {name: count for name, count in figures.statuses.items() if name != "ok"}
    return [
        channel,
        address_text(figures.address),
        str(figures.traffic(Direction.TX)["messages"]),
        str(figures.traffic(Direction.RX)["messages"]),
        size_text(size),
        number_text(figures.per_second(len(figures.rows))),
        number_text(figures.per_second(size)),
        range_text([time_text(stmin * 1000) for stmin in figures.asked("stmin_us")]),
        range_text([str(blocksize) for blocksize in figures.asked("blocksize")]),
        answered,
        Text(", ".join(f"{name} {count}" for name, count in broken.items()), "red"),
    ]


def range_text(values: list[str]) -> str:
    """One value, or the least and the most."""
    return "" if not values else values[0] if len(values) == 1 else f"{values[0]} .. {values[-1]}"
