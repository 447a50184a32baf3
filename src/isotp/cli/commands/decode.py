"""`isotp decode`: the messages in logs, as a table, JSON lines, CSV or Parquet, or the frames they came in."""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from isotp.bulk._reassembler import Reassembler
from isotp.bulk._records import Records
from isotp.cli.logs import (
    LogFiles,
    Sessions,
    chosen_of,
    messages_of,
    progress_of,
    reassembler_for,
    sessions_of,
)
from isotp.cli.options.logs import STDIN, LogOptions, Question, Statuses
from isotp.cli.shown.frames import CandumpWriter, FrameWriter, PcapngWriter
from isotp.cli.shown.lines import printable
from isotp.cli.shown.summary import Summary
from isotp.cli.shown.tables import CsvWriter, JsonWriter, MessageWriter, ParquetWriter, TableWriter

__all__ = ["EXAMPLES", "Format", "command"]

EXAMPLES = """\
[bold]Examples[/bold]

[dim]# all sessions that can be found, as a table[/dim]
isotp decode drive.blf

[dim]# one session, as can-utils names it[/dim]
isotp decode -s 7E0 -d 7E8 drive.asc.gz

[dim]# normal fixed addresses, JSON lines[/dim]
isotp decode -a ta=10,sa=F1 --json drive.mf4 | jq .payload

[dim]# what went wrong, in rotated files[/dim]
isotp decode --status broken drive_*.log

[dim]# one session on one channel, as a table for pandas, Polars, DuckDB[/dim]
isotp decode -a 7E0:7E8@can1 drive.pcapng -o drive.parquet

[dim]# the frames of one session, for Wireshark[/dim]
isotp decode -a 7E0:7E8 drive.blf -o session.pcapng

[dim]# a live bus[/dim]
candump -L can0 | isotp decode -a 7E0:7E8 -

[dim]# what can be found in a pipe, also what is less sure[/dim]
zcat drive.log.gz | isotp decode --min-score 0.1 -

[bold]Exit status[/bold]

0: all well
1: broken messages among those asked for, or parts of a log that can not be read
2: a wrong option
"""


class Format(str, enum.Enum):
    """What `isotp decode` writes."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    CANDUMP = "candump"
    PCAPNG = "pcapng"

    @property
    def is_binary(self) -> bool:
        return self in (Format.PARQUET, Format.PCAPNG)

    @property
    def has_frames(self) -> bool:
        return self in FRAME_WRITERS


SUFFIXES = {
    ".json": Format.JSON,
    ".jsonl": Format.JSON,
    ".ndjson": Format.JSON,
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
    ".log": Format.CANDUMP,
    ".pcapng": Format.PCAPNG,
}


MESSAGE_WRITERS: dict[Format, Callable[..., MessageWriter]] = {
    Format.TABLE: TableWriter,
    Format.JSON: JsonWriter,
    Format.CSV: CsvWriter,
    Format.PARQUET: ParquetWriter,
}
FRAME_WRITERS: dict[Format, Callable[..., FrameWriter]] = {
    Format.CANDUMP: CandumpWriter,
    Format.PCAPNG: PcapngWriter,
}


def command(
    logs: LogOptions,
    statuses: Statuses = None,
    output_format: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-f",
            help="What to write; by the end of OUT's name if not given, or else a table. candump and pcapng have the"
            " frames, flow control among them, of the sessions or of the messages asked for.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="Write to this file.", dir_okay=False)
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Whole payloads in the table.")] = False,
) -> None:
    """Decode the ISO-TP messages in logs of CAN buses."""
    asked = logs.question(statuses)
    chosen = chosen_format(output_format, as_json, output)
    check_output(asked, chosen, output)
    errors = Console(stderr=True)
    with ExitStack() as stack:
        progress = stack.enter_context(
            progress_of(asked, errors, hidden=logs.quiet or (output is None and not piped()))
        )
        files = LogFiles(asked, progress, again=chosen.has_frames and asked.picks_messages)
        sessions = sessions_of(asked, files)
        summary, reassembler = Summary(), reassembler_for(asked, sessions)
        stream = stream_of(chosen, output, stack)
        if chosen.has_frames:
            frames = FRAME_WRITERS[chosen](stream, files.channel_name)
            write_frames(asked, files, sessions, reassembler, summary, frames)
        else:
            more = {"full": full} if chosen is Format.TABLE else {}
            messages = MESSAGE_WRITERS[chosen](stream, files.channel_name, **more)
            for table in chosen_of(asked, messages_of(files, reassembler)):
                summary.add(table)
                messages.write(table)
            messages.close()
    summary.conclude(errors, files, quiet=logs.quiet)


def chosen_format(asked: Format | None, as_json: bool, output: Path | None) -> Format:
    if as_json and asked not in (None, Format.JSON):
        raise typer.BadParameter(f"it does not go with --format {asked.value}", param_hint="--json")
    if asked is not None or as_json:
        return asked or Format.JSON
    return Format.TABLE if output is None else SUFFIXES.get(output.suffix.lower(), Format.TABLE)


def piped() -> bool:
    """True if standard output goes to a file or another program, so that a bar on the terminal disturbs nothing."""
    return not sys.stdout.isatty()


def check_output(asked: Question, chosen: Format, output: Path | None) -> None:
    if output is None:
        if chosen.is_binary and not piped():
            raise typer.BadParameter(
                f"{chosen.value} is not for a terminal: give -o OUT", param_hint="--format"
            )
    elif output.exists() and any(log != STDIN and output.samefile(log) for log in asked.logs):
        raise typer.BadParameter(f"{printable(output)} is one of the logs", param_hint="--output")


def stream_of(chosen: Format, output: Path | None, stack: ExitStack) -> Any:
    """Where to write to, for bytes or for text."""
    if output is None:
        return sys.stdout.buffer if chosen.is_binary else sys.stdout
    if chosen.is_binary:
        return stack.enter_context(output.open("wb"))
    return stack.enter_context(output.open("w", encoding="utf-8", newline=""))


def write_frames(
    asked: Question,
    files: LogFiles,
    sessions: Sessions,
    reassembler: Reassembler,
    summary: Summary,
    writer: FrameWriter,
) -> None:
    """The frames of all sessions in one reading, those of chosen messages in a second one."""
    # It brings numpy, for frames alone.
    from isotp.cli.choice import FrameFilter, Spans

    spans: Spans | None = None
    if asked.picks_messages:
        spans = Spans(n_cr_ns=int(asked.n_cr * 1e6))
        for messages in messages_of(files, reassembler):
            spans.add_starts(messages)
            for chosen in chosen_of(asked, [messages]):
                summary.add(chosen)
                spans.add(chosen)
    chooser = FrameFilter(sessions, spans)

    def write(records: Records) -> None:
        writer.write(chooser.select(records))

    if spans is None:
        for messages in messages_of(files, reassembler, beside=write):
            summary.add(messages)
    else:
        for records in files.records():
            write(records)
