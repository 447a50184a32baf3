"""`isotp sniff`: whole messages of both directions of sessions between others, as they come."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import Annotated, Any, NamedTuple

import typer

from isotp.address import AbstractAddress
from isotp.bulk._messages import Messages
from isotp.cli import listen
from isotp.cli.addresses import address_text, can_id_text
from isotp.cli.colours import Colours, ColourWhen
from isotp.cli.complaints import EXIT_STATUS, FAILED, complain, explained
from isotp.cli.ends import KernelEnd
from isotp.cli.groups import grouped
from isotp.cli.lines import TimeText, ascii_text, hex_text, write_json, write_line
from isotp.cli.link import HOW, AddressOptions, FrameOptions, Link
from isotp.cli.places import BusOptions, Place
from isotp.cli.tally import Tally
from isotp.cli.uds import service_text
from isotp.cli.watch import CtrlC, identifiers_of, messages_on
from isotp.cli.wires import open_wire
from isotp.errors import IsoTpError
from isotp.message import Direction, MessageStatus

__all__ = ["EXAMPLES", "command"]

EXAMPLES = f"""\
[bold]Examples[/bold]

[dim]# as isotpsniffer: both directions of a session[/dim]
isotp sniff -s 7E0 -d 7E8 can0

[dim]# of two sessions, the first 16 bytes of each message, with the time since the one before[/dim]
isotp sniff -t d --head 16 -a 7E0:7E8 -a ta=10,sa=F1 can0

[dim]# on a bus of python-can, what broke off[/dim]
isotp sniff --json -s 7E0 -d 7E8 -i pcan -c PCAN_USBBUS1 -b 500000 | jq 'select(.status!="ok")'

[dim]# by the kernel's sockets[/dim]
isotp sniff --kernel -s 7E0 -d 7E8 can0

{EXIT_STATUS}"""


class Seen(NamedTuple):
    """A message: when it ended, and more than the kernel's sockets tell where `more` has it."""

    time: int
    session: int
    address: AbstractAddress
    direction: Direction
    can_id: str
    status: str
    length: int
    payload: bytes
    more: dict[str, Any]


@grouped
def command(
    bus: BusOptions,
    address: AddressOptions,
    times: listen.Times = None,
    view: Annotated[
        int, typer.Option("-f", metavar="N", help="1: hex, 2: ASCII, 3: both.", min=1, max=3)
    ] = 3,
    head: Annotated[
        int | None,
        typer.Option("--head", metavar="N", help="Only the first N bytes (isotpsniffer's -h).", min=0),
    ] = None,
    with_uds: listen.Services = True,
    colour: listen.Colour = ColourWhen.AUTO,
    count: listen.Count = None,
    timeout: listen.Silence = None,
    n_cr: Annotated[
        float,
        typer.Option("--n-cr", metavar="MS", help="N_Cr: the longest wait for a consecutive frame.", min=0),
    ] = 1000,
    link_layer: Annotated[
        str | None,
        typer.Option(
            "-L",
            metavar="MTU:TX_DL:FLAGS",
            help="Kind of the frames, for the kernel: 72:64:0 is CAN FD. Otherwise frames of both kinds are heard.",
            rich_help_panel=HOW,
        ),
    ] = None,
    kernel: Annotated[
        bool,
        typer.Option(
            "--kernel", help="By ISO-TP sockets of the Linux kernel, which do not tell what broke off."
        ),
    ] = False,
    as_json: listen.Json = False,
    stats: listen.Stats = False,
    ready: listen.Ready = False,
) -> None:
    """Show the messages of sessions between others.

    Sends nothing, not even flow control. A message that broke off is shown with the bytes that came, and why.
    """
    addresses = address.some()
    place = bus.place(kernel=kernel)
    colours, time_text, tally = Colours(colour), TimeText(times), Tally()
    with explained(), ExitStack() as stack:
        if kernel:
            if any(each.is_partial_address() for each in addresses):
                raise typer.BadParameter("the kernel needs both CAN IDs", param_hint="--address")
            options = FrameOptions(link_layer=link_layer)
            links = [options.link(each, fd=bus.fd, switched=False, kernel=True) for each in addresses]
            messages = heard_by_kernel(place, links, timeout, stack)
        else:
            wire = open_wire(place, identifiers_of(addresses))
            stack.callback(wire.close)
            ctrl_c = stack.enter_context(CtrlC())
            messages = heard(messages_on(wire, addresses, n_cr, timeout, ctrl_c))
        if ready:
            typer.echo(f"listening on {place.name}", err=True)
        with suppress(KeyboardInterrupt):
            for seen in messages:
                tally.add(len(seen.payload))
                if seen.status not in ("ok", "open"):
                    tally.add_error(seen.status)
                if as_json:
                    write_json(**fields_of(seen, place.name))
                else:
                    write_line(
                        time_text(seen.time) + line_of(seen, place.name, colours, view, head, with_uds)
                    )
                if tally.messages == count:
                    break
    if stats:
        tally.show()
    if timeout is not None and tally.messages < (count or 1):
        complain(f"no message within {timeout:g} s")
        raise typer.Exit(FAILED)
    if tally.errors:
        raise typer.Exit(FAILED)


