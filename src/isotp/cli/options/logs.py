"""Which logs, which sessions and messages in them: the options for that, and what they mean together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from isotp._address_words import ChannelAddress
from isotp.capture import FORMATS
from isotp.capture._local_time import ns_of
from isotp.capture._remote import is_url
from isotp.cli.options import among, text_called
from isotp.cli.options.sessions import LogSessionOptions, MinScore, NCr, where
from isotp.cli.shown.lines import printable
from isotp.cli.shown.words import BROKEN_STATUSES, STATUSES
from isotp.message import MessageStatus

__all__ = ["STDIN", "LogOptions", "Place", "Question", "Statuses", "Url"]

STDIN = Path("-")


class Url(str):
    """Where a log is that is elsewhere."""

    @property
    def name(self) -> str:
        return self.rpartition("/")[2]


Place: TypeAlias = "Path | Url"


def place_of(text: str | Path) -> Place:
    return Url(text) if isinstance(text, str) and is_url(text) else Path(text)


BROKEN = "broken"

what = partial(typer.Option, rich_help_panel="Which messages")

Statuses = Annotated[
    list[str] | None,
    what(
        "--status",
        metavar="STATUS",
        help=f"Only messages that ended like this: {BROKEN} (any error), " + ", ".join(STATUSES) + ".",
        autocompletion=among((BROKEN, *STATUSES)),
    ),
]


@dataclass(frozen=True)
class Question:
    """What is asked of some logs: where to look, and for which messages; times in ns."""

    logs: Sequence[Place]
    addresses: Sequence[ChannelAddress]
    discover: bool
    channels: Sequence[str | int] | None
    since: int | None
    until: int | None
    statuses: frozenset[MessageStatus] | None
    n_cr: float
    absolute: bool
    min_score: float
    log_format: str | None = None
    uds: bool = False
    merge: bool = False
    names: Sequence[dict[str | int, str]] = ()

    @property
    def picks_messages(self) -> bool:
        """True if only some messages of the sessions are wanted."""
        return self.since is not None or self.until is not None or self.statuses is not None


@dataclass(frozen=True)
class LogFileOptions:
    """Which logs."""

    logs: Annotated[
        list[str],
        typer.Argument(
            metavar="LOG",
            parser=text_called("path or URL"),
            help="candump, ASC, BLF, TRC, MF4, pcapng and others, plain or packed, told by content; paths, URLs (with"
            " the extra url), or - for standard input. Several are read one after the other: a message may begin in"
            " one and end in the next.",
            show_default=False,
        ),
    ]
    merge: Annotated[
        bool,
        typer.Option("--merge", help="Several logs are of the same time: read them as one, by their times."),
    ] = False
    channel_names: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="[LOG:]CHANNEL=NAME",
            help="Another name for a channel, of one log or of all; channels with the same name are the same.",
        ),
    ] = None

    def names_of(self) -> list[dict[str | int, str]]:
        """Other names of channels, for each log.

        :raises typer.BadParameter: if --map has something else.
        """
        names: list[dict[str | int, str]] = [{} for _ in self.logs]
        for text in self.channel_names or ():
            old, equals, new = text.rpartition("=")
            log, _, channel = old.rpartition(":")
            if not (equals and channel and new):
                raise typer.BadParameter(f"{text!r} is not [LOG:]CHANNEL=NAME", param_hint="--map")
            chosen = [
                those
                for path, those in zip(map(place_of, self.logs), names, strict=True)
                if log in ("", str(path), path.name)
            ]
            if not chosen:
                raise typer.BadParameter(f"{log!r} is none of the logs", param_hint="--map")
            for those in chosen:
                those[channel] = new
        return names


@dataclass(frozen=True)
class LogOptions(LogSessionOptions, LogFileOptions):
    """All of it, but for the statuses of messages."""

    discover: Annotated[
        bool,
        where(
            "--discover",
            help="Find sessions by what their frames do, beside those given; if none is given, this is the default.",
        ),
    ] = False
    min_score: MinScore = 0.5
    channels: Annotated[
        list[str] | None,
        where("--channel", "-c", metavar="CHANNEL", help="Only this channel, by name or number."),
    ] = None
    since: Annotated[
        str | None,
        what(
            metavar="TIME",
            help="Only messages that end at this time or later: seconds as the log has them, or a date and time in ISO"
            " 8601 (UTC if it names no zone).",
        ),
    ] = None
    until: Annotated[str | None, what(metavar="TIME", help="Only messages that begin before this time.")] = (
        None
    )
    n_cr: NCr = 1000
    absolute: Annotated[
        bool,
        typer.Option(
            "--absolute",
            help="Add the date in the header of an ASC, BUSMASTER or Vehicle Spy file to its times.",
        ),
    ] = False
    log_format: Annotated[
        str | None,
        typer.Option(
            "--log-format",
            metavar="FORMAT",
            help=f"What the logs are, if it is not told: {', '.join(FORMATS)}.",
            autocompletion=among(FORMATS),
        ),
    ] = None
    uds: Annotated[
        bool,
        typer.Option(
            "--uds",
            help="What the messages say in UDS: services, identifiers, negative responses, which response is one to"
            " which request, and how soon. Names come with the extra uds.",
        ),
    ] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no summary.")] = False

    def question(self, statuses: Sequence[str] | None = None) -> Question:
        """The options as values.

        :raises typer.BadParameter: if one of them makes no sense.
        """
        logs = [place_of(each) for each in self.logs]
        check_logs(logs)
        if self.log_format not in (None, *FORMATS):
            raise typer.BadParameter(
                f"{self.log_format!r} is none of {', '.join(FORMATS)}", param_hint="--log-format"
            )
        given = self.named()
        return Question(
            logs=logs,
            addresses=given,
            discover=self.discover or not given,
            channels=[int(each) if each.isdecimal() else each for each in self.channels or ()] or None,
            since=_time(self.since, "--since"),
            until=_time(self.until, "--until"),
            statuses=_statuses(statuses) if statuses else None,
            n_cr=self.n_cr,
            absolute=self.absolute,
            min_score=self.min_score,
            log_format=self.log_format,
            uds=self.uds,
            merge=self.merge,
            names=self.names_of(),
        )


def check_logs(logs: Sequence[Place]) -> None:
    """Refuse what is not there, before anything is read or written."""
    if logs.count(STDIN) > 1:
        raise typer.BadParameter("standard input can be read only once", param_hint="LOG")
    for path in logs:
        if isinstance(path, Url):
            continue
        if path != STDIN and not path.exists():
            raise typer.BadParameter(f"there is no file {printable(path)}", param_hint="LOG")
        if path.is_dir():
            raise typer.BadParameter(f"{printable(path)} is a directory", param_hint="LOG")


def _time(text: str | None, option: str) -> int | None:
    """ns of a time in seconds or in ISO 8601."""
    if text is None:
        return None
    if re.fullmatch(r"[+-]?\d+(\.\d*)?", text):
        whole, _, fraction = text.partition(".")
        return int(whole + fraction[:9].ljust(9, "0"))
    try:
        # Python 3.10 does not know the Z.
        time = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither seconds nor a time in ISO 8601", param_hint=option
        ) from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=timezone.utc)
    return ns_of(time)


def _statuses(names: Sequence[str]) -> frozenset[MessageStatus]:
    wanted: set[MessageStatus] = set()
    known = dict(zip(STATUSES, MessageStatus, strict=True))
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
