"""Options that the commands which read logs have in common, and what they mean together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from isotp.cli.addresses import CHANNEL_SYNTAX, ChannelAddress, pair_text, parse_address
from isotp.cli.lines import printable
from isotp.message import MessageStatus

__all__ = [
    "Absolute",
    "Addresses",
    "Channels",
    "Destination",
    "Discover",
    "Extension",
    "Logs",
    "Question",
    "Quiet",
    "RxExtension",
    "Since",
    "Source",
    "Statuses",
    "Timeout",
    "Until",
    "question",
]

STDIN = Path("-")
BROKEN = "broken"
# OPEN is no error of the bus: the log ends before the message does.
BROKEN_STATUSES = frozenset(MessageStatus) - {MessageStatus.OK, MessageStatus.OPEN}
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

WHERE = "Which sessions"
WHAT = "Which messages"

Logs = Annotated[
    list[Path],
    typer.Argument(
        metavar="LOG",
        help="candump, ASC, BLF, TRC, CSV, MF4, pcap or pcapng, plain or packed, told by content; - is standard input."
        " Several are read one after the other: a message may begin in one and end in the next.",
        show_default=False,
    ),
]
Addresses = Annotated[
    list[str] | None,
    typer.Option(
        "--address", "-a", metavar="ADDRESS", help=f"A session: {CHANNEL_SYNTAX}.", rich_help_panel=WHERE
    ),
]
Source = Annotated[
    str | None,
    typer.Option(
        "-s", metavar="CAN_ID", help="CAN ID of one side, in hex, as can-utils has it.", rich_help_panel=WHERE
    ),
]
Destination = Annotated[
    str | None, typer.Option("-d", metavar="CAN_ID", help="CAN ID of the other side.", rich_help_panel=WHERE)
]
Extension = Annotated[
    str | None,
    typer.Option(
        "-x",
        metavar="BYTE[:BYTE]",
        help="Extended address that goes with -s, and that with -d if it is another.",
        rich_help_panel=WHERE,
    ),
]
RxExtension = Annotated[
    str | None,
    typer.Option("-X", metavar="BYTE", help="The same as what is after the colon.", rich_help_panel=WHERE),
]
Discover = Annotated[
    bool,
    typer.Option(
        "--discover",
        help="Find sessions by what their frames do, beside those given; if none is given, this is the default.",
        rich_help_panel=WHERE,
    ),
]
Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        "-c",
        metavar="CHANNEL",
        help="Only this channel, by name or number.",
        rich_help_panel=WHERE,
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Only messages that end at this time or later: seconds as the log has them, or a date and time in ISO"
        " 8601 (UTC if it names no zone).",
        rich_help_panel=WHAT,
    ),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only messages that begin before this time.", rich_help_panel=WHAT),
]
Statuses = Annotated[
    list[str] | None,
    typer.Option(
        "--status",
        metavar="STATUS",
        help=f"Only messages that ended like this: {BROKEN} (any error), "
        + ", ".join(status.name.lower() for status in MessageStatus)
        + ".",
        rich_help_panel=WHAT,
    ),
]
Timeout = Annotated[
    float,
    typer.Option("--n-cr", metavar="MS", help="N_Cr: the longest wait for a consecutive frame."),
]
Absolute = Annotated[
    bool, typer.Option("--absolute", help="Add the date in the header of an ASC file to its times.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no summary.")]


@dataclass(frozen=True)
class Question:
    """What is asked of some logs: where to look, and for which messages; times in ns."""

    logs: Sequence[Path]
    addresses: Sequence[ChannelAddress]
    discover: bool
    channels: Sequence[str | int] | None
    since: int | None
    until: int | None
    statuses: frozenset[MessageStatus] | None
    n_cr: float
    absolute: bool

    @property
    def picks_messages(self) -> bool:
        """True if only some messages of the sessions are wanted."""
        return self.since is not None or self.until is not None or self.statuses is not None

    def need_files(self, purpose: str) -> None:
        """Refuse standard input where the logs have to be read twice."""
        if STDIN in self.logs:
            raise typer.BadParameter(
                f"{purpose} reads the logs twice, so they must be files, not -", param_hint="LOG"
            )


def question(
    logs: Sequence[Path],
    addresses: Sequence[str] | None,
    pair: tuple[str | None, str | None, str | None, str | None],
    discover: bool,
    channels: Sequence[str] | None,
    since: str | None,
    until: str | None,
    statuses: Sequence[str] | None,
    n_cr: float,
    absolute: bool,
) -> Question:
    """The options as values; `pair` is what -s, -d, -x and -X say.

    :raises typer.BadParameter: if one of them makes no sense.
    """
    check_logs(logs)
    if n_cr < 0:
        raise typer.BadParameter(f"it must be 0 ms or more, not {n_cr:g}", param_hint="--n-cr")
    given = [_address(text, "--address") for text in addresses or ()] + _pair_address(*pair)
    return Question(
        logs=logs,
        addresses=tuple(dict.fromkeys(given)),
        discover=discover or not given,
        channels=[int(each) if each.isdecimal() else each for each in channels] if channels else None,
        since=_time(since, "--since"),
        until=_time(until, "--until"),
        statuses=_statuses(statuses) if statuses else None,
        n_cr=n_cr,
        absolute=absolute,
    )


def check_logs(logs: Sequence[Path]) -> None:
    """Refuse what is not there, before anything is read or written."""
    if logs.count(STDIN) > 1:
        raise typer.BadParameter("standard input can be read only once", param_hint="LOG")
    for path in logs:
        if path != STDIN and not path.exists():
            raise typer.BadParameter(f"there is no file {printable(path)}", param_hint="LOG")
        if path.is_dir():
            raise typer.BadParameter(f"{printable(path)} is a directory", param_hint="LOG")


def _address(text: str, option: str) -> ChannelAddress:
    try:
        return parse_address(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _pair_address(
    source: str | None, destination: str | None, extension: str | None, rx_extension: str | None
) -> list[ChannelAddress]:
    text = pair_text(source, destination, extension, rx_extension)
    return [] if text is None else [_address(text, "-s -d -x -X")]


def _time(text: str | None, option: str) -> int | None:
    """ns of a time in seconds or in ISO 8601."""
    if text is None:
        return None
    if re.fullmatch(r"[+-]?\d+(\.\d*)?", text):
        return int(Decimal(text).scaleb(9))
    try:
        # Python 3.10 does not know the Z.
        time = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither seconds nor a time in ISO 8601", param_hint=option
        ) from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=timezone.utc)
    since_epoch = time - EPOCH
    return ((since_epoch.days * 86_400 + since_epoch.seconds) * 1_000_000 + since_epoch.microseconds) * 1000


def _statuses(names: Sequence[str]) -> frozenset[MessageStatus]:
    wanted: set[MessageStatus] = set()
    known = {status.name.lower(): status for status in MessageStatus}
    for name in names:
        word = name.lower().replace("-", "_")
        if word == BROKEN:
            wanted |= BROKEN_STATUSES
        elif word in known:
            wanted.add(known[word])
        else:
            raise typer.BadParameter(
                f"{name!r} is none of {', '.join((BROKEN, *known))}", param_hint="--status"
            )
    return frozenset(wanted)
