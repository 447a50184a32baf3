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
from isotp.bulk._uds_figures import UdsFigures
from isotp.cli.growing import ended_by_ctrl_c
from isotp.cli.logs import (
    LogFiles,
    Sessions,
    chosen_of,
    messages_of,
    progress_of,
    reassembler_for,
    sessions_of,
    with_uds,
)
from isotp.cli.options import check_output_path, checking
from isotp.cli.options.logs import STDIN, LogOptions, Question, Statuses, Url
from isotp.cli.shown.frames import CandumpWriter, FrameWriter, PcapngWriter
from isotp.cli.shown.lines import printable
from isotp.cli.shown.partitions import Partition, PartitionedWriter
from isotp.cli.shown.pdus import PduWriter
from isotp.cli.shown.screen import TableWriter
from isotp.cli.shown.summary import Summary
from isotp.cli.shown.tables import CsvWriter, JsonWriter, MessageWriter, ParquetWriter

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

[dim]# requests and responses of UDS, and what was refused[/dim]
isotp decode --uds drive.blf

[dim]# one session on one channel, as a table for pandas, Polars, DuckDB[/dim]
isotp decode -a 7E0:7E8@can1 drive.pcapng -o drive.parquet

[dim]# a data set with a folder for each session[/dim]
isotp decode --partition session -o drives drive_*.blf

[dim]# the frames of one session, for Wireshark[/dim]
isotp decode -a 7E0:7E8 drive.blf -o session.pcapng

[dim]# its whole messages, for Wireshark[/dim]
isotp decode -a 7E0:7E8 drive.blf -f pdu -o messages.pcapng

[dim]# a live bus[/dim]
candump -L can0 | isotp decode -a 7E0:7E8 -

[dim]# two loggers at the same time, and a file of addresses[/dim]
isotp decode --merge --map body.log:can0=body --addresses ecus.csv body.log drive.log

[dim]# a log that is being written[/dim]
isotp decode --follow -a 7E0:7E8 today.log

[dim]# what can be found in a pipe, also what is less sure[/dim]
zcat drive.log.gz | isotp decode --min-score 0.1 -

[bold]Exit status[/bold]

0: all well
1: broken messages among those asked for, or parts of a log that cannot be read
2: a wrong option
141: nobody reads the output any more, say head
"""


class Format(str, enum.Enum):
    """What `isotp decode` writes."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    CANDUMP = "candump"
    PCAPNG = "pcapng"
    PDU = "pdu"

    @property
    def is_binary(self) -> bool:
        return self in (Format.PARQUET, Format.PCAPNG, Format.PDU)

    @property
    def has_frames(self) -> bool:
        return self in FRAME_WRITERS


