"""What a command found, in a few lines for people: sessions, messages, errors, the busiest, what was lost."""

from __future__ import annotations

from collections import Counter

import typer
from rich.console import Console
from rich.text import Text

from isotp.address import AbstractAddress
from isotp.bulk._address_text import address_text
from isotp.bulk._messages import Messages, tally
from isotp.bulk._uds_figures import UdsFigures
from isotp.cli.logs import MOST_SHOWN, LogFiles
from isotp.cli.shown.found import found_text, nearly_text
from isotp.cli.shown.lines import printable
from isotp.cli.shown.uds import in_short, row_text
from isotp.cli.shown.words import BROKEN_STATUSES, STATUSES, count_text, seconds_text, size_text
from isotp.message import MessageStatus

__all__ = ["Summary"]


class Summary:
    """Counts over tables of messages.

    :param uds: those of UDS, which somebody else counts.
    """

    def __init__(self, uds: UdsFigures | None = None) -> None:
        self.uds = uds
        self.statuses: Counter[MessageStatus] = Counter()
        self.bytes = 0
        self.lost_bytes = 0
        self._messages: Counter[tuple[AbstractAddress, int]] = Counter()
        self._bytes: Counter[tuple[AbstractAddress, int]] = Counter()

    def add(self, messages: Messages) -> None:
        lanes: dict[tuple[int, int, int], list[int]] = {}
        tally(messages, lanes)
        for (session, channel, code), (count, received, announced) in lanes.items():
            key, status = (messages.sessions[session], channel), MessageStatus(code)
            self.statuses[status] += count
            self.bytes += received
            self.lost_bytes += announced - received if status in BROKEN_STATUSES else 0
            self._messages[key] += count
            self._bytes[key] += received

    @property
    def messages(self) -> int:
        return sum(self.statuses.values())

    @property
    def broken(self) -> int:
        return sum(count for status, count in self.statuses.items() if status in BROKEN_STATUSES)

    def show(self, console: Console, files: LogFiles) -> None:
        """Print it, a line a matter; lines about nothing are left out."""
        lines = [
            Text(
                f"{count_text(self.messages, 'message')}, {size_text(self.bytes)}, of"
                f" {count_text(len(self._messages), 'session')} in {count_text(files.frames, 'frame')}",
                "bold",
            )
        ]
        lines += found_lines(files)
        if self._messages:
            (address, channel), count = self._messages.most_common(1)[0]
            where = files.channel_name(channel)
            lines.append(
                Text(
                    f"busiest: {address_text(address)} on channel {where}, {count_text(count, 'message')},"
                    f" {size_text(self._bytes[address, channel])}"
                )
            )
        if self.uds is not None:
            lines.append(Text(in_short(self.uds)))
            lines += [
                Text(
                    f"unanswered: {row_text(each.row)}, {each.figures.session} on channel"
                    f" {files.channel_name(each.figures.channel)} at {seconds_text(each.start)}",
                    "yellow",
                )
                for each in self.uds.unanswered()
            ]
        if self.broken:
            kinds = ", ".join(
                f"{STATUSES[status]} {count}"
                for status, count in self.statuses.most_common()
                if status in BROKEN_STATUSES
            )
            lines.append(Text(f"broken: {count_text(self.broken, 'message')} ({kinds})", "red"))
            lines.append(Text(f"lost: {size_text(self.lost_bytes)} that broken messages announced", "red"))
        if self.statuses[MessageStatus.OPEN]:
            lines.append(Text(f"open at the end: {self.statuses[MessageStatus.OPEN]}", "yellow"))
        if files.others:
            kinds = ", ".join(f"{kind} {count:,}" for kind, count in files.others.most_common(MOST_SHOWN))
            lines.append(Text(f"beside frames: {printable(kinds)}"))
        say(console, *lines)

    def conclude(self, console: Console, files: LogFiles, *, quiet: bool) -> None:
        """What a command ends with: this, and what could not be read, with the place.

        :raises typer.Exit: if something was broken, or could not be read.
        """
        if not quiet:
            self.show(console, files)
        say(console, *(Text(printable(line), "yellow") for line in files.unheard()))
        if files.problem_count:
            say(console, Text(f"unreadable: {count_text(files.problem_count, 'part')}", "red"))
        say(console, *(Text(f"  {printable(problem)}") for problem in files.problems))
        if self.broken or files.problem_count:
            raise typer.Exit(1)


def found_lines(files: LogFiles) -> list[Text]:
    """The sessions that were discovered, the surest first, with how sure they are; and what nearly was."""
    # As sure as the digits that are shown.
    found = sorted(files.found, key=lambda each: -round(each.score, 3))
    lines = [Text(found_text(each, files.channel_name(each.channel))) for each in found[:MOST_SHOWN]]
    lines += [Text(f"found: {len(found) - MOST_SHOWN} more")] * (len(found) > MOST_SHOWN)
    nearly = [nearly_text(each, files.channel_name(each.channel)) for each in files.candidates]
    return lines + [Text(text, "yellow") for text in nearly]


def say(console: Console, *lines: Text) -> None:
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
