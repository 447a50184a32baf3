"""`isotp sniff`: whole messages of both directions of sessions between others, as they come."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from selectors import EVENT_READ, BaseSelector, DefaultSelector
from typing import Annotated, Any, NamedTuple

import typer

from isotp.address import AbstractAddress
from isotp.bulk._address_text import address_text, can_id_text
from isotp.cli.complaints import EXIT_STATUS, FAILED, explained
from isotp.cli.ends import KernelEnd
from isotp.cli.follow import Follower
from isotp.cli.options.bus import BusOrKernelOptions, Place
from isotp.cli.options.frames import FrameOptions, Link, how
from isotp.cli.options.listening import TallyOptions, ViewOptions
from isotp.cli.options.sessions import MinScore, NCr, SessionOptions, where
from isotp.cli.shown.colours import Colours
from isotp.cli.shown.found import found_text, nearly_text
from isotp.cli.shown.lines import TimeText, ascii_text, hex_text, printable, write_json, write_line
from isotp.cli.shown.tally import Tally
from isotp.cli.shown.uds import service_text
from isotp.cli.shown.words import DIRECTIONS, STATUSES, TARGET_TYPES
from isotp.cli.watch import Heard, messages_between, pieces_of
from isotp.errors import IsoTpError
from isotp.message import Direction

__all__ = ["EXAMPLES", "command"]

EXAMPLES = f"""\
[bold]Examples[/bold]

[dim]# as isotpsniffer: both directions of a session[/dim]
isotp sniff -s 7E0 -d 7E8 can0

[dim]# of two sessions, the first 16 bytes of each message, with the time since the one before[/dim]
isotp sniff -t d --head 16 -a 7E0:7E8 -a ta=10,sa=F1 can0

[dim]# on a bus of python-can, what broke off[/dim]
isotp sniff --json -s 7E0 -d 7E8 -i pcan -c PCAN_USBBUS1 -b 500000 | jq 'select(.status!="ok")'

[dim]# of all sessions that can be found[/dim]
isotp sniff --discover can0

[dim]# by the kernel's sockets[/dim]
isotp sniff --kernel -s 7E0 -d 7E8 can0