SUFFIXES = {
    ".txt": Format.TABLE,
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
    Format.PDU: PduWriter,
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
            " frames, flow control among them, of the sessions or of the messages asked for; pdu has whole messages,"
            " for Wireshark (exported PDUs).",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="Write to this file.")
    ] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="When the last log ends, wait for what is written to it, until Ctrl-C. Sessions that are not named are"
            " found in what is there at the start.",
        ),
    ] = False,
    partition: Annotated[
        Partition | None,
        typer.Option(
            "--partition",
            help="OUT is a folder, for a Parquet data set: with a folder in it for each session, channel or log.",
        ),
    ] = None,
    dissector: Annotated[
        str | None,
        typer.Option(
            "--dissector",
            metavar="NAME",
            help="With --format pdu: what Wireshark takes the messages for, uds if not given.",
            show_default=False,
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Whole payloads in the table.")] = False,
) -> None:
    """Decode the ISO-TP messages in logs of CAN buses."""
    asked = logs.question(statuses)
    chosen = chosen_format(output_format, as_json, output, partition=partition is not None)
    if partition is not None:
        chosen = Format.PARQUET
        check_partition(asked, partition, output_format, as_json, output)
    else:
        check_output(asked, chosen, output)
    if dissector is not None and chosen is not Format.PDU:
        raise typer.BadParameter("it goes with --format pdu", param_hint="--dissector")
    if follow and chosen.has_frames and asked.picks_messages:
        raise typer.BadParameter(
            "frames of messages that are chosen take a second reading of the log", param_hint="--follow"
        )
    if follow and (asked.merge or any(asked.names) or isinstance(asked.logs[-1], Url)):
        raise typer.BadParameter(
            "it is for files here, and does not go with --merge and --map", param_hint="--follow"
        )
    errors = Console(stderr=True)
    with ExitStack() as stack:
        progress = stack.enter_context(
            progress_of(asked, errors, hidden=logs.quiet or follow or (output is None and not piped()))
        )
        files = LogFiles(asked, progress, again=chosen.has_frames and asked.picks_messages)
        sessions = sessions_of(asked, files)
        if follow:
            if not sessions:
                raise typer.BadParameter("no session was found so far: name them", param_hint="--follow")
            files.follow_until = stack.enter_context(ended_by_ctrl_c())
        figures = UdsFigures(keep_times=False) if asked.uds else None
        summary, reassembler = Summary(figures), reassembler_for(asked, sessions)
        if chosen.has_frames:
            frames = FRAME_WRITERS[chosen](stream_of(chosen, output, stack), files.channel_name)
            write_frames(asked, files, sessions, reassembler, summary, frames)
        else:
            more: dict[str, Any] = {"full": full} if chosen is Format.TABLE else {}
            if dissector is not None:
                more["dissector"] = dissector
            if partition is not None and output is not None:
                messages: MessageWriter = PartitionedWriter(
                    output, partition, lambda: files.current, uds=asked.uds
                )
            else:
                messages = MESSAGE_WRITERS[chosen](stream_of(chosen, output, stack), uds=asked.uds, **more)
            for table, uds in with_uds(asked, messages_of(files, reassembler), figures):
                summary.add(table)
                messages.write(table, uds)
            messages.close()
    summary.conclude(errors, files, quiet=logs.quiet)


def chosen_format(asked: Format | None, as_json: bool, output: Path | None, *, partition: bool) -> Format:
    if as_json and asked not in (None, Format.JSON):
        raise typer.BadParameter(f"it does not go with --format {asked.value}", param_hint="--json")
    if asked is not None or as_json:
        return asked or Format.JSON
    if output is None or partition:
        return Format.TABLE
    suffix = output.suffix.lower()
    # A device, say /dev/stdout, is what it is.
    if suffix not in SUFFIXES and (suffix or not output.exists() or output.is_file()):
        raise typer.BadParameter(
            f"{printable(output.name)} does not tell what to write: it ends in none of {', '.join(SUFFIXES)}."
            " Name it: --format",
            param_hint="--output",
        )
    return SUFFIXES.get(suffix, Format.TABLE)


def piped() -> bool:
    """True if standard output goes to a file or another program, so that a bar on the terminal disturbs nothing."""
    return not sys.stdout.isatty()


def check_output(asked: Question, chosen: Format, output: Path | None) -> None:
    if output is not None:
        check_output_path(output, "--output")
    if asked.uds and chosen.has_frames:
        raise typer.BadParameter(f"{chosen.value} has frames, which say nothing in UDS", param_hint="--uds")
    if output is None:
        if chosen.is_binary and not piped():
            raise typer.BadParameter(
                f"{chosen.value} is not for a terminal: give -o OUT", param_hint="--format"
            )
    elif output.exists() and any(
        isinstance(log, Path) and log != STDIN and output.samefile(log) for log in asked.logs
    ):
        raise typer.BadParameter(f"{printable(output)} is one of the logs", param_hint="--output")


def check_partition(
    asked: Question, partition: Partition, output_format: Format | None, as_json: bool, output: Path | None
) -> None:
    if as_json or output_format not in (None, Format.PARQUET):
        raise typer.BadParameter("a data set is of Parquet", param_hint="--partition")
    if output is None:
        raise typer.BadParameter("name its folder: -o OUT", param_hint="--partition")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise typer.BadParameter(f"{printable(output)} is there already", param_hint="--output")
    if partition is Partition.LOG and asked.merge:
        raise typer.BadParameter("merged logs are one", param_hint="--partition")


def stream_of(chosen: Format, output: Path | None, stack: ExitStack) -> Any:
    """Where to write to, for bytes or for text."""
    if output is None:
        return sys.stdout.buffer if chosen.is_binary else sys.stdout
    with checking("--output", OSError):
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