def heard(tables: Iterator[Messages]) -> Iterator[Seen]:
    for table in tables:
        for it in table:
            yield Seen(
                time=it.end,
                session=it.session,
                address=it.address,
                direction=it.direction,
                can_id=can_id_text(it.address, it.direction, it.target_type),
                status=it.status.name.lower(),
                length=it.length,
                payload=it.payload,
                more={
                    "start": it.start,
                    "target_type": it.target_type.name.lower(),
                    "frames": it.frames,
                    "blocksize": it.blocksize,
                    "stmin_us": it.stmin_us,
                    "waits": it.waits,
                    "flow_controls": it.flow_controls,
                },
            )


def heard_by_kernel(
    place: Place, links: Sequence[Link], quiet: float | None, stack: ExitStack
) -> Iterator[Seen]:
    """Two sockets a session that only listen, one for each direction, and open from now on."""
    sockets: dict[int, tuple[KernelEnd, int, Link, Direction]] = {}
    for session, link in enumerate(links):
        for direction in Direction:
            heard_as = link.address if direction is Direction.RX else link.address.reversed()
            end = KernelEnd(place, link.to(heard_as).listening())
            stack.callback(end.close)
            sockets[end.fileno()] = end, session, link, direction
    return messages_of(sockets, quiet)


def messages_of(
    sockets: dict[int, tuple[KernelEnd, int, Link, Direction]], quiet: float | None
) -> Iterator[Seen]:
    poll = select.poll()
    for descriptor in sockets:
        poll.register(descriptor, select.POLLIN)
    while True:
        try:
            ready = poll.poll(None if quiet is None else quiet * 1000)
        except KeyboardInterrupt:
            return
        if not ready:
            return
        for descriptor, _ in ready:
            end, session, link, direction = sockets[descriptor]
            payload, status = b"", MessageStatus.OK.name.lower()
            try:
                received = end.recv(0)
            except IsoTpError as error:
                received, status = None, type(error).__name__.removeprefix("Socket")
            if received is None and status == "ok":
                continue
            payload = b"" if received is None else received.payload
            yield Seen(
                time=time.time_ns() if received is None else received.time,
                session=session,
                address=link.address,
                direction=direction,
                can_id=can_id_text(link.address, direction, 0),
                status=status,
                length=len(payload),
                payload=payload,
                more={},
            )


def line_of(seen: Seen, channel: str, colours: Colours, view: int, head: int | None, with_uds: bool) -> str:
    """As isotpsniffer has it; with how the message ended if that was not well."""
    size = f"{seen.length}" if len(seen.payload) == seen.length else f"{len(seen.payload)}/{seen.length}"
    shown = seen.payload if head is None else seen.payload[:head]
    parts = [hex_text(shown)] * (view in (1, 3)) + [f"'{ascii_text(shown)}'"] * (view in (2, 3))
    text = f"{channel}  {seen.can_id}  [{size}]  " + " - ".join(parts)
    if len(shown) < len(seen.payload):
        text += " ..."
    text = colours.of(seen.session, text, bright=seen.direction is Direction.TX)
    if seen.status != "ok":
        text += "  " + colours.error(seen.status)
    uds = service_text(seen.payload) if with_uds else ""
    return f"{text}  {uds}" if uds else text


def fields_of(seen: Seen, channel: str) -> dict[str, Any]:
    """The names are those of `isotp decode --json`."""
    return {
        "start": seen.more.get("start"),
        "end": seen.time,
        "channel": channel,
        "session": address_text(seen.address),
        "direction": seen.direction.name.lower(),
        "can_id": seen.can_id,
        "status": seen.status,
        "length": seen.length,
        **{name: value for name, value in seen.more.items() if name != "start"},
        "payload": seen.payload.hex(),
        "uds": service_text(seen.payload) or None,
    }
