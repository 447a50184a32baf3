"""Between whom: the options for the addresses of sessions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from isotp._address_words import CHANNEL_SYNTAX, SYNTAX, ChannelAddress, parse_address
from isotp.address import AbstractAddress
from isotp.cli.address_files import FIELDS, addresses_in
from isotp.cli.addresses import pair_text
from isotp.cli.options import checking

__all__ = ["LogSessionOptions", "MinScore", "NCr", "SessionOptions", "where"]

where = partial(typer.Option, rich_help_panel="Which sessions")
NCr = Annotated[
    float, typer.Option("--n-cr", metavar="MS", help="N_Cr: the longest wait for a consecutive frame.", min=0)
]
MinScore = Annotated[
    float,
    where(
        "--min-score",
        metavar="P",
        help="How sure a session that is found has to be: the probability that it is one, from 0 to 1.",
        min=0,
        max=1,
    ),
]
address_option = partial(where, "--address", "-a", metavar="ADDRESS")


@dataclass(frozen=True)
class SessionOptions:
    """Sessions, as can-utils names one, or in words."""

    addresses: Annotated[list[str] | None, address_option(help=f"In place of -s, -d and -x: {SYNTAX}.")] = (
        None
    )
    source: Annotated[
        str | None,
        where(
            "-s",
            metavar="CAN_ID",
            help="CAN ID that this side sends with, or one of two others, in hex; one of 29 bits has 8 digits.",
        ),
    ] = None
    destination: Annotated[str | None, where("-d", metavar="CAN_ID", help="CAN ID it hears.")] = None
    extension: Annotated[
        str | None,
        where(
            "-x",
            metavar="BYTE[:BYTE]",
            help="Extended address that goes with -s, and that with -d if it is another.",
        ),
    ] = None
    rx_extension: Annotated[
        str | None, where("-X", metavar="BYTE", help="The same as what is after the colon.")
    ] = None

    def named(self) -> list[ChannelAddress]:
        """Every session that they name, none twice.

        :raises typer.BadParameter: if they are wrong.
        """
        with checking("--address"):
            found = [parse_address(text) for text in self.addresses or ()]
        pair = pair_text(self.source, self.destination, self.extension, self.rx_extension)
        if pair is not None:
            with checking("-s -d -x -X"):
                found.append(parse_address(pair))
        return list(dict.fromkeys(found))

    def all(self) -> list[AbstractAddress]:
        """Their addresses, on the one bus that there is."""
        found = self.named()
        for _, channel in found:
            if channel is not None:
                raise typer.BadParameter(
                    f"@{channel}: a channel goes with logs; here there is one bus", param_hint="--address"
                )
        return [address for address, _ in found]

    def some(self) -> list[AbstractAddress]:
        """As all(), at least one."""
        found = self.all()
        if not found:
            raise typer.BadParameter(
                "name a session, say -s 7E0 -d 7E8, or --address 7E0:7E8", param_hint="-s -d"
            )
        return found

    def one(self) -> AbstractAddress:
        """The one session of a command that sends: it needs both directions.

        :raises typer.BadParameter: if they name another number of sessions, or half of one.
        """
        found = self.some()
        if len(found) > 1:
            raise typer.BadParameter("name one session here", param_hint="--address")
        if found[0].is_partial_address():
            raise typer.BadParameter(
                "a session needs both CAN IDs: flow control comes on the other one", param_hint="--address"
            )
        return found[0]


@dataclass(frozen=True)
class LogSessionOptions(SessionOptions):
    """The same where a session may be on one channel only."""

    addresses: Annotated[list[str] | None, address_option(help=f"A session: {CHANNEL_SYNTAX}.")] = None
    address_files: Annotated[
        list[Path] | None,
        where(
            "--addresses",
            metavar="FILE",
            help=f"Sessions by a file: CSV, JSON or TOML with addresses, or with {', '.join(FIELDS[1:])}.",
            exists=True,
            dir_okay=False,
        ),
    ] = None

    def named(self) -> list[ChannelAddress]:
        found = super().named()
        for path in self.address_files or ():
            with checking("--addresses", OSError):
                found += addresses_in(path)
        return list(dict.fromkeys(found))
