"""`isotp recv`: messages in, a line in hex or JSON each."""

from __future__ import annotations

from typing import Annotated

import typer

from isotp.cli import listen
from isotp.cli.addresses import address_text, can_id_text
from isotp.cli.complaints import EXIT_STATUS, FAILED, complain, explained
from isotp.cli.ends import End, Received, open_end
from isotp.cli.groups import grouped
from isotp.cli.lines import hex_text, write_json, write_line
from isotp.cli.link import AddressOptions, FrameOptions, Link, ReceiverOptions
from isotp.cli.places import BusOptions
from isotp.cli.tally import Tally
from isotp.errors import IsoTpError

__all__ = ["EXAMPLES", "command"]

EXAMPLES = f"""\
[bold]Examples[/bold]

[dim]# as isotprecv: one message, in hex[/dim]
isotp recv -s 7E8 -d 7E0 can0

[dim]# all messages until Ctrl-C, with block size 8 and STmin 300 us, as JSON lines[/dim]
isotp recv -l -B 8 -m F3 -s 7E8 -d 7E0 --json can0 | jq .payload

[dim]# what comes in goes out on another bus[/dim]
isotp recv -l -s 7E8 -d 7E0 can0 | isotp send -s 7E0 -d 7E8 can1

[dim]# three messages on a bus of python-can, CAN FD, or none within 5 s[/dim]
isotp recv -n 3 --timeout 5 -s 7E8 -d 7E0 --fd -i kvaser -c 0

[dim]# by the kernel's socket[/dim]
isotp recv --kernel -s 7E8 -d 7E0 can0

{EXIT_STATUS}"""


@grouped
def command(
    bus: BusOptions,
    address: AddressOptions,
    frames: FrameOptions,
    receiver: ReceiverOptions,
    loop: Annotated[
        bool, typer.Option("-l", "--loop", help="Do not end with the first message, but with Ctrl-C.")
    ] = False,
    count: listen.Count = 1,
    timeout: listen.Silence = None,
    kernel: Annotated[
        bool, typer.Option("--kernel", help="By an ISO-TP socket of the Linux kernel.")
    ] = False,
    as_json: listen.Json = False,
    stats: listen.Stats = False,
    ready: listen.Ready = False,
) -> None:
    """Receive messages, and acknowledge them.

    -s is the CAN ID that flow control is sent with, -d the one that messages come with, as isotprecv has it. A message
    that breaks off is told of on standard error.
    """
    place = bus.place(kernel=kernel)
    link = frames.link(address.one(), fd=bus.fd, switched=bus.data_bitrate is not None, kernel=kernel)
    link = link.having(receiver.values(), "-B -m -w")
    tally = Tally()
    with explained():
        end = open_end(place, link)
        if ready:
            typer.echo(f"listening on {place.name}", err=True)
        try:
            receive(end, link, place.name, None if loop else count, timeout, tally, as_json)
        except KeyboardInterrupt:
            if not loop:
                raise
        finally:
            tally.add_counters(address_text(link.address), end.counters())
            for error in end.close():
                tell(error, tally)
            if stats or loop:
                tally.show()
    if tally.errors or (tally.messages == 0 and timeout is not None):
        raise typer.Exit(FAILED)


def receive(
    end: End, link: Link, channel: str, count: int | None, timeout: float | None, tally: Tally, as_json: bool
) -> None:
    """Show `count` messages, or all; until none came for `timeout` seconds."""
    session, can_id = address_text(link.address), can_id_text(link.address, 1, 0)
    while count is None or tally.messages < count:
        try:
            received = end.recv(timeout)
        except IsoTpError as error:
            tell(error, tally)
            continue
        if received is None:
            if tally.messages == 0 or count is not None:
                complain(f"no message within {timeout:g} s")
            return
        tally.add(len(received.payload))
        show(received, channel, session, can_id, as_json)


def tell(error: IsoTpError, tally: Tally) -> None:
    tally.add_error(error)
    complain(f"{type(error).__name__}: {error}")


def show(received: Received, channel: str, session: str, can_id: str, as_json: bool) -> None:
    if as_json:
        write_json(
            time=received.time,
            channel=channel,
            session=session,
            can_id=can_id,
            length=len(received.payload),
            payload=received.payload.hex(),
        )
    else:
        write_line(hex_text(received.payload))