{EXIT_STATUS}"""


MOST_NEARLY = 3  # candidates for sessions, that are told where fewer than so many were found
MORE = ("start", "target_type", "frames", "blocksize", "stmin_us", "waits", "flow_controls")


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


def command(
    *,
    bus: BusOrKernelOptions,
    shape: Annotated[
        int, typer.Option("-f", metavar="N", help="1: hex, 2: ASCII, 3: both.", min=1, max=3)
    ] = 3,
    head: Annotated[
        int | None,
        typer.Option("--head", metavar="N", help="Only the first N bytes (isotpsniffer's -h).", min=0),
    ] = None,
    n_cr: NCr = 1000,
    link_layer: Annotated[
        str | None,
        how(
            "-L",
            metavar="MTU:TX_DL:FLAGS",
            help="Kind of the frames, for the kernel: 72:64:0 is CAN FD. Otherwise frames of both kinds are heard.",
        ),
    ] = None,
    discover: Annotated[
        bool,
        where(
            "--discover",
            help="Find sessions by what their frames do, beside those named, and tell of them on standard error; also"
            " the messages before that are shown.",
        ),
    ] = False,
    min_score: MinScore = 0.5,
    address: SessionOptions,
    view: ViewOptions,
    listening: TallyOptions,
) -> None:
    """Show the messages of sessions between others.

    Sends nothing, not even flow control. A message that broke off is shown with the bytes that came, and why.
    """
    addresses = address.all() if discover else address.some()
    place = bus.place()
    follower = (
        Follower(addresses, n_cr, min_score, lambda found: note(found_text(found))) if discover else None
    )
    colours, time_text, tally = Colours(view.colour), TimeText(view.times), Tally()
    with explained(), ExitStack() as stack:
        if place.kernel:
            if discover:
                raise typer.BadParameter(
                    "the kernel's sockets hear sessions that are named", param_hint="--discover"
                )
            if any(each.is_partial_address() for each in addresses):
                raise typer.BadParameter("the kernel needs both CAN IDs", param_hint="--address")
            options = FrameOptions(link_layer=link_layer)
            links = [options.link(each, place) for each in addresses]
            messages = heard_by_kernel(place, links, listening.timeout, stack)
        elif follower is not None:
            messages = heard(follower.messages(pieces_of(place, None, listening.timeout, stack)))
        else:
            messages = heard(messages_between(place, addresses, n_cr, listening.timeout, stack))
        listening.tell(place)
        with suppress(KeyboardInterrupt):
            for seen in messages:
                tally.add(len(seen.payload))
                if seen.status not in ("ok", "open"):
                    tally.add_error(seen.status)
                if listening.as_json:
                    write_json(**fields_of(seen, place.name))
                else:
                    line = line_of(seen, place.name, colours, shape, head, view.with_uds)
                    write_line(time_text(seen.time) + line)
                if tally.messages == listening.count:
                    break
    for nearly in follower.candidates(MOST_NEARLY) if follower is not None else ():
        note(nearly_text(nearly))
    if listening.stats:
        tally.show()
    too_few = listening.timeout is not None and tally.messages < (listening.count or 1)
    if too_few:
        listening.tell_none("message")
    if too_few or tally.errors:
        raise typer.Exit(FAILED)


def note(text: str) -> None:
    """On standard error, after what was shown before."""
    sys.stdout.flush()
    typer.echo(printable(text), err=True)


def heard(messages: Iterable[Heard]) -> Iterator[Seen]:
    for session, it in messages:
        more = {name: getattr(it, name) for name in MORE}
        more["target_type"] = TARGET_TYPES[it.target_type]
        can_id = can_id_text(it.address, it.direction, it.target_type)
        status = STATUSES[it.status]
        yield Seen(it.end, session, it.address, it.direction, can_id, status, it.length, it.payload, more)


def heard_by_kernel(
    place: Place, links: Sequence[Link], quiet: float | None, stack: ExitStack
) -> Iterator[Seen]:
    """By two sockets a session that only listen, one for each direction, and are open from now on."""
    selector = stack.enter_context(DefaultSelector())
    for session, link in enumerate(links):
        for direction in Direction:
            heard_as = link.address if direction is Direction.RX else link.address.reversed()
            end = KernelEnd(place, replace(link, address=heard_as, listens=True))
            stack.callback(end.close)
            selector.register(end, EVENT_READ, (end, session, link.address, direction))
    return heard_by(selector, quiet)


def heard_by(selector: BaseSelector, quiet: float | None) -> Iterator[Seen]:
    while ready := selector.select(quiet):
        for key, _ in ready:
            end, session, address, direction = key.data
            now, payload, status = time.time_ns(), b"", "ok"
            try:
                received = end.recv(0)
                if received is None:
                    continue
                now, _, payload = received
            except IsoTpError as error:
                status = type(error).__name__.removeprefix("Socket")
            can_id = can_id_text(address, direction, 0)
            yield Seen(now, session, address, direction, can_id, status, len(payload), payload, {})


def line_of(seen: Seen, channel: str, colours: Colours, shape: int, head: int | None, with_uds: bool) -> str:
    """As isotpsniffer has it; with how the message ended if that was not well."""
    size = f"{seen.length}" if len(seen.payload) == seen.length else f"{len(seen.payload)}/{seen.length}"
    shown = seen.payload if head is None else seen.payload[:head]
    parts = [hex_text(shown)] * (shape in (1, 3)) + [f"'{ascii_text(shown)}'"] * (shape in (2, 3))
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
        "time": seen.time,
        "start": seen.more.get("start"),
        "end": seen.time,
        "channel": channel,
        "session": address_text(seen.address),
        "direction": DIRECTIONS[seen.direction],
        "can_id": seen.can_id,
        "status": seen.status,
        "length": seen.length,
        **{name: value for name, value in seen.more.items() if name != "start"},
        "payload": seen.payload.hex(),
        "uds": service_text(seen.payload) or None,
    }
